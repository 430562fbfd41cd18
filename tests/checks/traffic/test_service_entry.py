"""ServiceEntries: the table of spec traffic 5.12, TLS origination, and entries for the same host."""

from __future__ import annotations

import pytest

from meshlint.mesh.scope import Settings
from tests.checks.traffic.support import COMPLETE, findings, paths, service, to, verdicts


def entry(
    hosts: str = "api.com",
    port: str = "{number: 443, name: p, protocol: HTTPS}",
    more: str = "resolution: DNS",
    name: str = "entry",
    namespace: str = "shop",
) -> str:
    fields = f", {more}" if more else ""
    return f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{hosts: [{hosts}], ports: [{port}]{fields}}}
"""


def destination(tls: str, host: str = "api.com", more: str = "") -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: rule, namespace: shop}}
spec: {{host: "{host}", {more}trafficPolicy: {tls}}}
"""


HTTPS = "{number: 443, name: p, protocol: HTTPS}"
TCP = "{number: 5432, name: p, protocol: TCP}"
REFUSING = ("se-validation", "se-hosts", "se-endpoints", "invalid-value", "se-addresses", "exclusive-fields")
ROWS = {
    "star": (entry('"*"'), ["error"]),
    "wildcard with DNS": (entry('"*.api.com"'), ["error"]),
    "wildcard with NONE": (entry('"*.api.com"', more="resolution: NONE"), []),
    "DYNAMIC_DNS with HTTPS": (entry('"*.api.com"', more="resolution: DYNAMIC_DNS"), ["error"]),
    "STATIC with a name": (entry(more="resolution: STATIC, endpoints: [{address: api2.com}]"), ["error"]),
    "two hosts of TCP": (entry("a.com, b.com", TCP), ["error"]),
    "endpoint without resolution": (entry(more="endpoints: [{address: 10.0.0.1}]"), ["error"]),
}


@pytest.mark.parametrize(("text", "expected"), ROWS.values(), ids=ROWS)
def test_5_12_refused(text: str, expected: list[str]) -> None:
    assert [severity for rule in REFUSING for severity, _ in verdicts(rule, text)] == expected


@pytest.mark.parametrize(("version", "found"), [("1.24", True), ("1.27", False)])
def test_5_12_addresses(version: str, found: bool) -> None:
    settings = Settings(istio_version=version)
    assert bool(findings("se-tcp-address", entry("db.com", TCP), settings=settings)) is found


@pytest.mark.parametrize(
    ("port", "tls", "found"),
    [
        (HTTPS, "{tls: {mode: SIMPLE}}", True),
        (HTTPS, "{tls: {mode: MUTUAL}}", True),
        (HTTPS, "{tls: {mode: DISABLE}}", False),
        ("{number: 443, name: p, protocol: TLS}", "{tls: {mode: SIMPLE}}", True),
        ("{number: 80, name: p, protocol: HTTP, targetPort: 443}", "{tls: {mode: SIMPLE}}", False),
        (HTTPS, "{portLevelSettings: [{port: {number: 80}, tls: {mode: SIMPLE}}]}", False),
        (HTTPS, "{portLevelSettings: [{port: {number: 443}, tls: {mode: SIMPLE}}]}", True),
        (HTTPS, "{tls: {mode: SIMPLE}, portLevelSettings: [{port: {number: 443}}]}", False),
    ],
)
def test_tls_twice(port: str, tls: str, found: bool) -> None:
    assert bool(paths("se-double-tls", entry(port=port), destination(tls))) is found


def test_tls_of_a_wildcard_and_of_some_clients() -> None:
    wide = destination("{tls: {mode: SIMPLE}}", "*.com")
    assert paths("se-double-tls", entry(), wide) == ["/spec/trafficPolicy/tls/mode"]
    chosen = destination("{tls: {mode: SIMPLE}}", more="workloadSelector: {matchLabels: {a: b}}, ")
    assert paths("se-double-tls", entry(), chosen) == []


@pytest.mark.parametrize(
    "rule",
    [
        to("host: api.com, port: {number: 443}", hosts="[api.com]", match="port: 80"),
        to("host: api.com, port: {number: 443}", hosts="[api.com]", gateways="[egress]"),
    ],
    ids=["from port 80", "from a gateway"],
)
def test_tls_for_requests_that_rules_send(rule: str) -> None:
    assert paths("se-double-tls", entry(), destination("{tls: {mode: SIMPLE}}"), rule) == []


HTTP_443 = "{number: 443, name: p, protocol: HTTP}"
ELSEWHERE = to("host: a.shop.svc.cluster.local", hosts="[api.com]")


@pytest.mark.parametrize(
    ("texts", "settings", "expected"),
    [
        pytest.param([entry(port=HTTP_443)], None, [], id="unknown"),
        pytest.param([entry(port=HTTP_443)], COMPLETE, [("error", "high")], id="complete"),
        pytest.param([entry(port=HTTP_443), destination("{loadBalancer: {simple: RANDOM}}")], None,
                     [("error", "medium")], id="rule without tls"),
        pytest.param([entry(port=HTTP_443), destination("{loadBalancer: {simple: RANDOM}}", "b.com")], None,
                     [("error", "low")], id="rules of others"),
        pytest.param([entry(port=HTTP_443), destination("{tls: {mode: SIMPLE}}")], COMPLETE, [], id="tls"),
        pytest.param([entry()], COMPLETE, [], id="HTTPS"),
        pytest.param([entry(port="{number: 443, name: p, protocol: HTTP, targetPort: 80}")], COMPLETE, [],
                     id="another port"),
        pytest.param([entry(port=HTTP_443), ELSEWHERE], COMPLETE, [], id="sent elsewhere"),
        pytest.param([entry(port=HTTP_443, more="location: MESH_INTERNAL, resolution: DNS")], COMPLETE, [],
                     id="inside"),
    ],
)  # fmt: skip
def test_plain_text(texts: list[str], settings: Settings | None, expected: list[tuple[str, str]]) -> None:
    assert verdicts("se-plaintext-443", *texts, settings=settings) == expected


def conflicts(*texts: str) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(f.severity, f.confidence, f.equivalents) for f in findings("se-port-conflict", *texts)]


def test_other_protocols_for_the_same_port() -> None:
    other = entry(port="{number: 443, name: p, protocol: TCP}", name="other", namespace="pay")
    assert conflicts(entry(), other) == [("warning", "high", ("IST0177", "KIA1212"))] * 2


def test_the_same_again() -> None:
    again = [("warning", "high", ("KIA1211",))] * 2
    assert conflicts(entry(), entry(name="other")) == again
    assert conflicts(entry(), entry("API.com", name="other")) == []
    far = [("info", "low", ("KIA1211",))] * 2
    assert conflicts(entry(), entry(name="other", namespace="pay")) == far


def test_no_conflict() -> None:
    assert conflicts(entry(), entry()) == []
    assert conflicts(entry(), entry("b.com", name="other")) == []
    private = "resolution: DNS, exportTo: [.]"
    assert conflicts(entry(more=private), entry(more=private, name="other", namespace="pay")) == []


def test_5_12_the_service_wins() -> None:
    text = entry("a.shop.svc.cluster.local", "{number: 80, name: p, protocol: HTTP}")
    assert paths("se-host-of-service", text, service()) == ["/spec/hosts/0"]
    assert paths("se-host-of-service", text, service("a", "pay")) == []
    assert paths("se-host-of-service", text) == []


STATUS = "status: {addresses: [{host: db.com, value: 240.240.0.1}]}\n"


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        (entry("db.com", TCP, ""), ("IST0133", "IST0134")),
        (entry("db.com", TCP.replace("TCP", "tcp"), ""), ("IST0134",)),
        (entry("db.com", TCP, "") + STATUS, ("IST0133",)),
    ],
    ids=["no address", "webhook compares capitals", "address in the status"],
)
def test_codes_of_tcp_addresses(text: str, codes: tuple[str, ...]) -> None:
    (found,) = findings("se-tcp-address", text)
    assert found.equivalents == codes
