"""Which services do workloads say that they call? (spec security 3.6)

Addresses stand in environment variables, commands and arguments. A word counts as a host where a scheme,
a port or the domain of Services tells so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Final

from meshlint.records import dataclass
from meshlint.source.nodes import Scalar, mappings, texts

if TYPE_CHECKING:
    from meshlint.mesh.mesh import Mesh
    from meshlint.mesh.registry import Service, ServicePort
    from meshlint.mesh.workloads import Workload
    from meshlint.resources import Place

_ADDRESS: Final = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+]*://(?:[^/@\s]*@)?)?(?P<host>[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?)(?::(?P<port>\d{1,5}))?"
)
_PORTS: Final = {"http://": 80, "https://": 443}


@dataclass(frozen=True, slots=True, eq=False)
class DeclaredCall:
    """A pod of `client` is told to call a port of a service; `place` is where."""

    client: Workload
    service: Service
    port: ServicePort
    place: Place


class Clients:
    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self._calls: dict[int, list[DeclaredCall]] = {}

    @cached_property
    def all(self) -> list[DeclaredCall]:
        return [call for workload in self.mesh.workloads.all for call in self.of(workload)]

    def of(self, client: Workload) -> list[DeclaredCall]:
        """The calls of one workload: each port of a service once, all ports where none is named."""
        known = self._calls.get(id(client))
        if known is None:
            known = self._calls[id(client)] = list(self._of(client))
        return known

    def addresses(self, client: Workload) -> Iterator[tuple[str, Place]]:
        """Hosts of the addresses with a scheme that one workload is told, known or not."""
        for node in _addresses(client):
            for found in _ADDRESS.finditer(node.text):
                if found["scheme"]:
                    yield found["host"], client.resource.place(node)

    def _of(self, client: Workload) -> Iterator[DeclaredCall]:
        said: set[tuple[str, int]] = set()
        for node in _addresses(client):
            for host, port in _hosts_in(node.text):
                for service in self._named(host, client.namespace):
                    for entry in service.ports:
                        key = (service.host, entry.number)
                        if key not in said and port in (None, entry.number):
                            said.add(key)
                            yield DeclaredCall(client, service, entry, client.resource.place(node))

    def _named(self, host: str, namespace: str) -> tuple[Service, ...] | list[Service]:
        """DNS also knows ``name.namespace`` and ``name.namespace.svc``."""
        registry = self.mesh.registry
        found = registry.lookup(host, namespace)
        if found:
            return found
        name, _, rest = host.partition(".")
        home, _, tail = rest.partition(".")
        return registry.by_host(registry.resolve(name, home)) if home and tail in ("", "svc") else []


def _addresses(client: Workload) -> Iterator[Scalar]:
    """Values of environment variables and arguments of the pod."""
    for container in client.containers:
        for variable in mappings(container.get("env")):
            value = variable.get("value")
            if isinstance(value, Scalar):
                yield value
        for field in ("command", "args"):
            yield from texts(container.get(field))


def _hosts_in(text: str) -> Iterator[tuple[str, int | None]]:
    for found in _ADDRESS.finditer(text):
        host, port = found["host"], found["port"]
        if found["scheme"] or port or ".svc" in host:
            yield host, int(port) if port else _PORTS.get(found["scheme"] or "")
