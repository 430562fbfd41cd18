"""Destinations: the tables of spec traffic 1.1, 1.6, 1.12, 1.13, 5.2 and 5.7."""

from __future__ import annotations

import pytest

from meshlint.mesh.scope import Settings
from tests.checks.traffic.support import (
    COMPLETE,
    deployment,
    destination_rule,
    findings,
    gateway,
    paths,
    service,
    service_entry,
    to,
    verdicts,
    virtual_service,
)

HOST = "/spec/http/0/route/0/destination/host"
TWO = "[{name: http, port: 80}, {name: http-b, port: 9090}]"
SUBSET = "/spec/http/0/route/0/destination/subset"


@pytest.mark.parametrize(
    ("host", "codes"),
    [
        ("reviews.prod", ("IST0101",)),
        ("reviews.prod.svc", ("IST0101",)),
        ("reviews.prod.svc.cluster.local.", ("IST0101", "KIA1101")),
        ("Reviews.prod.svc.cluster.local", ("IST0101", "KIA1101")),
        ("reviews.prod.svc.cluster.local", None),
    ],
)
def test_1_1_destinations(host: str, codes: tuple[str, ...] | None) -> None:
    found = findings("vs-host-unqualified", service("reviews", "prod"), to(f"host: {host}"))
    assert [f.equivalents for f in found] == ([] if codes is None else [codes])


EIGHT = "[{name: http, port: 8080}, {name: http-b, port: 9090}]"
GATEWAY_443 = gateway(server="port: {number: 443, name: https, protocol: HTTPS}, tls: {mode: SIMPLE}")
PORTS = {
    "one port": ([service(), GATEWAY_443, to("host: a", gateways="[gw]")], []),
    "port of the listener, by coincidence": (
        [service(ports=TWO), gateway(), to("host: a", gateways="[gw]")],
        [("warning", "high")],
    ),
    "no port of the listener": (
        [service(ports=EIGHT), gateway(), to("host: a", gateways="[gw]")],
        [("error", "high")],
    ),
    "port of the container": (
        [service(ports="[{name: http, port: 80, targetPort: 8080}]"), to("host: a, port: {number: 8080}")],
        [("error", "high")],
    ),
    "called on a port that it has": (
        [service(), service("b", ports=TWO), to("host: b")],
        [("info", "high")],
    ),
    "called on a port that it lacks": (
        [service(ports="[{name: http, port: 81}]"), service("b", ports=TWO), to("host: b")],
        [("warning", "high")],
    ),
    "itself, in the mesh": ([service(ports=TWO), to("host: a")], []),
    "port of the Service": ([service(ports=TWO), to("host: a, port: {number: 9090}")], []),
    "ports unknown": ([service(ports="[]"), to("host: a, port: {number: 80}")], []),
    "an alternative has it": (
        [service(), service(ports="[{port: 81}]"), to("host: a, port: {number: 81}")],
        [],
    ),
    "a gateway that is not given": (
        [service(ports=TWO), to("host: a", gateways="[other]")],
        [("warning", "high")],
    ),
}


@pytest.mark.parametrize(("texts", "expected"), PORTS.values(), ids=PORTS)
def test_1_6_ports(texts: list[str], expected: list[tuple[str, str]]) -> None:
    assert verdicts("vs-destination-port", *texts) == expected


def test_1_6_the_codes_of_the_peers() -> None:
    (wrong,) = findings("vs-destination-port", service(), to("host: a, port: {number: 8080}"))
    (several,) = findings(
        "vs-destination-port", service(ports=EIGHT), gateway(), to("host: a", gateways="[gw]")
    )
    assert (wrong.location.path, wrong.equivalents) == (
        "/spec/http/0/route/0/destination/port/number",
        ("IST0101",),
    )
    assert (several.location.path, several.equivalents) == (HOST, ("IST0112",))


def test_1_5_exports() -> None:
    private = """
apiVersion: v1
kind: Service
metadata: {name: a, namespace: shop, annotations: {networking.istio.io/exportTo: "."}}
spec: {selector: {app: a}, ports: [{port: 80}]}
"""
    route = to("host: a.shop.svc.cluster.local", namespace="web", hosts="[a.shop.svc.cluster.local]")
    rule = "vs-destination-not-exported"
    assert verdicts(rule, private, route) == [("error", "low")]
    assert verdicts(rule, private, route, deployment("client", "web")) == [("error", "high")]
    assert verdicts(rule, private, to("host: a")) == []
    assert verdicts(rule, service(), route, deployment("client", "web")) == []


def test_1_5_clients_are_those_that_see_the_virtual_service() -> None:
    exported = """
apiVersion: v1
kind: Service
metadata: {name: a, namespace: shop, annotations: {networking.istio.io/exportTo: web}}
spec: {selector: {app: a}, ports: [{port: 80}]}
"""
    host, rule = "host: a.shop.svc.cluster.local", "vs-destination-not-exported"
    route = to(host, namespace="other", hosts="[a.shop.svc.cluster.local]")
    assert verdicts(rule, exported, route) == [("error", "low")]
    assert verdicts(rule, exported, route + "  exportTo: [web]\n") == []
    assert verdicts(rule, exported, route + "  exportTo: [bogus]\n") == [("error", "low")]
    assert verdicts(rule, exported, route + '  exportTo: [web, "."]\n') == [("error", "low")]
    assert verdicts(rule, exported, route + '  exportTo: ["${TEAM}"]\n') == [("error", "low")]


def test_1_5_exports_count_for_the_pods_of_gateways() -> None:
    pods = deployment("gateway", "istio-ingress", "istio: ingressgateway")
    entry = service_entry("api.example.com", more=', exportTo: ["."]')
    route = to("host: api.example.com", gateways="[gw]", hosts="[x.example.com]")
    rule = "vs-destination-not-exported"
    assert verdicts(rule, entry, route, gateway(), pods) == [("error", "high")]
    assert verdicts(rule, entry, route, gateway()) == []


V1 = "subsets: [{name: v1, labels: {version: v1}}]"
FULL = "a.shop.svc.cluster.local"
WEB = to(f"host: {FULL}, subset: v1", namespace="web", hosts=f"[{FULL}]")
SUBSETS = {
    "the owner's rule": ([destination_rule("a", more=V1), WEB], []),
    "hidden by a wildcard of the clients": (
        [destination_rule("a", more=V1), destination_rule("*.local", "web"), WEB],
        [("error", "medium")],
    ),
    "a third namespace": ([destination_rule(FULL, "ops", more=V1), WEB], []),
    "a third namespace, complete": ([destination_rule(FULL, "ops", more=V1), WEB], [("error", "high")]),
    "the root namespace": ([destination_rule("*.local", "istio-system", more=V1), WEB], []),
    "the owner's wildcard goes before root": (
        [
            destination_rule("*.local", "istio-system", more=V1),
            destination_rule("*.shop.svc.cluster.local", name="near"),
            WEB,
        ],
        [("error", "medium")],
    ),
    "not exported": (
        [destination_rule("a", more=V1 + ', exportTo: ["."]'), WEB],
        [("error", "low")],
    ),
    "a short name of the clients' namespace": (
        [destination_rule("a", "web", more=V1), WEB],
        [("error", "low")],
    ),
    "no rule, nothing known": ([WEB], []),
    "no rule, complete": ([WEB], [("error", "high")]),
    "another name": ([destination_rule("a", more=V1), to("host: a, subset: v2")], [("error", "medium")]),
    "one of two versions of the rule has it": (
        [destination_rule("a"), destination_rule("a", more=V1), to("host: a, subset: v1")],
        [],
    ),
    "merged rules": (
        [destination_rule("a"), destination_rule("a", name="more", more=V1), to("host: a, subset: v1")],
        [],
    ),
}


@pytest.mark.parametrize(
    ("texts", "expected", "settings"),
    [(*row, COMPLETE if "complete" in name else None) for name, row in SUBSETS.items()],
    ids=SUBSETS,
)
def test_1_12_and_1_13_subsets(
    texts: list[str], expected: list[tuple[str, str]], settings: Settings | None
) -> None:
    assert verdicts("vs-subset-missing", service(), *texts, settings=settings) == expected


def test_1_13_the_pods_of_the_gateway_are_the_clients() -> None:
    route = to("host: a, subset: v1", gateways="[gw]")
    pods = deployment("gateway", "istio-ingress", "istio: ingressgateway")
    private = destination_rule("a", more=V1 + ', exportTo: ["."]')
    assert verdicts("vs-subset-missing", service(), gateway(), private, route) == []
    assert verdicts("vs-subset-missing", service(), gateway(), private, route, pods) == [("error", "low")]


def test_1_13_the_codes_of_the_peers() -> None:
    (nowhere,) = findings(
        "vs-subset-missing", service(), destination_rule("a", more=V1), to("host: a, subset: x")
    )
    (hidden,) = findings(
        "vs-subset-missing",
        service(),
        destination_rule("a", more=V1),
        destination_rule("*.local", "web"),
        WEB,
    )
    assert (nowhere.location.path, nowhere.equivalents) == (SUBSET, ("IST0101", "KIA1107"))
    assert (hidden.location.path, hidden.equivalents) == (SUBSET, ())


def weighted(*entries: str) -> str:
    """A rule with destinations, each `host and subset; weight`."""
    routes = []
    for entry in entries:
        destination, _, weight = entry.partition("; ")
        routes.append(f"{{destination: {{{destination}}}{f', weight: {weight}' if weight else ''}}}")
    return virtual_service(f"http: [{{route: [{', '.join(routes)}]}}]")


WEIGHTS = {
    "90/10": (["host: a; 90", "host: b; 10"], []),
    "1/1": (["host: a; 1", "host: b; 1"], []),
    "50/60": (["host: a; 50", "host: b; 60"], ["info"]),
    "100/absent": (["host: a; 100", "host: b"], ["warning"]),
    "absent/absent": (["host: a", "host: b"], ["error"]),
    "0/0": (["host: a; 0", "host: b; 0"], ["error"]),
    "single 0": (["host: a; 0"], []),
    "single absent": (["host: a"], []),
    "single 37": (["host: a; 37"], ["info"]),
    "-1/101": (["host: a; -1", "host: b; 101"], ["error"]),
    "listed twice": (["host: a; 50", f"host: {FULL}; 50"], ["info", "info"]),
    "two ports": (["host: a, port: {number: 1}; 50", "host: a, port: {number: 2}; 50"], []),
}


@pytest.mark.parametrize(("entries", "severities"), WEIGHTS.values(), ids=WEIGHTS)
def test_5_2_weights(entries: list[str], severities: list[str]) -> None:
    assert [severity for severity, _ in verdicts("vs-weights", weighted(*entries))] == severities


@pytest.mark.parametrize(("weights", "severity"), [(("80", "20"), "error"), (("100", "0"), "info")])
def test_5_2_a_missing_subset_with_a_weight(weights: tuple[str, str], severity: str) -> None:
    route = weighted(f"host: a, subset: v1; {weights[0]}", f"host: a, subset: v2; {weights[1]}")
    assert verdicts("vs-subset-missing", destination_rule("a", more=V1), route) == [(severity, "medium")]


def mirrored(mirror: str) -> str:
    return to("host: a, subset: v1", more=f", mirror: {{{mirror}}}")


@pytest.mark.parametrize(
    ("mirror", "rule", "found"),
    [
        ("host: a, subset: v1", "vs-mirror-self", True),
        (f"host: {FULL}, subset: v1, port: {{number: 80}}", "vs-mirror-self", True),
        ("host: a, subset: v2", "vs-mirror-self", False),
        ("host: a, subset: v1", "vs-mirror-missing", False),
        ("host: a, subset: v2", "vs-mirror-missing", True),
        ("host: a, port: {number: 81}", "vs-mirror-missing", True),
        ("host: b", "vs-mirror-missing", True),
    ],
)
def test_5_7_mirrors(mirror: str, rule: str, found: bool) -> None:
    found_ = verdicts(rule, service(), destination_rule("a", more=V1), mirrored(mirror), settings=COMPLETE)
    assert found_ == ([("warning", "high")] if found else [])


def test_mirrors_are_no_destinations_of_routes() -> None:
    texts = (service(), destination_rule("a", more=V1), mirrored("host: b, subset: x"))
    assert paths("vs-destination-missing", *texts, settings=COMPLETE) == []
    assert paths("vs-subset-missing", *texts, settings=COMPLETE) == []


def test_an_alias_of_an_alias() -> None:
    first = "{apiVersion: v1, kind: Service, metadata: {name: a, namespace: shop}, " + (
        "spec: {type: ExternalName, externalName: b.shop.svc.cluster.local}}"
    )
    second = "{apiVersion: v1, kind: Service, metadata: {name: b, namespace: shop}, " + (
        "spec: {type: ExternalName, externalName: %s}}"
    )
    rule, route = "vs-destination-externalname", to("host: a")
    assert verdicts(rule, first, second % "c.example.com", route, settings=COMPLETE) == [("warning", "high")]
    assert verdicts(rule, first, second % "a.shop.svc.cluster.local", route, settings=COMPLETE) == []
    known = service_entry("c.example.com")
    assert verdicts(rule, first, second % "c.example.com", known, route, settings=COMPLETE) == []


def test_templates_are_unknown() -> None:
    texts = (
        service(),
        destination_rule("a", more=V1),
        to('host: "${HOST}"'),
        to('host: a, subset: "${V}"', name="b"),
    )
    for rule in ("vs-destination-missing", "vs-subset-missing", "vs-host-unqualified", "vs-destination-port"):
        assert verdicts(rule, *texts, settings=COMPLETE) == []


def test_a_waypoint_is_the_client_of_an_ambient_service() -> None:
    waypoint = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: waypoint, namespace: shop}
spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
"""
    ambient = """
apiVersion: v1
kind: Service
metadata: {name: a, namespace: shop, labels: {istio.io/use-waypoint: waypoint}}
spec: {selector: {app: a}, ports: [{name: http, port: 80}]}
"""
    texts = (destination_rule("a", more=V1), destination_rule("*.local", "web"), WEB)
    assert verdicts("vs-subset-missing", service(), *texts) == [("error", "medium")]
    assert verdicts("vs-subset-missing", ambient, waypoint, *texts) == []
    assert len(verdicts("dr-shadowed", service(), *texts)) == 1
    assert verdicts("dr-shadowed", ambient, waypoint, *texts) == []
