"""Whether a host exists: the procedure of spec traffic 1.5 and the evidence of repositories 3, 5 and 9."""

from __future__ import annotations

import pytest

from meshlint.mesh.existence import Presence
from meshlint.mesh.scope import Settings
from tests.support import mesh_of

COMPLETE = Settings(complete=True)
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: prod}
spec: {ports: [{port: 80}]}
"""
ENTRY = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: example, namespace: shop}
spec: {hosts: ["*.example.com", api.example.org], ports: [{number: 80, protocol: HTTP}]}
"""
FOUND, MISSING, UNKNOWN = Presence.FOUND, Presence.MISSING, Presence.UNKNOWN
STATES = {
    "a Service": ("reviews.prod.svc.cluster.local", FOUND, None),
    "a host of a ServiceEntry": ("api.example.org", FOUND, None),
    "a wildcard of a ServiceEntry": ("*.example.com", FOUND, None),
    "a name in a wildcard": ("a.example.com", Presence.WILDCARD, "medium"),
    "another Service of a known namespace": ("review.prod.svc.cluster.local", MISSING, "low"),
    "a Service of an unknown namespace": ("reviews", UNKNOWN, None),
    "service and namespace": ("reviews.prod", Presence.UNQUALIFIED, None),
    "service, namespace and svc": ("reviews.prod.svc", Presence.UNQUALIFIED, None),
    "without the last label": ("reviews.prod.svc.cluster", Presence.UNQUALIFIED, None),
    "a trailing dot": ("reviews.prod.svc.cluster.local.", Presence.UNQUALIFIED, None),
    "capitals": ("Reviews.prod.svc.cluster.local", Presence.UNQUALIFIED, None),
    "no such Service, in a known namespace": ("ratings.prod.svc", Presence.UNQUALIFIED, "medium"),
    "no such Service, and it may be a domain": ("ratings.prod", MISSING, "low"),
    "an external host": ("www.example.net", MISSING, "low"),
    "everything in the cluster": ("*.local", FOUND, None),
    "everything in a namespace": ("*.prod.svc.cluster.local", FOUND, None),
    "everything": ("*", FOUND, None),
    "an address": ("10.0.0.1", UNKNOWN, None),
    "a template": ("${HOST}", UNKNOWN, None),
    "what every cluster has": ("kubernetes.default.svc.cluster.local", UNKNOWN, None),
    "the root namespace": ("istio-egressgateway.istio-system.svc.cluster.local", UNKNOWN, None),
}


@pytest.mark.parametrize(("host", "presence", "confidence"), STATES.values(), ids=STATES)
def test_states(host: str, presence: Presence, confidence: str | None) -> None:
    state = mesh_of(SERVICE, ENTRY).existence.of(host, "shop")
    assert (state.presence, state.confidence) == (presence, confidence)


@pytest.mark.parametrize(
    ("host", "presence"),
    [
        ("reviews", MISSING),
        ("www.example.net", MISSING),
        ("*.other.svc.cluster.local", MISSING),
        ("a.example.com", Presence.WILDCARD),
        ("istio-egressgateway.istio-system.svc.cluster.local", UNKNOWN),
        ("istiod.istio-system.svc.cluster.local", UNKNOWN),
        ("ratings.istio-system.svc.cluster.local", MISSING),
        ("ratings.kube-system.svc.cluster.local", UNKNOWN),
    ],
)
def test_complete_input(host: str, presence: Presence) -> None:
    state = mesh_of(SERVICE, ENTRY, settings=COMPLETE).existence.of(host, "shop")
    assert (state.presence, state.confidence) == (presence, None)


def test_templates_and_overlays_may_define_it() -> None:
    host = "ratings.prod.svc.cluster.local"
    named = Settings(may_exist=frozenset({("Service", "ratings")}))
    assert mesh_of(SERVICE, settings=named).existence.of(host, "shop").presence is UNKNOWN
    assert mesh_of(SERVICE, settings=Settings(remainder=True)).existence.of(host, "shop").presence is UNKNOWN


@pytest.mark.parametrize(
    "maker",
    [
        "{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: db, namespace: prod}}",
        "{apiVersion: kafka.strimzi.io/v1beta2, kind: Kafka, metadata: {name: db, namespace: prod}}",
        "{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: db, namespace: prod}}",
        "{apiVersion: helm.toolkit.fluxcd.io/v2, kind: HelmRelease, metadata: {name: x, namespace: prod}}",
        "{apiVersion: argoproj.io/v1alpha1, kind: Application, metadata: {name: x, namespace: argocd}, "
        "spec: {destination: {namespace: prod}}}",
    ],
)
def test_what_an_operator_makes(maker: str) -> None:
    state = mesh_of(SERVICE, maker, settings=COMPLETE).existence.of("db-rw.prod.svc.cluster.local", "shop")
    assert state.presence is UNKNOWN


def test_what_no_operator_makes() -> None:
    route = (
        "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: db, namespace: prod}}"
    )
    state = mesh_of(SERVICE, route, settings=COMPLETE).existence.of("db.prod.svc.cluster.local", "shop")
    assert state.presence is MISSING
