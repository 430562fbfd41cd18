"""Which clients send plain text because automatic mutual TLS is off, and who refuses it?

Spec security 3.5, kiali-validations KIA0204, KIA0401 and KIA0501. While enableAutoMtls is on, which is the
default, clients choose mutual TLS without any DestinationRule, and nothing here is reported.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshlint.checks.traffic.neighbours import together
from meshlint.findings import CONFIDENCES, Draft
from meshlint.mesh.client_tls import ClientMode, mode_of
from meshlint.mesh.dataplane import DataPlane
from meshlint.mesh.destination_rules import ELSEWHERE, DestinationRule, policies
from meshlint.mesh.labels import MODE
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.mtls import Level, Mode, PeerPolicy
from meshlint.mesh.registry import Service, ServicePort
from meshlint.mesh.scope import ISTIO_NETWORKING, Evidence
from meshlint.mesh.workloads import Workload
from meshlint.records import dataclass
from meshlint.resources import Place
from meshlint.source.nodes import mappings

Options = Mapping[str, Any]

_CODES: Final = {Level.MESH: ("KIA0401",), Level.NAMESPACE: ("KIA0501",)}
#: services of one rule that are looked at
_LOOKED_AT: Final = 50


# -- mtls-strict-without-dr -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Refused:
    """A port of a Service whose clients send plain text, and pods behind it that take mutual TLS only."""

    service: Service
    port: ServicePort
    workload: Workload
    rules: list[DestinationRule]


def strict_without_dr(mesh: Mesh, options: Options) -> Iterator[Draft]:
    auto = mesh.config.auto_mtls
    if not auto.is_(False):
        return
    refused = _refused(mesh)
    for policy in mesh.mtls.policies:
        if policy.invalid or policy.level is Level.IGNORED:
            continue
        for setting in policy.settings:
            calls = refused.get(id(setting.place.node), [])
            if setting.mode is Mode.STRICT and calls:
                yield _calls_fail(mesh, policy, setting.place, calls, auto.because)
        if policy.own.mode is Mode.STRICT and not mesh.mtls.selected(policy):
            yield from _by_name(mesh, policy, auto.because)


def _refused(mesh: Mesh) -> dict[int, list[_Refused]]:
    """Calls that fail, by the node of the mode that decides so."""
    found: dict[int, list[_Refused]] = defaultdict(list)
    for service in mesh.registry.services:
        if service.external:
            continue
        for port in service.ports:
            rules = _plain_to(mesh, service, port)
            if rules is None or (not rules and _absent(mesh, service.namespace) is None):
                continue
            for workload in mesh.registry.workloads_of(service):
                place = _strict(mesh, service, port, workload)
                if place is not None:
                    found[id(place.node)].append(_Refused(service, port, workload, rules))
                    break
    return found


def _plain_to(mesh: Mesh, service: Service, port: ServicePort) -> list[DestinationRule] | None:
    """The rules of clients that send plain text without having been told to; None if they do not.

    Rules that stand before one with mutual TLS are left to `mtls-dr-drops-mutual`.
    """
    client = service.namespace
    sends = mesh.client_tls.mode(client, service, port.number)
    if not sends.is_(ClientMode.PLAIN):
        return None
    rules = mesh.destination_rules.for_host(client, service)
    block = mesh.destination_rules.merged_block("tls", rules, port.number)
    if not block.is_(None):
        return None
    if any(_hidden(mesh, rule, client, service.host, service.namespace) for rule in rules):
        return None
    return rules


def _strict(mesh: Mesh, service: Service, port: ServicePort, workload: Workload) -> Place | None:
    """The value that makes the pods refuse plain text at the port."""
    target = mesh.registry.target_port(service, port, workload)
    if not target.known or mesh.data_planes.of(workload).is_(DataPlane.AMBIENT):
        return None
    mode = mesh.mtls.supposed(workload, target.value)
    return mode.because[0] if mode.is_(Mode.STRICT) and mode.because else None


def _calls_fail(
    mesh: Mesh, policy: PeerPolicy, place: Place, calls: list[_Refused], off: tuple[Place, ...]
) -> Draft:
    call = next((call for call in calls if call.rules), calls[0])
    more = f" (and {len(calls) - 1} more)" if len(calls) > 1 else ""
    known = mesh.data_planes.of(call.workload).known
    trust = "high" if known else "low" if policy.level is Level.MESH else "medium"
    rules = tuple(("has no tls", rule.resource.place_at("spec", "host")) for rule in call.rules[:1])
    return _strict_draft(
        policy,
        place,
        f"{call.workload.title} takes mutual TLS only at port {call.port.number} of "
        f"{call.service.resource.title}{more}, and no DestinationRule makes clients use it",
        (*rules, ("the server", call.workload.resource.place())),
        off,
        _weaker(trust, "high" if call.rules else _absent(mesh, call.service.namespace) or "low"),
    )


def _by_name(mesh: Mesh, policy: PeerPolicy, off: tuple[Place, ...]) -> Iterator[Draft]:
    """Namespaces and meshes whose pods are not in the input."""
    if policy.level is Level.WORKLOAD or _ambient(mesh, policy):
        return
    namespace, suffix = policy.resource.ns, f"svc.{mesh.config.domain_suffix}"
    mesh_wide = policy.level is Level.MESH
    host = f"*.{suffix}" if mesh_wide else f"*.{namespace}.{suffix}"
    rules = mesh.destination_rules.lookup(namespace, host, namespace)
    spoken = any(block.rule in rules for block in mesh.client_tls.blocks)
    sure = "high" if rules else _absent(mesh, namespace)
    if spoken or sure is None or _some_mutual(mesh, "" if mesh_wide else namespace):
        return
    whom = "the mesh" if mesh_wide else f"the namespace {namespace}"
    yield _strict_draft(
        policy,
        policy.own.place,
        f"the pods of {whom} take mutual TLS only, and no DestinationRule for {host} makes clients use it",
        tuple(("has no tls", rule.resource.place_at("spec", "host")) for rule in rules[:1]),
        off,
        _weaker("medium", sure),
    )


def _ambient(mesh: Mesh, policy: PeerPolicy) -> bool:
    """Are the pods, or may they be, reached through tunnels that need no DestinationRule?"""
    if policy.level is Level.MESH:
        return bool(mesh.config.ambient_evidence)
    namespace = policy.resource.ns
    return mesh.namespaces.known(namespace) and not mesh.namespaces.label(namespace, MODE).is_(None)


def _absent(mesh: Mesh, namespace: str) -> str | None:
    """How sure is it that clients of a namespace have no DestinationRule that is not in the input?

    Where the mesh is installed by the input, rules for the whole mesh would be here as well.
    """
    scope, settings = mesh.scope, mesh.settings
    if scope.some_may_exist("DestinationRule"):
        return None
    homes = {namespace, mesh.config.root}
    evidence = [scope.evidence(ISTIO_NETWORKING, "DestinationRule", home) for home in homes]
    if min(evidence) is Evidence.CLOSED:
        return "high"
    here = mesh.config.installed and not settings.remainder
    return "low" if here or max(evidence) is not Evidence.OPEN else None


def _some_mutual(mesh: Mesh, namespace: str) -> bool:
    """Does any rule make clients use mutual TLS, for the mesh or for a service of the namespace?"""
    suffix = f".{namespace}.svc.{mesh.config.domain_suffix}" if namespace else ""
    return any(
        block.client.is_(ClientMode.MTLS) and block.rule.host.endswith(suffix)
        for block in mesh.client_tls.blocks
    )


def _weaker(*confidences: str) -> str:
    return max(confidences, key=CONFIDENCES.index)


def _strict_draft(
    policy: PeerPolicy,
    place: Place,
    says: str,
    related: tuple[tuple[str, Place], ...],
    off: tuple[Place, ...],
    confidence: str | None,
) -> Draft:
    return Draft(
        place,
        f"{policy.resource.title}: {says} while automatic mutual TLS is off: they send plain text, and "
        "calls fail",
        label="plain text is refused here",
        help="turn enableAutoMtls on (the default), or set tls.mode ISTIO_MUTUAL in a DestinationRule",
        related=(*(("turns automatic mutual TLS off", at) for at in off[:1]), *related),
        confidence=confidence,
        equivalents=_CODES.get(policy.level, ()),
    )


# -- mtls-dr-drops-mutual -------------------------------------------------------------------------


def dr_drops_mutual(mesh: Mesh, options: Options) -> Iterator[Draft]:
    auto = mesh.config.auto_mtls
    if not auto.is_(False):
        return
    for rule in mesh.destination_rules.all:
        if _speaks_of_tls(rule):
            continue
        services = mesh.registry.within(rule.host)
        owner = services[0].namespace if services else _owner(mesh, rule.host)
        for client in (rule.namespace, ELSEWHERE):
            wide = _hidden(mesh, rule, client, rule.host, owner)
            if wide is not None and not _all_outside(mesh, services):
                yield _drops(mesh, rule, wide, client, services, auto.because)
                break


def _speaks_of_tls(rule: DestinationRule) -> bool:
    return any(
        policy.get("tls") is not None
        or any(entry.get("tls") is not None for entry in mappings(policy.get("portLevelSettings")))
        for _, policy in policies(rule)
    )


def _owner(mesh: Mesh, host: str) -> str:
    """The namespace in the name of a Service that is not in the input; '' for other hosts."""
    suffix = f".svc.{mesh.config.domain_suffix}"
    return host.removesuffix(suffix).rpartition(".")[2] if host.endswith(suffix) else ""


def _hidden(mesh: Mesh, rule: DestinationRule, client: str, host: str, owner: str) -> DestinationRule | None:
    """A rule for more hosts, with mutual TLS, that clients would use if this one without tls were not."""
    rules = mesh.destination_rules
    found = rules.lookup(client, host, owner, rule.selector or None)
    if rule not in found or any(map(_speaks_of_tls, found)):
        return None
    for other in rules.behind(rule, client, host, owner):
        tls = other.traffic_policy.get("tls") if other.traffic_policy is not None else None
        if other.wildcard and tls is not None and mode_of(tls).is_(ClientMode.MTLS):
            return other
    return None


def _all_outside(mesh: Mesh, services: list[Service]) -> bool:
    """Do all pods of the services take plain text, or encrypt without a DestinationRule?"""
    if not services:
        return False
    planes = [
        mesh.data_planes.of(workload)
        for service in services[:_LOOKED_AT]
        for workload in mesh.registry.workloads_of(service)
    ]
    external = all(service.external for service in services)
    return external or (bool(planes) and all(p.is_(DataPlane.NONE, DataPlane.AMBIENT) for p in planes))


def _drops(
    mesh: Mesh,
    rule: DestinationRule,
    wide: DestinationRule,
    client: str,
    services: list[Service],
    off: tuple[Place, ...],
) -> Draft:
    resource = rule.resource
    refusing = _refusing(mesh, services)
    who = "clients" if client == ELSEWHERE else f"clients in {client}"
    fails = f", which {refusing[0].title} refuses" if refusing else ""
    policy = resource.mapping("spec", "trafficPolicy")
    return Draft(
        resource.place_at("spec", "trafficPolicy", part="key")
        if policy is not None
        else resource.place_at("spec", "host"),
        f"{resource.title} has no tls and stands before {wide.resource.title}, whose ISTIO_MUTUAL is for "
        f"{wide.host}: while automatic mutual TLS is off, {who} send plain text to {rule.host}{fails}",
        label="without tls: plain text",
        help="repeat tls.mode ISTIO_MUTUAL in this rule: rules for wider hosts add nothing to it",
        related=(
            ("is not used for this host", wide.resource.place_at("spec", "trafficPolicy", "tls", "mode")),
            *(("turns automatic mutual TLS off", place) for place in off[:1]),
            *((("takes mutual TLS only", refusing[1]),) if refusing else ()),
        ),
        severity="error" if refusing else None,
        confidence=together(mesh, resource, wide.resource),
    )


def _refusing(mesh: Mesh, services: list[Service]) -> tuple[Workload, Place] | None:
    """The first pods of the services that take mutual TLS only, and why."""
    for service in services[:_LOOKED_AT]:
        for port in service.ports:
            for workload in mesh.registry.workloads_of(service):
                place = _strict(mesh, service, port, workload)
                if place is not None:
                    return workload, place
    return None
