"""Which rule serves a request: rows of spec traffic 1.8 to 1.11, 1.14, 1.15 and 5.3 as requests."""

from __future__ import annotations

import pytest

from meshlint.mesh.facts import Fact
from meshlint.mesh.matches import HttpRequest, Sender
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.scope import Settings
from meshlint.mesh.served import Served, Way
from meshlint.source.nodes import text_of
from tests.support import mesh_of

WEB = Sender("shop", {"app": "web"})


def service(name: str = "a", namespace: str = "shop", ports: str = "{name: http, port: 80}") -> str:
    return f"""
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{ports: [{ports}]}}
"""


def rule(name: str, *matches: str, more: str = "route: [{destination: {host: a}}]") -> str:
    match = f"match: [{', '.join(matches)}], " if matches else ""
    return f"{{name: {name}, {match}{more}}}"


def vs(
    *rules: str, name: str = "v", namespace: str = "shop", spec: str = "hosts: [a]", meta: str = ""
) -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, namespace: {namespace}{meta}}}
spec:
  {spec}
  http: [{", ".join(rules)}]
"""


def gateway(*hosts: str, port: str = "{number: 80, name: http, protocol: HTTP}", more: str = "") -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: gw, namespace: istio-system}}
spec:
  selector: {{istio: ingressgateway}}
  servers:
  - {{port: {port}, hosts: [{", ".join(repr(h) for h in hosts or ("*",))}]{more}}}
"""


def k8s_gateway(*listeners: str) -> str:
    return f"""
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: gw, namespace: infra}}
spec:
  gatewayClassName: istio
  listeners: [{", ".join(listeners or ("{name: http, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}",))}]
"""  # noqa: E501


def http_route(*rules: str, name: str = "r", namespace: str = "shop", spec: str = "") -> str:
    return f"""
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  {spec or "parentRefs: [{name: gw, namespace: infra}]"}
  rules: [{", ".join(rules)}]
"""


def k8s_rule(name: str, *matches: str) -> str:
    return f"{{name: {name}, matches: [{', '.join(matches)}], backendRefs: [{{name: a, port: 80}}]}}"


def ask(
    mesh: Mesh, target: str = "/", host: str = "a", sender: Sender = WEB, **request: object
) -> Fact[Served]:
    wanted = HttpRequest(host, target, **request)  # type: ignore[arg-type]
    return mesh.matching.in_mesh(wanted, host, sender)


def enter(
    mesh: Mesh, target: str = "/", host: str = "a.example.com", at: str = "istio-system/gw", **request: object
) -> Fact[Served]:
    wanted = HttpRequest(host, target, **request)  # type: ignore[arg-type]
    return mesh.matching.at_gateway(wanted, host, *at.split("/"))


def name(fact: Fact[Served]) -> str:
    """The name of the rule, else how the request goes on."""
    if not fact.known:
        return "unknown"
    served = fact.value
    return (text_of(served.route.node.get("name")) or "unnamed") if served.route else served.way.value


class TestMatches:
    """One condition of a match each: (match, request, does it match?)."""

    ROWS = (
        ("{uri: {prefix: /foo}}", {"target": "/foobar"}, True),
        ("{uri: {prefix: /foo/}}", {"target": "/foo"}, False),
        ("{uri: {exact: /foo}}", {"target": "/foo?x=1"}, True),
        ("{uri: {exact: /foo}}", {"target": "/Foo"}, False),
        ("{uri: {exact: /foo}, ignoreUriCase: true}", {"target": "/Foo"}, True),
        ("{uri: {prefix: /A}, ignoreUriCase: true}", {"target": "/a/b"}, True),
        ("{uri: {regex: '/a/.*'}}", {"target": "/a/b"}, True),
        ("{uri: {regex: /a}}", {"target": "/a/b"}, False),
        ("{uri: {regex: '/a(?=b)'}}", {"target": "/ab"}, None),
        ("{uri: {prefix: ''}}", {"target": "/x"}, True),
        ("{uri: {prefix: '${PREFIX}'}}", {"target": "/x"}, None),
        ("{method: {exact: get}}", {}, False),
        ("{method: {regex: 'GET|HEAD'}}", {}, True),
        ("{authority: {prefix: a}}", {}, True),
        ("{scheme: {exact: https}}", {}, False),
        ("{headers: {x: {}}}", {"headers": (("x", "1"),)}, True),
        ("{headers: {x: {}}}", {}, False),
        ("{headers: {X: {exact: '1'}}}", {"headers": (("x", "1"),)}, True),
        ("{headers: {x: {regex: '*'}}}", {"headers": (("x", ""),)}, True),
        ("{headers: {x: {prefix: a}}}", {"headers": (("x", "ba"),)}, False),
        ("{headers: {':method': {exact: GET}}}", {}, True),
        ("{headers: {'@request.auth.claims.role': {exact: admin}}}", {}, None),
        ("{withoutHeaders: {x: {}}}", {}, True),
        ("{withoutHeaders: {x: {}}}", {"headers": (("x", "1"),)}, False),
        ("{withoutHeaders: {x: {exact: '1'}}}", {"headers": (("x", "2"),)}, True),
        ("{withoutHeaders: {x: {exact: '1'}}}", {}, True),
        ("{queryParams: {v: {exact: '2'}}}", {"target": "/?v=2"}, True),
        ("{queryParams: {v: {exact: ''}}}", {"target": "/?v"}, True),
        ("{queryParams: {v: {exact: '2'}}}", {"target": "/"}, False),
        ("{port: 80}", {}, True),
        ("{port: 81}", {}, False),
        ("{sourceLabels: {app: web}}", {}, True),
        ("{sourceLabels: {app: other}}", {}, False),
        ("{sourceNamespace: shop}", {}, True),
        ("{sourceNamespace: other}", {}, False),
        ("{gateways: [mesh], sourceLabels: {app: other}}", {}, True),
        ("{gateways: [gw]}", {}, False),
        ("{}", {}, True),
        ("{uri: {prefix: /a}, method: {exact: POST}}", {"target": "/a"}, False),
    )

    @pytest.mark.parametrize(("match", "request_", "expected"), ROWS)
    def test_row(self, match, request_, expected):
        spec = "hosts: [a]\n  gateways: [mesh, gw]"
        mesh = mesh_of(service(), vs(rule("yes", match), rule("no"), spec=spec))
        assert name(ask(mesh, **request_)) == {True: "yes", False: "no", None: "unknown"}[expected]


class TestOrder:
    """5.3: (rules, path, who takes it)."""

    ROWS = (
        ([rule("1", "{uri: {prefix: /}}"), rule("2", "{uri: {prefix: /api}}")], "/api", "1"),
        ([rule("1", "{uri: {prefix: /api/v1}}"), rule("2", "{uri: {prefix: /api}}")], "/api/v2", "2"),
        ([rule("1", "{uri: {exact: /a}}"), rule("2", "{uri: {prefix: /a}}")], "/ab", "2"),
        ([rule("1", "{uri: {exact: /b}}", "{uri: {exact: /c}}"), rule("2")], "/c", "1"),
        ([rule("1", "{uri: {regex: '/.*'}}"), rule("2")], "/x", "1"),
        ([rule("1", "{uri: {prefix: /x}}")], "/y", "nowhere"),
        ([rule("1"), rule("2")], "/", "1"),
        ([rule("1", "{uri: {regex: '(?!x).*'}}"), rule("2")], "/", "unknown"),
        ([rule("1", "{uri: {exact: /a}}"), rule("2", "{uri: {regex: '(?!x).*'}}")], "/a", "1"),
    )

    @pytest.mark.parametrize(("rules", "path", "expected"), ROWS)
    def test_row(self, rules, path, expected):
        assert name(ask(mesh_of(service(), vs(*rules)), path)) == expected


class TestMesh:
    def test_no_rule_is_the_service(self):
        fact = ask(mesh_of(service()))
        assert (fact.value.way, fact.value.service.host, fact.value.port) == (
            Way.SERVICE, "a.shop.svc.cluster.local", 80,
        )  # fmt: skip

    @pytest.mark.parametrize("host", ["a", "a.shop", "a.shop.svc", "a.shop.svc.cluster.local"])
    def test_names_of_a_service(self, host):
        assert name(ask(mesh_of(service(), vs(rule("1"))), host=host)) == "1"

    def test_a_short_name_is_one_of_the_clients_namespace(self):
        mesh = mesh_of(service(), vs(rule("1")))
        assert name(ask(mesh, sender=Sender("web"))) == "unknown"
        assert name(ask(mesh, host="a.shop", sender=Sender("web"))) == "1"

    def test_exact_hosts_go_before_wildcards(self):
        wide = vs(rule("wide"), name="w", spec="hosts: ['*.shop.svc.cluster.local']")
        assert name(ask(mesh_of(service(), wide, vs(rule("exact"))))) == "exact"
        assert name(ask(mesh_of(service(), wide))) == "wide"

    def test_the_next_owner_where_the_first_has_no_rule_for_the_client(self):
        wide = vs(rule("wide"), name="w", spec="hosts: ['*.shop.svc.cluster.local']")
        narrow = vs(rule("exact", "{sourceLabels: {app: other}}"))
        assert name(ask(mesh_of(service(), wide, narrow))) == "wide"

    def test_two_owners_are_not_merged(self):
        both = vs(rule("1", "{uri: {prefix: /a}}"), name="one"), vs(rule("2"), name="two")
        assert name(ask(mesh_of(service(), *both), "/a")) == "unknown"

    def test_the_oldest_owns_the_host(self):
        old = vs(rule("old"), name="one", meta=", creationTimestamp: '2024-01-01T00:00:00Z'")
        new = vs(rule("new"), name="two", meta=", creationTimestamp: '2025-01-01T00:00:00Z'")
        assert name(ask(mesh_of(service(), new, old))) == "old"

    def test_the_private_one_goes_first(self):
        private = vs(rule("private"), name="one", spec="hosts: [a]\n  exportTo: ['.']")
        assert name(ask(mesh_of(service(), vs(rule("public"), name="two"), private))) == "private"

    def test_what_is_not_exported_is_not_seen(self):
        mesh = mesh_of(service(), vs(rule("1"), spec="hosts: [a]\n  exportTo: ['.']"))
        assert name(ask(mesh, host="a.shop", sender=Sender("web"))) == "service"

    def test_rules_for_gateways_are_not_for_the_mesh(self):
        assert name(ask(mesh_of(service(), vs(rule("1"), spec="hosts: [a]\n  gateways: [gw]")))) == "service"

    def test_several_ports(self):
        ports = "{name: http, port: 8080}, {name: http-b, port: 9090}"
        mesh = mesh_of(service(ports=ports), vs(rule("1", "{port: 9090}"), rule("2")))
        assert name(ask(mesh)) == "unknown"
        assert name(ask(mesh, port=9090)) == "1"
        assert name(ask(mesh, port=8080)) == "2"
        assert name(ask(mesh, port=7070)) == "unknown"

    def test_http_rules_are_not_for_opaque_ports(self):
        fact = ask(mesh_of(service(ports="{name: tcp, port: 80}"), vs(rule("1"))))
        assert (fact.value.way, fact.value.http) == (Way.SERVICE, False)

    TLS = "tls: [{name: tls, match: [{sniHosts: [a]}], route: [{destination: {host: a}}]}]"
    TCP = "tcp: [{name: tcp, route: [{destination: {host: a}}]}]"

    @pytest.mark.parametrize(
        ("port", "taken"),
        [
            ("{name: https, port: 443}", "tls"),
            ("{name: tls-x, port: 443}", "tls"),
            ("{name: tcp, port: 5432}", "tcp"),
            ("{name: mysql, port: 3306}", "tcp"),
            ("{name: http, port: 80}", "1"),
            ("{name: web, port: 80}", "1"),
        ],
    )
    def test_1_7_what_a_block_can_affect(self, port, taken):
        text = vs(rule("1")) + f"  {self.TLS}\n  {self.TCP}\n"
        assert name(ask(mesh_of(service(ports=port), text))) == taken

    def test_1_9_rules_for_tls_of_several_are_one_list(self):
        tls = "  tls: [{{name: {}, match: [{{sniHosts: ['{}']}}], route: [{{destination: {{host: a}}}}]}}]\n"
        head = "hosts: ['*.example.com']"
        entry = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: e, namespace: shop}
spec: {hosts: ['*.example.com'], ports: [{number: 443, name: tls, protocol: TLS}]}
"""

        def text(of: str, sni: str) -> str:
            return vs(name=of, spec=head).replace("  http: []\n", tls.format(of, sni))

        mesh = mesh_of(entry, text("one", "a.example.com"), text("two", "b.example.com"))
        assert [name(ask(mesh, host=f"{n}.example.com", port=443)) for n in "abc"] == [
            "one",
            "two",
            "nowhere",
        ]
        both = mesh_of(entry, text("one", "a.example.com"), text("two", "*.example.com"))
        assert name(ask(both, host="a.example.com", port=443)) == "unknown"

    @pytest.mark.parametrize(
        ("match", "taken"),
        [
            ("{sourceLabels: {app: web}}", "tcp"),
            ("{sourceLabels: {app: other}}", "service"),
            ("{gateways: [mesh], sourceLabels: {app: other}}", "service"),
            ("{gateways: [mesh], sourceNamespace: shop}", "tcp"),
            ("{gateways: [gw]}", "service"),
            ("{port: 5432}", "tcp"),
            ("{port: 80}", "service"),
        ],
    )
    def test_1_10_in_rules_for_tcp_all_conditions_count(self, match, taken):
        text = vs(spec="hosts: [a]\n  gateways: [mesh, gw]").replace(
            "  http: []\n",
            f"  tcp: [{{name: tcp, match: [{match}], route: [{{destination: {{host: a}}}}]}}]\n",
        )
        mesh = mesh_of(service(ports="{name: tcp, port: 5432}"), text)
        assert name(ask(mesh)) == taken

    @pytest.mark.parametrize(("port", "taken"), [(80, "1"), (8080, "unknown"), (None, "1")])
    def test_1_7_hosts_outside_of_the_registry_have_routes_on_port_80(self, port, taken):
        text = vs(rule("1"), spec="hosts: [x.example.com]")
        assert name(ask(mesh_of(text), host="x.example.com", port=port)) == taken

    @pytest.mark.parametrize(("client", "port"), [("shop", 80), ("ops", 8080)])
    def test_1_4_a_host_of_several_namespaces_is_first_that_of_the_client(self, client, port):
        entry = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: e, namespace: %s}
spec: {hosts: [x.example.com], ports: [{number: %d, name: http, protocol: HTTP}]}
"""
        mesh = mesh_of(entry % ("ops", 8080), entry % ("shop", 80))
        assert ask(mesh, host="x.example.com", sender=Sender(client)).value.port == port

    @pytest.mark.parametrize("home", ["shop", "ops"])
    def test_1_4_a_service_of_kubernetes_goes_before_entries(self, home):
        entry = f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: e, namespace: {home}}}
spec: {{hosts: [a.shop.svc.cluster.local], ports: [{{number: 8080, name: http, protocol: HTTP}}]}}
"""
        fact = ask(mesh_of(entry, service()), host="a.shop", sender=Sender("web"))
        assert fact.value.service.kind == "service"

    def test_0_5_the_default_export_of_the_mesh(self):
        private = Settings(mesh_config={"defaultVirtualServiceExportTo": ["."]})
        texts = service(), vs(rule("1"), spec="hosts: [a.shop.svc.cluster.local]", namespace="pay")
        assert name(ask(mesh_of(*texts, settings=private))) == "service"
        assert name(ask(mesh_of(*texts))) == "1"
        own = vs(rule("2"), name="own")
        assert name(ask(mesh_of(service(), vs(rule("1"), name="old"), own, settings=private))) == "unknown"

    def test_a_host_that_nobody_knows(self):
        assert (
            ask(mesh_of(service()), host="b.example.com").reason
            == "the host b.example.com is not in the input"
        )

    SIDECAR = """
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: web}
spec: {egress: [{hosts: ["%s"]}]}
"""

    @pytest.mark.parametrize(("egress", "expected"), [("./*", "unknown"), ("shop/*", "1"), ("*/*", "1")])
    def test_what_a_sidecar_does_not_import(self, egress, expected):
        mesh = mesh_of(service(), vs(rule("1")), self.SIDECAR % egress)
        (sidecar,) = mesh.sidecars.all
        request = HttpRequest("a.shop")
        assert name(mesh.matching.in_mesh(request, "a.shop", Sender("web"), sidecar)) == expected


class TestDelegates:
    """1.15: (match of the root, match of the delegate, path, who takes it)."""

    ROWS = (
        ("{uri: {prefix: /api}}", "{uri: {prefix: /api/v1}}", "/api/v1/x", "leaf"),
        ("{uri: {prefix: /api}}", "{uri: {prefix: /api/v1}}", "/api/v2", "after"),
        ("{uri: {prefix: /api}}", "{uri: {prefix: /v1}}", "/v1", "after"),
        ("{uri: {prefix: /api}}", "", "/api", "leaf"),
        ("{uri: {prefix: /api}}", "{uri: {regex: '/api/.*'}}", "/api/x", "after"),
        ("{headers: {x: {exact: '1'}}}", "{headers: {y: {exact: '2'}}}", "/", "leaf"),
    )

    @pytest.mark.parametrize(("root", "leaf", "path", "expected"), ROWS)
    def test_row(self, root, leaf, path, expected):
        mesh = mesh_of(
            service(),
            vs(rule("root", root, more="delegate: {name: d}"), rule("after")),
            vs(rule("leaf", *([leaf] if leaf else [])), name="d", spec=""),
        )
        assert name(ask(mesh, path, headers=(("x", "1"), ("y", "2")))) == expected

    def test_a_delegate_that_is_not_there(self):
        mesh = mesh_of(
            service(), vs(rule("root", "{uri: {prefix: /api}}", more="delegate: {name: d}"), rule("after"))
        )
        assert name(ask(mesh, "/api")) == "unknown"
        assert name(ask(mesh, "/x")) == "after"


class TestGateway:
    """1.8: (hosts of the gateway, spec of the VirtualService, who takes a.example.com)."""

    GW = "gateways: [istio-system/gw]"
    ROWS = (
        (("*.example.com",), "hosts: [a.example.com]", "1"),
        (("*.example.com",), "hosts: [a.example.com]\n  gateways: [gw]", "nowhere"),
        (("*.example.com",), "hosts: [example.com]", "nowhere"),
        (("prod/*.example.com",), "hosts: [a.example.com]", "nowhere"),
        (("shop/*",), "hosts: [a.example.com]", "1"),
        (("./*",), "hosts: [a.example.com]", "nowhere"),
        (("a.example.com",), "hosts: ['*.example.com']", "1"),
        (("*",), "hosts: [reviews]", "nowhere"),
        (("*",), "hosts: [a.example.com]\n  exportTo: ['.']", "unknown"),
        (("*",), "hosts: [a.example.com]\n  gateways: [gw.istio-system.svc.cluster.local]", "1"),
        (("b.example.com",), "hosts: ['*.example.com']", "nowhere"),
    )

    @pytest.mark.parametrize(("hosts", "spec", "expected"), ROWS)
    def test_row(self, hosts, spec, expected):
        spec = spec if "gateways" in spec else f"{spec}\n  {self.GW}"
        assert name(enter(mesh_of(gateway(*hosts), vs(rule("1"), spec=spec)))) == expected

    def both(self, *virtual_services: str) -> Mesh:
        return mesh_of(gateway("*"), *virtual_services)

    def one(self, name: str, *rules: str, host: str = "a.example.com", meta: str = "") -> str:
        return vs(*rules, name=name, meta=meta, spec=f"hosts: ['{host}']\n  {self.GW}")

    def test_a_gateway_that_is_not_there(self):
        fact = enter(mesh_of(service()))
        assert fact.reason == "the gateway istio-system/gw is not in the input"

    def test_rules_of_several_are_merged(self):
        mesh = self.both(
            self.one("x", rule("1", "{uri: {prefix: /a}}")), self.one("y", rule("2", "{uri: {prefix: /b}}"))
        )
        assert [name(enter(mesh, path)) for path in ("/a", "/b", "/c")] == ["1", "2", "nowhere"]

    def test_catch_all_rules_go_to_the_end(self):
        mesh = self.both(self.one("x", rule("all")), self.one("y", rule("2", "{uri: {prefix: /b}}")))
        assert [name(enter(mesh, path)) for path in ("/b", "/c")] == ["2", "all"]

    OLD, NEW = (f", creationTimestamp: '{year}-01-01T00:00:00Z'" for year in (2024, 2025))

    @pytest.mark.parametrize(
        ("first", "taken"),
        [
            pytest.param([rule("1"), rule("2", "{uri: {prefix: /b}}")], "other", id="a rule after one"),
            pytest.param(
                [rule("1", "{uri: {prefix: /}}", "{uri: {prefix: /b}}")], "other", id="match after one"
            ),
            pytest.param(
                [rule("1", "{uri: {prefix: /b}}", "{uri: {prefix: /}}")], "1", id="match before one"
            ),
            pytest.param([rule("1", "{method: {exact: GET}}")], "1", id="a method is a condition"),
            pytest.param([rule("1", "{authority: {exact: a.example.com}}")], "1", id="so is an authority"),
            pytest.param([rule("1", "{uri: {regex: '/.*'}}")], "1", id="a form that is not recognised"),
            pytest.param([rule("1", "{uri: {regex: '.*'}}")], "other", id="the form that is"),
        ],
    )
    def test_1_9_what_is_moved_and_what_is_dropped(self, first, taken):
        mesh = self.both(
            self.one("x", *first, meta=self.OLD),
            self.one("y", rule("other", "{uri: {prefix: /b}}"), meta=self.NEW),
        )
        assert name(enter(mesh, "/b")) == taken

    def test_1_9_a_delegate_can_be_a_catch_all(self):
        mesh = self.both(
            self.one("x", rule("root", more="delegate: {name: d}"), meta=self.OLD),
            vs(rule("leaf"), name="d", spec=""),
            self.one("y", rule("other", "{uri: {prefix: /b}}"), meta=self.NEW),
        )
        assert [name(enter(mesh, path)) for path in ("/b", "/c")] == ["other", "leaf"]

    @pytest.mark.parametrize(
        ("port", "taken"),
        [
            pytest.param("{protocol: HTTPS}, tls: {mode: SIMPLE}", "http", id="HTTPS"),
            pytest.param("{protocol: HTTPS}, tls: {credentialName: c}", "tls", id="HTTPS without a mode"),
            pytest.param("{protocol: HTTPS}, tls: {mode: null}", "unknown", id="a mode to be filled in"),
            pytest.param("{protocol: TLS}, tls: {mode: PASSTHROUGH}", "tls", id="TLS passed on"),
            pytest.param("{protocol: TLS}, tls: {mode: SIMPLE}", "tcp", id="TLS ended"),
            pytest.param("{protocol: TCP}", "tcp", id="TCP"),
            pytest.param("{protocol: HTTP}", "http", id="HTTP"),
        ],
    )
    def test_5_11_rules_for_the_protocol_of_the_server(self, port, taken):
        text = self.one("x", rule("http")) + (
            "  tls: [{name: tls, match: [{sniHosts: [a.example.com]}], route: [{destination: {host: a}}]}]\n"
            "  tcp: [{name: tcp, route: [{destination: {host: a}}]}]\n"
        )
        server = gateway("*", port=port.replace("{", "{number: 443, name: x, ", 1))
        assert name(enter(mesh_of(server, text))) == taken

    def other(
        self, *hosts: str, port: str = "{number: 80, name: http, protocol: HTTP}", more: str = ""
    ) -> str:
        """A Gateway of the team for the same pods."""
        text = gateway(*hosts, port=port, more=more)
        return text.replace("name: gw, namespace: istio-system", "name: own, namespace: shop")

    def at_other(self, name: str, *rules: str, host: str = "a.example.com") -> str:
        return vs(*rules, name=name, spec=f"hosts: ['{host}']\n  gateways: [own]")

    @pytest.mark.parametrize("at", ["istio-system/gw", "shop/own"])
    def test_5_11_plain_servers_of_several_gateways_are_merged(self, at):
        mesh = self.both(
            self.other("a.example.com"),
            self.one("x", rule("1", "{uri: {prefix: /a}}")),
            self.at_other("y", rule("2", "{uri: {prefix: /b}}")),
        )
        assert [name(enter(mesh, path, at=at)) for path in ("/a", "/b", "/c")] == ["1", "2", "nowhere"]

    def test_5_11_the_most_specific_domain_of_all_gateways_counts(self):
        mesh = self.both(
            self.other("a.example.com"),
            self.one("x", rule("wide"), host="*.example.com"),
            self.at_other("y", rule("exact", "{uri: {prefix: /a}}")),
        )
        assert [name(enter(mesh, path)) for path in ("/a", "/b")] == ["exact", "nowhere"]

    def test_5_11_gateways_for_other_pods_and_other_ports_are_apart(self):
        texts = self.one("x", rule("1")), self.at_other("y", rule("2", "{uri: {prefix: /b}}"))
        away = self.other("*").replace("ingressgateway", "egressgateway")
        assert name(enter(self.both(away, *texts), "/b")) == "1"
        assert (
            name(enter(self.both(self.other("*", port="{number: 81, protocol: HTTP}"), *texts), "/b")) == "1"
        )

    @pytest.mark.parametrize(
        ("mine", "its", "taken"),
        [
            pytest.param("a.example.com", "a.example.com", "unknown", id="the same host: the older one"),
            pytest.param("*.example.com", "a.example.com", "unknown", id="a narrower host"),
            pytest.param("a.example.com", "*.example.com", "1", id="a wider host"),
            pytest.param("a.example.com", "b.example.com", "1", id="another host"),
            pytest.param("b.example.com", "a.example.com", "unknown", id="the host of the other alone"),
        ],
    )
    def test_5_11_with_tls_the_narrower_host_has_the_connection(self, mine, its, taken):
        tls = {"port": "{number: 443, name: s, protocol: HTTPS}", "more": ", tls: {mode: SIMPLE}"}
        mesh = mesh_of(
            gateway(mine, **tls),
            self.other(its, **tls),
            self.one("x", rule("1")),
        )
        assert name(enter(mesh)) == taken

    def test_1_8_the_default_export_of_the_mesh(self):
        private = Settings(mesh_config={"defaultVirtualServiceExportTo": ["."]})
        pods = """
apiVersion: v1
kind: Pod
metadata: {name: gw, namespace: istio-system, labels: {istio: ingressgateway}}
spec: {containers: [{name: p}]}
"""
        mesh = mesh_of(gateway("*"), pods, self.one("x", rule("1")), settings=private)
        assert name(enter(mesh)) == "nowhere"

    def test_where_age_decides_and_is_not_written(self):
        mesh = self.both(
            self.one("x", rule("1", "{uri: {prefix: /a}}")), self.one("y", rule("2", "{uri: {prefix: /a/b}}"))
        )
        assert [name(enter(mesh, path)) for path in ("/a/b", "/a/c")] == ["unknown", "1"]

    def test_where_age_is_written(self):
        old, new = (f", creationTimestamp: '{year}-01-01T00:00:00Z'" for year in (2024, 2025))
        mesh = self.both(
            self.one("x", rule("1", "{uri: {prefix: /a}}"), meta=new),
            self.one("y", rule("2", "{uri: {prefix: /a/b}}"), meta=old),
        )
        assert name(enter(mesh, "/a/b")) == "2"

    def test_the_most_specific_domain_gets_everything(self):
        mesh = self.both(
            self.one("x", rule("wide"), host="*.example.com"),
            self.one("y", rule("exact", "{uri: {prefix: /a}}")),
        )
        assert [name(enter(mesh, path)) for path in ("/a", "/b")] == ["exact", "nowhere"]
        assert name(enter(mesh, "/b", "b.example.com")) == "wide"

    def test_redirect_to_https(self):
        text = gateway("*", more=", tls: {httpsRedirect: true}")
        mesh = mesh_of(text, vs(rule("1"), spec=f"hosts: [a.example.com]\n  {self.GW}"))
        assert name(enter(mesh)) == "https"

    def test_a_server_that_redirects_is_not_meant_where_another_serves(self):
        tls = "{port: {number: 443, name: https, protocol: HTTPS}, tls: {mode: SIMPLE}, hosts: ['*']}"
        text = gateway("*", more=", tls: {httpsRedirect: true}") + f"  - {tls}\n"
        mesh = mesh_of(text, vs(rule("1"), spec=f"hosts: [a.example.com]\n  {self.GW}"))
        assert (name(enter(mesh)), enter(mesh).value.request.scheme) == ("1", "https")
        assert name(enter(mesh, port=80)) == "https"
        assert name(enter(mesh, scheme="http")) == "https"
        assert name(enter(mesh, port=81)) == "nowhere"

    def test_labels_of_the_gateway_count(self):
        pods = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: gw, namespace: istio-system}
spec: {template: {metadata: {labels: {istio: ingressgateway, tier: edge}}}}
"""
        spec = f"hosts: [a.example.com]\n  {self.GW}"
        rules = rule("edge", "{sourceLabels: {tier: edge}}"), rule("rest")
        assert name(enter(mesh_of(gateway("*"), pods, vs(*rules, spec=spec)))) == "edge"
        assert name(enter(mesh_of(gateway("*"), vs(*rules, spec=spec)))) == "unknown"

    def test_passthrough_by_sni(self):
        port = "{number: 443, name: tls, protocol: TLS}"
        text = gateway("*", port=port, more=", tls: {mode: PASSTHROUGH}")
        tls = f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: v, namespace: shop}}
spec:
  hosts: [a.example.com, b.example.com]
  {self.GW}
  tls: [{{match: [{{port: 443, sniHosts: [a.example.com]}}], route: [{{destination: {{host: a}}}}]}}]
"""
        fact = enter(mesh_of(text, tls))
        assert (name(fact), fact.value.route.protocol) == ("unnamed", "tls")
        assert name(enter(mesh_of(text, tls), host="b.example.com")) == "nowhere"


def path(value: str, kind: str = "PathPrefix", more: str = "") -> str:
    return f"{{path: {{type: {kind}, value: '{value}'}}{more}}}"


class TestGatewayApi:
    """1.14: (rules, request, who takes it)."""

    ROWS = (
        ([k8s_rule("1", path("/foo"))], "/foobar", "nowhere"),
        ([k8s_rule("1", path("/foo"))], "/foo/bar", "1"),
        ([k8s_rule("1", path("/foo/"))], "/foo", "1"),
        ([k8s_rule("1", path("/")), k8s_rule("2", path("/a/b")), k8s_rule("3", path("/a"))], "/a/b/c", "2"),
        ([k8s_rule("1", path("/a")), k8s_rule("2", path("/a", "Exact"))], "/a", "2"),
        ([k8s_rule("1", path("/.*", "RegularExpression")), k8s_rule("2", path("/a"))], "/a", "2"),
        ([k8s_rule("1", path("/")), k8s_rule("2", path("/", more=", method: GET"))], "/", "2"),
        (
            [
                k8s_rule("1", path("/", more=", headers: [{name: X, value: '1'}]")),
                k8s_rule("2", path("/", more=", queryParams: [{name: v, value: '2'}]")),
            ],
            "/?v=2",
            "1",
        ),
        ([k8s_rule("1", path("/", more=", headers: [{name: y, value: '1'}]"))], "/", "nowhere"),
        (["{name: 1, backendRefs: [{name: a, port: 80}]}"], "/x", "1"),
    )

    @pytest.mark.parametrize(("rules", "target", "expected"), ROWS)
    def test_row(self, rules, target, expected):
        mesh = mesh_of(k8s_gateway(), http_route(*rules))
        assert name(enter(mesh, target, at="infra/gw", headers=(("x", "1"),))) == expected

    def test_two_routes_alike(self):
        one, two = (http_route(k8s_rule(n, path("/")), name=n) for n in ("one", "two"))
        assert name(enter(mesh_of(k8s_gateway(), one, two), at="infra/gw")) == "unknown"

    def test_routes_of_one_host_are_merged(self):
        one = http_route(k8s_rule("one", path("/a")), name="one")
        two = http_route(k8s_rule("two", path("/")), name="two")
        mesh = mesh_of(k8s_gateway(), two, one)
        assert [name(enter(mesh, p, at="infra/gw")) for p in ("/a", "/b")] == ["one", "two"]

    @pytest.mark.parametrize(
        ("listener", "spec", "expected"),
        [
            ("", "", "nowhere"),
            (", allowedRoutes: {namespaces: {from: All}}", "", "1"),
            (", hostname: '*.example.org', allowedRoutes: {namespaces: {from: All}}", "", "nowhere"),
            (", hostname: '*.example.com', allowedRoutes: {namespaces: {from: All}}", "", "1"),
            (", allowedRoutes: {namespaces: {from: All}}", ", sectionName: https", "nowhere"),
            (", allowedRoutes: {namespaces: {from: All}}", ", port: 80", "1"),
        ],
    )
    def test_listeners(self, listener, spec, expected):
        text = k8s_gateway(f"{{name: http, port: 80, protocol: HTTP{listener}}}")
        route = http_route(
            k8s_rule("1", path("/")), spec=f"parentRefs: [{{name: gw, namespace: infra{spec}}}]"
        )
        assert name(enter(mesh_of(text, route), at="infra/gw")) == expected

    PARENT = "parentRefs: [{kind: Service, group: '', name: a, namespace: shop%s}]"

    def test_a_route_of_the_service_is_for_everybody(self):
        mesh = mesh_of(service(), http_route(k8s_rule("1", path("/")), spec=self.PARENT % ""))
        assert name(ask(mesh)) == "1"
        assert name(ask(mesh, host="a.shop", sender=Sender("web"))) == "1"

    def test_a_route_elsewhere_is_for_its_own_clients(self):
        mesh = mesh_of(
            service(),
            http_route(k8s_rule("producer", path("/")), spec=self.PARENT % ""),
            http_route(k8s_rule("consumer", path("/")), name="c", namespace="web", spec=self.PARENT % ""),
        )
        assert name(ask(mesh)) == "producer"
        assert name(ask(mesh, host="a.shop", sender=Sender("web"))) == "consumer"

    def test_the_port_of_the_parent(self):
        mesh = mesh_of(service(), http_route(k8s_rule("1", path("/")), spec=self.PARENT % ", port: 81"))
        assert name(ask(mesh)) == "service"

    def test_both_apis_for_one_host(self):
        mesh = mesh_of(service(), vs(rule("1")), http_route(k8s_rule("2", path("/")), spec=self.PARENT % ""))
        assert name(ask(mesh)) == "unknown"

    def test_a_method_of_grpc(self):
        text = """
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: g, namespace: infra}
spec:
  parentRefs: [{name: gw}]
  rules:
  - {name: get, matches: [{method: {service: shop.Cart, method: Get}}], backendRefs: [{name: a, port: 80}]}
  - {name: rest, matches: [{method: {service: shop.Cart}}], backendRefs: [{name: a, port: 80}]}
"""
        mesh = mesh_of(k8s_gateway(), text)
        found = [
            name(enter(mesh, target, at="infra/gw", method="POST"))
            for target in ("/shop.Cart/Get", "/shop.Cart/Add", "/shop.Order/Get")
        ]
        assert found == ["get", "rest", "nowhere"]


def test_an_api_rule():
    rules = """
apiVersion: gateway.kyma-project.io/v2
kind: APIRule
metadata: {name: a, namespace: shop}
spec:
  hosts: [a.example.com]
  gateway: istio-system/gw
  service: {name: a, port: 80}
  rules:
  - {path: /get, methods: [GET], noAuth: true}
  - {path: "/items/{*}", methods: [GET, POST], noAuth: true}
"""
    mesh = mesh_of(gateway("*"), service(), rules)
    assert name(enter(mesh, "/get")) == "unnamed"
    assert name(enter(mesh, "/get", method="POST")) == "nowhere"
    assert name(enter(mesh, "/items/7")) == "unnamed"


API_RULE = """
apiVersion: gateway.kyma-project.io/%s
kind: APIRule
metadata: {name: a, namespace: shop}
spec:
  hosts: [%s]
  gateway: %s
  service: {name: a, port: 80}
  rules: [%s]
"""
PUBLIC = '{path: "/public/{**}", methods: [GET], noAuth: true, name: public}'
ALL = '{path: "/{**}", methods: [GET], noAuth: true, name: all}'


class TestRulesOfAnApiRule:
    """Of those that take a request the first one has it (ecosystem f.4)."""

    ROWS = (
        ("v2", (PUBLIC, ALL), "/public/a", "public"),
        ("v2", (PUBLIC, ALL), "/a", "all"),
        ("v2", (ALL, PUBLIC), "/public/a", "all"),
        ("v2alpha1", (PUBLIC, ALL), "/public/a", "public"),
        ("v1beta1", (PUBLIC, ALL), "/public/a", "unknown"),
    )

    @pytest.mark.parametrize(("version", "rules", "target", "expected"), ROWS)
    def test_row(self, version, rules, target, expected):
        text = API_RULE % (version, "a.example.com", "istio-system/gw", ", ".join(rules))
        assert name(enter(mesh_of(gateway("*"), service(), text), target)) == expected


class TestKymaGateway:
    """repositories 9: on Kyma it is never in a tree and always in the cluster."""

    AT = "kyma-system/kyma-gateway"
    KYMA = Settings(platform="kyma")
    ROUTE = vs(
        rule("1", "{uri: {prefix: /a}}"),
        spec=f"hosts: [a.example.com], gateways: [{AT}]".replace(", g", "\n  g"),
    )
    RULE = API_RULE % ("v2", "a", AT, ALL)

    ROWS = (
        pytest.param("a.example.com", "/a", KYMA, {}, "1", id="a VirtualService"),
        pytest.param("a.example.com", "/b", KYMA, {}, "nowhere", id="no rule of it"),
        pytest.param("a.example.com", "/a", KYMA, {"port": 80}, "https", id="plain HTTP"),
        pytest.param("a.example.com", "/a", KYMA, {"port": 443}, "1", id="HTTPS"),
        pytest.param("b.example.com", "/a", KYMA, {}, "unknown", id="a host that no rule has"),
        pytest.param("a.example.com", "/a", Settings(platform="gke"), {}, "unknown", id="not on Kyma"),
    )

    @pytest.mark.parametrize(("host", "target", "settings", "more", "expected"), ROWS)
    def test_row(self, host, target, settings, more, expected):
        mesh = mesh_of(service(), self.ROUTE, settings=settings)
        assert name(enter(mesh, target, host, self.AT, **more)) == expected

    def test_an_api_rule_with_a_short_host(self):
        mesh = mesh_of(service(), self.RULE)
        assert name(enter(mesh, "/x", "a.c-123.kyma.ondemand.com", self.AT)) == "all"
        assert name(enter(mesh, "/x", "b.c-123.kyma.ondemand.com", self.AT)) == "unknown"

    def test_a_short_host_at_a_gateway_of_the_input(self):
        mesh = mesh_of(service(), gateway("*.example.com"), API_RULE % ("v2", "a", "istio-system/gw", ALL))
        assert name(enter(mesh, "/x", "a.example.com")) == "all"
        assert name(enter(mesh, "/x", "b.example.com")) == "nowhere"

    def test_a_copy_among_the_manifests_counts(self):
        copy = gateway("b.example.com").replace(
            "gw, namespace: istio-system", "kyma-gateway, namespace: kyma-system"
        )
        mesh = mesh_of(service(), copy, self.ROUTE, settings=self.KYMA)
        assert name(enter(mesh, "/a", at=self.AT)) == "nowhere"

    def test_what_its_pods_do_not_see(self):
        hidden = self.ROUTE.replace("spec:", "spec:\n  exportTo: ['.']")
        mesh = mesh_of(service(), hidden, settings=self.KYMA)
        assert name(enter(mesh, "/a", at=self.AT)) == "unknown"


class TestWithoutAPort:
    """Where a request names neither port nor scheme, servers that send it to https do not count."""

    LISTENERS = (
        "{name: http, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}",
        "{name: https, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: c}]}, "
        "allowedRoutes: {namespaces: {from: All}}}",
    )

    @staticmethod
    def at(section: str, *rules: str) -> str:
        parent = f"parentRefs: [{{name: gw, namespace: infra, sectionName: {section}}}]"
        return http_route(*rules, name=section, spec=parent)

    def found(self, redirect: str, **request: object) -> str:
        listeners = k8s_gateway(*self.LISTENERS)
        filters = f"[{{type: RequestRedirect, requestRedirect: {{{redirect}}}}}]"
        to_https = self.at("http", f"{{name: redirect, filters: {filters}}}")
        mesh = mesh_of(listeners, service(), to_https, self.at("https", k8s_rule("app", path("/"))))
        return name(enter(mesh, at="infra/gw", **request))

    @pytest.mark.parametrize(
        ("redirect", "request_", "expected"),
        [
            ("scheme: https", {}, "app"),
            ("scheme: https", {"port": 80}, "redirect"),
            ("scheme: https", {"port": 443}, "app"),
            ("scheme: https", {"scheme": "http"}, "redirect"),
            ("hostname: b.example.com", {}, "unknown"),
        ],
    )
    def test_gateway_api(self, redirect, request_, expected):
        assert self.found(redirect, **request_) == expected

    @pytest.mark.parametrize(("more", "expected"), [(", scheme: https", "app"), ("", "unknown")])
    def test_a_rule_of_a_virtual_service(self, more, expected):
        tls = "tls: {mode: SIMPLE, credentialName: c}"
        both = (
            gateway("*") + f"  - {{port: {{number: 443, name: https, protocol: HTTPS}}, hosts: ['*'], {tls}}}"
        )
        at = "hosts: [a.example.com]\n  gateways: [istio-system/gw]"
        redirect = f"redirect: {{authority: a.example.com{more}}}"
        text = vs(rule("redirect", "{port: 80}", more=redirect), rule("app"), spec=at)
        assert name(enter(mesh_of(both, service(), text))) == expected


class TestRegistryOnly:
    """1.11: what is not imported is stopped under REGISTRY_ONLY, else passed on unread."""

    MODE = """
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "outboundTrafficPolicy: {mode: %s}"}
"""
    ONLY = MODE % "REGISTRY_ONLY"
    SIDECAR = """
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: web}
spec: {egress: [{hosts: ["./*"]}]%s}
"""
    HIDDEN = (
        service()
        .replace("spec:", "  annotations: {networking.istio.io/exportTo: .}\nspec:")
        .replace("metadata: {name: a, namespace: shop}", "metadata:\n  name: a\n  namespace: shop")
    )

    def found(self, host, *texts, complete=False):
        mesh = mesh_of(*texts, settings=Settings(complete=complete))
        sidecar = next(iter(mesh.sidecars.all), None)
        name, _, port = host.partition(":")
        request = HttpRequest(host, port=int(port) if port else None)
        return mesh.matching.in_mesh(request, name, Sender("web"), sidecar)

    EMPTY = ", outboundTrafficPolicy: {}"
    ROWS = (
        pytest.param("a.shop", (service(), SIDECAR % "", ONLY), False, True, id="not imported"),
        pytest.param("a.shop", (service(), SIDECAR % "", MODE % "ALLOW_ANY"), False, False, id="passed on"),
        pytest.param("a.shop", (service(), SIDECAR % EMPTY), False, True, id="of the Sidecar"),
        pytest.param("a.shop", (service(), SIDECAR % ""), False, False, id="no mode"),
        pytest.param("a.shop", (HIDDEN, ONLY), False, True, id="not exported"),
        pytest.param("a.shop:81", (HIDDEN, ONLY), False, True, id="not exported, at another port"),
        pytest.param("example.com", (ONLY,), True, True, id="not registered"),
        pytest.param("example.com", (ONLY,), False, False, id="registered elsewhere, perhaps"),
    )  # fmt: skip

    @pytest.mark.parametrize(("host", "texts", "complete", "stopped"), ROWS)
    def test_row(self, host, texts, complete, stopped):
        found = self.found(host, *texts, complete=complete)
        assert found.known is stopped
        if stopped:
            assert found.value.way is Way.NOWHERE
            assert found.reason.endswith("and the mode REGISTRY_ONLY stops what is not known")
