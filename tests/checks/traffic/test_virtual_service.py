"""Gateways, clients, ports, defaults, delegates: the tables of spec traffic 1.7, 1.10, 1.15, 5.3 and 5.4."""

from __future__ import annotations

import pytest

from tests.checks.traffic.support import (
    COMPLETE,
    findings,
    gateway,
    paths,
    service,
    to,
    verdicts,
    virtual_service,
)

ROUTE = "route: [{destination: {host: a}}]"


def rule(match: str, **where: str) -> str:
    return virtual_service(f"http: [{{match: [{{{match}}}], {ROUTE}}}]", **where)


def rules(*matches: str, **where: str) -> str:
    """Rules with one match each; '' for a rule without match."""
    lines = [f"{{{f'match: [{{{one}}}], ' if one else ''}{ROUTE}}}" for one in matches]
    return virtual_service(f"http: [{', '.join(lines)}]", **where)


@pytest.mark.parametrize(
    ("match", "gateways", "severities"),
    [
        ("gateways: [gw]", "[gw]", []),
        ("gateways: [shop/gw]", "[gw]", []),
        ("gateways: [gw]", "[./gw]", []),
        ("gateways: [gw]", "", ["warning"]),
        ("gateways: [mesh]", "", []),
        ("gateways: [mesh]", "[gw]", ["warning"]),
        ("gateways: [gw, other]", "[gw]", ["info"]),
        ("gateways: [other/gw]", "[gw]", ["warning"]),
        ('gateways: ["${GW}"]', "[gw]", []),
    ],
)
def test_1_10_gateways_of_a_match(match: str, gateways: str, severities: list[str]) -> None:
    found = verdicts("vs-match-gateway-unlisted", rule(match, gateways=gateways))
    assert [severity for severity, _ in found] == severities


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ("gateways: [mesh], sourceLabels: {a: b}", ["/spec/http/0/match/0/sourceLabels"]),
        ("gateways: [mesh], sourceNamespace: a", ["/spec/http/0/match/0/sourceNamespace"]),
        ("sourceLabels: {a: b}", []),
        ("gateways: [mesh]", []),
        ("gateways: [mesh], sourceLabels: {}", []),
    ],
)
def test_1_10_clients_beside_gateways(match: str, expected: list[str]) -> None:
    assert paths("vs-source-labels-ignored", rule(match)) == expected


def test_1_10_in_rules_for_tls_both_count() -> None:
    match = "{sniHosts: [a], gateways: [mesh], sourceLabels: {a: b}}"
    assert paths("vs-source-labels-ignored", virtual_service(f"tls: [{{match: [{match}], {ROUTE}}}]")) == []


TLS = "tls: [{match: [{sniHosts: [a]}], route: [{destination: {host: a}}]}]"
TCP = "tcp: [{route: [{destination: {host: a}}]}]"
HTTP = f"http: [{{{ROUTE}}}]"
PORT_443 = f"http: [{{match: [{{port: 443}}], {ROUTE}}}]"
BLOCKS = {
    "http, HTTP": (HTTP, "[{name: http, port: 80}]", False),
    "http, sniffed": (HTTP, "[{name: web, port: 80}]", False),
    "http, TCP": (HTTP, "[{name: tcp, port: 80}]", True),
    "http, HTTPS": (HTTP, "[{name: https, port: 443}]", True),
    "http, one of two": (HTTP, "[{name: http, port: 80}, {name: https, port: 443}]", False),
    "http on the wrong one of two": (PORT_443, "[{name: http, port: 80}, {name: https, port: 443}]", True),
    "tls, HTTPS": (TLS, "[{name: https, port: 443}]", False),
    "tls, sniffed": (TLS, "[{name: web, port: 443}]", True),
    "tls, TCP": (TLS, "[{name: tcp, port: 443}]", True),
    "tcp, TCP": (TCP, "[{name: tcp, port: 80}]", False),
    "tcp, sniffed": (TCP, "[{name: web, port: 80}]", False),
    "tcp, HTTP": (TCP, "[{name: http, port: 80}]", True),
    "tcp, TLS": (TCP, "[{name: tls, port: 443}]", True),
}


@pytest.mark.parametrize(("block", "ports", "found"), BLOCKS.values(), ids=BLOCKS)
def test_1_7_blocks_and_protocols(block: str, ports: str, found: bool) -> None:
    texts = (service(ports=ports), virtual_service(block))
    expected = [f"/spec/{block.partition(':')[0]}"] if found else []
    assert paths("vs-http-on-opaque-port", *texts) == expected


PASS = "port: {number: 443, name: tls, protocol: TLS}, tls: {mode: PASSTHROUGH}"
SERVERS = {
    "http, HTTP": (HTTP, "", False),
    "http, HTTPS": (HTTP, "port: {number: 443, protocol: HTTPS}, tls: {mode: SIMPLE}", False),
    "http, passed through": (HTTP, PASS, True),
    "tls, passed through": (TLS, PASS, False),
    "tls, HTTP": (TLS, "", True),
    "tcp, HTTP": (TCP, "", True),
    "tcp, TCP": (TCP, "port: {number: 9000, protocol: TCP}", False),
    "tcp, TLS ended": (TCP, "port: {number: 9000, protocol: TLS}, tls: {mode: SIMPLE}", False),
    "http, unknown mode": (HTTP, 'port: {number: 443, protocol: HTTPS}, tls: {mode: "${MODE}"}', False),
}


@pytest.mark.parametrize(("block", "server", "found"), SERVERS.values(), ids=SERVERS)
def test_1_7_blocks_and_servers(block: str, server: str, found: bool) -> None:
    texts = (gateway(server=server), virtual_service(block, gateways="[gw]"))
    assert bool(paths("vs-http-on-opaque-port", *texts)) is found


DEFAULTS = {
    "conditions only": (rules("uri: {prefix: /x}"), ["warning"]),
    "no match at the end": (rules("uri: {prefix: /x}", ""), []),
    "every path": (rules("uri: {prefix: /x}", "uri: {prefix: /}"), []),
    "every path by regex": (rules("uri: {regex: '.*'}"), []),
    "every path of some": (rules("uri: {prefix: /}, headers: {x: {exact: y}}"), ["warning"]),
    "one port": (rules("port: 80"), []),
    "for some clients only": (rules("sourceLabels: {a: b}, uri: {prefix: /x}"), []),
    "gateway": (rules("uri: {prefix: /x}", gateways="[gw]", hosts="[a.example.com]"), ["info"]),
    "gateway and mesh": (
        rules("uri: {prefix: /x}", "gateways: [gw]", gateways="[gw, mesh]"),
        ["warning"],
    ),
    "external host": (rules("uri: {prefix: /x}", hosts="[a.example.com]"), []),
    "unknown delegate": (
        virtual_service("http: [{match: [{uri: {prefix: /x}}], delegate: {name: d}}]"),
        [],
    ),
}


@pytest.mark.parametrize(("text", "severities"), DEFAULTS.values(), ids=DEFAULTS)
def test_5_4_missing_default(text: str, severities: list[str]) -> None:
    found = verdicts("vs-missing-default", service(), text)
    assert [severity for severity, _ in found] == severities


def test_5_4_another_one_has_the_default_of_the_gateway() -> None:
    one = rules("uri: {prefix: /x}", gateways="[gw]", name="one")
    assert paths("vs-missing-default", one, rules("", gateways="[gw]", name="two")) == []


ORDER = {
    "prefix / then prefix /api": (["uri: {prefix: /}", "uri: {prefix: /api}"], True),
    "prefix /api then prefix /api/v1": (["uri: {prefix: /api}", "uri: {prefix: /api/v1}"], True),
    "prefix /api/v1 then prefix /api": (["uri: {prefix: /api/v1}", "uri: {prefix: /api}"], False),
    "exact /a then prefix /a": (["uri: {exact: /a}", "uri: {prefix: /a}"], False),
    "prefix /a then exact /ab": (["uri: {prefix: /a}", "uri: {exact: /ab}"], True),
    "GET then POST": (
        ["uri: {prefix: /a}, method: {exact: GET}", "uri: {prefix: /a}, method: {exact: POST}"],
        False,
    ),
    "any method then POST": (["uri: {prefix: /a}", "uri: {prefix: /a}, method: {exact: POST}"], True),
    "sourceLabels first": (["uri: {prefix: /a}, sourceLabels: {a: x}", "uri: {prefix: /a/b}"], False),
    "two gateways": (["uri: {prefix: /a}, gateways: [g1]", "uri: {prefix: /a/b}, gateways: [g2]"], False),
    "regex of everything": (["uri: {regex: '/.*'}", "uri: {prefix: /x}, method: {exact: GET}"], True),
    "regex then exact": (["uri: {regex: '/a/.*'}", "uri: {exact: /a/b}"], True),
    "header then the same path": (
        ["headers: {x: {exact: '1'}}, uri: {prefix: /}", "uri: {prefix: /}"],
        False,
    ),
    "no match, then match": (["", "uri: {prefix: /}"], True),
    "two without match": (["", ""], True),
    "ignoreUriCase first": (["uri: {prefix: /A}, ignoreUriCase: true", "uri: {prefix: /a}"], True),
    "two cases": (["uri: {prefix: /A}", "uri: {prefix: /a}"], False),
}


@pytest.mark.parametrize(("matches", "dead"), ORDER.values(), ids=ORDER)
def test_5_3_reachability(matches: list[str], dead: bool) -> None:
    assert bool(paths("vs-unreachable-rule", rules(*matches))) is dead


def delegation(match: str, more: str = "", root: str = "uri: {prefix: /api}") -> tuple[str, str]:
    outer = f"http: [{{match: [{{{root}}}], delegate: {{name: d}}}}]"
    return virtual_service(outer), rules(match, name="d", hosts="") + more


@pytest.mark.parametrize(
    ("root", "match", "dropped"),
    [
        ("uri: {prefix: /api}", "uri: {prefix: /api/v1}", False),
        ("uri: {prefix: /api}", "uri: {prefix: /v1}", True),
        ("uri: {prefix: /api}", "", False),
        ("uri: {prefix: /api}", "uri: {regex: '/api/.*'}", True),
        ("sourceNamespace: a", "", True),
        ("headers: {x: {exact: '1'}}", "headers: {y: {exact: '2'}}", False),
    ],
)
def test_1_15_matches(root: str, match: str, dropped: bool) -> None:
    found = verdicts("vs-delegate-match-conflict", *delegation(match, root=root))
    assert found == ([("warning", "high")] if dropped else [])


def test_1_15_a_delegate_of_two_roots() -> None:
    other = virtual_service(
        "http: [{match: [{uri: {prefix: /v1}}], delegate: {name: d}}]", name="other", hosts="[b]"
    )
    assert paths("vs-delegate-match-conflict", *delegation("uri: {prefix: /v1}"), other) == []


def test_1_15_delegates_that_do_not_work() -> None:
    root = virtual_service("http: [{delegate: {name: d}}]")
    at = ["/spec/http/0/delegate/name"]
    assert paths("vs-delegate-broken", root, rules("", name="d")) == at
    assert paths("vs-delegate-broken", root, rules("", name="d", hosts="")) == []
    assert paths("vs-delegate-broken", root, rules("", name="d", hosts=""), rules("", name="d")) == []
    assert verdicts("vs-delegate-broken", root) == [("error", "low")]
    assert verdicts("vs-delegate-broken", root, settings=COMPLETE) == [("error", "high")]


def test_1_15_not_exported() -> None:
    root = virtual_service("http: [{delegate: {name: d, namespace: web}}]")
    leaf = virtual_service('exportTo: ["."]\nhttp: [{' + ROUTE + "}]", name="d", namespace="web", hosts="")
    assert verdicts("vs-delegate-broken", root, leaf) == [("error", "high")]


def test_destinations_of_delegates_are_looked_at() -> None:
    root = virtual_service("http: [{delegate: {name: d}}]")
    leaf = to("host: b", name="d", hosts="")
    found = findings("vs-destination-missing", service(), root, leaf, settings=COMPLETE)
    assert [f.resource.name for f in found if f.resource] == ["d"]
