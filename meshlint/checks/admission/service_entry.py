"""Which ServiceEntries does Istio's validation refuse or warn about? (spec schemas 3.3, traffic 5.12)"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshlint.checks.admission import visibility
from meshlint.checks.admission.blocks import Block, once, refused, spec, warned
from meshlint.checks.admission.grammar import (
    HTTP,
    PROTOCOLS,
    TCP,
    TLS,
    UNIX,
    domain_problem,
    ip_problem,
    label_problem,
    protocol_problem,
    subnet_problem,
    wildcard_domain_problem,
)
from meshlint.checks.admission.selectors import label_keys
from meshlint.checks.admission.virtual_service_matches import labels as label_map
from meshlint.checks.admission.workload_entry import address_of
from meshlint.findings import Draft
from meshlint.mesh.labels import AUTO_ALLOCATE, USE_WAYPOINT
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.scope import ISTIO_NETWORKING
from meshlint.resources import Resource
from meshlint.source.templates import is_placeholder

Options = Mapping[str, Any]

_DNS: Final = ("DNS", "DNS_ROUND_ROBIN")
_DYNAMIC_PROTOCOLS: Final = frozenset({"http", "http2", "grpc", "tls"})


@once
def specs(mesh: Mesh) -> list[Block]:
    """The specs of all ServiceEntries."""
    found = [spec(resource) for resource in mesh.scope.of(ISTIO_NETWORKING, "ServiceEntry")]
    return [block for block in found if block is not None]


def resolution_of(block: Block) -> str | None:
    """How the hosts become addresses; None where a template decides."""
    return block.enum("resolution", "NONE")


def hosts(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for block in specs(mesh):
        resolution = resolution_of(block)
        for item, text in block.texts("hosts"):
            if text == "*":
                continue
            place = block.resource.place(item)
            if problem := wildcard_domain_problem(text):
                yield refused(
                    place,
                    f"has the host {text!r}, which {problem}",
                    problem,
                    "write a DNS name or a wildcard such as *.example.com; no scheme, no port",
                )
            elif text[:1] == "*" and text[1:2] != "." and resolution not in (None, "DYNAMIC_DNS"):
                yield warned(
                    place,
                    f"has the host {text}, a wildcard within a label, which proxies do not match",
                    "partial wildcard",
                    "write *. and the rest of the name",
                )


def addresses(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for block in specs(mesh):
        if "addresses" not in block.node.index:
            continue
        for item, text in block.texts("addresses"):
            if problem := subnet_problem(text):
                yield refused(
                    block.resource.place(item),
                    f"has the address {text!r}, which {problem}",
                    problem,
                    "write an IP address, or address/bits",
                )
        yield from _shared_address(block)


def _shared_address(block: Block) -> Iterator[Draft]:
    """Several names behind the same addresses: TCP cannot tell which one is meant."""
    if resolution_of(block) not in _DNS or not block.has("addresses") or len(list(block.texts("hosts"))) < 2:
        return
    for port in block.blocks("ports"):
        if (port.text("protocol") or "").lower() in TCP:
            yield warned(
                block.place("addresses", "key"),
                f"has several hosts, addresses and the {port.text('protocol')} port {port.text('number')}: "
                "connections to the addresses all go to one of the hosts",
                "one address for several hosts",
                "write a ServiceEntry for each host",
            )
            return


def ports(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for block in specs(mesh):
        numbers: set[int] = set()
        for port in block.blocks("ports"):
            yield from _port_number(port, numbers)
            name = port.text("name")
            if name is not None and (problem := label_problem(name)):
                yield refused(
                    port.place("name"),
                    f"has the port name {name!r}, which {problem}",
                    problem,
                    "use letters, digits and inner hyphens",
                )
            protocol = port.text("protocol") if "protocol" in port.node.index else None
            if protocol and (problem := protocol_problem(protocol)):
                yield refused(
                    port.place("protocol"),
                    f"has a port with the protocol {protocol!r}, which {problem}",
                    "unknown protocol",
                    "use one of HTTP, HTTPS, HTTP2, GRPC, GRPC-Web, TCP, TLS, UDP, MONGO, REDIS, MYSQL",
                )


def _port_number(port: Block, numbers: set[int]) -> Iterator[Draft]:
    number = port.number("number")
    if number in numbers:
        yield refused(
            port.place("number"),
            f"has port {number} twice",
            "there already",
            "list each number once",
        )
    if number is not None:
        numbers.add(number)


def tcp_address(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for block in specs(mesh):
        if not block.lacks("addresses"):
            continue
        why = _no_allocation(block, mesh.settings.istio_version)
        for port in block.blocks("ports") if why else ():
            protocol = "" if port.lacks("protocol") else port.text("protocol")
            if protocol is not None and protocol.upper() in ("", "TCP"):
                number = port.text("number")
                yield Draft(
                    port.place("protocol" if "protocol" in port.node.index else ""),
                    f"{block.resource.title} has the TCP port {number} and no addresses, and gets none by "
                    f"itself ({why}): it takes all connections to port {number} that nothing else is for",
                    label="TCP without address",
                    help="list the addresses, or say the protocol if it is TLS or HTTP",
                    equivalents=tuple(_peers(block.resource, protocol)),
                )


def _peers(resource: Resource, protocol: str) -> Iterator[str]:
    """Istio's webhook knows capitals only, and istioctl's analyzer takes an address in the status for one."""
    if protocol in ("", "TCP"):
        yield "IST0133"
    if not _allocated(resource):
        yield "IST0134"


def _no_allocation(block: Block, version: str) -> str:
    """Why the entry gets no address of its own; '' where it may get one."""
    if block.resource.labels.get(AUTO_ALLOCATE, "").lower() == "false":
        return "its label switches that off"
    if resolution_of(block) == "NONE":
        return "resolution is NONE"
    old = _before_1_25(version) and not _allocated(block.resource)
    return f"Istio {version} does not allocate any" if old else ""


def _allocated(resource: Resource) -> bool:
    """Does the status list addresses?"""
    return bool(resource.mappings("status", "addresses"))


def _before_1_25(version: str) -> bool:
    major, _, rest = version.lstrip("v").partition(".")
    minor = rest.partition(".")[0]
    return major == "1" and minor.isdecimal() and int(minor) < 25


def validation(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for block in specs(mesh):
        resolution = resolution_of(block)
        if resolution == "NONE":
            yield from _none(block)
        elif resolution in _DNS:
            yield from _dns(block, resolution)
        elif resolution == "DYNAMIC_DNS":
            yield from _dynamic_dns(block)
        if resolution not in (None, "NONE"):
            yield from _several_hosts(block)


def _none(block: Block) -> Iterator[Draft]:
    if block.block("workloadSelector") is not None:
        yield warned(
            block.place("workloadSelector", "key"),
            "has a workloadSelector, which does nothing with resolution NONE",
            "no effect with NONE",
            "set resolution: STATIC",
        )


def _dns(block: Block, resolution: str) -> Iterator[Draft]:
    if not block.lacks("endpoints"):
        return
    for item, text in block.texts("hosts"):
        if text.startswith("*") and text != "*" and not wildcard_domain_problem(text):
            yield refused(
                block.resource.place(item),
                f"wants {text} resolved by {resolution}, which knows no wildcards",
                "cannot be resolved",
                "list the names, give endpoints, or use resolution NONE or DYNAMIC_DNS",
            )


def _dynamic_dns(block: Block) -> Iterator[Draft]:
    for item, text in block.texts("hosts"):
        if not text.startswith("*"):
            yield refused(
                block.resource.place(item),
                f"has the host {text} with resolution DYNAMIC_DNS, which is for wildcards",
                "no wildcard",
                "use resolution: DNS for plain names",
            )
    for name in ("addresses", "endpoints"):
        if block.has(name):
            yield refused(
                block.place(name, "key"),
                f"has {name} with resolution DYNAMIC_DNS, which finds them by itself",
                "not with DYNAMIC_DNS",
                f"remove {name}",
            )
    for port in block.blocks("ports"):
        protocol = port.text("protocol") or ""
        if protocol.lower() in PROTOCOLS - _DYNAMIC_PROTOCOLS:
            yield refused(
                port.place("protocol"),
                f"has a port with the protocol {protocol} and resolution DYNAMIC_DNS",
                "not with DYNAMIC_DNS",
                "use HTTP, HTTP2, GRPC or TLS; HTTPS is TLS here",
            )
    waypoint = block.resource.labels.get(USE_WAYPOINT, "none")
    if block.text("location") == "MESH_INTERNAL" and waypoint not in ("", "none"):
        yield refused(
            block.place("location"),
            f"is MESH_INTERNAL with resolution DYNAMIC_DNS behind the waypoint {waypoint}",
            "not behind a waypoint",
            "set location: MESH_EXTERNAL",
        )


def _several_hosts(block: Block) -> Iterator[Draft]:
    listed = block.node.dig("hosts", 1)
    for port in block.blocks("ports") if listed is not None else ():
        protocol = "" if port.lacks("protocol") else port.text("protocol")
        if protocol is None or protocol.lower() in HTTP | TLS:
            continue
        yield refused(
            port.place("protocol" if "protocol" in port.node.index else ""),
            f"has several hosts and port {port.text('number')} with "
            f"{'the protocol ' + protocol if protocol else 'no protocol'}, where nothing tells them apart",
            "several hosts need names in the traffic",
            "write a ServiceEntry for each host, or say the protocol if it is HTTP or TLS",
        )


def endpoints(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for block in specs(mesh):
        resolution = resolution_of(block)
        if "endpoints" not in block.node.index or resolution not in ("STATIC", *_DNS):
            continue
        listed = block.blocks("ports")
        names = {port.text("name") for port in listed}
        for endpoint in block.blocks("endpoints"):
            yield from _endpoint(endpoint, resolution == "STATIC")
            yield from _port_names(endpoint, names)
            address = endpoint.text("address") or ""
            if resolution == "STATIC" and address.startswith(UNIX) and len(listed) != 1:
                yield refused(
                    endpoint.place("address"),
                    f"has an endpoint at a unix socket and {len(listed)} ports",
                    "a socket has one port",
                    "write a ServiceEntry with one port for each socket",
                )


def _endpoint(endpoint: Block, static: bool) -> Iterator[Draft]:
    address = endpoint.text("address") or ""
    if static:
        yield from address_of(endpoint, only_ip=True)
    elif address and ip_problem(address) and (problem := domain_problem(address)):
        yield refused(
            endpoint.place("address"),
            f"has an endpoint with the address {address!r}, which {problem}",
            problem,
            "write an IP address or a DNS name, without port",
        )
    if "labels" in endpoint.node.index:
        yield from label_map(endpoint, "labels", "has an endpoint with")


def _port_names(endpoint: Block, names: set[str | None]) -> Iterator[Draft]:
    ports = endpoint.block("ports") if "ports" in endpoint.node.index else None
    if ports is None or None in names:
        return
    for name, (key, _) in ports.node.index.items():
        if name not in names and not is_placeholder(name):
            yield refused(
                endpoint.resource.place(key),
                f"has an endpoint with the port {name}, which is not among its ports",
                "no such port",
                f"use a name from ports: {', '.join(sorted(n for n in names if n)) or 'there are none'}",
            )


def selector(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for block in specs(mesh):
        yield from label_keys(block, "workloadSelector", "labels")


def export_to(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for block in specs(mesh):
        yield from visibility.export_to(block, nobody=True)
