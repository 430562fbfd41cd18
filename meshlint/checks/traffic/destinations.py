"""Do the hosts, ports and subsets that VirtualServices send requests to exist, for the proxies that use them?

Catalogue: spec traffic 8.5; procedures 1.1, 1.5, 1.6, 1.13 and 5.7. An absence is reported as certain
only where the input is complete.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from meshlint.findings import Draft
from meshlint.mesh.destination_rules import ELSEWHERE, DestinationRule
from meshlint.mesh.destinations import Reference
from meshlint.mesh.existence import HostState, Presence
from meshlint.mesh.hosts import is_wild
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.registry import Service
from meshlint.mesh.routes import server_hosts
from meshlint.mesh.scope import ISTIO_NETWORKING, Evidence
from meshlint.records import dataclass
from meshlint.resources import Place
from meshlint.source.nodes import text_of, texts
from meshlint.source.templates import is_placeholder

Options = Mapping[str, Any]

_GONE = "calls that are sent there fail with 503"
_LOST = "the copies are lost"


@dataclass(frozen=True, slots=True)
class _Problem:
    """What is wrong with a reference; `what` goes on after "sends requests to"."""

    place: Place
    what: str
    label: str
    help: str
    related: tuple[tuple[str, Place], ...] = ()
    confidence: str | None = None
    severity: str | None = None
    codes: tuple[str, ...] = ()
    effect: str = _GONE


def host_unqualified(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for reference in mesh.destinations.all:
        state = reference.state
        if state.presence is Presence.UNQUALIFIED:
            codes = _codes_of_missing(reference)
            if state.meant.startswith(state.full.rstrip(".") + ".") and state.full.count(".") < 3:
                codes = ("IST0101",)
            yield _draft(reference, _unqualified(state, reference.place("host"), codes))
    for rule in mesh.destination_rules.all:
        host = rule.resource.text("spec", "host") or ""
        state = mesh.existence.of(host, rule.namespace)
        if state.presence is Presence.UNQUALIFIED and not is_placeholder(host):
            yield Draft(
                rule.resource.place_at("spec", "host"),
                f"{rule.resource.title} is for the host {host}, which names no service: only names without "
                f"a dot are completed, so {state.meant} is not affected",
                label="not completed",
                help=f"write {state.meant}",
                related=_services(state),
                confidence=state.confidence,
                equivalents=("IST0174",),
            )
    yield from _unqualified_hosts(mesh)


def _unqualified(state: HostState, place: Place, codes: tuple[str, ...]) -> _Problem:
    return _Problem(
        place,
        f"{place.text}, which names no service: only names without a dot are completed, and {state.meant} "
        "is meant",
        label="not completed",
        help=f"write {state.meant}",
        related=_services(state),
        confidence=state.confidence,
        codes=codes,
    )


def _unqualified_hosts(mesh: Mesh) -> Iterator[Draft]:
    """Hosts that a VirtualService is for in the mesh: clients that use another name do not meet it."""
    for resource in mesh.scope.of(ISTIO_NETWORKING, "VirtualService"):
        routes = mesh.routes.of(resource)
        if not any(route.mesh and route.root is None for route in routes):
            continue
        for item in texts(resource.get("spec", "hosts")):
            if "." not in item.text or is_placeholder(item.text) or is_wild(item.text):
                continue
            state = mesh.existence.of(item.text, resource.ns)
            if state.presence is Presence.UNQUALIFIED and state.services:
                yield Draft(
                    resource.place(item),
                    f"{resource.title} is for the host {item.text}, which is not completed: clients that "
                    f"call {state.meant} under another of its names do not get these rules",
                    label="not completed",
                    help=f"write {state.meant}",
                    related=_services(state),
                    severity="warning",
                    confidence="medium",
                    equivalents=(),
                )


def destination_missing(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for reference in mesh.destinations.all:
        problem = None if reference.mirror else _host_missing(mesh, reference)
        if problem is not None:
            yield _draft(reference, problem)


def destination_not_exported(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for reference in mesh.destinations.all:
        problem = _hidden(mesh, reference)
        if problem is not None:
            yield _draft(reference, problem)


def destination_port(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for reference in mesh.destinations.all:
        problem = _port_missing(mesh, reference) if not reference.mirror else None
        problem = problem or _port_open(mesh, reference)
        if problem is not None:
            yield _draft(reference, problem)


def destination_external_name(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for reference in mesh.destinations.all:
        problem = _alias(mesh, reference)
        if problem is not None:
            yield _draft(reference, problem)
    for rule in mesh.destination_rules.all:
        services = mesh.registry.by_host(rule.host)
        if services and all(s.kind == "external-name" for s in services):
            yield Draft(
                rule.resource.place_at("spec", "host"),
                f"{rule.resource.title} is for {services[0].resource.title}, an ExternalName: that is only "
                f"an alias of {services[0].external_name}, so the rule applies to nothing",
                label="an alias has no policy of its own",
                help=f"write {services[0].external_name} as the host, which needs a Service or ServiceEntry",
                related=(("the alias", services[0].resource.place_at("spec", "externalName")),),
            )


def subset_missing(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for reference in mesh.destinations.all:
        problem = None if reference.mirror else _subset_missing(mesh, reference)
        if problem is not None:
            yield _draft(reference, problem)


def mirror_missing(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for reference in mesh.destinations.all:
        if not reference.mirror:
            continue
        problem = (
            _host_missing(mesh, reference)
            or _port_missing(mesh, reference)
            or _subset_missing(mesh, reference)
        )
        if problem is not None:
            yield _draft(reference, problem)


def mirror_self(mesh: Mesh, options: Options) -> Iterator[Draft]:
    mirrors = [reference for reference in mesh.destinations.all if reference.mirror]
    if not mirrors:
        return
    primaries: dict[int, list[Reference]] = {}
    for reference in mesh.destinations.all:
        if not reference.mirror and reference.share:
            primaries.setdefault(id(reference.rule), []).append(reference)
    for mirror in mirrors:
        for primary in primaries.get(id(mirror.rule), ()):
            if (mirror.state.full, mirror.subset) == (primary.state.full, primary.subset) and (
                _number(mirror) == _number(primary)
            ):
                yield Draft(
                    mirror.place("host"),
                    f"{mirror.resource.title} mirrors requests to {_shown(mirror)}, where they go anyway: "
                    "the service handles each of them twice",
                    label="the destination itself",
                    help="mirror to another subset or service, or remove the mirror",
                    related=(("the destination", primary.place("host")),),
                )
                break


def _number(reference: Reference) -> int | None:
    """The port, where it is the only one left out or written."""
    if reference.port is None and len(reference.state.services) == 1:
        ports = reference.state.services[0].ports
        return ports[0].number if len(ports) == 1 else None
    return reference.port


def _draft(reference: Reference, problem: _Problem) -> Draft:
    does = "mirrors requests" if reference.mirror else "sends requests"
    effect = _LOST if reference.mirror and problem.effect == _GONE else problem.effect
    severity = problem.severity
    if reference.mirror:
        severity = "warning" if severity is None else severity
    if not reference.share:
        severity, effect = "info", "it has weight 0, so nobody notices yet"
    return Draft(
        problem.place,
        f"{reference.resource.title} {does} to {problem.what}: {effect}",
        label=problem.label,
        help=problem.help,
        related=problem.related,
        confidence=problem.confidence,
        severity=severity,
        equivalents=problem.codes,
    )


def _shown(reference: Reference) -> str:
    return f"subset {reference.subset} of {reference.host}" if reference.subset else reference.host


def _codes_of_missing(reference: Reference) -> tuple[str, ...]:
    return ("IST0101",) if reference.mirror else ("IST0101", "KIA1101")


def _services(state: HostState) -> tuple[tuple[str, Place], ...]:
    return tuple(("the service", service.resource.place()) for service in state.services[:1])


def _host_missing(mesh: Mesh, reference: Reference) -> _Problem | None:
    state = reference.state
    if state.presence is Presence.WILDCARD:
        wildcard = state.services[0]
        return _Problem(
            reference.place("host"),
            f"{state.full}, which is only covered by {wildcard.host} of {wildcard.resource.title}; proxies "
            "have no cluster of that name",
            label="no host of its own",
            help=f"add {state.full} to the hosts of a ServiceEntry",
            related=(("a wildcard", wildcard.resource.place_at("spec", "hosts")),),
            confidence=state.confidence,
        )
    if state.presence is not Presence.MISSING:
        return None
    return _Problem(
        reference.place("host"),
        f"{reference.host}, and no Service or ServiceEntry with the host {state.full} is in the input",
        label="no such host",
        help=_advice(mesh, state),
        confidence=state.confidence,
        codes=_codes_of_missing(reference),
    )


def _advice(mesh: Mesh, state: HostState) -> str:
    suffix = f".svc.{mesh.registry.domain}"
    if not state.full.endswith(suffix):
        return "declare the host with a ServiceEntry"
    name, _, namespace = state.full[: -len(suffix)].partition(".")
    there = [service.name for service in mesh.scope.within("", "Service", namespace)]
    near = get_close_matches(name, there, 1, 0.75)
    if near:
        return f"is {near[0]} meant?"
    return f"add the Service, or write the full name if it is not in the namespace {namespace}"


def _hidden(mesh: Mesh, reference: Reference) -> _Problem | None:
    state = reference.state
    if not state.found or not state.services:
        return None
    registry = mesh.registry
    if all(service.export_to is None for service in state.services):
        return None
    certain, possible = mesh.destinations.clients(reference)
    blind = [c for c in sorted(certain) if not any(registry.visible(s, c) for s in state.services)]
    if not certain and not any(registry.visible(s, c) for s in state.services for c in possible):
        blind = sorted(reference.owners)
    if not blind:
        return None
    client = next((c for c in blind if mesh.workloads.within(c)), blind[0])
    service = state.services[0]
    path = ("spec", "exportTo") if service.kind == "service-entry" else ("metadata", "annotations")
    return _Problem(
        reference.place("host"),
        f"{reference.host}, which {service.resource.title} does not export to the namespace {client}",
        label=f"not exported to {client}",
        help=f"add {client} to the exportTo of the service",
        related=(("exported to others only", service.resource.place_at(*path)),),
        confidence=None if mesh.workloads.within(client) else "low",
        codes=_codes_of_missing(reference),
    )


def _port_missing(mesh: Mesh, reference: Reference) -> _Problem | None:
    services = mesh.destinations.with_known_ports(reference)
    if reference.port is None or not services:
        return None
    if any(service.port(reference.port) is not None for service in services):
        return None
    service = services[0]
    target = [port for s in services for port in s.ports if port.target == reference.port]
    numbers = ", ".join(str(port.number) for port in service.ports)
    return _Problem(
        reference.place("port", "number"),
        f"port {reference.port} of {reference.host}, and {service.resource.title} has only {numbers}",
        label="no such port of the service",
        help=f"write {target[0].number}: the port of the Service is meant, not that of the pods"
        if target
        else "write a port of the Service",
        related=(("its ports", service.resource.place_at("spec", "ports", part="key")),),
        confidence="low" if mesh.settings.remainder else None,
        codes=("IST0101",),
    )


def _port_open(mesh: Mesh, reference: Reference) -> _Problem | None:
    """A service with several ports and a destination that names none (spec traffic 1.6)."""
    services = mesh.destinations.with_known_ports(reference)
    if not services or reference.target.get("port") is not None or any(len(s.ports) < 2 for s in services):
        return None
    numbers = {port.number for service in services for port in service.ports}
    shown = ", ".join(str(port.number) for port in services[0].ports)
    found = _from_gateways(mesh, reference, numbers) or _from_mesh(mesh, reference, numbers)
    if found is None:
        return None
    severity, effect = found
    return _Problem(
        reference.place("host"),
        f"{reference.host} without a port, and {services[0].resource.title} has {shown}",
        label="which port?",
        help="write port.number",
        related=(("its ports", services[0].resource.place_at("spec", "ports", part="key")),),
        confidence="low" if mesh.settings.remainder else None,
        severity=severity,
        codes=("IST0112",),
        effect=effect,
    )


def _from_gateways(mesh: Mesh, reference: Reference, numbers: set[int]) -> tuple[str | None, str] | None:
    """What becomes of requests from gateways, whose port is taken instead."""
    listeners = {
        server.port
        for gateway in reference.gateways.values()
        for owner in reference.owners
        for server in gateway.servers
        if server.port and server_hosts(server, owner)
    }
    if absent := sorted(listeners - numbers):
        return None, f"the port of the gateway counts, and there is no {absent[0]}"
    if listeners:
        return "warning", "the port of the gateway counts, which exists by coincidence"
    if any(route.binding.missing or route.binding.unsure_gateways for route in reference.routes):
        return "warning", "the port of the gateway counts, whatever that is"
    return None


def _from_mesh(mesh: Mesh, reference: Reference, numbers: set[int]) -> tuple[str, str] | None:
    """What becomes of requests from the mesh, which keep the port that they were sent to."""
    others = reference.mesh_hosts - {reference.state.full}
    if not others:
        return None
    called = {port.number for host in others for s in mesh.registry.by_host(host) for port in s.ports}
    if absent := sorted(called - numbers):
        return "warning", f"requests keep the port that was called, and there is no {absent[0]}"
    if called:
        return "info", "requests keep the port that was called"
    return "warning", "requests keep the port that was called, whatever that is"


def _alias(mesh: Mesh, reference: Reference) -> _Problem | None:
    services = reference.state.services
    if not reference.state.found or not services or any(s.kind != "external-name" for s in services):
        return None
    state = _behind(mesh, services[0])
    if state is None or state.presence not in (Presence.MISSING, Presence.WILDCARD):
        return None
    return _Problem(
        reference.place("host"),
        f"{services[0].resource.title}, an alias of {state.full}, and no Service or ServiceEntry has "
        "that host",
        label="an alias of an unknown host",
        help=f"declare {state.full} with a ServiceEntry, and write it as the destination",
        related=(("the alias", services[0].resource.place_at("spec", "externalName")),),
        confidence=state.confidence,
    )


def _behind(mesh: Mesh, service: Service) -> HostState | None:
    """What an ExternalName leads to in the end; None for a loop."""
    seen: set[str] = set()
    while service.external_name not in seen and not is_placeholder(service.external_name):
        seen.add(service.external_name)
        state = mesh.existence.of(service.external_name, service.namespace)
        if not state.found or not state.services or state.services[0].kind != "external-name":
            return state
        service = state.services[0]
    return None


def _subset_missing(mesh: Mesh, reference: Reference) -> _Problem | None:
    state = reference.state
    if reference.subset is None or state.presence not in (Presence.FOUND, Presence.UNKNOWN):
        return None
    if any(service.kind == "external-name" for service in state.services):
        return None
    certain, possible = mesh.destinations.clients(reference)
    lacking = [
        c for c in sorted(certain) if not _has_subset(mesh, _rules(mesh, reference, c), reference.subset)
    ]
    if not certain and not any(
        _has_subset(mesh, _rules(mesh, reference, c), reference.subset) for c in possible
    ):
        lacking = sorted(reference.owners)
    return _no_subset(mesh, reference, lacking[0]) if lacking else None


def _no_subset(mesh: Mesh, reference: Reference, client: str) -> _Problem | None:
    rules = _rules(mesh, reference, client)
    confidence = _sure_of_rules(mesh, reference, client, rules)
    if confidence is None:
        return None
    owners = [
        rule for rule in mesh.destination_rules.by_host.get(reference.state.full, ()) if rule not in rules
    ]
    hidden = [rule for rule in owners if _has_subset(mesh, [rule], reference.subset or "")]
    what, help_ = _who_lacks(reference, client, rules, hidden)
    related = [("what applies", rule.resource.place_at("spec", "host")) for rule in rules[:1]]
    related += [
        ("has the subset", rule.resource.place_at("spec", "subsets", part="key")) for rule in hidden[:1]
    ]
    return _Problem(
        reference.place("subset"),
        f"subset {reference.subset} of {reference.host}, {what}",
        label="no such subset",
        help=help_,
        related=tuple(related),
        confidence=None if confidence == "high" else confidence,
        codes=_codes_of_subset(mesh, reference),
    )


def _who_lacks(
    reference: Reference, client: str, rules: list[DestinationRule], hidden: list[DestinationRule]
) -> tuple[str, str]:
    if hidden and rules:
        return (
            f"but clients in {client} use {rules[0].resource.title} for the host instead of "
            f"{hidden[0].resource.title}, which has it",
            f"define the subset in {rules[0].resource.title} too",
        )
    if hidden:
        return (
            f"but {hidden[0].resource.title}, which has it, is out of reach of clients in {client}",
            "put the DestinationRule into the namespace of the clients or of the service, and export it",
        )
    names = [text_of(subset.get("name")) or "" for rule in rules for subset in rule.subsets]
    if not rules:
        return "and no DestinationRule for that host is in the input", "define it in a DestinationRule"
    near = get_close_matches(reference.subset or "", names, 1, 0.6)
    has = f"has {', '.join(dict.fromkeys(names))}" if names else "has no subsets"
    return (
        f"which {rules[0].resource.title} does not define; it {has}",
        f"is {near[0]} meant?" if near else "define the subset, or use one that is",
    )


def _rules(mesh: Mesh, reference: Reference, client: str) -> list[DestinationRule]:
    """The rules that proxies of a namespace use for a destination."""
    namespaces = {service.namespace for service in reference.state.services} or {_namespace_in(reference)}
    found = []
    for namespace in sorted(namespaces):
        found += mesh.destination_rules.lookup(client, reference.state.full, namespace)
    return list(dict.fromkeys(found))


def _namespace_in(reference: Reference) -> str:
    parts = reference.state.full.split(".")
    return parts[1] if len(parts) > 2 and parts[2] == "svc" else ""


def _has_subset(mesh: Mesh, rules: Iterable[DestinationRule], name: str) -> bool:
    return any(mesh.destination_rules.declares(rule, name) for rule in rules)


def _sure_of_rules(mesh: Mesh, reference: Reference, client: str, rules: list[DestinationRule]) -> str | None:
    """How sure is it that no further DestinationRule defines the subset?"""
    namespaces = {client, *(r.namespace for r in rules)} - {ELSEWHERE}
    if not rules:
        namespaces |= {service.namespace for service in reference.state.services} or {
            _namespace_in(reference)
        }
    evidence = [mesh.scope.evidence(ISTIO_NETWORKING, "DestinationRule", n) for n in namespaces if n]
    if evidence and all(e is Evidence.CLOSED for e in evidence):
        return "high"
    if mesh.settings.remainder:
        return "low" if rules else None
    if rules:
        return "medium"
    return "low" if any(e is not Evidence.OPEN for e in evidence) else None


def _codes_of_subset(mesh: Mesh, reference: Reference) -> tuple[str, ...]:
    """The codes: istioctl looks for any rule with host and subset; Kiali counts wildcards too."""
    full, subset = reference.state.full, reference.subset or ""
    codes = []
    same = mesh.destination_rules.by_host.get(full, ())
    if not _has_subset(mesh, same, subset):
        codes.append("IST0101")
    if not reference.mirror and not any(
        _has_subset(mesh, [rule], subset) for rule in mesh.destination_rules.covering(full)
    ):
        codes.append("KIA1107")
    return tuple(codes)
