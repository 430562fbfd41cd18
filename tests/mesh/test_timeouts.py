"""Effective timeouts: the tables of spec traffic 2.1, 2.4, 2.5, 2.6 and 2.8."""

from __future__ import annotations

import pytest

from meshlint.mesh.facts import Fact
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.retries import average_backoff, tries_that_fit
from meshlint.mesh.scope import Settings
from meshlint.mesh.timeouts import Timeout
from meshlint.source.durations import MILLISECOND, SECOND
from tests.support import mesh_of

CLOSED = Settings(complete=True)


def service(port: str = "{name: http, port: 80}") -> str:
    return f"""
apiVersion: v1
kind: Service
metadata: {{name: a, namespace: shop}}
spec: {{ports: [{port}]}}
"""


def rule(more: str = "", action: str = "route: [{destination: {host: a}}]") -> str:
    return f"{{{action}{', ' if more else ''}{more}}}"


def virtual_service(*rules: str, name: str = "a", spec: str = "hosts: [a]") -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, namespace: shop}}
spec:
  {spec}
  http: [{", ".join(rules)}]
"""


def http_route(more: str, kind: str = "HTTPRoute") -> str:
    return f"""
apiVersion: gateway.networking.k8s.io/v1
kind: {kind}
metadata: {{name: a, namespace: shop}}
spec:
  parentRefs: [{{group: "", kind: Service, name: a}}]
  rules: [{{backendRefs: [{{name: a, port: 80}}]{", " if more else ""}{more}}}]
"""


def api_rule(spec: str = "", rule_more: str = "") -> str:
    return f"""
apiVersion: gateway.kyma-project.io/v2
kind: APIRule
metadata: {{name: a, namespace: shop}}
spec:
  {{{spec} hosts: [a.example.com], gateway: kyma-system/kyma-gateway, service: {{name: a, port: 80}},
   rules: [{{path: /, methods: [GET], noAuth: true{rule_more}}}]}}
"""


def envoy_filter(namespace: str = "shop", target: str = "HTTP_ROUTE", patch: str = "") -> str:
    patch = patch or "{operation: MERGE, value: {route: {timeout: 10s}}}"
    return f"""
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {{name: patch, namespace: {namespace}}}
spec: {{configPatches: [{{applyTo: {target}, patch: {patch}}}]}}
"""


def said(fact: Fact[Timeout]) -> str | float:
    if not fact.known:
        return "unknown"
    limit = fact.value.limit
    return fact.value.kind if limit is None else limit / SECOND


def of_rules(mesh: Mesh) -> list[str | float]:
    return [said(mesh.timeouts.of(route)) for route in mesh.routes.all]


def coverage(mesh: Mesh) -> str:
    (found,) = mesh.registry.services
    return mesh.timeouts.coverage(found, found.ports[0])


def contexts(mesh: Mesh) -> list[tuple[str, str | float]]:
    (found,) = mesh.registry.services
    return [(context, said(f)) for context, f in mesh.timeouts.of_service(found, found.ports[0])]


@pytest.mark.parametrize(
    ("files", "settings", "expected"),
    [
        pytest.param([service()], CLOSED, "disabled", id="http-no-vs-complete"),
        pytest.param([service()], None, "unknown", id="http-no-vs-open"),
        pytest.param([service("{name: tcp-postgres, port: 5432}")], CLOSED, "n/a", id="tcp"),
        pytest.param([service(), virtual_service(rule("timeout: 3s"))], CLOSED, "finite", id="one-rule"),
        pytest.param(
            [service(), virtual_service(rule("timeout: 3s, match: [{uri: {prefix: /x}}]"), rule())],
            CLOSED,
            "partial",
            id="two-rules-one-timeout",
        ),
        pytest.param([service(), virtual_service(rule("timeout: 0s"))], CLOSED, "unknown", id="zero"),
        pytest.param([service(), virtual_service(rule("timeout: 5"))], CLOSED, "unknown", id="number"),
        pytest.param(
            [service(), http_route("timeouts: {request: 0s}")], CLOSED, "disabled", id="httproute-zero"
        ),
        pytest.param(
            [
                service(),
                virtual_service(rule("timeout: 2s", "delegate: {name: d}")),
                virtual_service(rule(), name="d", spec=""),
            ],
            CLOSED,
            "finite",
            id="delegate",
        ),
        pytest.param(
            [service(), virtual_service(rule("timeout: 5s"), spec="hosts: [a]\n  gateways: [gw]")],
            CLOSED,
            "partial",
            id="gateway-only",
        ),
        pytest.param(
            [service(), virtual_service(rule("retries: {attempts: 2, perTryTimeout: 2s}"))],
            CLOSED,
            "disabled",
            id="per-try-only",
        ),
        pytest.param(
            [service(), virtual_service(rule(action="redirect: {uri: /x}"))], CLOSED, "n/a", id="redirect"
        ),
        pytest.param([service(), http_route("", "GRPCRoute")], CLOSED, "disabled", id="grpcroute"),
    ],
)
def test_2_4_services(files: list[str], settings: Settings | None, expected: str) -> None:
    assert coverage(mesh_of(*files, settings=settings)) == expected


def test_2_4_gateway_finite_mesh_disabled() -> None:
    mesh = mesh_of(
        service(),
        virtual_service(rule("timeout: 5s"), spec="hosts: [a.example.com]\n  gateways: [gw]"),
        settings=CLOSED,
    )
    assert contexts(mesh) == [("mesh", "disabled"), ("gateway", 5.0)]


@pytest.mark.parametrize(
    ("spec", "rule_more", "expected"),
    [
        ("", "", 180.0),
        ("timeout: 30,", "", 30.0),
        ("timeout: 30,", ", timeout: 60", 60.0),
        ("timeout: 0,", "", "unknown"),
        ("timeout: 5000,", "", "unknown"),
    ],
)
def test_2_4_api_rules(spec: str, rule_more: str, expected: str | float) -> None:
    assert of_rules(mesh_of(api_rule(spec, rule_more))) == [expected]


def test_2_4_an_api_rule_is_about_its_gateway_only() -> None:
    mesh = mesh_of(service(), api_rule(), settings=CLOSED)
    assert contexts(mesh) == [("mesh", "disabled"), ("gateway", 180.0)]


@pytest.mark.parametrize(
    ("timeouts", "retry", "limit", "per_try"),
    [
        ("request: 10s", "", 10.0, None),
        ("request: 10s, backendRequest: 2s", "", 2.0, None),
        ("request: 10s, backendRequest: 2s", "attempts: 3", 10.0, 2.0),
        ("request: 0s, backendRequest: 5s", "", 5.0, None),
        ("request: 0s, backendRequest: 0s", "", "disabled", None),
        ("request: 10s, backendRequest: 2s", "attempts: 0", 10.0, None),
        ("backendRequest: 5s", "", 5.0, None),
        ("request: 1.5s", "", "unknown", None),
    ],
)
def test_2_5_http_routes(timeouts: str, retry: str, limit: str | float, per_try: float | None) -> None:
    more = f"timeouts: {{{timeouts}}}" + (f", retry: {{{retry}}}" if retry else "")
    mesh = mesh_of(http_route(more))
    fact = mesh.timeouts.of(mesh.routes.all[0])
    assert said(fact) == limit
    if fact.known:
        assert fact.value.per_try == (None if per_try is None else per_try * SECOND)


def test_2_5_backend_request_decides_and_request_is_named_too() -> None:
    mesh = mesh_of(http_route("timeouts: {request: 10s, backendRequest: 2s}"))
    assert [p.text for p in mesh.timeouts.of(mesh.routes.all[0]).because] == ["2s", "10s"]


@pytest.mark.parametrize(
    ("attempts", "per_try", "limit", "tries"),
    [
        pytest.param(3, 2, None, 4, id="no-timeout"),
        pytest.param(3, 2, 2, 1, id="per-try-not-below-timeout"),
        pytest.param(3, None, 10, 1, id="no-per-try"),
        pytest.param(3, 2, 5, 2, id="not-all-fit"),
        pytest.param(3, 2, 10, 4, id="all-fit"),
    ],
)
def test_2_6_tries(attempts: int, per_try: int | None, limit: int | None, tries: int) -> None:
    assert tries_that_fit(attempts, per_try, limit) == tries


def test_2_6_backoff_grows_to_ten_times_its_base() -> None:
    waits = [average_backoff(20 * MILLISECOND, retry) / MILLISECOND for retry in range(1, 7)]
    assert waits == [10, 30, 70, 100, 100, 100]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param([virtual_service(rule("timeout: 3s"))], [3.0], id="no-service"),
        pytest.param([virtual_service(rule()), envoy_filter()], ["unknown"], id="envoyfilter"),
        pytest.param([virtual_service(rule()), envoy_filter("other")], ["disabled"], id="other-namespace"),
        pytest.param(
            [virtual_service(rule()), envoy_filter("istio-system")], ["unknown"], id="root-namespace"
        ),
        pytest.param([virtual_service(rule()), envoy_filter(target="CLUSTER")], ["disabled"], id="clusters"),
        pytest.param(
            [
                virtual_service(rule()),
                envoy_filter(target="VIRTUAL_HOST", patch="{operation: MERGE, value: {rate_limits: []}}"),
            ],
            ["disabled"],
            id="merge-of-something-else",
        ),
        pytest.param(
            [virtual_service(rule()), envoy_filter(patch="{operation: REMOVE}")], ["unknown"], id="remove"
        ),
    ],
)
def test_2_8_evidence(files: list[str], expected: list[str | float]) -> None:
    assert of_rules(mesh_of(*files)) == expected


def test_2_8_an_envoyfilter_for_gateways_leaves_the_mesh_alone() -> None:
    patch = envoy_filter().replace("{applyTo", "{match: {context: GATEWAY}, applyTo")
    assert of_rules(mesh_of(virtual_service(rule()), patch)) == ["disabled"]
    outside = virtual_service(rule(), spec="hosts: [a.example.com]\n  gateways: [gw]")
    assert of_rules(mesh_of(outside, patch)) == ["unknown"]


@pytest.mark.parametrize(
    ("export_to", "expected"),
    [('["*"]', "finite"), ("[shop]", "partial"), ('["."]', "partial")],
)
def test_2_4_a_private_rule_leaves_other_clients_without(export_to: str, expected: str) -> None:
    rules = virtual_service(rule("timeout: 3s"), spec=f"hosts: [a]\n  exportTo: {export_to}")
    assert coverage(mesh_of(service(), rules, settings=CLOSED)) == expected


def test_2_4_a_consumer_route_is_for_the_clients_of_its_namespace() -> None:
    consumer = http_route("timeouts: {request: 3s}").replace(
        "{name: a, namespace: shop}", "{name: a, namespace: web}"
    )
    consumer = consumer.replace("kind: Service, name: a", "kind: Service, name: a, namespace: shop")
    assert coverage(mesh_of(service(), consumer, settings=CLOSED)) == "partial"


def test_delegates_alternate_with_unknown_roots() -> None:
    assert of_rules(mesh_of(virtual_service(rule(), spec=""))) == ["unknown"]
    assert of_rules(mesh_of(virtual_service(rule("timeout: 1s"), spec=""))) == [1.0]


def test_templated_timeouts_are_unknown() -> None:
    assert of_rules(mesh_of(virtual_service(rule("timeout: '${T}'")))) == ["unknown"]


def test_the_line_of_the_timeout_is_remembered() -> None:
    mesh = mesh_of(virtual_service(rule("timeout: 3s")))
    assert mesh.timeouts.of(mesh.routes.all[0]).because[0].text == "3s"


def test_http_routes_of_unknown_gateways_are_unknown() -> None:
    text = http_route("").replace('{group: "", kind: Service, name: a}', "{name: gw}")
    assert of_rules(mesh_of(text)) == ["unknown"]
