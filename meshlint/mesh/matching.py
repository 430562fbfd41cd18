"""Which rule of which route serves one request? (spec traffic 1.8 to 1.11, 1.14, 1.15, 5.3)

Clients in the mesh: the VirtualService with the most specific host that has a rule for the client owns
the host, and VirtualServices are not merged. Gateways: all VirtualServices with the most specific domain
are one list, catch-all rules last. Routes of the Gateway API are sorted by precedence. Where the order
hangs on creation times that are not written, or on what the input does not hold, the answer is unknown.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Final

from meshlint.mesh.delegates import exported_to
from meshlint.mesh.facts import Fact
from meshlint.mesh.hosts import HostIndex, covers, intersect, specificity
from meshlint.mesh.kyma_gateway import FILE, KEY, kyma_gateway, routes_at
from meshlint.mesh.matches import HttpRequest, Sender
from meshlint.mesh.precedence import attached, by_precedence, parent_port
from meshlint.mesh.registry import TLS_LIKE, preferred
from meshlint.mesh.rewrites import to_https
from meshlint.mesh.routes import MESH, Route, server_hosts
from meshlint.mesh.rule_order import first_of, merged, visible_first, yields
from meshlint.mesh.scope import ISTIO_NETWORKING, Evidence
from meshlint.mesh.served import Owner, Served, Way, agreed, matches_of, nowhere, owner_of
from meshlint.resources import Place
from meshlint.source.nodes import text_of

if TYPE_CHECKING:
    from meshlint.mesh.gateways import Gateway, Server
    from meshlint.mesh.mesh import Mesh
    from meshlint.mesh.registry import Service, ServicePort
    from meshlint.mesh.server_groups import Bound
    from meshlint.mesh.sidecars import Sidecar

#: rules by domain, each with its number in the order of the gateway
_Rules = HostIndex[tuple[int, str, Route]]

_HTTP_PORT: Final = 80


class Matching:
    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self._known: dict[tuple[object, ...], list[list[Owner]]] = {}
        self._served: dict[tuple[int, str, bool], _Rules] = {}

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
        read = entry is None or not entry.opaque
        wanted = "http" if entry is None or read else "tls" if entry.protocol in TLS_LIKE else "tcp"
        owners = self._owners(name, sender, sidecar, wanted, port.value)
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
        return Fact.of(nowhere(request, places[0]), *places, reason=stopped)

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

    def _owners_in_mesh(self, host: str, sender: Sender, sidecar: Sidecar | None) -> list[Owner]:
        """Whose rules the client sees for the host, the most specific first."""
        groups: dict[tuple[int, str], list[Route]] = defaultdict(list)
        for route in self.mesh.routes.covering_in_mesh(host):
            owner = owner_of(route)
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
        owners = [Owner(owner_of(routes[0]), domain, routes) for (_, domain), routes in groups.items()]
        return sorted(owners, key=lambda owner: specificity(owner.domain))

    def _owners(
        self, host: str, sender: Sender, sidecar: Sidecar | None, protocol: str, port: int
    ) -> list[list[Owner]]:
        """Those whose rules may be for the client, by the domains of the host; the same for all requests."""
        labels = None if sender.labels is None else tuple(sorted(sender.labels.items()))
        key = (host, sender.namespace, labels, id(sidecar), protocol, port)
        known = self._known.get(key)
        if known is None:
            by_domain: dict[str, list[Owner]] = defaultdict(list)
            for owner in self._owners_in_mesh(host, sender, sidecar):
                routes = [r for r in owner.routes if r.protocol == protocol and yields(r, sender, port)]
                if routes:
                    by_domain[owner.domain].append(replace(owner, routes=routes))
            known = self._known[key] = list(by_domain.values())
        return known

    def _chosen(
        self,
        owners: list[list[Owner]],
        request: HttpRequest,
        sender: Sender,
        host: str,
        protocol: str,
        services: list[Service],
    ) -> Fact[Served] | None:
        """The answer of those who own the host for this client; None: nobody has a rule for it."""
        for found in owners:
            ours = [owner for owner in found if not owner.gateway_api]
            theirs = self._for_client([o for o in found if o.gateway_api], sender, request.port, services)
            if ours and theirs:
                places = [o.resource.place() for o in (ours[0], theirs[0])]
                return Fact.missing(f"both APIs have routes for {host}, and the order is open", *places)
            if ours and protocol != "http":
                return merged(ours, request, sender, ours[0].resource.place(), self._delegate_open)
            if ours:
                return self._of_virtual_services(ours, request, sender, host)
            if theirs:
                rules = [(route, match) for o in theirs for route in o.routes for match in matches_of(route)]
                return by_precedence(rules, request, theirs[0].resource.place())
        return None

    def _for_client(
        self, owners: list[Owner], sender: Sender, port: int | None, services: list[Service]
    ) -> list[Owner]:
        """Routes of the client's namespace, else those of the service's (1.14: consumer and producer)."""
        at_port = [owner for owner in owners if parent_port(owner.resource, owner.domain, port)]
        homes = {service.namespace for service in services}
        consumers = [o for o in at_port if o.resource.ns == sender.namespace and o.resource.ns not in homes]
        return consumers or [o for o in at_port if o.resource.ns in homes]

    def _of_virtual_services(
        self, owners: list[Owner], request: HttpRequest, sender: Sender, host: str
    ) -> Fact[Served]:
        """Rules for HTTP are not merged: the first one has the host. Its age decides, where it is written."""
        first = visible_first(owners, sender.namespace, self.mesh.routes.default_exports)
        answers = [first_of(owner, request, MESH, sender, self._delegate_open) for owner in first]
        if len(answers) == 1:
            return answers[0]
        titles = " and ".join(owner.resource.title for owner in first[:2])
        return agreed(answers, f"{titles} are both for {host}, and which is older is not in the input")

    # -- through a gateway --------------------------------------------------------------------------------

    def at_gateway(self, request: HttpRequest, host: str, namespace: str, name: str) -> Fact[Served]:
        """The rule for a request that enters at a gateway of either API."""
        gateways = self.mesh.gateways.find(namespace, name)
        if not gateways and f"{namespace}/{name}" == KEY and self.mesh.config.kyma:
            return self._at_kyma_gateway(request, host)
        if not gateways:
            return Fact.missing(f"the gateway {namespace}/{name} is not in the input")
        answers = [self._through(gateway, request, host) for gateway in gateways]
        return agreed(answers, f"the input holds several gateways {namespace}/{name}, which differ")

    def _at_kyma_gateway(self, request: HttpRequest, host: str) -> Fact[Served]:
        """What no rule names may be a host of another Gateway of the same pods, or of none."""
        found = self._through(self._kyma_gateway, request, host)
        if found.known and found.value.way is Way.NOWHERE and not found.reason:
            return Fact.missing(f"no rule for {host} names {KEY}, whose hosts are not in the input")
        return found

    def _through(self, gateway: Gateway, request: HttpRequest, host: str) -> Fact[Served]:
        servers = [s for s in gateway.servers if request.port in (None, s.port) and _offers(s, host)]
        if request.scheme:
            servers = [s for s in servers if (s.protocol in TLS_LIKE) is (request.scheme == "https")]
        if request.port is None:
            servers = [s for s in servers if not s.https_redirect] or servers
        other = self._offered_beside(gateway, servers, request, host)
        if other is not None:
            title, place = other.resource.title, other.place
            return Fact.missing(
                f"{title}, for the same pods, offers {host} too, and it may take the request", place
            )
        if not servers:
            return Fact.of(nowhere(request, gateway.resource.place(), gateway), gateway.resource.place())
        closest = min(specificity(_offered(s, host)) for s in servers)
        servers = [s for s in servers if specificity(_offered(s, host)) == closest]
        answers = _not_sent_to_https([self._at_server(gateway, s, request, host) for s in servers], request)
        ports = " and ".join(dict.fromkeys(str(s.port) for s in servers))
        return agreed(
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
        scheme = request.scheme or ("https" if server.protocol in TLS_LIKE else "http")
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
            owners += _owners_of(self._rules_at(g, s, wanted), g, host)
            doubtful += _owners_of(self._rules_at(g, s, wanted, unsure=True), g, host)
        owners, doubtful = _narrowest(owners), _narrowest(doubtful)
        if doubtful and (not owners or specificity(doubtful[0].domain) <= specificity(owners[0].domain)):
            title = doubtful[0].resource.title
            return Fact.missing(f"whether the gateway sees {title} is not in the input", place)
        if not owners:
            return Fact.of(nowhere(request, place, gateway), place)
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
        self, owners: list[Owner], gateway: Gateway, request: HttpRequest, place: Place
    ) -> Fact[Served]:
        if owners[0].gateway_api:
            rules = [(route, match) for o in owners for route in o.routes for match in matches_of(route)]
            found = by_precedence(rules, request, place)
        else:
            sender = self.sender_of(gateway)
            found = merged(owners, request, sender, place, self._delegate_open)
        if not found.known:
            return found
        return Fact.of(replace(found.value, gateway=gateway), *found.because, reason=found.reason)

    def _rules_at(self, gateway: Gateway, server: Server, protocol: str, *, unsure: bool = False) -> _Rules:
        """Rules that a server has, by their domains there."""
        key = (id(server), protocol, unsure)
        known = self._served.get(key)
        if known is None:
            known = self._served[key] = HostIndex()
            if unsure:
                routes = self._unsure.get(id(gateway), [])
            else:
                routes = self._at_kyma if _is_kymas(gateway) else self.mesh.routes.at_gateway(gateway)
            for number, route in enumerate(routes):
                for domain in _domains(route, gateway, server) if route.protocol == protocol else ():
                    known.add(domain, (number, domain, route))
        return known

    @cached_property
    def _kyma_gateway(self) -> Gateway:
        return kyma_gateway()

    @cached_property
    def _at_kyma(self) -> list[Route]:
        return routes_at(self.mesh)

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


def _not_sent_to_https(answers: list[Fact[Served]], request: HttpRequest) -> list[Fact[Served]]:
    """A request without port and scheme is not one to a server that only sends it to https."""
    if request.port is not None or request.scheme:
        return answers
    return [a for a in answers if not (a.known and to_https(a.value))] or answers


def _merge(one: Server, other: Server) -> bool:
    """Are two servers of a port merged, so that their hosts are one list?"""
    return all(s.asks == "http" and s.protocol not in TLS_LIKE and not s.https_redirect for s in (one, other))


def _owners_of(rules: _Rules, gateway: Gateway, host: str) -> list[Owner]:
    """Those who have rules for a host at a server, with their narrowest domains."""
    found = rules.covering(host)
    short, dot, _ = host.partition(".")
    if dot and _is_kymas(gateway):  # the short host of an APIRule is in whatever domain the Gateway has
        found += [(number, host, route) for number, _, route in rules.exact(short) if route.api == "APIRule"]
    narrowest: dict[int, tuple[str, Route]] = {}
    for number, domain, route in found:
        if number not in narrowest or specificity(domain) < specificity(narrowest[number][0]):
            narrowest[number] = domain, route
    groups: dict[tuple[int, str], list[Route]] = defaultdict(list)
    for _, (domain, route) in sorted(narrowest.items(), key=lambda item: item[0]):
        groups[id(owner_of(route)), domain].append(route)
    return [Owner(owner_of(routes[0]), domain, routes, gateway) for (_, domain), routes in groups.items()]


def _is_kymas(gateway: Gateway) -> bool:
    return gateway.resource.file.path == FILE


def _narrowest(owners: list[Owner]) -> list[Owner]:
    """Those with the most specific domain, each once."""
    if not owners:
        return []
    best = min(specificity(owner.domain) for owner in owners)
    found = [owner for owner in owners if specificity(owner.domain) == best]
    return list({(id(owner.resource), owner.context): owner for owner in found}.values())


def _domains(route: Route, gateway: Gateway, server: Server) -> list[str]:
    """The domains of a rule at a server."""
    if gateway.api == "gateway-api" and not attached(route.resource, gateway, server):
        return []
    if gateway.api == "istio" and route.api == "VirtualService":
        return intersect(server_hosts(server, owner_of(route).ns), route.hosts)
    offered = [host for _, host in server.hosts]
    return intersect(offered, _completed(route.hosts, offered) if route.api == "APIRule" else route.hosts)


def _completed(hosts: tuple[str, ...], offered: list[str]) -> list[str]:
    """Hosts of an APIRule; short ones are in the domain of the Gateway, if it has one (ecosystem f.4)."""
    domains = {host[1:] for host in offered if host.startswith("*.")}
    domain = domains.pop() if len(domains) == 1 else ""
    return [host if "." in host else host + domain for host in hosts]


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


def _offers(server: Server, host: str) -> bool:
    return any(covers(offered, host) for _, offered in server.hosts)


def _offered(server: Server, host: str) -> str:
    return min((h for _, h in server.hosts if covers(h, host)), key=specificity)
