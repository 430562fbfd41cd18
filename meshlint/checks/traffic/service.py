"""Do the ports of Services say which protocol they speak, and do they agree? (spec traffic 1.7)"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshlint.checks.admission.blocks import Block, spec
from meshlint.checks.admission.grammar import PROTOCOLS
from meshlint.findings import Draft
from meshlint.mesh.dataplane import DataPlane
from meshlint.mesh.labels import MANAGED
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.namespaces import IGNORED_NAMESPACES
from meshlint.mesh.registry import HTTP_LIKE, SERVER_FIRST_PORTS, TLS_LIKE, Service, ServicePort
from meshlint.mesh.workloads import Workload
from meshlint.resources import Place
from meshlint.schema.compile import is_newer, numbers

Options = Mapping[str, Any]

_KUBERNETES: Final = frozenset({"kubernetes.io/h2c", "kubernetes.io/ws", "kubernetes.io/wss"})
#: ports whose protocol nobody guesses
_HTTP2: Final = ("grpc", "h2c", "http2")


# -- port-naming ----------------------------------------------------------------------------------


def port_naming(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for service in mesh.registry.services:
        if service.resource.kind != "Service":
            continue
        block = spec(service.resource)
        if block is None:
            continue
        if service.kind == "external-name":
            for port in block.blocks("ports"):
                yield from _alias_port(mesh, port)
        elif (confidence := _concerns(mesh, service)) is not None:
            for port in block.blocks("ports"):
                yield from _port(port, confidence)


def _alias_port(mesh: Mesh, port: Block) -> Iterator[Draft]:
    """A Service of type ExternalName: since 1.21 it is another name, and its ports mean nothing."""
    field, name = ("name", "tcp") if port.text("name") == "tcp" else _unclear(port) or ("", "")
    if not field:
        return
    version = mesh.settings.istio_version
    old = bool(version) and is_newer("1.21", numbers(version))
    effect = "the proxy takes all traffic of the port for it" if old else "since Istio 1.21 it has no meaning"
    what = f"named {name}" if name else "whose name says no protocol"
    yield Draft(
        port.place(field if name else "port"),
        f"{port.resource.title} is an ExternalName with a port {what}; {effect}",
        label="port of an ExternalName",
        help="let the name begin with another protocol than tcp, or drop the port",
        severity="warning" if old else None,
        confidence=None if old else "low",
        equivalents=("IST0150",),
    )


def _concerns(mesh: Mesh, service: Service) -> str | None:
    """Is there a proxy that has to know the protocol? The confidence: 'high', 'low' where no pods are in
    the input, None if there is none. Parts of Istio itself know their protocols.
    """
    labels = service.resource.labels
    platform = service.namespace == mesh.config.root or service.namespace in IGNORED_NAMESPACES
    if platform or MANAGED in labels or "istio" in labels:
        return None
    workloads = mesh.registry.workloads_of(service)
    if any(_has_proxy(mesh, workload) for workload in workloads):
        return "high"
    return "low" if mesh.suspicions and not workloads else None


def _has_proxy(mesh: Mesh, workload: Workload) -> bool:
    """Does a proxy stand before an application? Gateways are proxies whose listeners Gateways describe."""
    if not mesh.data_planes.in_mesh(workload):
        return False
    plane = mesh.data_planes.of(workload)
    return not plane.known or plane.value not in (DataPlane.GATEWAY, DataPlane.WAYPOINT)


def _port(port: Block, confidence: str) -> Iterator[Draft]:
    unclear = _unclear(port)
    if unclear is None:
        return
    name, text = unclear
    what = f"whose {name} {text} names no protocol" if text else "without name and appProtocol"
    who = "the proxy has" if confidence == "high" else "proxies of clients have"
    happens, severity = f"{who} to guess it from the traffic", None
    if text and any(part in text.lower() for part in _HTTP2):
        happens, severity = "gateways speak HTTP/1.1 to it, which gRPC and HTTP/2 servers refuse", "warning"
    yield Draft(
        port.place(name) if text else port.place("port"),
        f"{port.resource.title} has a port {what}; {happens}",
        label="no protocol that Istio knows",
        help="set appProtocol, or let the name begin with the protocol: http-web, grpc, tcp-cache",
        severity=severity,
        confidence=confidence,
        equivalents=("IST0118", "KIA0602" if name == "appProtocol" else "KIA0601"),
    )


def _unclear(port: Block) -> tuple[str, str] | None:
    """The field that has to say the protocol and its text, '' if it is not there; None where one is said."""
    if (port.text("protocol") or "TCP").upper() != "TCP" or port.number("port") in SERVER_FIRST_PORTS:
        return None
    field = "appProtocol" if port.node.get("appProtocol") is not None else "name"
    text = port.text(field)
    if text is None and field in port.node.index:
        return None
    if text and (says_protocol(text) if field == "name" else _is_protocol(text)):
        return None
    return field, text or ""


def says_protocol(name: str) -> bool:
    """Does the name of a port begin with a protocol?"""
    lower = name.lower()
    return lower.startswith("grpc-web") or lower.partition("-")[0] in PROTOCOLS


def _is_protocol(text: str) -> bool:
    lower = text.lower()
    return lower.startswith("grpc-web") or lower.partition("-")[0] in PROTOCOLS or text in _KUBERNETES


# -- service-conflicting-ports --------------------------------------------------------------------

_Entry = tuple[Service, ServicePort]


def conflicting_ports(mesh: Mesh, options: Options) -> Iterator[Draft]:
    said: set[tuple[int, int]] = set()
    judged: set[tuple[int, tuple[tuple[str, int], ...]]] = set()
    for workload in mesh.workloads.all:
        selecting = mesh.registry.services_of(workload)
        if len(selecting) < 1 or not _has_proxy(mesh, workload):
            continue
        alike = (id(selecting), tuple((port.name, port.number) for port in workload.ports))
        if alike in judged:  # the same Services lead to the same ports
            continue
        judged.add(alike)
        services = [service for service in selecting if service.resource.kind == "Service"]
        for number, entries in _by_target(mesh, services, workload).items():
            yield from _judge(workload, number, entries, said)


def _by_target(mesh: Mesh, services: list[Service], workload: Workload) -> dict[int, list[_Entry]]:
    """Ports of Services by the port of the pods that they lead to."""
    found: dict[int, list[_Entry]] = defaultdict(list)
    for service in services:
        for port in service.ports:
            target = mesh.registry.target_port(service, port, workload)
            if target.known and port.protocol not in ("UDP", "SCTP"):
                found[target.value].append((service, port))
    return found


def _judge(
    workload: Workload, number: int, entries: list[_Entry], said: set[tuple[int, int]]
) -> Iterator[Draft]:
    """Each entry that speaks another language than the first, or comes from another port number."""
    first, its = next(((s, p) for s, p in entries if p.protocol), entries[0])
    for service, port in entries:
        if port is its or (service is not first and service.resource.key == first.resource.key):
            continue
        key = (id(port.node), id(its.node))
        if key in said:
            continue
        if _language(port) and _language(its) and _language(port) != _language(its):
            said.add(key)
            yield _disagreement(workload, number, (service, port), (first, its))
        elif port.number != its.number:
            said.add(key)
            yield _other_number(workload, number, (service, port), (first, its))


def _language(port: ServicePort) -> str:
    """What the proxy of the pods makes of the port; '' where it sniffs."""
    if not port.protocol:
        return ""
    if port.protocol in HTTP_LIKE:
        return "http"
    return "tls" if port.protocol in TLS_LIKE else "tcp"


def _disagreement(workload: Workload, number: int, one: _Entry, other: _Entry) -> Draft:
    (service, port), (first, its) = one, other
    return Draft(
        service.resource.place_at("name" if not port.app_protocol else "appProtocol", inside=port.node),
        f"port {number} of {workload.title} is {its.protocol} for {_named(first, its)} and {port.protocol} "
        f"for {_named(service, port)}: its proxy knows one protocol for the port, and the other suffers",
        label=f"{port.protocol} here",
        help="let both say the same protocol, or lead them to different ports of the pods",
        related=((f"{its.protocol} here", _place(first, its)), ("the pods", workload.resource.place())),
        resource=workload.resource,
        equivalents=("IST0137",) if port.number != its.number else ("IST0116",),
    )


def _other_number(workload: Workload, number: int, one: _Entry, other: _Entry) -> Draft:
    (service, port), (first, its) = one, other
    return Draft(
        _place(service, port),
        f"port {number} of {workload.title} is port {its.number} for {_named(first, its)} and {port.number} "
        f"for {_named(service, port)}; proxies of old releases mixed the two up",
        label="another number for the same port",
        help="use one number, unless clients need both",
        related=(("the other number", _place(first, its)), ("the pods", workload.resource.place())),
        resource=workload.resource,
        severity="info",
        confidence="low",
        equivalents=("IST0137",),
    )


def _named(service: Service, port: ServicePort) -> str:
    return f"{service.resource.title}:{port.number}"


def _place(service: Service, port: ServicePort) -> Place:
    return service.resource.place_at("port", inside=port.node)
