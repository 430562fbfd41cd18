"""RequestAuthentication: the table of spec schemas 3.3, one case or more for each row."""

from __future__ import annotations

import pytest

from meshlint.checks.admission.request_authentication import key_set_problem
from meshlint.checks.admission.urls import url_problem
from tests.checks.admission.support import Row, check_row, params, uncovered

KIND = "RequestAuthentication"
COUNT = 20
RULE = "/spec/jwtRules/0"


def rule(text: str, issuer: str = "issuer: https://a.example, ") -> str:
    return f"jwtRules: [{{{issuer}{text}}}]"


def keys(text: str) -> str:
    return rule(f"jwks: '{text}'")


ONE = "jwksUri: https://a.example/keys"
RSA = '{"keys": [{"kty": "RSA", "n": "0vx7", "e": "AQAB"}]}'

ROWS = [
    Row(
        1,
        "exclusive-fields",
        "/spec/targetRef",
        "selector: {matchLabels: {a: b}}\ntargetRef: {kind: Service, name: a}",
        "selector: {matchLabels: {a: b}}",
    ),
    Row(
        2,
        "invalid-value",
        "/spec/selector/matchLabels/",
        "selector: {matchLabels: {'': b}}",
        "selector: {matchLabels: {a: b}}",
    ),
    Row(
        3,
        "invalid-value",
        "/spec/selector/matchLabels/*",
        "selector: {matchLabels: {'*': b}}",
        "selector: {matchLabels: {a: b}}",
    ),
    Row(
        4,
        "selector-empty",
        "/spec/selector",
        "selector: {matchLabels: {}}",
        "selector: {matchLabels: {a: b}}",
        "warning",
    ),
    Row(
        5,
        "invalid-value",
        "/spec/targetRefs/0/name",
        "targetRefs: [{kind: Service, name: ''}]",
        "targetRefs: [{kind: Service, name: a}]",
    ),
    Row(
        6,
        "invalid-value",
        "/spec/targetRef/namespace",
        "targetRef: {kind: Service, name: a, namespace: b}",
        "targetRef: {kind: Service, name: a}",
    ),
    Row(
        7,
        "policy-target",
        "/spec/targetRefs/0/kind",
        "targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: a}]",
        "targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: a}]",
    ),
    Row(8, "invalid-value", f"{RULE}/audiences/0", rule("audiences: ['']"), rule("audiences: [a]")),
    Row(9, "jwt-issuer-or-jwks", RULE, rule("audiences: [a]", ""), rule(ONE, "")),
    Row(10, "jwt-issuer-or-jwks", f"{RULE}/jwksUri", rule("jwksUri: 'ftp://a.example'"), rule(ONE)),
    Row(
        10,
        "jwt-keys",
        f"{RULE}/jwksUri",
        rule("jwksUri: 'https://a.example:port/keys'"),
        rule("jwksUri: 'https://a.example:/keys'"),
    ),
    Row(
        10,
        "jwt-keys",
        f"{RULE}/jwksUri",
        rule("jwksUri: 'https://a b.example/keys'"),
        rule("jwksUri: 'https://a.example/a b'"),
    ),
    Row(11, "jwt-keys", f"{RULE}/jwks", keys("keys"), keys('{"keys": []}')),
    Row(11, "jwt-keys", f"{RULE}/jwks", keys("{}"), keys(RSA)),
    Row(
        11,
        "jwt-keys",
        f"{RULE}/jwks",
        keys('{"keys": [{"kty": "EC", "crv": "P-256", "x": "AQAB"}]}'),
        rule("jwks: '${KEYS}'"),
    ),
    Row(
        13,
        "invalid-value",
        f"{RULE}/fromHeaders/0/name",
        rule("fromHeaders: [{name: ''}]"),
        rule("fromHeaders: [{name: a}]"),
    ),
    Row(14, "invalid-value", f"{RULE}/fromParams/0", rule("fromParams: ['']"), rule("fromParams: [a]")),
    Row(15, "invalid-value", f"{RULE}/fromCookies/0", rule("fromCookies: ['']"), rule("fromCookies: [a]")),
    Row(
        17,
        "invalid-value",
        f"{RULE}/outputClaimToHeaders/0/claim",
        rule("outputClaimToHeaders: [{header: a, claim: ''}]"),
        rule("outputClaimToHeaders: [{header: a, claim: b}]"),
    ),
    Row(
        18,
        "invalid-value",
        f"{RULE}/outputClaimToHeaders/0/header",
        rule("outputClaimToHeaders: [{header: 'a b', claim: b}]"),
        rule("outputClaimToHeaders: [{header: a_b-c, claim: b}]"),
    ),
    Row(
        19,
        "timeout-invalid",
        f"{RULE}/timeout",
        rule(f"{ONE}, timeout: 1500us"),
        rule(f"{ONE}, timeout: 1500ms"),
    ),
    Row(
        20,
        "jwt-private-key",
        f"{RULE}/jwks",
        keys('{"keys": [{"kty": "oct", "k": "AQAB"}]}'),
        keys(RSA),
        "error",
    ),
]
#: a null may be what a template leaves behind, and nothing is said of it
NOT_DONE = {12: "null", 16: "null"}


@pytest.mark.parametrize("row", params(KIND, ROWS))
def test_row(row: Row) -> None:
    check_row(KIND, row.rule, row.bad, row.good, row.pointer, row.severity)


def test_every_row_is_accounted_for() -> None:
    assert uncovered(COUNT, ROWS, NOT_DONE) == set()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[]", "is no JSON object"),
        ('{"keys": null}', ""),
        ('{"keys": 1}', "has keys that are no list"),
        ('{"keys": [1]}', "has a key that is no object"),
        ('{"keys": [{"n": "a"}]}', "has a key without kty"),
        ('{"keys": [{"kty": "DSA"}]}', "has a key of the unknown kty DSA"),
        ('{"keys": [{"kty": "RSA", "n": "a b", "e": "AQAB"}]}', "has a key whose n is not base64"),
        ('{"kty": "OKP", "crv": "Ed25519", "x": "AQAB"}', ""),
    ],
)
def test_key_sets(text: str, problem: str) -> None:
    assert key_set_problem(text) == problem


@pytest.mark.parametrize(
    "text",
    [
        "https://a",
        "https://a:1/b?c#d",
        "https://[::1]:1/",
        "https://u:p@a/b%20c",
        "/a",
        "a/b:c",
        "oci://a/b:1",
        "",
    ],
)
def test_urls(text: str) -> None:
    assert url_problem(text) == ""


@pytest.mark.parametrize(
    "text",
    [
        "https://a:b",
        "https://[::1",
        "https://a/%zz",
        "https://a%zz/",
        ":a",
        "a:b/c:1\n",
        "1a:b",
        "https://[::1]a",
    ],
)
def test_texts_that_are_no_urls(text: str) -> None:
    assert url_problem(text)
