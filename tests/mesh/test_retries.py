"""Effective retries: the tables of spec traffic 3.1, 3.2, 3.4 and 3.7."""

from __future__ import annotations

import pytest

from meshlint.findings import Finding
from meshlint.mesh.facts import Fact
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.retries import (
    BUILT_IN,
    DEFAULT_RETRY_ON,
    Retry,
    inert,
    invalid_tokens,
    split_retry_on,
    unsafe_tokens,
)
from meshlint.policy.rules import load_rules
from meshlint.policy.run import run
from tests.support import mesh_of

RULES = load_rules()
FOUR = DEFAULT_RETRY_ON[:4]


def virtual_service(rule: str) -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: a, namespace: shop}}
spec:
  hosts: [a]
  http: [{{{rule}}}]
"""


def with_retries(retries: str) -> str:
    return virtual_service(f"route: [{{destination: {{host: a}}}}], retries: {retries}")


def of_rule(mesh: Mesh) -> Fact[Retry]:
    return mesh.retries.of(mesh.routes.all[0])


def findings(mesh: Mesh, *names: str) -> list[Finding]:
    found, errors = run([RULES[name] for name in names], mesh)
    assert errors == []
    return found


@pytest.mark.parametrize(
    ("retries", "rule", "attempts"),
    [
        ("{}", "retry-silently-disabled", 0),
        ("{attempts: 0}", "", 0),
        ("{attempts: 3}", "", 3),
        ("{perTryTimeout: 2s}", "retry-without-attempts", 0),
        ("{retryOn: 5xx}", "retry-without-attempts", 0),
        ("{attempts: 0, retryOn: 5xx}", "retry-without-attempts", 0),
        ("{retryRemoteLocalities: false}", "retry-without-attempts", 0),
        ("{backoff: 100ms}", "retry-silently-disabled", 0),
        ("{attempts: -1}", "retry-without-attempts", 0),
        ('{attempts: 3, retryOn: ""}', "", 3),
        ("{attempts: 3, perTryTimeout: 0s}", "timeout-invalid", 3),
        ("{attempts: 3, retryIgnorePreviousHosts: false}", "", 3),
        ("{attempts: 100}", "retry-storm", 100),
    ],
)
def test_3_1_fields(retries: str, rule: str, attempts: int) -> None:
    mesh = mesh_of(with_retries(retries))
    names = ("retry-without-attempts", "retry-silently-disabled", "timeout-invalid", "retry-storm")
    assert [f.rule for f in findings(mesh, *names)] == ([rule] if rule else [])
    assert of_rule(mesh).value.attempts == attempts


def test_3_1_absent_is_the_default_policy() -> None:
    assert of_rule(mesh_of(virtual_service("route: [{destination: {host: a}}]"))).value == BUILT_IN


def test_3_1_an_empty_list_is_the_default_list() -> None:
    assert of_rule(mesh_of(with_retries('{attempts: 3, retryOn: ""}'))).value.retry_on == DEFAULT_RETRY_ON


@pytest.mark.parametrize(
    ("value", "valid", "retries_nothing"),
    [
        ("5xx,reset,connect-failure", True, False),
        ("5xx, reset", False, False),
        ("5xx,", False, False),
        ("5XX", False, False),
        ("503", True, False),
        ("503,retriable-status-codes", True, False),
        ("599", False, False),
        ("499", False, False),
        ("520", False, False),
        ("retriable-status-codes", True, True),
        ("retriable-headers", True, True),
        ("retriable-4xx", True, False),
        ("UNAVAILABLE", False, False),
        ("unavailable ", False, False),
        ("gateway-error", True, False),
        ("deadline-exceeded", True, False),
        ("not-found", False, False),
        ("5xx,5xx", True, False),
        ("retry-on-timeout", False, False),
        ("", True, False),
        ("+503", True, False),
        ("٥٠٣", False, False),
    ],
)
def test_3_2_tokens(value: str, valid: bool, retries_nothing: bool) -> None:
    assert (invalid_tokens(value) == []) is valid
    assert inert(split_retry_on(value)) is retries_nothing


@pytest.mark.parametrize("code", [209, 306, 419, 420, 427, 430, 499, 509, 520, 599])
def test_3_2_codes_that_go_does_not_know(code: int) -> None:
    assert invalid_tokens(str(code)) == [str(code)]


@pytest.mark.parametrize(
    ("token", "unsafe"),
    [
        ("connect-failure", False),
        ("refused-stream", False),
        ("reset-before-request", False),
        ("http3-post-connect-failure", False),
        ("unavailable", False),
        ("cancelled", False),
        ("reset", True),
        ("5xx", True),
        ("gateway-error", True),
        ("retriable-4xx", True),
        ("409", True),
        ("deadline-exceeded", True),
        ("internal", True),
        ("resource-exhausted", True),
        ("retriable-headers", True),
        ("retriable-status-codes", False),
    ],
)
def test_3_4_which_tokens_may_repeat_work(token: str, unsafe: bool) -> None:
    assert unsafe_tokens([token]) == ([token] if unsafe else [])


def matching(methods: str, retries: str) -> str:
    match = f"match: [{methods}], " if methods else ""
    return virtual_service(f"{match}route: [{{destination: {{host: a}}}}], retries: {retries}")


@pytest.mark.parametrize(
    ("methods", "retry_on", "expected"),
    [
        pytest.param("{method: {exact: POST}}", "5xx", ("warning", "high"), id="post"),
        pytest.param("{method: {exact: GET}}", "5xx", None, id="get"),
        pytest.param("{method: {exact: PUT}}, {method: {exact: DELETE}}", "5xx", None, id="idempotent"),
        pytest.param("{method: {regex: GET|HEAD}}", "5xx", None, id="regex-of-safe"),
        pytest.param("{method: {regex: GET|POST}}", "5xx", ("warning", "high"), id="regex-with-post"),
        pytest.param("{method: {regex: .*}}", "5xx", ("info", "low"), id="regex-of-anything"),
        pytest.param(
            "{method: {exact: GET}}, {uri: {prefix: /}}", "5xx", ("info", "low"), id="one-match-open"
        ),
        pytest.param("", "5xx", ("info", "low"), id="no-match"),
        pytest.param("{method: {exact: POST}}", "connect-failure,refused-stream", None, id="safe-tokens"),
        pytest.param("{method: {exact: POST}}", "connect-failure,503", ("warning", "high"), id="code"),
    ],
)
def test_3_4_unsafe_retry(methods: str, retry_on: str, expected: tuple[str, str] | None) -> None:
    mesh = mesh_of(matching(methods, f'{{attempts: 3, retryOn: "{retry_on}"}}'))
    found = [(f.severity, f.confidence) for f in findings(mesh, "retry-unsafe-method")]
    assert found == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("rule", "name", "severity"),
    [
        pytest.param(
            "timeout: 2s, retries: {attempts: 3, perTryTimeout: 2s}",
            "retry-per-try-vs-timeout",
            "warning",
            id="per-try-not-below-timeout",
        ),
        pytest.param(
            "timeout: 5s, retries: {attempts: 3, perTryTimeout: 2s}",
            "retry-per-try-vs-timeout",
            "info",
            id="two-tries-fit",
        ),
        pytest.param("retries: {attempts: 10}", "retry-storm", "warning", id="ten"),
    ],
)
def test_3_7_rules(rule: str, name: str, severity: str) -> None:
    mesh = mesh_of(virtual_service(f"route: [{{destination: {{host: a}}}}], {rule}"))
    assert [(f.rule, f.severity) for f in findings(mesh, name)] == [(name, severity)]


def test_3_7_service_without_a_rule() -> None:
    assert mesh_of("").retries.mesh_default.value == BUILT_IN
    assert not mesh_of("").retries.mesh_default.certain


MESH_CONFIG = """
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    defaultHttpRetryPolicy:
      attempts: %d
      retryOn: 5xx
"""


@pytest.mark.parametrize(("attempts", "expected"), [(0, ()), (4, ("5xx",))])
def test_3_7_default_of_the_mesh(attempts: int, expected: tuple[str, ...]) -> None:
    mesh = mesh_of(MESH_CONFIG % attempts, virtual_service("route: [{destination: {host: a}}]"))
    retry = of_rule(mesh).value
    assert (retry.attempts, retry.retry_on, retry.explicit) == (attempts, expected, False)


def http_route(retry: str) -> str:
    return f"""
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: a, namespace: shop}}
spec:
  parentRefs: [{{group: "", kind: Service, name: a}}]
  rules: [{{backendRefs: [{{name: a, port: 80}}]{retry}}}]
"""


@pytest.mark.parametrize(
    ("retry", "attempts", "retry_on"),
    [
        (", retry: {codes: [503]}", 2, (*FOUR, "503")),
        (", retry: {attempts: 5}", 5, FOUR),
        ("", 2, DEFAULT_RETRY_ON),
    ],
)
def test_3_7_http_route(retry: str, attempts: int, retry_on: tuple[str, ...]) -> None:
    found = of_rule(mesh_of(http_route(retry))).value
    assert (found.attempts, found.retry_on) == (attempts, retry_on)


THREE = "retries: {attempts: 3}"


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        pytest.param(f"redirect: {{uri: /x}}, {THREE}", ["retry-ineffective"], id="redirect-and-retries"),
        pytest.param(f"directResponse: {{status: 503}}, {THREE}", ["retry-ineffective"], id="answer"),
        pytest.param(f"route: [{{destination: {{host: a}}}}], {THREE}", [], id="route"),
        pytest.param(f"delegate: {{name: b}}, {THREE}", [], id="inherited by a delegate"),
        pytest.param("redirect: {uri: /x}, retries: null", [], id="null"),
    ],
)  # fmt: skip
def test_3_7_retries_without_effect(rule: str, said: list[str]) -> None:
    names = [name for name in RULES if name.startswith("retry-") and not name.endswith("-missing")]
    assert [f.rule for f in findings(mesh_of(virtual_service(rule)), *names)] == said


def test_3_7_redirects_and_tcp_have_no_retries() -> None:
    assert not of_rule(mesh_of(virtual_service("redirect: {uri: /x}, retries: {attempts: 3}"))).value.applies
    tcp = virtual_service("").replace("http: [{}]", "tcp: [{route: [{destination: {host: a}}]}]")
    assert not of_rule(mesh_of(tcp)).value.applies


def test_3_7_templated_and_invalid_values_are_unknown() -> None:
    assert of_rule(mesh_of(with_retries("{attempts: '${N}'}"))).unknown
    assert of_rule(mesh_of(with_retries("{attempts: 3, retryOn: '${ON}'}"))).unknown
