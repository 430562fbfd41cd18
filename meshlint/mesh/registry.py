"""Which hosts exist, with which ports and pods? (spec traffic 1.1 to 1.7)

Services are those of Kubernetes and the hosts of ServiceEntries. Alternatives of one object all
stand in the registry under the same host.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Final

from meshlint.mesh.facts import Fact
from meshlint.mesh.hosts import HostIndex, resolve
from meshlint.mesh.labels import EXPORT_TO
from meshlint.mesh.scope import ISTIO_NETWORKING
from meshlint.records import dataclass
from meshlint.source.nodes import Mapping, Node, Scalar, int_of, mappings, string_map, text_of, texts

if TYPE_CHECKING:
    from meshlint.mesh.mesh import Mesh
    from meshlint.mesh.workloads import Workload
    from meshlint.resources import Resource

HTTP_LIKE: Final = frozenset({"HTTP", "HTTP2", "HTTP_PROXY", "GRPC", "GRPC-WEB"})
TLS_LIKE: Final = frozenset({"HTTPS", "TLS"})
TCP_LIKE: Final = frozenset({"TCP", "HTTPS", "TLS", "MONGO", "REDIS", "MYSQL"})
#: protocols for which no HTTP setting has an effect
OPAQUE: Final = TCP_LIKE | {"UDP", "SCTP"}

_KNOWN: Final = frozenset(
    {
        "TCP", "UDP", "GRPC", "GRPC-WEB", "HTTP", "HTTP_PROXY", "HTTP2", "HTTPS", "TLS", "MONGO", "REDIS",
        "MYSQL",
    }
)  # fmt: skip
_APP_PROTOCOLS: Final = {
    "kubernetes.io/h2c": "HTTP2",
    "kubernetes.io/ws": "HTTP",
    "kubernetes.io/wss": "HTTPS",
}
_EVERYBODY: Final = frozenset({"*"})
SERVER_FIRST_PORTS: Final = frozenset({25, 53, 3306, 27017})


@dataclass(frozen=True, slots=True, eq=False)
class ServicePort:
    """`protocol` is the declared one (spec traffic 1.7), '' where the proxy has to sniff it.

    `target` is None where it equals the number, an int, or the name of a container port.
    """

    number: int
    name: str
    protocol: str
    target: int | str | None
    node: Mapping
    app_protocol: str = ""

    @property
    def opaque(self) -> bool:
        """Known to carry no HTTP that the proxy reads."""
        return self.protocol in OPAQUE


@dataclass(frozen=True, slots=True, eq=False)
class Service:
    """A host of the registry. `kind` is service, headless, external-name or service-entry.

    `export_to` is None where the object does not say.
    """

    resource: Resource
    host: str
    namespace: str
    name: str
    ports: tuple[ServicePort, ...]
    selector: dict[str, str]
    kind: str
    external: bool
    export_to: frozenset[str] | None
    external_name: str = ""

    def port(self, number: int) -> ServicePort | None:
        return next((port for port in self.ports if port.number == number), None)

    def port_named(self, name: str) -> ServicePort | None:
        return next((port for port in self.ports if port.name == name), None)

    def __repr__(self) -> str:
        return f"<Service {self.host} of {self.resource.title}>"


class Registry:
    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.domain: str = mesh.config.domain_suffix
        self.services: list[Service] = [*self._kubernetes(), *self._service_entries()]
        self._hosts: HostIndex[Service] = HostIndex()
        for service in self.services:
            self._hosts.add(service.host, service)
        self._named: dict[tuple[str, str], tuple[Service, ...]] = {}
        self._workloads: dict[int, list[Workload]] = {}
        self._selected: dict[tuple[str, frozenset[tuple[str, str]]], list[Workload]] = {}

    def resolve(self, host: str, namespace: str) -> str:
        """The full name of a host that an object of the namespace writes."""
        return resolve(host, namespace, self.domain)

    def by_host(self, host: str) -> list[Service]:
        """Services of this very host, whoever may see them."""
        return self._hosts.exact(host)

    def lookup(self, host: str, namespace: str) -> tuple[Service, ...]:
        """Services that a host written in the namespace names; visible ones if there are any."""
        key = (self.resolve(host, namespace), namespace)
        if key not in self._named:
            found = self._hosts.exact(key[0])
            seen = [s for s in found if self.visible(s, namespace)] if len(found) > 1 else found
            self._named[key] = tuple(seen or found)
        return self._named[key]

    def covering(self, host: str) -> list[Service]:
        """Services whose host, perhaps a wildcard of a ServiceEntry, covers the host."""
        return self._hosts.covering(host)

    def within(self, host: str) -> list[Service]:
        """Services that a host or wildcard covers."""
        return self._hosts.within(host)

    def visible(self, service: Service, namespace: str) -> bool:
        """Does exportTo let clients of the namespace see the service?"""
        export_to = self._default_export if service.export_to is None else service.export_to
        if "*" in export_to:
            return True
        if "~" in export_to:
            return False
        return namespace in export_to or ("." in export_to and namespace == service.namespace)

    @cached_property
    def _default_export(self) -> frozenset[str]:
        setting = self.mesh.config.setting("defaultServiceExportTo").or_else(None)
        return frozenset(map(str, setting)) if isinstance(setting, list) and setting else _EVERYBODY

    def workloads_of(self, service: Service) -> list[Workload]:
        """Workloads that the selector of the service selects: one list for all of one selector."""
        known = self._workloads.get(id(service))
        if known is None:
            key = (service.namespace, frozenset(service.selector.items()))
            if key not in self._selected:
                namespace, selector = service.namespace, service.selector
                self._selected[key] = self.mesh.workloads.matching(selector, namespace) if selector else []
            known = self._workloads[id(service)] = self._selected[key]
        return known

    def services_of(self, workload: Workload) -> list[Service]:
        """Services that select the workload: one list for all that the same ones select."""
        return self._by_workload.get(id(workload), [])

    @cached_property
    def _by_workload(self) -> dict[int, list[Service]]:
        alike: dict[int, list[int]] = defaultdict(list)  # numbers of services by the list that they select
        for number, service in enumerate(self.services):
            alike[id(self.workloads_of(service))].append(number)
        chosen: dict[int, list[int]] = defaultdict(list)  # such lists by workload
        for selected, numbers in alike.items():
            for workload in self.workloads_of(self.services[numbers[0]]):
                chosen[id(workload)].append(selected)
        merged: dict[tuple[int, ...], list[Service]] = {}
        for lists in chosen.values():
            if tuple(lists) not in merged:
                numbers = sorted(number for selected in lists for number in alike[selected])
                merged[tuple(lists)] = [self.services[number] for number in numbers]
        return {workload: merged[tuple(lists)] for workload, lists in chosen.items()}

    def target_port(self, service: Service, port: ServicePort | int, workload: Workload) -> Fact[int]:
        """The container port that a port of the service leads to."""
        entry = service.port(port) if isinstance(port, int) else port
        if entry is None:
            return Fact.missing(f"{service.resource.title} has no port {port}", service.resource.place())
        place = service.resource.place(entry.node)
        if entry.target is None:
            return Fact.of(entry.number, place)
        if isinstance(entry.target, int):
            return Fact.of(entry.target, place)
        named = workload.port_named(entry.target)
        if named is None:
            return Fact.missing(f"{workload.title} has no port named {entry.target}", place)
        return Fact.of(named.number, place, workload.resource.place(named.node))

    def _kubernetes(self) -> Iterator[Service]:
        for resource in self.mesh.scope.of("", "Service"):
            spec = resource.mapping("spec")
            external_name = (text_of(spec.get("externalName")) or "") if spec else ""
            kind = _kind(spec)
            yield Service(
                resource=resource,
                host=f"{resource.name}.{resource.ns}.svc.{self.domain}",
                namespace=resource.ns,
                name=resource.name,
                ports=tuple(_service_ports(spec)),
                selector=string_map(spec.get("selector")) if spec and kind != "external-name" else {},
                kind=kind,
                external=kind == "external-name",
                export_to=_annotated(resource),
                external_name=external_name if kind == "external-name" else "",
            )

    def _service_entries(self) -> Iterator[Service]:
        for resource in self.mesh.scope.of(ISTIO_NETWORKING, "ServiceEntry"):
            spec = resource.mapping("spec")
            if spec is None:
                continue
            ports = tuple(_entry_ports(spec))
            export_to = frozenset(item.text for item in texts(spec.get("exportTo"))) or None
            external = text_of(spec.get("location")) != "MESH_INTERNAL"
            selector = string_map(spec.dig("workloadSelector", "labels"))
            for host in texts(spec.get("hosts")):
                yield Service(
                    resource, host.text, resource.ns, resource.name, ports, selector,
                    "service-entry", external, export_to,
                )  # fmt: skip


def preferred(services: list[Service], namespace: str) -> list[Service]:
    """Of services with one host those that clients of a namespace get: their own, else Kubernetes' (1.4).

    Several that are left are versions of one object, or only their age would tell.
    """

    def rank(service: Service) -> tuple[bool, bool]:
        return service.namespace != namespace, service.kind == "service-entry"

    best = min(map(rank, services))
    return [service for service in services if rank(service) == best]


def protocol_of(name: str, app_protocol: str = "", number: int = 0, transport: str = "TCP") -> str:
    """The declared protocol of a Service port; '' where the proxy has to sniff it (spec traffic 1.7)."""
    if transport in ("UDP", "SCTP"):
        return transport
    if app_protocol in _APP_PROTOCOLS:
        return _APP_PROTOCOLS[app_protocol]
    text = (app_protocol or name).upper()
    if text.startswith("GRPC-WEB"):
        return "GRPC-WEB"
    protocol = text.partition("-")[0]
    if protocol in _KNOWN:
        return protocol
    return "TCP" if number in SERVER_FIRST_PORTS else ""


def _kind(spec: Mapping | None) -> str:
    if spec is None:
        return "service"
    if text_of(spec.get("type")) == "ExternalName":
        return "external-name"
    return "headless" if text_of(spec.get("clusterIP")) == "None" else "service"


def _service_ports(spec: Mapping | None) -> Iterator[ServicePort]:
    for node in mappings(spec.get("ports")) if spec else ():
        number = int_of(node.get("port"))
        if number is None:
            continue
        name = text_of(node.get("name")) or ""
        app_protocol = text_of(node.get("appProtocol")) or ""
        transport = text_of(node.get("protocol")) or "TCP"
        protocol = protocol_of(name, app_protocol, number, transport)
        yield ServicePort(number, name, protocol, _target(node.get("targetPort")), node, app_protocol)


def _entry_ports(spec: Mapping) -> Iterator[ServicePort]:
    for node in mappings(spec.get("ports")):
        number = int_of(node.get("number"))
        if number is not None:
            written = (text_of(node.get("protocol")) or "").upper()
            protocol = written if written in _KNOWN else ""
            name = text_of(node.get("name")) or ""
            yield ServicePort(number, name, protocol, _target(node.get("targetPort")), node)


def _target(node: Node | None) -> int | str | None:
    if not isinstance(node, Scalar):
        return None
    value = node.value
    if isinstance(value, int) and not isinstance(value, bool):
        return value or None
    return value if isinstance(value, str) and value else None


def _annotated(resource: Resource) -> frozenset[str] | None:
    text = resource.annotations.get(EXPORT_TO)
    return frozenset(part.strip() for part in text.split(",")) if text else None
