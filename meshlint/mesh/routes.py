"""Which rules carry traffic from which hosts and gateways to which services?

One Route is one rule: of a VirtualService (delegates merged into their roots), of a route of the
Gateway API, or of a Kyma APIRule. Spec traffic 1.8 to 1.10, 1.14, 1.15; security 6.1; ecosystem f.4.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import field, replace
from typing import TYPE_CHECKING, Final

from meshlint.mesh.delegates import default_exports, exported_to, is_delegate, survives
from meshlint.mesh.hosts import HostIndex, intersect
from meshlint.mesh.scope import GATEWAY_API, ISTIO_NETWORKING, KYMA_GATEWAY
from meshlint.records import dataclass
from meshlint.resources import Place
from meshlint.source.nodes import (
    Mapping,
    Node,
    int_of,
    mappings,
    string_map,
    text_of,
    texts,
)

if TYPE_CHECKING:
    from meshlint.mesh.gateways import Gateway, Server
    from meshlint.mesh.mesh import Mesh
    from meshlint.mesh.registry import Service, ServicePort
    from meshlint.resources import Resource

MESH: Final = "mesh"
_GATEWAY_ROUTES: Final = {"HTTPRoute": "http", "GRPCRoute": "http", "TLSRoute": "tls", "TCPRoute": "tcp"}
LISTENER_KINDS: Final = {
    "HTTP": frozenset({"HTTPRoute", "GRPCRoute"}),
    "HTTPS": frozenset({"HTTPRoute", "GRPCRoute"}),
    "TLS": frozenset({"TLSRoute", "TCPRoute"}),
    "TCP": frozenset({"TCPRoute"}),
}
#: what a delegate's rule takes from the rule of its root where it does not say it itself
_INHERITED: Final = frozenset(
    {
        "rewrite", "directResponse", "timeout", "retries", "fault", "mirror", "mirrors", "mirrorPercent",
        "mirrorPercentage", "mirror_percent", "corsPolicy", "headers",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Destination:
    """Where a rule sends a share of its traffic. `host` is the full name, `services` those of it.

    `node` is the entry of `route` or `backendRefs`; `weight` is None where none is written.
    """

    host: str
    port: int | None
    subset: str | None
    weight: int | None
    node: Node
    services: tuple[Service, ...]


@dataclass(frozen=True, slots=True)
class Client:
    """Who calls: a pod, and the port that it calls."""

    namespace: str
    labels: dict[str, str]
    port: int


@dataclass(frozen=True, slots=True, eq=False)
class Binding:
    """To what the routes of one resource are attached; shared by all of its rules.

    `gateways` certainly serve it; `other_gateways` exist but have no server, listener or permission
    for it; `unsure_gateways` hang on evidence that is not in the input; `missing` are names that the
    input does not define.
    """

    hosts: tuple[str, ...] = ()
    mesh_hosts: tuple[str, ...] = ()
    gateways: tuple[Gateway, ...] = ()
    other_gateways: tuple[Gateway, ...] = ()
    unsure_gateways: tuple[Gateway, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def dead(self) -> bool:
        """Is it certain that no proxy uses it? Something it names exists, and nothing serves it."""
        alive = self.mesh_hosts or self.gateways or self.unsure_gateways or self.missing
        return bool(self.other_gateways) and not alive


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """One rule. `resource` and `node` are those of the rule itself, for a delegate the delegate's.

    `root` is the rule that delegates to this one. `hosts` are the full names, for `mesh` and gateways
    alike; `mesh_hosts` are what clients in the mesh call. `bound` is False for the rules of a
    delegate that no root in the input names, `shadowed` True where an earlier rule takes every request.
    """

    resource: Resource
    node: Mapping
    api: str
    protocol: str
    binding: Binding
    matches: list[Mapping]
    action: str
    destinations: tuple[Destination, ...] = ()
    mirrors: tuple[Destination, ...] = ()
    root: Route | None = None
    bound: bool = True
    shadowed: bool = False

    @property
    def hosts(self) -> tuple[str, ...]:
        return self.binding.hosts

    @property
    def mesh_hosts(self) -> tuple[str, ...]:
        return self.binding.mesh_hosts

    @property
    def mesh(self) -> bool:
        """Do clients inside of the mesh use it?"""
        return bool(self.binding.mesh_hosts)

    @property
    def gateways(self) -> list[Gateway]:
        """Gateways of the input that serve it."""
        return list(self.binding.gateways)

    @property
    def missing_gateways(self) -> list[str]:
        """Gateways that it names and the input does not define, as namespace/name."""
        return list(self.binding.missing)

    @property
    def rewrite(self) -> Node | None:
        found = self.setting("rewrite")
        return found[1] if found else None

    @property
    def title(self) -> str:
        return self.resource.title

    def setting(self, name: str) -> tuple[Resource, Node] | None:
        """A field of the rule and the resource that writes it; delegates inherit from their root."""
        own = self.node.get(name)
        if own is not None:
            return self.resource, own
        if self.root is not None and name in _INHERITED:
            return self.root.setting(name)
        return None

    def place(self, *path: str | int, part: str = "value") -> Place:
        """The place of a part of the rule; without a path, of its first key."""
        return self.resource.place_at(*path, part=part, inside=self.node)


@dataclass(slots=True)
class _Index:
    by_service: dict[int, list[Route]] = field(default_factory=lambda: defaultdict(list))
    by_gateway: dict[int, list[Route]] = field(default_factory=lambda: defaultdict(list))
    by_resource: dict[int, list[Route]] = field(default_factory=lambda: defaultdict(list))
    by_mesh_host: HostIndex[Route] = field(default_factory=HostIndex)


class Routes:
    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.default_exports = default_exports(mesh)
        self.all: list[Route] = [
            *_VirtualServices(mesh, self.default_exports).routes(),
            *_GatewayApi(mesh).routes(),
            *_ApiRules(mesh).routes(),
        ]
        self._index = self._build_index()

    def to_service(self, service: Service) -> list[Route]:
        """Rules that have the service among their destinations (mirrors do not count)."""
        return self._index.by_service.get(id(service), [])

    def at_gateway(self, gateway: Gateway) -> list[Route]:
        """Rules that a gateway serves."""
        return self._index.by_gateway.get(id(gateway), [])

    def of(self, resource: Resource) -> list[Route]:
        """Rules that stand in a resource."""
        return self._index.by_resource.get(id(resource), [])

    def in_mesh(self, host: str) -> list[Route]:
        """Rules that decide what happens when a client in the mesh calls a host: the most specific."""
        return self._index.by_mesh_host.best(host)

    def covering_in_mesh(self, host: str) -> list[Route]:
        """All rules for clients in the mesh whose hosts cover a host, the exact ones first."""
        return self._index.by_mesh_host.covering(host)

    def unused_http(self, route: Route) -> bool:
        """Is it certain that no client uses the HTTP rule, as its hosts have opaque ports only?

        Gateways route HTTP to whatever the rule names; only in the mesh does the port decide (1.7).
        """
        binding = route.binding
        if not binding.mesh_hosts or binding.gateways or binding.missing or route.api != "VirtualService":
            return False
        return all(self._opaque(host) for host in binding.mesh_hosts)

    def served_by_istio(self, route: Route) -> bool:
        """Is it certain that a proxy of Istio reads it? The Gateway API has other implementations."""
        return route.mesh or any(gateway.istio for gateway in route.binding.gateways)

    def reaches_everybody(self, route: Route) -> bool:
        """Do clients of all namespaces use it in the mesh? (exportTo; consumer routes of the Gateway API)"""
        owner = route.root.resource if route.root else route.resource
        if route.api == "VirtualService":
            return exported_to(owner, "", self.default_exports)
        services = (s for host in route.mesh_hosts for s in self.mesh.registry.by_host(host))
        return any(service.namespace == owner.ns for service in services)

    def _opaque(self, host: str) -> bool:
        services = self.mesh.registry.by_host(host)
        return bool(services) and all(s.ports and all(p.opaque for p in s.ports) for s in services)

    def _build_index(self) -> _Index:
        index = _Index()
        for route in self.all:
            index.by_resource[id(route.resource)].append(route)
            for service in {id(s): s for d in route.destinations for s in d.services}:
                index.by_service[service].append(route)
            for gateway in route.binding.gateways:
                index.by_gateway[id(gateway)].append(route)
            for host in route.mesh_hosts:
                index.by_mesh_host.add(host, route)
        return index


def gateway_key(name: str, namespace: str) -> str:
    """What an entry of a VirtualService's `gateways` means: ``mesh`` or ``namespace/name``."""
    if name == MESH:
        return MESH
    if "/" in name:
        before, _, after = name.partition("/")
        return f"{namespace if before == '.' else before}/{after}"
    if "." in name:
        parts = name.split(".")
        return f"{parts[1]}/{parts[0]}"
    return f"{namespace}/{name}"


def applies(match: Mapping, context: str, namespace: str, client: Client | None = None) -> bool:
    """Can an HTTP match apply in a context, ``mesh`` or a gateway key? (spec traffic 1.10)

    `namespace` is that of the VirtualService. A match that lists gateways ignores who the client is.
    """
    names = texts(match.get("gateways"))
    if names:
        return any(gateway_key(item.text, namespace) == context for item in names)
    if client is None:
        return True
    source = text_of(match.get("sourceNamespace")) or client.namespace
    port = int_of(match.get("port")) or client.port
    labels = string_map(match.get("sourceLabels"))
    return labels.items() <= client.labels.items() and (source, port) == (client.namespace, client.port)


class _VirtualServices:
    """VirtualServices -> routes."""

    def __init__(self, mesh: Mesh, exports: frozenset[str]) -> None:
        self.mesh = mesh
        self.registry = mesh.registry
        self.exports = exports

    def routes(self) -> Iterator[Route]:
        named: set[int] = set()
        delegates = []
        for resource in self.mesh.scope.of(ISTIO_NETWORKING, "VirtualService"):
            if is_delegate(resource):
                delegates.append(resource)
            else:
                yield from self._of_root(resource, named)
        for resource in delegates:
            if id(resource) not in named:
                for node in resource.mappings("spec", "http"):
                    yield self._http(resource, node, Binding(), None, bound=False)

    def _of_root(self, resource: Resource, named: set[int]) -> Iterator[Route]:
        binding = self._binding(resource)
        shadowed = False
        for node in resource.mappings("spec", "http"):
            root = self._http(resource, node, binding, None, shadowed=shadowed)
            yield root
            if root.action == "delegate":
                yield from self._delegated(root, named)
            elif "match" not in node.index:
                shadowed = True
        for protocol in ("tls", "tcp"):
            for node in resource.mappings("spec", protocol):
                yield Route(
                    resource, node, "VirtualService", protocol, binding, mappings(node.get("match")),
                    "route", tuple(self._destinations(resource, node.get("route"))),
                )  # fmt: skip

    def _delegated(self, root: Route, named: set[int]) -> Iterator[Route]:
        """The rules of the delegate that a root rule names; one level only."""
        name = text_of(root.node.dig("delegate", "name")) or ""
        namespace = text_of(root.node.dig("delegate", "namespace")) or root.resource.ns
        for resource in self.mesh.scope.find(ISTIO_NETWORKING, "VirtualService", namespace, name):
            if not is_delegate(resource) or not exported_to(resource, root.resource.ns, self.exports):
                continue
            named.add(id(resource))
            for node in resource.mappings("spec", "http"):
                if survives(root.node, node):
                    yield self._http(resource, node, root.binding, root, shadowed=root.shadowed)

    def _http(
        self,
        resource: Resource,
        node: Mapping,
        binding: Binding,
        root: Route | None,
        *,
        bound: bool = True,
        shadowed: bool = False,
    ) -> Route:
        matches = mappings(node.get("match"))
        mirrors = [node.get("mirror"), *(m.get("destination") for m in mappings(node.get("mirrors")))]
        return Route(
            resource=resource,
            node=node,
            api="VirtualService",
            protocol="http",
            binding=_narrowed(binding, matches, resource.ns),
            matches=matches,
            action=_http_action(node),
            destinations=tuple(self._destinations(resource, node.get("route"))),
            mirrors=tuple(self._destination(resource, m, m, None) for m in mirrors if isinstance(m, Mapping)),
            root=root,
            bound=bound,
            shadowed=shadowed,
        )

    def _destinations(self, resource: Resource, node: Node | None) -> Iterator[Destination]:
        for entry in mappings(node):
            target = entry.get("destination")
            if isinstance(target, Mapping):
                yield self._destination(resource, target, entry, int_of(entry.get("weight")))

    def _destination(
        self, resource: Resource, target: Mapping, entry: Node, weight: int | None
    ) -> Destination:
        host = text_of(target.get("host")) or ""
        port = int_of(target.dig("port", "number"))
        services = self.registry.lookup(host, resource.ns) if host else ()
        full = self.registry.resolve(host, resource.ns)
        return Destination(full, port, text_of(target.get("subset")), weight, entry, services)

    def _binding(self, resource: Resource) -> Binding:
        registry = self.registry
        hosts = tuple(
            registry.resolve(item.text, resource.ns) for item in texts(resource.get("spec", "hosts"))
        )
        names = [item.text for item in texts(resource.get("spec", "gateways"))] or [MESH]
        keys = dict.fromkeys(gateway_key(name, resource.ns) for name in names)
        serving: list[Gateway] = []
        others: list[Gateway] = []
        unsure: list[Gateway] = []
        missing = []
        for key in keys:
            if key == MESH:
                continue
            namespace, _, name = key.partition("/")
            found = self.mesh.gateways.find(namespace, name, "istio")
            for gateway in found:
                bound = self._serves(gateway, resource, hosts)
                (serving if bound else others if bound is False else unsure).append(gateway)
            if not found:
                # whether a Gateway of the Gateway API serves it depends on the version of Istio (1.14)
                foreign = self.mesh.gateways.find(namespace, name, "gateway-api")
                unsure += foreign
                missing += [] if foreign else [key]
        mesh_hosts = hosts if MESH in keys else ()
        return Binding(hosts, mesh_hosts, tuple(serving), tuple(others), tuple(unsure), tuple(missing))

    def _serves(self, gateway: Gateway, resource: Resource, hosts: tuple[str, ...]) -> bool | None:
        """Does the gateway serve a host of it, and see it? Its pods' namespace looks, not its own."""
        if not gateway.offers.hosts(resource.ns, hosts):
            return False
        if exported_to(resource, "", self.exports):
            return True
        namespaces = {workload.namespace for workload in self.mesh.gateways.workloads_of(gateway)}
        if not namespaces:
            return None
        return any(exported_to(resource, namespace, self.exports) for namespace in namespaces)


def server_hosts(server: Server, namespace: str) -> list[str]:
    """Hosts that a server offers to VirtualServices of a namespace."""
    return [host for admitted, host in server.hosts if admitted in ("*", namespace)]


def _narrowed(binding: Binding, matches: list[Mapping], namespace: str) -> Binding:
    """The binding of a rule all of whose matches name gateways, ``mesh`` among them."""
    listed = [[item.text for item in texts(match.get("gateways"))] for match in matches]
    if not listed or not all(listed):
        return binding
    keys = {gateway_key(name, namespace) for names in listed for name in names}

    def chosen(gateways: tuple[Gateway, ...]) -> tuple[Gateway, ...]:
        return tuple(g for g in gateways if f"{g.namespace}/{g.name}" in keys)

    return replace(
        binding,
        mesh_hosts=binding.mesh_hosts if MESH in keys else (),
        gateways=chosen(binding.gateways),
        other_gateways=chosen(binding.other_gateways),
        unsure_gateways=chosen(binding.unsure_gateways),
        missing=tuple(key for key in binding.missing if key in keys),
    )


def _http_action(node: Mapping) -> str:
    if node.get("delegate") is not None:
        return "delegate"
    if node.get("redirect") is not None:
        return "redirect"
    return "direct-response" if node.get("directResponse") is not None else "route"


class _GatewayApi:
    """HTTPRoute, GRPCRoute, TLSRoute, TCPRoute -> routes."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.registry = mesh.registry

    def routes(self) -> Iterator[Route]:
        for kind, protocol in _GATEWAY_ROUTES.items():
            for resource in self.mesh.scope.of(GATEWAY_API, kind):
                binding = self._binding(resource)
                for node in resource.mappings("spec", "rules"):
                    yield self._route(resource, node, protocol, binding)

    def _route(self, resource: Resource, node: Mapping, protocol: str, binding: Binding) -> Route:
        filters = mappings(node.get("filters"))
        redirects = any(text_of(f.get("type")) == "RequestRedirect" for f in filters)
        mirrors = [f.dig("requestMirror", "backendRef") for f in filters]
        return Route(
            resource=resource,
            node=node,
            api=resource.kind,
            protocol=protocol,
            binding=binding,
            matches=mappings(node.get("matches")),
            action="redirect" if redirects else "route",
            destinations=tuple(self._backend(resource, b) for b in mappings(node.get("backendRefs"))),
            mirrors=tuple(self._backend(resource, m) for m in mirrors if isinstance(m, Mapping)),
        )

    def _backend(self, resource: Resource, node: Mapping) -> Destination:
        name = text_of(node.get("name")) or ""
        kind = text_of(node.get("kind")) or "Service"
        namespace = text_of(node.get("namespace")) or resource.ns
        if kind == "Service":
            host = f"{name}.{namespace}.svc.{self.registry.domain}"
        else:
            host = name if kind == "Hostname" else ""
        services = tuple(self.registry.by_host(host)) if host else ()
        return Destination(host, int_of(node.get("port")), None, int_of(node.get("weight")), node, services)

    def _binding(self, resource: Resource) -> Binding:
        hosts = tuple(item.text for item in texts(resource.get("spec", "hostnames"))) or ("*",)
        parents = _Parents(self.mesh, resource, hosts)
        for ref in resource.mappings("spec", "parentRefs"):
            parents.add(ref)
        return parents.binding()


class _Parents:
    """The parentRefs of one route, sorted by what they mean."""

    def __init__(self, mesh: Mesh, resource: Resource, hosts: tuple[str, ...]) -> None:
        self.mesh = mesh
        self.resource = resource
        self.hosts = hosts
        self.mesh_hosts: list[str] = []
        self.attached: dict[bool | None, list[Gateway]] = {True: [], False: [], None: []}
        self.missing: list[str] = []

    def add(self, ref: Mapping) -> None:
        kind = text_of(ref.get("kind")) or "Gateway"
        namespace = text_of(ref.get("namespace")) or self.resource.ns
        name = text_of(ref.get("name")) or ""
        if kind == "Gateway":
            self._gateway(ref, namespace, name)
        elif kind == "Service":
            self.mesh_hosts.append(f"{name}.{namespace}.svc.{self.mesh.registry.domain}")
        elif kind == "ServiceEntry":
            for entry in self.mesh.scope.find(ISTIO_NETWORKING, "ServiceEntry", namespace, name):
                self.mesh_hosts += [item.text for item in texts(entry.get("spec", "hosts"))]
        else:
            self.missing.append(f"{namespace}/{name}")

    def binding(self) -> Binding:
        gateway_hosts = self.hosts if any(self.attached.values()) or self.missing else ()
        return Binding(
            hosts=tuple(dict.fromkeys((*gateway_hosts, *self.mesh_hosts))),
            mesh_hosts=tuple(dict.fromkeys(self.mesh_hosts)),
            gateways=tuple(self.attached[True]),
            other_gateways=tuple(self.attached[False]),
            unsure_gateways=tuple(self.attached[None]),
            missing=tuple(self.missing),
        )

    def _gateway(self, ref: Mapping, namespace: str, name: str) -> None:
        found = self.mesh.gateways.find(namespace, name, "gateway-api")
        if not found:
            self.missing.append(f"{namespace}/{name}")
        for gateway in found:
            answers = [
                self._admits(gateway, listener)
                for listener in gateway.servers
                if _names(ref, listener)
            ]  # fmt: skip
            attached = True if True in answers else None if None in answers else False
            self.attached[attached].append(gateway)

    def _admits(self, gateway: Gateway, listener: Server) -> bool | None:
        """Does a listener take the route? None where that hangs on labels not in the input."""
        kinds = mappings(listener.node.dig("allowedRoutes", "kinds"))
        allowed = (
            {text_of(k.get("kind")) for k in kinds}
            if kinds
            else LISTENER_KINDS.get(listener.protocol, frozenset(_GATEWAY_ROUTES))
        )
        if self.resource.kind not in allowed:
            return False
        listener_host = listener.hosts[0][1]
        if self.resource.kind != "TCPRoute" and not intersect((listener_host,), self.hosts):
            return False
        return self._namespace_allowed(gateway, listener)

    def _namespace_allowed(self, gateway: Gateway, listener: Server) -> bool | None:
        namespaces = listener.node.dig("allowedRoutes", "namespaces")
        source = text_of(namespaces.dig("from")) if namespaces else None
        if source == "All":
            return True
        if source == "None":
            return False
        if source == "Selector" and namespaces is not None:
            return self._selected(namespaces.dig("selector"))
        return gateway.namespace == self.resource.ns

    def _selected(self, selector: Node | None) -> bool | None:
        if selector is None or selector.dig("matchExpressions") is not None:
            return None
        wanted = string_map(selector.dig("matchLabels"))
        if wanted == {"kubernetes.io/metadata.name": self.resource.ns}:
            return True
        manifests = self.mesh.scope.find("", "Namespace", "", self.resource.ns)
        if not manifests:
            return None
        labels = {"kubernetes.io/metadata.name": self.resource.ns}
        return any(wanted.items() <= {**labels, **m.labels}.items() for m in manifests)


def _names(ref: Mapping, listener: Server) -> bool:
    section, port = text_of(ref.get("sectionName")), int_of(ref.get("port"))
    return section in (None, listener.name) and port in (None, listener.port)


class _ApiRules:
    """Kyma's APIRules -> routes. All versions; v1beta1 names its host and gateway differently."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.registry = mesh.registry

    def routes(self) -> Iterator[Route]:
        for resource in self.mesh.scope.of(KYMA_GATEWAY, "APIRule"):
            binding = self._binding(resource)
            for node in resource.mappings("spec", "rules"):
                service = node.get("service") or resource.get("spec", "service")
                destinations = (self._destination(resource, service),) if isinstance(service, Mapping) else ()
                yield Route(resource, node, "APIRule", "http", binding, [node], "route", destinations)

    def _destination(self, resource: Resource, service: Mapping) -> Destination:
        name = text_of(service.get("name")) or ""
        namespace = text_of(service.get("namespace")) or resource.ns
        host = f"{name}.{namespace}.svc.{self.registry.domain}"
        services = tuple(self.registry.by_host(host))
        return Destination(host, int_of(service.get("port")), None, None, service, services)

    def _binding(self, resource: Resource) -> Binding:
        written = [item.text for item in texts(resource.get("spec", "hosts"))]
        legacy = resource.text("spec", "host") or resource.text("spec", "service", "host")
        hosts = tuple(written or ([legacy] if legacy else []))
        name = resource.text("spec", "gateway")
        if not name:
            return Binding(hosts)
        key = gateway_key(name, resource.ns)
        namespace, _, short = key.partition("/")
        found = tuple(self.mesh.gateways.find(namespace, short, "istio"))
        return Binding(hosts, (), found, missing=() if found else (key,))


def destination_port(service: Service, number: int | None) -> ServicePort | None:
    """The port of a service that a destination means; None where that is open (spec traffic 1.6)."""
    if number is not None:
        return service.port(number)
    return service.ports[0] if len(service.ports) == 1 else None
