"""Gateways of the Gateway API beside each other (kiali-validations KIA1501, KIA1502, KIA1504)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.checks.findings import findings

SHOP = "{name: a, port: 80, protocol: HTTP, hostname: shop.example.com}"
INGRESS = "{type: Hostname, value: ingress.edge.svc.cluster.local}"


def gateway(
    name: str, spec: str = "", listeners: str = SHOP, namespace: str = "shop", of: str = "istio"
) -> str:
    return f"""
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{gatewayClassName: {of}, {spec}listeners: [{listeners}]}}
"""


def gateway_class(name: str, controller: str = "example.com/gateway") -> str:
    return (
        f"apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {{name: {name}}}\n"
        f"spec: {{controllerName: {controller}}}\n"
    )


def said(rule: str, *texts: str, config: dict[str, Any] | None = None) -> list[str]:
    return [f"{f.severity} {f.confidence}" for f in findings(*texts, rules=(rule,), config=config)]


SHARED = f"addresses: [{INGRESS}], "
BOTH_SHARED = ["warning high"] * 2
APART = ["info low"] * 2


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        pytest.param((gateway("a"),), [], id="one"),
        pytest.param((gateway("a"), gateway("a")), [], id="versions of one"),
        pytest.param((gateway("a"), gateway("b")), APART, id="pods of their own"),
        pytest.param((gateway("a", SHARED), gateway("b", SHARED)), BOTH_SHARED, id="one Service"),
        pytest.param(
            (gateway("a", SHARED), gateway("a", SHARED, namespace="web")), BOTH_SHARED, id="two namespaces"
        ),
        pytest.param(
            (gateway("a", SHARED), gateway("b", SHARED), gateway("c")),
            [*BOTH_SHARED, "info low"],
            id="two of three share",
        ),
        pytest.param((gateway("a", SHARED), gateway("b")), APART, id="one of two borrows"),
        pytest.param(
            (gateway("a"), gateway("b", listeners=SHOP.replace("80", "8080"))), [], id="another port"
        ),
        pytest.param(
            (gateway("a"), gateway("b", listeners=SHOP.replace("HTTP", "TCP"))), [], id="another protocol"
        ),
        pytest.param(
            (gateway("a"), gateway("b", listeners=SHOP.replace("shop", "www"))), [], id="another host"
        ),
        pytest.param(
            tuple(gateway(name, listeners="{name: a, port: 80, protocol: HTTP}") for name in "ab"),
            [],
            id="without a hostname",
        ),
        pytest.param(
            tuple(gateway(name, listeners=SHOP.replace("shop.example.com", "'${HOST}'")) for name in "ab"),
            [],
            id="templated",
        ),
        pytest.param(
            (gateway_class("other"), gateway("a", of="other"), gateway("b")), [], id="another controller"
        ),
    ],
)
def test_same_listener(texts: tuple[str, ...], expected: list[str]):
    assert said("gateway-api-same-listener", *texts) == expected


TOLD = "infrastructure: {annotations: {metallb.io/allow-shared-ip: edge}}, "


def at(value: str, kind: str = "") -> str:
    return f"addresses: [{{{f'type: {kind}, ' if kind else ''}value: {value}}}], "


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        pytest.param((gateway("a", at("192.0.2.1")), gateway("b", at("192.0.2.2"))), 0, id="two"),
        pytest.param(
            (gateway("a", at("192.0.2.1")), gateway("b", at("192.0.2.1", "IPAddress"))), 2, id="one"
        ),
        pytest.param(
            (gateway("a", at("192.0.2.1")), gateway("a", at("192.0.2.1"), namespace="web")), 2, id="one name"
        ),
        pytest.param((gateway("a", at("192.0.2.1")), gateway("a", at("192.0.2.1"))), 0, id="versions"),
        pytest.param((gateway("a", SHARED), gateway("b", SHARED)), 0, id="one Service"),
        pytest.param(tuple(gateway(name, at("192.0.2.1")) for name in "abc"), 3, id="three"),
        pytest.param(tuple(gateway(name, at("'${IP}'")) for name in "ab"), 0, id="templated"),
        pytest.param(tuple(gateway(name, TOLD + at("192.0.2.1")) for name in "ab"), 0, id="told to share"),
        pytest.param(
            (gateway("a", at("192.0.2.1")), gateway("b", at("192.0.2.1"), of="gke-l7-rilb")),
            0,
            id="not of Istio",
        ),
    ],
)
def test_same_address(texts: tuple[str, ...], expected: int):
    assert said("gateway-api-same-address", *texts) == ["warning medium"] * expected


RELEASE = (
    "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: a, namespace: b}\nspec: {}\n"
)


@pytest.mark.parametrize(
    ("name", "others", "complete", "expected"),
    [
        pytest.param("istio", (), True, [], id="istio"),
        pytest.param("istio-waypoint", (), True, [], id="waypoint"),
        pytest.param("istio-remote", (), True, [], id="remote"),
        pytest.param("istio-east-west", (), True, [], id="east-west"),
        pytest.param("envoy", (), True, ["error high"], id="complete"),
        pytest.param("envoy", (), False, [], id="nothing tells"),
        pytest.param("envoy", (gateway_class("envoy"),), True, [], id="defined"),
        pytest.param("envoy", (gateway_class("other"),), False, ["error low"], id="beside others"),
        pytest.param("envoy", (RELEASE,), True, ["error low"], id="an installer, complete"),
        pytest.param("envoy", (RELEASE, gateway_class("other")), False, [], id="an installer"),
        pytest.param("'${CLASS}'", (), True, [], id="templated"),
        pytest.param("gke-l7-rilb", (), True, [], id="of a platform"),
        pytest.param("cilium", (), True, [], id="of a controller"),
        pytest.param("gke-l7-rilb", (gateway_class("other"),), False, [], id="of a platform, beside others"),
    ],
)
def test_class_unknown(name: str, others: tuple[str, ...], complete: bool, expected: list[str]):
    texts = (gateway("a", of=name), *others)
    assert said("gateway-class-unknown", *texts, config={"complete": complete}) == expected


def test_a_class_that_was_meant_is_named():
    found = findings(
        gateway("a", of="istio-waypont"), rules=("gateway-class-unknown",), config={"complete": True}
    )
    assert found[0].help == "write istio-waypoint"
