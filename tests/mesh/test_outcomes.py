"""What becomes of a request: shares (spec traffic 5.2), rewrites (5.5), faults (5.6), redirects (5.8)."""

from __future__ import annotations

import pytest

from meshlint.mesh.access import Access
from meshlint.mesh.authz import PLAIN
from meshlint.mesh.matches import HttpRequest, Sender
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.outcomes import Outcomes
from meshlint.mesh.passages import Caller
from meshlint.mesh.rewrites import (
    DirectResponse,
    Fault,
    Redirect,
    direct_response,
    fault,
    redirect,
    rewrite,
)
from meshlint.mesh.scope import Settings
from meshlint.mesh.served import Served
from meshlint.source.durations import SECOND
from tests.mesh.test_matching import (
    TestRegistryOnly,
    ask,
    enter,
    gateway,
    http_route,
    k8s_gateway,
    rule,
    service,
    vs,
)
from tests.support import mesh_of

TO_A = "route: [{destination: {host: a}}]"


def served(more: str, target: str = "/", *matches: str) -> tuple[Mesh, Served]:
    mesh = mesh_of(service(), vs(rule("1", *matches, more=more)))
    return mesh, ask(mesh, target).value


class TestShares:
    ROWS = (
        ("90/10", [90.0, 10.0]),
        ("1/1", [50.0, 50.0]),
        ("50/60", [45.45, 54.55]),
        ("100/-", [100.0]),
        ("0", [100.0]),
        ("-", [100.0]),
        ("80/20/0", [80.0, 20.0]),
    )

    @pytest.mark.parametrize(("weights", "expected"), ROWS, ids=lambda row: str(row))
    def test_row(self, weights, expected):
        entries = [
            f"{{destination: {{host: a, subset: v{n}}}" + ("}" if w == "-" else f", weight: {w}}}")
            for n, w in enumerate(weights.split("/"))
        ]
        mesh, found = served(f"route: [{', '.join(entries)}]")
        shares = Outcomes(mesh).shares(found).value.shares
        assert [round(share.percent, 2) for share in shares] == expected
        assert {share.port for share in shares} == {80}

    def test_a_template_is_unknown(self):
        mesh, found = served(
            "route: [{destination: {host: a}, weight: 50}, {destination: {host: b}, weight: '${W}'}]"
        )
        assert Outcomes(mesh).shares(found).unknown

    def test_the_only_port_and_the_listeners(self):
        two = service("b", ports="{name: http, port: 80}, {name: http-b, port: 81}")
        mesh = mesh_of(service(), two, vs(rule("1", more="route: [{destination: {host: b}}]")))
        (share,) = Outcomes(mesh).shares(ask(mesh).value).value.shares
        assert share.port == 80
        mesh = mesh_of(two, vs(rule("1", more="route: [{destination: {host: b}}]"), spec="hosts: [b]"))
        (share,) = Outcomes(mesh).shares(ask(mesh, host="b", port=81).value).value.shares
        assert share.port == 81

    def test_all_weights_zero_of_the_gateway_api(self):
        text = "{backendRefs: [{name: a, port: 80, weight: 0}]}"
        mesh = mesh_of(k8s_gateway(), service(), http_route(text))
        assert Outcomes(mesh).shares(enter(mesh, at="infra/gw").value).value.shares == ()


class TestRewrite:
    """5.5: (match, rewrite, path, what the destination sees)."""

    ROWS = (
        ("{uri: {prefix: /foo}}", "{uri: /}", "/foo/bar", "//bar"),
        ("{uri: {prefix: /foo}}", "{uri: /}", "/foo", "/"),
        ("{uri: {prefix: /foo/}}", "{uri: /}", "/foo/bar", "/bar"),
        ("{uri: {exact: /foo}}", "{uri: /bar}", "/foo?x=1", "/bar"),
        ("{uri: {regex: '/foo/.*'}}", "{uri: /bar}", "/foo/x", "/bar"),
        ("{headers: {}}", "{uri: /v2}", "/x", "/v2x"),
        ("{uri: {prefix: /foo}}", "{authority: b.example.com}", "/foo", "/foo"),
    )

    @pytest.mark.parametrize(("match", "written", "target", "expected"), ROWS)
    def test_row(self, match, written, target, expected):
        _, found = served(f"{TO_A}, rewrite: {written}", target, match)
        assert rewrite(found).value.path == expected

    def test_host(self):
        _, found = served(f"{TO_A}, rewrite: {{authority: b.example.com}}")
        assert rewrite(found).value.host == "b.example.com"

    def test_an_expression_is_unknown(self):
        _, found = served(f"{TO_A}, rewrite: {{uriRegexRewrite: {{match: '/x', rewrite: /y}}}}")
        assert rewrite(found).unknown

    GATEWAY_ROWS = (
        ("/foo", "{type: ReplacePrefixMatch, replacePrefixMatch: /bar}", "/foo/x", "/bar/x"),
        ("/foo", "{type: ReplacePrefixMatch, replacePrefixMatch: /}", "/foo/x", "/x"),
        ("/foo", "{type: ReplacePrefixMatch, replacePrefixMatch: /bar}", "/foo", "/bar"),
        ("/foo", "{type: ReplaceFullPath, replaceFullPath: /bar}", "/foo/x", "/bar"),
    )

    @pytest.mark.parametrize(("prefix", "written", "target", "expected"), GATEWAY_ROWS)
    def test_gateway_api(self, prefix, written, target, expected):
        text = (
            f"{{matches: [{{path: {{type: PathPrefix, value: {prefix}}}}}], "
            f"backendRefs: [{{name: a, port: 80}}], "
            f"filters: [{{type: URLRewrite, urlRewrite: {{path: {written}}}}}]}}"
        )
        mesh = mesh_of(k8s_gateway(), http_route(text))
        assert rewrite(enter(mesh, target, at="infra/gw").value).value.path == expected


class TestRedirect:
    ROWS = (
        ("{uri: /new}", Redirect(301, "http", "a", "/new?q=1")),
        (
            "{authority: b.example.com, redirectCode: 308}",
            Redirect(308, "http", "b.example.com", "/old/x?q=1"),
        ),
        ("{scheme: https, port: 8443}", Redirect(301, "https", "a", "/old/x?q=1", 8443)),
        ("{uri: '%PREFIX()%/new'}", Redirect(301, "http", "a", "/new/x?q=1")),
        ("{prefixRewrite: /new}", Redirect(301, "http", "a", "/new/x?q=1")),
    )

    @pytest.mark.parametrize(("written", "expected"), ROWS)
    def test_row(self, written, expected):
        _, found = served(f"redirect: {written}", "/old/x?q=1", "{uri: {prefix: /old}}")
        assert redirect(found).value == expected

    def test_none(self):
        _, found = served(TO_A)
        assert redirect(found).value is None

    def test_https_redirect_of_a_server(self):
        mesh = mesh_of(gateway("*", more=", tls: {httpsRedirect: true}"))
        assert redirect(enter(mesh, "/x?y").value).value == Redirect(301, "https", "a.example.com", "/x?y")

    def test_gateway_api(self):
        text = (
            "{matches: [{path: {value: /old}}], filters: [{type: RequestRedirect, requestRedirect: "
            "{scheme: https, path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}}}]}"
        )
        mesh = mesh_of(k8s_gateway(), http_route(text))
        found = redirect(enter(mesh, "/old/x", at="infra/gw").value).value
        assert found == Redirect(302, "https", "a.example.com", "/new/x")


def test_direct_response():
    _, found = served("directResponse: {status: 503, body: {string: later}}")
    assert direct_response(found).value == DirectResponse(503, "later")


class TestFault:
    ROWS = (
        ("{delay: {fixedDelay: 7s, percentage: {value: 100}}}", Fault("", 0, 7 * SECOND, 100)),
        ("{delay: {fixedDelay: 7s}}", Fault()),
        ("{abort: {httpStatus: 500, percentage: {value: 0.5}}}", Fault("500", 0.5)),
        ("{abort: {grpcStatus: UNAVAILABLE, percentage: {value: 10}}}", Fault("UNAVAILABLE", 10)),
        ("{abort: {httpStatus: 500}}", Fault()),
        ("{abort: {percentage: {value: 10}}}", Fault()),
    )

    @pytest.mark.parametrize(("written", "expected"), ROWS)
    def test_row(self, written, expected):
        _, found = served(f"{TO_A}, fault: {written}")
        assert fault(found).value == expected

    def test_a_template_is_unknown(self):
        _, found = served(f"{TO_A}, fault: {{abort: {{httpStatus: '${{CODE}}', percentage: {{value: 1}}}}}}")
        assert fault(found).unknown


def test_times_without_a_rule():
    mesh = mesh_of(service())
    found = mesh.matching.in_mesh(HttpRequest("a"), "a", Sender("shop", {})).value
    outcomes = Outcomes(mesh)
    assert outcomes.timeout(found).value.limit is None
    assert outcomes.retries(found).value.attempts == 2


class TestBackendsOfTheGatewayApi:
    """1.14: what is not permitted or has no weight gets 500."""

    GRANT = """
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {name: g, namespace: db}
spec:
  from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: %s}]
  to: [{group: "", kind: Service}]
"""
    FOREIGN = "{backendRefs: [{name: b, namespace: db, port: 80}]}"

    def outcomes(self, rule_text, *texts, complete=False):
        mesh = mesh_of(
            k8s_gateway(), service(), service("b", "db"), http_route(rule_text), *texts,
            settings=Settings(complete=complete),
        )  # fmt: skip
        return Outcomes(mesh), enter(mesh, at="infra/gw").value

    @pytest.mark.parametrize(
        "text", ["{backendRefs: [{name: a, port: 80, weight: 0}]}", "{backendRefs: []}", "{name: x}"]
    )
    def test_nobody_left(self, text):
        outcomes, found = self.outcomes(text)
        assert outcomes.direct_response(found).value == DirectResponse(500, "")

    def test_somebody_left(self):
        outcomes, found = self.outcomes("{backendRefs: [{name: a, port: 80}]}")
        assert outcomes.direct_response(found).value is None

    def test_granted(self):
        outcomes, found = self.outcomes(self.FOREIGN, self.GRANT % "shop")
        assert [share.host for share in outcomes.shares(found).value.shares] == ["b.db.svc.cluster.local"]
        assert outcomes.direct_response(found).value is None

    def test_a_grant_that_may_be_elsewhere(self):
        outcomes, found = self.outcomes(self.FOREIGN)
        shares = outcomes.shares(found)
        assert shares.unknown
        assert shares.reason.startswith("no ReferenceGrant for b.db.svc.cluster.local is in the input")
        assert outcomes.direct_response(found).unknown

    def test_not_granted(self):
        outcomes, found = self.outcomes(self.FOREIGN, self.GRANT % "other", complete=True)
        assert outcomes.shares(found).value.shares == ()
        assert outcomes.direct_response(found).value == DirectResponse(500, "")


class TestWhatReachesNobody:
    """Access where no rule takes the request, or REGISTRY_ONLY stops it (1.11)."""

    def test_no_rule(self):
        mesh = mesh_of(service(), vs(rule("1", "{uri: {prefix: /x}}")))
        found = Outcomes(mesh).access(ask(mesh, "/y"), Caller("shop", {}, PLAIN))
        assert found.value is Access.DENIED
        assert found.reason == "it reaches nobody: no rule of VirtualService shop/v takes it"

    def test_no_route_at_a_gateway(self):
        mesh = mesh_of(gateway("*"))
        found = Outcomes(mesh).access(enter(mesh), Caller())
        assert (found.value, found.reason) == (
            Access.DENIED, "it reaches nobody: no server or route is for the host"
        )  # fmt: skip

    def test_registry_only(self):
        mesh = mesh_of(TestRegistryOnly.ONLY, settings=Settings(complete=True))
        found = Outcomes(mesh).access(ask(mesh, host="example.com"), Caller("shop", {}, PLAIN))
        assert found.value is Access.DENIED
        assert found.reason.endswith("the mode REGISTRY_ONLY stops what is not known")
