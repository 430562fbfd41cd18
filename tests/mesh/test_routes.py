"""Routes of VirtualServices, delegates, the Gateway API and APIRules (spec traffic 1.7 to 1.15)."""

from __future__ import annotations

import pytest

from meshlint.mesh.mesh import Mesh
from meshlint.mesh.routes import Client, applies
from meshlint.source.nodes import Mapping
from meshlint.source.parse import parse
from tests.support import mesh_of


def mapping(text: str) -> Mapping:
    root = parse("x.yaml", text).documents[0].root
    assert isinstance(root, Mapping)
    return root


def virtual_service(http: str, name: str = "a", extra: str = "hosts: [a]") -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, namespace: shop}}
spec:
  {extra}
  http: {http}
"""


SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: %s, namespace: shop}
spec: {ports: [%s]}
"""
TO_A = "route: [{destination: {host: a}}]"


def test_a_destination_knows_its_services() -> None:
    mesh = mesh_of(
        SERVICE % ("a", "{port: 80}"),
        virtual_service("[{route: [{destination: {host: a, subset: v1, port: {number: 80}}, weight: 90}]}]"),
    )
    (route,) = mesh.routes.all
    (destination,) = route.destinations
    assert (destination.host, destination.port, destination.subset, destination.weight) == (
        "a.shop.svc.cluster.local", 80, "v1", 90,
    )  # fmt: skip
    assert mesh.routes.to_service(mesh.registry.services[0]) == [route]
    assert mesh.routes.in_mesh("a.shop.svc.cluster.local") == [route]
    assert route.mesh
    assert route.gateways == []


@pytest.mark.parametrize(
    ("rule", "action"),
    [
        (TO_A, "route"),
        ("redirect: {uri: /x}", "redirect"),
        ("directResponse: {status: 503}", "direct-response"),
        ("delegate: {name: b}", "delegate"),
    ],
)
def test_actions(rule: str, action: str) -> None:
    (route,) = mesh_of(virtual_service(f"[{{{rule}}}]")).routes.all
    assert route.action == action


@pytest.mark.parametrize(
    ("first", "shadowed"),
    [
        ("{route: [{destination: {host: b}}]}", True),
        ("{redirect: {uri: /}}", True),
        ("{match: [{uri: {prefix: /}}], route: [{destination: {host: b}}]}", False),
        ("{delegate: {name: d}}", False),
    ],
)
def test_a_rule_without_match_takes_every_request(first: str, shadowed: bool) -> None:
    delegate = virtual_service("[{route: [{destination: {host: d}}]}]", "d", "exportTo: ['*']")
    mesh = mesh_of(virtual_service(f"[{first}, {{delegate: {{name: d}}}}]"), delegate)
    last = [route for route in mesh.routes.all if route.resource.name == "d"][-1]
    assert last.shadowed is shadowed


def test_tls_and_tcp_rules() -> None:
    text = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a, namespace: shop}
spec:
  hosts: [a.example.com]
  tls: [{match: [{port: 443, sniHosts: [a.example.com]}], route: [{destination: {host: a}}]}]
  tcp: [{route: [{destination: {host: a}}]}]
"""
    assert [r.protocol for r in mesh_of(text).routes.all] == ["tls", "tcp"]


def test_mirrors_are_no_destinations() -> None:
    mesh = mesh_of(
        SERVICE % ("b", "{port: 80}"),
        virtual_service(f"[{{{TO_A}, mirror: {{host: b}}, mirrors: [{{destination: {{host: b}}}}]}}]"),
    )
    assert [m.host for m in mesh.routes.all[0].mirrors] == ["b.shop.svc.cluster.local"] * 2
    assert mesh.routes.to_service(mesh.registry.services[0]) == []


@pytest.mark.parametrize(
    ("ports", "unused"),
    [
        ("{name: http, port: 80}", False),
        ("{name: web, port: 80}", False),
        ("{name: tcp-x, port: 80}", True),
        ("{name: https, port: 443}", True),
        ("{name: tcp-x, port: 81}, {name: http, port: 80}", False),
    ],
)
def test_1_7_http_rules_need_a_port_that_carries_http(ports: str, unused: bool) -> None:
    mesh = mesh_of(SERVICE % ("a", ports), virtual_service(f"[{{{TO_A}}}]"))
    assert mesh.routes.unused_http(mesh.routes.all[0]) is unused


def test_1_7_a_gateway_uses_them_whatever_the_port() -> None:
    mesh = mesh_of(
        SERVICE % ("a", "{name: tcp-x, port: 80}"),
        virtual_service(f"[{{{TO_A}}}]", extra="hosts: [a]\n  gateways: [mesh, gw]"),
    )
    assert not mesh.routes.unused_http(mesh.routes.all[0])


WEB = Client("web", {"app": "web"}, 80)


@pytest.mark.parametrize(
    ("match", "context", "answer"),
    [
        ("{}", "mesh", True),
        ("{gateways: [mesh]}", "mesh", True),
        ("{gateways: [mesh]}", "shop/gw", False),
        ("{gateways: [gw]}", "shop/gw", True),
        ("{sourceLabels: {app: web}}", "mesh", True),
        ("{sourceLabels: {app: other}}", "mesh", False),
        ("{sourceLabels: {app: other}, gateways: [mesh]}", "mesh", True),
        ("{sourceNamespace: web}", "mesh", True),
        ("{sourceNamespace: other}", "mesh", False),
        ("{port: 80}", "mesh", True),
        ("{port: 81}", "mesh", False),
    ],
)
def test_1_10_http_matches(match: str, context: str, answer: bool) -> None:
    assert applies(mapping(match), context, "shop", WEB) is answer


def test_1_10_a_rule_whose_matches_name_gateways_is_bound_to_those() -> None:
    rules = (
        f"[{{match: [{{gateways: [mesh]}}], {TO_A}}}, {{match: [{{gateways: [gw]}}], {TO_A}}}, {{{TO_A}}}]"
    )
    routes = mesh_of(virtual_service(rules, extra="hosts: [a]\n  gateways: [mesh, gw]")).routes.all
    assert [(r.mesh, r.missing_gateways) for r in routes] == [
        (True, []),
        (False, ["shop/gw"]),
        (True, ["shop/gw"]),
    ]


# --- 1.15 delegates


def delegated(root_match: str, leaf_match: str, delegate_spec: str = "") -> Mesh:
    root = virtual_service(f"[{{{root_match} timeout: 2s, delegate: {{name: d}}}}]", "r")
    leaf = virtual_service(f"[{{{leaf_match} {TO_A}}}]", "d", delegate_spec)
    return mesh_of(root, leaf)


@pytest.mark.parametrize(
    ("root", "leaf", "merged"),
    [
        ("uri: {prefix: /api}", "uri: {prefix: /api/v1}", True),
        ("uri: {prefix: /api}", "uri: {prefix: /v1}", False),
        ("uri: {prefix: /api}", "", True),
        ("uri: {prefix: /api}", "uri: {regex: /api/.*}", False),
        ("sourceNamespace: a", "", False),
        ("sourceNamespace: a", "sourceNamespace: a", True),
        ("headers: {x: {exact: '1'}}", "headers: {y: {exact: '2'}}", True),
        ("headers: {x: {exact: '1'}}", "headers: {x: {exact: '2'}}", False),
        ("", "uri: {prefix: /v1}", True),
        ("port: 80", "port: 81", False),
        ("sourceLabels: {a: b}", "sourceLabels: {a: c}", False),
        ("uri: {exact: /a}", "uri: {prefix: /a}", False),
        ("uri: {prefix: /a}, ignoreUriCase: true", "uri: {prefix: /a}", False),
        ("gateways: [gw]", "gateways: [other]", False),
    ],
)
def test_1_15_matches(root: str, leaf: str, merged: bool) -> None:
    mesh = delegated(f"match: [{{{root}}}]," if root else "", f"match: [{{{leaf}}}]," if leaf else "")
    assert [r.action for r in mesh.routes.all] == ["delegate", "route"][: 1 + merged]


def test_1_15_a_delegate_with_hosts_is_none() -> None:
    mesh = delegated("", "", "hosts: [a]")
    assert [(r.action, r.root) for r in mesh.routes.all] == [("delegate", None), ("route", None)]


def test_1_15_a_delegate_must_be_exported_to_the_root() -> None:
    mesh = delegated("", "", "exportTo: [elsewhere]")
    assert [(r.action, r.bound) for r in mesh.routes.all] == [("delegate", True), ("route", False)]


def test_1_15_a_delegate_inherits_hosts_and_settings() -> None:
    _, leaf = delegated("", "").routes.all
    assert leaf.hosts == ("a.shop.svc.cluster.local",)
    assert leaf.resource.name == "d"
    setting = leaf.setting("timeout")
    assert setting is not None
    assert setting[0].name == "r"


def test_1_15_a_delegate_that_nobody_names() -> None:
    (route,) = mesh_of(virtual_service(f"[{{{TO_A}}}]", extra="")).routes.all
    assert not route.bound
    assert not route.mesh


# --- 1.14 Gateway API


def gateway(listener: str, namespace: str = "infra", class_name: str = "istio") -> str:
    return f"""
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: gw, namespace: {namespace}}}
spec: {{gatewayClassName: {class_name}, listeners: [{{name: http, port: 80, protocol: HTTP, {listener}}}]}}
"""


def http_route(parent: str, hostnames: str = "") -> str:
    return f"""
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: a, namespace: shop}}
spec:
  parentRefs: [{{{parent}}}]
  hostnames: [{hostnames}]
  rules: [{{backendRefs: [{{name: a, port: 80}}]}}]
"""


NAMESPACE = """
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: shop}}
"""
ALL = "allowedRoutes: {namespaces: {from: All}}"
SELECTOR = "allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {team: %s}}}}"


@pytest.mark.parametrize(
    ("files", "parent", "hostnames", "expected"),
    [
        ([gateway("")], "name: gw, namespace: infra", "", "no"),
        ([gateway(ALL)], "name: gw, namespace: infra", "", "yes"),
        ([gateway("", "shop")], "name: gw", "", "yes"),
        ([gateway(ALL)], "name: gw, namespace: infra, sectionName: https", "", "no"),
        ([gateway(ALL)], "name: gw, namespace: infra, sectionName: http", "", "yes"),
        ([gateway(ALL)], "name: gw, namespace: infra, port: 443", "", "no"),
        ([gateway(f'hostname: "*.example.org", {ALL}')], "name: gw, namespace: infra", "a.example.com", "no"),
        (
            [gateway(f'hostname: "*.example.com", {ALL}')],
            "name: gw, namespace: infra",
            "a.example.com",
            "yes",
        ),
        ([gateway(f'hostname: "*.example.com", {ALL}')], "name: gw, namespace: infra", "", "yes"),
        ([gateway(SELECTOR % "shop")], "name: gw, namespace: infra", "", "unsure"),
        ([gateway(SELECTOR % "shop"), NAMESPACE], "name: gw, namespace: infra", "", "yes"),
        ([gateway(SELECTOR % "web"), NAMESPACE], "name: gw, namespace: infra", "", "no"),
        ([gateway("allowedRoutes: {namespaces: {from: None}}", "shop")], "name: gw", "", "no"),
        ([gateway("allowedRoutes: {kinds: [{kind: GRPCRoute}]}", "shop")], "name: gw", "", "no"),
        ([gateway("protocol: TCP", "shop")], "name: gw", "", "no"),
        ([], "name: gw, namespace: infra", "", "missing"),
    ],
)
def test_1_14_parents(files: list[str], parent: str, hostnames: str, expected: str) -> None:
    (route,) = mesh_of(*files, http_route(parent, hostnames)).routes.all
    binding = route.binding
    found = {
        "yes": binding.gateways,
        "no": binding.other_gateways,
        "unsure": binding.unsure_gateways,
        "missing": binding.missing,
    }
    assert {answer for answer, things in found.items() if things} == {expected}


def test_1_14_a_service_as_parent_makes_a_mesh_route() -> None:
    route = mesh_of(http_route('group: "", kind: Service, name: a, namespace: prod')).routes.all[0]
    assert route.mesh
    assert route.hosts == ("a.prod.svc.cluster.local",)


def test_1_14_a_service_entry_as_parent() -> None:
    entry = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: out, namespace: shop}
spec: {hosts: [a.example.com], ports: [{number: 80, name: http, protocol: HTTP}]}
"""
    parent = "group: networking.istio.io, kind: ServiceEntry, name: out"
    assert mesh_of(entry, http_route(parent)).routes.all[0].mesh_hosts == ("a.example.com",)


@pytest.mark.parametrize(("class_name", "istio"), [("istio", True), ("nginx", False)])
def test_1_14_other_implementations(class_name: str, istio: bool) -> None:
    mesh = mesh_of(gateway("", "shop", class_name), http_route("name: gw"))
    assert mesh.routes.served_by_istio(mesh.routes.all[0]) is istio


def test_1_14_a_virtual_service_at_a_gateway_api_gateway_is_unsure() -> None:
    rules = virtual_service(f"[{{{TO_A}}}]", extra="hosts: [a.example.com]\n  gateways: [infra/gw]")
    binding = mesh_of(gateway(ALL), rules).routes.all[0].binding
    assert (len(binding.unsure_gateways), binding.missing) == (1, ())


# --- APIRule


@pytest.mark.parametrize(
    ("spec", "hosts", "missing"),
    [
        (
            "hosts: [a.example.com], gateway: kyma-system/kyma-gateway",
            ("a.example.com",),
            ["kyma-system/kyma-gateway"],
        ),
        (
            "host: a.example.com, gateway: kyma-gateway.kyma-system.svc.cluster.local",
            ("a.example.com",),
            ["kyma-system/kyma-gateway"],
        ),
    ],
)
def test_api_rules(spec: str, hosts: tuple[str, ...], missing: list[str]) -> None:
    text = f"""
apiVersion: gateway.kyma-project.io/v2
kind: APIRule
metadata: {{name: a, namespace: shop}}
spec:
  {{{spec}, service: {{name: a, port: 80}},
   rules: [{{path: /x, methods: [GET]}}, {{path: /y, service: {{name: b, namespace: web, port: 81}}}}]}}
"""
    routes = mesh_of(SERVICE % ("a", "{port: 80}"), text).routes.all
    assert [r.hosts for r in routes] == [hosts, hosts]
    assert [r.missing_gateways for r in routes] == [missing, missing]
    assert [(d.host, d.port, len(d.services)) for r in routes for d in r.destinations] == [
        ("a.shop.svc.cluster.local", 80, 1),
        ("b.web.svc.cluster.local", 81, 0),
    ]
