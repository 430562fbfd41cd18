"""Spec traffic 1: the tables of host fields, registry, ports, Sidecars and look-ups, one case for each row.

What is decided without a finding (resolution, host algebra, protocols, matching) is tested with the module of
`mesh` that decides it: test_hosts, test_registry, test_matching, test_routes, test_gateways.
"""

# ruff: noqa: E501 - a row of a table is one line

from __future__ import annotations

import pytest

from meshlint.mesh.scope import Settings
from tests.checks.traffic.support import (
    deployment,
    destination_rule,
    gateway,
    service,
    service_entry,
    to,
    virtual_service,
)
from tests.mesh.test_sidecars import sidecar
from tests.spec.support import COMPLETE, Row, params, row, said

ROUTE = "http: [{route: [{destination: {host: a}}]}]"
TWO = "[{name: http, port: 80}, {name: http-b, port: 9090}]"
PODS = deployment("ingress", "istio-system", "istio: ingressgateway")


def hosts(listed: str, gateways: str = "", spec: str = ROUTE) -> str:
    return virtual_service(spec, hosts=listed, gateways=gateways)


def exported(entries: str) -> tuple[str, str, str]:
    """A VirtualService, a DestinationRule and a ServiceEntry with an exportTo list."""
    return (
        virtual_service(f"exportTo: {entries}\n{ROUTE}"),
        destination_rule("a", more=f"exportTo: {entries}"),
        service_entry("x.com", more=f", exportTo: {entries}"),
    )


OLD = Settings(istio_version="1.30")
REVIEWS = service("reviews", "prod")

R_1_1 = [
    row("reviews", REVIEWS, service(), to("host: reviews"), says="vs-destination-missing error", settings=COMPLETE),
    row("reviews of its own namespace", REVIEWS, to("host: reviews", namespace="prod", hosts="[reviews]"),
        settings=COMPLETE),
    row("reviews.prod", REVIEWS, to("host: reviews.prod"), says="vs-host-unqualified error", settings=COMPLETE),
    row("reviews.prod.svc", REVIEWS, to("host: reviews.prod.svc"), says="vs-host-unqualified error",
        settings=COMPLETE),
    row("reviews.prod.svc.cluster.local", REVIEWS, to("host: reviews.prod.svc.cluster.local"), settings=COMPLETE),
    row("reviews.prod.svc.cluster.local.", REVIEWS, to("host: reviews.prod.svc.cluster.local."),
        says="vs-host-unqualified error", settings=COMPLETE),
    row("Reviews.prod.svc.cluster.local", REVIEWS, to("host: Reviews.prod.svc.cluster.local"),
        says="vs-host-unqualified error", settings=COMPLETE),
    row("*", service(), to('host: "*"'), says="vs-destination error"),
    row("*.prod.svc.cluster.local", REVIEWS, destination_rule("*.prod.svc.cluster.local"), settings=COMPLETE),
    row("10.0.0.7", hosts("[10.0.0.7]")),
    row("10.0.0.7 as a destination", to("host: 10.0.0.7"), says="vs-destination error"),
    row("http://reviews", to('host: "http://reviews"'), says="vs-destination error"),
    row("reviews:9080", to('host: "reviews:9080"'), says="vs-destination error"),
]  # fmt: skip

SNI = "outbound_.80_.v1_.a.shop.svc.cluster.local"
R_1_2 = [
    row("VS hosts: FQDN", hosts("[a.example.com]")),
    row("VS hosts: short", hosts("[a]")),
    row("VS hosts: wildcard", hosts('["*.example.com"]')),
    row("VS hosts: IP", hosts("[10.0.0.7]")),
    row("VS hosts: * in the mesh", hosts('["*"]'), says="vs-hosts error"),
    row("VS hosts: * also in the mesh", hosts('["*"]', "[gw, mesh]"), says="vs-hosts error"),
    row("VS hosts: * at a gateway", hosts('["*"]', "[gw]")),
    row("VS hosts that match each other", hosts('["*.com", a.com]'), says="vs-hosts error"),
    row("VS hosts: dotted partial name", service(), hosts("[a.shop]"), says="vs-host-unqualified warning"),
    row("VS hosts: SNI form at gateways",
        hosts(f"[{SNI}]", "[gw]", f"tls: [{{match: [{{sniHosts: [{SNI}]}}], route: [{{destination: {{host: a}}}}]}}]")),
    row("VS hosts: SNI form without sniHosts", hosts(f"[{SNI}]", "[gw]"), says="vs-hosts error"),
    row("VS without hosts", hosts("")),
    row("VS without hosts, with gateways", hosts("", "[gw]"), says="vs-delegate-fields error"),
    row("VS without hosts, with tcp", hosts("", spec="tcp: [{route: [{destination: {host: a}}]}]"),
        says="vs-delegate-fields error"),
    row("destination: partial wildcard", to('host: "*.example.com"')),
    row("destination: *", to('host: "*"'), says="vs-destination error"),
    row("destination: IPv4", to("host: 10.0.0.1"), says="vs-destination error"),
    row("DR host: *", destination_rule("*")),
    row("DR host: empty", destination_rule(""), says="dr-host error"),
    row("DR host that matches nothing", service(), destination_rule("b"), says="dr-host-missing warning",
        settings=COMPLETE),
    row("SE hosts: *.x", service_entry("*.example.com", more=", resolution: NONE")),
    row("SE hosts: *", service_entry("*"), says="invalid-value error"),
    row("SE hosts: empty", service_entry("x").replace('["x"]', "[]"), says="invalid-value error"),
    row("SE hosts: *x.com", service_entry("*x.com", more=", resolution: NONE"), says="se-hosts warning"),
    row("SE hosts: *x.com, DYNAMIC_DNS", service_entry("*x.com", more=", resolution: DYNAMIC_DNS")),
    row("Gateway hosts: *", gateway()),
    row("Gateway hosts: FQDN", gateway("[a.example.com]")),
    row("Gateway hosts: IP", gateway("[10.0.0.1]")),
    row("Gateway hosts: namespaces", gateway('["*/a.b", "./a.b", "shop/a.b"]')),
    row("Gateway hosts: short", gateway("[reviews]"), says="gw-hosts error"),
    row("Gateway hosts: partial wildcard", gateway('["*x.com"]'), says="gw-hosts error"),
    row("Gateway hosts: ~", gateway('["~/x.com"]'), says="gw-hosts error"),
    row("Gateway hosts: empty", gateway("[]"), says="gw-hosts error"),
    row("Sidecar: ns/host", sidecar('"*/*.example.com", "shop/a.b", "./*"')),
    row("Sidecar: no slash", sidecar('"a.b"'), says="sidecar-egress-hosts error"),
    row("Sidecar: short name", sidecar('"ns2/reviews"'), says="sidecar-egress-hosts error"),
    row("Sidecar: exclusion", sidecar('"*/*", "~prod/*", "~/x.example.com"')),
    row("Sidecar: exclusion before 1.31", sidecar('"*/*", "~prod/*"'), says="sidecar-egress-hosts error", settings=OLD),
    row("Sidecar: nothing", sidecar('"~/*"')),
    row("Sidecar: nothing before 1.31", sidecar('"~/*"'), settings=OLD),
    row("Sidecar: duplicates", sidecar('"./*", "./*"'), says="sidecar-egress-hosts warning"),
    row("exportTo: *", *exported("['*']")),
    row("exportTo: .", *exported("['.']")),
    row("exportTo: names", *exported("[a, b]")),
    row("exportTo: ~ of a ServiceEntry", service_entry("x.com", more=", exportTo: ['~']")),
    row("exportTo: ~ of others", *exported("['~']"), says="vs-export-to error, dr-export-to error"),
    row("exportTo: ~ and another", exported("['~', a]")[2], says="se-export-to error"),
    row("exportTo: * and another", *exported("['*', a]"),
        says="vs-export-to error, dr-export-to error, se-export-to error"),
    row("exportTo: twice", *exported("[a, a]"), says="vs-export-to error, dr-export-to error, se-export-to error"),
    row("exportTo: . and its name", *exported("['.', shop]"),
        says="vs-export-to error, dr-export-to error, se-export-to error"),
    row("exportTo of a workloadSelector",
        destination_rule("a", more="exportTo: [b], workloadSelector: {matchLabels: {a: b}}"),
        says="dr-export-to error"),
]  # fmt: skip


def alias(target: str = "b.example.com", ports: str = "") -> str:
    listed = f", ports: {ports}" if ports else ""
    return (
        "{apiVersion: v1, kind: Service, metadata: {name: a, namespace: shop}, "
        f"spec: {{type: ExternalName, externalName: {target}{listed}}}}}"
    )


HEADLESS = service(more=", clusterIP: None")
LB = "trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}"
R_1_4 = [
    row("Service and ServiceEntry in one namespace", service(), service_entry("a.shop.svc.cluster.local"),
        says="se-host-of-service warning"),
    row("host of another namespace", service(), service_entry("a.shop.svc.cluster.local", "web")),
    row("ExternalName, target unknown", alias(), to("host: a"), says="vs-destination-externalname warning",
        settings=COMPLETE),
    row("ExternalName, target in the registry", alias(), service_entry("b.example.com"), to("host: a"),
        settings=COMPLETE),
    row("DestinationRule on an ExternalName", alias(), service_entry("b.example.com"),
        destination_rule("a", more=LB), says="vs-destination-externalname warning", settings=COMPLETE),
    row("headless, loadBalancer", HEADLESS, destination_rule("a", more=LB), says="lb-headless warning"),
    row("headless, no loadBalancer", HEADLESS, destination_rule("a")),
]  # fmt: skip

S443 = gateway(
    server="port: {number: 443, name: https, protocol: HTTPS}, tls: {mode: SIMPLE, credentialName: c}"
)
EIGHT = "[{name: http, port: 8080}, {name: http-b, port: 9090}]"
R_1_6 = [
    row("80, no port, gateway 443", service(), S443, to("host: a", gateways="[gw]")),
    row("80+9090, no port, gateway server 80", service(ports=TWO), gateway(), to("host: a", gateways="[gw]"),
        says="vs-destination-port warning"),
    row("8080+9090, no port, gateway server 80", service(ports=EIGHT), gateway(), to("host: a", gateways="[gw]"),
        says="vs-destination-port error"),
    row("port.number of the pods", service(ports="[{name: http, port: 80, targetPort: 8080}]"),
        to("host: a, port: {number: 8080}"), says="vs-destination-port error"),
    row("port.name", service(ports=TWO), to("host: a, port: {name: http}"),
        says="unknown-field error, vs-destination error"),
    row("mesh, another host with the port", service(), service("b", ports=TWO), to("host: b"),
        says="vs-destination-port info"),
]  # fmt: skip

R_1_11 = [
    row("./* and istio-system/*, same ns", sidecar('"./*", "istio-system/*"'), service("same", "shop"),
        settings=COMPLETE),
    row("*/*", sidecar('"*/*"'), service("other", "ns2"), settings=COMPLETE),
    row("ns2/reviews", sidecar('"ns2/reviews"'), service("reviews", "ns2"), says="sidecar-egress-hosts error",
        settings=COMPLETE),
    row("*/* and ~prod/*", sidecar('"*/*", "~prod/*"'), service("svc", "prod"), settings=COMPLETE),
    row("*/* and ~prod/* before 1.31", sidecar('"*/*", "~prod/*"'), service("svc", "prod"),
        says="sidecar-egress-hosts error", settings=Settings(complete=True, istio_version="1.30")),
    row("~/* only", sidecar('"~/*"'), service("same", "shop"), settings=COMPLETE),
    row("only exclusions", sidecar('"~prod/*"'), service("svc", "prod"), says="sidecar-egress-hosts warning",
        settings=COMPLETE),
    row("ns2/*.ns2.svc.cluster.local", sidecar('"ns2/*.ns2.svc.cluster.local"'), service("a", "ns2"),
        settings=COMPLETE),
    row("only ./*; VS routes to ns9", sidecar('"./*"'), service("x", "ns9"), service(),
        to("host: x.ns9.svc.cluster.local"), settings=COMPLETE),
    row("entry not in the registry", sidecar('"ns2/x.ns2.svc.cluster.local"'), service("a", "ns2"),
        says="sidecar-egress-host warning", settings=COMPLETE),
]  # fmt: skip
NOT_DONE_1_11 = {
    "./* and other.ns2": "whether anybody calls it is not in manifests; requests and calls say that it is "
    "not imported (test_sidecars, test_matching)",
}

V1 = "subsets: [{name: v1, labels: {version: v1}}]"
FULL = "a.shop.svc.cluster.local"
WEB = to(f"host: {FULL}, subset: v1", namespace="web", hosts=f"[{FULL}]")
POD = deployment("client", "web")
MUTUAL = "trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}"
R_1_12 = [
    row("web; shop: a", service(), POD, destination_rule("a", more=V1), WEB, settings=COMPLETE),
    row("web: *.local hides shop: a with subsets", service(), POD, destination_rule("a", more=V1),
        destination_rule("*.local", "web", more=MUTUAL), WEB,
        says="dr-shadowed warning, vs-subset-missing error", settings=COMPLETE),
    row("ops: third namespace", service(), POD, destination_rule(FULL, "ops", more="exportTo: ['*']"),
        says="dr-unreachable-namespace warning", settings=COMPLETE),
    row("root: *.local", service(), POD, destination_rule("*.local", "istio-system", more=V1), WEB,
        settings=COMPLETE),
    row("root: *.local, shop: *.shop", service(), POD, destination_rule("*.local", "istio-system", more=V1),
        destination_rule("*.shop.svc.cluster.local", name="near"), WEB, says="vs-subset-missing error",
        settings=COMPLETE),
    row("istio-system: ingress, public root rule and shop: a", service(), PODS, gateway(namespace="istio-system"),
        destination_rule("*.local", "istio-system", more="exportTo: ['*']"), destination_rule("a", more=V1),
        to("host: a, subset: v1", gateways="[istio-system/gw]", hosts="[a.example.com]"), settings=COMPLETE),
    row("shop: a for itself", service(), POD, destination_rule("a", more=V1 + ", exportTo: ['.']"), WEB,
        says="vs-subset-missing error", settings=COMPLETE),
    row("web: a, short", service(), POD, destination_rule("a", "web"), says="dr-host-missing warning",
        settings=COMPLETE),
]  # fmt: skip

TABLES = {"1.1": R_1_1, "1.2": R_1_2, "1.4": R_1_4, "1.6": R_1_6, "1.11": R_1_11, "1.12": R_1_12}


@pytest.mark.parametrize(("one", "asked"), params(R_1_1))
def test_1_1_resolution(one: Row, asked: tuple[str, ...]) -> None:
    assert said(one, asked) == list(one.expected)


@pytest.mark.parametrize(("one", "asked"), params(R_1_2))
def test_1_2_host_fields(one: Row, asked: tuple[str, ...]) -> None:
    assert said(one, asked) == list(one.expected)


@pytest.mark.parametrize(("one", "asked"), params(R_1_4))
def test_1_4_registry(one: Row, asked: tuple[str, ...]) -> None:
    assert said(one, asked) == list(one.expected)


@pytest.mark.parametrize(("one", "asked"), params(R_1_6))
def test_1_6_ports(one: Row, asked: tuple[str, ...]) -> None:
    assert said(one, asked) == list(one.expected)


@pytest.mark.parametrize(("one", "asked"), params(R_1_11))
def test_1_11_sidecars(one: Row, asked: tuple[str, ...]) -> None:
    assert said(one, asked) == list(one.expected)


@pytest.mark.parametrize(("one", "asked"), params(R_1_12))
def test_1_12_look_up(one: Row, asked: tuple[str, ...]) -> None:
    assert said(one, asked) == list(one.expected)


def test_every_row_is_accounted_for() -> None:
    assert len(R_1_11) + len(NOT_DONE_1_11) == 11
    assert len(R_1_12) == 8
    assert len(R_1_6) == 6
