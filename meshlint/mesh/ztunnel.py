"""What does ztunnel enforce of an AuthorizationPolicy? (spec security 5.9)

It sees connections, not requests. An ALLOW rule that asks for anything of HTTP is dropped; a DENY rule
loses that part of it, and never matches where nothing of a clause is left.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from meshlint.mesh.attachment import references_of, selector_of
from meshlint.mesh.authz import Action, Clause, Policy, Predicate, Rule

_FIELDS: Final = frozenset({"ports", "ipBlocks", "namespaces", "serviceAccounts", "principals"})
_CONDITIONS: Final = frozenset({"ipBlocks", "namespaces", "principals", "ports", "destination.ip"})


def at_ztunnel(policy: Policy) -> Policy | None:
    """The policy with the rules that are left; None where it is not enforced at all."""
    if references_of(policy.resource) or not policy.enforced:
        return None
    if policy.action not in (Action.ALLOW, Action.DENY) or selector_of(policy.resource) == {}:
        return None
    kept = (left for rule in policy.rules if (left := _left(rule, policy.action)) is not None)
    return policy.keep(kept)


def _left(rule: Rule, action: Action) -> Rule | None:
    if action is Action.ALLOW:
        whole = all(_is_l4(p) for p in _of_clauses(rule)) and all(map(_is_l4_condition, rule.conditions))
        return rule if whole else None
    sources, operations = _stripped(rule.sources), _stripped(rule.operations)
    if sources == () or operations == () or not all(map(_is_l4_condition, rule.conditions)):
        return None
    return replace(rule, sources=sources, operations=operations)


def _of_clauses(rule: Rule) -> list[Predicate]:
    return [p for clause in (*(rule.sources or ()), *(rule.operations or ())) for p in clause.predicates]


def _stripped(clauses: tuple[Clause, ...] | None) -> tuple[Clause, ...] | None:
    """The alternatives without their parts about HTTP; those of which nothing is left are no more."""
    if clauses is None:
        return None
    parts = (Clause(tuple(p for p in c.predicates if _is_l4(p)), c.node) for c in clauses)
    return tuple(clause for clause in parts if clause.predicates)


def _is_l4(predicate: Predicate) -> bool:
    return predicate.field in _FIELDS


def _is_l4_condition(predicate: Predicate) -> bool:
    return predicate.field in _CONDITIONS
