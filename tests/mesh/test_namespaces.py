"""Labels of namespaces: several definitions, templates, and what is not in the input."""

from __future__ import annotations

import pytest

from meshlint.mesh.facts import State
from meshlint.mesh.scope import Settings
from tests.support import mesh_of


def ns(labels: str, name: str = "shop") -> str:
    return f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {labels}}}\n"


@pytest.mark.parametrize(
    ("texts", "state", "value"),
    [
        pytest.param([ns("{istio-injection: enabled}")], State.KNOWN, "enabled", id="written"),
        pytest.param([ns("{}")], State.KNOWN, None, id="absent"),
        pytest.param(
            [ns("{istio-injection: enabled}"), ns("{istio-injection: enabled}")],
            State.KNOWN,
            "enabled",
            id="twice the same",
        ),
        pytest.param([ns("{istio-injection: enabled}"), ns("{}")], State.KNOWN, "enabled", id="merged"),
        pytest.param(
            [ns("{istio-injection: enabled}"), ns("{istio-injection: disabled}")],
            State.CONFLICT,
            None,
            id="contradiction",
        ),
        pytest.param([ns("{istio-injection: '{{ .Values.a }}'}")], State.UNKNOWN, None, id="templated"),
        pytest.param([ns("{istio-injection: true}")], State.UNKNOWN, None, id="boolean"),
        pytest.param([ns("{istio-injection: }")], State.KNOWN, "", id="null is the empty string"),
        pytest.param([ns("${LABELS}")], State.UNKNOWN, None, id="all labels templated"),
        pytest.param(
            [
                "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n  labels:\n"
                "    istio-injection: #@ data.values.mode\n"
            ],
            State.UNKNOWN,
            None,
            id="filled by ytt",
        ),
        pytest.param([], State.UNKNOWN, None, id="not in the input"),
    ],
)
def test_label(texts: list[str], state: State, value: str | None) -> None:
    fact = mesh_of(*texts).namespaces.label("shop", "istio-injection")
    assert fact.state is state
    assert fact.or_else(None) == value


def test_label_names_its_line() -> None:
    fact = mesh_of(ns("{istio-injection: enabled}")).namespaces.label("shop", "istio-injection")
    assert [place.text for place in fact.because] == ["enabled"]
    assert fact.certain


def test_label_of_one_definition_of_two_is_not_certain() -> None:
    mesh = mesh_of(ns("{istio-injection: enabled}"), ns("{}"))
    assert not mesh.namespaces.label("shop", "istio-injection").certain


def test_complete_input() -> None:
    mesh = mesh_of(ns("{}", "other"), settings=Settings(complete=True))
    fact = mesh.namespaces.label("shop", "istio-injection")
    assert fact.is_(None)
    assert fact.certain
    assert not mesh.namespaces.known("shop")


def test_kyma_labels_its_own_namespace() -> None:
    mesh = mesh_of(ns("{}", "other"), settings=Settings(platform="kyma"))
    assert mesh.namespaces.label("kyma-system", "istio-injection").is_("enabled")
    assert mesh.namespaces.label("default", "istio-injection").unknown


def test_labels_by_argo() -> None:
    mesh = mesh_of(
        """
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: shop, namespace: argocd}
spec:
  destination: {namespace: shop}
  syncPolicy:
    managedNamespaceMetadata:
      labels: {istio-injection: enabled}
"""
    )
    assert mesh.namespaces.label("shop", "istio-injection").is_("enabled")
    assert mesh.namespaces.label("shop", "istio.io/rev").unknown


def test_all_labels() -> None:
    mesh = mesh_of(ns("{team: a}"))
    assert mesh.namespaces.labels("shop") == {"kubernetes.io/metadata.name": "shop", "team": "a"}
    assert mesh.namespaces.labels("other") is None
