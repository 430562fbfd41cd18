"""Which AuthorizationPolicies does Istio refuse or warn about? (spec schemas 3.3, security 5.3 and 5.4)

The values of rules are in `authorization_values`; fields that a CUSTOM policy must not use are those of
the rule authz-custom-provider.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from meshlint.checks.admission.blocks import WARNED, Block, refused, spec
from meshlint.checks.authz import http_attr_on_tcp
from meshlint.findings import Draft
from meshlint.mesh.authz import OPERATION_FIELDS, SOURCE_FIELDS
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.scope import ISTIO_SECURITY
from meshlint.source.nodes import Scalar, Sequence

Options = Mapping[str, Any]


def negated(fields: Iterable[str]) -> tuple[str, ...]:
    """The names of fields, each with its opposite."""
    return tuple(name for f in fields for name in (f, f"not{f[0].upper()}{f[1:]}"))


SOURCE_NAMES: Final = negated(SOURCE_FIELDS)
OPERATION_NAMES: Final = negated(OPERATION_FIELDS)
#: fields of a source that a TCP connection has
_TCP_SOURCE: Final = tuple(n for n in SOURCE_NAMES if "equestPrincipals" not in n and "rustDomains" not in n)
_ACTIONS: Final = ("ALLOW", "DENY", "AUDIT")


def policies(mesh: Mesh) -> Iterator[Block]:
    """The specs of all AuthorizationPolicies."""
    for resource in mesh.scope.of(ISTIO_SECURITY, "AuthorizationPolicy"):
        block = spec(resource)
        if block is not None:
            yield block


def sources(rule: Block) -> Iterator[Block]:
    for item in rule.blocks("from"):
        source = item.block("source")
        if source is not None:
            yield source


def operations(rule: Block) -> Iterator[Block]:
    for item in rule.blocks("to"):
        operation = item.block("operation")
        if operation is not None:
            yield operation


def no_rules(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for policy in policies(mesh):
        action = policy.enum("action", "ALLOW")
        if action in ("DENY", "CUSTOM") and policy.lacks("rules"):
            yield refused(
                policy.place("action"),
                f"has the action {action} and no rules, so that it could never apply",
                "without rules this never applies",
                "add the rules, or one empty rule ({}) that is for every request",
            )


def provider(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for policy in policies(mesh):
        action = policy.enum("action", "ALLOW")
        if action in _ACTIONS and policy.block("provider") is not None:
            yield refused(
                policy.place("provider", "key"),
                f"names a provider with the action {action}",
                "only for action CUSTOM",
                "set action to CUSTOM if the provider should decide, else remove provider",
            )


def empty_clauses(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for policy in policies(mesh):
        for rule in policy.blocks("rules"):
            yield from _clauses(rule, "from", "source", SOURCE_NAMES)
            yield from _clauses(rule, "to", "operation", OPERATION_NAMES)


def _clauses(rule: Block, name: str, inner: str, fields: tuple[str, ...]) -> Iterator[Draft]:
    written = rule.node.get(name)
    if isinstance(written, Sequence) and not written.items:
        yield Draft(
            rule.place(name, "key"),
            f"{rule.resource.title} has a rule with an empty {name}; Istio reads that as none, and the "
            f"rule is for every {inner}",
            label="matches everything",
            help=f"say in {name} what the rule is for, or leave {name} out if it is for everything",
            severity="warning",
            equivalents=(),
        )
    for item in rule.blocks(name):
        clause = item.block(inner)
        if inner not in item.node.index:
            yield refused(
                item.place(),
                f"has a rule whose {name} holds an item without {inner}",
                f"{inner} is missing",
                f"put the fields of the item under {inner}",
            )
        elif clause is not None and not any(_says_something(clause, f, fields) for f in clause.node):
            yield refused(
                clause.place(),
                f"has a rule with an empty {inner}",
                f"says nothing about the {inner}",
                f"name a field in {inner}, or leave {name} out if the rule is for everything",
            )


def _says_something(clause: Block, name: str, fields: tuple[str, ...]) -> bool:
    """A field that Istio does not know is a finding of its own, and may be the one that was meant."""
    node = clause.node.get(name)
    return name not in fields or not isinstance(node, Sequence) or bool(node.items)


def denies_tcp(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """A DENY rule that names HTTP attributes alone; it denies everything on TCP ports."""
    found = [
        (rule, place)
        for policy in policies(mesh)
        if policy.enum("action", "ALLOW") == "DENY"
        for rule in policy.blocks("rules")
        if (place := _http_only(rule)) is not None
    ]
    shown = {id(draft.place.resource) for draft in http_attr_on_tcp(mesh, {})} if found else set()  # type: ignore[union-attr]
    for rule, block in found:
        if id(rule.resource) not in shown:
            yield Draft(
                block.place(),
                f"{rule.resource.title} denies by HTTP attributes alone; on TCP ports there are none, and "
                "the rule denies all connections to them",
                label="no ports are named",
                help="name the HTTP ports of the workloads in to.operation.ports",
                equivalents=WARNED,
            )


def _http_only(rule: Block) -> Block | None:
    """The clause by which a rule is for HTTP alone."""
    found_operations = list(operations(rule))
    if found_operations:
        ported = any(name in o.node.index for o in found_operations for name in ("ports", "notPorts"))
        return None if ported else found_operations[0]
    if rule.blocks("to"):
        return None
    found_sources = list(sources(rule))
    if not found_sources or any(name in s.node.index for s in found_sources for name in _TCP_SOURCE):
        return None
    return found_sources[0]


_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE")


def methods(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """A method that no request has; letters count, and only a star at an end is a wildcard."""
    for node, text, block in _operation_values(mesh, "methods", "notMethods"):
        if not _is_method(text):
            upper = text.upper()
            yield Draft(
                block.resource.place(node),
                f"{block.resource.title} names the method {text}, which no HTTP request has",
                label="never matches",
                help=f"write {upper}"
                if _is_method(upper)
                else "use " + ", ".join(_METHODS) + "; gRPC calls are POST, and paths name their method",
            )


def _is_method(text: str) -> bool:
    if text == "*":
        return True
    if text.startswith("*"):
        return any(method.endswith(text[1:]) for method in _METHODS)
    if text.endswith("*"):
        return any(method.startswith(text[:-1]) for method in _METHODS)
    return text in _METHODS


def paths(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """A path that cannot begin like one."""
    for node, text, block in _operation_values(mesh, "paths", "notPaths"):
        if not text.startswith(("/", "*")) and "{" not in text.partition("/")[0]:
            yield Draft(
                block.resource.place(node),
                f"{block.resource.title} names the path {text}, but paths of requests start with a slash",
                label="never matches",
                help=f"write /{text}",
            )


def _operation_values(mesh: Mesh, *names: str) -> Iterator[tuple[Scalar, str, Block]]:
    for policy in policies(mesh):
        for rule in policy.blocks("rules"):
            for operation in operations(rule):
                for name in names:
                    if name in operation.node.index:
                        for node, text in operation.texts(name):
                            if text:
                                yield node, text, operation
