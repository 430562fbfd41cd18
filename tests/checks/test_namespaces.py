"""Namespaces that are injected by default (istioctl-analyze IST0148)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.checks.findings import findings


def values(enabled: str) -> str:
    return f"""
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata: {{name: mesh, namespace: istio-system}}
spec: {{values: {{sidecarInjectorWebhook: {{enableNamespacesByDefault: {enabled}}}}}}}
"""


def namespace(name: str, labels: str = "{}") -> str:
    return f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {labels}}}\n"


ON = values("true")


@pytest.mark.parametrize(
    ("texts", "config", "expected"),
    [
        pytest.param((ON, namespace("shop")), {"complete": True}, ["high"], id="complete"),
        pytest.param((ON, namespace("shop")), None, ["medium"], id="a label may be set elsewhere"),
        pytest.param((values("false"), namespace("shop")), None, [], id="off"),
        pytest.param((namespace("shop"),), {"complete": True}, [], id="nothing says so"),
        pytest.param((values("'${AUTO}'"), namespace("shop")), None, [], id="templated"),
        pytest.param((ON, values("false"), namespace("shop")), None, [], id="two that disagree"),
        pytest.param((ON, namespace("shop", "{istio-injection: enabled}")), None, [], id="enabled"),
        pytest.param((ON, namespace("shop", "{istio-injection: disabled}")), None, [], id="disabled"),
        pytest.param((ON, namespace("shop", '{istio-injection: ""}')), None, [], id="empty"),
        pytest.param((ON, namespace("shop", "{istio.io/rev: canary}")), None, [], id="revision"),
        pytest.param((ON, namespace("shop", "{istio.io/dataplane-mode: ambient}")), None, [], id="ambient"),
        pytest.param((ON, namespace("shop", "'${LABELS}'")), None, [], id="templated labels"),
        pytest.param((ON, namespace("istio-system")), None, [], id="istio-system"),
        pytest.param((ON, namespace("kube-system")), None, [], id="kube-system"),
    ],
)
def test_injected_by_default(texts: tuple[str, ...], config: dict[str, Any] | None, expected: list[str]):
    found = findings(*texts, rules=("injection-by-default",), config=config)
    assert [finding.confidence for finding in found] == expected
    assert all(finding.equivalents == ("IST0148",) for finding in found)
