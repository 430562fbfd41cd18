"""Where do the rules of VirtualServices send requests and their copies, and for which clients?

Every destination that a VirtualService names, those of delegates included, once each, with the
proxies that use it (spec traffic 1.5, 1.6, 1.13). Backends of the Gateway API are not among them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING

from meshlint.mesh.destination_rules import ELSEWHERE
from meshlint.mesh.scope import ISTIO_NETWORKING
from meshlint.records import dataclass
from meshlint.source.nodes import Mapping, Node, Scalar, int_of, mappings, text_of, texts
from meshlint.source.templates import is_placeholder

if TYPE_CHECKING:
    from meshlint.mesh.existence import HostState
    from meshlint.mesh.gateways import Gateway
    from meshlint.mesh.mesh import Mesh
    from meshlint.mesh.registry import Service
    from meshlint.mesh.routes import Route
    from meshlint.resources import Place, Resource

PROTOCOLS = ("http", "tls", "tcp")


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """A destination that a rule names. `target` is the mapping with host, port and subset.

    `mirror` tells a copy; `share` is False where weight 0 keeps all requests away. `routes` are the
    rule with its bindings: several for a delegate's rule, none where Istio drops it.
    """

    resource: Resource
    rule: Mapping
    target: Mapping
    protocol: str
    mirror: bool
    share: bool
    host: str
    state: HostState
    port: int | None
    subset: str | None
    routes: tuple[Route, ...]

    def place(self, *path: str) -> Place:
        return self.resource.place_at(*path, inside=self.target)

    @property
    def mesh(self) -> bool:
        """Do clients inside of the mesh use it?"""
        return any(route.mesh for route in self.routes)

    @property
    def mesh_hosts(self) -> set[str]:
        return {host for route in self.routes for host in route.mesh_hosts}

    @property
    def gateways(self) -> dict[int, Gateway]:
        """Gateways that serve it, by identity."""
        return {id(gateway): gateway for route in self.routes for gateway in route.binding.gateways}

    @property
    def owners(self) -> set[str]:
        """Namespaces of the VirtualServices that bring it to the proxies."""
        return {(r.root.resource if r.root else r.resource).ns for r in self.routes} or {self.resource.ns}


class Destinations:
    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self._ports: dict[int, list[Service]] = {}

    @cached_property
    def all(self) -> list[Reference]:
        """In input order; those whose host is a placeholder are left out."""
        found: list[Reference] = []
        for resource in self.mesh.scope.of(ISTIO_NETWORKING, "VirtualService"):
            found.extend(self._of(resource))
        return found

    def clients(self, reference: Reference) -> tuple[set[str], set[str]]:
        """Namespaces of proxies that certainly use it, and of those that may.

        The second set counts only where the first is empty. Clients in the mesh are supposed where the
        VirtualService is, unless a waypoint may do their part.
        """
        in_mesh = reference.mesh and not self.behind_waypoint(reference.state.services)
        named = self._exported(reference)
        owners = reference.owners
        inside = owners if named is None else owners & named or named
        certain = set(inside) if in_mesh else set()
        possible = {*owners, ELSEWHERE} if named is None else set(named)
        for gateway in reference.gateways.values():
            pods = {workload.namespace for workload in self.mesh.gateways.workloads_of(gateway)}
            certain |= pods
            possible.add(gateway.namespace)
        return certain, possible

    def with_known_ports(self, reference: Reference) -> list[Service]:
        """The services of a destination, where all of their ports are written as numbers."""
        state = reference.state
        if id(state) not in self._ports:
            services = [s for s in state.services if s.kind != "external-name"] if state.found else []
            known = all(
                s.ports and len(s.ports) == len(s.resource.mappings("spec", "ports")) for s in services
            )
            self._ports[id(state)] = services if known else []
        return self._ports[id(state)]

    def _exported(self, reference: Reference) -> set[str] | None:
        """The namespaces that alone see the rule, where its VirtualServices name them."""
        found: set[str] = set()
        for route in reference.routes:
            owner = route.root.resource if route.root else route.resource
            names = {item.text for item in texts(owner.get("spec", "exportTo"))}
            if not names or "*" in names or any(is_placeholder(name) for name in names):
                return None
            found |= {owner.ns if name == "." else name for name in names}
        return found or None

    def behind_waypoint(self, services: Iterable[Service]) -> bool:
        """May a waypoint take the requests for one of the services, so that its rules count?"""
        ambient = self.mesh.ambient
        for service in services:
            waypoint = ambient.waypoint_of_service(service.resource)
            if not waypoint.known and self.mesh.config.ambient_evidence:
                return True
            if waypoint.known and waypoint.value is not None:
                return True
        return False

    def _of(self, resource: Resource) -> Iterator[Reference]:
        routes: dict[int, list[Route]] = defaultdict(list)
        for route in self.mesh.routes.of(resource):
            if route.bound:
                routes[id(route.node)].append(route)
        for protocol in PROTOCOLS:
            for rule in resource.mappings("spec", protocol):
                for target, mirror, share in _targets(rule):
                    yield from self._reference(
                        resource, rule, target, protocol, mirror, share, tuple(routes.get(id(rule), ()))
                    )

    def _reference(
        self,
        resource: Resource,
        rule: Mapping,
        target: Mapping,
        protocol: str,
        mirror: bool,
        share: bool,
        routes: tuple[Route, ...],
    ) -> Iterator[Reference]:
        host = text_of(target.get("host"))
        if not host or is_placeholder(host):
            return
        subset = text_of(target.get("subset"))
        yield Reference(
            resource, rule, target, protocol, mirror, share, host,
            self.mesh.existence.of(host, resource.ns),
            int_of(target.dig("port", "number")),
            None if is_placeholder(subset) else subset or None,
            routes,
        )  # fmt: skip


def _targets(rule: Mapping) -> Iterator[tuple[Mapping, bool, bool]]:
    """Destinations of a rule: the mapping, whether it gets copies, whether it gets anything."""
    entries = mappings(rule.get("route"))
    for entry in entries:
        target = entry.get("destination")
        if isinstance(target, Mapping):
            yield target, False, len(entries) < 2 or not _is_zero(entry.get("weight"))
    mirror = rule.get("mirror")
    if isinstance(mirror, Mapping):
        yield mirror, True, True
    for entry in mappings(rule.get("mirrors")):
        target = entry.get("destination")
        if isinstance(target, Mapping):
            yield target, True, True


def _is_zero(weight: Node | None) -> bool:
    return weight is None or (isinstance(weight, Scalar) and int_of(weight) == 0)
