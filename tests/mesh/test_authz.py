"""What AuthorizationPolicies mean: spec security 4.4 (request principals), 5.3, 5.4 and 5.10."""

# ruff: noqa: E501 - a row of a table is one line

from __future__ import annotations

from dataclasses import replace

import pytest

from meshlint.mesh.attachment import proxy_of
from meshlint.mesh.authz import (
    Outcome,
    Peer,
    Request,
    Token,
    rule_matches,
)
from meshlint.mesh.strings import glob, matches_string, matches_template
from meshlint.mesh.values import never_a_request_principal, request_principal_parts
from tests.checks.traffic.support import verdicts
from tests.mesh.test_jwt import WORKLOAD, ap
from tests.support import mesh_of

WEB = Peer(True, "cluster.local", "web", "w")
G = Request("api", "/x", "GET", 8080, peer=WEB)
T = Request(port=5432, peer=WEB, http=False)
PLAIN = Peer(mtls=False)


def decided(request: Request, *policies: str) -> str:
    mesh = mesh_of(WORKLOAD, *policies)
    (workload,) = mesh.workloads.all
    decision = mesh.authz.decide(mesh.authz.enforced_at(proxy_of(workload)), request)
    assert decision.certain
    return "allow" if decision.outcome is Outcome.ALLOWED else "deny"


def rules(text: str, action: str = "", **kwargs: str) -> str:
    return ap(f"rules: [{text}]" + (f"\n  action: {action}" if action else ""), **kwargs)


def source(fields: str) -> str:
    return f"{{from: [{{source: {{{fields}}}}}]}}"


def to(fields: str) -> str:
    return f"{{to: [{{operation: {{{fields}}}}}]}}"


NOTHING = ap("{}", name="nothing")
ALL = rules("{}", name="all")
CORP = frozenset({"corp"})

ROWS = [
    pytest.param((), G, "allow", "allow", id="Z1"),
    pytest.param((NOTHING,), G, "deny", "deny", id="Z2"),
    pytest.param((ALL,), G, "allow", "allow", id="Z3"),
    pytest.param((NOTHING, ALL), G, "allow", "allow", id="Z4"),
    pytest.param((rules("{}", "DENY", name="none"), ALL), G, "deny", "deny", id="Z5"),
    pytest.param((rules(source("namespaces: [web]")),), G, "allow", "allow", id="Z6"),
    pytest.param((rules(to("methods: [GET]")),), G, "allow", "deny", id="Z7"),
    pytest.param((rules(to("paths: [/admin]"), "DENY"),), G, "allow", "deny", id="Z8"),
    pytest.param((rules(to('ports: ["8080"], paths: [/admin]'), "DENY"),), G, "allow", "allow", id="Z9"),
    pytest.param((rules(to('ports: ["80"]')),), G, "deny", "deny", id="Z10"),
    pytest.param((rules(source("principals: ['spiffe://cluster.local/ns/web/sa/w']")),), G, "deny", "deny", id="Z11"),
    pytest.param(
        (rules(source("principals: [cluster.local/ns/web/sa/w]")),),
        replace(G, peer=replace(WEB, trust_domain="corp"), trust_domains=CORP), "allow", "allow", id="Z12",
    ),
    pytest.param((rules(source("principals: [other.td/ns/web/sa/w]")),), G, "deny", "deny", id="Z13"),
    pytest.param((rules(source("principals: ['cluster.local/ns/*/sa/w']")),), G, "deny", "deny", id="Z14"),
    pytest.param((rules(source("principals: ['*/sa/w']")),), G, "allow", "allow", id="Z15"),
    pytest.param((rules(source("namespaces: ['w*b']")),), G, "allow", "allow", id="Z16"),
    pytest.param((rules(source("namespaces: [web]")),), replace(G, peer=PLAIN), "deny", "deny", id="Z17"),
    pytest.param((rules(source("namespaces: [web]"), "DENY"),), replace(G, peer=PLAIN), "allow", "allow", id="Z18"),
    pytest.param((rules(to("paths: ['/a/*/b']")),), replace(G, path="/a/1/b"), "deny", "deny", id="Z19"),
    pytest.param((rules(to("paths: ['/a/{*}/b']")),), replace(G, path="/a/1/b"), "allow", "deny", id="Z20"),
    pytest.param(
        (rules('{to: [{operation: {ports: ["5432"]}}, {operation: {paths: [/x]}}]}'),), G, "allow", "deny", id="Z23",
    ),
    pytest.param((rules(to('ports: ["5432"]') + ", " + to("paths: [/x]")),), G, "allow", "allow", id="Z24"),
    pytest.param((ap("{}", annotations='{istio.io/dry-run: "true"}'),), G, "allow", "allow", id="Z26"),
    pytest.param((rules("{}", "DENY", namespace="istio-system", name="none"), ALL), G, "deny", "deny", id="Z27"),
    pytest.param(
        (rules(to("paths: [/y]"), target='targetRefs: [{group: "", kind: Service, name: api}]'),),
        G, "allow", "allow", id="Z28",
    ),
    pytest.param((rules(source("serviceAccounts: [w]")),), G, "deny", "deny", id="Z29"),
    pytest.param((rules(to("hosts: [api.example.com]")),), replace(G, host="API.example.com"), "allow", "deny", id="Z35"),
]  # fmt: skip


@pytest.mark.parametrize(("policies", "request_", "http", "tcp"), ROWS)
def test_decisions(policies: tuple[str, ...], request_: Request, http: str, tcp: str) -> None:
    assert decided(request_, *policies) == http
    assert decided(replace(T, peer=request_.peer, trust_domains=request_.trust_domains), *policies) == tcp


def test_z18_is_a_finding_where_plain_text_is_accepted() -> None:
    injected = """
apiVersion: v1
kind: Namespace
metadata: {name: app, labels: {istio-injection: enabled}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: app}
spec: {mtls: {mode: PERMISSIVE}}
"""
    deny = rules(source("namespaces: [web]"), "DENY")
    assert verdicts("authz-identity-needs-mtls", WORKLOAD, injected, deny) != []
    allow = rules(source("namespaces: [web]"))
    assert verdicts("authz-identity-needs-mtls", WORKLOAD, injected, allow) == []


def test_z25_an_unknown_provider_denies() -> None:
    from meshlint.mesh.scope import Settings

    policy = ap("action: CUSTOM\n  provider: {name: nobody}\n  rules: [{}]")
    mesh = mesh_of(WORKLOAD, policy, settings=Settings(mesh_config={"trustDomain": "x"}))
    proxy = proxy_of(mesh.workloads.all[0])
    for request in (G, T):
        assert mesh.authz.decide(mesh.authz.enforced_at(proxy), request).outcome is Outcome.DENIED


INVALID = [
    pytest.param(rules(to("paths: ['/a/{**}/b/{*}']")), "malformed", id="Z21"),
    pytest.param(rules(to("paths: ['/a/{*}*']")), "malformed", id="Z22"),
    pytest.param(ap("action: DENY"), "needs rules", id="Z30"),
    pytest.param(rules("{when: [{key: 'destination.labels[app]', values: [x]}]}"), "no key", id="Z31"),
    pytest.param(rules(source("namespaces: [web], serviceAccounts: [web/w]")), "together", id="Z32"),
    pytest.param(rules(to("ports: [8080]")), "quoted number", id="Z33"),
    pytest.param(ap("action: deny\n  rules: [{}]"), "none of ALLOW", id="Z34"),
    pytest.param(ap("action: CUSTOM\n  provider: {name: x}"), "needs rules", id="custom without rules"),
    pytest.param(ap("rules: [null]"), "must be an object", id="null rule"),
    pytest.param(rules("{from: [{source: {}}]}"), "must not be empty", id="empty source"),
    pytest.param(rules("{to: [{}]}"), "must not be empty", id="empty to"),
    pytest.param(rules("{from: [{}]}"), "must not be empty", id="empty from"),
    pytest.param(rules("{to: [{operation: {}}]}"), "must not be empty", id="empty operation"),
    pytest.param(rules("{when: [{key: source.ip}]}"), "values or notValues", id="condition without values"),
    pytest.param(rules("{when: [{values: [a]}]}"), "no key", id="condition without key"),
    pytest.param(ap("provider: {name: x}\n  rules: [{}]"), "only for CUSTOM", id="provider"),
    pytest.param(ap("action: CUSTOM\n  rules: [{}]"), "provider.name", id="custom without provider"),
    pytest.param(
        ap(
            "rules: [{}]",
            target="selector: {matchLabels: {a: b}}\n  targetRefs: [{kind: Service, name: x}]",
        ),
        "exclude each other",
        id="selector and targetRefs",
    ),
]


@pytest.mark.parametrize(("text", "problem"), INVALID)
def test_policies_that_are_refused(text: str, problem: str) -> None:
    (policy,) = mesh_of(text).authz.policies
    assert problem in policy.problem
    assert not policy.enforced


SHAPES = [
    pytest.param(ap("{}"), "deny", id="no rules"),
    pytest.param(ap("action: ALLOW"), "deny", id="ALLOW without rules"),
    pytest.param(ap("rules: []"), "deny", id="empty rules"),
    pytest.param(ap("rules: null"), "deny", id="null rules"),
    pytest.param(ap("action: AUDIT"), "allow", id="AUDIT without rules"),
    pytest.param(rules("{}", "AUDIT"), "allow", id="AUDIT"),
    pytest.param(rules("{from: []}"), "allow", id="empty from matches anything"),
    pytest.param(rules("{to: []}"), "allow", id="empty to matches anything"),
    pytest.param(rules("{}"), "allow", id="an empty rule allows everything"),
    pytest.param(rules("{}", "DENY"), "deny", id="an empty rule denies everything"),
    pytest.param(ap("{}").partition("spec:")[0], "deny", id="no spec"),
    *(
        pytest.param(ap("{}", annotations=f'{{istio.io/dry-run: "{word}"}}'), "allow", id=f"dry-run {word}")
        for word in ("1", "t", "T", "TRUE", "true", "True")
    ),
    pytest.param(
        rules("{}", annotations='{istio.io/dry-run: "yes"}', action="DENY"), "deny", id="odd dry-run"
    ),
    pytest.param(rules("{}", annotations='{istio.io/dry-run: "T"}', action="DENY"), "allow", id="dry-run T"),
]


@pytest.mark.parametrize(("text", "expected"), SHAPES)
def test_shapes(text: str, expected: str) -> None:
    assert decided(G, text) == expected


PRINCIPALS = [
    ("*", "*", "*"),
    ("a/b", "=a", "=b"),
    ("https://x.y/s", "=https://x.y", "=s"),
    ("https://x.y/*", "=https://x.y", "*"),
    ("https://x.y*", "=https:/", "x.y*"),
    ("https://x.y", "=https:/", "=x.y"),
    ("issuer", "=issuer", "="),
    ("issuer*", "issuer*", "*"),
    ("*/s", "*", "=s"),
    ("*/*", "*", "=*"),
    ("*x/s", "*x", "=s"),
    ("*s", "*", "*s"),
]
NEVER = {"https://x.y*", "https://x.y", "issuer", "*/*"}


@pytest.mark.parametrize(("value", "issuer", "subject"), PRINCIPALS, ids=[p[0] for p in PRINCIPALS])
def test_request_principals(value: str, issuer: str, subject: str) -> None:
    assert request_principal_parts(value) == (issuer, subject)
    assert never_a_request_principal(value) == (value in NEVER)


@pytest.mark.parametrize(
    ("value", "token", "expected"),
    [
        ("*", None, False),
        ("*", Token("a", "b"), True),
        ("a/b", Token("a", "b"), True),
        ("a/b", Token("a"), None),
        ("a/b", Token("c"), False),
        ("https://x.y/*", Token("https://x.y"), True),
        ("https://t.auth0.com/*", Token("https://t.auth0.com/"), False),
        ("https://t.auth0.com//*", Token("https://t.auth0.com/"), True),
        ("issuer*", Token("issuer-of-mine"), True),
        ("*s", Token("a", "bs"), True),
        ("*x/s", Token("ax", "s"), True),
    ],
)
def test_request_principals_against_tokens(value: str, token: Token | None, expected: bool | None) -> None:
    (policy,) = mesh_of(rules(source(f"requestPrincipals: ['{value}']"))).authz.policies
    assert rule_matches(policy.rules[0], replace(G, token=token), policy) is expected


def test_what_the_request_leaves_open_is_maybe() -> None:
    text = rules(
        "{from: [{source: {ipBlocks: [10.0.0.0/8]}}]}, {when: [{key: 'request.headers[x]', values: [y]}]}, "
        "{from: [{source: {namespaces: [web]}}]}, {to: [{operation: {paths: ['${PATHS}']}}]}"
    )
    (policy,) = mesh_of(text).authz.policies
    assert [rule_matches(r, Request(path="/"), policy) for r in policy.rules] == [None, None, None, None]


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [("*", "", False), ("*", "a", True), ("a*", "ab", True), ("*b", "ab", True), ("a*b", "axb", False)],
)
def test_strings(pattern: str, text: str, expected: bool) -> None:
    assert matches_string(pattern, text) is expected


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("w*b", "web", True),
        ("a*a", "a", False),
        ("*-prod", "x-prod", True),
        ("a*b*c", "axbyc", True),
        ("a*b*c", "ac", False),
    ],
)
def test_globs(pattern: str, text: str, expected: bool) -> None:
    assert glob(pattern, text) is expected


def test_templates() -> None:
    assert matches_template("/a/{*}/b", "/a/1/b")
    assert not matches_template("/a/{*}/b", "/a/1/2/b")
    assert matches_template("/a/{**}/b", "/a/1/2/b")
    assert matches_template("/a/{**}", "/a/")
