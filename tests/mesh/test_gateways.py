"""Gateways of both APIs, and which VirtualServices they serve (spec traffic 1.8)."""

from __future__ import annotations

import pytest

from meshlint.mesh.mesh import Mesh
from meshlint.mesh.routes import gateway_key
from tests.support import mesh_of

PODS = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: ingress, namespace: istio-system}
spec: {template: {metadata: {labels: {istio: ingressgateway, app: ingress}}, spec: {containers: [{name: p}]}}}
"""


def gateway(*hosts: str) -> str:
    listed = ", ".join(f'"{host}"' for host in hosts)
    return f"""
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: gw, namespace: istio-system}}
spec:
  selector: {{istio: ingressgateway}}
  servers:
    - port: {{number: 443, name: https, protocol: HTTPS}}
      tls: {{mode: SIMPLE, credentialName: cert}}
      hosts: [{listed}]
"""


def service(host: str, reference: str, extra: str = "") -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: a, namespace: shop}}
spec:
  hosts: ["{host}"]
  gateways: ["{reference}"]
  {extra}
  http: [{{route: [{{destination: {{host: a}}}}]}}]
"""


def answer(mesh: Mesh) -> str:
    (route,) = mesh.routes.all
    binding = route.binding
    if binding.gateways:
        return "OK"
    if binding.unsure_gateways:
        return "unsure"
    return "not served" if binding.other_gateways else f"missing {binding.missing[0]}"


@pytest.mark.parametrize(
    ("gateway_host", "host", "reference", "expected"),
    [
        ("*.example.com", "a.example.com", "istio-system/gw", "OK"),
        ("*.example.com", "a.example.com", "gw", "missing shop/gw"),
        ("*.example.com", "example.com", "istio-system/gw", "not served"),
        ("prod/*.example.com", "a.example.com", "istio-system/gw", "not served"),
        ("shop/*", "a.example.com", "istio-system/gw", "OK"),
        ("./*", "a.example.com", "istio-system/gw", "not served"),
        ("a.example.com", "*.example.com", "istio-system/gw", "OK"),
        ("*", "reviews", "istio-system/gw", "OK"),
        ("*", "a.example.com", "gw.istio-system.svc.cluster.local", "OK"),
        ("*/a.example.com", "a.example.com", "istio-system/gw", "OK"),
    ],
)
def test_1_8_binding(gateway_host: str, host: str, reference: str, expected: str) -> None:
    assert answer(mesh_of(gateway(gateway_host), service(host, reference), PODS)) == expected


def test_1_8_no_gateway_file() -> None:
    assert answer(mesh_of(service("a.example.com", "istio-system/gw"))) == "missing istio-system/gw"


def test_1_8_a_private_rule_is_invisible_to_pods_elsewhere() -> None:
    private = service("a.example.com", "istio-system/gw", 'exportTo: ["."]')
    assert answer(mesh_of(gateway("*"), private, PODS)) == "not served"
    assert answer(mesh_of(gateway("*"), private)) == "unsure"


def test_1_8_exported_to_the_namespace_of_the_pods() -> None:
    exported = service("a.example.com", "istio-system/gw", "exportTo: [istio-system]")
    assert answer(mesh_of(gateway("*"), exported, PODS)) == "OK"


def test_1_8_a_short_host_becomes_a_name_of_the_cluster() -> None:
    mesh = mesh_of(gateway("*"), service("reviews", "istio-system/gw"), PODS)
    assert mesh.routes.all[0].hosts == ("reviews.shop.svc.cluster.local",)
    assert not mesh.routes.all[0].mesh


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("mesh", "mesh"),
        ("gw", "shop/gw"),
        ("gw.istio-system", "istio-system/gw"),
        ("gw.istio-system.svc.cluster.local", "istio-system/gw"),
        ("./gw", "shop/gw"),
        ("infra/gw", "infra/gw"),
    ],
)
def test_1_8_gateway_names(written: str, key: str) -> None:
    assert gateway_key(written, "shop") == key


def test_servers_of_an_istio_gateway() -> None:
    (found,) = mesh_of(gateway("*.example.com", "./b.example.com")).gateways.all
    (server,) = found.servers
    assert (server.port, server.protocol, server.tls_mode) == (443, "HTTPS", "SIMPLE")
    assert server.hosts == (("*", "*.example.com"), ("istio-system", "b.example.com"))


def test_pods_of_a_gateway_live_in_any_namespace() -> None:
    mesh = mesh_of(gateway("*").replace("namespace: istio-system", "namespace: shop"), PODS)
    assert [w.name for w in mesh.gateways.workloads_of(mesh.gateways.all[0])] == ["ingress"]


def test_an_empty_selector_names_no_pods() -> None:
    mesh = mesh_of(gateway("*").replace("selector: {istio: ingressgateway}", "selector: {}"), PODS)
    assert mesh.gateways.workloads_of(mesh.gateways.all[0]) == []


KUBERNETES = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw, namespace: istio-system}
spec:
  gatewayClassName: %s
  listeners:
    - {name: web, port: 80, protocol: HTTP}
    - {name: secure, port: 443, protocol: HTTPS, hostname: "*.example.com", tls: {mode: Terminate}}
"""
CLASS = """
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: custom}
spec: {controllerName: %s}
"""


def test_listeners_of_a_gateway_api_gateway() -> None:
    (found,) = mesh_of(KUBERNETES % "istio").gateways.all
    assert [(s.name, s.port, s.protocol, s.tls_mode, s.hosts) for s in found.servers] == [
        ("web", 80, "HTTP", "", (("*", "*"),)),
        ("secure", 443, "HTTPS", "Terminate", (("*", "*.example.com"),)),
    ]


@pytest.mark.parametrize(
    ("files", "istio"),
    [
        ([KUBERNETES % "istio"], True),
        ([KUBERNETES % "istio-waypoint"], True),
        ([KUBERNETES % "custom"], None),
        ([KUBERNETES % "custom", CLASS % "istio.io/gateway-controller"], True),
        ([KUBERNETES % "custom", CLASS % "example.com/nginx"], False),
    ],
)
def test_which_classes_are_istios(files: list[str], istio: bool | None) -> None:
    assert mesh_of(*files).gateways.all[0].istio is istio


def test_the_two_kinds_of_gateway_are_different_objects() -> None:
    gateways = mesh_of(KUBERNETES % "istio", gateway("*")).gateways
    assert [g.api for g in gateways.find("istio-system", "gw")] == ["istio", "gateway-api"]
    assert [g.api for g in gateways.find("istio-system", "gw", "gateway-api")] == ["gateway-api"]
