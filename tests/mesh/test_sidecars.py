"""Which Sidecar is a pod's, and what it imports: the table of spec traffic 1.11."""

from __future__ import annotations

import pytest

from meshlint.mesh.mesh import Mesh
from tests.support import mesh_of


def sidecar(
    hosts: str, namespace: str = "shop", name: str = "default", selector: str = "", created: str = ""
) -> str:
    chosen = f"workloadSelector: {{labels: {selector}}}, " if selector else ""
    born = f", creationTimestamp: '{created}'" if created else ""
    return f"""
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: {name}, namespace: {namespace}{born}}}
spec: {{{chosen}egress: [{{hosts: [{hosts}]}}]}}
"""


def service(name: str, namespace: str) -> str:
    return f"""
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{ports: [{{name: http, port: 80}}]}}
"""


ROUTE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: shop}
spec: {hosts: [%s], http: [{route: [{destination: {host: x.ns9.svc.cluster.local}}]}]}
"""


def reaches(*texts: str) -> bool:
    """Does the first Sidecar bring the first Service to its pods?"""
    mesh = mesh_of(*texts)
    return mesh.sidecars.reaches(mesh.sidecars.all[0], mesh.registry.services[0])


@pytest.mark.parametrize(
    ("hosts", "called", "imported"),
    [
        ('"./*"', ("other", "ns2"), False),
        ('"./*", "istio-system/*"', ("same", "shop"), True),
        ('"*/*"', ("other", "ns2"), True),
        ('"*/*", "~prod/*"', ("svc", "prod"), False),
        ('"*/*", "~prod/*"', ("svc", "ns2"), True),
        ('"~/*"', ("same", "shop"), False),
        ('"~prod/*"', ("same", "shop"), False),
        ('"ns2/*.ns2.svc.cluster.local"', ("a", "ns2"), True),
        ('"ns2/reviews"', ("reviews", "ns2"), False),
    ],
)
def test_1_11_imports(hosts: str, called: tuple[str, str], imported: bool) -> None:
    assert reaches(sidecar(hosts), service(*called)) is imported


def test_1_11_through_a_virtual_service() -> None:
    texts = (sidecar('"./*"'), service("x", "ns9"), service("a", "shop"))
    assert not reaches(*texts)
    assert reaches(*texts, ROUTE % "a")
    assert not reaches(*texts, (ROUTE % "a").replace("namespace: shop", "namespace: ns2"))


def test_no_egress_imports_everything() -> None:
    text = sidecar('"*/*"').replace(
        'egress: [{hosts: ["*/*"]}]', "outboundTrafficPolicy: {mode: REGISTRY_ONLY}"
    )
    assert reaches(text, service("a", "ns2"))


def test_a_dot_is_the_namespace_of_the_client() -> None:
    mesh = mesh_of(sidecar('"./*"', "istio-system"), service("a", "shop"))
    (one,), (called,) = mesh.sidecars.all, mesh.registry.services
    assert not mesh.sidecars.imports(one, called)
    assert mesh.sidecars.imports(one, called, "shop")


POD = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: cart, namespace: shop}
spec:
  template:
    metadata: {labels: {app: cart}%s}
    spec: {containers: [{name: main, image: main}]}
"""


def chosen(*texts: str, pod: str = POD % "") -> str:
    mesh: Mesh = mesh_of(*texts, pod)
    fact = mesh.sidecars.of(mesh.workloads.all[0])
    if not fact.known:
        return fact.state.value
    return fact.value.resource.title.removeprefix("Sidecar ") if fact.value else "none"


OWN = sidecar('"./*"', selector="{app: cart}", name="own")
OTHER = sidecar('"./*"', selector="{app: pay}", name="other")
DEFAULT = sidecar('"./*"')
ROOT = sidecar('"./*"', "istio-system")


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        pytest.param([OWN, DEFAULT, ROOT], "shop/own", id="selector"),
        pytest.param([OTHER, DEFAULT, ROOT], "shop/default", id="namespace"),
        pytest.param([OTHER, ROOT], "istio-system/default", id="root"),
        pytest.param([OTHER], "none", id="none"),
        pytest.param([DEFAULT, sidecar('"*/*"', name="second")], "conflict", id="two"),
        pytest.param(
            [sidecar('"./*"', created="2024-02-01T00:00:00Z"),
             sidecar('"*/*"', name="old", created="2024-01-01T00:00:00Z")],
            "shop/old", id="oldest",
        ),
    ],
)  # fmt: skip
def test_1_11_which_one(texts: list[str], expected: str) -> None:
    assert chosen(*texts) == expected


def test_1_11_gateways_never_use_one() -> None:
    gateway = (POD % "").replace("app: cart", "app: cart, gateway.networking.k8s.io/gateway-name: gw")
    assert chosen(DEFAULT, pod=gateway) == "none"
