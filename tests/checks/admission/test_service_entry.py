"""The rows of the validation table for ServiceEntries."""
# ruff: noqa: E501 - a row of the table is a line

from __future__ import annotations

import pytest

from meshlint.mesh.scope import Settings
from tests.checks.admission.support import Row, check_row, findings, params, uncovered

TLS = "ports: [{number: 443, name: tls, protocol: TLS}]"
TCP = "ports: [{number: 5432, name: db, protocol: TCP}]"


def entry(*lines: str, hosts: str = "a.com", ports: str = TLS) -> str:
    return "\n".join((f"hosts: [{hosts}]", ports, *lines))


def static(endpoint: str, ports: str = TLS) -> str:
    return entry("resolution: STATIC", f"endpoints: [{{{endpoint}}}]", ports=ports)


def dns(endpoint: str) -> str:
    return entry("resolution: DNS", f"endpoints: [{{{endpoint}}}]")


def dynamic(*lines: str, hosts: str = "'*.a.com'", ports: str = TLS) -> str:
    return entry("resolution: DYNAMIC_DNS", *lines, hosts=hosts, ports=ports)


def port(text: str, resolution: str = "DNS", hosts: str = "a.com") -> str:
    return entry(f"resolution: {resolution}", hosts=hosts, ports=f"ports: [{{{text}}}]")


def exported(text: str) -> str:
    return entry(f"exportTo: [{text}]")


def internal(waypoint: str) -> str:
    body = dynamic("location: MESH_INTERNAL").replace("\n", "\n  ")
    return f"metadata: {{name: a, namespace: shop, labels: {{istio.io/use-waypoint: {waypoint}}}}}\nspec:\n  {body}"


def allocated(label: str, resolution: str = "DNS") -> str:
    body = entry(f"resolution: {resolution}", ports=TCP).replace("\n", "\n  ")
    return (
        "metadata: {name: a, namespace: shop, labels: {networking.istio.io/enable-autoallocate-ip: "
        f"'{label}'}}}}\nspec:\n  {body}"
    )


ROWS = [
    Row(1, "se-selector", "/spec/workloadSelector/labels/", entry("resolution: STATIC", "workloadSelector: {labels: {'': a}}"), entry("resolution: STATIC", "workloadSelector: {labels: {a: ''}}")),
    Row(2, "se-selector", "/spec/workloadSelector/labels/a*", entry("resolution: STATIC", "workloadSelector: {labels: {'a*': a}}"), entry("resolution: STATIC", "workloadSelector: {labels: {a: a}}")),
    Row(3, "selector-empty", "/spec/workloadSelector", entry("resolution: STATIC", "workloadSelector: {}"), entry("resolution: STATIC", "workloadSelector: {labels: {a: b}}"), "warning"),
    Row(7, "se-hosts", "/spec/hosts/0", entry(hosts="'http://a.com'"), entry(hosts="'*.a.com'")),
    Row(7, "se-hosts", "/spec/hosts/1", entry(hosts="a.com, 10.0.0.1"), entry(hosts="a.com, '${HOST}'")),
    Row(8, "se-hosts", "/spec/hosts/0", entry(hosts="'*a.com'"), dynamic(hosts="'*a.com'"), "warning"),
    Row(9, "se-addresses", "/spec/addresses/1", entry("addresses: [10.0.0.1, a.com]"), entry("addresses: [10.0.0.0/8, '::1']")),
    Row(15, "se-tcp-address", "/spec/ports/0/protocol", entry(ports=TCP), entry("addresses: [10.0.0.1]", ports=TCP), "warning"),
    Row(15, "se-tcp-address", "/spec/ports/0/number", entry(ports="ports: [{number: 1, name: a}]"), port("number: 1, name: a")),
    Row(15, "se-tcp-address", "/spec/ports/0/protocol", allocated("false"), allocated("true")),
    Row(16, "se-ports", "/spec/ports/0/name", port("number: 1, name: a_b, protocol: TLS"), port("number: 1, name: a-b, protocol: TLS")),
    Row(17, "se-ports", "/spec/ports/0/protocol", port("number: 1, name: a, protocol: WS"), port("number: 1, name: a, protocol: grpc-Web")),
    Row(20, "se-validation", "/spec/workloadSelector", entry("workloadSelector: {labels: {a: b}}"), entry("resolution: STATIC", "workloadSelector: {labels: {a: b}}"), "warning"),
    Row(22, "se-endpoints", "/spec/endpoints/0/address", static("address: a.com"), static("address: '::1'")),
    Row(22, "se-endpoints", "/spec/endpoints/0/labels/a", static("address: 1.1.1.1, labels: {a: 'b c'}"), static("address: 'unix:///a/b'")),
    Row(22, "se-endpoints", "/spec/endpoints/0/network", static("network: a"), static("network: a, address: 1.1.1.1"), "warning"),
    Row(23, "se-endpoints", "/spec/endpoints/0/ports/http", static("address: 1.1.1.1, ports: {http: 80}"), static("address: 1.1.1.1, ports: {tls: 80}")),
    Row(24, "se-endpoints", "/spec/endpoints/0/address", static("address: 'unix:///a'", "ports: [{number: 1, name: a}, {number: 2, name: b}]"), static("address: 'unix:///a'")),
    Row(25, "se-validation", "/spec/hosts/0", entry("resolution: DNS", hosts="'*.a.com'"), entry("resolution: DNS", "endpoints: [{address: b.com}]", hosts="'*.a.com'")),
    Row(25, "se-validation", "/spec/hosts/0", entry("resolution: DNS_ROUND_ROBIN", hosts="'*.a.com'"), entry("resolution: DNS_ROUND_ROBIN")),
    Row(28, "se-endpoints", "/spec/endpoints/0/address", dns("address: 'a.com:80'"), dns("address: a.com")),
    Row(29, "se-endpoints", "/spec/endpoints/0/labels/a b", dns("address: a.com, labels: {'a b': c}"), dns("address: a.com, labels: {a: c}")),
    Row(30, "se-endpoints", "/spec/endpoints/0/ports/http", dns("address: a.com, ports: {http: 80}"), dns("address: a.com, ports: {tls: 8443}")),
    Row(31, "se-addresses", "/spec/addresses", entry("resolution: DNS", "addresses: [10.0.0.1]", hosts="a.com, b.com"), entry("resolution: DNS", "addresses: [10.0.0.1]"), "warning"),
    Row(33, "se-validation", "/spec/hosts/1", dynamic(hosts="'*.a.com', b.com"), dynamic(hosts="'*.a.com', '*.b.com'")),
    Row(34, "se-validation", "/spec/addresses", dynamic("addresses: [10.0.0.1]"), dynamic("addresses: []")),
    Row(35, "se-validation", "/spec/endpoints", dynamic("endpoints: [{address: a.com}]"), dynamic("endpoints: []")),
    Row(36, "se-validation", "/spec/ports/0/protocol", dynamic(ports="ports: [{number: 443, name: a, protocol: HTTPS}]"), dynamic(ports="ports: [{number: 443, name: a, protocol: http2}]")),
    Row(38, "se-validation", "/spec/location", internal("waypoint"), internal("none")),
    Row(40, "se-validation", "/spec/ports/0/protocol", port("number: 1, name: a, protocol: TCP", hosts="a.com, b.com"), port("number: 1, name: a, protocol: HTTPS", hosts="a.com, b.com")),
    Row(40, "se-validation", "/spec/ports/0/number", port("number: 1, name: a", hosts="a.com, b.com"), port("number: 1, name: a, protocol: TCP", "NONE", hosts="a.com, b.com")),
    Row(41, "se-export-to", "/spec/exportTo/1", exported("a, a"), exported("a, b")),
    Row(42, "se-export-to", "/spec/exportTo/1", exported("shop, ."), exported("other, .")),
    Row(43, "se-export-to", "/spec/exportTo/0", exported("a.b"), exported(".")),
    Row(44, "se-export-to", "/spec/exportTo/1", exported("a, '*'"), exported("'*'")),
    Row(45, "se-export-to", "/spec/exportTo/0", exported("'~', a"), exported("'~'")),
    Row(4, "exclusive-fields", "/spec/workloadSelector", static("address: 1.1.1.1") + "\nworkloadSelector: {labels: {a: b}}", static("address: 1.1.1.1")),
    Row(5, "invalid-value", "/spec/hosts", entry(hosts=""), entry()),
    Row(5, "required-field", "/spec", TLS, entry()),
    Row(6, "invalid-value", "/spec/hosts/0", entry(hosts="'*'"), entry(hosts="'*.a'")),
    Row(10, "invalid-value", "/spec/addresses", entry("resolution: DNS", "addresses: [10.0.0.0/8]"), entry("resolution: STATIC", "addresses: [10.0.0.0/8]")),
    Row(12, "duplicate-list-key", "/spec/ports/1/name", entry(ports="ports: [{number: 1, name: a, protocol: TLS}, {number: 2, name: a, protocol: TLS}]"), entry()),
    Row(13, "se-ports", "/spec/ports/1/number", entry(ports="ports: [{number: 1, name: a, protocol: TLS}, {number: 1, name: b, protocol: TLS}]"), entry(ports="ports: [{number: 1, name: a, protocol: TLS}, {number: 2, name: b, protocol: TLS}]")),
    Row(14, "invalid-value", "/spec/ports/0/targetPort", port("number: 1, name: a, protocol: TLS, targetPort: 70000"), port("number: 1, name: a, protocol: TLS, targetPort: 7000")),
    Row(18, "invalid-value", "/spec/ports/0/number", port("number: 0, name: a, protocol: TLS"), port("number: 1, name: a, protocol: TLS")),
    Row(19, "exclusive-fields", "/spec/endpoints", entry("endpoints: [{address: 1.1.1.1}]"), dns("address: 1.1.1.1")),
    Row(26, "invalid-value", "/spec/endpoints", entry("resolution: DNS_ROUND_ROBIN", "endpoints: [{address: a.b}, {address: c.d}]"), entry("resolution: DNS_ROUND_ROBIN", "endpoints: [{address: a.b}]")),
    Row(32, "invalid-value", "/spec/hosts", dynamic(hosts=""), dynamic()),
    Row(37, "enum-value", "/spec/location", dynamic("location: MESH"), dynamic("location: MESH_EXTERNAL")),
    Row(39, "enum-value", "/spec/resolution", entry("resolution: dns"), entry("resolution: DNS")),
]  # fmt: skip

NULL = "a null may be what a template or an overlay fills in, so nothing is said about it"
NOT_DONE = {11: NULL, 21: NULL, 27: NULL}


@pytest.mark.parametrize("row", params("ServiceEntry", ROWS))
def test_row(row: Row) -> None:
    check_row("ServiceEntry", row.rule, row.bad, row.good, row.pointer, row.severity)


def test_every_row_is_accounted_for() -> None:
    assert uncovered(45, ROWS, NOT_DONE) == set()


@pytest.mark.parametrize(
    ("version", "number"), [("1.24", 1), ("1.24.3", 1), ("1.25", 0), ("1.31", 0), ("", 0)]
)
def test_addresses_are_allocated_from_1_25_on(version: str, number: int) -> None:
    settings = Settings(istio_version=version)
    found = findings("ServiceEntry", "se-tcp-address", entry("resolution: DNS", ports=TCP), settings)
    assert len(found) == number
