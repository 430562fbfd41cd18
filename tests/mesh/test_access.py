"""Who reaches a port: mutual TLS (spec security 3.6), policies (5.2) and what absence is worth (5.11)."""

from __future__ import annotations

import pytest

from meshlint.mesh.access import Access, in_chain
from meshlint.mesh.authz import PLAIN, Peer, Request
from meshlint.mesh.coverage import Requirement
from meshlint.mesh.facts import Fact
from meshlint.mesh.scope import Settings
from tests.mesh.test_jwt import NAMESPACES, WORKLOAD, ap
from tests.support import mesh_of

CLOSED = Settings(complete=True)
WEB = Peer(True, "cluster.local", "web", "w")
STRICT = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: app}
spec: {mtls: {mode: STRICT}}
"""
FROM_WEB = ap("rules: [{from: [{source: {namespaces: [web]}}]}]", name="web")
GET = ap("rules: [{to: [{operation: {methods: [GET]}}]}]", name="get")
NOT_WEB = ap("action: DENY\n  rules: [{from: [{source: {namespaces: [web]}}]}]", name="not-web")


def access(peer: Peer, *texts: str, settings: Settings = CLOSED):
    mesh = mesh_of(NAMESPACES, WORKLOAD, *texts, settings=settings)
    (workload,) = mesh.workloads.all
    return mesh.access.to(workload, 8080, Request(peer=peer))


ROWS = [
    pytest.param((), WEB, Access.ALLOWED, id="no policy"),
    pytest.param((STRICT,), PLAIN, Access.DENIED, id="plain text before strict"),
    pytest.param((), PLAIN, Access.ALLOWED, id="plain text before permissive"),
    pytest.param((FROM_WEB,), WEB, Access.ALLOWED, id="namespace"),
    pytest.param((FROM_WEB,), Peer(True, "cluster.local", "other", "w"), Access.DENIED, id="another"),
    pytest.param((FROM_WEB,), PLAIN, Access.DENIED, id="no identity"),
    pytest.param((NOT_WEB,), WEB, Access.DENIED, id="denied by a rule"),
    pytest.param((GET,), WEB, Access.SOME, id="some requests"),
    pytest.param((GET, FROM_WEB), WEB, Access.ALLOWED, id="one of two"),
    pytest.param((ap("{}"),), WEB, Access.DENIED, id="nothing allowed"),
]


@pytest.mark.parametrize(("texts", "peer", "expected"), ROWS)
def test_row(texts, peer, expected):
    assert access(peer, *texts).value is expected


@pytest.mark.parametrize(
    ("texts", "state", "certain"),
    [
        pytest.param((), "unknown", False, id="allowed without a policy"),
        pytest.param((FROM_WEB,), "known", False, id="allowed by a rule"),
        pytest.param((ap("{}"),), "known", False, id="denied by what no rule allows"),
        pytest.param((NOT_WEB,), "known", True, id="denied by a rule"),
    ],
)
def test_what_is_final_without_the_whole_mesh(texts, state, certain):
    fact = access(WEB, *texts, settings=Settings())
    assert (fact.state.value, fact.certain) == (state, certain)


@pytest.mark.parametrize(
    ("peer", "texts", "expected"),
    [
        pytest.param(PLAIN, (), None, id="plain text where the mode is open"),
        pytest.param(PLAIN, (NOT_WEB, ap("{}")), Access.DENIED, id="denied in any mode"),
        pytest.param(WEB, (FROM_WEB,), Access.ALLOWED, id="with a certificate"),
    ],
)
def test_where_the_mode_is_not_known(peer, texts, expected):
    fact = access(peer, *texts, settings=Settings())
    assert (fact.value if fact.known else None) is expected
    assert not fact.certain


def test_a_workload_that_may_be_outside_of_the_mesh():
    mesh = mesh_of(WORKLOAD, FROM_WEB)
    (workload,) = mesh.workloads.all
    assert mesh.access.to(workload, 8080, Request(peer=WEB)).unknown


WAYPOINT = """
apiVersion: v1
kind: Namespace
metadata: {name: app, labels: {istio.io/dataplane-mode: ambient, istio.io/use-waypoint: waypoint}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: waypoint, namespace: app}
spec:
  gatewayClassName: istio-waypoint
  listeners: [{name: mesh, port: 15008, protocol: HBONE}]
---
apiVersion: v1
kind: Service
metadata: {name: api, namespace: app}
spec: {selector: {app: api}, ports: [{name: http, port: 80, targetPort: 8080}]}
"""
AT_WAYPOINT = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: p, namespace: app}
spec:
  targetRefs: [{kind: Service, group: "", name: api}]
  rules: [{from: [{source: {namespaces: [web]}}], to: [{operation: {methods: [GET]}}]}]
"""
BY_WAYPOINT = ap("rules: [{from: [{source: {principals: [cluster.local/ns/app/sa/waypoint]}}]}]", name="z")


@pytest.mark.parametrize(
    ("texts", "namespace", "method", "expected"),
    [
        pytest.param((AT_WAYPOINT,), "web", "GET", Access.ALLOWED, id="at the waypoint"),
        pytest.param((AT_WAYPOINT,), "web", "POST", Access.DENIED, id="its HTTP fields count"),
        pytest.param((AT_WAYPOINT,), "other", "GET", Access.DENIED, id="another caller"),
        pytest.param(
            (AT_WAYPOINT, BY_WAYPOINT), "web", "GET", Access.ALLOWED, id="ztunnel sees the waypoint"
        ),
        pytest.param((FROM_WEB,), "web", "GET", Access.DENIED, id="ztunnel does not see the caller"),
    ],
)
def test_through_a_waypoint(texts, namespace, method, expected):
    mesh = mesh_of(WAYPOINT, WORKLOAD, *texts, settings=CLOSED)
    (workload,) = mesh.workloads.all
    (service,) = mesh.registry.services
    request = Request("api", "/", method, peer=Peer(True, "cluster.local", namespace, "w"))
    assert mesh.access.to(workload, 8080, request, service).value is expected


def test_who_is_not_in_the_mesh_does_not_go_through_a_waypoint():
    mesh = mesh_of(WAYPOINT, WORKLOAD, BY_WAYPOINT, settings=CLOSED)
    (workload,) = mesh.workloads.all
    (service,) = mesh.registry.services
    inside, outside = Peer(True, "cluster.local", "web", "w"), Peer(False)
    answers = [
        mesh.access.to(workload, 8080, Request("api", "/", "GET", peer=peer), service)
        for peer in (inside, outside)
    ]
    assert [answer.value for answer in answers] == [Access.ALLOWED, Access.DENIED]


INGRESS = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: public, namespace: edge}
spec:
  gatewayClassName: istio
  listeners: [{name: http, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: api, namespace: app}
spec:
  parentRefs: [{name: public, namespace: edge}]
  hostnames: [api.example.com]
  rules: [{backendRefs: [{name: api, port: 80}]}]
"""
BY_GATEWAY = BY_WAYPOINT.replace("ns/app/sa/waypoint", "ns/edge/sa/public-istio")


@pytest.mark.parametrize(
    ("policies", "through_waypoint", "found"),
    [
        ((), False, Requirement.NOT_REQUIRED),
        ((BY_WAYPOINT,), False, Requirement.BLOCKED),
        ((BY_GATEWAY,), False, Requirement.NOT_REQUIRED),
        ((BY_WAYPOINT,), True, Requirement.NOT_REQUIRED),
    ],
)
def test_a_gateway_that_ztunnel_does_not_let_in(policies, through_waypoint, found):
    way = WAYPOINT.replace("name: api,", 'name: api, labels: {istio.io/ingress-use-waypoint: "true"},')
    mesh = mesh_of(way if through_waypoint else WAYPOINT, WORKLOAD, INGRESS, *policies, settings=CLOSED)
    (exposure,) = [one for one in mesh.exposures.all if one.workload is not None]
    assert [covered.requirement.value for covered in mesh.jwt.coverage(exposure)] == [found]


@pytest.mark.parametrize(
    ("texts", "where"),
    [
        pytest.param((), "app and istio-system", id="none at all"),
        pytest.param((AT_WAYPOINT,), "istio-system", id="only those of the namespace"),
    ],
)
def test_the_namespaces_without_policies_are_named(texts, where):
    mesh = mesh_of(WAYPOINT, WORKLOAD, *texts)
    (workload,) = mesh.workloads.all
    found = mesh.access.to(workload, 8080, Request(peer=WEB))
    assert found.reason == f"no AuthorizationPolicy of {where} is in the input, and there may be some"


def test_of_proxies_that_agree_the_one_with_a_line_speaks():
    mesh = mesh_of(WAYPOINT, WORKLOAD, BY_WAYPOINT, settings=CLOSED)
    (workload,) = mesh.workloads.all
    (service,) = mesh.registry.services
    found = mesh.access.to(workload, 8080, Request(peer=WEB), service)
    assert found.is_(Access.ALLOWED)
    assert [place.resource.name for place in found.because] == ["z"]


@pytest.mark.parametrize("certain", [(True, True), (True, False), (False, True)])
def test_a_chain_is_as_certain_as_all_of_its_proxies(certain):
    answers = [Fact.of(Access.ALLOWED, certain=one) for one in certain]
    assert in_chain(answers).certain is all(certain)
