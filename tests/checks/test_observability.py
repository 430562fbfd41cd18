"""Labels of metrics, services of providers, and selectors of Telemetry (spec traffic 6.1, 6.5, 6.6, 6.8)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.checks.findings import findings, names
from tests.mesh.test_telemetry import telemetry

NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {istio-injection: enabled}}\n"
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {selector: {tier: backend}, ports: [{name: http, port: 80}]}
"""


def deployment(labels: str, own: str = "") -> str:
    return f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: cart, namespace: shop, labels: {{{own}}}}}
spec:
  selector: {{matchLabels: {{tier: backend}}}}
  template:
    metadata: {{labels: {{tier: backend{labels}}}}}
    spec: {{containers: [{{name: cart, image: cart}}]}}
"""


LABELS = [
    pytest.param("", "", ["labels-app-version"], id="none"),
    pytest.param(", app: cart", "", ["labels-app-version:info"], id="no version"),
    pytest.param(", version: v1", "", ["labels-app-version"], id="no app"),
    pytest.param(", app: cart, version: v1", "", [], id="both"),
    pytest.param(
        ", app.kubernetes.io/name: cart, app.kubernetes.io/version: '1'", "", [], id="of Kubernetes"
    ),
    pytest.param(
        ", service.istio.io/canonical-name: cart, service.istio.io/canonical-revision: '1'",
        "",
        [],
        id="canonical",
    ),
    pytest.param(", app: cart", "version: v1", ["labels-app-version"], id="version on the Deployment"),
]


@pytest.mark.parametrize(("labels", "own", "expected"), LABELS)
def test_labels(labels: str, own: str, expected: list[str]) -> None:
    texts = (SERVICE, deployment(labels, own))
    assert names(findings(NAMESPACE, *texts, rules=("labels-app-version",))) == expected
    assert findings(*texts, rules=("labels-app-version",)) == [], "it may be outside of the mesh"
    assert findings(NAMESPACE, texts[1], rules=("labels-app-version",)) == [], "nobody calls it"


def operator(service: str, port: int = 4317) -> str:
    return f"""
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata: {{name: mesh, namespace: istio-system}}
spec:
  meshConfig:
    extensionProviders: [{{name: otel, opentelemetry: {{service: {service}, port: {port}}}}}]
"""


COLLECTOR = """
apiVersion: v1
kind: Service
metadata: {name: otel, namespace: obs}
spec: {selector: {app: otel}, ports: [{name: grpc, port: 4317}]}
"""

SERVICES: list[Any] = [
    pytest.param("otel.obs.svc.cluster.local", 4317, "", id="there"),
    pytest.param("obs/otel.obs.svc.cluster.local", 4317, "", id="with its namespace"),
    pytest.param("otel.obs.svc.cluster.local", 4318, "high", id="another port"),
    pytest.param("tempo.obs.svc.cluster.local", 4317, "low", id="another name"),
    pytest.param("tempo.traces.svc.cluster.local", 4317, "", id="another namespace"),
    pytest.param("otel", 4317, "high", id="short name"),
    pytest.param("'${COLLECTOR}'", 4317, "", id="templated"),
]


@pytest.mark.parametrize(("service", "port", "confidence"), SERVICES)
def test_services_of_providers(service: str, port: int, confidence: str) -> None:
    found = findings(operator(service, port), COLLECTOR, rules=("extension-provider-service",))
    assert "".join(f.confidence for f in found) == confidence


def test_access_logs_for_nobody_without_a_mesh_configuration() -> None:
    text = telemetry("accessLogging: [{filter: {expression: response.code >= 500}}]")
    found = findings(text, rules=("telemetry-disabled-inert",))
    assert [(f.confidence, f.equivalents) for f in found] == [("low", ("IST0157",))]


def test_selectors() -> None:
    rule = ("telemetry-selector-ineffective",)
    chosen = telemetry("selector: {matchLabels: {app: crat}}", "cart", "shop")
    pods = deployment(", app: cart")
    assert [f.confidence for f in findings(chosen, pods, rules=rule)] == ["low"]
    assert [f.confidence for f in findings(chosen, pods, rules=rule, config={"complete": True})] == ["high"]
    assert findings(chosen, rules=rule) == []
    ingress = telemetry("selector: {matchLabels: {istio: ingressgateway}}", "ingress")
    assert findings(ingress, pods, rules=rule, config={"complete": True}) == []


def test_duplicates() -> None:
    rule = ("telemetry-duplicate",)
    one, other = telemetry("tracing: [{}]", "a", "shop"), telemetry("accessLogging: [{}]", "b", "shop")
    assert [f.equivalents for f in findings(one, other, rules=rule)] == [("IST0160",)] * 2
    assert findings(one, one, rules=rule) == [], "versions of one object"
    select = "selector: {matchLabels: {tier: backend}}, "
    first = telemetry(select + "tracing: [{}]", "a", "shop")
    same, different = (telemetry(select + f"{s}: [{{}}]", "b", "shop") for s in ("tracing", "metrics"))
    pods = deployment("")
    said = findings(first, same, pods, rules=rule)
    assert [(f.equivalents, f.confidence) for f in said] == [(("IST0159",), "high")] * 2
    assert [f.confidence for f in findings(first, different, pods, rules=rule)] == ["low"] * 2
    assert findings(first, same, rules=rule) == []
