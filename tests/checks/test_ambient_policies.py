"""Policies about requests where pods have no proxy (spec security 2.4, traffic 6.1, Kiali 3.9)."""

# ruff: noqa: E501 - a row of a table is one line

from __future__ import annotations

import pytest

from tests.checks.findings import findings
from tests.checks.traffic.support import deployment
from tests.checks.traffic.test_ambient import AMBIENT, USE, enrolled, entry, namespace, service, waypoint

GROUPS = {
    "RequestAuthentication": "security.istio.io/v1",
    "WasmPlugin": "extensions.istio.io/v1alpha1",
    "TrafficExtension": "extensions.istio.io/v1alpha1",
    "Telemetry": "telemetry.istio.io/v1",
}
BODIES = {
    "RequestAuthentication": "jwtRules: [{issuer: me}]",
    "WasmPlugin": "url: oci://r.example.com/m:1",
    "TrafficExtension": "wasm: {url: 'oci://r.example.com/m:1'}",
    "Telemetry": "tracing: [{randomSamplingPercentage: 5}]",
}
CODES = {
    "RequestAuthentication": ("KIA1110", "KIA1115"),
    "WasmPlugin": ("KIA1111", "KIA1116"),
    "TrafficExtension": (),
    "Telemetry": ("KIA1112", "KIA1117"),
}
SELECTOR = "selector: {matchLabels: {app: a}}"
TARGET = "targetRefs: [{group: '', kind: Service, name: a}]"


def policy(kind: str, way: str = "", body: str = "", home: str = "shop") -> str:
    fields = ", ".join(part for part in (way, body or BODIES[kind]) if part)
    return f"apiVersion: {GROUPS[kind]}\nkind: {kind}\nmetadata: {{name: p, namespace: {home}}}\nspec: {{{fields}}}\n"


def said(*texts: str) -> list[tuple[str, ...]]:
    return [f.equivalents for f in findings(*texts, rules=("policy-in-ambient",))]


@pytest.mark.parametrize("kind", GROUPS)
def test_kinds(kind: str) -> None:
    both, untargeted, unserved = CODES[kind], CODES[kind][1:], CODES[kind][:1]
    pods = deployment("a")
    enrolling = namespace(labels=f"{AMBIENT}, {USE}")
    assert said(policy(kind, SELECTOR), pods, namespace()) == [both]
    assert said(policy(kind, SELECTOR), pods, enrolling, waypoint()) == [untargeted]
    assert said(policy(kind, TARGET), service(), namespace()) == [unserved]
    assert said(policy(kind, TARGET), enrolled(), waypoint(), namespace()) == []
    wide = [unserved] if kind == "Telemetry" else [both]
    assert said(policy(kind), pods, namespace()) == wide
    assert said(policy(kind), pods, enrolling, waypoint()) == ([] if kind == "Telemetry" else [untargeted])


RA = "RequestAuthentication"
SIDECARS = namespace(labels="istio-injection: enabled")
INGRESS = waypoint(class_name="istio").replace("HBONE", "HTTP")

SILENT = [
    pytest.param([policy(RA, SELECTOR), deployment("a"), SIDECARS], id="sidecars"),
    pytest.param([policy(RA), deployment("a"), deployment("b", labels="app: b, sidecar.istio.io/inject: 'true'"), namespace()], id="one sidecar"),
    pytest.param([policy(RA, SELECTOR), deployment("a")], id="namespace out of sight"),
    pytest.param([policy(RA, SELECTOR), deployment("b"), namespace()], id="selects nothing here"),
    pytest.param([policy(RA, SELECTOR), deployment("a", labels="app: a, istio.io/dataplane-mode: none"), namespace()], id="opted out"),
    pytest.param([policy(RA), deployment("a"), namespace(), INGRESS], id="a gateway in the namespace"),
    pytest.param([policy(RA, "selector: {matchLabels: {istio: ingressgateway}}"), namespace()], id="an ingress gateway"),
    pytest.param([policy(RA, "selector: {matchLabels: {gateway.networking.k8s.io/gateway-name: wp}}"), waypoint(), namespace()], id="pods of a waypoint, another rule"),
    pytest.param([policy(RA, home="istio-system"), deployment("a"), namespace()], id="for the mesh"),
    pytest.param([policy(RA, SELECTOR, "jwtRules: []"), deployment("a"), namespace()], id="no rules"),
    pytest.param([policy("Telemetry", SELECTOR, "tracing: []"), deployment("a"), namespace()], id="says nothing"),
    pytest.param([policy("Telemetry"), deployment("a"), namespace(), waypoint()], id="a waypoint in the namespace"),
    pytest.param([policy("Telemetry"), deployment("a"), enrolled(), namespace()], id="a waypoint of a Service"),
    pytest.param([policy(RA, TARGET), enrolled(), namespace()], id="waypoint out of sight"),
    pytest.param([policy(RA, TARGET), namespace()], id="Service out of sight"),
    pytest.param([policy(RA, TARGET), service()], id="labels of the namespace out of sight"),
    pytest.param([policy(RA, f"{TARGET}, {SELECTOR}"), service(), deployment("a"), namespace()], id="refused anyway"),
]  # fmt: skip


@pytest.mark.parametrize("texts", SILENT)
def test_silence(texts: list[str]) -> None:
    assert said(*texts) == []


def test_details() -> None:
    metrics = "metrics: [{providers: [{name: prometheus}]}]"
    assert said(policy("Telemetry", SELECTOR, metrics), deployment("a"), namespace()) == [()], (
        "Kiali asks for overrides"
    )
    target = TARGET.replace("''", "networking.istio.io").replace(
        "Service, name: a", "ServiceEntry, name: pay"
    )
    assert said(policy(RA, target), entry(), namespace()) == [()]
    assert said(policy(RA, TARGET), service(), SIDECARS) == [()], "sidecars do not look at it either"
    root = policy(RA, SELECTOR, home="istio-system")
    assert said(root, deployment("a"), namespace()) == [()], "from the root namespace"
    assert said(policy(RA), namespace()) == [CODES[RA]], "pods out of sight"


def test_the_place_and_the_severity() -> None:
    (tokens,) = findings(policy(RA, SELECTOR), deployment("a"), namespace(), rules=("policy-in-ambient",))
    assert (tokens.severity, tokens.confidence, tokens.location.path) == ("error", "medium", "/spec/selector")
    (spans,) = findings(policy("Telemetry", TARGET), service(), namespace(), rules=("policy-in-ambient",))
    assert (spans.severity, spans.location.path) == ("warning", "/spec/targetRefs/0/name")
