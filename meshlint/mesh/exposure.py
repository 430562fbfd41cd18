"""Where do requests from outside enter, and which workload do they reach? (spec security 4.5)

One Exposure is one rule, Service or port that lets outside callers reach one workload. What only
serves clients inside of the mesh, redirects, or answers by itself exposes nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING

from meshlint.mesh.attachment import Proxy, ProxyKind, proxy_of
from meshlint.mesh.authz import Peer
from meshlint.mesh.claims import CLAIMS
from meshlint.mesh.dataplane import DataPlane
from meshlint.mesh.ingress import IngressBackend, backends_of, class_of
from meshlint.mesh.labels import GATEWAY_CLASS, GATEWAY_NAME
from meshlint.mesh.routes import Destination, Route, applies, destination_port
from meshlint.records import dataclass
from meshlint.resources import Place, Resource
from meshlint.source.nodes import Mapping, Node, int_of, mappings, string_map, text_of, texts

if TYPE_CHECKING:
    from meshlint.mesh.gateways import Gateway, Server
    from meshlint.mesh.mesh import Mesh
    from meshlint.mesh.registry import Service
    from meshlint.mesh.workloads import Workload

INGRESS_SELECTOR = {"istio": "ingressgateway"}
_KNATIVE_GATEWAY = ("knative-serving", "knative-ingress-gateway")
_HTTP_SERVERS = frozenset(("HTTP", "HTTP2", "GRPC", "HTTPS", "GRPC-WEB"))
_CLIENT_CERTIFICATES = frozenset(("MUTUAL", "OPTIONAL_MUTUAL", "ISTIO_MUTUAL"))


@dataclass(frozen=True, slots=True)
class Match:
    """What a route matches. `kind`: any, exact, prefix (of the string), segments (prefix of path
    segments), template or regex. No methods: all of them.
    """

    kind: str = "any"
    path: str = ""
    methods: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rewrite:
    """What the gateway makes of the request; `kind`: prefix, full, regex or '' for the path as it is."""

    kind: str = ""
    path: str = ""
    host: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """A gateway where requests enter. `ports` are those its listeners bind, `peer` what it sees of
    the caller, `identity` the caller that workloads behind it see. `internal`: inside of a network.
    """

    proxy: Proxy
    gateway: Resource | None
    ports: tuple[int | None, ...]
    peer: Peer
    identity: Peer
    internal: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Exposure:
    """`entries` are the gateways that read the requests; empty if they enter elsewhere: `direct` at the
    workload, else at a controller or gateway that is not in the input. `http` False: no proxy reads
    the requests, so that none can ask for a token. `port` is that of the container.
    """

    way: str
    resource: Resource
    place: Place
    hosts: tuple[str, ...] = ()
    matches: tuple[Match, ...] = (Match(),)
    entries: tuple[Entry, ...] = ()
    direct: bool = False
    http: bool = True
    rewrite: Rewrite = Rewrite()
    service: Service | None = None
    workload: Workload | None = None
    port: int | None = None
    #: the rule of an APIRule, which decides by itself whether a token is required
    api_rule: Mapping | None = None

    #: the host that the request is sent to, where it is none of the input
    host: str = ""

    @property
    def target(self) -> str:
        """How messages call what is exposed."""
        if self.workload is not None:
            return self.workload.title
        return self.service.resource.title if self.service is not None else self.host


class Exposures:
    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self._entries: dict[tuple[int, int | None], Entry | None] = {}
        self._proxies: dict[int, list[Proxy]] = {}

    @cached_property
    def all(self) -> list[Exposure]:
        found = [e for route in self.mesh.routes.all for e in self._of_route(route)]
        found += self._of_ingresses()
        found += self._of_services()
        found += self._of_host_ports()
        found += self._of_knative()
        return found

    @cached_property
    def _by_workload(self) -> dict[int, list[Exposure]]:
        index: dict[int, list[Exposure]] = defaultdict(list)
        for exposure in self.all:
            if exposure.workload is not None:
                index[id(exposure.workload)].append(exposure)
        return index

    def of(self, workload: Workload) -> list[Exposure]:
        return self._by_workload.get(id(workload), [])

    def proxies_of(self, gateway: Gateway) -> list[Proxy]:
        """The proxies that serve a gateway; one known by its labels alone where no pods are in the input."""
        found = self._proxies.get(id(gateway))
        if found is None:
            found = self._proxies[id(gateway)] = self._find_proxies(gateway)
        return found

    def _find_proxies(self, gateway: Gateway) -> list[Proxy]:
        workloads = self.mesh.gateways.workloads_of(gateway)
        if workloads:
            return [proxy_of(w) for w in workloads]
        if gateway.api == "gateway-api":
            return [_managed(gateway)]
        namespace = self.mesh.config.root if gateway.selector == INGRESS_SELECTOR else ""
        return [Proxy(ProxyKind.GATEWAY, namespace, gateway.selector, complete=False)]

    def _of_route(self, route: Route) -> Iterator[Exposure]:
        if route.action != "route" or not route.bound:
            return
        gateways = [g for g in route.gateways if not _inner(g)]
        matches = tuple(self._matches(route, gateways))
        if not matches or not (gateways or route.missing_gateways):
            return
        servers = [s for g in gateways for s in _servers(g, route)]
        entries = tuple(e for g in gateways if g.istio for e in self._entries_of(g, route))
        read = route.protocol == "http" and (not gateways or any(_reads_http(s) for s in servers))
        for destination in route.destinations:
            for service, workload, port in self._behind(destination):
                yield Exposure(
                    way=route.api,
                    resource=route.resource,
                    place=_route_place(route),
                    hosts=route.hosts,
                    matches=matches,
                    entries=entries if read else (),
                    direct=bool(gateways) and all(g.istio is False for g in gateways),
                    http=read,
                    rewrite=_rewrite(route),
                    service=service,
                    workload=workload,
                    port=port,
                    host=destination.host,
                    api_rule=route.node if route.api == "APIRule" else None,
                )

    def _matches(self, route: Route, gateways: list[Gateway]) -> Iterator[Match]:
        if route.api == "VirtualService":
            keys = [f"{g.namespace}/{g.name}" for g in gateways] or route.missing_gateways
            namespace = route.resource.ns
            used = [m for m in route.matches if any(applies(m, key, namespace) for key in keys)]
            if not route.matches:
                yield Match()
            for match in used:
                headers = match.get("headers")
                if isinstance(headers, Mapping) and any(h.startswith(CLAIMS) for h in headers):
                    continue
                yield _virtual_service_match(match)
        elif route.api == "APIRule":
            yield _api_rule_match(route.node)
        else:
            for match in route.matches:
                yield _gateway_api_match(match, route.api)
            if not route.matches:
                yield Match("segments", "/")

    def _behind(
        self, destination: Destination
    ) -> Iterator[tuple[Service | None, Workload | None, int | None]]:
        """Services, workloads and container ports that a destination reaches."""
        for service in destination.services:
            yield from self._of_service(service, destination.port)
        if not destination.services:
            yield None, None, None

    def _of_service(
        self, service: Service, number: int | None
    ) -> Iterator[tuple[Service | None, Workload | None, int | None]]:
        workloads = self.mesh.registry.workloads_of(service)
        entry = destination_port(service, number)
        for workload in workloads:
            port = self.mesh.registry.target_port(service, entry, workload) if entry else None
            yield service, workload, port.value if port is not None and port.known else None
        if not workloads:
            yield service, None, None

    def _entries_of(self, gateway: Gateway, route: Route) -> Iterator[Entry]:
        servers = [s for s in _servers(gateway, route) if _reads_http(s) and not s.https_redirect]
        certificates = any(s.tls_mode in _CLIENT_CERTIFICATES for s in servers)
        ports = tuple(dict.fromkeys(s.port for s in servers))
        for proxy in self.proxies_of(gateway):
            yield Entry(
                proxy=proxy,
                gateway=gateway.resource,
                ports=tuple(self.bound_port(proxy, p) for p in ports) or (None,),
                peer=Peer() if certificates else Peer(mtls=False),
                identity=self.identity(proxy, gateway),
                internal=self._internal(proxy),
            )

    def bound_port(self, proxy: Proxy, port: int) -> int | None:
        """What a server's port is for the proxy: the target port of the gateway's Service."""
        if proxy.workload is None:
            return None
        for service in self.mesh.registry.services_of(proxy.workload):
            if service.port(port) is not None:
                target = self.mesh.registry.target_port(service, port, proxy.workload)
                return target.value if target.known else None
        return port

    def identity(self, proxy: Proxy, gateway: Gateway | None) -> Peer:
        """Who a gateway is for the servers that it calls."""
        domain = self.mesh.config.trust_domain
        account = None
        if proxy.workload is not None:
            account = proxy.workload.service_account
        elif gateway is not None and gateway.api == "gateway-api":
            account = f"{gateway.name}-{gateway.class_name}"
        return Peer(True, domain.value if domain.known else None, proxy.namespace or None, account)

    def _internal(self, proxy: Proxy) -> bool:
        if proxy.workload is None:
            return False
        services = self.mesh.registry.services_of(proxy.workload)
        return bool(services) and all(_inside(s.resource) for s in services)

    def _of_ingresses(self) -> Iterator[Exposure]:
        for resource in self.mesh.scope.of("networking.k8s.io", "Ingress"):
            handler = class_of(self.mesh, resource)
            for backend in backends_of(resource):
                yield from self._of_backend(resource, handler, backend)
        for resource in self.mesh.scope.of("route.openshift.io", "Route"):
            name = resource.text("spec", "to", "name")
            host = resource.text("spec", "host")
            passthrough = resource.text("spec", "tls", "termination") == "passthrough"
            place = resource.place_at("spec", "to", "name")
            for service in self._named(resource.ns, name or ""):
                for _, workload, port in self._of_service(service, None):
                    yield Exposure(
                        "Route", resource, place, (host,) if host else (), direct=True,
                        http=not passthrough, service=service, workload=workload, port=port,
                    )  # fmt: skip

    def _of_backend(
        self, resource: Resource, handler: str | None, backend: IngressBackend
    ) -> Iterator[Exposure]:
        entries = (self._ingress_gateway(),) if handler == "istio" else ()
        for service in self._named(resource.ns, backend.service):
            number = backend.port
            if number is None and backend.port_name:
                named = service.port_named(backend.port_name)
                number = named.number if named else None
            for _, workload, port in self._of_service(service, number):
                yield Exposure(
                    way="Ingress",
                    resource=resource,
                    place=resource.place(backend.node),
                    hosts=(backend.host,) if backend.host else (),
                    matches=(Match(backend.kind, backend.path),),
                    entries=entries,
                    direct=handler == "other",
                    service=service,
                    workload=workload,
                    port=port,
                )

    def _named(self, namespace: str, name: str) -> list[Service]:
        return self.mesh.registry.by_host(f"{name}.{namespace}.svc.{self.mesh.registry.domain}")

    def _ingress_gateway(self) -> Entry:
        """The gateway that serves Ingresses: meshConfig.ingressSelector, by default Istio's own."""
        setting = self.mesh.config.setting("ingressSelector")
        selector = setting.value if setting.known and isinstance(setting.value, dict) else INGRESS_SELECTOR
        found = self.mesh.workloads.matching(selector)
        if found:
            proxy = proxy_of(found[0])
        else:
            namespace = self.mesh.config.root if selector == INGRESS_SELECTOR else ""
            proxy = Proxy(ProxyKind.GATEWAY, namespace, selector, complete=False)
        return Entry(proxy, None, (None,), Peer(mtls=False), self.identity(proxy, None), False)

    def _of_services(self) -> Iterator[Exposure]:
        for service in self.mesh.registry.services:
            place = _published(service.resource) if service.kind in ("service", "headless") else None
            if place is None or _inside(service.resource):
                continue
            for workload in self.mesh.registry.workloads_of(service):
                if self._is_gateway(workload):
                    continue
                for port in service.ports:
                    target = self.mesh.registry.target_port(service, port, workload)
                    yield Exposure(
                        "Service", service.resource, place, direct=True, http=not port.opaque,
                        service=service, workload=workload, port=target.value if target.known else None,
                    )  # fmt: skip

    def _of_host_ports(self) -> Iterator[Exposure]:
        for workload in self.mesh.workloads.all:
            if workload.host_network or workload.control_plane or self._is_gateway(workload):
                continue
            for port in workload.ports:
                node = port.node.get("hostPort")
                if int_of(node):
                    place = workload.resource.place(node)
                    yield Exposure(
                        "hostPort", workload.resource, place, direct=True, http=port.protocol == "TCP",
                        workload=workload, port=port.number,
                    )  # fmt: skip

    def _of_knative(self) -> Iterator[Exposure]:
        """Knative Services, which Knative's own gateway exposes unless they say otherwise."""
        gateways = self.mesh.gateways.find(*_KNATIVE_GATEWAY, "istio")
        for workload in self.mesh.workloads.all:
            resource = workload.resource
            if resource.group != "serving.knative.dev" or resource.kind != "Service":
                continue
            if resource.labels.get("networking.knative.dev/visibility") == "cluster-local":
                continue
            entries = tuple(
                Entry(proxy, gateway.resource, (None,), Peer(mtls=False), self.identity(proxy, gateway))
                for gateway in gateways
                for proxy in self.proxies_of(gateway)
            )
            yield Exposure("Knative", resource, resource.place(), entries=entries, workload=workload)

    def _is_gateway(self, workload: Workload) -> bool:
        if workload.control_plane or GATEWAY_NAME in workload.labels or id(workload) in self._serving:
            return True
        return self.mesh.data_planes.of(workload).is_(DataPlane.GATEWAY, DataPlane.WAYPOINT)

    @cached_property
    def _serving(self) -> set[int]:
        gateways = self.mesh.gateways
        return {id(w) for g in gateways.all if g.api == "istio" for w in gateways.workloads_of(g)}


def _managed(gateway: Gateway) -> Proxy:
    """The proxy that Istio deploys for a Gateway API Gateway; its own where addresses are given."""
    resource = gateway.resource
    labels = {**resource.labels, **string_map(resource.get("spec", "infrastructure", "labels"))}
    labels[GATEWAY_NAME] = gateway.name
    labels[GATEWAY_CLASS] = gateway.class_name
    own = bool(resource.mappings("spec", "addresses"))
    return Proxy(ProxyKind.GATEWAY, gateway.namespace, labels, complete=not own, gateway=gateway.name)


def _inner(gateway: Gateway) -> bool:
    """Does a gateway only serve the mesh: a waypoint, an egress or an east-west gateway?"""
    if gateway.waypoint or gateway.class_name == "istio-east-west":
        return True
    texts_ = (gateway.name, *gateway.selector.values())
    return any("egress" in text or "eastwest" in text for text in texts_)


def _servers(gateway: Gateway, route: Route) -> list[Server]:
    if gateway.api != "istio" or route.api != "VirtualService":
        return list(gateway.servers)
    root = route.root or route
    namespace = root.resource.ns
    return gateway.offers.servers(namespace, route.hosts)


def _reads_http(server: Server) -> bool:
    return server.protocol in _HTTP_SERVERS and server.asks != "tls"


def _inside(service: Resource) -> bool:
    """Is a Service only reachable inside of a network?"""
    kind = service.text("spec", "type") or "ClusterIP"
    if kind == "ClusterIP":
        return not texts(service.get("spec", "externalIPs"))
    return any(
        value.lower() == "internal" or ("internal" in key and value.lower() in ("true", "yes"))
        for key, value in service.annotations.items()
    )


def _published(service: Resource) -> Place | None:
    """What makes a Service reachable from outside."""
    if service.text("spec", "type") in ("LoadBalancer", "NodePort"):
        return service.place_at("spec", "type")
    if texts(service.get("spec", "externalIPs")):
        return service.place_at("spec", "externalIPs", part="key")
    return None


def _route_place(route: Route) -> Place:
    if route.api != "APIRule":
        return route.place()
    for key in ("noAuth", "jwt", "extAuth"):
        if route.node.get(key) is not None:
            return route.place(key, part="key")
    if mappings(route.node.get("accessStrategies")):
        return route.place("accessStrategies", 0, "handler")
    return route.place()


def _virtual_service_match(match: Mapping) -> Match:
    method = text_of(match.dig("method", "exact"))
    methods = (method,) if method else ()
    for kind in ("exact", "prefix", "regex"):
        path = text_of(match.dig("uri", kind))
        if path is not None:
            return Match(kind, path, methods)
    return Match("any", "", methods)


def _gateway_api_match(match: Mapping, api: str) -> Match:
    if api == "GRPCRoute":
        service, method = text_of(match.dig("method", "service")), text_of(match.dig("method", "method"))
        if service and method:
            return Match("exact", f"/{service}/{method}", ("POST",))
        return Match("segments", f"/{service}" if service else "/", ("POST",))
    method = text_of(match.get("method"))
    methods = (method,) if method else ()
    path = text_of(match.dig("path", "value")) or "/"
    kind = text_of(match.dig("path", "type")) or "PathPrefix"
    kinds = {"Exact": "exact", "PathPrefix": "segments", "RegularExpression": "regex"}
    return Match(kinds.get(kind, "regex"), path, methods)


def _api_rule_match(node: Mapping) -> Match:
    methods = tuple(item.text for item in texts(node.get("methods")))
    path = text_of(node.get("path")) or "/"
    if path in ("/*", "/.*"):
        return Match("prefix", "/", methods)
    if "{" in path:
        return Match("template", path, methods)
    return Match("regex" if any(c in path for c in "*()[]|+") else "exact", path, methods)


def _rewrite(route: Route) -> Rewrite:
    node = route.rewrite if route.api == "VirtualService" else _url_rewrite(route.node)
    if not isinstance(node, Mapping):
        return Rewrite()
    if route.api != "VirtualService":
        kinds = {"ReplaceFullPath": "full", "ReplacePrefixMatch": "prefix"}
        kind = kinds.get(text_of(node.dig("path", "type")) or "", "")
        path = text_of(node.dig("path", "replaceFullPath")) or text_of(node.dig("path", "replacePrefixMatch"))
        return Rewrite(kind, path or "", text_of(node.get("hostname")) or "")
    host = text_of(node.get("authority")) or ""
    if node.get("uriRegexRewrite") is not None:
        return Rewrite("regex", "", host)
    path = text_of(node.get("uri"))
    return Rewrite("" if path is None else "prefix", path or "", host)


def _url_rewrite(rule: Mapping) -> Node | None:
    for entry in mappings(rule.get("filters")):
        if text_of(entry.get("type")) == "URLRewrite":
            return entry.get("urlRewrite")
    return None
