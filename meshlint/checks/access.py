"""Checks on who is left outside by AuthorizationPolicies (spec repositories 7; security 4.6, 5.2, 5.11).

An ALLOW policy denies everything that no rule of any ALLOW policy matches. Traffic that the input itself
sends to a proxy, by a route or as a declared call, is tried against the policies that attach there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from meshlint.findings import Draft
from meshlint.mesh.access import Access
from meshlint.mesh.attachment import Proxy, proxy_of
from meshlint.mesh.authz import PLAIN, Action, Clause, Policy, Predicate, Request, Rule, rule_matches
from meshlint.mesh.clients import DeclaredCall
from meshlint.mesh.coverage import Covered, Probe, Requirement, coverage_of_holders
from meshlint.mesh.exposure import Entry, Exposure
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.scope import Evidence
from meshlint.mesh.workloads import Workload
from meshlint.records import dataclass
from meshlint.resources import Place
from meshlint.source.nodes import Scalar

#: paths that say how a workload is, not what it does
_HEALTH: Final = re.compile(r"/(?:[\w.-]+/)*(?:health|live|ready|startup|status|metrics|ping|stats)[\w.-]*/?")
_DIRECT: Final = frozenset({"Service", "hostPort", "Route"})


@dataclass(frozen=True, slots=True, eq=False)
class _Locked:
    """Traffic that ALLOW policies keep from a proxy. `what` is who is locked out, `where` the proxy's owner.

    `admitted` are the paths that do get through, all of them about health; `related` leads to the traffic.
    """

    policies: tuple[Policy, ...]
    request: Request
    what: str
    where: str
    related: tuple[tuple[str, Place], ...]
    confidence: str | None
    admitted: tuple[str, ...] = ()


def locks_out(mesh: Mesh, options: Mapping[str, Any]) -> Iterator[Draft]:
    """Traffic of a route or of a declared client that no ALLOW policy lets in: one finding per policy."""
    if not any(p.action is Action.ALLOW and p.enforced for p in mesh.authz.policies):
        return
    found: dict[int, list[_Locked]] = {}
    for locked in (*_by_routes(mesh), *_by_clients(mesh)):
        found.setdefault(id(locked.policies[0]), []).append(locked)
    for several in found.values():
        yield _draft(sorted(several, key=lambda locked: (None, "medium", "low").index(locked.confidence)))


# -- routes and gateways ----------------------------------------------------------------------------------


def _by_routes(mesh: Mesh) -> Iterator[_Locked]:
    for exposure in mesh.exposures.all:
        if exposure.way in _DIRECT or (exposure.workload is None and not exposure.entries):
            continue
        if not any(gate.policies for p in mesh.jwt.proxies_met(exposure) for gate in mesh.jwt.gates(p)):
            continue
        covered = mesh.jwt.coverage(exposure)
        for entry in {id(c.entry): c.entry for c in covered}.values():
            locked = _of_entry(mesh, exposure, entry, [c for c in covered if c.entry is entry])
            if locked is not None:
                yield locked


def _of_entry(mesh: Mesh, exposure: Exposure, entry: Entry | None, covered: list[Covered]) -> _Locked | None:
    """All requests of one route through one gateway, or all but those about health."""
    blocked = [(c, _blocking(mesh, c)) for c in covered]
    passing = [c for c, answer in blocked if answer is None]
    kept = [(c, answer) for c, answer in blocked if answer is not None]
    admitted = tuple(dict.fromkeys(c.probe.path or "" for c in passing))
    if not kept or not all(_HEALTH.fullmatch(path) for path in admitted):
        return None
    probe, (proxy, policies) = kept[0][0].probe, kept[0][1]
    if any(gate.unsure for gate in mesh.jwt.gates(proxy)):
        return None
    if _holders_pass(mesh, exposure, entry):
        return None
    confidence = _confidence(mesh, proxy, policies)
    related = [("the traffic that is sent there", exposure.place)]
    if entry is not None and entry.gateway is not None:
        related.append(("where it enters", entry.gateway.place()))
    return _Locked(
        policies=policies,
        request=_seen(mesh, exposure, entry, proxy, probe),
        what=f"{exposure.resource.title}, which routes requests to {exposure.target}",
        where=_owner(proxy, entry, exposure),
        related=tuple(related),
        confidence="medium" if admitted and confidence is None else confidence,
        admitted=admitted,
    )


def _holders_pass(mesh: Mesh, exposure: Exposure, entry: Entry | None) -> bool:
    """Is there a request, not about health, that is let in with a token?"""
    return any(
        _blocking(mesh, covered) is None and not _HEALTH.fullmatch(covered.probe.path or "")
        for covered in coverage_of_holders(mesh, exposure, entry)
    )


def _blocking(mesh: Mesh, covered: Covered) -> tuple[Proxy, tuple[Policy, ...]] | None:
    """The proxy that keeps the request out because none of its ALLOW policies has a rule for it."""
    for proxy, answer in covered.answers:
        if answer.is_(Requirement.BLOCKED):
            policies = _implied(mesh, answer.because)
            if policies:
                return proxy, policies
    return None


def _seen(mesh: Mesh, exposure: Exposure, entry: Entry | None, proxy: Proxy, probe: Probe) -> Request:
    """The request as the proxy that keeps it out sees it."""
    domains = mesh.access.trust_domains()
    if entry is None:
        return Request(probe.host, probe.path, probe.method, exposure.port, trust_domains=domains)
    at_gateway = entry.proxy is proxy
    peer, port = (entry.peer, entry.ports[0]) if at_gateway else (entry.identity, exposure.port)
    return Request(probe.host, probe.path, probe.method, port, peer=peer, trust_domains=domains)


def _owner(proxy: Proxy, entry: Entry | None, exposure: Exposure) -> str:
    if proxy.workload is not None:
        return proxy.workload.title
    if entry is not None and entry.proxy is proxy and entry.gateway is not None:
        return entry.gateway.title
    return exposure.target


# -- declared clients -------------------------------------------------------------------------------------


def _by_clients(mesh: Mesh) -> Iterator[_Locked]:
    for call in mesh.clients.all:
        if call.client.partial or mesh.registry.services_of(call.client).count(call.service):
            continue
        for workload in mesh.registry.workloads_of(call.service):
            locked = _of_call(mesh, call, workload)
            if locked is not None:
                yield locked
                break


def _of_call(mesh: Mesh, call: DeclaredCall, workload: Workload) -> _Locked | None:
    proxy = proxy_of(workload)
    if not any(p.action is Action.ALLOW for p in mesh.authz.enforced_at(proxy)):
        return None
    target = mesh.registry.target_port(call.service, call.port, workload)
    peer = mesh.access.peer_of(call.client)
    if not target.known or peer is None:
        return None
    request = Request(
        port=target.value, peer=peer, http=not call.port.opaque, trust_domains=mesh.access.trust_domains()
    )
    answers = [mesh.access.to(workload, target.value, request, call.service)]
    policies = _implied(mesh, answers[0].because) if answers[0].is_(Access.DENIED) else ()
    if not policies or _waits_for_token(mesh, proxy, request):
        return None
    outside = ", which has no identity of the mesh," if peer is PLAIN else ""
    return _Locked(
        policies=policies,
        request=request,
        what=f"{call.client.title}{outside} as a client of port {call.port.number} of "
        f"{call.service.resource.title}",
        where=workload.title,
        related=(("the call is declared here", call.place),),
        confidence=_confidence(mesh, proxy, policies),
    )


def _waits_for_token(mesh: Mesh, proxy: Proxy, request: Request) -> bool:
    """May the client carry a token that lets it in? The call does not say."""
    return mesh.jwt.requires(proxy, request).is_(Requirement.REQUIRED)


# -- common -----------------------------------------------------------------------------------------------


def _implied(mesh: Mesh, because: Iterable[Place]) -> tuple[Policy, ...]:
    """The ALLOW policies none of whose rules matched; () if something else decided."""
    policies = [_policy_at(mesh, place) for place in because]
    if not policies or not all(p is not None and p.action is Action.ALLOW for p in policies):
        return ()
    return tuple(p for p in policies if p is not None)


def _policy_at(mesh: Mesh, place: Place) -> Policy | None:
    resource = place.resource
    return mesh.authz.policy(resource) if resource.kind == "AuthorizationPolicy" else None


def _confidence(mesh: Mesh, proxy: Proxy, policies: tuple[Policy, ...]) -> str | None:
    """An ALLOW policy that is not in the input would open what these keep closed (5.11)."""
    evidence = mesh.jwt.evidence(proxy.namespace or mesh.config.root)
    if evidence is Evidence.CLOSED:
        return None
    own = mesh.scope.evidence("security.istio.io", "AuthorizationPolicy", policies[0].namespace)
    tokens = any(p.request_identity for policy in policies for r in policy.rules for p in r.predicates)
    if own is Evidence.OPEN or not all(p.rules for p in policies):
        return "low"
    return "low" if tokens and not mesh.authn.rules_of(proxy) else "medium"


def _draft(several: list[_Locked]) -> Draft:
    first = several[0]
    policy = first.policies[0]
    others = [p for p in first.policies[1:] if p.resource.key != policy.resource.key]
    whom = dict.fromkeys(locked.what for locked in several)
    more = f", and {len(whom) - 1} more" if len(whom) > 1 else ""
    if first.admitted:
        effect = f"it lets through only {', '.join(first.admitted)}"
    elif not others:
        effect = "it has no rule that lets them in"
    else:
        effect = (
            f"neither it nor {len(others)} other ALLOW {'policies' if others[1:] else 'policy'} lets them in"
        )
    related = [pair for locked in several[:3] for pair in locked.related]
    related += [("does not let them in either", p.place) for p in others[:2]]
    distinct = {id(place.node): (label, place) for label, place in related}
    return Draft(
        _deciding(policy, first.request),
        f"{policy.resource.title} locks out {next(iter(whom))}{more}: at {first.where} {effect}",
        label="an ALLOW policy denies what none of its rules matches",
        help="add a rule for this traffic to an ALLOW policy for these pods, or narrow the selector of this "
        "one to the pods that it is meant for",
        related=tuple(distinct.values()),
        confidence=first.confidence,
    )


def _deciding(policy: Policy, request: Request) -> Place:
    """The field that keeps the request out, where the policy has one rule; else its rules."""
    if len(policy.rules) != 1:
        if not policy.rules:
            return policy.place
        return policy.resource.place_at("spec", "rules", part="key")
    rule = policy.rules[0]
    for predicate in rule.predicates:
        if not _alone_matches(policy, rule, predicate, request):
            node = predicate.key
            if not isinstance(node, Scalar):
                node = node.dig("key") or node
            return policy.resource.place(node)
    return policy.resource.place(rule.node)


def _alone_matches(policy: Policy, rule: Rule, predicate: Predicate, request: Request) -> bool:
    """Would the rule match if the predicate were all that it says?"""
    alone = Rule(rule.node, None, (Clause((predicate,), rule.node),), ())
    return rule_matches(alone, request, policy) is not False
