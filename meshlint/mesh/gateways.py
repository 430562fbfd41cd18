"""Which gateways are there, with which servers and pods? (spec traffic 1.8 and 1.14)

Istio's Gateway and the Gateway API's Gateway are different objects; both are read here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from meshlint.mesh.hosts import HostIndex, covers, is_wild
from meshlint.mesh.labels import GATEWAY_NAME
from meshlint.mesh.scope import GATEWAY_API, ISTIO_NETWORKING
from meshlint.records import dataclass
from meshlint.source.nodes import Mapping, Scalar, int_of, string_map, text_of, texts

if TYPE_CHECKING:
    from meshlint.mesh.mesh import Mesh
    from meshlint.mesh.workloads import Workload
    from meshlint.resources import Resource

#: GatewayClasses that every installation of Istio makes
ISTIO_CLASSES: Final = frozenset({"istio", "istio-remote", "istio-waypoint", "istio-east-west"})
#: beginnings and names of classes that platforms and other controllers make by themselves
_OF_PLATFORMS: Final = ("gke-l7-", "asm-l7-gxlb", "azure-alb-")
_OF_CONTROLLERS: Final = frozenset({"cilium", "nginx", "traefik"})

_HTTP: Final = frozenset({"HTTP", "HTTP2", "GRPC", "GRPC-WEB", "HTTP_PROXY"})
_TLS: Final = frozenset({"HTTPS", "TLS"})
_TCP: Final = frozenset({"TCP", "MONGO", "REDIS", "MYSQL"})
_PASSED_ON: Final = frozenset({"PASSTHROUGH", "AUTO_PASSTHROUGH", "Passthrough"})
_TERMINATED: Final = frozenset({"SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL", "ISTIO_MUTUAL", "Terminate"})


@dataclass(frozen=True, slots=True, eq=False)
class Server:
    """A server of an Istio Gateway or a listener of a Gateway API Gateway.

    `hosts` are (namespace, host); namespace ``*`` admits VirtualServices of all namespaces. `effective_mode`
    is `tls_mode`, or what counts where none is written.
    """

    node: Mapping
    port: int
    protocol: str
    tls_mode: str
    hosts: tuple[tuple[str, str], ...]
    name: str = ""
    https_redirect: bool = False
    effective_mode: str = ""

    @property
    def asks(self) -> str:
        """Which rules decide about its connections: http, tls or tcp; '' where it is not known (5.11)."""
        if self.protocol in _HTTP:
            return "http"
        if self.protocol not in _TLS:
            return "tcp" if self.protocol in _TCP else ""
        if self.effective_mode in _PASSED_ON:
            return "tls"
        if self.effective_mode in _TERMINATED:
            return "http" if self.protocol == "HTTPS" else "tcp"
        return ""


class Offers:
    """The hosts of a gateway's servers, found without comparing each with each.

    `hosts` and `servers` answer for the hosts of a VirtualService of a namespace; empty for hosts or
    servers that have nothing in common.
    """

    __slots__ = ("_index", "_servers", "_wild")

    def __init__(self, servers: Iterable[Server]) -> None:
        self._servers = tuple(servers)
        self._index: dict[str, HostIndex[tuple[str, Server]]] | None = None
        self._wild: list[tuple[str, str, Server]] = []

    def hosts(self, namespace: str, hosts: Iterable[str]) -> list[str]:
        """Of each overlapping pair the narrower host, without repetition."""
        return list(dict.fromkeys(host for host, _ in self._pairs(namespace, hosts)))

    def servers(self, namespace: str, hosts: Iterable[str]) -> list[Server]:
        """Servers that offer one of the hosts, in their order."""
        found = {id(server) for _, server in self._pairs(namespace, hosts)}
        return [server for server in self._servers if id(server) in found]

    def _pairs(self, namespace: str, hosts: Iterable[str]) -> Iterator[tuple[str, Server]]:
        if self._index is None:
            self._index = self._built()
        indexes = [i for i in (self._index.get("*"), self._index.get(namespace)) if i is not None]
        for host in hosts:
            for index in indexes:
                yield from ((host, server) for _, server in index.covering(host))
                if is_wild(host):
                    yield from index.within(host)
            if is_wild(host):
                for admitted, offered, server in self._wild:
                    if offered != host and admitted in ("*", namespace) and covers(host, offered):
                        yield offered, server

    def _built(self) -> dict[str, HostIndex[tuple[str, Server]]]:
        index: dict[str, HostIndex[tuple[str, Server]]] = defaultdict(HostIndex)
        for server in self._servers:
            for admitted, host in server.hosts:
                index[admitted].add(host, (host, server))
                if is_wild(host):
                    self._wild.append((admitted, host, server))
        return dict(index)


@dataclass(frozen=True, slots=True, eq=False)
class Gateway:
    """`api` is istio or gateway-api; `class_name` and `istio` are about the latter.

    `istio` is None where the GatewayClass is not in the input and not one of Istio's own.
    """

    resource: Resource
    api: str
    namespace: str
    name: str
    selector: dict[str, str]
    servers: tuple[Server, ...]
    offers: Offers
    class_name: str = ""
    istio: bool | None = True

    @property
    def waypoint(self) -> bool:
        return self.class_name == "istio-waypoint"

    def __repr__(self) -> str:
        return f"<Gateway {self.namespace}/{self.name} ({self.api})>"


class Gateways:
    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.all: list[Gateway] = [*self._istio(), *self._gateway_api()]
        self._by_name: dict[tuple[str, str], list[Gateway]] = defaultdict(list)
        for gateway in self.all:
            self._by_name[gateway.namespace, gateway.name].append(gateway)
        self._workloads: dict[int, list[Workload]] = {}

    def find(self, namespace: str, name: str, api: str | None = None) -> list[Gateway]:
        """All alternatives of a gateway, of one API or of both."""
        found = self._by_name.get((namespace, name), [])
        return found if api is None else [g for g in found if g.api == api]

    def workloads_of(self, gateway: Gateway) -> list[Workload]:
        """The pods of the input that serve a gateway; an empty selector, which means all, gives none."""
        known = self._workloads.get(id(gateway))
        if known is None:
            known = self._workloads[id(gateway)] = self._serving(gateway)
        return known

    def _serving(self, gateway: Gateway) -> list[Workload]:
        workloads = self.mesh.workloads
        if gateway.api == "gateway-api":
            return workloads.matching({GATEWAY_NAME: gateway.name}, gateway.namespace)
        return workloads.matching(gateway.selector) if gateway.selector else []

    def _istio(self) -> Iterator[Gateway]:
        for resource in self.mesh.scope.of(ISTIO_NETWORKING, "Gateway"):
            yield istio_gateway(resource)

    def _gateway_api(self) -> Iterator[Gateway]:
        for resource in self.mesh.scope.of(GATEWAY_API, "Gateway"):
            listeners = tuple(_listener(node) for node in resource.mappings("spec", "listeners"))
            class_name = resource.text("spec", "gatewayClassName") or ""
            yield Gateway(
                resource, "gateway-api", resource.ns, resource.name, {}, listeners, Offers(listeners),
                class_name, self._is_istio(class_name),
            )  # fmt: skip

    def _is_istio(self, class_name: str) -> bool | None:
        if class_name in ISTIO_CLASSES:
            return True
        controllers = [
            controller
            for resource in self.mesh.scope.find(GATEWAY_API, "GatewayClass", "", class_name)
            if (controller := resource.text("spec", "controllerName"))
        ]
        if not controllers:
            return False if made_by_others(class_name) else None
        return any(controller.startswith("istio.io/") for controller in controllers)


def made_by_others(class_name: str) -> bool:
    """Is a class without an object in the input one that another controller makes?"""
    return class_name in _OF_CONTROLLERS or class_name.startswith(_OF_PLATFORMS)


def istio_gateway(resource: Resource) -> Gateway:
    """A Gateway of Istio."""
    servers = tuple(_server(node, resource.ns) for node in resource.mappings("spec", "servers"))
    selector = string_map(resource.get("spec", "selector"))
    return Gateway(resource, "istio", resource.ns, resource.name, selector, servers, Offers(servers))


def _server(node: Mapping, namespace: str) -> Server:
    port = node.dig("port", "number")
    redirect = node.dig("tls", "httpsRedirect")
    return Server(
        node=node,
        port=int_of(port) or 0,
        protocol=(text_of(node.dig("port", "protocol")) or "").upper(),
        tls_mode=text_of(node.dig("tls", "mode")) or "",
        hosts=tuple(_server_host(item.text, namespace) for item in texts(node.get("hosts"))),
        name=text_of(node.get("name")) or text_of(node.dig("port", "name")) or "",
        https_redirect=isinstance(redirect, Scalar) and redirect.value is True,
        effective_mode=_mode(node, "PASSTHROUGH"),
    )


def _mode(node: Mapping, default: str) -> str:
    """The mode of a tls block, else the default; '' where a template may fill in a null."""
    tls = node.get("tls")
    if not isinstance(tls, Mapping):
        return default if "tls" not in node.index else ""
    return text_of(tls.get("mode")) or "" if "mode" in tls.index else default


def _server_host(text: str, namespace: str) -> tuple[str, str]:
    before, slash, host = text.partition("/")
    if not slash:
        return ("*", text)
    return (namespace if before == "." else before or "*", host)


def _listener(node: Mapping) -> Server:
    return Server(
        node=node,
        port=int_of(node.get("port")) or 0,
        protocol=(text_of(node.get("protocol")) or "").upper(),
        tls_mode=text_of(node.dig("tls", "mode")) or "",
        hosts=(("*", text_of(node.get("hostname")) or "*"),),
        name=text_of(node.get("name")) or "",
        effective_mode=_mode(node, "Terminate"),
    )
