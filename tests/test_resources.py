from __future__ import annotations

import pytest

from meshlint.resources import Resource, resources_in, resources_of
from meshlint.source.load import load_texts
from meshlint.source.nodes import Scalar
from meshlint.source.parse import parse


def resource(text: str, default_namespace: str = "default") -> Resource:
    (found,) = resources_of(parse("a.yaml", text).documents[0], default_namespace)
    return found


@pytest.mark.parametrize(
    ("api_version", "kind", "group", "version", "namespace"),
    [
        ("v1", "Service", "", "v1", "default"),
        ("v1", "Namespace", "", "v1", None),
        ("networking.istio.io/v1", "Gateway", "networking.istio.io", "v1", "default"),
        ("gateway.networking.k8s.io/v1", "GatewayClass", "gateway.networking.k8s.io", "v1", None),
        ("sailoperator.io/v1", "Istio", "sailoperator.io", "v1", None),
        ("operator.kyma-project.io/v1alpha2", "Istio", "operator.kyma-project.io", "v1alpha2", "default"),
    ],
)
def test_identity(api_version: str, kind: str, group: str, version: str, namespace: str | None) -> None:
    found = resource(f"apiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: a}}\n")
    assert (found.group, found.version, found.kind) == (group, version, kind)
    assert found.namespace == namespace
    assert found.ns == (namespace or "")
    assert found.key == (group, kind, namespace or "", "a")
    assert found.title == (f"{kind} {namespace}/a" if namespace else f"{kind} a")


@pytest.mark.parametrize(
    ("metadata", "namespace", "written"),
    [
        ("{name: a, namespace: shop}", "shop", True),
        ("{name: a}", "other", False),
        ("{name: a, namespace: }", "other", False),
        ("{name: a, namespace: ''}", "other", False),
        ("{name: a, namespace: null}", "other", False),
    ],
)
def test_namespace(metadata: str, namespace: str, written: bool) -> None:
    found = resource(f"apiVersion: v1\nkind: Service\nmetadata: {metadata}\n", "other")
    assert (found.namespace, found.namespace_written) == (namespace, written)


@pytest.mark.parametrize(
    "text",
    [
        "kind: Service\n",
        "apiVersion: v1\n",
        "kind: [Service]\napiVersion: v1\n",
        "kind: \napiVersion: v1\n",
        "- kind: Service\n  apiVersion: v1\n",
        "kind Service apiVersion v1\n",
        "kind: Kustomization\napiVersion: kustomize.config.k8s.io/v1beta1\n",
        "kind: Component\napiVersion: kustomize.config.k8s.io/v1alpha1\n",
        "kind: ServiceList\napiVersion: v1\nitems: []\n",
        "kind: List\napiVersion: v1\nitems: [1, [], null, {kind: x}]\n",
        "",
        "---\n",
    ],
)
def test_what_is_no_object(text: str) -> None:
    assert resources_in([parse("a.yaml", text)]) == []


@pytest.mark.parametrize(
    "metadata", ["", "x", "[]", "{name: }", "{name: [a]}", "{labels: x, annotations: [y]}"]
)
def test_odd_metadata(metadata: str) -> None:
    found = resource(f"apiVersion: v1\nkind: Service\nmetadata: {metadata}\n")
    assert (found.name, found.labels, found.annotations) == ("", {}, {})
    assert found.place().node is not None


def test_lists_in_order_and_nested() -> None:
    item = "{{apiVersion: v1, kind: Service, metadata: {{name: {}}}}}"
    inner = f"{{apiVersion: v1, kind: List, items: [{item.format('b')}, {item.format('c')}]}}"
    text = f"apiVersion: v1\nkind: List\nitems:\n- {item.format('a')}\n- {inner}\n- {item.format('d')}\n"
    assert [r.name for r in resources_in([parse("a.yaml", text)])] == list("abcd")


def test_a_kind_that_ends_in_list_without_items_is_an_object() -> None:
    assert resource("apiVersion: x/v1\nkind: AllowList\nmetadata: {name: a}\n").kind == "AllowList"


def test_the_namespace_of_a_kustomization_goes_before_the_default() -> None:
    service = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n"
    texts = {
        "k/kustomization.yaml": "namespace: shop\nresources: [a.yaml]\n",
        "k/a.yaml": service,
        "b.yaml": service,
    }
    assert [r.namespace for r in resources_in(load_texts(texts).files, "team")] == ["shop", "team"]


def test_places() -> None:
    text = (
        "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n  ports:\n  - port: 80\n    name: http\n"
    )
    found = resource(text)

    def shown(*path: str | int, part: str = "value") -> str:
        start, end = found.place_at(*path, part=part).offsets
        return text[start:end]

    assert shown("spec", "ports", 0, "port") == "80"
    assert shown("spec", "ports", 0, "port", part="key") == "port"
    assert shown("spec", "ports", 0, "port", part="pair") == "port: 80"
    assert shown("spec", "ports", 0, "missing", "deeper").startswith("port: 80")
    assert shown("missing") == "a"
    assert isinstance(found.place().node, Scalar)
    assert found.text("spec", "ports", 0, "name") == "http"
    assert found.text("spec", "ports") is None
    assert len(found.mappings("spec", "ports")) == 1
    assert found.mapping("spec", "ports") is None
