"""The table of spec security 2.6: which pods are in ambient, and which waypoint serves them?"""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from meshlint.mesh.ambient import Waypoint
from meshlint.mesh.attachment import Proxy, ProxyKind
from meshlint.mesh.dataplane import DataPlane
from meshlint.mesh.facts import Fact
from meshlint.mesh.mesh import Mesh
from meshlint.policy.rules import load_rules
from meshlint.policy.run import run
from tests.support import mesh_of

MODE = "istio.io/dataplane-mode"
USE = "istio.io/use-waypoint"
USE_NAMESPACE = "istio.io/use-waypoint-namespace"
INJECT = "sidecar.istio.io/inject"
AMBIENT = {MODE: "ambient"}
RULES = load_rules()


def namespace(labels: dict[str, Any], name: str = "shop") -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def pod(labels: dict[str, Any] | None = None, name: str = "shop", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "cart", "namespace": name, "labels": labels or {}},
        "spec": {"containers": [{"name": "cart", "image": "example/cart"}], **spec},
    }


def service(labels: dict[str, Any] | None = None, name: str = "shop") -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "cart", "namespace": name, "labels": labels or {}},
        "spec": {"selector": {"app": "cart"}, "ports": [{"port": 80}]},
    }


def gateway(
    labels: dict[str, Any] | None = None, name: str = "shop", allowed: dict[str, Any] | None = None
) -> dict[str, Any]:
    listener: dict[str, Any] = {"name": "mesh", "port": 15008, "protocol": "HBONE"}
    if allowed is not None:
        listener["allowedRoutes"] = {"namespaces": allowed}
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": {"name": "wp", "namespace": name, "labels": labels or {}},
        "spec": {"gatewayClassName": "istio-waypoint", "listeners": [listener]},
    }


def mesh_with(*objects: dict[str, Any]) -> Mesh:
    return mesh_of(*(yaml.safe_dump(o) for o in objects))


def rules_found(mesh: Mesh) -> set[str]:
    findings, errors = run([r for r in RULES.values() if r.info.family == "injection"], mesh)
    assert errors == []
    return {f.rule.removeprefix("injection-") for f in findings}


def test_a_running_pod_that_was_captured() -> None:
    captured = pod()
    captured["metadata"]["annotations"] = {"ambient.istio.io/redirection": "enabled"}
    mesh = mesh_with(namespace({}), captured)
    assert mesh.ambient.enrolled(mesh.workloads.all[0]).is_(True)
    template = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "namespace": "shop"}}
    template["spec"] = {"template": {"metadata": captured["metadata"], "spec": captured["spec"]}}
    mesh = mesh_with(namespace({}), template)
    assert mesh.ambient.enrolled(mesh.workloads.all[0]).is_(False)


@pytest.mark.parametrize(
    ("objects", "expected", "rule"),
    [
        pytest.param([namespace(AMBIENT), pod()], DataPlane.AMBIENT, "", id="B1"),
        pytest.param([namespace(AMBIENT), pod({MODE: "none"})], DataPlane.NONE, "opt-out", id="B2"),
        pytest.param([namespace({}), pod(AMBIENT)], DataPlane.AMBIENT, "", id="B3"),
        pytest.param(
            [namespace({**AMBIENT, "istio-injection": "enabled"}), pod()],
            DataPlane.SIDECAR,
            "ambient-and-sidecar",
            id="B4",
        ),
        pytest.param(
            [namespace(AMBIENT), pod({INJECT: "true"})], DataPlane.SIDECAR, "ambient-and-sidecar", id="B5"
        ),
        pytest.param([namespace({MODE: "Ambient"}), pod()], DataPlane.NONE, "invalid-value", id="B6"),
        pytest.param([namespace(AMBIENT), pod({MODE: "None"})], DataPlane.AMBIENT, "invalid-value", id="B7"),
        pytest.param([namespace(AMBIENT), pod(hostNetwork=True)], DataPlane.NONE, "host-network", id="B8"),
        pytest.param(
            [namespace(AMBIENT, "kube-system"), pod(name="kube-system")],
            DataPlane.NONE,
            "system-namespace",
            id="B9",
        ),
        pytest.param([pod({MODE: "none", INJECT: "false"})], DataPlane.NONE, "", id="B21"),
        pytest.param([pod()], None, "", id="B22"),
    ],
)
def test_enrolment(objects: list[dict[str, Any]], expected: DataPlane | None, rule: str) -> None:
    mesh = mesh_with(*objects)
    plane = mesh.data_planes.of(mesh.workloads.all[0])
    assert plane.or_else(None) == expected if expected is not None else not plane.known  # type: ignore[arg-type]
    found = rules_found(mesh)
    assert rule in found if rule else not found


def bound(fact: Fact[Waypoint | None]) -> str | None:
    """The name of the waypoint, the reason why it is broken, None, or UNKNOWN."""
    if not fact.known:
        return "UNKNOWN"
    return None if fact.value is None else fact.value.broken or fact.value.name


HOME = namespace({**AMBIENT, USE: "wp"})
ELSEWHERE = namespace({**AMBIENT, USE: "wp", USE_NAMESPACE: "infra"})


@pytest.mark.parametrize(
    ("objects", "to_service", "to_pod"),
    [
        pytest.param([HOME, gateway(), service(), pod()], "wp", None, id="B10"),
        pytest.param(
            [HOME, gateway(), service(), pod({USE: "wp"})], "wp", "unsupported traffic type", id="B11"
        ),
        pytest.param(
            [HOME, gateway({"istio.io/waypoint-for": "all"}), service(), pod()], "wp", "wp", id="B12"
        ),
        pytest.param([HOME, gateway(), service({USE: "none"}), pod()], None, None, id="B13"),
        pytest.param([HOME, gateway(), service({USE: "missing"}), pod()], "not ready", None, id="B14"),
        pytest.param(
            [ELSEWHERE, gateway(name="infra"), service(), pod()],
            "attachment denied",
            "attachment denied",
            id="B15",
        ),
        pytest.param(
            [ELSEWHERE, gateway(name="infra", allowed={"from": "All"}), service(), pod()],
            "wp",
            None,
            id="B16",
        ),
        pytest.param([HOME, service(), pod()], "UNKNOWN", "UNKNOWN", id="no gateway in the input"),
        pytest.param([service(), pod()], "UNKNOWN", "UNKNOWN", id="namespace not in the input"),
        pytest.param([namespace(AMBIENT), service(), pod()], None, None, id="no label"),
        pytest.param(
            [
                ELSEWHERE,
                gateway(
                    name="infra",
                    allowed={"from": "Selector", "selector": {"matchLabels": {MODE: "ambient"}}},
                ),
                service(),
                pod(),
            ],
            "wp",
            None,
            id="selector",
        ),
    ],
)
def test_waypoint(objects: list[dict[str, Any]], to_service: str | None, to_pod: str | None) -> None:
    mesh = mesh_with(*objects)
    assert bound(mesh.ambient.waypoint_of_service(mesh.scope.of("", "Service")[0])) == to_service
    assert bound(mesh.ambient.waypoint_of_workload(mesh.workloads.all[0])) == to_pod


def policy(kind: str, spec: dict[str, Any], name: str = "shop") -> dict[str, Any]:
    return {
        "apiVersion": "security.istio.io/v1",
        "kind": kind,
        "metadata": {"name": "p", "namespace": name},
        "spec": spec,
    }


WAYPOINT = Proxy(
    ProxyKind.WAYPOINT,
    "shop",
    {"gateway.networking.k8s.io/gateway-name": "wp"},
    gateway="wp",
    fronted=frozenset({("Service", "shop", "cart")}),
)
TO_SERVICE = {"targetRefs": [{"kind": "Service", "group": "", "name": "cart"}]}
TO_CLASS = {
    "targetRefs": [{"kind": "GatewayClass", "group": "gateway.networking.k8s.io", "name": "istio-waypoint"}]
}
BY_SELECTOR = {"selector": {"matchLabels": {"app": "cart"}}}


@pytest.mark.parametrize(
    ("written", "enforced"),
    [
        pytest.param(policy("RequestAuthentication", BY_SELECTOR), False, id="B17"),
        pytest.param(policy("RequestAuthentication", TO_SERVICE), True, id="B18"),
        pytest.param(policy("AuthorizationPolicy", TO_CLASS), False, id="B19"),
        pytest.param(policy("AuthorizationPolicy", TO_SERVICE, "other"), False, id="B20"),
    ],
)
def test_policies_at_the_waypoint(written: dict[str, Any], enforced: bool) -> None:
    mesh = mesh_with(HOME, gateway(), service(), pod({"app": "cart"}), written)
    assert mesh.data_planes.of(mesh.workloads.all[0]).is_(DataPlane.AMBIENT)
    attached = [*mesh.authn.of(WAYPOINT), *mesh.authz.of(WAYPOINT)]
    assert bool(attached) is enforced
    cart = mesh.scope.of("", "Service")[0]
    assert bound(mesh.ambient.waypoint_of_service(cart)) == "wp"
    assert mesh.ambient.ingress_uses_waypoint(cart).is_(False)


def test_ingress_uses_the_waypoint_only_by_label() -> None:
    label = {"istio.io/ingress-use-waypoint": "true"}
    for labels, expected in (({}, False), (label, True)):
        mesh = mesh_with(HOME, gateway(), service(labels), pod())
        assert mesh.ambient.ingress_uses_waypoint(mesh.scope.of("", "Service")[0]).is_(expected)


def test_sidecar_or_ambient_is_in_the_mesh_either_way() -> None:
    mesh = mesh_with(namespace({**AMBIENT, "istio.io/rev": "stable"}), pod())
    workload = mesh.workloads.all[0]
    assert mesh.data_planes.of(workload).unknown
    assert mesh.data_planes.in_mesh(workload) is True


def test_ambient_only_by_label_is_an_assumption() -> None:
    mesh = mesh_with(namespace(AMBIENT), pod())
    fact = mesh.ambient.enrolled(mesh.workloads.all[0])
    assert fact.is_(True)
    assert "A6" in fact.assumptions


def test_pods_of_a_waypoint() -> None:
    labels = {
        "gateway.networking.k8s.io/gateway-name": "wp",
        "gateway.istio.io/managed": "istio.io-mesh-controller",
        MODE: "none",
        INJECT: "false",
    }
    mesh = mesh_with(namespace(AMBIENT), pod(labels))
    assert mesh.data_planes.of(mesh.workloads.all[0]).is_(DataPlane.WAYPOINT)
    assert not rules_found(mesh)
