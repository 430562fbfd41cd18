"""Spec traffic 1.16: who reads what in ambient mode, one case for each fact and kind of object."""

# ruff: noqa: E501 - a row of a table is one line

from __future__ import annotations

import pytest

from tests.checks.test_ambient_policies import SELECTOR, TARGET, policy
from tests.checks.traffic.support import deployment, destination_rule, service, to, verdicts
from tests.checks.traffic.test_ambient import (
    AMBIENT,
    FULL,
    PRIVATE,
    USE,
    VS,
    WEB,
    enrolled,
    namespace,
    waypoint,
)
from tests.mesh.test_sidecars import sidecar
from tests.spec.support import COMPLETE, Row, params, row, said

HOME, PODS = namespace(), deployment("a")
SIDECARS = namespace(labels="istio-injection: enabled")
ENROLLED = (enrolled(), waypoint(), HOME)
CALLERS = namespace("web")
VERSIONS = {"HTTPRoute": "v1", "GRPCRoute": "v1", "TCPRoute": "v1alpha2", "TLSRoute": "v1alpha3"}


def route(
    kind: str = "HTTPRoute",
    home: str = "shop",
    parent: str = "group: '', kind: Service, name: a, namespace: shop, port: 80",
) -> str:
    return (
        f"apiVersion: gateway.networking.k8s.io/{VERSIONS[kind]}\nkind: {kind}\nmetadata: {{name: r, namespace: {home}}}\n"
        f"spec: {{parentRefs: [{{{parent}}}], rules: [{{backendRefs: [{{name: a, namespace: shop, port: 80}}]}}]}}\n"
    )  # fmt: skip


def authz(way: str, home: str = "shop", rule: str = "to: [{operation: {methods: [GET]}}]") -> str:
    text = policy("RequestAuthentication", way, f"action: DENY, rules: [{{{rule}}}]", home)
    return text.replace("RequestAuthentication", "AuthorizationPolicy")


RULE = destination_rule(FULL, more="trafficPolicy: {outlierDetection: {}}")
CLIENTS = RULE.replace("namespace: shop", "namespace: web")
INGRESS = (
    waypoint(class_name="istio")
    .replace("name: wp", "name: in")
    .replace("HBONE", "HTTP")
    .replace("15008", "80")
)
OUTSIDE = route(parent="name: in")
THROUGH = enrolled(f"{USE}, istio.io/ingress-use-waypoint: 'true'")
CLASS = "targetRefs: [{group: gateway.networking.k8s.io, kind: GatewayClass, name: istio-waypoint}]"
POLICIES = ("RequestAuthentication", "WasmPlugin", "TrafficExtension", "Telemetry")
SEVERITY = {"RequestAuthentication": "error"}

R_1_16 = [
    row("no waypoint: VirtualService", VS, service(), HOME, says="vs-in-ambient warning"),
    *(row(f"no waypoint: {kind}", route(kind), service(), HOME, says="httproute-in-ambient warning") for kind in VERSIONS),
    row("no waypoint: DestinationRule", RULE, service(), HOME, says="dr-in-ambient warning"),
    row("no waypoint: DestinationRule of connections", destination_rule(FULL, more="trafficPolicy: {connectionPool: {tcp: {}}}"), service(), HOME),
    *(row(f"no waypoint: {kind}", policy(kind, TARGET), service(), HOME, says="policy-in-ambient warning") for kind in POLICIES),
    row("no waypoint: AuthorizationPolicy about requests", authz(SELECTOR), PODS, HOME, says="authz-ambient-l7 error"),
    row("no waypoint: AuthorizationPolicy of a Service", authz(TARGET), service(), HOME, says="authz-ambient-l7 error"),
    row("no waypoint: AuthorizationPolicy about connections", authz(SELECTOR, rule="from: [{source: {namespaces: [web]}}]"), PODS, HOME),
    row("a waypoint: all of them", VS, RULE, route(), *(policy(kind, TARGET) for kind in POLICIES), authz(TARGET), *ENROLLED,
        says="route-and-vs-same-host warning"),
    row("sidecars: all of them", VS, RULE, service(), PODS, SIDECARS),
    row("clients' namespace: private VirtualService", PRIVATE, *ENROLLED, CALLERS, says="vs-in-ambient warning"),
    row("clients' namespace: public VirtualService", WEB, *ENROLLED, CALLERS),
    row("clients' namespace: DestinationRule", CLIENTS, *ENROLLED, CALLERS, says="dr-in-ambient warning"),
    row("clients' namespace: HTTPRoute", route(home="web"), *ENROLLED, CALLERS, says="httproute-in-ambient warning"),
    row("the Service's namespace: HTTPRoute", route(), *ENROLLED, CALLERS),
    *(row(f"selector beside a waypoint: {kind}", policy(kind, SELECTOR), PODS, *ENROLLED, says=f"policy-in-ambient {SEVERITY.get(kind, 'warning')}")
      for kind in POLICIES),
    row("selector beside a waypoint: AuthorizationPolicy", authz(SELECTOR), PODS, *ENROLLED, says="authz-ambient-l7 error"),
    row("selector of a waypoint's pods", policy("RequestAuthentication", "selector: {matchLabels: {gateway.networking.k8s.io/gateway-name: wp}}"),
        *ENROLLED, says="policy-selector-on-gateway warning"),
    row("Sidecar", sidecar('"./*"'), PODS, HOME, says="sidecar-in-ambient warning"),
    row("use-waypoint names nothing", enrolled("istio.io/use-waypoint: other"), waypoint(), HOME, says="waypoint-missing error", settings=COMPLETE),
    row("use-waypoint names a gateway", enrolled(), waypoint(class_name="istio"), HOME, says="waypoint-missing error"),
    row("ingress gateway, a policy of the Service", authz(TARGET), INGRESS, OUTSIDE, *ENROLLED, says="waypoint-bypassed warning"),
    row("ingress gateway, tokens of the waypoint", policy("RequestAuthentication", TARGET.replace("group: '', kind: Service, name: a", "group: gateway.networking.k8s.io, kind: Gateway, name: wp")),
        INGRESS, OUTSIDE, *ENROLLED, says="waypoint-bypassed warning"),
    row("ingress gateway, Service labelled", authz(TARGET), INGRESS, OUTSIDE, THROUGH, waypoint(), HOME),
    row("ingress gateway, Namespace labelled", authz(TARGET), INGRESS, OUTSIDE, enrolled(), waypoint(), namespace(labels=f"{AMBIENT}, istio.io/ingress-use-waypoint: 'true'")),
    row("ingress gateway, nothing to enforce", INGRESS, OUTSIDE, *ENROLLED),
    row("no gateway leads there", authz(TARGET), INGRESS, *ENROLLED),
    row("alpha on waypoints: VirtualService", VS, *ENROLLED, says="experimental-feature info"),
    *(row(f"alpha on waypoints: {kind}", route(kind), *ENROLLED, says="experimental-feature info") for kind in ("TCPRoute", "TLSRoute")),
    row("VirtualService and HTTPRoute", VS, route(), *ENROLLED, says="route-and-vs-same-host warning"),
    *(row(f"GatewayClass, {kind}", policy(kind, CLASS), says=f"policy-class-target {severity}")
      for kind, severity in {"RequestAuthentication": "error", "WasmPlugin": "error"}.items()),
    row("GatewayClass, AuthorizationPolicy", authz(CLASS), says="policy-class-target error"),
    row("GatewayClass in the root namespace", authz(CLASS, "istio-system")),
    row("labels not given", VS, RULE, route(), policy("RequestAuthentication", SELECTOR), authz(SELECTOR), sidecar('"./*"'), service(), PODS,
        says="route-and-vs-same-host warning"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "asked"), params(R_1_16))
def test_1_16_ambient(one: Row, asked: tuple[str, ...]) -> None:
    assert said(one, asked) == list(one.expected)


def test_who_calls_decides_how_sure_it_is() -> None:
    rule = "httproute-in-ambient"
    assert verdicts(rule, route(), service(), HOME) == [("warning", "medium")]
    assert verdicts(rule, route(), service(), HOME, PODS) == [("warning", "medium")], "ambient is not proven"
    web = (deployment("web", "web"), namespace("web", "istio-injection: enabled"))
    assert verdicts(rule, route(), service(), HOME, *web) == [("warning", "low")], "sidecars read it"
    assert verdicts(rule, route(parent="name: gw"), service(), HOME) == [], "no Service is its parent"
    assert verdicts(rule, route(parent="group: '', kind: Service, name: '${X}'"), HOME) == []
    hit = (authz(TARGET), INGRESS, OUTSIDE, *ENROLLED)
    assert verdicts("waypoint-bypassed", *hit) == [("warning", "medium")]
    assert verdicts("waypoint-bypassed", *hit, settings=COMPLETE) == [("warning", "high")]
    other = to(f"host: {FULL}", hosts="[a.example.com]", gateways="[istio-system/gw]")
    assert verdicts("waypoint-bypassed", authz(TARGET), other, *ENROLLED) == [], "gateway out of sight"
