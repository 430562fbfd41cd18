"""Spec traffic 7.9: what is said about an object for a release. Ids are the rows of the table, V1 to V20."""

from __future__ import annotations

from typing import Any

import pytest

from meshlint.findings import Finding
from meshlint.mesh.releases import EXPERIMENTS, NEWEST, REMOVED
from meshlint.mesh.scope import Settings
from meshlint.policy.rules import load_rules
from meshlint.policy.run import run
from meshlint.schema.catalogue import newest
from tests.support import mesh_of

FAMILIES = ("versions", "validity")
RULES = [rule for rule in load_rules().values() if rule.info.family in FAMILIES]
BY_ANNOTATION = [rule for rule in load_rules().values() if rule.name == "injection-annotation-deprecated"]


def findings(text: str, **settings: Any) -> list[Finding]:
    found, errors = run([*RULES, *BY_ANNOTATION], mesh_of(text, settings=Settings(**settings)))
    assert errors == []
    return found


def said(text: str, **settings: Any) -> set[str]:
    return {finding.rule for finding in findings(text, **settings)}


def thing(api_version: str, kind: str, spec: str = "{}") -> str:
    return f"apiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: a, namespace: shop}}\nspec: {spec}\n"


def patch(apply_to: str, operation: str, match: str = "{}") -> str:
    spec = (
        f"{{configPatches: [{{applyTo: {apply_to}, match: {match}, "
        f"patch: {{operation: {operation}, value: {{name: a, typed_config: {{}}}}}}}}]}}"
    )
    return thing("networking.istio.io/v1alpha3", "EnvoyFilter", spec)


def pods(annotation: str) -> str:
    return f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: a, namespace: shop}}
spec:
  selector: {{matchLabels: {{app: a}}}}
  template:
    metadata:
      labels: {{app: a}}
      annotations: {{{annotation}}}
    spec:
      containers: [{{name: a, image: a}}]
"""


HTTP = "{hosts: [a], http: [{route: [{destination: {host: a}}]}]}"
ROUTER = (
    "{listener: {filterChain: {filter: {name: envoy.filters.network.http_connection_manager, "
    "subFilter: {name: envoy.router}}}}}"
)
SHA = "0f343b0931126a20f133d67c2b018a3b0f343b0931126a20f133d67c2b018a3b"
OPERATOR = thing("install.istio.io/v1alpha1", "IstioOperator")
NOT_SERVED = {"api-version-not-served"}
PREFERRED = {"api-version-preferred"}

#: row: (document, settings, rules that speak)
ROWS: dict[str, tuple[str, dict[str, Any], set[str]]] = {
    "V1": (
        thing("networking.istio.io/v1alpha3", "VirtualService", HTTP),
        {"istio_version": "1.31"},
        PREFERRED,
    ),
    "V2": (thing("networking.istio.io/v1", "VirtualService", HTTP), {"istio_version": "1.21"}, NOT_SERVED),
    "V3": (thing("telemetry.istio.io/v1alpha1", "Telemetry"), {"istio_version": "1.31"}, PREFERRED),
    "V4": (thing("networking.istio.io/v1", "EnvoyFilter"), {}, NOT_SERVED | {"envoyfilter-present"}),
    "V5": (thing("networking.istio.io/v1", "ProxyConfig"), {}, NOT_SERVED | {"experimental-feature"}),
    "V6": (
        thing("extensions.istio.io/v1", "WasmPlugin", f"{{url: oci://a/b:1, sha256: {SHA}}}"),
        {},
        NOT_SERVED | {"experimental-feature"},
    ),
    "V7": (thing("authentication.istio.io/v1alpha1", "Policy"), {}, {"removed-kind"}),
    "V8": (thing("rbac.istio.io/v1alpha1", "ServiceRole"), {}, {"removed-kind"}),
    "V9": (thing("config.istio.io/v1alpha2", "QuotaSpec"), {}, {"removed-kind"}),
    "V10": (OPERATOR, {"istio_version": "1.24"}, {"istiooperator-in-cluster"}),
    "V10-before": (OPERATOR, {"istio_version": "1.23"}, set()),
    "V11": (
        thing("gateway.networking.k8s.io/v1alpha2", "GRPCRoute"),
        {"gateway_api_version": "1.2"},
        NOT_SERVED,
    ),
    "V12": (
        thing(
            "gateway.networking.k8s.io/v1alpha2", "TCPRoute", "{rules: [{backendRefs: [{name: a, port: 1}]}]}"
        ),
        {"gateway_api_version": "1.6"},
        NOT_SERVED,
    ),
    "V12-experimental": (
        thing(
            "gateway.networking.k8s.io/v1alpha2", "TCPRoute", "{rules: [{backendRefs: [{name: a, port: 1}]}]}"
        ),
        {"gateway_api_version": "1.6", "gateway_api_channel": "experimental"},
        PREFERRED,
    ),
    "V13": (
        patch("HTTP_FILTER", "MERGE", ROUTER),
        {},
        {"envoyfilter-deprecated-name", "envoyfilter-present"},
    ),
    "V14": (
        patch("HTTP_FILTER", "INSERT_BEFORE"),
        {},
        {"envoyfilter-relative-no-priority", "envoyfilter-present"},
    ),
    "V15": (patch("HTTP_ROUTE", "ADD"), {}, {"envoyfilter-bad-operation", "envoyfilter-present"}),
    "V16": (
        thing("extensions.istio.io/v1alpha1", "WasmPlugin", "{url: 'ftp://x'}"),
        {},
        {"wasm-fields", "experimental-feature"},
    ),
    "V17": (
        thing("extensions.istio.io/v1alpha1", "WasmPlugin", f"{{url: oci://a/b:1, sha256: {SHA[1:]}}}"),
        {},
        {"invalid-value", "experimental-feature"},
    ),
    "V17-upper": (
        thing("extensions.istio.io/v1alpha1", "WasmPlugin", f"{{url: oci://a/b:1, sha256: {SHA.upper()}}}"),
        {},
        {"invalid-value", "experimental-feature"},
    ),
    "V18": (
        thing("networking.istio.io/v1beta1", "ProxyConfig", "{concurrency: -1}"),
        {},
        {"invalid-value", "experimental-feature"},
    ),
    "V19": (pods('sidecar.istio.io/inject: "true"'), {}, {"injection-annotation-deprecated"}),
    "V20": (pods('sidecar.istio.io/injekt: "true"'), {}, {"annotation-unknown"}),
}


@pytest.mark.parametrize(("text", "settings", "expected"), ROWS.values(), ids=ROWS)
def test_table(text: str, settings: dict[str, Any], expected: set[str]) -> None:
    assert said(text, **settings) == expected


def test_codes_of_istioctl() -> None:
    """The codes that the table names."""
    for row, code in {"V14": "IST0151", "V15": "IST0153", "V19": "IST0135", "V20": "IST0108"}.items():
        text, settings, _ = ROWS[row]
        assert code in {code for finding in findings(text, **settings) for code in finding.equivalents}


@pytest.mark.parametrize(
    ("operation", "apply_to", "code"),
    [
        ("ADD", "ROUTE_CONFIGURATION", "IST0153"),
        ("ADD", "HTTP_ROUTE", "IST0153"),
        ("ADD", "CLUSTER", None),
        ("REMOVE", "ROUTE_CONFIGURATION", "IST0154"),
        ("REMOVE", "HTTP_ROUTE", "IST0154"),
        ("REMOVE", "CLUSTER", "IST0151"),
        ("REPLACE", "CLUSTER", "IST0152"),
        ("REPLACE", "LISTENER", "IST0152"),
        ("REPLACE", "VIRTUAL_HOST", "IST0151"),
        ("REPLACE", "HTTP_FILTER", "IST0151"),
        ("INSERT_AFTER", "NETWORK_FILTER", "IST0151"),
        ("INSERT_FIRST", "HTTP_FILTER", None),
        ("MERGE", "HTTP_ROUTE", None),
    ],
)
def test_operations(operation: str, apply_to: str, code: str | None) -> None:
    found = [f.equivalents for f in findings(patch(apply_to, operation)) if f.rule != "envoyfilter-present"]
    assert found == ([(code,)] if code else [])


def test_a_patch_for_some_versions_of_the_same_filter() -> None:
    """IST0155, whichever of the two comes first."""
    plain = patch("HTTP_FILTER", "INSERT_BEFORE")
    versioned = patch("HTTP_FILTER", "INSERT_BEFORE", "{proxy: {proxyVersion: ^1.2}}").replace(
        "name: a,", "name: b,", 1
    )
    for texts in ((plain, versioned), (versioned, plain)):
        found, _ = run(RULES, mesh_of(*texts))
        codes = [f.equivalents for f in found if f.rule == "envoyfilter-relative-no-priority"]
        assert ("IST0155",) in codes


@pytest.mark.parametrize("priority", ["10", "-5", '"{{ .Values.priority }}"'])
def test_a_priority_settles_the_order(priority: str) -> None:
    text = patch("HTTP_FILTER", "INSERT_BEFORE").replace("spec: {", f"spec: {{priority: {priority}, ")
    assert "envoyfilter-relative-no-priority" not in said(text)


def test_a_removed_kind_that_the_tree_defines() -> None:
    definition = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: rules.config.istio.io}
spec:
  group: config.istio.io
  scope: Namespaced
  names: {kind: rule, plural: rules, singular: rule}
  versions: [{name: v1alpha2, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
---
"""
    text = thing("config.istio.io/v1alpha2", "rule")
    assert said(text) == {"removed-kind"}
    assert said(definition + text) == set()


def test_how_sure_it_is_that_an_operator_is_applied() -> None:
    def confidences(text: str) -> set[str]:
        return {f.confidence for f in findings(text) if f.rule == "istiooperator-in-cluster"}

    namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n"
    assert confidences(OPERATOR) == {"low"}
    assert confidences(f"{OPERATOR}---\n{namespace}") == {"medium"}


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("oci://registry.example.com:5000/auth:latest", True),
        ("registry.example.com:5000/auth", True),
        ("auth", True),
        ("oci://registry.example.com/auth:1.2", False),
        (f"oci://registry.example.com/auth@sha256:{SHA}", False),
        ("http://files.example.com/auth.wasm", True),
        ("https://files.example.com/auth.wasm", False),
        ("file:///opt/auth.wasm", False),
        ("oci://registry.example.com/auth:${TAG}", False),
        ("ftp://files.example.com/auth.wasm", False),
    ],
)
def test_what_pins_a_module(url: str, found: bool) -> None:
    text = thing("extensions.istio.io/v1alpha1", "WasmPlugin", f"{{url: '{url}'}}")
    assert ("wasm-unpinned" in said(text)) is found
    checked = thing("extensions.istio.io/v1alpha1", "WasmPlugin", f"{{url: '{url}', sha256: {SHA}}}")
    assert "wasm-unpinned" not in said(checked)


@pytest.mark.parametrize(
    ("name", "version", "istio", "found"),
    [
        ("grpcroutes", "v1.0.0", "1.31", True),
        ("grpcroutes", "v1.1.0-rc1", "1.31", False),
        ("grpcroutes", "v1.0.0", "1.30", False),
        ("backendtlspolicies", "v1.3.0", "", True),
        ("tcproutes", "v1.5.1", "1.32", True),
        ("tcproutes", "soon", "1.32", False),
        ("httproutes", "v0.8.0", "1.32", False),
    ],
)
def test_definitions_of_the_gateway_api(name: str, version: str, istio: str, found: bool) -> None:
    text = f"""
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: {name}.gateway.networking.k8s.io
  annotations: {{gateway.networking.k8s.io/bundle-version: {version}}}
spec:
  group: gateway.networking.k8s.io
  scope: Namespaced
  names: {{kind: X, plural: {name}}}
  versions: []
"""
    assert ("gateway-api-crd-version" in said(text, istio_version=istio)) is found


@pytest.mark.parametrize(
    ("name", "versions", "expected"),
    [
        ("gateways", "{name: v1, served: true}, {name: v1beta1, served: true}", None),
        ("gateways", "{name: v1beta1, served: true}", "warning IST0172"),
        ("gateways", "{name: v1, served: true}, {name: v1beta1, served: false}", "error IST0156"),
        ("gateways", "{name: v1alpha2, served: true}", "error IST0156+IST0172"),
        ("gateways", "{name: v1, served: '${ON}'}", None),
        ("gateways", "{name: v1}", None),
        ("gateways", "", None),
        ("referencegrants", "{name: v1beta1, served: true}", None),
        ("referencegrants", "{name: v1alpha2, served: true}", "error IST0156"),
        ("grpcroutes", "{name: v1, served: true}", None),
    ],
)
def test_versions_that_definitions_of_the_gateway_api_serve(
    name: str, versions: str, expected: str | None
) -> None:
    group = "gateway.networking.k8s.io"
    text = f"""
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: {name}.{group}}}
spec: {{group: {group}, scope: Namespaced, names: {{kind: X, plural: {name}}}, versions: [{versions}]}}
"""
    found = [f for f in findings(text) if f.rule == "gateway-api-crd-served"]
    assert [f"{f.severity} {'+'.join(f.equivalents)}" for f in found] == ([expected] if expected else [])


def test_tables_know_the_newest_release() -> None:
    assert newest("istio") == NEWEST
    assert all(removal.instead for removal in REMOVED.values())
    assert len({(e.kind, e.path) for e in EXPERIMENTS}) == len(EXPERIMENTS)
