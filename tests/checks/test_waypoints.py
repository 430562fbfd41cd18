"""Labels that name waypoints (spec security 2.3; rows B11, B14, B15 and B18 of its table; Kiali 3.10)."""

# ruff: noqa: E501 - a row of a table is one line

from __future__ import annotations

from typing import Any

import pytest

from tests.checks.findings import findings
from tests.checks.traffic.support import deployment, gateway
from tests.checks.traffic.test_ambient import (
    AMBIENT,
    USE,
    enrolled,
    ingress,
    namespace,
    service,
    waypoint,
)

COMPLETE: dict[str, Any] = {"complete": True}
HOME = namespace(labels=f"{AMBIENT}, {USE}")
PODS = deployment("a", labels=f"app: a, {USE}")
INFRA = namespace(labels=f"{AMBIENT}, {USE}, istio.io/use-waypoint-namespace: infra")
FOR_ALL = waypoint().replace("namespace: shop}", "namespace: shop, labels: {istio.io/waypoint-for: all}}")

MISSING = [
    pytest.param([HOME, deployment("a")], COMPLETE, [("high", ("KIA1313",))], id="1313 by the namespace"),
    pytest.param([HOME], COMPLETE, [("high", ())], id="no pods that Kiali could name"),
    pytest.param([PODS, namespace()], COMPLETE, [("high", ("KIA1313",))], id="1313 by the pods"),
    pytest.param([PODS.replace(": wp", ": other"), namespace(), waypoint()], {}, [("low", ("KIA1313",))], id="another one there"),
    pytest.param([enrolled("istio.io/use-waypoint: other"), HOME, waypoint()], COMPLETE, [("high", ())], id="B14"),
    pytest.param([PODS, HOME, waypoint()], {}, [("high", ())], id="B11"),
    pytest.param([PODS, HOME, FOR_ALL], {}, [], id="B12"),
    pytest.param([INFRA, waypoint("infra")], {}, [("high", ())], id="B15"),
    pytest.param([INFRA, waypoint("infra", admits="All")], {}, [], id="B16"),
    pytest.param([HOME, waypoint()], COMPLETE, [], id="there"),
    pytest.param([HOME, deployment("a")], {}, [], id="out of sight"),
    pytest.param([HOME, deployment("a"), waypoint(class_name="istio")], {}, [("high", ("KIA1313",))], id="a gateway for ingress"),
    pytest.param([HOME, deployment("a"), waypoint(class_name="acme")], COMPLETE, [], id="an unknown class"),
    pytest.param([HOME, deployment("a"), waypoint(class_name="'${CLASS}'")], COMPLETE, [], id="a templated class"),
    pytest.param([namespace(labels=f"{AMBIENT}, istio.io/use-waypoint: none")], COMPLETE, [], id="none"),
    pytest.param([namespace(labels=f"{AMBIENT}, istio.io/use-waypoint: '${{WP}}'")], COMPLETE, [], id="template"),
]  # fmt: skip


@pytest.mark.parametrize(("texts", "config", "expected"), MISSING)
def test_missing(
    texts: list[str], config: dict[str, Any], expected: list[tuple[str, tuple[str, ...]]]
) -> None:
    found = findings(*texts, rules=("waypoint-missing",), config=config)
    assert [(f.confidence, f.equivalents) for f in found] == expected


OUTSIDE = [
    pytest.param([namespace(labels=USE), deployment("a"), waypoint()], {}, ["medium"], id="1312 by the namespace"),
    pytest.param([namespace(labels=USE), deployment("a"), waypoint()], COMPLETE, ["high"], id="1312 for certain"),
    pytest.param([namespace(labels="team: a"), PODS, FOR_ALL], {}, ["medium"], id="1312 by the pods"),
    pytest.param([namespace(labels=f"{USE}, istio-injection: enabled"), deployment("a")], {}, ["low"], id="sidecars"),
    pytest.param([HOME, deployment("a"), waypoint()], {}, [], id="in ambient mode"),
    pytest.param([namespace(labels=USE), deployment("a", labels="app: a, istio.io/dataplane-mode: ambient")], {}, [], id="by the pods' own label"),
    pytest.param([HOME, deployment("a", labels="app: a, istio.io/dataplane-mode: none")], {}, [], id="opted out"),
    pytest.param([namespace(labels=USE), waypoint(), service()], COMPLETE, [], id="no pods"),
    pytest.param([PODS, waypoint()], {}, [], id="namespace out of sight"),
]  # fmt: skip


@pytest.mark.parametrize(("texts", "config", "confidences"), OUTSIDE)
def test_outside_ambient(texts: list[str], config: dict[str, Any], confidences: list[str]) -> None:
    found = findings(*texts, rules=("waypoint-outside-ambient",), config=config)
    assert [f.confidence for f in found] == confidences
    assert all(f.equivalents == ("KIA1312",) for f in found)


def test_one_finding_for_the_label_of_a_namespace() -> None:
    found = findings(HOME, deployment("a"), deployment("b"), rules=("waypoint-missing",), config=COMPLETE)
    assert [f.location.path for f in found] == ["/metadata/labels/istio.io~1use-waypoint"]


def policy(name: str, namespace: str, whom: str, rules: str, kind: str = "AuthorizationPolicy") -> str:
    return f"""
apiVersion: security.istio.io/v1
kind: {kind}
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{{whom}, {rules}}}
"""


def gateway_pods(account: str = "gw") -> str:
    text = deployment("gw", "edge", "istio: ingressgateway, sidecar.istio.io/inject: 'true'")
    return text.replace("containers", f"serviceAccountName: {account}, containers")


def admits(*accounts: str) -> str:
    principals = ", ".join(f"cluster.local/ns/{account}" for account in accounts)
    return policy(
        "pods",
        "shop",
        "selector: {matchLabels: {app: a}}",
        f"rules: [{{from: [{{source: {{principals: [{principals}]}}}}]}}]",
    )


READS = "rules: [{to: [{operation: {methods: [GET]}}]}]"
TOKENS = "jwtRules: [{issuer: a.example.com, jwksUri: 'https://a.example.com/keys'}]"
TO_WAYPOINT = "targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: wp}]"
INGRESS_PODS = "selector: {matchLabels: {istio: ingressgateway}}"
WAYS_IN = [
    enrolled(),
    HOME,
    waypoint(),
    deployment("a"),
    gateway(name="gw", namespace="istio-system"),
    ingress(),
]
ENFORCED = policy("reads", "shop", TO_WAYPOINT, READS)
SIGNED = policy("jwt", "shop", TO_WAYPOINT, TOKENS, "RequestAuthentication")

BYPASSED = [
    pytest.param([ENFORCED], ["AuthorizationPolicy"], id="by a gateway"),
    pytest.param([SIGNED], ["RequestAuthentication"], id="with tokens"),
    pytest.param([ENFORCED, policy("in", "istio-system", INGRESS_PODS, READS)], [], id="the gateway has a policy"),
    pytest.param([ENFORCED, gateway_pods(), policy("in", "edge", INGRESS_PODS, READS)], [], id="its pods have one"),
    pytest.param([ENFORCED, policy("in", "edge", INGRESS_PODS, READS)], [], id="pods not in the input"),
    pytest.param([ENFORCED, policy("in", "edge", "selector: {matchLabels: {app: b}}", READS)], ["AuthorizationPolicy"], id="others have one"),
    pytest.param([SIGNED, policy("in", "istio-system", INGRESS_PODS, TOKENS, "RequestAuthentication")], [], id="the gateway asks for tokens"),
    pytest.param([SIGNED, policy("in", "istio-system", INGRESS_PODS, READS)], ["RequestAuthentication"], id="a policy of another kind"),
    pytest.param([ENFORCED, gateway_pods(), admits("shop/sa/wp")], [], id="the pods admit the waypoint alone"),
    pytest.param([ENFORCED, gateway_pods(), admits("shop/sa/wp", "edge/sa/gw")], ["AuthorizationPolicy"], id="the pods admit the gateway"),
]  # fmt: skip


@pytest.mark.parametrize(("texts", "kinds"), BYPASSED)
def test_bypassed(texts: list[str], kinds: list[str]) -> None:
    found = findings(*WAYS_IN, *texts, rules=("waypoint-bypassed",))
    assert [f.message.partition("which alone enforces ")[2].partition(" ")[0] for f in found] == kinds
