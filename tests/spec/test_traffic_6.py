"""Spec traffic 6: Telemetry, extension providers, labels of metrics, and what Kyma installs.

What the objects come to for a pod is tested in `mesh/test_telemetry`; here is what is said about each row.
"""

# ruff: noqa: E501 - a row of a table is one line

from __future__ import annotations

from typing import Any

import pytest

from meshlint.mesh.scope import Settings
from tests.checks.traffic.support import deployment, service
from tests.mesh.test_telemetry import DEFAULT, GATEWAY, KNOWN, OTEL, PLAIN, POD, telemetry
from tests.spec.support import Row, params, row, said


def config(mesh: dict[str, Any] | None, **more: Any) -> Settings:
    return Settings(mesh_config=mesh, complete=True, **more)


def operator(mesh: str) -> str:
    return f"apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nmetadata: {{name: mesh, namespace: istio-system}}\nspec: {{meshConfig: {{{mesh}}}}}\n"


def tracing(text: str) -> str:
    return telemetry(f"tracing: [{text}]")


def logging(text: str) -> str:
    return telemetry(f"accessLogging: [{text}]")


def metrics(text: str) -> str:
    return telemetry(f"metrics: [{{providers: [{{name: prometheus}}], overrides: [{{{text}}}]}}]")


OLDER = telemetry("tracing: [{providers: [{name: otel}]}]", "a", "shop")
R_6_1 = [
    row("two of a namespace", POD, OLDER, telemetry("accessLogging: [{providers: [{name: envoy}]}]", "b", "shop"), says="telemetry-duplicate error", settings=config(KNOWN)),
    row("overlapping selectors", POD, telemetry("selector: {matchLabels: {app: cart}}, tracing: [{providers: [{name: otel}]}]", "a", "shop"),
        telemetry("selector: {matchLabels: {app: cart}}, tracing: [{providers: [{name: otel}]}]", "b", "shop"), says="telemetry-duplicate error", settings=config(KNOWN)),
    row("selector in the root namespace", POD, telemetry("selector: {matchLabels: {app: cart}}, tracing: [{providers: [{name: otel}]}]"),
        says="telemetry-selector-ineffective warning", settings=config(KNOWN)),
    row("selector and targetRefs", telemetry("selector: {matchLabels: {app: cart}}, targetRefs: [{kind: Service, group: '', name: a}]", "a", "shop"),
        says="exclusive-fields error", settings=config(KNOWN)),
    row("targetRef of another namespace", telemetry("targetRefs: [{kind: Service, group: '', name: a, namespace: b}]", "a", "shop"),
        says="invalid-value error", settings=config(KNOWN)),
    row("selector without pods", POD, telemetry("selector: {matchLabels: {app: crat}}, tracing: [{providers: [{name: otel}]}]", "a", "shop"),
        says="telemetry-selector-ineffective warning", settings=config(KNOWN)),
]  # fmt: skip

OFFER = "extensionProviders: [{name: otel, opentelemetry: {service: otel.obs.svc.cluster.local, port: 4317}}]"
R_6_2 = [
    row("no Telemetry, no default provider", POD, operator(OFFER), says="tracing-not-exported info", settings=Settings(complete=True)),
    row("a share, no provider", POD, tracing("{randomSamplingPercentage: 10}"), says="telemetry-tracing-no-provider warning", settings=config(PLAIN)),
    row("a share, default provider", POD, tracing("{randomSamplingPercentage: 10}"), settings=config(DEFAULT)),
    row("unknown provider", POD, tracing("{providers: [{name: otl}]}"), says="telemetry-provider-unknown error", settings=config(KNOWN)),
    row("unknown provider, no mesh config", POD, tracing("{providers: [{name: otl}]}")),
    row("sampling 0", POD, tracing("{providers: [{name: otel}], randomSamplingPercentage: 0}"), says="telemetry-sampling info", settings=config(KNOWN)),
    row("sampling 100", POD, tracing("{providers: [{name: otel}], randomSamplingPercentage: 100}"), says="telemetry-sampling info", settings=config(KNOWN)),
    row("sampling 101", POD, tracing("{providers: [{name: otel}], randomSamplingPercentage: 101}"), says="telemetry-sampling error", settings=config(KNOWN)),
    row("sampling -1", POD, tracing("{providers: [{name: otel}], randomSamplingPercentage: -1}"), says="telemetry-sampling error", settings=config(KNOWN)),
    row("prometheus in tracing", POD, tracing("{providers: [{name: prometheus}]}"), says="telemetry-provider-kind error", settings=config(KNOWN)),
    row("two providers", POD, tracing("{providers: [{name: otel}, {name: other}]}"), says="telemetry-multiple-providers warning",
        settings=config({"extensionProviders": [OTEL, {**OTEL, "name": "other"}]})),
    row("two entries", POD, tracing("{providers: [{name: otel}]}, {randomSamplingPercentage: 5}"), says="telemetry-multiple-providers warning", settings=config(KNOWN)),
    row("literal tag, empty value", POD, tracing("{providers: [{name: otel}], customTags: {a: {literal: {value: ''}}}}"), says="invalid-value error", settings=config(KNOWN)),
    row("header tag, empty name", POD, tracing("{providers: [{name: otel}], customTags: {a: {header: {name: ''}}}}"), says="invalid-value error", settings=config(KNOWN)),
    row("SERVER only, pods of a gateway", GATEWAY, telemetry("selector: {matchLabels: {istio: ingressgateway}}, tracing: [{match: {mode: SERVER}, providers: [{name: otel}]}]", "a", "shop"),
        says="telemetry-selector-ineffective warning", settings=config(KNOWN)),
    row("CLIENT, pods of a gateway", GATEWAY, telemetry("selector: {matchLabels: {istio: ingressgateway}}, tracing: [{match: {mode: CLIENT}, providers: [{name: otel}]}]", "a", "shop"),
        settings=config(KNOWN)),
]  # fmt: skip
NOT_DONE_6_2 = {
    "disableSpanReporting": "what the author wrote; the state is in inspect (test_telemetry)",
    "customTags of two layers": "what the author wrote; the state is in inspect (test_telemetry)",
}

STDOUT: dict[str, Any] = {"accessLogFile": "/dev/stdout"}
R_6_3 = [
    row("[{}]", POD, logging("{}"), says="telemetry-disabled-inert warning", settings=config(STDOUT)),
    row("only a filter", POD, logging("{filter: {expression: response.code >= 500}}"), says="telemetry-disabled-inert warning", settings=config(STDOUT)),
    row("disabled, no provider", POD, logging("{disabled: true}"), says="telemetry-disabled-inert warning", settings=config(STDOUT)),
    row("disabled for a provider", POD, logging("{providers: [{name: envoy}], disabled: true}"), settings=config(STDOUT)),
    row("unknown provider", POD, logging("{providers: [{name: nobody}]}"), says="telemetry-provider-unknown error", settings=config(STDOUT)),
    row("envoy", POD, logging("{providers: [{name: envoy}]}"), settings=config(STDOUT)),
    row("match.mode CLIENT", POD, logging("{providers: [{name: envoy}], match: {mode: CLIENT}}"), settings=config(STDOUT)),
    row("filter", POD, logging("{providers: [{name: envoy}], filter: {expression: response.code >= 500}}"), settings=config(STDOUT)),
    row("filter with a syntax error", POD, logging("{providers: [{name: envoy}], filter: {expression: 'response.code >='}}"), says="telemetry-filter error", settings=config(STDOUT)),
]  # fmt: skip

LOST = "telemetry-metrics-lost"
R_6_4 = [
    row("REQUEST_COUNT", POD, metrics("match: {metric: REQUEST_COUNT}, disabled: true"), says=f"{LOST} warning", settings=config(PLAIN)),
    row("REQUEST_COUNT of clients", POD, metrics("match: {metric: REQUEST_COUNT, mode: CLIENT}, disabled: true"), says=f"{LOST} info", settings=config(PLAIN)),
    row("REQUEST_SIZE", POD, metrics("match: {metric: REQUEST_SIZE}, disabled: true"), says=f"{LOST} info", settings=config(PLAIN)),
    row("ALL_METRICS", POD, metrics("match: {metric: ALL_METRICS}, disabled: true"), says=f"{LOST} warning", settings=config(PLAIN)),
    *(row(f"REMOVE {tag}", POD, metrics(f"tagOverrides: {{{tag}: {{operation: REMOVE}}}}"), says=f"{LOST} warning", settings=config(PLAIN))
      for tag in ("destination_canonical_service", "response_code")),
    row("UPSERT request_host", POD, metrics("tagOverrides: {request_host: {value: request.host}}"), says="metrics-cardinality warning", settings=config(PLAIN)),
    row("UPSERT without value", POD, metrics("tagOverrides: {a: {operation: UPSERT}}"), says="required-field error", settings=config(PLAIN)),
    row("REMOVE with value", POD, metrics("tagOverrides: {a: {operation: REMOVE, value: x}}"), says="exclusive-fields error", settings=config(PLAIN)),
    row("no provider", POD, telemetry("metrics: [{reportingInterval: 5s}]"), says=f"{LOST} warning", settings=config({"defaultProviders": {"metrics": []}})),
    row("stackdriver", POD, telemetry("metrics: [{providers: [{name: stackdriver}]}]"), says="telemetry-provider-kind error", settings=config(PLAIN)),
]  # fmt: skip

ADDRESS = {"service": "z.obs.svc.cluster.local", "port": 9411}
#: kind of provider -> its settings, and what it can be used for
PROVIDERS: dict[str, tuple[dict[str, Any], str]] = {
    "opentelemetry": (ADDRESS, "tracing"),
    "zipkin": (ADDRESS, "tracing"),
    "datadog": (ADDRESS, "tracing"),
    "skywalking": (ADDRESS, "tracing"),
    "lightstep": (ADDRESS, ""),
    "opencensus": (ADDRESS, ""),
    "prometheus": ({}, "metrics"),
    "envoyFileAccessLog": ({"path": "/dev/stdout"}, "accessLogging"),
    "envoyHttpAls": (ADDRESS, "accessLogging"),
    "envoyTcpAls": (ADDRESS, "accessLogging"),
    "envoyOtelAls": (ADDRESS, "accessLogging"),
    "envoyExtAuthzHttp": (ADDRESS, "authorization"),
    "envoyExtAuthzGrpc": (ADDRESS, "authorization"),
    "sds": ({**ADDRESS, "name": "q"}, ""),
}
CUSTOM = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: a, namespace: shop}
spec: {action: CUSTOM, provider: {name: p}, rules: [{}]}
"""


@pytest.mark.parametrize("kind", PROVIDERS)
@pytest.mark.parametrize("used", ["tracing", "accessLogging", "metrics", "authorization"])
def test_6_5_capabilities(kind: str, used: str) -> None:
    written, able = PROVIDERS[kind]
    text = CUSTOM if used == "authorization" else telemetry(f"{used}: [{{providers: [{{name: p}}]}}]")
    rule = "authz-custom-provider" if used == "authorization" else "telemetry-provider-kind"
    found = said(
        row(kind, POD, text, settings=config({"extensionProviders": [{"name": "p", kind: written}]})), (rule,)
    )
    assert bool(found) is (able != used)


REQUIRED = "mesh-extension-provider warning"
R_6_5 = [
    row("opentelemetry without port", operator("extensionProviders: [{name: p, opentelemetry: {service: a.b}}]"), says=REQUIRED),
    row("opentelemetry with grpc and http", operator("extensionProviders: [{name: p, opentelemetry: {service: a.b, port: 1, grpc: {}, http: {path: /x}}}]"), says=REQUIRED),
    row("zipkin without service", operator("extensionProviders: [{name: p, zipkin: {port: 1}}]"), says=REQUIRED),
    row("lightstep", operator("extensionProviders: [{name: p, lightstep: {service: a.b, port: 1}}]"), says=REQUIRED),
    row("names twice", operator("extensionProviders: [{name: p, prometheus: {}}, {name: p, prometheus: {}}]"), says=REQUIRED),
    row("empty name", operator("extensionProviders: [{name: '', prometheus: {}}]"), says=REQUIRED),
    row("unused", operator("extensionProviders: [{name: p, prometheus: {}}]"), says="dead-object info"),
    row("short name of a service", operator("extensionProviders: [{name: p, zipkin: {service: z, port: 1}}]"), says="extension-provider-service error"),
    row("envoyFileAccessLog without path, which is /dev/stdout", operator("extensionProviders: [{name: p, envoyFileAccessLog: {}}]"), says="dead-object info"),
]  # fmt: skip

INJECTED = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {istio-injection: enabled}}\n"


def labelled(labels: str, own: str = "") -> str:
    """A Deployment whose pods are those of the Service `a`."""
    text = deployment("a", labels=f"tier: x{', ' if labels else ''}{labels}")
    return text.replace("namespace: shop}", f"namespace: shop, labels: {{{own}}}}}", 1)


TIER = service().replace("{app: a}", "{tier: x}")
OTHER = labelled("app: a, version: v1").replace("{name: a,", "{name: other,")
R_6_6 = [
    row("no labels", INJECTED, TIER, labelled(""), says="labels-app-version warning"),
    row("no version", INJECTED, TIER, labelled("app: a"), says="labels-app-version info"),
    row("no app", INJECTED, TIER, labelled("version: v1"), says="labels-app-version warning"),
    row("app and version", INJECTED, TIER, labelled("app: a, version: v1")),
    row("of Kubernetes", INJECTED, TIER, labelled("app.kubernetes.io/name: a, app.kubernetes.io/version: '1'")),
    row("canonical", INJECTED, TIER, labelled("service.istio.io/canonical-name: a, service.istio.io/canonical-revision: '1'")),
    row("on the Deployment alone", INJECTED, TIER, labelled("app: a", "version: v1"), says="labels-app-version warning"),
    row("two workloads with one name and revision", INJECTED, TIER, labelled("app: a, version: v1"), OTHER, says="labels-same-canonical info"),
    row("two workloads, two versions", INJECTED, TIER, labelled("app: a, version: v2"), OTHER),
]  # fmt: skip

KYMA = Settings(platform="kyma", complete=True)
R_6_7 = [
    row("kyma-traces", POD, tracing("{providers: [{name: kyma-traces}]}"), settings=KYMA),
    row("kyma-logs", POD, logging("{providers: [{name: kyma-logs}]}"), settings=KYMA),
    row("stdout-json", POD, logging("{providers: [{name: stdout-json}]}"), settings=KYMA),
    row("a share, no provider", POD, tracing("{randomSamplingPercentage: 10}"), says="telemetry-tracing-no-provider warning", settings=KYMA),
    row("unknown provider", POD, tracing("{providers: [{name: jaeger}]}"), says="telemetry-provider-unknown error", settings=KYMA),
]  # fmt: skip

TABLES = {
    "6.1": R_6_1, "6.2": R_6_2, "6.3": R_6_3, "6.4": R_6_4, "6.5": R_6_5, "6.6": R_6_6, "6.7": R_6_7,
}  # fmt: skip


@pytest.mark.parametrize(
    ("one", "asked"),
    [
        pytest.param(*param.values, id=f"{name} {param.id}")
        for name, rows in TABLES.items()
        for param in params(rows)
    ],
)
def test_row(one: Row, asked: tuple[str, ...]) -> None:
    assert said(one, asked) == list(one.expected)
