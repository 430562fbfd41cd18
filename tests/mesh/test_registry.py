"""The registry: protocols of ports (spec traffic 1.7), visibility (1.4), workloads and target ports."""

from __future__ import annotations

import pytest

from meshlint.mesh.registry import HTTP_LIKE, OPAQUE, protocol_of
from tests.support import mesh_of


@pytest.mark.parametrize(
    ("name", "app_protocol", "number", "protocol"),
    [
        ("http", "", 80, "HTTP"),
        ("http-web", "", 80, "HTTP"),
        ("HTTP-x", "", 80, "HTTP"),
        ("web", "", 80, ""),
        ("httpweb", "", 80, ""),
        ("grpc-api", "", 80, "GRPC"),
        ("grpcapi", "", 80, ""),
        ("tcp-http", "", 80, "TCP"),
        ("https", "", 443, "HTTPS"),
        ("mysql", "", 3306, "MYSQL"),
        ("", "", 3306, "TCP"),
        ("web", "http", 80, "HTTP"),
        ("http", "tcp", 80, "TCP"),
        ("http", "mycorp.io/foo", 80, ""),
        ("", "", 9092, ""),
    ],
)
def test_1_7_protocol(name: str, app_protocol: str, number: int, protocol: str) -> None:
    assert protocol_of(name, app_protocol, number) == protocol


@pytest.mark.parametrize(
    ("name", "app_protocol", "number", "l7"),
    [
        ("http-web", "", 80, True),
        ("web", "", 80, True),
        ("httpweb", "", 80, True),
        ("grpc-api", "", 80, True),
        ("grpcapi", "", 80, True),
        ("tcp-http", "", 80, False),
        ("https", "", 443, False),
        ("mysql", "", 3306, False),
        ("", "", 3306, False),
        ("web", "http", 80, True),
        ("http", "tcp", 80, False),
        ("http", "mycorp.io/foo", 80, True),
        ("", "", 9092, True),
    ],
)
def test_1_7_l7_features(name: str, app_protocol: str, number: int, l7: bool) -> None:
    assert (protocol_of(name, app_protocol, number) not in OPAQUE) is l7


@pytest.mark.parametrize(
    ("name", "app_protocol", "number", "transport", "protocol"),
    [
        ("http", "", 80, "UDP", "UDP"),
        ("http", "", 80, "SCTP", "SCTP"),
        ("x", "kubernetes.io/h2c", 80, "TCP", "HTTP2"),
        ("x", "kubernetes.io/ws", 80, "TCP", "HTTP"),
        ("x", "kubernetes.io/wss", 80, "TCP", "HTTPS"),
        ("gRPC-Web", "", 80, "TCP", "GRPC-WEB"),
        ("grpc-web-ui", "", 80, "TCP", "GRPC-WEB"),
        ("", "", 25, "TCP", "TCP"),
        ("", "", 53, "TCP", "TCP"),
        ("", "", 27017, "TCP", "TCP"),
        ("http", "", 3306, "TCP", "HTTP"),
        ("tls-x", "", 1, "TCP", "TLS"),
        ("mongo-x", "", 1, "TCP", "MONGO"),
        ("redis", "", 6379, "TCP", "REDIS"),
        ("http2-x", "", 1, "TCP", "HTTP2"),
        ("http_proxy", "", 1, "TCP", "HTTP_PROXY"),
    ],
)
def test_1_7_procedure(name: str, app_protocol: str, number: int, transport: str, protocol: str) -> None:
    assert protocol_of(name, app_protocol, number, transport) == protocol


@pytest.mark.parametrize(
    ("protocol", "http", "opaque"),
    [
        ("HTTP", True, False),
        ("HTTP2", True, False),
        ("GRPC", True, False),
        ("GRPC-WEB", True, False),
        ("HTTP_PROXY", True, False),
        ("TCP", False, True),
        ("HTTPS", False, True),
        ("TLS", False, True),
        ("MONGO", False, True),
        ("REDIS", False, True),
        ("MYSQL", False, True),
        ("", False, False),
    ],
)
def test_1_7_groups(protocol: str, http: bool, opaque: bool) -> None:
    assert (protocol in HTTP_LIKE, protocol in OPAQUE) == (http, opaque)


SHOP = """
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop, annotations: {networking.istio.io/exportTo: "., web"}}
spec:
  selector: {app: cart}
  ports:
    - {name: http, port: 80, targetPort: web}
    - {name: grpc, port: 81, targetPort: 9000}
    - {name: tcp-x, port: 82}
    - {name: http-y, port: 83, targetPort: nowhere}
---
apiVersion: v1
kind: Service
metadata: {name: peers, namespace: shop}
spec: {clusterIP: None, selector: {app: cart}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: alias, namespace: shop}
spec: {type: ExternalName, externalName: example.com}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: cart, namespace: shop}
spec:
  template:
    metadata: {labels: {app: cart}}
    spec: {containers: [{name: c, ports: [{name: web, containerPort: 8080}]}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: out, namespace: shop}
spec:
  hosts: [api.example.com, "*.example.org"]
  ports: [{number: 443, name: https, protocol: TLS}, {number: 80, name: http}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: vm, namespace: shop}
spec:
  hosts: [vm.shop.internal]
  location: MESH_INTERNAL
  exportTo: ["~"]
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}]
  workloadSelector: {labels: {app: cart}}
"""


def test_services_of_kubernetes_and_service_entries() -> None:
    registry = mesh_of(SHOP).registry
    assert [(s.host, s.kind, s.external) for s in registry.services] == [
        ("cart.shop.svc.cluster.local", "service", False),
        ("peers.shop.svc.cluster.local", "headless", False),
        ("alias.shop.svc.cluster.local", "external-name", True),
        ("api.example.com", "service-entry", True),
        ("*.example.org", "service-entry", True),
        ("vm.shop.internal", "service-entry", False),
    ]


def test_ports_of_a_service_entry_have_the_protocol_they_write() -> None:
    (service,) = mesh_of(SHOP).registry.by_host("api.example.com")
    assert [(p.number, p.protocol) for p in service.ports] == [(443, "TLS"), (80, "")]


def test_lookup_resolves_short_names_in_the_namespace() -> None:
    registry = mesh_of(SHOP).registry
    assert [s.name for s in registry.lookup("cart", "shop")] == ["cart"]
    assert registry.lookup("cart", "web") == ()
    assert registry.lookup("cart.shop", "web") == ()


def test_a_wildcard_entry_covers_a_host_but_does_not_define_it() -> None:
    registry = mesh_of(SHOP).registry
    assert registry.by_host("a.example.org") == []
    assert [s.name for s in registry.covering("a.example.org")] == ["out"]


@pytest.mark.parametrize(
    ("host", "namespace", "visible"),
    [
        ("cart.shop.svc.cluster.local", "shop", True),
        ("cart.shop.svc.cluster.local", "web", True),
        ("cart.shop.svc.cluster.local", "other", False),
        ("peers.shop.svc.cluster.local", "other", True),
        ("vm.shop.internal", "shop", False),
    ],
)
def test_1_4_visibility(host: str, namespace: str, visible: bool) -> None:
    registry = mesh_of(SHOP).registry
    assert registry.visible(registry.by_host(host)[0], namespace) is visible


def test_workloads_and_services_find_each_other() -> None:
    mesh = mesh_of(SHOP)
    (workload,) = mesh.workloads.all
    assert [s.name for s in mesh.registry.services_of(workload)] == ["cart", "peers", "vm"]
    assert mesh.registry.workloads_of(mesh.registry.services[0]) == [workload]


@pytest.mark.parametrize(("port", "target"), [(80, 8080), (81, 9000), (82, 82), (83, None), (99, None)])
def test_target_port(port: int, target: int | None) -> None:
    mesh = mesh_of(SHOP)
    fact = mesh.registry.target_port(mesh.registry.services[0], port, mesh.workloads.all[0])
    assert (fact.value if fact.known else None) == target


def test_alternatives_stand_under_one_host() -> None:
    service = (
        "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: shop}\nspec: {ports: [{port: %d}]}\n"
    )
    found = mesh_of(service % 80, service % 81).registry.lookup("a", "shop")
    assert [s.ports[0].number for s in found] == [80, 81]
