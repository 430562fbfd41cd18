"""Who reads VirtualServices and DestinationRules in ambient mode? (spec traffic 1.12 and 1.16, Kiali 3.9)"""

# ruff: noqa: E501 - a row of a table is one line

from __future__ import annotations

import pytest

from meshlint.mesh.scope import Settings
from tests.checks.traffic.support import (
    COMPLETE,
    deployment,
    destination_rule,
    findings,
    gateway,
    service,
    to,
)

AMBIENT = "istio.io/dataplane-mode: ambient"
USE = "istio.io/use-waypoint: wp"
FULL = "a.shop.svc.cluster.local"


def namespace(name: str = "shop", labels: str = AMBIENT) -> str:
    return f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {{{labels}}}}}\n"


def enrolled(label: str = USE) -> str:
    return service().replace("namespace: shop}", f"namespace: shop, labels: {{{label}}}}}")


def waypoint(name: str = "shop", class_name: str = "istio-waypoint", admits: str = "Same") -> str:
    return f"""
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: wp, namespace: {name}}}
spec:
  gatewayClassName: {class_name}
  listeners:
    - name: mesh
      port: 15008
      protocol: HBONE
      allowedRoutes: {{namespaces: {{from: {admits}}}}}
"""


def entry(labels: str = "") -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: pay, namespace: shop, labels: {{{labels}}}}}
spec: {{hosts: [api.pay.example], ports: [{{number: 80, name: http, protocol: HTTP}}], resolution: DNS}}
"""


def ingress() -> str:
    """A route from a gateway to the service."""
    return to(f"host: {FULL}", name="in", hosts="[a.example.com]", gateways="[istio-system/gw]")


VS = to("host: a")
WEB = to(f"host: {FULL}", namespace="web", hosts=f"[{FULL}]")
PRIVATE = to(f"host: {FULL}", namespace="web", hosts=f"[{FULL}]\n  exportTo: ['.']")
OUTSIDE = to("host: api.pay.example", hosts="[api.pay.example]")
TCP = VS.replace("http: [{route", "tcp: [{route")
MESHLESS = to("host: a", gateways="[gw]")

ROUTES = [
    pytest.param([VS, service(), namespace()], [("medium", "KIA1113")], id="1113"),
    pytest.param([VS, service(), namespace(), deployment("a")], [("medium", "KIA1113")], id="1113 pods"),
    pytest.param([to("host: a", hosts=f"[a, {FULL}]"), service(), namespace()], [("medium", "KIA1113")], id="1113 two spellings"),
    pytest.param([WEB, service(), namespace(), namespace("web")], [("medium", "KIA1113")], id="1113 other namespace"),
    pytest.param([WEB, service(), namespace()], [("low", "KIA1113")], id="callers unknown"),
    pytest.param([VS, enrolled(), waypoint(), namespace()], [], id="waypoint of the Service"),
    pytest.param([VS, service(), waypoint(), namespace(labels=f"{AMBIENT}, {USE}")], [], id="waypoint of the namespace"),
    pytest.param([VS, enrolled("istio.io/use-waypoint: none"), waypoint(), namespace(labels=f"{AMBIENT}, {USE}")], [("medium", "KIA1113")], id="none wins"),
    pytest.param([VS, enrolled(), namespace()], [], id="waypoint out of sight"),
    pytest.param([VS, enrolled(), waypoint(class_name="istio"), namespace()], [], id="waypoint broken, said at the label"),
    pytest.param([VS, service()], [], id="namespace out of sight"),
    pytest.param([VS, service(), namespace(labels="istio-injection: enabled")], [], id="sidecars"),
    pytest.param([VS, service(), namespace(labels=f"{AMBIENT}, istio-injection: enabled")], [], id="both"),
    pytest.param([VS, service(), namespace(), deployment("a", labels="app: a, istio.io/dataplane-mode: none")], [("medium", "KIA1109")], id="1109 pods opted out"),
    pytest.param([VS, service(), namespace(), deployment("web", "web"), namespace("web", "istio-injection: enabled")], [("low", "KIA1113")], id="a sidecar among the callers"),
    pytest.param([VS, service(), namespace(), deployment("web", "web")], [("low", "KIA1113")], id="perhaps a sidecar"),
    pytest.param([TCP, service(), namespace()], [("medium", "")], id="tcp"),
    pytest.param([MESHLESS, service(), namespace()], [], id="gateways only"),
    pytest.param([PRIVATE, enrolled(), waypoint(), namespace(), namespace("web")], [("medium", "KIA1114")], id="1114"),
    pytest.param([PRIVATE, enrolled(), waypoint(), namespace()], [("low", "KIA1114")], id="1114 callers unknown"),
    pytest.param([WEB, enrolled(), waypoint(), namespace(), namespace("web")], [], id="exported to the waypoint"),
    pytest.param([PRIVATE, enrolled(f"{USE}, istio.io/use-waypoint-namespace: web"), waypoint("web", admits="All"), namespace(), namespace("web")], [], id="beside the waypoint"),
    pytest.param([OUTSIDE, entry(), namespace()], [("medium", "KIA1109")], id="1109"),
    pytest.param([OUTSIDE, namespace()], [("low", "KIA1109")], id="1109 host out of sight"),
    pytest.param([OUTSIDE, entry(USE), waypoint(), namespace()], [], id="waypoint of the ServiceEntry"),
    pytest.param([OUTSIDE, entry(), namespace(labels=f"{AMBIENT}, {USE}"), waypoint()], [], id="1109 namespace enrolled"),
    pytest.param([to("host: a", hosts="['${HOST}']"), namespace()], [], id="template"),
]  # fmt: skip


@pytest.mark.parametrize(("texts", "expected"), ROUTES)
def test_virtual_services(texts: list[str], expected: list[tuple[str, str]]) -> None:
    found = findings("vs-in-ambient", *texts)
    assert [(f.confidence, "".join(f.equivalents)) for f in found] == expected


def rule(home: str = "shop", policy: str = "outlierDetection: {}", host: str = FULL, more: str = "") -> str:
    return destination_rule(host, home, more=f"trafficPolicy: {{{policy}}}{more}")


RULES = [
    pytest.param([rule(), service(), namespace()], [("medium", "KIA0211")], id="0211"),
    pytest.param([rule(policy="connectionPool: {http: {}}"), service(), namespace()], [("medium", "KIA0211")], id="0211 pool"),
    pytest.param([rule(policy="loadBalancer: {consistentHash: {httpCookie: {name: a}}}"), service(), namespace()], [("medium", "KIA0211")], id="0211 hash"),
    pytest.param([destination_rule("a", more="subsets: [{name: v1, trafficPolicy: {outlierDetection: {}}}]"), service(), namespace()], [("medium", "KIA0211")], id="0211 subset"),
    pytest.param([rule(policy="portLevelSettings: [{port: {number: 80}, outlierDetection: {}}]"), service(), namespace()], [("medium", "")], id="a port, which Kiali skips"),
    pytest.param([rule(policy="connectionPool: {tcp: {}}"), service(), namespace()], [], id="connections alone"),
    pytest.param([rule(), enrolled(), waypoint(), namespace()], [], id="waypoint"),
    pytest.param([rule(), service(), namespace(), ingress()], [("low", "KIA0211")], id="a gateway uses it"),
    pytest.param([rule("web"), enrolled(), waypoint(), namespace(), namespace("web")], [("medium", "KIA0212")], id="0212"),
    pytest.param([rule("web"), enrolled(), waypoint(), namespace()], [("low", "KIA0212")], id="0212 callers unknown"),
    pytest.param([rule("web"), enrolled(), waypoint(), namespace(), waypoint("web", "istio").replace("HBONE", "HTTP")], [], id="beside a gateway"),
    pytest.param([rule("web"), enrolled(), waypoint(), namespace(), gateway(namespace="web")], [], id="beside a gateway of Istio's API"),
    pytest.param([rule("web"), enrolled(), waypoint(), namespace(), namespace("web"), deployment("web", "web", "app: web, sidecar.istio.io/inject: 'true'")], [("low", "KIA0212")], id="a sidecar there"),
    pytest.param([rule("web", "connectionPool: {tcp: {}}"), enrolled(), waypoint(), namespace(), namespace("web")], [("medium", "")], id="nothing of HTTP, not looked up either"),
    pytest.param([rule("istio-system"), enrolled(), waypoint(), namespace()], [], id="root namespace"),
    pytest.param([rule("infra"), enrolled(f"{USE}, istio.io/use-waypoint-namespace: infra"), waypoint("infra", admits="All"), namespace(), namespace("infra")], [], id="beside the waypoint"),
    pytest.param([rule(host="api.pay.example"), entry(), namespace()], [("medium", "KIA0210")], id="0210"),
    pytest.param([rule(host="*.shop.svc.cluster.local"), service(), namespace()], [("low", "KIA0210")], id="0210 wildcard"),
    pytest.param([rule(host="api.pay.example"), entry(USE), waypoint(), namespace()], [], id="waypoint of the ServiceEntry"),
]  # fmt: skip


@pytest.mark.parametrize(("texts", "expected"), RULES)
def test_destination_rules(texts: list[str], expected: list[tuple[str, str]]) -> None:
    found = findings("dr-in-ambient", *texts)
    assert [(f.confidence, "".join(f.equivalents)) for f in found] == expected


def test_it_is_certain_in_complete_input_with_an_ambient_installation() -> None:
    install = "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nmetadata: {name: i, namespace: istio-system}\nspec: {profile: ambient}\n"
    texts = (VS, service(), namespace(), deployment("a"), install)
    assert [f.confidence for f in findings("vs-in-ambient", *texts, settings=COMPLETE)] == ["high"]
    assert [f.confidence for f in findings("vs-in-ambient", *texts, settings=Settings())] == ["medium"]


def test_the_message_stands_alone() -> None:
    (found,) = findings("dr-in-ambient", rule(), service(), namespace())
    assert found.location.path == "/spec/host"
    assert found.message == (
        "DestinationRule shop/rule sets outlierDetection for Service shop/a, which is in ambient mode and has "
        "no waypoint: for callers in ambient mode nothing reads it"
    )
