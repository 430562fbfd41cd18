"""Groups of machines (kiali-validations KIA1701, KIA1702)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.checks.findings import findings


def group(name: str, labels: str = "{app: stock}", template: str = "", namespace: str = "shop") -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{metadata: {{labels: {labels}}}, template: {{serviceAccount: stock{template}}}}}
"""


def account(name: str, namespace: str = "shop") -> str:
    return f"apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: {name}, namespace: {namespace}}}\n"


POD = """
apiVersion: v1
kind: Pod
metadata: {name: stock, namespace: shop}
spec: {serviceAccountName: stock, containers: [{name: a, image: a}]}
"""
WHOLE = {"complete": True}


@pytest.mark.parametrize(
    ("texts", "config", "expected"),
    [
        pytest.param((account("stock"),), WHOLE, [], id="defined"),
        pytest.param((POD,), WHOLE, [], id="used by pods"),
        pytest.param((account("stock", "web"),), WHOLE, ["high"], id="of another namespace"),
        pytest.param((account("other"),), None, ["low"], id="beside others"),
        pytest.param((account("other", "web"),), None, [], id="beside those of another namespace"),
        pytest.param((), WHOLE, ["low"], id="no accounts are written"),
        pytest.param((), None, [], id="nothing tells"),
    ],
)
def test_service_account(texts: tuple[str, ...], config: dict[str, Any] | None, expected: list[str]):
    found = findings(group("a"), *texts, rules=("wg-service-account",), config=config)
    assert [finding.confidence for finding in found] == expected


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        pytest.param((group("a"), group("b")), 2, id="two"),
        pytest.param((group("a"), group("b"), group("c")), 3, id="three"),
        pytest.param((group("a"), group("a")), 0, id="versions of one"),
        pytest.param((group("a"), group("b", namespace="web")), 0, id="two namespaces"),
        pytest.param((group("a"), group("b", "{app: stock, v: '1'}")), 0, id="one label more"),
        pytest.param((group("a", "{}"), group("b", "{}")), 0, id="no labels"),
        pytest.param((group("a", "{app: '${A}'}"), group("b", "{app: '${A}'}")), 0, id="templated"),
        pytest.param(
            (group("a", template=", network: east"), group("b", template=", network: west")),
            0,
            id="two networks",
        ),
        pytest.param(
            (group("a", template=", locality: r/a"), group("b", template=", locality: r/b")),
            0,
            id="two localities",
        ),
    ],
)
def test_same_labels(texts: tuple[str, ...], expected: int):
    assert len(findings(*texts, rules=("wg-same-labels",))) == expected
