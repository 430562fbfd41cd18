"""The front end of `istioctl validate`: the table of spec schemas 3.3, one case or more for each row."""

from __future__ import annotations

import pytest

from meshlint.checks.admission.istio_operator import hub_problem
from tests.checks.admission.support import Row, check_row, findings, uncovered

COUNT = 11


def operator(text: str) -> str:
    return (
        "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\n"
        f"metadata: {{name: mesh, namespace: istio-system}}\nspec: {{{text}}}\n"
    )


def proxy(text: str) -> str:
    return operator(f"values: {{global: {{proxy: {{{text}}}}}}}")


def gateway(text: str, values: str = "") -> str:
    return operator(f"components: {{ingressGateways: [{{name: a, k8s: {{{text}}}}}]}}, values: {{{values}}}")


def port(text: str, values: str = "") -> str:
    return gateway(f"service: {{ports: [{{name: a, {text}}}]}}", values)


def service(text: str, namespace: str = "shop") -> str:
    return f"""
apiVersion: v1
kind: Service
metadata: {{name: cart, namespace: {namespace}}}
spec: {{selector: {{app: cart}}, ports: [{{{text}}}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: cart, namespace: {namespace}}}
spec:
  template:
    metadata: {{labels: {{app: cart}}}}
    spec: {{containers: [{{name: cart}}]}}
---
apiVersion: v1
kind: Namespace
metadata: {{name: {namespace}, labels: {{istio-injection: enabled}}}}
"""


VALUES = "istiooperator-values"
INGRESS = "/spec/components/ingressGateways/0"
ONE = "spec: {host: cart}\n"
RULE = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: a, namespace: b}\n" + ONE
ROWS = [
    Row(2, "unknown-field", "/hosts", RULE + "hosts: [a]\n", RULE + "status: {}\n"),
    Row(3, "unknown-field", "/spec/hots", RULE.replace("host:", "hots: a, host:"), RULE),
    Row(
        5,
        "port-naming",
        "/spec/ports/0/appProtocol",
        service("port: 1, appProtocol: rpc"),
        service("port: 1, appProtocol: GRPC"),
    ),
    Row(6, "port-naming", "/spec/ports/0/port", service("port: 1"), service("port: 1, protocol: UDP")),
    Row(
        7,
        "port-naming",
        "/spec/ports/0/name",
        service("port: 1, name: web"),
        service("port: 1, name: http2-web"),
    ),
    Row(
        7,
        "port-naming",
        "/spec/ports/0/name",
        service("port: 1, name: xhttp"),
        service("port: 1, name: web", "istio-system"),
    ),
    Row(9, VALUES, "/spec/revision", operator("revision: 1.27.1"), operator("revision: 1-27-1")),
    Row(9, VALUES, "/spec/hub", operator("hub: docker.io/istio:1.27"), operator("hub: localhost:5000/istio")),
    Row(9, VALUES, "/spec/tag", operator("tag: '1.27:a'"), operator("tag: 1.27.1-distroless")),
    Row(
        9,
        VALUES,
        f"{INGRESS}/name",
        operator("components: {ingressGateways: [{name: A}]}"),
        operator("components: {ingressGateways: [{name: a}]}"),
    ),
    Row(
        9,
        VALUES,
        f"{INGRESS}/k8s/service/ports/0/targetPort",
        port("port: 80, targetPort: 80"),
        port("port: 80, targetPort: http"),
    ),
    Row(9, VALUES, f"{INGRESS}/k8s/service/ports/0/port", port("port: 80"), port("port: 8080")),
    Row(
        9,
        VALUES,
        f"{INGRESS}/k8s/service/ports/0/port",
        port("port: 443"),
        port("port: 443", "gateways: {istio-ingressgateway: {runAsRoot: true}}"),
    ),
    Row(
        9,
        VALUES,
        "/spec/values/global/proxy/includeIPRanges",
        proxy("includeIPRanges: '10.0.0.1'"),
        proxy("includeIPRanges: '*'"),
    ),
    Row(
        9,
        VALUES,
        "/spec/values/global/proxy/excludeIPRanges",
        proxy("excludeIPRanges: '10.0.0.0/8, 11.0.0.0/8'"),
        proxy("excludeIPRanges: '10.0.0.0/8,11.0.0.0/8'"),
    ),
    Row(
        9,
        VALUES,
        "/spec/values/global/proxy/includeInboundPorts",
        proxy("includeInboundPorts: 'http'"),
        proxy("includeInboundPorts: '80,*'"),
    ),
    Row(
        9,
        VALUES,
        "/spec/values/global/proxy/excludeInboundPorts",
        proxy("excludeInboundPorts: '65536'"),
        proxy("excludeInboundPorts: '80,'"),
    ),
    Row(
        10,
        VALUES,
        f"{INGRESS}/k8s/replicaCount",
        gateway("replicaCount: 1", "gateways: {istio-ingressgateway: {autoscaleEnabled: true}}"),
        gateway("replicaCount: 1"),
        "warning",
    ),
    Row(
        10,
        VALUES,
        "/spec/components/pilot/k8s/replicaCount",
        operator("components: {pilot: {k8s: {replicaCount: 2}}}, values: {pilot: {autoscaleEnabled: true}}"),
        operator("components: {pilot: {k8s: {replicaCount: 1}}}, values: {pilot: {autoscaleEnabled: true}}"),
        "warning",
    ),
]
NOT_DONE = {
    1: "the rules duplicate-yaml-key and yaml-syntax; tests/source",
    4: "no finding upstream either: a namespace is filled in, and so it is here",
    8: "a line of the log upstream; labels of workloads are a rule of observability",
    11: "no finding upstream either; here the items of lists are read like other objects",
}


@pytest.mark.parametrize("row", [pytest.param(row, id=f"istioctl-{row.number}") for row in ROWS])
def test_row(row: Row) -> None:
    check_row("", row.rule, row.bad, row.good, row.pointer, row.severity)


def test_every_row_is_accounted_for() -> None:
    assert uncovered(COUNT, ROWS, NOT_DONE) == set()


@pytest.mark.parametrize(
    "port",
    [
        "port: 3306",
        "port: 1, appProtocol: kubernetes.io/h2c",
        "port: 1, name: '${N}'",
        "port: 1, name: grpc-web",
    ],
)
def test_ports_that_are_left_alone(port: str) -> None:
    assert findings("", "port-naming", service(port)) == []


def test_services_without_a_proxy_are_left_alone() -> None:
    assert findings("", "port-naming", service("port: 1").replace("enabled", "disabled")) == []


@pytest.mark.parametrize(
    "hub", ["istio", "gcr.io/istio-release", "localhost:5000/a/b", "registry", "1.2.3.4:5000/a"]
)
def test_hubs(hub: str) -> None:
    assert hub_problem(hub) == ""


@pytest.mark.parametrize(
    "hub", ["https://gcr.io/istio", "gcr.io/Istio", "istio:1.0", "gcr.io/a b", "a_b.io:x/a:1"]
)
def test_texts_that_are_no_hubs(hub: str) -> None:
    assert hub_problem(hub)
