"""Does what ServiceEntries declare fit TLS origination and each other? (spec traffic 5.12)

What the webhook refuses in one ServiceEntry is in `admission.service_entry`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from meshlint.checks.traffic.neighbours import same_namespace, together
from meshlint.findings import Draft
from meshlint.mesh.client_tls import TlsBlock
from meshlint.mesh.destination_rules import DestinationRule, block_of, port_entry
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.readers import apart
from meshlint.mesh.registry import HTTP_LIKE, TLS_LIKE, Service, ServicePort
from meshlint.mesh.routes import destination_port
from meshlint.mesh.scope import ISTIO_NETWORKING, Evidence
from meshlint.resources import Place
from meshlint.source.nodes import Mapping as YamlMapping
from meshlint.source.nodes import text_of, texts
from meshlint.source.templates import is_placeholder

Options = Mapping[str, Any]

_ORIGINATING = ("SIMPLE", "MUTUAL")
_HTTPS = 443


# -- se-double-tls --------------------------------------------------------------------------------


def double_tls(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for block in mesh.client_tls.blocks:
        if block.mode not in _ORIGINATING or block.rule.selector or block.subset is not None:
            continue
        found = _encrypted_port(mesh, block)
        if found is None:
            continue
        service, port = found
        yield Draft(
            block.place(),
            f"{block.title} starts TLS for {service.host}:{port.number}, whose protocol {port.protocol} says "
            "that the application does so already: what arrives is TLS inside of TLS",
            label="TLS a second time",
            help="let applications send plain HTTP to a port of protocol HTTP (with targetPort 443), or drop "
            "the tls block",
            related=((f"declared as {port.protocol}", _protocol(service, port)),),
            confidence=together(mesh, block.rule.resource, service.resource),
        )


def _encrypted_port(mesh: Mesh, block: TlsBlock) -> tuple[Service, ServicePort] | None:
    """A port of an external host that the block is for and that carries TLS of the application."""
    rule = block.rule
    services = mesh.registry.by_host(rule.host)
    for service in [*services, *mesh.registry.within(rule.host)] if rule.wildcard else services:
        if service.kind != "service-entry":
            continue
        for port in service.ports:
            if port.protocol in TLS_LIKE and _is_for(block, port) and not _of_the_proxy(mesh, service, port):
                return service, port
    return None


def _is_for(block: TlsBlock, port: ServicePort) -> bool:
    if block.port is not None:
        return block.port == port.number
    return port_entry(block.rule.traffic_policy, port.number) is None


def _of_the_proxy(mesh: Mesh, service: Service, port: ServicePort) -> bool:
    """Does a rule send plain requests there, or does a gateway? Then it is for those that TLS starts."""
    for route in mesh.routes.to_service(service):
        binding = route.binding
        gateway = binding.gateways or binding.unsure_gateways or binding.missing
        if route.protocol != "http" and not gateway:
            continue
        for destination in route.destinations:
            if any(s is service and _means(s, destination.port, port) for s in destination.services):
                return True
    return False


def _means(service: Service, number: int | None, port: ServicePort) -> bool:
    meant = destination_port(service, number)
    return meant is port or (number is None and meant is None)


def _protocol(service: Service, port: ServicePort) -> Place:
    return service.resource.place_at("protocol", inside=port.node)


# -- se-plaintext-443 -----------------------------------------------------------------------------


def plaintext_443(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for service in mesh.registry.services:
        if service.kind != "service-entry" or not service.external or is_placeholder(service.host):
            continue
        port = service.port(_HTTPS)
        if port is None or port.protocol not in HTTP_LIKE or port.target not in (None, _HTTPS):
            continue
        rules = mesh.destination_rules.covering(service.host)
        sure = _origination_missing(mesh, service, rules)
        if sure is None or _redirected(mesh, service):
            continue
        yield Draft(
            _protocol(service, port),
            f"{service.resource.title} declares {service.host}:443 as {port.protocol}, and no "
            "DestinationRule starts TLS for it: requests arrive there in plain text, and HTTPS of the "
            "application is not understood",
            label="plain text on the port of HTTPS",
            help="declare HTTPS or TLS if the application encrypts; else add a DestinationRule with tls mode "
            "SIMPLE",
            related=tuple(("no tls here", rule.resource.place()) for rule in rules[:1]),
            confidence=None if sure == "high" else sure,
        )


def _origination_missing(mesh: Mesh, service: Service, rules: list[DestinationRule]) -> str | None:
    """How sure is it that nothing starts TLS for the port? None: something does, or that is unknown."""
    for rule in rules:
        tls = block_of(rule, "tls", _HTTPS)
        if isinstance(tls, YamlMapping) and text_of(tls.get("mode")) not in ("DISABLE", None):
            return None
    evidence = mesh.scope.evidence(ISTIO_NETWORKING, "DestinationRule", service.namespace)
    if evidence is Evidence.CLOSED:
        return "high"
    if mesh.settings.remainder:
        return None
    if any(rule.namespace == service.namespace for rule in rules):
        return "medium"
    return "low" if evidence is Evidence.LIKELY else None


def _redirected(mesh: Mesh, service: Service) -> bool:
    """Do rules for the host in the mesh send its requests elsewhere?"""
    routes = mesh.routes.in_mesh(service.host)
    return bool(routes) and not any(
        other is service for route in routes for d in route.destinations for other in d.services
    )


# -- se-host-of-service ---------------------------------------------------------------------------


def host_of_service(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for entry in mesh.registry.services:
        if entry.kind != "service-entry" or not entry.host.endswith(f".svc.{mesh.registry.domain}"):
            continue
        for service in mesh.registry.by_host(entry.host):
            if service.kind == "service-entry" or service.namespace != entry.namespace:
                continue
            hosts = texts(entry.resource.get("spec", "hosts"))
            yield Draft(
                next(entry.resource.place(item) for item in hosts if item.text == entry.host),
                f"{entry.resource.title} declares {entry.host}, the host of {service.resource.title}: "
                "the Service wins, and ports and endpoints of the entry are not used for it",
                label="the host of a Service",
                help="drop the host, or choose another name for what the entry describes",
                related=(("the Service", service.resource.place()),),
                confidence=same_namespace(mesh, entry.resource, service.resource),
            )
            break


# -- se-port-conflict -----------------------------------------------------------------------------


def port_conflict(mesh: Mesh, options: Options) -> Iterator[Draft]:
    declared: dict[tuple[str, int], dict[tuple[int, int], tuple[Service, ServicePort]]] = defaultdict(dict)
    for service in mesh.registry.services:
        if service.kind == "service-entry" and not is_placeholder(service.host):
            for port in service.ports:
                key = (id(service.resource), id(port.node))
                declared[service.host, port.number].setdefault(key, (service, port))
    for found in declared.values():
        if len(found) > 1:
            yield from _conflicts(mesh, list(found.values()))


def _conflicts(mesh: Mesh, found: list[tuple[Service, ServicePort]]) -> Iterator[Draft]:
    """Each entry with the first of another object, of another protocol if there is one."""
    by_protocol: dict[str, dict[tuple[str, ...], tuple[Service, ServicePort]]] = defaultdict(dict)
    for service, port in found:
        by_protocol[_written(port)].setdefault(service.resource.key, (service, port))
    for service, port in found:
        other = _rival(service, [p for protocol, p in by_protocol.items() if protocol != _written(port)])
        if other is not None:
            yield _different(mesh, service, port, *other)
        elif other := _rival(service, [by_protocol[_written(port)]]):
            yield _again(mesh, service, port, *other)


def _rival(
    service: Service, groups: list[dict[tuple[str, ...], tuple[Service, ServicePort]]]
) -> tuple[Service, ServicePort] | None:
    for group in groups:
        for key, (other, port) in group.items():
            if key != service.resource.key and _share_clients(service, other):
                return other, port
    return None


def _share_clients(one: Service, other: Service) -> bool:
    """May a namespace see both?"""
    if apart(one.resource, other.resource):
        return False
    first, second = _seen_in(one), _seen_in(other)
    return first is None or second is None or bool(first & second)


def _seen_in(service: Service) -> set[str] | None:
    """Namespaces that see the entry; None: all of them."""
    export = service.export_to
    if export is None or "*" in export:
        return None
    return {service.namespace if name == "." else name for name in export if name != "~"}


def _different(mesh: Mesh, service: Service, port: ServicePort, other: Service, its: ServicePort) -> Draft:
    mine = port.protocol or "no protocol"
    return Draft(
        _protocol(service, port),
        f"{service.resource.title} declares {service.host}:{port.number} with {mine}, {other.resource.title} "
        f"with {its.protocol or 'no protocol'}: which of them proxies believe depends on the age of the two",
        label=f"elsewhere {its.protocol or 'no protocol'}",
        help="declare the host once, and export it to who needs it",
        related=(("declared differently", _protocol(other, its)),),
        confidence=together(mesh, service.resource, other.resource),
        equivalents=("IST0177", "KIA1212"),
    )


def _again(mesh: Mesh, service: Service, port: ServicePort, other: Service, its: ServicePort) -> Draft:
    same = service.namespace == other.namespace
    return Draft(
        service.resource.place_at("number", inside=port.node),
        f"{service.resource.title} declares {service.host}:{port.number}, and so does "
        f"{other.resource.title}: "
        + ("only the older one counts" if same else "each client uses one of the two"),
        label="declared twice",
        help="declare the host once, and export it to who needs it",
        related=(("declared here too", other.resource.place_at("number", inside=its.node)),),
        severity=None if same else "info",
        confidence=together(mesh, service.resource, other.resource) if same else "low",
        equivalents=("KIA1211",),
    )


def _written(port: ServicePort) -> str:
    return (text_of(port.node.get("protocol")) or "").upper()
