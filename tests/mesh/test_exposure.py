"""Where requests from outside enter (spec security 4.5), and which of them are told apart (4.4)."""

from __future__ import annotations

import pytest

from meshlint.mesh.attachment import ProxyKind
from meshlint.mesh.authz import Policy
from meshlint.mesh.coverage import UNHEARD, Probe, matched, probes, rewritten
from meshlint.mesh.exposure import Exposure, Match, Rewrite
from meshlint.mesh.mesh import Mesh
from tests.mesh.test_jwt import (
    BASE,
    GATEWAY,
    GATEWAY_PODS,
    K8S_BASE,
    NAMESPACES,
    ROUTE,
    SERVICE,
    WORKLOAD,
    ap,
    swapped,
)
from tests.support import mesh_of


def ways(*texts: str) -> list[tuple[str, str]]:
    """(way, how it enters) of every exposure of the Deployment `api`."""
    return [(e.way, entry(e)) for e in mesh_of(*texts).exposures.all if e.workload]


def entry(exposure: Exposure) -> str:
    if not exposure.http:
        return "opaque"
    if exposure.entries:
        return "gateway"
    return "direct" if exposure.direct else "unknown"


def ingress(meta: str = "", spec: str = "") -> str:
    return f"""
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: api, namespace: app, annotations: {{{meta}}}}}
spec:
  {spec}
  rules:
  - host: api.example.com
    http:
      paths:
      - path: /api
        pathType: Prefix
        backend: {{service: {{name: api, port: {{number: 80}}}}}}
"""


ISTIO_CLASS = """
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: istio}
spec: {controller: istio.io/ingress-controller}
"""
APP = (NAMESPACES, WORKLOAD, SERVICE)
OPENSHIFT = """
apiVersion: route.openshift.io/v1
kind: Route
metadata: {name: api, namespace: app}
spec: {host: api.example.com, to: {kind: Service, name: api}}
"""

KNATIVE = """
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: api, namespace: app, labels: {}}
spec: {template: {spec: {containers: [{image: x}]}}}
"""
KNATIVE_GATEWAY = GATEWAY.replace(
    "name: gw, namespace: istio-system", "name: knative-ingress-gateway, namespace: knative-serving"
)
CLUSTER_LOCAL = KNATIVE.replace("labels: {}", "labels: {networking.knative.dev/visibility: cluster-local}")


def service(spec: str) -> str:
    return SERVICE.replace("spec:", "spec:\n  " + spec)


HOST_PORT = WORKLOAD.replace("{containerPort: 8080}", "{containerPort: 8080, hostPort: 80}")
REDIRECT = ROUTE.replace("route: [{destination: {host: api}}]", "redirect: {uri: /}")
CLAIMS = ROUTE.replace("{uri: {prefix: /}}", "{headers: {'@request.auth.claims.group': {exact: a}}}")
PASSTHROUGH = GATEWAY.replace("protocol: HTTP}", "protocol: TLS}\n    tls: {mode: PASSTHROUGH}")
EGRESS = GATEWAY.replace("ingressgateway", "egressgateway")
WAYPOINT_GATEWAY = K8S_BASE[3].replace("gatewayClassName: istio", "gatewayClassName: istio-waypoint")

ROWS = [
    pytest.param(BASE, [("VirtualService", "gateway")], id="Istio gateway"),
    pytest.param(swapped(ROUTE, ROUTE.replace("istio-system/gw", "mesh")), [], id="mesh only"),
    pytest.param(swapped(ROUTE, ROUTE.replace("[istio-system/gw]", "[]")), [], id="no gateways"),
    pytest.param(swapped(ROUTE, REDIRECT), [], id="redirect"),
    pytest.param(swapped(ROUTE, CLAIMS), [], id="matched by verified claims"),
    pytest.param((*APP, ROUTE), [("VirtualService", "unknown")], id="gateway not in the input"),
    pytest.param(
        swapped(GATEWAY_PODS, "{}"), [("VirtualService", "gateway")], id="gateway pods not in the input"
    ),
    pytest.param(swapped(GATEWAY, PASSTHROUGH), [("VirtualService", "opaque")], id="passthrough"),
    pytest.param(swapped(GATEWAY, EGRESS), [], id="egress gateway"),
    pytest.param(K8S_BASE, [("HTTPRoute", "gateway")], id="Gateway API"),
    pytest.param((*APP, WAYPOINT_GATEWAY, K8S_BASE[4]), [], id="waypoint"),
    pytest.param(
        (*APP, ingress("kubernetes.io/ingress.class: istio")), [("Ingress", "gateway")], id="Ingress"
    ),
    pytest.param(
        (*APP, ingress("kubernetes.io/ingress.class: nginx")), [("Ingress", "direct")], id="Ingress of nginx"
    ),
    pytest.param(
        (*APP, ISTIO_CLASS, ingress(spec="ingressClassName: istio")), [("Ingress", "gateway")], id="class"
    ),
    pytest.param((*APP, ingress()), [("Ingress", "unknown")], id="Ingress without class"),
    pytest.param(
        (NAMESPACES, WORKLOAD, service("type: LoadBalancer")), [("Service", "direct")], id="LoadBalancer"
    ),
    pytest.param((NAMESPACES, WORKLOAD, service("type: NodePort")), [("Service", "direct")], id="NodePort"),
    pytest.param(
        (NAMESPACES, WORKLOAD, service("externalIPs: [192.0.2.1]")), [("Service", "direct")], id="externalIPs"
    ),
    pytest.param(
        (
            NAMESPACES, WORKLOAD,
            service("type: LoadBalancer").replace(
                "namespace: app", "namespace: app, annotations: {cloud/internal: 'true'}"
            ),
        ),
        [], id="internal load balancer",
    ),
    pytest.param(APP, [], id="ClusterIP"),
    pytest.param((NAMESPACES, HOST_PORT, SERVICE), [("hostPort", "direct")], id="hostPort"),
    pytest.param((*APP, OPENSHIFT), [("Route", "direct")], id="OpenShift Route"),
    pytest.param((KNATIVE,), [("Knative", "unknown")], id="Knative"),
    pytest.param((KNATIVE, KNATIVE_GATEWAY), [("Knative", "gateway")], id="Knative with its gateway"),
    pytest.param((CLUSTER_LOCAL, KNATIVE_GATEWAY), [], id="Knative inside of the cluster"),
]  # fmt: skip


@pytest.mark.parametrize(("texts", "expected"), ROWS)
def test_ways_in(texts: tuple[str, ...], expected: list[tuple[str, str]]) -> None:
    assert ways(*texts) == expected


def test_a_gateways_own_service_exposes_nothing_by_itself() -> None:
    published = """
apiVersion: v1
kind: Service
metadata: {name: istio-ingressgateway, namespace: istio-system}
spec: {type: LoadBalancer, selector: {istio: ingressgateway}, ports: [{port: 80, targetPort: 8080}]}
"""
    mesh = mesh_of(*BASE, published)
    (exposure,) = mesh.exposures.all
    assert exposure.entries[0].ports == (8080,)
    assert not exposure.entries[0].internal


def test_what_a_gateway_shows_to_the_workload() -> None:
    (exposure,) = mesh_of(*BASE).exposures.all
    (gate,) = exposure.entries
    assert (gate.identity.namespace, gate.identity.service_account) == ("istio-system", "gw")
    assert gate.peer.mtls is False
    assert exposure.port == 8080


def test_a_managed_gateway_has_the_labels_of_its_gateway() -> None:
    (exposure,) = mesh_of(*K8S_BASE).exposures.all
    proxy = exposure.entries[0].proxy
    assert (proxy.kind, proxy.namespace, proxy.gateway, proxy.complete) == (
        ProxyKind.GATEWAY, "app", "gw", True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("match", "path", "expected"),
    [
        (Match(), "/x", True),
        (Match("exact", "/a"), "/a", True),
        (Match("exact", "/a"), "/a/", False),
        (Match("prefix", "/foo"), "/foobar", True),
        (Match("segments", "/foo"), "/foobar", False),
        (Match("segments", "/foo"), "/foo/bar", True),
        (Match("segments", "/"), "/x", True),
        (Match("template", "/a/{*}"), "/a/b", True),
        (Match("regex", "/a.*"), "/a", None),
    ],
)
def test_matches(match: Match, path: str, expected: bool | None) -> None:
    assert matched(match, path) is expected


def exposed(match: Match, rewrite: Rewrite | None = None, hosts: tuple[str, ...] = ()) -> Exposure:
    (exposure,) = mesh_of(*BASE).exposures.all
    return Exposure("", exposure.resource, exposure.place, hosts, (match,), rewrite=rewrite or Rewrite())


@pytest.mark.parametrize(
    ("match", "rewrite", "path", "expected"),
    [
        (Match("prefix", "/v1"), Rewrite("prefix", "/"), "/v1/x", "//x"),
        (Match("prefix", "/v1/"), Rewrite("prefix", "/"), "/v1/x", "/x"),
        (Match("segments", "/v1"), Rewrite("prefix", "/"), "/v1/x", "/x"),
        (Match("segments", "/v1"), Rewrite("prefix", "/v2"), "/v1", "/v2"),
        (Match("exact", "/v1"), Rewrite("prefix", "/v2"), "/v1", "/v2"),
        (Match("segments", "/"), Rewrite("full", "/all"), "/v1", "/all"),
        (Match("regex", "/v.*"), Rewrite("prefix", "/v2"), "/v1", None),
        (Match("prefix", "/"), Rewrite("regex"), "/v1", None),
        (Match("prefix", "/"), Rewrite(), "/v1", "/v1"),
    ],
)
def test_rewrites(match: Match, rewrite: Rewrite, path: str, expected: str | None) -> None:
    assert rewritten(Probe("h", path, "GET"), exposed(match, rewrite)).path == expected


def policies(mesh: Mesh) -> list[Policy]:
    return mesh.authz.policies


@pytest.mark.parametrize(
    ("match", "paths", "expected"),
    [
        (Match("exact", "/a"), "[/b]", {"/a"}),
        (Match("prefix", "/a"), "[/b]", {"/a", f"/a{UNHEARD}", f"/a/{UNHEARD}"}),
        (Match("prefix", "/a"), "[/ab]", {"/a", f"/a{UNHEARD}", f"/a/{UNHEARD}", "/ab"}),
        (Match("segments", "/a"), "[/ab, /a/b]", {"/a", f"/a/{UNHEARD}", "/a/b"}),
        (Match(), "['/b*']", {"/", f"/{UNHEARD}", "/b", f"/b{UNHEARD}"}),
        (Match(), "['*.json']", {"/", f"/{UNHEARD}", f"/{UNHEARD}.json"}),
        (Match(), "['/t/{*}']", {"/", f"/{UNHEARD}", f"/t/{UNHEARD}"}),
        (Match("regex", "/a.*"), "[/b]", {None}),
        (Match("regex", "/a"), "[/b]", {"/a"}),
    ],
)
def test_probed_paths(match: Match, paths: str, expected: set[str | None]) -> None:
    known = policies(mesh_of(ap(f"rules: [{{to: [{{operation: {{paths: {paths}}}}}]}}]")))
    assert {p.path for p in probes(exposed(match), known)} == expected


def test_probed_methods_and_hosts() -> None:
    known = policies(mesh_of(ap("rules: [{to: [{operation: {methods: [PUT], hosts: [a.example.com]}}]}]")))
    found = list(probes(exposed(Match(), hosts=("*.example.com",)), known))
    assert {p.method for p in found} == {"PUT", "ZZPROBE"}
    assert {p.host for p in found} == {"zz-probe.example.com", "a.example.com"}
