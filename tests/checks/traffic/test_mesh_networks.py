"""Clusters that networks of the mesh name (istioctl-analyze IST0126)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.checks.findings import findings


def networks(registry: str, values: str = "", env: str = "") -> str:
    return f"""
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata: {{name: mesh, namespace: istio-system}}
spec:
  values:
    {env}
    global:
      {values}
      meshNetworks: {{east: {{endpoints: [{{fromRegistry: {registry}}}]}}}}
"""


def secret(data: str, label: str = '"true"', field: str = "stringData") -> str:
    return f"""
apiVersion: v1
kind: Secret
metadata: {{name: remote, namespace: istio-system, labels: {{istio/multiCluster: {label}}}}}
{field}: {data}
"""


SEALED = """
apiVersion: bitnami.com/v1alpha1
kind: SealedSecret
metadata: {name: remote, namespace: istio-system}
spec: {template: {metadata: {labels: {istio/multiCluster: "true"}}}}
"""
MESH = """
apiVersion: v1
kind: ConfigMap
metadata: {{name: istio, namespace: istio-system}}
data:
  mesh: "rootNamespace: istio-system"
  meshNetworks: "networks: {{a: {{endpoints: [{{fromRegistry: {}}}]}}}}"
"""
WHOLE = {"complete": True}
OWN = "multiCluster: {clusterName: west}"


@pytest.mark.parametrize(
    ("texts", "config", "expected"),
    [
        pytest.param((networks("Kubernetes"),), WHOLE, [], id="Kubernetes"),
        pytest.param((networks("Mock"),), WHOLE, [], id="Mock"),
        pytest.param((networks("External"),), WHOLE, [], id="External"),
        pytest.param((networks("kubernetes"),), WHOLE, ["medium"], id="case matters"),
        pytest.param((networks("east"), secret("{east: a}")), WHOLE, [], id="stringData"),
        pytest.param((networks("east"), secret("{east: YQ==}", field="data")), WHOLE, [], id="data"),
        pytest.param((networks("east"), secret("{east: a}", '"false"')), WHOLE, ["medium"], id="label"),
        pytest.param((networks("west", OWN),), WHOLE, [], id="the cluster itself"),
        pytest.param(
            (networks("west", env="pilot: {env: {CLUSTER_ID: west}}"),), WHOLE, [], id="by environment"
        ),
        pytest.param((networks("north", OWN), secret("{east: a}")), WHOLE, ["high"], id="unknown"),
        pytest.param((networks("north", OWN), secret("{east: a}")), None, ["low"], id="beside others"),
        pytest.param((networks("north", OWN),), None, [], id="nothing tells"),
        pytest.param((networks("north", OWN), secret("{'${NAME}': a}")), WHOLE, [], id="templated key"),
        pytest.param((networks("north", OWN), secret("'${DATA}'")), WHOLE, [], id="templated data"),
        pytest.param((networks("'${NAME}'", OWN),), WHOLE, [], id="templated name"),
        pytest.param(
            (networks("north", "multiCluster: {clusterName: '${NAME}'}"),), WHOLE, [], id="templated own name"
        ),
        pytest.param((MESH.format("west"), secret("{east: a}")), WHOLE, [], id="own name not in the input"),
        pytest.param((MESH.format("East"), secret("{east: a}")), WHOLE, ["medium"], id="case, own name open"),
        pytest.param((networks("north", OWN), SEALED), WHOLE, [], id="sealed"),
        pytest.param((networks("no_label", OWN),), WHOLE, [], id="refused by another rule"),
    ],
)
def test_unknown_registry(texts: tuple[str, ...], config: dict[str, Any] | None, expected: list[str]):
    found = findings(*texts, rules=("mesh-network-registry",), config=config)
    assert [finding.confidence for finding in found] == expected
