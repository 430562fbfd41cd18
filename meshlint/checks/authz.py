"""Checks of the family authz (catalogue: spec traffic 8.3; reasoning: spec security 5)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from meshlint.findings import Draft
from meshlint.mesh.attachment import proxy_of, references_of, selector_of
from meshlint.mesh.authz import PLAIN, Action, Clause, Policy, Predicate, Request, Rule, rule_matches
from meshlint.mesh.dataplane import DataPlane
from meshlint.mesh.exposure import INGRESS_SELECTOR
from meshlint.mesh.facts import Fact
from meshlint.mesh.injection import TEMPLATES
from meshlint.mesh.labels import DRY_RUN
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.mtls import Mode
from meshlint.mesh.registry import HTTP_LIKE, TCP_LIKE
from meshlint.mesh.scope import ISTIO_SECURITY, Evidence
from meshlint.mesh.workloads import Workload
from meshlint.records import dataclass
from meshlint.resources import Place

# -- breadth -----------------------------------------------------------------------------------------


def allow_all(mesh: Mesh, options: Mapping[str, Any]) -> Iterator[Draft]:
    """An ALLOW rule that every request matches, so that no other ALLOW restricts anything."""
    for policy in mesh.authz.policies:
        if policy.action is not Action.ALLOW or not policy.enforced:
            continue
        for rule in policy.rules:
            width = _width(rule)
            if width:
                yield _allow_all(mesh, policy, rule, width)


def _allow_all(mesh: Mesh, policy: Policy, rule: Rule, width: str) -> Draft:
    anybody = width == "anybody"
    others = list(_neutralised(mesh, policy))
    effect = "no other ALLOW policy restricts anything there" if anybody else "the mesh is no boundary"
    return Draft(
        policy.resource.place(rule.node),
        f"{policy.resource.title} allows every request of {width}: {effect}",
        label=f"every request of {width} matches",
        help="name the sources and operations that are meant, or delete the policy if nothing else "
        "denies by default",
        related=tuple(("this ALLOW policy has no effect beside it", p.place) for p in others[:3])
        if anybody
        else (),
        severity=None if anybody else "warning",
        confidence="low" if _for_gateways(mesh, policy) else None,
    )


def _width(rule: Rule) -> str:
    """Whom a rule lets in if it restricts nothing else; '' if it does restrict something."""
    if rule.conditions or not _any_operation(rule.operations):
        return ""
    if rule.sources is None or any(_every_source(s) for s in rule.sources):
        return "anybody"
    return "anybody in the mesh" if any(_every_identity(s) for s in rule.sources) else ""


def _any_operation(operations: tuple[Clause, ...] | None) -> bool:
    if operations is None:
        return True
    wide = {"paths": ("*", "/*"), "methods": ("*",), "hosts": ("*",)}
    return any(
        bool(o.predicates) and all(_wide(p, wide.get(p.field, ())) for p in o.predicates) for o in operations
    )


def _every_source(source: Clause) -> bool:
    return bool(source.predicates) and all(
        p.field in ("ipBlocks", "remoteIpBlocks")
        and not p.nots
        and {"0.0.0.0/0", "::/0"} <= {v.text for v in p.values}
        for p in source.predicates
    )


def _every_identity(source: Clause) -> bool:
    return bool(source.predicates) and all(
        p.field in ("principals", "namespaces", "trustDomains") and _wide(p, ("*",))
        for p in source.predicates
    )


def _wide(predicate: Predicate, values: tuple[str, ...]) -> bool:
    return not predicate.nots and any(v.text in values for v in predicate.values)


def _neutralised(mesh: Mesh, policy: Policy) -> Iterator[Policy]:
    """Other ALLOW policies of the first workload that the policy selects."""
    for workload in mesh.authz.attachments.workloads_of(policy.resource)[:1]:
        for other in mesh.authz.enforced_at(proxy_of(workload)):
            different = other.resource.key != policy.resource.key
            if different and other.action is Action.ALLOW and other.rules:
                yield other


def _for_gateways(mesh: Mesh, policy: Policy) -> bool:
    """Does a policy attach to gateways alone, where a default deny needs such a rule?"""
    if references_of(policy.resource):
        return any(ref.kind == "Gateway" for ref in references_of(policy.resource))
    selector = selector_of(policy.resource) or {}
    if INGRESS_SELECTOR.items() <= selector.items():
        return True
    workloads = mesh.authz.attachments.workloads_of(policy.resource) if selector else []
    return bool(workloads) and all(mesh.data_planes.of(w).is_(DataPlane.GATEWAY) for w in workloads)


def default_deny(mesh: Mesh, options: Mapping[str, Any]) -> Iterator[Draft]:
    """A namespace whose new workloads are open to everybody, for nothing denies by default."""
    denying = {
        p.resource.ns
        for p in mesh.authz.policies
        if p.action is Action.ALLOW and p.enforced and not any(_width(rule) for rule in p.rules)
        and not selector_of(p.resource) and not references_of(p.resource)
    }  # fmt: skip
    root = mesh.config.root
    if root in denying:
        return
    for namespace, workload in _namespaces(mesh).items():
        if namespace in denying or namespace == root:
            continue
        confidence = _absence(mesh, namespace)
        if confidence is None:
            continue
        manifests = mesh.scope.find("", "Namespace", "", namespace)
        place = manifests[0].place() if manifests else workload.resource.place_at("metadata", "namespace")
        yield Draft(
            place,
            f"policy: the namespace {namespace} has no AuthorizationPolicy that denies by default",
            label="a workload without a policy of its own is open here",
            help="add an AuthorizationPolicy without selector and with an empty spec to the namespace, "
            f"or to {root} for the whole mesh",
            confidence=None if confidence == "high" else confidence,
        )


def _namespaces(mesh: Mesh) -> dict[str, Workload]:
    """The namespaces with workloads of the mesh, each with the first of them."""
    found: dict[str, Workload] = {}
    for workload in mesh.workloads.all:
        known = workload.namespace in found or workload.control_plane
        if not known and mesh.data_planes.of(workload).is_(DataPlane.SIDECAR, DataPlane.AMBIENT):
            found[workload.namespace] = workload
    return found


def _absence(mesh: Mesh, namespace: str) -> str | None:
    """What the absence of a policy for the namespace is worth."""
    own = mesh.scope.evidence(ISTIO_SECURITY, "AuthorizationPolicy", namespace)
    root = mesh.scope.evidence(ISTIO_SECURITY, "AuthorizationPolicy", mesh.config.root)
    if own is Evidence.CLOSED and root is Evidence.CLOSED:
        return "high"
    if own is Evidence.OPEN:
        return None
    return "low" if root is Evidence.OPEN else "medium"


# -- HTTP fields where there is no HTTP -----------------------------------------------------------------


def http_attr_on_tcp(mesh: Mesh, options: Mapping[str, Any]) -> Iterator[Draft]:
    """A rule with HTTP fields on a TCP port: ALLOW never matches there, DENY denies everything."""
    known: dict[Workload, dict[int, Place]] = {}
    for policy in mesh.authz.policies:
        if policy.action not in (Action.ALLOW, Action.DENY) or not policy.enforced:
            continue
        rules = [r for r in policy.rules if any(p.http_only for p in r.predicates)]
        workloads = mesh.authz.attachments.workloads_of(policy.resource) if rules else []
        for workload in workloads:
            if workload not in known:
                known[workload] = _opaque_ports(mesh, workload)
        places = [(w, port, at) for w in workloads for port, at in known[w].items()]
        for rule in rules if places else ():
            drafts = (d for w, port, at in places if (d := _on_tcp(mesh, policy, rule, w, port, at)))
            draft = next(drafts, None)
            if draft is not None:
                yield draft
                if policy.action is Action.ALLOW:
                    break


def _opaque_ports(mesh: Mesh, workload: Workload) -> dict[int, Place]:
    """Container ports that are declared as TCP and by nobody as HTTP, with the port that says so.

    What gateways speak is up to the servers of their Gateways: `https` may end there and be HTTP.
    """
    plane = mesh.data_planes.of(workload)
    router = plane.is_(DataPlane.GATEWAY) or "gateway" in workload.annotations.get(TEMPLATES, "")
    if router or mesh.data_planes.in_mesh(workload) is False:
        return {}
    opaque: dict[int, Place] = {}
    http = set()
    for service in mesh.registry.services_of(workload):
        for port in service.ports:
            target = mesh.registry.target_port(service, port, workload)
            if not target.known:
                continue
            if port.protocol in TCP_LIKE:
                opaque.setdefault(target.value, service.resource.place(port.node))
            elif port.protocol in HTTP_LIKE or not port.protocol:
                http.add(target.value)
    return {
        number: place
        for number, place in opaque.items()
        if number not in http and not mesh.data_planes.captures(workload, number).is_(False)
    }


def _on_tcp(
    mesh: Mesh, policy: Policy, rule: Rule, workload: Workload, port: int, declared: Place
) -> Draft | None:
    field = next(p for p in rule.predicates if p.http_only)
    related = ((f"port {port} is declared as TCP here", declared),)
    resource = policy.resource
    request = Request(port=port, http=False)
    if policy.action is Action.DENY:
        answer = rule_matches(rule, request, policy)
        if answer is False:
            return None
        return Draft(
            policy.place_of(field),
            f"{resource.title} denies by {_named(field)}, which does not exist on the TCP port {port} of "
            f"{workload.title}: the rule then denies {'everything' if answer else 'more than it says'} there",
            label="ignored on TCP, where the rest of the rule denies",
            help=f"limit the rule to HTTP ports with to.operation.ports, leaving out {port}",
            related=related,
        )
    aimed = _ports_named(rule)
    if (aimed and str(port) not in aimed) or _allowed_elsewhere(mesh, workload, request):
        return None
    return Draft(
        policy.place_of(field),
        f"{resource.title} allows by {_named(field)}, which does not exist on the TCP port {port} of "
        f"{workload.title}: the rule never matches there, and nothing else allows that port",
        label="a rule with this field is dropped on TCP",
        help="allow the TCP port in a rule of its own, by ports and source identities alone",
        related=related,
        confidence=None if aimed else "medium",
    )


def _ports_named(rule: Rule) -> set[str]:
    """The ports that every operation of a rule is limited to; empty if one is not."""
    named: set[str] = set()
    for operation in rule.operations or ():
        ports = [v.text for p in operation.predicates if p.field == "ports" for v in p.values]
        if not ports:
            return set()
        named.update(ports)
    return named


def _allowed_elsewhere(mesh: Mesh, workload: Workload, request: Request) -> bool:
    return any(
        rule_matches(rule, request, policy) is not False
        for policy in mesh.authz.enforced_at(proxy_of(workload))
        if policy.action is Action.ALLOW
        for rule in policy.rules
    )


def _named(predicate: Predicate) -> str:
    return predicate.field


# -- identities without mutual TLS -----------------------------------------------------------------------


def identity_needs_mtls(mesh: Mesh, options: Mapping[str, Any]) -> Iterator[Draft]:
    """A rule that tells callers by an identity which plain-text callers do not have."""
    known: dict[int, _PlainPorts] = {}
    for policy in mesh.authz.policies:
        if policy.action not in (Action.ALLOW, Action.DENY) or not policy.enforced:
            continue
        rules = [r for r in policy.rules if any(p.identity for p in r.predicates)]
        workloads = mesh.authz.attachments.workloads_of(policy.resource) if rules else []
        if workloads and id(workloads) not in known:
            known[id(workloads)] = _plain_ports(mesh, workloads)
        for rule in rules if workloads else ():
            draft = _first_bypass(policy, rule, known[id(workloads)])
            if draft is not None:
                yield draft


@dataclass(frozen=True, slots=True)
class _PlainPort:
    """A port that takes plain text; `order` is its place among the ports of the workloads."""

    workload: Workload
    port: int | None
    mode: Fact[Mode]
    order: int

    @property
    def rank(self) -> tuple[bool, int]:
        return not self.mode.certain, self.order


#: the first of some workloads, surest first, that takes plain text at a port ('': at any), by the port
#: and whether it takes nothing else
_PlainPorts = dict[tuple[str, bool], _PlainPort]


def _plain_ports(mesh: Mesh, workloads: list[Workload]) -> _PlainPorts:
    first: _PlainPorts = {}
    ports = ((w, port) for w in workloads for port in _numbers(w))
    for order, (workload, port) in enumerate(ports):
        mode = mesh.mtls.mode(workload, port)
        if not mode.is_(Mode.PERMISSIVE, Mode.DISABLE):
            continue
        found = _PlainPort(workload, port, mode, order)
        for name in ("",) if port is None else ("", str(port)):
            for only in (False, True) if mode.is_(Mode.DISABLE) else (False,):
                known = first.setdefault((name, only), found)
                if found.rank < known.rank:
                    first[name, only] = found
    return first


def _numbers(workload: Workload) -> list[int | None]:
    return [port.number for port in workload.ports] or [None]


def _first_bypass(policy: Policy, rule: Rule, ports: _PlainPorts) -> Draft | None:
    """The finding for the first workload, surest first, whose ports accept plain text."""
    field = _identity_that_fails(policy, rule)
    if field is None:
        return None
    only = policy.action is Action.ALLOW and bool(field.values)
    found = [ports[name, only] for name in _ports_named(rule) or {""} if (name, only) in ports]
    return _bypass(policy, field, min(found, key=lambda f: f.rank)) if found else None


def _identity_that_fails(policy: Policy, rule: Rule) -> Predicate | None:
    """The identity field by which a plain-text caller escapes a DENY or is let in by an ALLOW."""
    plain = rule_matches(rule, Request(peer=PLAIN), policy)
    if policy.action is Action.DENY:
        positive = (p for p in rule.predicates if p.identity and p.values)
        return next(positive, None) if plain is False else None
    negative = (p for p in rule.predicates if p.identity and p.nots and not p.values)
    if plain is not False:
        return next(negative, None)
    return next((p for p in rule.predicates if p.identity and p.values), None)


def _bypass(policy: Policy, field: Predicate, found: _PlainPort) -> Draft:
    workload, port, mode = found.workload, found.port, found.mode
    where = f"port {port} of {workload.title}" if port is not None else workload.title
    name = field.field
    if policy.action is Action.DENY:
        effect = (
            f"denies by {name}, but {where} accepts plain text: callers without mutual TLS are not denied"
        )
    elif field.values:
        effect = f"allows by {name}, but {where} does not speak mutual TLS: the rule never matches"
    else:
        effect = (
            f"allows all but some {name}, and {where} accepts plain text: callers without mutual TLS pass"
        )
    return Draft(
        policy.place_of(field),
        f"{policy.resource.title} {effect}",
        label="a plain-text caller has no identity",
        help="require mutual TLS for these ports with a PeerAuthentication of mode STRICT",
        related=tuple(("the mode of the port is decided here", p) for p in mode.because[:1]),
        confidence=None if mode.certain else "low",
    )


# -- external authorization -------------------------------------------------------------------------------


def custom_provider(mesh: Mesh, options: Mapping[str, Any]) -> Iterator[Draft]:
    """A CUSTOM policy whose authorizer the mesh does not have, or that uses fields it cannot use."""
    for policy in mesh.authz.policies:
        if policy.action is not Action.CUSTOM or policy.dry_run:
            continue
        resource = policy.resource
        if not policy.provider:
            yield Draft(
                resource.place_at("spec", "provider", part="key") if resource.get("spec", "provider")
                else policy.place,
                f"{resource.title} names no provider, which action CUSTOM needs",
                label="CUSTOM needs provider.name",
                help="name an external authorizer of meshConfig.extensionProviders",
            )  # fmt: skip
        elif mesh.authz.provider_known(policy) is False:
            yield _unknown_provider(mesh, policy)
        for rule in policy.rules:
            for predicate in rule.predicates:
                if predicate.identity or predicate.request_identity:
                    yield Draft(
                        policy.place_of(predicate),
                        f"{resource.title} uses {predicate.field}, which a CUSTOM policy must not use",
                        label="refused with action CUSTOM",
                        help="let the external authorizer look at identities, or use an ALLOW or DENY policy",
                    )


def _unknown_provider(mesh: Mesh, policy: Policy) -> Draft:
    providers = mesh.config.extension_providers
    kind = providers.value.get(policy.provider)
    what = f"is of the kind {kind}, which cannot authorize" if kind else "is not in the mesh configuration"
    known = [name for name, field in providers.value.items() if field.startswith("envoyExtAuthz")]
    return Draft(
        policy.resource.place_at("spec", "provider", "name"),
        f"{policy.resource.title}: the provider {policy.provider} {what}, so every request that the policy "
        "selects is denied",
        label="no such external authorizer",
        help=f"use one of {', '.join(known)}" if known
        else "add it to meshConfig.extensionProviders as envoyExtAuthzHttp or envoyExtAuthzGrpc",
        related=tuple(("the providers of the mesh", p) for p in providers.because[:1]),
    )  # fmt: skip


# -- policies that do not do what they look like -----------------------------------------------------------


def allow_nothing(mesh: Mesh, options: Mapping[str, Any]) -> Iterator[Draft]:
    """An ALLOW policy without rules beside others for the same pods, where it changes nothing."""
    for policy in mesh.authz.policies:
        resource = policy.resource
        if policy.action is not Action.ALLOW or not policy.enforced or policy.rules:
            continue
        if not selector_of(resource) or references_of(resource):
            continue
        for workload in mesh.authz.attachments.workloads_of(resource)[:20]:
            others = (
                p
                for p in mesh.authz.enforced_at(proxy_of(workload))
                if p.action is Action.ALLOW and p.rules and p.resource.key != resource.key
            )
            other = next(others, None)
            if other is not None:
                yield Draft(
                    policy.place,
                    f"{resource.title} allows nothing, but {other.resource.title} allows requests to the "
                    f"same pods ({workload.title}): what any policy allows is allowed, so this one changes "
                    "nothing",
                    label="allows nothing beside others that do",
                    help="delete it, or use action DENY for what must not get through",
                    related=(("allows requests there", other.place),),
                )
                break


def negative_only(mesh: Mesh, options: Mapping[str, Any]) -> Iterator[Draft]:
    """An ALLOW rule that only says whom it does not let in."""
    for policy in mesh.authz.policies:
        if policy.action is not Action.ALLOW or not policy.enforced:
            continue
        for rule in policy.rules:
            predicates = list(rule.predicates)
            if predicates and all(p.nots and not p.values for p in predicates):
                names = ", ".join(dict.fromkeys(p.field for p in predicates))
                yield Draft(
                    policy.place_of(predicates[0]),
                    f"policy: a rule of {policy.resource.title} allows everything but some {names}; whatever "
                    "nobody thought of is let in",
                    label="says only what is not allowed",
                    help="list what is allowed, or use action DENY for the exceptions",
                )


def dry_run_left(mesh: Mesh, options: Mapping[str, Any]) -> Iterator[Draft]:
    """A policy that only writes metrics of what it would do."""
    for policy in mesh.authz.policies:
        if not policy.dry_run or policy.action not in (Action.ALLOW, Action.DENY):
            continue
        deny = policy.action is Action.DENY
        effect = "denies nothing" if deny else "restricts nothing, not even what it does not allow"
        yield Draft(
            policy.resource.place_at("metadata", "annotations", DRY_RUN, part="pair"),
            f"{policy.resource.title} is a dry run: it {effect}",
            label="not enforced",
            help="remove the annotation once the metrics show what was expected",
        )


def scope_root(mesh: Mesh, options: Mapping[str, Any]) -> Iterator[Draft]:
    """A policy for all workloads of all namespaces that is no default deny."""
    for policy in mesh.authz.policies:
        resource = policy.resource
        if resource.ns != mesh.config.root or selector_of(resource) or references_of(resource):
            continue
        if not policy.enforced or (policy.action is Action.ALLOW and not policy.rules):
            continue
        says = {
            Action.ALLOW: "what it allows is allowed everywhere, and no namespace can take that back",
            Action.DENY: "what it denies is denied everywhere, and no namespace can allow it",
        }.get(policy.action or Action.AUDIT, "it concerns every workload")
        yield Draft(
            resource.place_at("metadata", "namespace", part="pair"),
            f"policy: {resource.title} has no selector and stands in the root namespace, so it is for the "
            f"whole mesh, gateways included: {says}",
            label="for every workload of the mesh",
            help="select the pods that are meant, or move it to their namespace",
        )
