"""Which servers of Istio Gateways are merged into the same proxies? (spec traffic 1.8, 5.11)

Istio merges the servers of all Gateways that select a pod. Gateways with the same selector always meet;
others where a pod of the input carries the labels of both; one with an empty selector meets them all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING

from meshlint.mesh.readers import apart, read_together
from meshlint.records import dataclass
from meshlint.source.nodes import Node, text_of

if TYPE_CHECKING:
    from meshlint.mesh.gateways import Gateway, Server
    from meshlint.mesh.mesh import Mesh
    from meshlint.resources import Place, Resource

_Selector = frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True, eq=False)
class Bound:
    """A server of a Gateway, with the address that it binds ('' for all).

    `item` is what is compared with other servers: a host, a Secret's name; its port where it is None.
    """

    gateway: Gateway
    server: Server
    bind: str
    item: Node | None = None

    def at(self, item: Node) -> Bound:
        return Bound(self.gateway, self.server, self.bind, item)

    @property
    def resource(self) -> Resource:
        return self.gateway.resource

    @property
    def place(self) -> Place:
        return self.resource.place(self.item or self.server.node.get("port") or self.server.node)

    @property
    def port(self) -> int:
        return self.server.port


class ServerGroups:
    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh

    @cached_property
    def all(self) -> list[list[Bound]]:
        """Groups of servers that share proxies. A server may be in several; its own selector's is first."""
        by_selector: dict[_Selector, list[Bound]] = defaultdict(list)
        for gateway in self.mesh.gateways.all:
            if gateway.api == "istio":
                selector = frozenset(gateway.selector.items())
                by_selector[selector] += (_bound(gateway, server) for server in gateway.servers)
        everywhere = by_selector.get(frozenset(), [])
        groups = [servers + (everywhere if key else []) for key, servers in by_selector.items()]
        return groups + [
            [bound for selector in selectors for bound in by_selector[selector]]
            for selectors in self._meeting(by_selector)
        ]

    def beside(self, server: Server) -> list[Bound]:
        """Servers of other Gateways on the same pods, with the same port and address."""
        mine = self._by_server.get(id(server))
        if mine is None:
            return []
        bound, groups = mine
        found = {
            id(other.server): other
            for group in groups
            for other in group
            if (other.port, other.bind) == (bound.port, bound.bind)
            if other.resource.key != bound.resource.key and not apart(other.resource, bound.resource)
        }
        return list(found.values())

    @cached_property
    def _by_server(self) -> dict[int, tuple[Bound, list[list[Bound]]]]:
        """Each server with the groups that it is in, divided by ports so that few are looked at."""
        index: dict[int, tuple[Bound, list[list[Bound]]]] = {}
        for group in self.all:
            ports: dict[int, list[Bound]] = defaultdict(list)
            for bound in group:
                ports[bound.port].append(bound)
            for bound in group:
                index.setdefault(id(bound.server), (bound, []))[1].append(ports[bound.port])
        return index

    def _meeting(self, selectors: Iterable[_Selector]) -> Iterator[frozenset[_Selector]]:
        """Sets of different selectors that select the same pods."""
        by_pod: dict[int, list[_Selector]] = defaultdict(list)
        for selector in selectors:
            for workload in self.mesh.workloads.matching(dict(selector)) if selector else ():
                by_pod[id(workload)].append(selector)
        yield from dict.fromkeys(frozenset(found) for found in by_pod.values() if len(found) > 1)


def rivals(bounds: Iterable[Bound]) -> Iterator[tuple[Bound, Bound]]:
    """Each server that has another one beside it, with the first of those.

    Versions of one object are no rivals; servers of one and the same object are.
    """
    said: set[int] = set()
    for group in read_together({id(bound): bound for bound in bounds}.values(), lambda bound: bound.resource):
        for bound, other in _pairs(group):
            if id(bound) not in said:
                said.add(id(bound))
                yield bound, other


def _pairs(listed: list[Bound]) -> Iterator[tuple[Bound, Bound]]:
    firsts: dict[tuple[str, str, str, str], Bound] = {}
    own: dict[int, Bound] = {}
    for bound in listed:
        if len(firsts) < 2:
            firsts.setdefault(bound.resource.key, bound)
        own.setdefault(id(bound.resource), bound)
    for bound in listed:
        key = bound.resource.key
        other = next((b for k, b in firsts.items() if k != key), None) or own[id(bound.resource)]
        if other is not bound:
            yield bound, other


def _bound(gateway: Gateway, server: Server) -> Bound:
    return Bound(gateway, server, text_of(server.node.get("bind")) or "")
