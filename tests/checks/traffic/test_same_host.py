"""Several VirtualServices for one host: the table of spec traffic 1.9."""

from __future__ import annotations

import pytest

from meshlint.mesh.scope import Settings
from tests.checks.traffic.support import findings, paths, verdicts, virtual_service

ROUTE = "route: [{destination: {host: a}}]"


def rules(name: str, match: str = "", *, more: str = "", hosts: str = "[a]", gateways: str = "") -> str:
    conditions = f"match: [{{{match}}}], " if match else ""
    return virtual_service(f"http: [{{{conditions}{ROUTE}}}]\n{more}", name, hosts=hosts, gateways=gateways)


def tls(name: str) -> str:
    rule = "{match: [{sniHosts: [a]}], route: [{destination: {host: a}}]}"
    return virtual_service(f"tls: [{rule}]", name)


X, Y = "uri: {prefix: /x}", "uri: {prefix: /y}"
GATEWAY = "[istio-system/gw]"
MESH = "vs-duplicate-host-mesh"
AT_GATEWAY = "vs-duplicate-host-gateway"
CASES = {
    "two, without gateways": ([rules("one", X), rules("two", Y)], MESH),
    "exported to different teams": (
        [rules("one", X, more="exportTo: [team-a]"), rules("two", Y, more="exportTo: [team-b]")],
        None,
    ),
    "at a gateway, disjoint prefixes": (
        [rules("one", X, gateways=GATEWAY), rules("two", Y, gateways=GATEWAY)],
        None,
    ),
    "mesh and gateway": ([rules("one", X), rules("two", X, gateways=GATEWAY)], None),
    "wildcard and exact": (
        [
            rules("one", hosts='["*.example.com"]', gateways=GATEWAY),
            rules("two", X, hosts="[a.example.com]", gateways=GATEWAY),
        ],
        None,
    ),
    "for clients of two namespaces": (
        [rules("one", "sourceNamespace: a"), rules("two", "sourceNamespace: b")],
        None,
    ),
    "HTTP and TLS": ([rules("one"), tls("two")], None),
    "a delegate": ([rules("one"), rules("two", hosts="")], None),
    "on two ports": ([rules("one", "port: 80"), rules("two", "port: 81")], None),
    "on one port": ([rules("one", "port: 80"), rules("two", X)], MESH),
    "for clients with two labels": (
        [rules("one", "sourceLabels: {app: a}"), rules("two", "sourceLabels: {app: b}")],
        None,
    ),
    "for clients that may have both labels": (
        [rules("one", "sourceLabels: {app: a}"), rules("two", "sourceLabels: {tier: b}")],
        MESH,
    ),
    "rules of the gateway only": (
        [rules("one"), rules("two", "gateways: [gw]", gateways="[mesh, gw]")],
        None,
    ),
    "versions of one object": ([rules("one", X), rules("one", Y)], None),
    "two spellings": ([rules("one", X), rules("two", Y, hosts="[a.shop.svc.cluster.local]")], MESH),
    "two rules for everything": (
        [rules("one", gateways=GATEWAY), rules("two", "uri: {prefix: /}", gateways=GATEWAY)],
        AT_GATEWAY,
    ),
    "the same match": ([rules("one", X, gateways=GATEWAY), rules("two", X, gateways=GATEWAY)], AT_GATEWAY),
    "the same path, another method": (
        [rules("one", X, gateways=GATEWAY), rules("two", X + ", method: {exact: GET}", gateways=GATEWAY)],
        None,
    ),
    "two gateways": ([rules("one", gateways="[gw]"), rules("two", gateways="[other]")], None),
}


@pytest.mark.parametrize(("texts", "expected"), CASES.values(), ids=CASES)
def test_1_9_several_virtual_services(texts: list[str], expected: str | None) -> None:
    for rule in (MESH, AT_GATEWAY):
        assert verdicts(rule, *texts) == ([("error", "high")] * 2 if rule == expected else [])


def test_one_object_that_names_a_host_twice() -> None:
    assert paths(MESH, rules("one", hosts="[a, a.shop.svc.cluster.local]")) == []


def test_the_default_export_of_the_mesh_config() -> None:
    private = Settings(mesh_config={"defaultVirtualServiceExportTo": ["."]})
    other = rules("two", hosts="[a.shop.svc.cluster.local]").replace("namespace: shop", "namespace: web")
    assert len(verdicts(MESH, rules("one"), other)) == 2
    assert verdicts(MESH, rules("one"), other, settings=private) == []


def test_the_codes_of_the_peers() -> None:
    found = findings(MESH, rules("one"), rules("two", gateways="[mesh]"), rules("three"))
    both = ("IST0109", "KIA1106")
    assert [f.equivalents for f in found] == [both, ("IST0109",), both]


def test_many_objects_with_one_host_take_no_longer_each() -> None:
    many = [rules(f"v{number}", f"port: {number + 1}") for number in range(400)]
    assert paths(MESH, *many) == []
