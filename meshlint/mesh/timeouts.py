"""How long may a request take on each route and to each service, and which line says so?

Istio has no default route timeout: a rule without one is unlimited (spec traffic 2.1 to 2.5).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from meshlint.mesh.facts import Fact
from meshlint.mesh.scope import ISTIO_NETWORKING
from meshlint.records import dataclass
from meshlint.resources import Place
from meshlint.source.durations import SECOND, gateway_duration, istio_duration, kyma_seconds
from meshlint.source.nodes import Mapping, Node, Sequence, string_map, text_of

if TYPE_CHECKING:
    from meshlint.mesh.mesh import Mesh
    from meshlint.mesh.registry import Service, ServicePort
    from meshlint.mesh.routes import Route
    from meshlint.resources import Resource

KYMA_DEFAULT: Final = 180 * SECOND
_ROUTE_PATCHES: Final = frozenset({"ROUTE_CONFIGURATION", "VIRTUAL_HOST", "HTTP_ROUTE"})
#: parts of the names of Envoy fields that decide how long a request may take or is repeated
_TIME_WORDS: Final = ("timeout", "retry", "retries", "duration", "route", "cluster")


@dataclass(frozen=True, slots=True)
class Timeout:
    """`limit` is in nanoseconds, None without a limit; `applies` is False where no HTTP is proxied."""

    limit: int | None = None
    per_try: int | None = None
    applies: bool = True

    @property
    def kind(self) -> str:
        """finite, disabled or n/a."""
        if not self.applies:
            return "n/a"
        return "disabled" if self.limit is None else "finite"


NOT_APPLICABLE: Final = Timeout(applies=False)
DISABLED: Final = Timeout()


class Timeouts:
    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.patches = _RoutePatches(mesh)
        self._known: dict[int, Fact[Timeout]] = {}

    def of(self, route: Route) -> Fact[Timeout]:
        """The timeout of a rule. Unknown: invalid, templated, or an EnvoyFilter touches it."""
        known = self._known.get(id(route))
        if known is None:
            known = self._known[id(route)] = self._effective(route)
        return known

    def of_service(self, service: Service, port: ServicePort) -> Iterator[tuple[str, Fact[Timeout]]]:
        """(context, timeout) of every way to the port of a service; context is mesh or gateway."""
        if port.opaque or service.kind == "external-name":
            yield "mesh", Fact.of(NOT_APPLICABLE, reason="carries no HTTP that a proxy reads")
            return
        yield from (("mesh", fact) for fact in self._in_mesh(service))
        for route in self.mesh.routes.to_service(service):
            if route.binding.gateways or route.binding.missing:
                yield "gateway", self.of(route)

    def coverage(self, service: Service, port: ServicePort) -> str:
        """finite, disabled, partial, unknown or n/a, over all ways to the port."""
        facts = [fact for _, fact in self.of_service(service, port)]
        kinds = {fact.value.kind for fact in facts if fact.known} - {"n/a"}
        if len(kinds) == 2:
            return "partial"
        if any(not fact.known for fact in facts):
            return "unknown"
        return kinds.pop() if kinds else "n/a"

    def _in_mesh(self, service: Service) -> Iterator[Fact[Timeout]]:
        routes = [r for r in self.mesh.routes.in_mesh(service.host) if r.protocol == "http"]
        yield from map(self.of, routes)
        if any(map(self.mesh.routes.reaches_everybody, routes)):
            return
        if self.mesh.settings.complete:
            yield Fact.of(DISABLED, service.resource.place(), reason="no route for the service")
        else:
            yield Fact.missing("routes for the service may exist outside of the input")

    def _effective(self, route: Route) -> Fact[Timeout]:
        place = route.place()
        if route.protocol != "http" or route.action != "route":
            return Fact.of(NOT_APPLICABLE, place, reason="the rule proxies no HTTP")
        if self.mesh.routes.unused_http(route):
            return Fact.of(NOT_APPLICABLE, place, reason="no port of the host carries HTTP")
        filters = self.patches.touching(route)
        if filters:
            return Fact.missing(f"{filters[0].title} patches routes", filters[0].place(), place)
        if route.api == "VirtualService":
            return _of_virtual_service(route)
        if route.api == "APIRule":
            return _of_api_rule(route)
        if not self.mesh.routes.served_by_istio(route):
            return Fact.missing("no gateway of Istio in the input serves the route", place)
        if route.api == "GRPCRoute":
            return Fact.of(DISABLED, place, reason="GRPCRoute has no timeout")
        return of_http_route(route)


def _of_virtual_service(route: Route) -> Fact[Timeout]:
    setting = route.setting("timeout")
    if setting is None:
        if not route.bound:
            return Fact.missing("the rule that delegates to it may set one", route.place())
        return Fact.of(DISABLED, route.place(), reason="no timeout")
    resource, node = setting
    written = istio_duration(node)
    if written.nanoseconds is None:
        return Fact.missing(written.problem or "templated", Place(resource, node))
    return Fact.of(Timeout(written.nanoseconds), Place(resource, node))


def _of_api_rule(route: Route) -> Fact[Timeout]:
    resource = route.resource
    node = route.node.get("timeout") or resource.get("spec", "timeout")
    if node is None:
        return Fact.of(Timeout(KYMA_DEFAULT), route.place(), reason="the default of an APIRule")
    written = kyma_seconds(node)
    if written.nanoseconds is None:
        return Fact.missing(written.problem or "templated", Place(resource, node))
    return Fact.of(Timeout(written.nanoseconds), Place(resource, node))


def of_http_route(route: Route) -> Fact[Timeout]:
    """Istio lets backendRequest take the place of request where the rule has no retry (spec 2.5)."""
    request, backend = (_gateway_field(route, name) for name in ("request", "backendRequest"))
    for fact in (request, backend):
        if not fact.known:
            return Fact.missing(fact.reason, *fact.because)
    retry = route.node.get("retry")
    if isinstance(retry, Mapping):
        per_try = backend.value if text_of(retry.get("attempts")) != "0" else None
        return Fact.of(Timeout(request.value, per_try), *request.because, *backend.because)
    if backend.value is not None:
        return Fact.of(Timeout(backend.value), *backend.because, *request.because)
    return Fact.of(Timeout(request.value), *request.because)


def _gateway_field(route: Route, name: str) -> Fact[int | None]:
    node = route.node.dig("timeouts", name)
    if node is None:
        return Fact.of(None, route.place())
    place = route.place("timeouts", name)
    written = gateway_duration(node)
    if written.nanoseconds is None:
        return Fact.missing(written.problem or "templated", place)
    return Fact.of(written.nanoseconds or None, place)


class _RoutePatches:
    """Which EnvoyFilters change routes, and for which of our routes? (spec traffic 2.1, last row)"""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self._by_namespace: dict[str, list[tuple[Resource, frozenset[str]]]] = defaultdict(list)
        for resource in mesh.scope.of(ISTIO_NETWORKING, "EnvoyFilter"):
            contexts = frozenset(_route_contexts(resource))
            if contexts:
                self._by_namespace[resource.ns].append((resource, contexts))

    def touching(self, route: Route) -> list[Resource]:
        """EnvoyFilters that may patch the rule in one of the proxies that use it."""
        if not self._by_namespace:
            return []
        found = [r for r, contexts in self._near({route.resource.ns}) if route.mesh and "SIDECAR" in contexts]
        for gateway in route.binding.gateways:
            namespaces = {gateway.namespace, *(w.namespace for w in self.mesh.gateways.workloads_of(gateway))}
            for resource, contexts in self._near(namespaces):
                if "GATEWAY" in contexts and _may_select(resource, gateway.selector):
                    found.append(resource)
        if route.binding.missing:
            namespaces = {key.partition("/")[0] for key in route.binding.missing}
            found += [r for r, contexts in self._near(namespaces) if "GATEWAY" in contexts]
        return found

    def anywhere(self, namespace: str) -> bool:
        """May an EnvoyFilter patch the routes of sidecars in the namespace or the whole mesh?"""
        return any("SIDECAR" in contexts for _, contexts in self._near({namespace}))

    def _near(self, namespaces: set[str]) -> Iterator[tuple[Resource, frozenset[str]]]:
        for namespace in {*namespaces, self.mesh.config.root}:
            yield from self._by_namespace.get(namespace, ())


def _route_contexts(resource: Resource) -> Iterator[str]:
    """GATEWAY and SIDECAR, as far as a patch of the filter reaches routes there."""
    for patch in resource.mappings("spec", "configPatches"):
        target = text_of(patch.get("applyTo"))
        manager = text_of(patch.dig("match", "listener", "filterChain", "filter", "name")) or ""
        if target not in _ROUTE_PATCHES and not (
            target == "NETWORK_FILTER" and manager.endswith("http_connection_manager")
        ):
            continue
        if _leaves_times_alone(patch.get("patch")):
            continue
        context = text_of(patch.dig("match", "context")) or "ANY"
        if context in ("ANY", "GATEWAY"):
            yield "GATEWAY"
        if context in ("ANY", "SIDECAR_OUTBOUND"):
            yield "SIDECAR"


def _leaves_times_alone(patch: Node | None) -> bool:
    """A merge whose value is written out and says nothing about timeouts, retries or routing."""
    if not isinstance(patch, Mapping) or text_of(patch.get("operation")) != "MERGE":
        return False
    return not any(word in key.lower() for key in _keys(patch.get("value")) for word in _TIME_WORDS)


def _keys(node: Node | None) -> Iterator[str]:
    pending = [node]
    while pending:
        node = pending.pop()
        if isinstance(node, Mapping):
            yield from node
            pending += [value for _, value in node.index.values()]
        elif isinstance(node, Sequence):
            pending += node.items


def _may_select(envoy_filter: Resource, gateway_selector: dict[str, str]) -> bool:
    wanted = string_map(envoy_filter.get("spec", "workloadSelector", "labels"))
    return all(gateway_selector.get(key, value) == value for key, value in wanted.items())
