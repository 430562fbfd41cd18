"""Which policies attach to which proxy (spec security 4.1, 6.3, rows B19 and B20)."""

from __future__ import annotations

import pytest

from meshlint.mesh.attachment import Attachments, Proxy, ProxyKind, attachment_problem, proxy_of
from meshlint.mesh.labels import GATEWAY_NAME
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.scope import ISTIO_SECURITY
from tests.support import mesh_of


def policy(namespace: str, target: str, name: str = "p") -> str:
    return f"""
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  {target}
"""


def pod(labels: str, namespace: str = "app", name: str = "w") -> str:
    return f"""
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: {namespace}, labels: {{{labels}}}}}
spec: {{containers: [{{name: c, image: x}}]}}
"""


def index(mesh: Mesh) -> Attachments:
    return Attachments(mesh, mesh.scope.of(ISTIO_SECURITY, "RequestAuthentication"))


SELECT = "selector: {matchLabels: {app: api}}"
NONE = "jwtRules: []"
GATEWAY_REF = "targetRef: {group: gateway.networking.k8s.io, kind: Gateway, name: gw}"
SERVICE_REF = "targetRefs: [{group: '', kind: Service, name: api}]"
GATEWAY_LABEL = f"app: api, {GATEWAY_NAME}: gw"

CASES = [
    pytest.param("app: api", policy("app", NONE), True, id="no selector"),
    pytest.param("app: api", policy("app", "selector: {}"), True, id="empty selector"),
    pytest.param("app: api", policy("app", "selector: {matchLabels: {}}"), True, id="empty labels"),
    pytest.param("app: api", policy("app", SELECT), True, id="selected"),
    pytest.param(
        "app: api", policy("app", "selector: {matchLabels: {app: api, v: x}}"), False, id="one label missing"
    ),
    pytest.param("app: web", policy("app", SELECT), False, id="other label"),
    pytest.param("app: api", policy("other", SELECT), False, id="other namespace"),
    pytest.param("app: api", policy("istio-system", SELECT), True, id="root with selector"),
    pytest.param("app: api", policy("istio-system", NONE), True, id="root without selector"),
    pytest.param("app: api", policy("app", SERVICE_REF), False, id="target of a sidecar"),
    pytest.param("app: api", policy("app", GATEWAY_REF), False, id="gateway target of a sidecar"),
    pytest.param(GATEWAY_LABEL, policy("app", GATEWAY_REF), True, id="gateway target"),
    pytest.param(GATEWAY_LABEL, policy("other", GATEWAY_REF), False, id="gateway target elsewhere"),
    pytest.param(GATEWAY_LABEL, policy("app", SELECT), True, id="selected gateway"),
    pytest.param(
        f"{GATEWAY_NAME}: gw, gateway.istio.io/managed: istio.io-mesh-controller",
        policy("app", NONE),
        False,
        id="waypoint without target",
    ),
    pytest.param(
        "app: api", policy("app", "selector: {matchLabels: {pod-template-hash: x}}"), None, id="run time"
    ),
    pytest.param("app: api", policy("app", "selector: {matchLabels: {app: '${APP}'}}"), None, id="template"),
]


@pytest.mark.parametrize(("labels", "text", "expected"), CASES)
def test_attachment_to_pods(labels: str, text: str, expected: bool | None) -> None:
    mesh = mesh_of(text, pod(labels))
    attachments = index(mesh)
    (workload,) = mesh.workloads.all
    found = attachments.of_workload(workload)
    assert (bool(found.policies), bool(found.maybe)) == (expected is True, expected is None)
    assert bool(attachments.workloads_of(attachments.policies[0])) is (expected is True)


def test_one_answer_per_policy_whatever_else_there_is() -> None:
    policies = [policy("app", f"selector: {{matchLabels: {{app: a{n}}}}}", f"p{n}") for n in range(30)]
    mesh = mesh_of(*policies, *(pod(f"app: a{n}, x: y", name=f"w{n}") for n in range(30)))
    attachments = index(mesh)
    for number, workload in enumerate(mesh.workloads.all):
        assert [p.name for p in attachments.of_workload(workload).policies] == [f"p{number}"]


INGRESS = {"istio": "ingressgateway"}

UNSEEN = [
    pytest.param("istio-system", "selector: {matchLabels: {istio: ingressgateway}}", True, id="subset"),
    pytest.param("istio-system", "selector: {matchLabels: {app: istio-ingressgateway}}", None, id="unknown"),
    pytest.param("istio-system", "selector: {matchLabels: {istio: egressgateway}}", False, id="another"),
    pytest.param("app", "selector: {matchLabels: {istio: ingressgateway}}", False, id="other namespace"),
    pytest.param("istio-system", NONE, True, id="no selector"),
]


@pytest.mark.parametrize(("namespace", "target", "expected"), UNSEEN)
def test_pods_that_are_not_in_the_input(namespace: str, target: str, expected: bool | None) -> None:
    proxy = Proxy(ProxyKind.GATEWAY, "istio-system", INGRESS, complete=False)
    found = index(mesh_of(policy(namespace, target))).of(proxy)
    assert (bool(found.policies), bool(found.maybe)) == (expected is True, expected is None)


def test_a_proxy_in_an_unknown_namespace_may_have_any_policy_that_fits() -> None:
    proxy = Proxy(ProxyKind.GATEWAY, "", INGRESS, complete=False)
    fits = "selector: {matchLabels: {istio: ingressgateway}}"
    found = index(mesh_of(policy("edge", fits), policy("istio-system", fits, "root"))).of(proxy)
    assert [p.name for p in found.policies] == ["root"]
    assert [p.name for p in found.maybe] == ["p"]


WAYPOINT = Proxy(
    ProxyKind.WAYPOINT,
    "app",
    gateway="wp",
    fronted=frozenset({("Service", "app", "api"), ("ServiceEntry", "app", "ext")}),
)
CLASS_REF = "targetRefs: [{group: gateway.networking.k8s.io, kind: GatewayClass, name: istio-waypoint}]"
WAYPOINT_CASES = [
    pytest.param("app", SERVICE_REF, True, id="Service"),
    pytest.param("other", SERVICE_REF, False, id="B20"),
    pytest.param(
        "app",
        "targetRef: {group: networking.istio.io, kind: ServiceEntry, name: ext}",
        True,
        id="ServiceEntry",
    ),
    pytest.param("istio-system", CLASS_REF, True, id="class in root"),
    pytest.param("app", CLASS_REF, False, id="B19"),
    pytest.param(
        "app", "targetRef: {group: gateway.networking.k8s.io, kind: Gateway, name: wp}", True, id="Gateway"
    ),
    pytest.param("app", NONE, False, id="no target"),
    pytest.param("istio-system", NONE, False, id="no target in root"),
]


@pytest.mark.parametrize(("namespace", "target", "expected"), WAYPOINT_CASES)
def test_waypoints(namespace: str, target: str, expected: bool) -> None:
    assert bool(index(mesh_of(policy(namespace, target))).of(WAYPOINT).policies) is expected


PROBLEMS = [
    pytest.param(SELECT + "\n  " + SERVICE_REF, "exclude each other", id="both"),
    pytest.param("targetRefs: [{kind: Service}]", "needs kind and name", id="no name"),
    pytest.param("targetRefs: [{kind: Service, name: a, namespace: b}]", "namespace", id="namespace"),
    pytest.param("targetRefs: [{group: apps, kind: Deployment, name: a}]", "cannot be the target", id="kind"),
    pytest.param(SERVICE_REF, "", id="valid"),
    pytest.param(SELECT, "", id="selector"),
]


@pytest.mark.parametrize(("target", "problem"), PROBLEMS)
def test_problems(target: str, problem: str) -> None:
    (resource,) = mesh_of(policy("app", target)).scope.resources
    found = attachment_problem(resource)
    assert problem in found
    assert bool(found) is bool(problem)


def test_the_proxy_of_a_pod() -> None:
    mesh = mesh_of(pod(GATEWAY_LABEL))
    proxy = proxy_of(mesh.workloads.all[0])
    assert (proxy.kind, proxy.gateway, proxy.complete) == (ProxyKind.GATEWAY, "gw", True)
