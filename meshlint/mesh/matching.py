"""Which rule of which route serves one request? (spec traffic 1.8 to 1.11, 1.14, 1.15, 5.3)

Clients in the mesh: the VirtualService with the most specific host that has a rule for the client owns
the host, and VirtualServices are not merged. Gateways: all VirtualServices with the most specific domain
are one list, catch-all rules last. Routes of the Gateway API are sorted by precedence. Where the order
hangs on creation times that are not written, or on what the input does not hold, the answer is unknown.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Final

from meshlint.mesh.delegates import compatible, exported_to
from meshlint.mesh.facts import Fact, all_of
from meshlint.mesh.hosts import covers, intersect, specificity
from meshlint.mesh.matches import HttpRequest, Sender, doubt, is_catch_all, meant_for, takes
from meshlint.mesh.registry import TLS_LIKE, preferred
from meshlint.mesh.routes import MESH, Route, server_hosts
from meshlint.mesh.scope import ISTIO_NETWORKING, Evidence
from meshlint.records import dataclass
from meshlint.resources import Place, Resource
from meshlint.source.nodes import Mapping, int_of, mappings, string_map, text_of, texts

if TYPE_CHECKING:
    from meshlint.mesh.gateways import Gateway, Server
    from meshlint.mesh.mesh import Mesh
    from meshlint.mesh.registry import Service, ServicePort
    from meshlint.mesh.server_groups import Bound
    from meshlint.mesh.sidecars import Sidecar

Test = Callable[[Route], bool]
#: a match of the root rule and one of the rule itself, and a rule with those that count
Pair = tuple[Mapping | None, Mapping | None]
Rule = tuple[Route, list[Pair]]

GATEWAY_ROUTES: Final = frozenset({"HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute"})
_HTTP_PORT: Final = 80
_HTTPS: Final = frozenset({"HTTPS", "TLS"})
_RANKS: Final = {"Exact": 3, "PathPrefix": 2, "RegularExpression": 1}


class Way(Enum):
    """How a request goes on."""

    RULE = "rule"  #: a rule of a route takes it
    SERVICE = "service"  #: no rule is for it, and it goes to the service that it names
    HTTPS = "https"  #: a server of a gateway sends it to https
    NOWHERE = "nowhere"  #: no rule takes it: 404, or a closed connection


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """`place` is the match, rule, server or service that decides; `port` is the listener's.

    `route` and `match` are those of a rule (no match: the rule takes everything), `service` the one that
    the request names. `http` False: no proxy reads the request.
    """

    way: Way
    place: Place
    request: HttpRequest
    port: int | None
    route: Route | None = None
    match: Mapping | None = None
    service: Service | None = None
    gateway: Gateway | None = None
    http: bool = True

    @property
    def decided(self) -> tuple[object, ...]:
        """The same for answers that mean the same."""
        return self.way, id(self.route), id(self.match), id(self.service), self.port


@dataclass(frozen=True, slots=True, eq=False)
class _Owner:
    """The rules of one VirtualService, or one route of the Gateway API, for a domain."""

    resource: Resource
    domain: str
    routes: list[Route]
    gateway: Gateway | None = None

    @property
    def context(self) -> str:
        """What its matches have to name if they name gateways."""
        return MESH if self.gateway is None else f"{self.gateway.namespace}/{self.gateway.name}"

    @property
    def created(self) -> str:
        return self.resource.text("metadata", "creationTimestamp") or ""

    @property
    def gateway_api(self) -> bool:
        return self.routes[0].api in GATEWAY_ROUTES


class Matching:
    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh

    # -- from inside of the mesh ------------------------------------------------------------------------

    def in_mesh(
        self, request: HttpRequest, host: str, sender: Sender, sidecar: Sidecar | None = None
    ) -> Fact[Served]:
        """The rule for a request of a client in the mesh; `host` is that of its authority, without port."""
        services = self.callees(host, sender.namespace)
        name = services[0].host if services else self.mesh.registry.resolve(host, sender.namespace)
        port = _called_port(request, services)
        if not port.known:
            return Fact.missing(port.reason, *port.because)
        request = replace(request, port=port.value, scheme=request.scheme or "http")
        service = services[0] if services else None
        if service is None and port.value != _HTTP_PORT:
            # without a service only this port has routes for HTTP (1.7), and the service may be elsewhere
            return self._unregistered(request, sidecar, host, sender.namespace)
        entry = service.port(port.value) if service is not None else None
        if (
            service is not None
            and sidecar is not None
            and not self.mesh.sidecars.reaches(sidecar, service, sender.namespace)
        ):
            reason = f"{sidecar.resource.title} does not import {service.host}"
            return self._beyond(request, sidecar, reason, sidecar.resource.place())
        owners = self._owners_in_mesh(name, sender, sidecar)
        read = entry is None or not entry.opaque
        wanted = "http" if entry is None or read else "tls" if entry.protocol in TLS_LIKE else "tcp"
        found = self._chosen(owners, request, sender, name, wanted, services)
        if found is not None:
            return found
        if service is None:
            return self._unregistered(request, sidecar, host, sender.namespace)
        return Fact.of(_to_service(request, service, entry, read), service.resource.place())

    def _unregistered(
        self, request: HttpRequest, sidecar: Sidecar | None, host: str, namespace: str
    ) -> Fact[Served]:
        """A host that clients of a namespace do not see: kept from them, or nowhere in the input."""
        names = self._names(host, namespace)
        hidden = [service for name in names for service in self.mesh.registry.by_host(name)]
        if hidden:
            reason = f"{hidden[0].resource.title} is not exported to {namespace}"
            return self._beyond(request, sidecar, reason, hidden[0].resource.place())
        settings = self.mesh.settings
        if settings.complete and not settings.remainder:
            return self._beyond(request, sidecar, f"nothing is registered for {names[0]}")
        return Fact.missing(f"the host {names[0]} is not in the input")

    def _beyond(
        self, request: HttpRequest, sidecar: Sidecar | None, reason: str, *because: Place
    ) -> Fact[Served]:
        """What a client's proxy does not know: stopped under REGISTRY_ONLY, else passed on unread (1.11)."""
        mode = self.mesh.config.setting("outboundTrafficPolicy", "mode")
        if sidecar is not None and sidecar.mode:
            mode = Fact.of(sidecar.mode, sidecar.resource.place_at("spec", "outboundTrafficPolicy"))
        if not mode.is_("REGISTRY_ONLY") or not mode.because:
            return Fact.missing(reason, *because)
        places = (*because, *mode.because)
        stopped = f"{reason}, and the mode REGISTRY_ONLY stops what is not known"
        return Fact.of(_nowhere(request, places[0]), *places, reason=stopped)

    def directly(self, request: HttpRequest, host: str, namespace: str) -> Fact[Served]:
        """The same for a client whose requests no proxy reads: they go where they are addressed to."""
        services = self.callees(host, namespace)
        if not services:
            return Fact.missing(f"the host {host} is not in the input")
        port = _called_port(request, services)
        if not port.known:
            return Fact.missing(port.reason, *port.because)
        request = replace(request, port=port.value, scheme=request.scheme or "http")
        entry = services[0].port(port.value)
        return Fact.of(_to_service(request, services[0], entry, False), services[0].resource.place())

    def callees(self, host: str, namespace: str) -> list[Service]:
        """Services that clients of a namespace mean by a host: short, with a namespace, or in full."""
        registry = self.mesh.registry
        names = self._names(host, namespace)
        for name in names:
            seen = [s for s in registry.by_host(name) if registry.visible(s, namespace)]
            if seen:
                return preferred(seen, namespace)
        covering = registry.covering(names[0])
        return [s for s in covering if s.host.startswith("*") and registry.visible(s, namespace)][:1]

    def _names(self, host: str, namespace: str) -> list[str]:
        """What a host may be short for."""
        registry = self.mesh.registry
        longer = [f"{host}.svc.{registry.domain}", f"{host}.{registry.domain}"] if "." in host else []
        return [registry.resolve(host, namespace), *longer]

    def _owners_in_mesh(self, host: str, sender: Sender, sidecar: Sidecar | None) -> list[_Owner]:
        """Whose rules the client sees for the host, the most specific first."""
        groups: dict[tuple[int, str], list[Route]] = defaultdict(list)
        for route in self.mesh.routes.covering_in_mesh(host):
            owner = _owner(route)
            domain = min((h for h in route.mesh_hosts if covers(h, host)), key=specificity)
            exports = self.mesh.routes.default_exports
            if route.api == "VirtualService" and not exported_to(owner, sender.namespace, exports):
                continue
            if sidecar is not None and not self.mesh.sidecars.sees(
                sidecar, owner.ns, domain, sender.namespace
            ):
                continue
            group = groups[id(owner), domain]
            if route not in group:
                group.append(route)
        owners = [_Owner(_owner(routes[0]), domain, routes) for (_, domain), routes in groups.items()]
        return sorted(owners, key=lambda owner: specificity(owner.domain))

    def _chosen(
        self,
        owners: list[_Owner],
        request: HttpRequest,
        sender: Sender,
        host: str,
        protocol: str,
        services: list[Service],
    ) -> Fact[Served] | None:
        """The answer of those who own the host for this client; None: nobody has a rule for it."""
        by_domain: dict[str, list[_Owner]] = defaultdict(list)
        for owner in owners:
            routes = [r for r in owner.routes if r.protocol == protocol and _yields(r, sender, request.port)]
            if routes:
                by_domain[owner.domain].append(replace(owner, routes=routes))
        for found in by_domain.values():
            ours = [owner for owner in found if not owner.gateway_api]
            theirs = self._for_client([o for o in found if o.gateway_api], sender, request.port, services)
            if ours and theirs:
                places = [o.resource.place() for o in (ours[0], theirs[0])]
                return Fact.missing(f"both APIs have routes for {host}, and the order is open", *places)
            if ours:
                return self._of_virtual_services(ours, request, sender, host)
            if theirs:
                rules = [(route, match) for o in theirs for route in o.routes for match in _matches(route)]
                return _by_precedence(rules, request, theirs[0].resource.place())
        return None

    def _for_client(
        self, owners: list[_Owner], sender: Sender, port: int | None, services: list[Service]
    ) -> list[_Owner]:
        """Routes of the client's namespace, else those of the service's (1.14: consumer and producer)."""
        at_port = [owner for owner in owners if _parent_port(owner.resource, owner.domain, port)]
        homes = {service.namespace for service in services}
        consumers = [o for o in at_port if o.resource.ns == sender.namespace and o.resource.ns not in homes]
        return consumers or [o for o in at_port if o.resource.ns in homes]

    def _of_virtual_services(
        self, owners: list[_Owner], request: HttpRequest, sender: Sender, host: str
    ) -> Fact[Served]:
        """They are not merged: the first one has the host. Its age decides, where it is written."""
        first = _visible_first(owners, sender.namespace, self.mesh.routes.default_exports)
        answers = [_first(owner, request, MESH, sender, self._delegate_open) for owner in first]
        if len(answers) == 1:
            return answers[0]
        titles = " and ".join(owner.resource.title for owner in first[:2])
        return _agreed(answers, f"{titles} are both for {host}, and which is older is not in the input")

    # -- through a gateway --------------------------------------------------------------------------------

    def at_gateway(self, request: HttpRequest, host: str, namespace: str, name: str) -> Fact[Served]:
        """The rule for a request that enters at a gateway of either API."""
        gateways = self.mesh.gateways.find(namespace, name)
        if not gateways:
            return Fact.missing(f"the gateway {namespace}/{name} is not in the input")
        answers = [self._through(gateway, request, host) for gateway in gateways]
        return _agreed(answers, f"the input holds several gateways {namespace}/{name}, which differ")

    def _through(self, gateway: Gateway, request: HttpRequest, host: str) -> Fact[Served]:
        servers = [s for s in gateway.servers if request.port in (None, s.port) and _offers(s, host)]
        if request.scheme:
            servers = [s for s in servers if (s.protocol in _HTTPS) is (request.scheme == "https")]
        if request.port is None:
            servers = [s for s in servers if not s.https_redirect] or servers
        other = self._offered_beside(gateway, servers, request, host)
        if other is not None:
            title, place = other.resource.title, other.place
            return Fact.missing(
                f"{title}, for the same pods, offers {host} too, and it may take the request", place
            )
        if not servers:
            return Fact.of(_nowhere(request, gateway.resource.place(), gateway), gateway.resource.place())
        closest = min(specificity(_offered(s, host)) for s in servers)
        servers = [s for s in servers if specificity(_offered(s, host)) == closest]
        answers = [self._at_server(gateway, server, request, host) for server in servers]
        ports = " and ".join(dict.fromkeys(str(s.port) for s in servers))
        return _agreed(
            answers, f"the gateway answers differently on its ports {ports}, and the request names none"
        )

    def _offered_beside(
        self, gateway: Gateway, servers: list[Server], request: HttpRequest, host: str
    ) -> Bound | None:
        """A server of another Gateway on the same pods where the request ends instead, or may end (5.11).

        Plain servers of a host are merged; with TLS the narrower host has the connection.
        """
        for own in gateway.servers:
            if request.port not in (None, own.port) or (servers and own not in servers):
                continue
            for other in self.mesh.server_groups.beside(own) if gateway.api == "istio" else ():
                if not _offers(other.server, host) or (servers and _merge(own, other.server)):
                    continue
                if not servers or specificity(_offered(other.server, host)) <= specificity(
                    _offered(own, host)
                ):
                    return other
        return None

    def _at_server(self, gateway: Gateway, server: Server, request: HttpRequest, host: str) -> Fact[Served]:
        scheme = request.scheme or ("https" if server.protocol in _HTTPS else "http")
        request = replace(request, port=server.port, scheme=scheme)
        place = gateway.resource.place(server.node)
        if server.https_redirect:
            at = gateway.resource.place_at("tls", "httpsRedirect", inside=server.node)
            return Fact.of(Served(Way.HTTPS, at, request, server.port, gateway=gateway), at)
        wanted = server.asks
        if not wanted:
            return Fact.missing("whether the gateway decrypts is not in the input", place)
        owners, doubtful = [], []
        for g, s in self._merged_servers(gateway, server):
            owners += _owners_at(self.mesh.routes.at_gateway(g), wanted, g, s, host)
            doubtful += _owners_at(self._unsure.get(id(g), ()), wanted, g, s, host)
        owners, doubtful = _narrowest(owners), _narrowest(doubtful)
        if doubtful and (not owners or specificity(doubtful[0].domain) <= specificity(owners[0].domain)):
            title = doubtful[0].resource.title
            return Fact.missing(f"whether the gateway sees {title} is not in the input", place)
        if not owners:
            return Fact.of(_nowhere(request, place, gateway), place)
        return self._of_owners(owners, gateway, request, place)

    def _merged_servers(self, gateway: Gateway, server: Server) -> list[tuple[Gateway, Server]]:
        """The server, and those that Istio merges with it: plain HTTP on the same port of the same pods."""
        own = [s for s in gateway.servers if s is server or (s.port == server.port and _merge(s, server))]
        merged = [(gateway, s) for s in own]
        if gateway.api == "istio":
            beside = self.mesh.server_groups.beside(server)
            merged += [(b.gateway, b.server) for b in beside if _merge(b.server, server)]
        return merged

    def _of_owners(
        self, owners: list[_Owner], gateway: Gateway, request: HttpRequest, place: Place
    ) -> Fact[Served]:
        if owners[0].gateway_api:
            rules = [(route, match) for o in owners for route in o.routes for match in _matches(route)]
            found = _by_precedence(rules, request, place)
        else:
            sender = self.sender_of(gateway)
            found = _merged(owners, request, sender, place, self._delegate_open)
        if not found.known:
            return found
        return Fact.of(replace(found.value, gateway=gateway), *found.because, reason=found.reason)

    def sender_of(self, gateway: Gateway) -> Sender:
        """The pods of a gateway as senders; labels are known where one workload serves it."""
        pods = self.mesh.gateways.workloads_of(gateway)
        if len(pods) == 1:
            return Sender(pods[0].namespace, pods[0].labels)
        return Sender(pods[0].namespace if pods else gateway.namespace)

    def _delegate_open(self, route: Route) -> bool:
        """May the delegate of a rule exist outside of the input?"""
        name = text_of(route.node.dig("delegate", "name")) or ""
        namespace = text_of(route.node.dig("delegate", "namespace")) or route.resource.ns
        scope = self.mesh.scope
        if scope.find(ISTIO_NETWORKING, "VirtualService", namespace, name):
            return False
        return scope.evidence(ISTIO_NETWORKING, "VirtualService", namespace) is not Evidence.CLOSED

    @cached_property
    def _unsure(self) -> dict[int, list[Route]]:
        """Rules by gateways that may or may not serve them."""
        index: dict[int, list[Route]] = defaultdict(list)
        for route in self.mesh.routes.all:
            for gateway in route.binding.unsure_gateways:
                index[id(gateway)].append(route)
        return index


# -- rules of VirtualServices, in order ----------------------------------------------------------------


def _first(
    owner: _Owner, request: HttpRequest, context: str, sender: Sender, delegate_open: Test
) -> Fact[Served]:
    """The first rule of one VirtualService that takes the request."""
    found = _walk([(r, [*_pairs(r)]) for r in owner.routes], request, context, sender, delegate_open)
    if found is not None:
        return found
    place = owner.resource.place()
    return Fact.of(_nowhere(request, place), place, reason=f"no rule of {owner.resource.title} takes it")


def _walk(
    rules: list[Rule], request: HttpRequest, context: str, sender: Sender, delegate_open: Test
) -> Fact[Served] | None:
    for route, pairs in rules:
        answer, match = _taken(route, pairs, request, context, sender)
        if answer is False:
            continue
        place = route.resource.place(match) if match is not None else route.place()
        if answer is None:
            return Fact.missing(doubt(route, match, request), place)
        if route.api == "APIRule" and _ambiguous(route, [r for r, _ in rules], request):
            return Fact.missing(f"several rules of {route.title} take it", place)
        if route.action != "delegate":
            return Fact.of(Served(Way.RULE, place, request, request.port, route, match), place)
        if delegate_open(route):
            return Fact.missing(f"the delegate of {route.title} is not in the input", place)
    return None


def _ambiguous(route: Route, routes: list[Route], request: HttpRequest) -> bool:
    """Does another rule of an APIRule take the request? Kyma sorts them by itself."""
    others = (r for r in routes if r is not route and r.resource is route.resource)
    return any(takes(r, match, request) is not False for r in others for match in _matches(r))


def _taken(
    route: Route, pairs: Iterable[Pair], request: HttpRequest, context: str, sender: Sender
) -> tuple[bool | None, Mapping | None]:
    """Does the rule take the request, and by which of its matches? Else the first match that may take it."""
    unsure: list[Mapping | None] = []
    for root, match in pairs:
        static = _meant(route, root, match, context, sender, request.port)
        if static is False:
            continue
        answer = all_of(static, _takes_both(route, root, match, request))
        if answer:
            return True, match if match is not None else root
        if answer is None:
            unsure.append(match if match is not None else root)
    return (None, unsure[0]) if unsure else (False, None)


def _pairs(route: Route) -> Iterator[Pair]:
    """Matches of the root rule with those of the delegate's rule that fit them; without a root, None."""
    for root in _matches(route.root) if route.root is not None else [None]:
        for match in _matches(route):
            if root is None or match is None or compatible(root, match):
                yield root, match


def _takes_both(
    route: Route, root: Mapping | None, match: Mapping | None, request: HttpRequest
) -> bool | None:
    if route.protocol != "http":
        return _connection_taken(match, request)
    return all_of(takes(route, root, request), takes(route, match, request))


def _connection_taken(match: Mapping | None, request: HttpRequest) -> bool | None:
    """A rule for TLS or TCP: by SNI; subnets of destinations are not known."""
    if match is None:
        return True
    host = request.authority.rpartition(":")[0] or request.authority
    names = [item.text for item in texts(match.get("sniHosts"))]
    if names and not any(covers(name, host) for name in names):
        return False
    return None if texts(match.get("destinationSubnets")) else True


def _meant(
    route: Route, root: Mapping | None, match: Mapping | None, context: str, sender: Sender, port: int | None
) -> bool | None:
    """Can the pair apply for this client? Where one of both lists gateways, sources do not count."""
    if route.api != "VirtualService":
        return True
    parts = [
        (m, r.ns)
        for m, r in ((match, route.resource), (root, route.root.resource if route.root else None))
        if m is not None and r is not None
    ]
    if route.protocol == "http" and any(texts(m.get("gateways")) for m, _ in parts):
        listed = [(m, ns) for m, ns in parts if texts(m.get("gateways"))]
        ports = [int_of(m.get("port")) for m, _ in parts]
        if any(p and port is not None and p != port for p in ports):
            return False
        return all_of(*(meant_for(m, context, ns, sender, port) for m, ns in listed))
    answers = [meant_for(m, context, ns, sender, port) for m, ns in parts]
    if route.protocol != "http":
        answers += [_from_source(m, sender) for m, _ in parts]
    return all_of(*answers)


def _from_source(match: Mapping, sender: Sender) -> bool | None:
    """In rules for TLS and TCP the source counts beside gateways too."""
    labels = string_map(match.get("sourceLabels"))
    source = text_of(match.get("sourceNamespace"))
    if source and source != sender.namespace:
        return False
    if not labels:
        return True
    return None if sender.labels is None else labels.items() <= sender.labels.items()


def _yields(route: Route, sender: Sender, port: int | None) -> bool:
    """May the rule be for this client at all?"""
    return any(_meant(route, root, match, MESH, sender, port) is not False for root, match in _pairs(route))


def _visible_first(owners: list[_Owner], namespace: str, default: frozenset[str]) -> list[_Owner]:
    """Of several owners those that come first: the private ones, then the oldest if ages are written."""
    tiers: dict[int, list[_Owner]] = defaultdict(list)
    for owner in owners:
        exports = {item.text for item in texts(owner.resource.get("spec", "exportTo"))} or default
        private = owner.resource.ns == namespace and exports <= {".", namespace}
        named = namespace in exports or "." in exports
        tiers[0 if private else 1 if named and "*" not in exports else 2].append(owner)
    first = tiers[min(tiers)]
    distinct = len({o.resource.key for o in first}) == len(first)
    if len(first) > 1 and distinct and all(o.created for o in first):
        return [min(first, key=lambda o: (o.created, o.resource.name, o.resource.ns))]
    return first


# -- several VirtualServices at a gateway ----------------------------------------------------------------


def _merge(one: Server, other: Server) -> bool:
    """Are two servers of a port merged, so that their hosts are one list?"""
    return all(s.asks == "http" and s.protocol not in _HTTPS and not s.https_redirect for s in (one, other))


def _owners_at(
    routes: Iterable[Route], protocol: str, gateway: Gateway, server: Server, host: str
) -> list[_Owner]:
    """Those whose rules the server has for the host, with their narrowest domains."""
    groups: dict[tuple[int, str], list[Route]] = defaultdict(list)
    for route in routes:
        domain = _domain(route, gateway, server, host) if route.protocol == protocol else None
        if domain is not None:
            groups[id(_owner(route)), domain].append(route)
    return [_Owner(_owner(found[0]), domain, found, gateway) for (_, domain), found in groups.items()]


def _narrowest(owners: list[_Owner]) -> list[_Owner]:
    """Those with the most specific domain, each once."""
    if not owners:
        return []
    best = min(specificity(owner.domain) for owner in owners)
    found = [owner for owner in owners if specificity(owner.domain) == best]
    return list({(id(owner.resource), owner.context): owner for owner in found}.values())


def _domain(route: Route, gateway: Gateway, server: Server, host: str) -> str | None:
    """The narrowest domain of a rule at a server that covers the host."""
    if gateway.api == "gateway-api":
        if not _attached(route.resource, gateway, server):
            return None
        offered = [h for _, h in server.hosts]
    elif route.api == "VirtualService":
        offered = server_hosts(server, _owner(route).ns)
    else:
        offered = [h for _, h in server.hosts]
    found = [h for h in intersect(offered, route.hosts) if covers(h, host)]
    return min(found, key=specificity) if found else None


def _merged(
    owners: list[_Owner],
    request: HttpRequest,
    sender: Sender,
    place: Place,
    delegate_open: Test,
) -> Fact[Served]:
    """One list, in the order of creation, catch-all rules last; what follows one in its object is dropped."""
    ordered = sorted(owners, key=lambda o: (o.created, o.resource.name, o.resource.ns))
    keys = {o.resource.key for o in owners}
    aged = len(keys) == len({id(o.resource) for o in owners}) and all(o.created for o in owners)
    rules = {id(o): _up_to_catch_all(o, o.context, sender, request.port) for o in ordered}
    for last in (False, True):
        answers = []
        for owner in ordered:
            listed = [(r, [p for p in pairs if _catches_all(r, p) is last]) for r, pairs in rules[id(owner)]]
            found = _walk(listed, request, owner.context, sender, delegate_open)
            if found is not None and aged:
                return found
            answers += [found] if found is not None else []
        if answers:
            titles = " and ".join(o.resource.title for o in ordered[:2])
            return _agreed(answers, f"rules of {titles} take it, and which is older is not in the input")
    title = owners[0].resource.title if len(owners) == 1 else "the VirtualServices of the host"
    return Fact.of(
        _nowhere(request, owners[0].resource.place()), place, reason=f"no rule of {title} takes it"
    )


def _up_to_catch_all(owner: _Owner, context: str, sender: Sender, port: int | None) -> list[Rule]:
    """The rules of a VirtualService as Istio builds them: the first catch-all is the last one."""
    rules: list[Rule] = []
    for route in owner.routes:
        kept: list[Pair] = []
        rules.append((route, kept))
        for pair in _pairs(route):
            kept.append(pair)
            if _catches_all(route, pair) and _meant(route, *pair, context, sender, port):
                return rules
    return rules


def _catches_all(route: Route, pair: Pair) -> bool:
    """Rules that delegate are replaced by those of the delegate."""
    if route.api != "VirtualService" or route.protocol != "http" or route.action == "delegate":
        return False
    return all(is_catch_all(match) for match in pair)


# -- the Gateway API ---------------------------------------------------------------------------------------


def _by_precedence(
    rules: list[tuple[Route, Mapping | None]], request: HttpRequest, place: Place
) -> Fact[Served]:
    """Exact paths, then prefixes, then expressions; the longer; then method, headers, parameters."""
    ranked = sorted(rules, key=lambda rule: _rank(rule[1]), reverse=True)
    for number, (route, match) in enumerate(ranked):
        answer = takes(route, match, request) if route.protocol == "http" else True
        if answer is False:
            continue
        at = route.resource.place(match) if match is not None else route.place()
        if answer is None:
            return Fact.missing(doubt(route, match, request), at)
        rivals = [
            other
            for other, m in ranked[number + 1 :]
            if _rank(m) == _rank(match) and other.resource is not route.resource
            and takes(other, m, request) is not False
        ]  # fmt: skip
        if rivals and not _older(route.resource, [r.resource for r in rivals]):
            return Fact.missing(
                f"{route.title} and {rivals[0].title} take it alike, and which is older is not in the input",
                at,
            )
        return Fact.of(Served(Way.RULE, at, request, request.port, route, match), at)
    return Fact.of(_nowhere(request, place), place, reason="no rule takes it")


def _rank(match: Mapping | None) -> tuple[int, int, bool, int, int]:
    if match is None:
        return _RANKS["PathPrefix"], 1, False, 0, 0
    path = match.get("path")
    method = match.get("method")
    kind = text_of(path.dig("type")) if path is not None else None
    length = len((text_of(path.dig("value")) if path is not None else None) or "/")
    if isinstance(method, Mapping):
        parts = [text_of(method.get(key)) for key in ("service", "method")]
        kind, length = ("Exact" if all(parts) else "PathPrefix"), sum(len(p or "") for p in parts)
    return (
        _RANKS.get(kind or "PathPrefix", 0),
        length,
        method is not None,
        len(mappings(match.get("headers"))),
        len(mappings(match.get("queryParams"))),
    )


def _older(resource: Resource, others: list[Resource]) -> bool:
    """Is it written that the resource is older than the others?"""

    def created(one: Resource) -> str:
        return one.text("metadata", "creationTimestamp") or ""

    return all(created(r) for r in (resource, *others)) and all(
        created(resource) < created(o) for o in others
    )


def _matches(route: Route) -> list[Mapping | None]:
    return [*route.matches] if route.matches else [None]


def _attached(resource: Resource, gateway: Gateway, listener: Server) -> bool:
    """Does one of the parentRefs name this listener of the gateway?"""
    for ref in resource.mappings("spec", "parentRefs"):
        namespace = text_of(ref.get("namespace")) or resource.ns
        section, port = text_of(ref.get("sectionName")), int_of(ref.get("port"))
        named = (namespace, text_of(ref.get("name"))) == (gateway.namespace, gateway.name)
        if named and section in (None, listener.name) and port in (None, listener.port):
            return True
    return False


def _parent_port(resource: Resource, host: str, port: int | None) -> bool:
    """Is a route with a Service as parent for this port of it?"""
    for ref in resource.mappings("spec", "parentRefs"):
        wanted = int_of(ref.get("port"))
        service = text_of(ref.get("kind")) != "Service" or host.startswith(f"{text_of(ref.get('name'))}.")
        if service and (wanted is None or port is None or wanted == port):
            return True
    return False


# -- common ------------------------------------------------------------------------------------------------


def _called_port(request: HttpRequest, services: list[Service]) -> Fact[int]:
    """The port that a client calls: the one it names, the only one, else that of the scheme."""
    default = 443 if request.scheme == "https" else 80
    if not services:
        return Fact.of(request.port or default)
    ports = [port.number for port in services[0].ports]
    place = services[0].resource.place()
    if request.port is not None:
        if ports and request.port not in ports:
            return Fact.missing(f"{services[0].resource.title} has no port {request.port}", place)
        return Fact.of(request.port)
    if len(ports) == 1:
        return Fact.of(ports[0])
    if default in ports or not ports:
        return Fact.of(default)
    listed = ", ".join(map(str, ports))
    return Fact.missing(f"{services[0].resource.title} has the ports {listed}; the request names none", place)


def _to_service(request: HttpRequest, service: Service, entry: ServicePort | None, read: bool) -> Served:
    place = service.resource.place(entry.node) if entry is not None else service.resource.place()
    return Served(Way.SERVICE, place, request, request.port, service=service, http=read)


def _nowhere(request: HttpRequest, place: Place, gateway: Gateway | None = None) -> Served:
    return Served(Way.NOWHERE, place, request, request.port, gateway=gateway)


def _offers(server: Server, host: str) -> bool:
    return any(covers(offered, host) for _, offered in server.hosts)


def _offered(server: Server, host: str) -> str:
    return min((h for _, h in server.hosts if covers(h, host)), key=specificity)


def _owner(route: Route) -> Resource:
    return route.root.resource if route.root is not None else route.resource


def _agreed(answers: list[Fact[Served]], reason: str) -> Fact[Served]:
    """The answer that all give, or none."""
    known = [answer for answer in answers if answer.known]
    if len(known) == len(answers) and len({answer.value.decided for answer in known}) == 1:
        return answers[0]
    if len(answers) == 1:
        return answers[0]
    places = dict.fromkeys(place for answer in answers for place in answer.because)
    unknown = next((answer for answer in answers if not answer.known), None)
    return Fact.missing(unknown.reason if unknown is not None and not known else reason, *places)
