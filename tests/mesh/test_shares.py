"""Which parts of the requests reach nobody (spec traffic 1.5, 1.6, 1.14), and where copies go (5.7)."""

from __future__ import annotations

import pytest

from meshlint.mesh.access import Access
from meshlint.mesh.authz import PLAIN
from meshlint.mesh.outcomes import Outcomes
from meshlint.mesh.passages import Caller
from meshlint.mesh.rewrites import DirectResponse
from meshlint.mesh.scope import Settings
from tests.mesh.test_matching import ask, enter, http_route, k8s_gateway, rule, service, vs
from tests.support import mesh_of

CLOSED = Settings(complete=True)
SHOP = Settings(complete_namespaces=frozenset({"shop"}))
REMAINDER = Settings(complete=True, remainder=True)
TEMPLATED = Settings(complete=True, may_exist=frozenset({("Service", "gone")}))
WILD = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: wild, namespace: shop}
spec: {hosts: ['*.example.com'], ports: [{number: 443, name: tls, protocol: TLS}]}
"""
SUBSET = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a, namespace: shop}
spec: {host: %s, subsets: [{name: v1}]}
"""


def to(*destinations: str) -> str:
    weight = 100 // len(destinations)
    parts = [f"{{destination: {{{d}}}, weight: {weight}}}" for d in destinations]
    return rule("1", more=f"route: [{', '.join(parts)}]")


def of_virtual_service(*destinations: str, settings: Settings = CLOSED, texts: tuple[str, ...] = ()):
    mesh = mesh_of(service(), *texts, vs(to(*destinations)), settings=settings)
    return Outcomes(mesh), ask(mesh)


def of_http_route(*backends: str, settings: Settings = CLOSED):
    text = f"{{backendRefs: [{', '.join(f'{{{b}, port: 80}}' for b in backends)}]}}"
    mesh = mesh_of(k8s_gateway(), service(), http_route(text), settings=settings)
    return Outcomes(mesh), enter(mesh, at="infra/gw")


class TestVirtualService:
    """1.5: (destination, settings, does it certainly reach nobody?, does the answer hang on the input?)"""

    ROWS = (
        pytest.param("host: gone", CLOSED, True, True, id="complete"),
        pytest.param("host: gone", SHOP, True, True, id="the namespace is complete"),
        pytest.param("host: gone.other.svc.cluster.local", SHOP, False, False, id="another namespace"),
        pytest.param("host: gone", Settings(), False, False, id="others of the namespace are there"),
        pytest.param("host: gone", REMAINDER, False, False, id="templates may add it"),
        pytest.param("host: gone", TEMPLATED, False, False, id="a template names it"),
        pytest.param("host: gone.example.com", CLOSED, True, True, id="an external host"),
        pytest.param("host: gone.example.com", SHOP, False, False, id="an external host, not complete"),
        pytest.param("host: a.shop", CLOSED, True, True, id="not the full name"),
        pytest.param("host: a.shop", Settings(), False, False, id="not the full name, not complete"),
        pytest.param("host: 10.0.0.1", CLOSED, False, False, id="an address"),
        pytest.param("host: kyma.kyma-system.svc.cluster.local", CLOSED, False, False, id="of the cluster"),
        pytest.param("host: a, port: {number: 81}", Settings(), True, True, id="no such port"),
        pytest.param("host: a, port: {number: 80}", Settings(), False, True, id="a port"),
        pytest.param("host: a", Settings(), False, True, id="it is there"),
    )

    @pytest.mark.parametrize(("destination", "settings", "gone", "certain"), ROWS)
    def test_row(self, destination, settings, gone, certain):
        outcomes, served = of_virtual_service(destination, settings=settings)
        split = outcomes.shares(served.value)
        assert [len(split.value.shares), len(split.value.lost)] == ([0, 1] if gone else [1, 0])
        assert split.certain is certain
        assert bool(split.reason) is not certain
        answer = outcomes.direct_response(served.value)
        assert answer.value == (DirectResponse(503, "") if gone else None)
        assert answer.certain is certain

    def test_a_wildcard_makes_no_cluster_for_a_name(self):
        outcomes, served = of_virtual_service("host: x.example.com", texts=(WILD,))
        assert outcomes.direct_response(served.value).value == DirectResponse(503, "")

    @pytest.mark.parametrize(
        ("host", "settings", "gone"),
        [
            ("a", CLOSED, False),
            ("'*.shop.svc.cluster.local'", CLOSED, False),
            ("b", CLOSED, True),
            ("b", Settings(), False),
            ("b", REMAINDER, False),
            ("b", Settings(complete=True, may_exist=frozenset({("DestinationRule", "x")})), False),
        ],
    )
    def test_5_2_a_subset_that_nobody_defines(self, host, settings, gone):
        text = SUBSET % host
        outcomes, served = of_virtual_service("host: a, subset: v1", settings=settings, texts=(text,))
        answer = outcomes.direct_response(served.value).value
        assert answer == (DirectResponse(503, "") if gone else None)

    def test_half_of_it(self):
        outcomes, served = of_virtual_service("host: a", "host: gone")
        split = outcomes.shares(served.value).value
        assert [share.percent for share in split.shares] == [50.0]
        assert [(part.status, part.percent, part.reason) for part in split.lost] == [
            (503, 50.0, "gone.shop.svc.cluster.local does not exist")
        ]
        assert outcomes.direct_response(served.value).value == DirectResponse(503, "", 50.0)

    def test_without_a_part(self):
        parts = "{destination: {host: a}, weight: 100}, {destination: {host: gone}, weight: 0}"
        mesh = mesh_of(service(), vs(rule("1", more=f"route: [{parts}]")), settings=CLOSED)
        assert Outcomes(mesh).direct_response(ask(mesh).value).value is None

    def test_nobody_is_let_in(self):
        outcomes, served = of_virtual_service("host: gone")
        answer = outcomes.access(served, Caller("shop", {}, PLAIN))
        assert answer.value is Access.DENIED
        assert answer.reason == "it reaches nobody: gone.shop.svc.cluster.local does not exist"


class TestBackends:
    ROWS = (
        pytest.param(("name: gone",), CLOSED, DirectResponse(500, ""), id="complete"),
        pytest.param(("name: gone",), Settings(), None, id="others of the namespace are there"),
        pytest.param(("name: a", "name: gone"), CLOSED, DirectResponse(500, "", 50.0), id="half of it"),
        pytest.param(("name: a",), CLOSED, None, id="it is there"),
    )

    @pytest.mark.parametrize(("backends", "settings", "expected"), ROWS)
    def test_row(self, backends, settings, expected):
        outcomes, served = of_http_route(*backends, settings=settings)
        assert outcomes.direct_response(served.value).value == expected

    def test_another_kind_is_unknown(self):
        outcomes, served = of_http_route("name: a, kind: InferencePool, group: inference.networking.k8s.io")
        split = outcomes.shares(served.value)
        assert split.unknown
        assert split.reason == "where the kind InferencePool leads to is not read"


class TestMirrors:
    """5.7: (what the rule says, hosts and percentages of the copies)."""

    ROWS = (
        ("mirror: {host: b}", [("b", 100)]),
        ("mirror: {host: b}, mirrorPercentage: {value: 12.5}", [("b", 12.5)]),
        ("mirror: {host: b}, mirrorPercentage: {value: 0}", []),
        ("mirror: {host: b}, mirrorPercentage: {}", []),
        ("mirror: {host: b}, mirrorPercent: 30", [("b", 30)]),
        (
            "mirrors: [{destination: {host: b}, percentage: {value: 5}}, {destination: {host: c}}]",
            [("b", 5), ("c", 100)],
        ),
        ("mirrors: []", []),
        ("timeout: 1s", []),
        ("mirror: {host: gone}", []),
    )  # fmt: skip

    def copies(self, more: str, *texts: str):
        texts = texts or (vs(rule("1", more=f"route: [{{destination: {{host: a}}}}], {more}")),)
        mesh = mesh_of(service(), service("b"), service("c"), *texts, settings=CLOSED)
        return Outcomes(mesh).mirror(ask(mesh).value)

    @pytest.mark.parametrize(("more", "expected"), ROWS)
    def test_row(self, more, expected):
        found = self.copies(more).value
        assert [(share.host.partition(".")[0], share.percent) for share in found] == expected

    def test_a_lost_copy_says_why(self):
        assert self.copies("mirror: {host: gone}").reason == "gone.shop.svc.cluster.local does not exist"

    @pytest.mark.parametrize(
        "more",
        ["mirror: {host: '${HOST}'}", "mirror: {host: b}, mirrorPercentage: {value: '${PERCENT}'}"],
    )
    def test_a_template_is_unknown(self, more):
        assert self.copies(more).unknown

    def test_delegates_inherit_it(self):
        root = vs(
            rule("1", more="delegate: {name: d}, mirror: {host: b}, mirrorPercentage: {value: 10}"),
            namespace="shop",
        )
        found = self.copies("", root, vs(rule("d"), name="d", spec="exportTo: ['*']"))
        assert [(share.host, share.percent) for share in found.value] == [("b.shop.svc.cluster.local", 10.0)]

    GATEWAY_ROWS = (
        ("", 100),
        (", percent: 20", 20),
        (", fraction: {numerator: 1, denominator: 8}", 12.5),
        (", fraction: {numerator: 3}", 3),
        (", percent: 0", None),
    )

    @pytest.mark.parametrize(("written", "percent"), GATEWAY_ROWS)
    def test_gateway_api(self, written, percent):
        text = (
            "{backendRefs: [{name: a, port: 80}], filters: [{type: RequestMirror, requestMirror: "
            f"{{backendRef: {{name: b, port: 80}}{written}}}}}]}}"
        )
        mesh = mesh_of(k8s_gateway(), service(), service("b"), http_route(text), settings=CLOSED)
        found = Outcomes(mesh).mirror(enter(mesh, at="infra/gw").value).value
        assert [(s.host, s.port, s.percent) for s in found] == (
            [("b.shop.svc.cluster.local", 80, percent)] if percent is not None else []
        )


def test_a_rule_that_answers_sends_no_copies():
    mesh = mesh_of(service(), vs(rule("1", more="directResponse: {status: 200}, mirror: {host: a}")))
    assert Outcomes(mesh).mirror(ask(mesh).value).value == ()
