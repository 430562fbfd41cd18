"""What Telemetry objects make of spans, logs and metrics: the tables of spec traffic 6.1 to 6.4."""

# ruff: noqa: E501 - a row of a table is one line

from __future__ import annotations

from typing import Any

import pytest

from meshlint.mesh.mesh import Mesh
from meshlint.mesh.scope import Settings
from meshlint.mesh.telemetry import CLIENT, SERVER
from meshlint.mesh.workloads import Workload
from tests.checks.findings import findings, names
from tests.support import mesh_of

OTEL = {"name": "otel", "opentelemetry": {"service": "otel.obs.svc.cluster.local", "port": 4317}}
PLAIN: dict[str, Any] = {"enableTracing": True}
KNOWN: dict[str, Any] = {"extensionProviders": [OTEL]}
DEFAULT: dict[str, Any] = {**KNOWN, "defaultProviders": {"tracing": ["otel"]}}

POD = """
apiVersion: v1
kind: Pod
metadata: {name: cart, namespace: shop, labels: {app: cart}}
spec: {containers: [{name: cart, image: cart}]}
"""
GATEWAY = POD.replace("app: cart", "istio: ingressgateway")

RULES = (
    "telemetry-duplicate", "telemetry-tracing-no-provider", "telemetry-provider-unknown", "telemetry-provider-kind",
    "telemetry-multiple-providers", "telemetry-disabled-inert", "telemetry-metrics-lost", "telemetry-sampling",
    "telemetry-selector-ineffective", "metrics-cardinality", "telemetry-tags", "tracing-not-exported", "invalid-value",
)  # fmt: skip


def telemetry(spec: str, name: str = "mesh", namespace: str = "istio-system", **metadata: str) -> str:
    more = "".join(f", {key}: {value}" for key, value in metadata.items())
    return f"""
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {{name: {name}, namespace: {namespace}{more}}}
spec: {{{spec}}}
"""


def mesh_with(*texts: str, config: dict[str, Any] | None = PLAIN) -> tuple[Mesh, Workload]:
    mesh = mesh_of(POD, *texts, settings=Settings(mesh_config=config))
    return mesh, mesh.workloads.all[0]


def said(*texts: str, config: dict[str, Any] | None = PLAIN) -> list[str]:
    return names(findings(*texts, rules=RULES, config={"meshConfig": config} if config is not None else {}))


# -- 6.1 ---------------------------------------------------------------------------------------------

SHARE = "tracing: [{randomSamplingPercentage: %s}]"
PROVIDER = "tracing: [{providers: [{name: otel}], randomSamplingPercentage: %s}]"

LAYERS = [
    pytest.param((), 1.0, id="nothing"),
    pytest.param((PROVIDER % 5,), 5.0, id="root"),
    pytest.param((PROVIDER % 5, (SHARE % 10, "shop", "shop")), 10.0, id="namespace over root"),
    pytest.param(((PROVIDER % 5), (SHARE % 10, "shop", "shop"), ("selector: {matchLabels: {app: cart}}, " + SHARE % 20, "cart", "shop")), 20.0, id="selector over namespace"),
    pytest.param((PROVIDER % 5, ("selector: {matchLabels: {app: cart}}, " + SHARE % 20, "cart", "istio-system")), 5.0, id="a selector in the root namespace is for its pods"),
    pytest.param((PROVIDER % 5, ("targetRefs: [{kind: Service, group: '', name: cart}], " + SHARE % 20, "cart", "shop")), 5.0, id="targetRefs are for waypoints"),
    pytest.param((PROVIDER % 5, ("selector: {matchLabels: {app: web}}, " + SHARE % 20, "web", "shop")), 5.0, id="other pods"),
]  # fmt: skip


@pytest.mark.parametrize(("objects", "sampling"), LAYERS)
def test_layers(objects: tuple[Any, ...], sampling: float) -> None:
    texts = [telemetry(o) if isinstance(o, str) else telemetry(*o) for o in objects]
    mesh, pod = mesh_with(*texts, config=KNOWN)
    assert mesh.telemetry.tracing(pod, CLIENT).value.sampling == sampling


def test_of_several_for_one_namespace_the_oldest_counts() -> None:
    first = telemetry(PROVIDER % 5, "a", creationTimestamp='"2024-01-01T00:00:00Z"')
    second = telemetry(PROVIDER % 7, "b", creationTimestamp='"2023-01-01T00:00:00Z"')
    mesh, pod = mesh_with(first, second, config=KNOWN)
    assert mesh.telemetry.tracing(pod, CLIENT).value.sampling == 7.0


def test_without_creation_times_they_are_disputed() -> None:
    mesh, pod = mesh_with(telemetry(PROVIDER % 5, "a"), telemetry(PROVIDER % 7, "b"), config=KNOWN)
    assert mesh.telemetry.tracing(pod, CLIENT).conflict
    assert mesh.telemetry.logging(pod, CLIENT).known


# -- 6.2 ---------------------------------------------------------------------------------------------

NAMED = "tracing: [{providers: [{name: %s}]}]"

TRACING = [
    pytest.param(SHARE % 10, PLAIN, "off", ["telemetry-tracing-no-provider"], id="a share without a provider switches tracing off"),
    pytest.param(SHARE % 10, DEFAULT, "otel 10", [], id="a share of the default provider"),
    pytest.param(NAMED % "otl", KNOWN, "off", ["telemetry-provider-unknown"], id="unknown provider"),
    pytest.param(NAMED % "otl", None, "unknown", [], id="mesh configuration not given"),
    pytest.param(NAMED % "OTEL", KNOWN, "OTEL 1", [], id="names are compared without case"),
    pytest.param(PROVIDER % 0, KNOWN, "otel 0", ["telemetry-sampling:info"], id="sampling 0"),
    pytest.param(PROVIDER % 100, KNOWN, "otel 100", ["telemetry-sampling:info"], id="sampling 100"),
    pytest.param(PROVIDER % 101, KNOWN, "otel 101", ["telemetry-sampling"], id="sampling 101"),
    pytest.param(PROVIDER % -1, KNOWN, "otel -1", ["telemetry-sampling"], id="sampling -1"),
    pytest.param(NAMED % "prometheus", KNOWN, "off", ["telemetry-provider-kind"], id="prometheus as tracer"),
    pytest.param("tracing: [{providers: [{name: otel}, {name: other}]}]", {"extensionProviders": [OTEL, {**OTEL, "name": "other"}]}, "otel 1", ["telemetry-multiple-providers"], id="two providers"),
    pytest.param("tracing: [{disableSpanReporting: true}]", DEFAULT, "otel 1 unreported", [], id="disableSpanReporting"),
    pytest.param("tracing: [{providers: [{name: otel}], customTags: {a: {literal: {value: ''}}}}]", KNOWN, "otel 1", ["invalid-value"], id="literal tag with empty value"),
    pytest.param("tracing: [{providers: [{name: otel}], customTags: {a: {header: {name: ''}}}}]", KNOWN, "otel 1", ["invalid-value"], id="header tag with empty name"),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "config", "state", "rules"), TRACING)
def test_tracing(spec: str, config: dict[str, Any] | None, state: str, rules: list[str]) -> None:
    mesh, pod = mesh_with(telemetry(spec), config=config)
    fact = mesh.telemetry.tracing(pod, CLIENT)
    shown = "unknown"
    if fact.known:
        found = fact.value
        shown = f"{found.provider} {found.sampling:g}" if found.provider else "off"
        shown += "" if found.reported else " unreported"
    assert shown == state
    assert said(telemetry(spec), config=config) == rules


def test_nobody_receives_spans_since_1_22() -> None:
    mesh, pod = mesh_with()
    assert mesh.telemetry.tracing(pod, CLIENT).value.legacy
    assert mesh.telemetry.legacy_exporter.is_(False)
    old = mesh_of(POD, settings=Settings(mesh_config=PLAIN, istio_version="1.21"))
    assert old.telemetry.legacy_exporter.is_(True)
    legacy: dict[str, Any] = {
        "defaultConfig": {"tracing": {"zipkin": {"address": "zipkin.obs:9411"}, "sampling": 10}}
    }
    mesh, pod = mesh_with(config=legacy)
    assert mesh.telemetry.legacy_exporter.is_(True)
    assert mesh.telemetry.tracing(pod, CLIENT).value.sampling == 10.0


def test_custom_tags_are_not_merged() -> None:
    base = telemetry("tracing: [{providers: [{name: otel}], customTags: {a: {literal: {value: x}}}}]")
    own = telemetry(
        "selector: {matchLabels: {app: cart}}, tracing: [{customTags: {b: {literal: {value: y}}}}]",
        "cart",
        "shop",
    )
    mesh, pod = mesh_with(base, own, config=KNOWN)
    assert mesh.telemetry.tracing(pod, CLIENT).value.tags == ("b",)


def test_gateways_use_the_client_mode() -> None:
    text = telemetry("tracing: [{match: {mode: SERVER}, providers: [{name: otel}]}]")
    mesh, pod = mesh_with(text, config=KNOWN)
    assert mesh.telemetry.tracing(pod, SERVER).value.provider == "otel"
    assert mesh.telemetry.tracing(pod, CLIENT).value.provider == ""


# -- 6.3 ---------------------------------------------------------------------------------------------

STDOUT: dict[str, Any] = {"accessLogFile": "/dev/stdout"}

LOGGING = [
    pytest.param("accessLogging: [{}]", STDOUT, "file", ["telemetry-disabled-inert"], id="no providers"),
    pytest.param("accessLogging: [{filter: {expression: response.code >= 500}}]", STDOUT, "file", ["telemetry-disabled-inert"], id="only a filter"),
    pytest.param("accessLogging: [{disabled: true}]", STDOUT, "file", ["telemetry-disabled-inert"], id="disabled without provider"),
    pytest.param("accessLogging: [{disabled: true}]", {"accessLogFile": ""}, "none", [], id="disabled where there is none"),
    pytest.param("accessLogging: [{providers: [{name: envoy}], disabled: true}]", STDOUT, "none", [], id="disabled for the provider"),
    pytest.param("accessLogging: [{providers: [{name: nobody}]}]", STDOUT, "file", ["telemetry-provider-unknown"], id="unknown provider"),
    pytest.param("accessLogging: [{providers: [{name: envoy}]}]", PLAIN, "envoy", [], id="built-in provider"),
    pytest.param("accessLogging: [{providers: [{name: envoy}], match: {mode: SERVER}}]", STDOUT, "file", [], id="the other direction keeps what it has"),
    pytest.param("accessLogging: [{providers: [{name: envoy}], filter: {expression: response.code >= 500}}]", STDOUT, "envoy", [], id="filter"),
    pytest.param("accessLogging: [{providers: [{name: envoy}], disabled: true}, {providers: [{name: envoy}], disabled: false}]", STDOUT, "envoy", [], id="re-enabled"),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "config", "state", "rules"), LOGGING)
def test_logging(spec: str, config: dict[str, Any], state: str, rules: list[str]) -> None:
    mesh, pod = mesh_with(telemetry(spec), config=config)
    found = mesh.telemetry.logging(pod, CLIENT).value
    shown = "file" if found.legacy and found.on else " ".join(sorted(found.providers)) or "none"
    assert shown == state
    assert said(telemetry(spec), config=config) == rules


def test_a_filter_with_a_syntax_error() -> None:
    text = telemetry(
        "accessLogging: [{providers: [{name: envoy}], filter: {expression: 'response.code >='}}]"
    )
    assert names(findings(text, rules=("telemetry-filter",))) == ["telemetry-filter"]


def test_the_last_object_that_names_providers_replaces_the_others() -> None:
    config: dict[str, Any] = {
        "extensionProviders": [{"name": "json", "envoyFileAccessLog": {"path": "/dev/stdout"}}]
    }
    base = telemetry("accessLogging: [{providers: [{name: envoy}]}]")
    own = telemetry("accessLogging: [{providers: [{name: json}]}]", "shop", "shop")
    mesh, pod = mesh_with(base, own, config=config)
    assert mesh.telemetry.logging(pod, CLIENT).value.providers == {"json"}


# -- 6.4 ---------------------------------------------------------------------------------------------


def override(text: str) -> str:
    return f"metrics: [{{providers: [{{name: prometheus}}], overrides: [{{{text}}}]}}]"


METRICS = [
    pytest.param(override("match: {metric: REQUEST_COUNT}, disabled: true"), PLAIN, ["telemetry-metrics-lost"], id="REQUEST_COUNT"),
    pytest.param(override("match: {metric: REQUEST_COUNT, mode: CLIENT}, disabled: true"), PLAIN, ["telemetry-metrics-lost:info"], id="REQUEST_COUNT of clients"),
    pytest.param(override("match: {metric: REQUEST_SIZE}, disabled: true"), PLAIN, ["telemetry-metrics-lost:info"], id="REQUEST_SIZE"),
    pytest.param(override("match: {metric: ALL_METRICS}, disabled: true"), PLAIN, ["telemetry-metrics-lost"], id="ALL_METRICS"),
    pytest.param(override("disabled: true"), PLAIN, ["telemetry-metrics-lost"], id="no match is all of them"),
    pytest.param(override("match: {metric: REQUEST_COUNT}, tagOverrides: {destination_canonical_service: {operation: REMOVE}}"), PLAIN, ["telemetry-metrics-lost"], id="destination_canonical_service"),
    pytest.param(override("tagOverrides: {response_code: {operation: REMOVE}}"), PLAIN, ["telemetry-metrics-lost"], id="response_code"),
    pytest.param(override("tagOverrides: {request_host: {value: request.host}}"), PLAIN, ["metrics-cardinality"], id="request_host"),
    pytest.param("metrics: [{reportingInterval: 5s}]", {"defaultProviders": {"metrics": []}}, ["telemetry-metrics-lost"], id="no provider"),
    pytest.param("metrics: [{providers: [{name: stackdriver}]}]", PLAIN, ["telemetry-provider-kind"], id="stackdriver"),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "config", "rules"), METRICS)
def test_metrics(spec: str, config: dict[str, Any], rules: list[str]) -> None:
    assert said(telemetry(spec), config=config) == rules


# -- evidence ----------------------------------------------------------------------------------------


def test_a_default_provider_may_exist_outside_of_the_input() -> None:
    assert said(telemetry(SHARE % 10), config=None) == []


def test_an_unseen_object_of_the_root_namespace_may_name_a_provider() -> None:
    assert said(telemetry(SHARE % 10, "shop", "shop"), config=PLAIN) == []


def test_a_mesh_configuration_elsewhere_in_the_tree_is_a_suspicion() -> None:
    operator = """
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata: {name: mesh, namespace: istio-system}
spec: {meshConfig: {enableTracing: true}}
"""
    files = {"loki/iop.yaml": operator, "tracing/telemetry.yaml": telemetry(NAMED % "otel")}
    found = findings(rules=("telemetry-provider-unknown",), files=files)
    assert [f.confidence for f in found] == ["low"]
    beneath = {"iop.yaml": operator, "tracing/telemetry.yaml": telemetry(NAMED % "otel")}
    found = findings(rules=("telemetry-provider-unknown",), files=beneath)
    assert [f.confidence for f in found] == ["high"]
