"""Who is outside of the mesh, and who may call it? (spec traffic 5.12)"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshlint.findings import Draft
from meshlint.mesh.dataplane import DataPlane
from meshlint.mesh.existence import Presence
from meshlint.mesh.facts import Fact
from meshlint.mesh.hosts import is_ip
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.registry import TLS_LIKE, Service
from meshlint.mesh.workloads import Workload
from meshlint.resources import Place
from meshlint.source.templates import is_placeholder

Options = Mapping[str, Any]

_RESOLVED: Final = frozenset({"DNS", "DNS_ROUND_ROBIN", "DYNAMIC_DNS"})
#: ends of names that no public DNS knows
_PRIVATE: Final = frozenset(
    {"local", "internal", "global", "svc", "mesh", "lan", "corp", "home", "intranet", "test", "localhost"}
)
_RESERVED: Final = ("example.com", "example.org", "example.net")
#: hosts of addresses that name a vocabulary and are not called
_NAMES: Final = frozenset({"www.w3.org", "schemas.xmlsoap.org", "schemas.microsoft.com", "json-schema.org"})


# -- se-internal-external -------------------------------------------------------------------------


def internal(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """ServiceEntries that call a host of the public DNS a part of the mesh."""
    for service in mesh.registry.services:
        if service.kind != "service-entry" or service.external or service.selector:
            continue
        resource = service.resource
        if resource.text("spec", "resolution") not in _RESOLVED or resource.get("spec", "endpoints"):
            continue
        if resource.get("spec", "workloadSelector") is not None or not _public(mesh, service.host):
            continue
        sign = _own_tls(mesh, service)
        if sign is not None:
            yield Draft(
                resource.place_at("spec", "location", part="pair"),
                f"{resource.title} says that {service.host} is inside of the mesh, but it is a name of the "
                "public DNS and speaks TLS of its own: metrics and defaults take it for a service with a "
                "proxy",
                label="a host outside of the mesh",
                help="write location: MESH_EXTERNAL",
                related=(("not mTLS of the mesh", sign),),
            )


def _public(mesh: Mesh, host: str) -> bool:
    if "." not in host or is_placeholder(host) or is_ip(host):
        return False
    if host.endswith(f".{mesh.config.domain_suffix}"):
        return False
    return host.rpartition(".")[2] not in _PRIVATE


def _own_tls(mesh: Mesh, service: Service) -> Place | None:
    """What shows that the host has a certificate of its own: its ports, or a rule that starts TLS."""
    if service.ports and all(port.protocol in TLS_LIKE for port in service.ports):
        return service.resource.place_at("protocol", inside=service.ports[0].node)
    for block in mesh.client_tls.blocks:
        if block.mode in ("SIMPLE", "MUTUAL") and block.rule.host == service.host:
            return block.place()
    return None


# -- egress-undeclared-host -----------------------------------------------------------------------


def undeclared(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """Addresses that pods are given and that no ServiceEntry declares, under REGISTRY_ONLY."""
    if not mesh.suspicions:
        return
    for workload in mesh.workloads.all:
        said: set[str] = set()
        mode: Fact[str] | None = None
        for host, place in mesh.clients.addresses(workload):
            if host in said or not _missing(mesh, host, workload):
                continue
            said.add(host)
            mode = _mode(mesh, workload) if mode is None else mode
            if not mode.is_("REGISTRY_ONLY"):
                break
            yield _stopped(workload, host, place, mode)


def _missing(mesh: Mesh, host: str, workload: Workload) -> bool:
    if not _public(mesh, host) or host.endswith(_RESERVED) or host in _NAMES or mesh.registry.covering(host):
        return False
    return mesh.existence.of(host, workload.namespace).presence is Presence.MISSING


def _mode(mesh: Mesh, workload: Workload) -> Fact[str]:
    """What the sidecar of a workload does with hosts that it does not know."""
    if not mesh.data_planes.of(workload).is_(DataPlane.SIDECAR):
        return Fact.missing("there is no sidecar")
    sidecar = mesh.sidecars.of(workload)
    if not sidecar.known:
        return Fact.missing(sidecar.reason)
    if sidecar.value is not None and sidecar.value.mode:
        place = sidecar.value.resource.place_at("spec", "outboundTrafficPolicy", part="key")
        return Fact.of(sidecar.value.mode, place)
    setting = mesh.injection.config_of(workload).setting("outboundTrafficPolicy", "mode")
    return Fact.of(str(setting.value or ""), *setting.because) if setting.known else setting


def _stopped(workload: Workload, host: str, place: Place, mode: Fact[str]) -> Draft:
    return Draft(
        place,
        f"{workload.title} is given an address of {host}, which no ServiceEntry declares: under "
        "REGISTRY_ONLY its sidecar stops calls to it",
        label="not known to the mesh",
        help="declare the host in a ServiceEntry if the pods call it",
        related=tuple(("stops what is not declared", at) for at in mode.because[:1]),
    )
