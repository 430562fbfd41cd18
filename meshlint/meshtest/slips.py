"""Did a test mean another name? The nearest one of those that the manifests have."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any

from meshlint.mesh.kyma_gateway import KEY as KYMA
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.scope import ISTIO_NETWORKING
from meshlint.meshtest.compare import spellings
from meshlint.policy.names import closest
from meshlint.source.nodes import mappings, text_of


class Slips:
    """Names of the manifests, gathered when the first test asks for them."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self._known: dict[str, tuple[str, ...]] = {}
        self._nearest: dict[tuple[str, str], str | None] = {}

    def gateway(self, name: str) -> str | None:
        known = self._names("gateway", self._gateways)
        return None if name in known else self.near(name, "gateway", lambda: known)

    def called(self, host: str, namespace: str) -> str | None:
        """For a host that a client of a namespace calls."""
        return self.near(host, f"hosts {namespace}", lambda: self._written_in(namespace))

    def expected(self, entries: Iterable[dict[str, Any]], namespace: str) -> str:
        """About destinations in `expect` that no manifest has; '' where all of them exist."""
        for entry in entries:
            host, subset = entry["host"], entry.get("subset")
            registry = self.mesh.registry
            full = spellings(host, namespace, registry.domain)
            if host not in self._short and not self._hosts.intersection(full) and not registry.covering(host):
                return _no("host", host, self.called(host, namespace))
            if subset and subset not in self._subsets:
                return _no("subset", subset, self.near(subset, "subset", lambda: self._subsets))
        return ""

    def near(self, word: str, kind: str, names: Callable[[], Iterable[str]]) -> str | None:
        """The nearest name of a kind; `names` are gathered once for each kind."""
        key = (word, kind)
        if key not in self._nearest:
            self._nearest[key] = closest(word, self._names(kind, names))
        return self._nearest[key]

    def _names(self, kind: str, names: Callable[[], Iterable[str]]) -> tuple[str, ...]:
        known = self._known.get(kind)
        if known is None:
            known = self._known[kind] = tuple(dict.fromkeys(names()))
        return known

    def _gateways(self) -> Iterable[str]:
        yield from (f"{g.namespace}/{g.name}" for g in self.mesh.gateways.all)
        if self.mesh.config.kyma:
            yield KYMA

    def _written_in(self, namespace: str) -> Iterable[str]:
        """Hosts as an object or a client of a namespace may write them; without one, those of all."""
        yield from self._hosts
        for service in self.mesh.registry.services:
            if service.kind in ("service", "headless"):
                yield f"{service.name}.{service.namespace}"
                if namespace in ("", service.namespace):
                    yield service.name

    @cached_property
    def _short(self) -> frozenset[str]:
        """Names of Services of whatever namespace."""
        return frozenset(s.name for s in self.mesh.registry.services if s.kind in ("service", "headless"))

    @cached_property
    def _hosts(self) -> frozenset[str]:
        """Full names of services, and of what rules name."""
        found = {service.host for service in self.mesh.registry.services}
        for route in self.mesh.routes.all:
            found.update(d.host for d in (*route.destinations, *route.mirrors))
        return frozenset(found)

    @cached_property
    def _subsets(self) -> frozenset[str]:
        found = {d.subset for r in self.mesh.routes.all for d in (*r.destinations, *r.mirrors)}
        for rule in self.mesh.scope.of(ISTIO_NETWORKING, "DestinationRule"):
            found.update(text_of(subset.get("name")) for subset in mappings(rule.get("spec", "subsets")))
        return frozenset(name for name in found if name)


def _no(kind: str, name: str, near: str | None) -> str:
    return f"no {kind} {name!r} is in the manifests" + (f"; did you mean {near!r}?" if near else "")
