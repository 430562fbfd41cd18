"""Pitfalls of HTTP rules: the tables of spec traffic 5.5, 5.6, 5.8, 5.9 and 5.10."""

from __future__ import annotations

import pytest

from meshlint.mesh.scope import Settings
from tests.checks.traffic.support import verdicts, virtual_service

ROUTE = "route: [{destination: {host: a}}]"
PRODUCTION = Settings(production_namespaces=("shop",))


def severities(rule: str, text: str, settings: Settings | None = None) -> list[str]:
    return [severity for severity, _ in verdicts(rule, text, settings=settings)]


def http(*parts: str) -> str:
    """A VirtualService whose rules are the given fields and a route."""
    return virtual_service(f"http: [{', '.join(f'{{{part}, {ROUTE}}}' for part in parts)}]")


def match(text: str) -> str:
    return f"match: [{{{text}}}]"


BOUNDARY, REGEX, REWRITE = "vs-prefix-boundary", "vs-regex-invalid", "vs-rewrite"
PITFALLS = {
    "prefix of a sibling": (
        BOUNDARY, http(match("uri: {prefix: /foobar}"), match("uri: {prefix: /foo}")), ["info"],
    ),
    "prefix alone": (BOUNDARY, http(match("uri: {prefix: /foo}")), []),
    "prefix below": (BOUNDARY, http(match("uri: {prefix: /foo/b}"), match("uri: {prefix: /foo}")), []),
    "slash at the end": (BOUNDARY, http(match("uri: {prefix: /foo/}")), ["info"]),
    "slash at the end, and the bare path": (
        BOUNDARY, http(match("uri: {prefix: /foo/}"), match("uri: {exact: /foo}")), [],
    ),
    "slash at the end, and a default": (BOUNDARY, http(match("uri: {prefix: /foo/}"), "name: x"), []),
    "double slash": (BOUNDARY, http(match("uri: {prefix: /foo}") + ", rewrite: {uri: /}"), ["warning"]),
    "two matches, as documented": (
        BOUNDARY,
        http("match: [{uri: {prefix: /foo/}}, {uri: {prefix: /foo}}], rewrite: {uri: /}"),
        [],
    ),
    "slash to slash": (
        BOUNDARY, http(match("uri: {prefix: /foo/}") + ", rewrite: {uri: /}", "name: x"), [],
    ),
    "slash lost": (
        BOUNDARY, http(match("uri: {prefix: /foo/}") + ", rewrite: {uri: /v2}", "name: x"), ["warning"],
    ),
    "rewrite of an exact path": (BOUNDARY, http(match("uri: {exact: /foo}") + ", rewrite: {uri: /}"), []),
    "rewrite of a regex": (
        "vs-rewrite-regex", http(match("uri: {regex: /a.*}") + ", rewrite: {uri: /}"), ["warning"],
    ),
    "rewrite of an authority beside a regex": (
        "vs-rewrite-regex", http(match("uri: {regex: /a.*}") + ", rewrite: {authority: b}"), [],
    ),
    "both rewrites": (
        REWRITE, http("rewrite: {uri: /, uriRegexRewrite: {match: a, rewrite: b}}"), ["error"],
    ),
    "half a regex rewrite": (REWRITE, http("rewrite: {uriRegexRewrite: {match: a}}"), ["error"]),
    "empty rewrite": (REWRITE, http("rewrite: {}"), ["error"]),
    "authority twice": (
        REWRITE,
        http("rewrite: {authority: b}, headers: {request: {set: {host: c}}}"),
        ["error"],
    ),
    "look-ahead": (REGEX, http(match("uri: {regex: '/(?!a)'}")), ["error"]),
    "back-reference": (REGEX, http(match(r"uri: {regex: '(a)\1'}")), ["error"]),
    "atomic group": (REGEX, http(match("uri: {regex: '(?>a)'}")), ["error"]),
    "possessive": (REGEX, http(match("uri: {regex: 'a++'}")), ["error"]),
    "too many repetitions": (REGEX, http(match("uri: {regex: 'a{1001}'}")), ["error"]),
    "unbalanced": (REGEX, http(match("uri: {regex: '(a'}")), ["error"]),
    "too long": (REGEX, http(match(f"uri: {{regex: '{'a' * 1025}'}}")), ["error"]),
    "empty prefix of a method": ("vs-match-value", http(match("method: {prefix: ''}")), ["error"]),
    "empty prefix of a path": ("vs-match-value", http(match("uri: {prefix: ''}")), []),
    "a method in lower case": ("vs-match-inert", http(match("method: {exact: get}")), ["warning"]),
    "a path with its query": ("vs-match-inert", http(match("uri: {exact: '/a?b=c'}")), ["warning"]),
    "an empty value of a parameter": ("vs-match-inert", http(match("queryParams: {a: {exact: ''}}")), []),
    "cases of a regex": (
        "vs-match-inert", http(match("uri: {regex: /a}, ignoreUriCase: true")), ["info"],
    ),
    "presence of a header": ("vs-match-value", http(match("headers: {x: {}}")), []),
}  # fmt: skip


@pytest.mark.parametrize(("rule", "text", "expected"), PITFALLS.values(), ids=PITFALLS)
def test_5_5_pitfalls(rule: str, text: str, expected: list[str]) -> None:
    assert severities(rule, text) == expected


DELAY = "delay: {fixedDelay: 7s, percentage: {value: 100}}"
FAULTS = {
    "in production": ("vs-fault-in-production", f"fault: {{{DELAY}}}", ["error"]),
    "no percentage": ("vs-fault-inert", "fault: {delay: {fixedDelay: 7s}}", ["warning"]),
    "no percentage, in production": ("vs-fault-in-production", "fault: {delay: {fixedDelay: 7s}}", []),
    "tiny percentage": (
        "vs-fault-invalid", "fault: {abort: {httpStatus: 500, percentage: {value: 0.00001}}}", ["error"],
    ),
    "status 199": (
        "vs-fault-invalid", "fault: {abort: {httpStatus: 199, percentage: {value: 1}}}", ["error"],
    ),
    "status 601": (
        "vs-fault-invalid", "fault: {abort: {httpStatus: 601, percentage: {value: 1}}}", ["error"],
    ),
    "status 600": (
        "vs-fault-invalid", "fault: {abort: {httpStatus: 600, percentage: {value: 1}}}", ["error"],
    ),
    "gRPC 14": ("vs-fault-invalid", 'fault: {abort: {grpcStatus: "14", percentage: {value: 1}}}', ["error"]),
    "gRPC in lower case": (
        "vs-fault-invalid", "fault: {abort: {grpcStatus: unavailable, percentage: {value: 1}}}", ["error"],
    ),
    "marked requests": (
        "vs-fault-in-production",
        f"match: [{{headers: {{x-test: {{exact: a}}}}}}], fault: {{{DELAY}}}",
        ["info"],
    ),
    "a path is no mark": (
        "vs-fault-in-production", f"match: [{{uri: {{prefix: /a}}}}], fault: {{{DELAY}}}", ["error"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("rule", "part", "expected"), FAULTS.values(), ids=FAULTS)
def test_5_6_faults(rule: str, part: str, expected: list[str]) -> None:
    assert severities(rule, http(part), PRODUCTION) == expected


def test_5_6_a_fault_in_a_rule_for_tcp_is_an_unknown_field() -> None:
    text = virtual_service(f"tcp: [{{fault: {{{DELAY}}}, {ROUTE}}}]")
    assert severities("unknown-field", text)
    assert severities("vs-fault-in-production", text, PRODUCTION) == []


def test_5_6_production_namespaces() -> None:
    text = http(f"fault: {{{DELAY}}}")
    assert severities("vs-fault-in-production", text) == ["info"]
    assert severities("vs-fault-in-production", text, Settings(production_namespaces=("prod-*",))) == []


def redirect(fields: str, uri: str = "exact: /a") -> str:
    return virtual_service(f"http: [{{match: [{{uri: {{{uri}}}}}], redirect: {{{fields}}}}}]")


@pytest.mark.parametrize(
    ("text", "rule", "found"),
    [
        (redirect(""), "vs-redirect", True),
        (redirect("uri: /b, prefixRewrite: /c", "prefix: /a"), "vs-redirect", True),
        (redirect("prefixRewrite: /c"), "vs-redirect", True),
        (redirect("uri: /b, redirectCode: 308"), "vs-redirect", False),
        (redirect("uri: /b, redirectCode: 304"), "vs-redirect", True),
        (redirect("uri: /b, redirectCode: 299"), "vs-redirect", True),
        (redirect("uri: /b, redirectCode: 400"), "vs-redirect", True),
        (redirect("scheme: ftp"), "vs-redirect", True),
        (virtual_service("http: [{directResponse: {status: 199}}]"), "vs-direct-response", True),
        (virtual_service("http: [{directResponse: {status: 600}}]"), "vs-direct-response", True),
        (virtual_service("http: [{directResponse: {status: 404}}]"), "vs-direct-response", False),
        (redirect("uri: /a"), "vs-redirect", True),
        (redirect("uri: /a, scheme: https"), "vs-redirect", False),
        (redirect("uri: /a", "prefix: /a"), "vs-redirect", True),
        (redirect("uri: /a", "prefix: /b"), "vs-redirect", False),
    ],
)  # fmt: skip
def test_5_8_redirects_and_direct_responses(text: str, rule: str, found: bool) -> None:
    assert bool(severities(rule, text)) is found


def test_5_8_an_earlier_rule_ends_the_loop() -> None:
    first = "{match: [{uri: {exact: /a/}}], route: [{destination: {host: a}}]}"
    second = "{match: [{uri: {prefix: /a}}], redirect: {uri: /a/}}"
    assert severities("vs-redirect", virtual_service(f"http: [{second}]")) == ["warning"]
    assert severities("vs-redirect", virtual_service(f"http: [{first}, {second}]")) == []


def cors(fields: str) -> str:
    return http(f"corsPolicy: {{{fields}}}")


CREDENTIALS = "allowCredentials: true, allowOrigins: "
ORIGINS = {
    "star": (CREDENTIALS + "[{exact: '*'}]", ["error"]),
    "prefix of the scheme": (CREDENTIALS + "[{prefix: h}]", ["error"]),
    "the whole scheme": (CREDENTIALS + "[{prefix: 'https://'}]", ["error"]),
    "a domain by prefix": (CREDENTIALS + "[{prefix: 'https://example.com'}]", []),
    ".*": (CREDENTIALS + "[{regex: '.*'}]", ["error"]),
    ".+": (CREDENTIALS + "[{regex: '.+'}]", ["error"]),
    "https?://.*": (CREDENTIALS + "[{regex: 'https?://.*'}]", ["error"]),
    "a suffix without a dot": (CREDENTIALS + r"[{regex: 'https://.*example\.com'}]", ["warning"]),
    "a suffix with a dot": (CREDENTIALS + r"[{regex: 'https://.*\.example\.com'}]", []),
    "no credentials": ("allowOrigins: [{regex: '.*'}]", []),
    "the old field": ("allowCredentials: true, allowOrigin: ['*']", ["error"]),
}


@pytest.mark.parametrize(("fields", "expected"), ORIGINS.values(), ids=ORIGINS)
def test_5_9_origins(fields: str, expected: list[str]) -> None:
    assert severities("vs-cors-wildcard-credentials", cors(fields)) == expected


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ("allowOrigins: [{exact: 'https://a.example'}], allowMethods: [get]", True),
        ("allowOrigins: [{exact: 'https://a.example'}], allowMethods: ['*']", False),
        ("allowOrigins: [{exact: 'https://a.example'}], maxAge: 1.5s", True),
        ("allowOrigins: [{exact: ''}]", True),
        ("allowOrigins: [{}]", True),
    ],
)
def test_5_9_what_istio_refuses(fields: str, found: bool) -> None:
    assert bool(severities("vs-cors-invalid", cors(fields))) is found


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ("request: {remove: [host]}", True),
        ("response: {set: {host: a}}", True),
        ("request: {set: {':path': a}}", True),
        ("request: {set: {x: '50%'}}", True),
        ("request: {set: {x: '%START_TIME%'}}", False),
        ("request: {set: {host: b}}", False),
    ],
)
def test_5_10_header_operations(headers: str, found: bool) -> None:
    assert bool(severities("vs-header-operations", http(f"headers: {{{headers}}}"))) is found
