"""Checks of the family authz about whom and what policies name, and where they are enforced at all.

Catalogue: spec traffic 8.3; reasoning: security 2.4, 5.4, 5.6 and 5.9. Breadth and logic are in `authz`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshlint.findings import Draft
from meshlint.mesh.attachment import Reference, references_of, selector_of
from meshlint.mesh.authz import Action, Policy, Predicate
from meshlint.mesh.dataplane import DataPlane
from meshlint.mesh.facts import Fact
from meshlint.mesh.identities import never_a_principal
from meshlint.mesh.labels import MODE, USE_WAYPOINT
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.scope import GATEWAY_API, Evidence
from meshlint.mesh.selection import nothing_selected
from meshlint.mesh.workloads import Workload
from meshlint.resources import Resource
from meshlint.source.nodes import Scalar, string_map
from meshlint.source.templates import is_placeholder

Options = Mapping[str, Any]


# -- authz-unknown-principal -----------------------------------------------------------------------


def unknown_principal(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """Principals, namespaces and service accounts that no caller has."""
    for policy in mesh.authz.policies:
        for rule in policy.rules:
            for predicate in rule.predicates:
                if predicate.field == "principals":
                    for value in (*predicate.values, *predicate.nots):
                        yield from _principal(mesh, policy, value, positive=value in predicate.values)
                elif predicate.field == "namespaces":
                    yield from _namespaces(mesh, policy, predicate)
                elif predicate.field == "serviceAccounts":
                    for value in (*predicate.values, *predicate.nots):
                        yield from _account(mesh, policy, value)


def _principal(mesh: Mesh, policy: Policy, value: Scalar, *, positive: bool) -> Iterator[Draft]:
    text = value.text
    why = never_a_principal(text)
    if why:
        foreign = "*" not in text and text.find("/ns/") > 0
        yield Draft(
            policy.resource.place(value),
            f"{policy.resource.title} names the principal {text}, which {why}: it matches nobody",
            label="matches nobody",
            help=f"write {text.removeprefix('spiffe://')}"
            if text.startswith("spiffe://")
            else "write <trust domain>/ns/<namespace>/sa/<service account>, or a star at one end",
            equivalents=(("KIA0108",) if foreign else ("KIA0106",)) if positive else (),
            severity="error" if positive else None,
        )
    elif "*" not in text and not is_placeholder(text):
        yield from _whole_principal(mesh, policy, value, positive=positive)


def _whole_principal(mesh: Mesh, policy: Policy, value: Scalar, *, positive: bool) -> Iterator[Draft]:
    domain, _, namespace, _, account = value.text.split("/")
    foreign = mesh.identities.trust_domain_foreign(domain)
    if foreign is not None:
        own = mesh.config.trust_domain.or_else("cluster.local")
        yield Draft(
            policy.resource.place(value),
            f"{policy.resource.title} names a principal of the trust domain {domain}, and that of the mesh "
            f"is {own}: no workload of this mesh has it",
            label="a trust domain of another mesh",
            help=f"use {own} or cluster.local, or list the domain in trustDomainAliases",
            equivalents=("KIA0108",) if positive else (),
            confidence="medium" if foreign == "high" else "low",
        )
        return
    missing = mesh.identities.namespace_missing(namespace)
    what = f"the namespace {namespace}"
    if missing is None:
        missing = mesh.identities.account_missing(namespace, account)
        what = f"the service account {namespace}/{account}"
    if missing is not None:
        codes = ("KIA0106",) if positive else ()
        yield _absent(policy, value, f"the principal {value.text}", what, missing, codes)


def _namespaces(mesh: Mesh, policy: Policy, predicate: Predicate) -> Iterator[Draft]:
    condition = not isinstance(predicate.key, Scalar)
    for value in (*predicate.values, *predicate.nots):
        missing = mesh.identities.namespace_missing(value.text)
        if missing is None:
            continue
        codes = ["KIA0101"] if value in predicate.values and not condition else []
        codes += [] if condition else ["IST0101"]
        what = "namespaces like it" if "*" in value.text else f"the namespace {value.text}"
        yield _absent(policy, value, f"callers of {value.text}", what, missing, tuple(codes))


def _account(mesh: Mesh, policy: Policy, value: Scalar) -> Iterator[Draft]:
    namespace, slash, account = value.text.rpartition("/")
    namespace = namespace if slash else policy.namespace
    missing = mesh.identities.namespace_missing(namespace)
    missing = missing or mesh.identities.account_missing(namespace, account)
    if missing is not None:
        what = f"the service account {namespace}/{account}"
        yield _absent(policy, value, f"the caller {value.text}", what, missing, ())


def _absent(
    policy: Policy, value: Scalar, named: str, what: str, confidence: str, codes: tuple[str, ...]
) -> Draft:
    return Draft(
        policy.resource.place(value),
        f"{policy.resource.title} names {named}, but {what} is not in the given files: it matches nobody",
        label="not found",
        help="correct the name, or remove the value",
        equivalents=codes,
        confidence=None if confidence == "high" else confidence,
    )


# -- authz-unknown-host, authz-hosts-without-port --------------------------------------------------


def unknown_host(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """Hosts written like services of the mesh that are none."""
    for policy, value in _hosts(mesh):
        found = _cluster_host(mesh, policy, value.text)
        if found is None:
            continue
        name, namespace, full = found
        registry = mesh.registry
        if registry.covering(full) or registry.covering(value.text) or mesh.routes.in_mesh(full):
            continue
        missing = mesh.existence.service_missing(namespace, name)
        if missing is not None:
            yield Draft(
                policy.resource.place(value),
                f"{policy.resource.title} is about requests for the host {value.text}, and {namespace} has "
                f"no service {name}: no caller sends that name",
                label="no such service",
                help="write the host as callers do, in each form that they use",
                equivalents=("KIA0104",) if value.text.count(".") < 2 else (),
                confidence=None if missing == "high" else missing,
            )


def _hosts(mesh: Mesh) -> Iterator[tuple[Policy, Scalar]]:
    for policy in mesh.authz.policies:
        for rule in policy.rules:
            for operation in rule.operations or ():
                for predicate in operation.predicates:
                    if predicate.field == "hosts":
                        for value in predicate.values:
                            yield policy, value


def _cluster_host(mesh: Mesh, policy: Policy, text: str) -> tuple[str, str, str] | None:
    """Name, namespace and full name of the Service that a host seems to mean; None for other hosts."""
    host = text.strip().partition(":")[0].lower()
    if not host or "*" in text or is_placeholder(text) or host == "localhost":
        return None
    domain = mesh.registry.domain
    parts = host.removesuffix(f".{domain}").removesuffix(".svc").split(".")
    if len(parts) > 2 or (len(parts) == 2 and parts[1] not in mesh.identities.namespaces):
        return None
    namespace = parts[1] if len(parts) == 2 else policy.namespace
    return parts[0], namespace, f"{parts[0]}.{namespace}.svc.{domain}"


def hosts_without_port(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """Exact hosts that a Host header with a port does not match."""
    for policy in mesh.authz.policies:
        if policy.action not in (Action.ALLOW, Action.DENY) or policy.dry_run:
            continue
        for rule in policy.rules:
            for operation in rule.operations or ():
                for predicate in operation.predicates:
                    if predicate.field == "hosts":
                        yield from _bare_hosts(policy, predicate)


def _bare_hosts(policy: Policy, predicate: Predicate) -> Iterator[Draft]:
    for values, negative in ((predicate.values, False), (predicate.nots, True)):
        open_ends = [v.text.lower()[:-1] for v in values if v.text.endswith("*")]
        for value in values:
            text = value.text.lower()
            if ":" in text or "*" in text or not text or is_placeholder(text):
                continue
            if any(f"{text}:".startswith(end) for end in open_ends):
                continue
            yield _bare(policy, value, escapes=(policy.action is Action.DENY) is not negative)


def _bare(policy: Policy, value: Scalar, *, escapes: bool) -> Draft:
    effect = (
        "a caller gets around it by writing the port"
        if escapes
        else "callers that write the port are not let in"
        if policy.action is Action.ALLOW
        else "callers that write the port are denied"
    )
    return Draft(
        policy.resource.place(value),
        f"{policy.resource.title} compares the whole Host header with {value.text}, which a header with a "
        f"port does not equal: {effect}",
        label="without a port",
        help=f'add "{value.text}:*" beside it',
        severity=None if escapes else "info",
    )


# -- authz-selector-no-match -----------------------------------------------------------------------


def selector_no_match(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """Policies that no pod of the mesh enforces."""
    for policy in mesh.authz.policies:
        resource, selector = policy.resource, selector_of(policy.resource)
        if references_of(resource):
            continue
        if not selector:
            yield from _empty_namespace(mesh, policy)
            continue
        root = resource.ns == mesh.config.root
        confidence = nothing_selected(mesh, selector, None if root else resource.ns)
        where = "the mesh" if root else resource.ns
        reason = f"which no pod of {where} has"
        if confidence is None:
            confidence = _all_outside(mesh, policy)
            reason = "and the pods that have them have no proxy"
        if confidence is not None:
            pairs = ", ".join(f"{key}={value}" for key, value in selector.items())
            yield Draft(
                resource.place_at("spec", "selector", "matchLabels"),
                f"{resource.title} selects {pairs}, {reason}: nobody enforces it",
                label="selects no pods of the mesh",
                help="correct the labels; they are compared with those of pod templates",
                equivalents=("IST0127",) if root else ("IST0127", "KIA0004"),
                confidence=None if confidence == "high" else confidence,
            )


def _all_outside(mesh: Mesh, policy: Policy) -> str | None:
    """How sure is it that none of the selected pods has a proxy?"""
    workloads = mesh.authz.attachments.workloads_of(policy.resource)
    planes = [mesh.data_planes.of(w) for w in workloads[:50]]
    if not planes or len(workloads) > len(planes) or not all(p.is_(DataPlane.NONE) for p in planes):
        return None
    return "medium" if all(p.certain for p in planes) else "low"


def _empty_namespace(mesh: Mesh, policy: Policy) -> Iterator[Draft]:
    resource = policy.resource
    if resource.ns == mesh.config.root or mesh.workloads.within(resource.ns):
        return
    if mesh.scope.evidence("", "Pod", resource.ns) is not Evidence.CLOSED:
        return
    if mesh.scope.within(GATEWAY_API, "Gateway", resource.ns) or mesh.existence.installed_into(resource.ns):
        return
    yield Draft(
        resource.place(),
        f"{resource.title} is for the pods of {resource.ns}, and there are none: nobody enforces it",
        label="a namespace without pods",
        help="move it to the namespace of the pods, or delete it",
        equivalents=("IST0127",),
    )


# -- authz-ambient-l7 ------------------------------------------------------------------------------

#: workloads that one finding names
_SHOWN: Final = 5
#: workloads whose labels are looked at for one finding
_LOOKED_AT: Final = 50
_L4: Final = frozenset({"principals", "namespaces", "serviceAccounts", "ipBlocks", "ports", "destination.ip"})


def ambient_l7(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """Rules about HTTP where ztunnel, which sees connections alone, is all that enforces them."""
    ambient = [w for w in mesh.workloads.all if mesh.data_planes.of(w).is_(DataPlane.AMBIENT)]
    by_namespace: dict[str, list[Workload]] = defaultdict(list)
    for workload in ambient:
        by_namespace[workload.namespace].append(workload)
    inside = {id(w) for w in ambient}
    for policy in mesh.authz.policies:
        if not policy.enforced or policy.action is None:
            continue
        if references_of(policy.resource):
            yield from _targets_without_waypoint(mesh, policy)
            continue
        if not selector_of(policy.resource):
            root = policy.namespace == mesh.config.root
            captured = ambient if root else by_namespace[policy.namespace]
        else:
            captured = _selected(mesh, policy, inside) if inside else []
        if captured or _pods_unseen(mesh, policy):
            yield from _at_ztunnel(mesh, policy, captured)


def _selected(mesh: Mesh, policy: Policy, inside: set[int]) -> list[Workload]:
    """The workloads in ambient mode that a policy selects."""
    return [w for w in mesh.authz.attachments.workloads_of(policy.resource) if id(w) in inside]


def _pods_unseen(mesh: Mesh, policy: Policy) -> bool:
    """Is a policy for pods of an ambient namespace that are not in the input?"""
    resource = policy.resource
    if resource.ns == mesh.config.root or not mesh.namespaces.label(resource.ns, MODE).is_("ambient"):
        return False
    selector = selector_of(resource)
    return not mesh.workloads.matching(selector or {}, resource.ns)


def _at_ztunnel(mesh: Mesh, policy: Policy, workloads: list[Workload]) -> Iterator[Draft]:
    """Without workloads it is the namespace that is in ambient mode."""
    resource = policy.resource
    if workloads:
        plane: Fact[Any] = mesh.data_planes.of(workloads[0])
        more = len(workloads) - 1
        whom = (
            f"{workloads[0].title} and {more} more, which are" if more else f"{workloads[0].title}, which is"
        )
    else:
        plane = mesh.namespaces.label(resource.ns, MODE).uncertain()
        whom = f"pods of {resource.ns}, which are"
    if policy.action in (Action.AUDIT, Action.CUSTOM):
        place, what = policy.place, f"has the action {policy.action.value}"
        effect = "ztunnel does nothing about it"
    else:
        predicate = next((p for r in policy.rules for p in r.predicates if p.field not in _L4), None)
        if predicate is None or predicate.field == "trustDomains":
            return
        place, what = policy.place_of(predicate), f"asks for {predicate.field}"
        effect = (
            "ztunnel drops the rule, so that it lets nobody in"
            if policy.action is Action.ALLOW
            else "ztunnel ignores that part, and a rule of nothing else denies nobody"
        )
    yield Draft(
        place,
        f"{resource.title} {what} and is for {whom} in ambient mode; {effect}",
        label="only a waypoint can do that",
        help="run a waypoint for the Service and attach the policy to it with targetRefs",
        related=(
            *(("in ambient mode by this", p) for p in plane.because[:1]),
            *(("for these pods", w.resource.place()) for w in workloads[:_SHOWN]),
        ),
        equivalents=_codes(mesh, policy, workloads),
        confidence=None if plane.certain else "medium",
    )


def _codes(mesh: Mesh, policy: Policy, workloads: list[Workload]) -> tuple[str, ...]:
    """Kiali looks at the namespace of the policy and at labels that enrol for a waypoint.

    It says KIA1317 at each workload, where here it is said once, at the policy.
    """
    namespace = policy.resource.ns
    near = [workload for workload in workloads[:_LOOKED_AT] if workload.namespace == namespace]
    if not _about_http(policy) or (workloads and not near):
        return ()
    inherited = mesh.namespaces.label(namespace, USE_WAYPOINT).or_else(None)
    enrolled = [w.labels.get(USE_WAYPOINT, inherited) for w in near] or [inherited]
    if all(waypoint and waypoint != "none" for waypoint in enrolled):
        return ("KIA0110",)
    return ("KIA0109", "KIA0110", "KIA1317") if near else ("KIA0109", "KIA0110")


def _targets_without_waypoint(mesh: Mesh, policy: Policy) -> Iterator[Draft]:
    for reference in references_of(policy.resource):
        if reference.kind != "Service" or reference.group not in ("", "core"):
            continue
        services = mesh.scope.find("", "Service", policy.namespace, reference.name)
        facts = [mesh.ambient.waypoint_of_service(service) for service in services]
        if not facts or not all(f.known and (f.value is None or f.value.broken) for f in facts):
            continue
        broken = facts[0].value.broken if facts[0].value is not None else ""
        codes = () if broken else _codes_of_target(mesh, policy, services[0])
        yield _unbound(policy, reference, services[0], broken, codes, certain=all(f.certain for f in facts))


def _codes_of_target(mesh: Mesh, policy: Policy, service: Resource) -> tuple[str, ...]:
    """Kiali looks at ambient namespaces alone, and also says it at the pods of the Service."""
    if not _about_http(policy) or not mesh.namespaces.label(policy.namespace, MODE).is_("ambient"):
        return ()
    selector = string_map(service.get("spec", "selector"))
    pods = mesh.workloads.matching(selector, service.ns) if selector else []
    inherited = mesh.namespaces.label(service.ns, USE_WAYPOINT).or_else(None)
    bare = [w for w in pods if w.labels.get(USE_WAYPOINT, inherited) in (None, "none")]
    captured = any(mesh.data_planes.of(workload).is_(DataPlane.AMBIENT) for workload in bare)
    return ("KIA0109", "KIA1317") if captured else ("KIA0109",)


def _unbound(
    policy: Policy,
    reference: Reference,
    service: Resource,
    broken: str,
    codes: tuple[str, ...],
    *,
    certain: bool,
) -> Draft:
    reason = f"whose waypoint does not serve it ({broken})" if broken else "which has no waypoint"
    return Draft(
        policy.resource.place_at("name", inside=reference.node),
        f"{policy.resource.title} is attached to {service.title}, {reason}: only a waypoint enforces a "
        "policy of a Service, so nobody does",
        label="no waypoint for this Service",
        help="set the label istio.io/use-waypoint on the Service or its namespace; for workloads with "
        "sidecars use a selector",
        related=(("this Service", service.place()),),
        equivalents=codes,
        confidence=None if certain else "medium",
    )


def _about_http(policy: Policy) -> bool:
    return any(p.http_only for rule in policy.rules for p in rule.predicates)
