"""Do the ports of Services say which protocol they speak? (spec schemas 3.3 istioctl 5 to 7, IST0118)"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshlint.checks.admission.blocks import Block, spec
from meshlint.checks.admission.grammar import PROTOCOLS
from meshlint.findings import Draft
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.registry import Service

Options = Mapping[str, Any]

_KUBERNETES: Final = frozenset({"kubernetes.io/h2c", "kubernetes.io/ws", "kubernetes.io/wss"})
#: ports whose protocol nobody guesses
_KNOWN_PORTS: Final = frozenset({25, 53, 3306, 27017})
_MANAGED: Final = "gateway.istio.io/managed"


def check(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for service in mesh.registry.services:
        resource = service.resource
        if resource.kind != "Service" or not _concerns(mesh, service):
            continue
        block = spec(resource)
        for port in block.blocks("ports") if block is not None else ():
            yield from _port(port)


def _concerns(mesh: Mesh, service: Service) -> bool:
    """Is there a proxy that has to know the protocol?"""
    if service.namespace in (mesh.config.root, "kube-system") or _MANAGED in service.resource.labels:
        return False
    return any(mesh.data_planes.in_mesh(workload) for workload in mesh.registry.workloads_of(service))


def _port(port: Block) -> Iterator[Draft]:
    if (port.text("protocol") or "TCP").upper() == "UDP" or port.number("port") in _KNOWN_PORTS:
        return
    name = "appProtocol" if port.node.get("appProtocol") is not None else "name"
    text = port.text(name)
    if text is None and name in port.node.index:
        return
    if text and (says_protocol(text) if name == "name" else _is_protocol(text)):
        return
    what = f"whose {name} {text} names no protocol" if text else "without name and appProtocol"
    advice = "set appProtocol, or let the name begin with the protocol: http-web, grpc, tcp-cache"
    yield Draft(
        port.place(name) if text else port.place("port"),
        f"{port.resource.title} has a port {what}; the proxy has to guess it from the traffic",
        label="no protocol that Istio knows",
        help=advice,
    )


def says_protocol(name: str) -> bool:
    """Does the name of a port begin with a protocol?"""
    lower = name.lower()
    return lower.startswith("grpc-web") or lower.partition("-")[0] in PROTOCOLS


def _is_protocol(text: str) -> bool:
    return text.lower() in PROTOCOLS or text in _KUBERNETES
