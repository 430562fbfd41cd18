"""Where does a request go, in which parts, and which part reaches nobody? Where do copies of it go?

Spec traffic 1.5, 1.6, 1.14, 5.2 and 5.7. That a destination does not exist is a fact only where the input is
complete; else it stays a destination, and the answer is not certain.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Final

from meshlint.mesh.existence import HostState, Presence
from meshlint.mesh.facts import Fact
from meshlint.mesh.grants import Target, granted
from meshlint.mesh.hosts import HostIndex
from meshlint.mesh.served import GATEWAY_ROUTES, Served, Way
from meshlint.records import dataclass
from meshlint.resources import Place
from meshlint.source.nodes import Mapping, Node, Scalar, int_of, mappings, text_of
from meshlint.source.templates import is_placeholder

if TYPE_CHECKING:
    from meshlint.mesh.destination_rules import DestinationRule
    from meshlint.mesh.mesh import Mesh
    from meshlint.mesh.registry import Service
    from meshlint.mesh.routes import Destination, Route

_HTTP_ROUTES: Final = frozenset({"HTTPRoute", "GRPCRoute"})


@dataclass(frozen=True, slots=True, eq=False)
class Share:
    """One destination with its part of the requests in percent; `port` None: it is not known."""

    host: str
    port: int | None
    subset: str
    percent: float
    place: Place
    services: tuple[Service, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Lost:
    """A part of the requests that reaches nobody; `status` 0: the connection is closed."""

    status: int
    percent: float
    reason: str
    place: Place


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Destinations that get a part of the requests, and what is left."""

    shares: tuple[Share, ...] = ()
    lost: tuple[Lost, ...] = ()


class Shares:
    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self._known: dict[tuple[int, int | None, bool], Fact[Split]] = {}

    def of(self, served: Served) -> Fact[Split]:
        """Where the request goes, those without any part left out."""
        if served.way is Way.SERVICE and served.service is not None:
            service = served.service
            share = Share(service.host, served.port, "", 100.0, served.place, (service,))
            return Fact.of(Split((share,)), served.place, reason="no rule for it")
        route = served.route
        if route is None or route.action != "route":
            return Fact.of(Split(), served.place)
        key = (id(route), served.port, served.gateway is None)  # the same for all requests
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._of_rule(route, served)
        return known

    def _of_rule(self, route: Route, served: Served) -> Fact[Split]:
        weights = _weights(route)
        if weights is None:
            return Fact.missing("a weight is a template", route.place())
        if _templated(route.destinations):
            return Fact.missing("a destination is a template", route.place())
        return self._split(route, weights, served)

    def _split(self, route: Route, weights: list[int], served: Served) -> Fact[Split]:
        shares, lost, doubts = [], [], []
        for destination, weight in zip(route.destinations, weights, strict=True):
            if not weight:
                continue
            percent = 100.0 * weight / sum(weights)
            nobody = self._nobody(route, destination, served)
            place = route.resource.place(destination.node)
            if not nobody.known:
                return Fact.missing(nobody.reason, place)
            if nobody.value:
                lost.append(Lost(_status(route), percent, nobody.value, place))
            else:
                shares.append(_share(route, destination, percent, served))
                doubts += [nobody.reason] if nobody.reason else []
        if not shares and not lost and route.api in _HTTP_ROUTES:
            lost.append(Lost(500, 100.0, "no backend gets a part of the requests", route.place()))
        found = Split(tuple(shares), tuple(lost))
        places = [*(share.place for share in shares), *(part.place for part in lost)] or [route.place()]
        return Fact.of(found, *places, reason="; ".join(dict.fromkeys(doubts)), certain=not doubts)

    def copies(self, served: Served) -> Fact[tuple[Share, ...]]:
        """Destinations of copies; `percent` is how many requests are copied. A copy for nobody is lost."""
        route = served.route
        if route is None or route.action != "route":
            return Fact.of((), served.place)
        found, why = [], []
        for holder, destination, percent in _mirrors(route):
            place = holder.resource.place(destination.node)
            if percent is None or _templated((destination,)):
                return Fact.missing("a mirror is a template", place)
            nobody = self._nobody(holder, destination, served)
            if not nobody.known:
                return Fact.missing(nobody.reason, place)
            why += [reason] if (reason := nobody.value or nobody.reason) else []
            if percent and not nobody.value:
                found.append(_share(holder, destination, percent, served))
        places = [copy.place for copy in found] or [served.place]
        return Fact.of(tuple(found), *places, reason="; ".join(dict.fromkeys(why)))

    # -- is there anybody? --------------------------------------------------------------------------------

    def _nobody(self, route: Route, destination: Destination, served: Served) -> Fact[str]:
        """Why nobody is at a destination; '' where somebody is, or may be, which the reason then says."""
        host = destination.host
        if not host:
            kind = text_of(destination.node.dig("kind"))
            return Fact.missing(f"where the kind {kind} leads to is not read" if kind else "it names no host")
        allowed = self._granted(route, destination, served)
        if allowed is None:
            return Fact.missing(f"no ReferenceGrant for {host} is in the input, and there may be one")
        if not allowed:
            return Fact.of(f"no ReferenceGrant lets {route.title} name {host}")
        if destination.services:
            return Fact.of(_without_port(route, destination) or self._without_subset(destination))
        return self._absent(route, self.mesh.existence.of(host, route.resource.ns))

    def _without_subset(self, destination: Destination) -> str:
        """A subset that no DestinationRule of a complete input defines, whoever the client is (5.2)."""
        scope, settings, subset = self.mesh.scope, self.mesh.settings, destination.subset
        if not subset or not settings.complete or settings.remainder:
            return ""
        if scope.some_may_exist("DestinationRule"):
            return ""
        rules = self._rules.covering(destination.host)
        names = [text_of(entry.get("name")) for rule in rules for entry in rule.subsets]
        if subset in names or any(name is None or is_placeholder(name) for name in names):
            return ""
        return f"no DestinationRule for {destination.host} has the subset {subset}"

    @cached_property
    def _rules(self) -> HostIndex[DestinationRule]:
        index: HostIndex[DestinationRule] = HostIndex()
        for rule in self.mesh.destination_rules.all:
            index.add(rule.host, rule)
        return index

    def _absent(self, route: Route, state: HostState) -> Fact[str]:
        if not self._gone(state):
            return Fact.of("", reason=f"whether {state.full} exists is not in the input", certain=False)
        if route.api == "APIRule":
            return Fact.missing(
                f"{state.full} does not exist, and what Kyma then makes of {route.title} is open"
            )
        if state.presence is Presence.UNQUALIFIED:
            return Fact.of(f"{state.full} is no host of the mesh; the full name is {state.meant}")
        return Fact.of(f"{state.full} does not exist")

    def _gone(self, state: HostState) -> bool:
        """Is it certain that proxies have no cluster for the host?"""
        settings = self.mesh.settings
        if settings.remainder or state.confidence is not None:
            return False
        if state.presence is Presence.MISSING:
            return True
        return settings.complete and state.presence in (Presence.UNQUALIFIED, Presence.WILDCARD)

    def _granted(self, route: Route, destination: Destination, served: Served) -> bool | None:
        """May a route at a gateway name a Service of another namespace? (1.14; in the mesh it always may)"""
        if served.gateway is None or route.api not in GATEWAY_ROUTES or not destination.services:
            return True
        service = destination.services[0]
        if service.namespace == route.resource.ns or service.kind not in ("service", "headless"):
            return True
        return granted(self.mesh, route.resource, Target("", "Service", service.namespace, service.name))


def _status(route: Route) -> int:
    if route.protocol != "http":
        return 0
    return 500 if route.api in _HTTP_ROUTES else 503


def _without_port(route: Route, destination: Destination) -> str:
    """A port that a VirtualService names and none of the versions of the service has."""
    number = destination.port
    if number is None or route.api != "VirtualService":
        return ""
    for service in destination.services:
        if not service.ports or service.kind == "external-name" or service.port(number) is not None:
            return ""
    return f"{destination.services[0].resource.title} has no port {number}"


def _share(route: Route, destination: Destination, percent: float, served: Served) -> Share:
    return Share(
        host=destination.host,
        port=_port(destination, served.port),
        subset=destination.subset or "",
        percent=percent,
        place=route.resource.place(destination.node),
        services=destination.services,
    )


def _port(destination: Destination, listener: int | None) -> int | None:
    """The port that a destination means: its own, the only one, or that of the listener (1.6)."""
    if destination.port is not None:
        return destination.port
    ports = {port.number for service in destination.services for port in service.ports}
    if len(ports) == 1:
        return ports.pop()
    return listener if listener in ports else None


def _templated(destinations: tuple[Destination, ...]) -> bool:
    return any(is_placeholder(d.host) or is_placeholder(d.subset) for d in destinations)


def _weights(route: Route) -> list[int] | None:
    """None where one is a template. One destination alone gets everything."""
    default = 1 if route.api != "VirtualService" else 0
    written = [d.node.dig("weight") if isinstance(d.node, Mapping) else None for d in route.destinations]
    if any(node is not None and int_of(node) is None and text_of(node) is not None for node in written):
        return None
    weights = [default if d.weight is None else d.weight for d in route.destinations]
    alone = len(weights) == 1 and (route.api == "VirtualService" or weights[0] > 0)
    return [1] if alone else weights


# -- copies ------------------------------------------------------------------------------------------------


def _mirrors(route: Route) -> Iterator[tuple[Route, Destination, float | None]]:
    """The rule that says so, where copies go, and of how many requests in percent; None for a template.

    What a delegate's rule does not say it takes from the rule of its root, field by field.
    """
    said = {id(d.node): (r, d) for r in (route.root, route) if r is not None for d in r.mirrors}
    written = _of_virtual_service(route) if route.api == "VirtualService" else _of_gateway_api(route)
    for target, percent in written:
        if id(target) in said:
            yield *said[id(target)], percent


def _of_virtual_service(route: Route) -> Iterator[tuple[Node | None, float | None]]:
    single, several = route.setting("mirror"), route.setting("mirrors")
    if single is not None:
        whole = [route.setting(name) for name in ("mirrorPercentage", "mirrorPercent", "mirror_percent")]
        yield single[1], _percent(next((found[1] for found in whole if found is not None), None))
    for entry in mappings(several[1]) if several is not None else ():
        yield entry.get("destination"), _percent(entry.get("percentage"))


def _percent(node: Node | None) -> float | None:
    """All requests where nothing is written, none for a percentage without a value."""
    if node is None or (isinstance(node, Scalar) and node.value is None):
        return 100.0
    value = node.get("value") if isinstance(node, Mapping) else node
    return 0.0 if value is None else _number(value)


def _of_gateway_api(route: Route) -> Iterator[tuple[Node | None, float | None]]:
    for entry in mappings(route.node.get("filters")):
        mirror = entry.get("requestMirror")
        if isinstance(mirror, Mapping):
            yield mirror.get("backendRef"), _fraction(mirror)


def _fraction(mirror: Mapping) -> float | None:
    percent, fraction = mirror.get("percent"), mirror.get("fraction")
    if percent is not None:
        return _number(percent)
    if not isinstance(fraction, Mapping):
        return 100.0
    above, below = fraction.get("numerator"), fraction.get("denominator")
    whole = 100.0 if below is None else _number(below)
    part = None if above is None else _number(above)
    return 100.0 * part / whole if part is not None and whole else None


def _number(node: Node) -> float | None:
    value = node.value if isinstance(node, Scalar) else None
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
