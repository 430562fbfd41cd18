"""The small grammars of Istio's validation (spec schemas 3.2)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from meshlint.checks.admission import grammar as g

CASES: list[tuple[str, Callable[[str], str], list[str], list[str]]] = [
    ("H1", g.label_problem, ["a", "A1", "a-b", "x" * 63, "0"], ["", "-a", "a-", "a.b", "a_b", "x" * 64, "ä"]),
    (
        "H2", g.domain_problem,
        ["a", "a.b", "a.b.", "A.example.com", "1.a"],
        ["", ".", "a..b", "*.a", "a.1", "10.0.0.1", "a_b.c", "http://a", "a:80", "x" * 64 + ".a", "a." * 128],
    ),
    (
        "H3", g.wildcard_domain_problem,
        ["*", "*.a.com", "*a.com", "*-a.com", "a.com", "a"],
        ["", "a.*", "a*.com", "**.com", "*.*.com", "*.", "*_a.com"],
    ),
    (
        "H6", g.subnet_problem,
        ["10.0.0.1", "10.0.0.0/8", "10.1.2.3/8", "0.0.0.0/0", "::1", "2001:db8::/32", "::ffff:1.2.3.4"],
        ["", "10.0.0.0/33", "10.0.0/8", "010.0.0.1", "a.com", "10.0.0.0/", "10.0.0.0/8/8", "10.0.0.0/08",
        "::/129"],
    ),
    (
        "H7 key", g.label_key_problem,
        ["app", "app.kubernetes.io/name", "A_b.c-d", "a"],
        ["", "-a", "a-", "a/b/c", "/a", "a/", "A.b/c", "x" * 64, "a b"],
    ),
    ("H7 value", g.label_value_problem, ["", "v1", "a_b.c-d", "x" * 99], ["-a", "a-", "a b", "a/b"]),
    (
        "H8", g.protocol_problem,
        ["tcp", "TCP", "udp", "grpc", "GRPC-Web", "http", "http_proxy", "HTTP2", "https", "tls", "mongo",
        "redis", "mysql"],
        ["", "h2", "grpc_web", "websocket", "sctp", "postgres"],
    ),
    ("H10", g.regex_problem, ["a.*", "a" * 1024], ["", "a" * 1025, "é" * 513, "(?=a)"]),
    ("H12", g.unix_path_problem, ["@name", "/var/run/x"], ["", "x", "./x", "/var/", "/"]),
    (
        "H13", g.ip_problem,
        ["1.2.3.4", "::", "::1", "fe80::1%eth0", "2001:db8::1"],
        ["", "1.2.3", "1.2.3.4.5", "256.0.0.1", "01.2.3.4", "1.2.3.4/32", ":::", "a"],
    ),
    ("header name", g.header_name_problem, ["x-a", "X_A", "a.b", "!#"], ["", "a b", ":path", "a:b", "ä",
    "a\n"]),
    (
        "header value", g.header_value_problem,
        [
            "", "plain", "a\tb", "100%%", "%DOWNSTREAM_REMOTE_ADDRESS%", "a %PROTOCOL% b",
            "%START_TIME(%Y-%m)%",
            "%REQ(x-a?:authority):10%", '%UPSTREAM_METADATA(["a", "b\\"c"])%', "%%%PROTOCOL%%%",
            "%TLS_VERSION()%",
            "%FILTER_STATE(k:PLAIN)%", "%DYNAMIC_METADATA( a )%",
        ],
        [
            "100%", "100% sure", "%PROTOCOL", "%REQ(a%", "%REQ(a)", "%REQ(a) b%", '%M(["a)%',
            '%M(["a" "b"])%',
            '%M(["a"]x)%', "a\nb", "a\x00", "a\x7f", "%%%",
        ],
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        pytest.param(problem, text, id=f"{name}-{text[:30]!r}")
        for name, problem, good, _ in CASES
        for text in good
    ],
)
def test_accepted(problem: Callable[[str], str], text: str) -> None:
    assert problem(text) == ""


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        pytest.param(problem, text, id=f"{name}-{text[:30]!r}")
        for name, problem, _, bad in CASES
        for text in bad
    ],
)
def test_refused(problem: Callable[[str], str], text: str) -> None:
    assert problem(text) != ""


@pytest.mark.parametrize(
    ("number", "fine"), [(0, False), (1, True), (65535, True), (65536, False), (-1, False)]
)
def test_port(number: int, fine: bool) -> None:
    assert (g.port_problem(number) == "") is fine


@pytest.mark.parametrize(
    ("name", "claim"),
    [
        ("@request.auth.claims.group", True),
        ("@Request.Auth.Claims[group][a]", True),
        ("@request.auth.claims", False),
        ("@request.auth.claims.", False),
        ("@request.auth.claims[]", False),
        ("x-@request.auth.claims.a", False),
    ],
)
def test_claim_header(name: str, claim: bool) -> None:
    assert g.is_claim_header(name) is claim
