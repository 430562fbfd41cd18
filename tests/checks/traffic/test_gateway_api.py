"""Routes of the Gateway API: the tables of spec traffic 1.14 and security 6.6."""

from __future__ import annotations

import pytest

from meshlint.mesh.mtls import Mode
from meshlint.mesh.scope import Settings
from tests.checks.traffic.support import COMPLETE, findings, paths, service, verdicts
from tests.support import mesh_of

PARENT, BACKEND, GRANT, WEIGHT = (
    "httproute-parent",
    "httproute-backend",
    "httproute-grant",
    "httproute-weight",
)
SERVICE_PARENT = '{group: "", kind: Service, name: a}'


def gateway(listener: str = "", namespace: str = "infra", class_name: str = "istio") -> str:
    more = f", {listener}" if listener else ""
    return f"""
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: gw, namespace: {namespace}}}
spec:
  gatewayClassName: {class_name}
  listeners: [{{name: http, port: 80, protocol: HTTP{more}}}]
"""


def route(
    parent: str = "{name: gw, namespace: infra}",
    backends: str = "[{name: a, port: 80}]",
    hostnames: str = "",
    namespace: str = "shop",
    kind: str = "HTTPRoute",
) -> str:
    hosts = f"hostnames: {hostnames}, " if hostnames else ""
    return f"""
apiVersion: gateway.networking.k8s.io/v1
kind: {kind}
metadata: {{name: r, namespace: {namespace}}}
spec: {{parentRefs: [{parent}], {hosts}rules: [{{backendRefs: {backends}}}]}}
"""


def grant(namespace: str, source: str = "shop", kind: str = "HTTPRoute", name: str = "") -> str:
    target = f'{{group: "", kind: Service{f", name: {name}" if name else ""}}}'
    return f"""
apiVersion: gateway.networking.k8s.io/v1
kind: ReferenceGrant
metadata: {{name: g, namespace: {namespace}}}
spec:
  from: [{{group: gateway.networking.k8s.io, kind: {kind}, namespace: {source}}}]
  to: [{target}]
"""


def allowed(source: str) -> str:
    return f"allowedRoutes: {{namespaces: {source}}}"


ALL = allowed("{from: All}")
CONSUMED = '{group: "", kind: Service, name: a, namespace: shop}'
NOBODY = "[{name: a, port: 80, weight: 0}, {name: a, port: 80, weight: 0}]"
IN_DB = "[{name: db, namespace: db, port: 80}]"
DB = service("db", "db")


def verdict_of(*texts: str, settings: Settings | None = COMPLETE) -> list[tuple[str, str]]:
    """Rule and path of what is said about parents and backends."""
    return [
        (rule, path)
        for rule in (PARENT, BACKEND, GRANT, WEIGHT)
        for path in paths(rule, *texts, settings=settings)
    ]


NAMESPACE = "/spec/parentRefs/0/namespace"
TO = "/spec/rules/0/backendRefs/0"
ROWS = {
    "from Same": ([gateway(), route(), service()], [(PARENT, NAMESPACE)]),
    "from All": ([gateway(ALL), route(), service()], []),
    "sectionName": (
        [gateway(ALL), route("{name: gw, namespace: infra, sectionName: https}"), service()],
        [(PARENT, "/spec/parentRefs/0/sectionName")],
    ),
    "hostnames": (
        [gateway(f"hostname: '*.example.org', {ALL}"), route(hostnames="[a.example.com]"), service()],
        [(PARENT, "/spec/hostnames/0")],
    ),
    "no grant": ([gateway(ALL), route(backends=IN_DB), DB], [(GRANT, f"{TO}/namespace")]),
    "no grant, in the mesh": ([route(SERVICE_PARENT, IN_DB), service(), DB], []),
    "port of the pods": (
        [gateway(ALL), route(backends="[{name: a, port: 8080}]"), service()], [(BACKEND, f"{TO}/port")],
    ),
    "weights": (
        [gateway(ALL), route(backends=NOBODY), service()],
        [(WEIGHT, f"{TO}/weight")],
    ),
    "consumer": (
        [route(CONSUMED, "[{name: w, port: 80}]", namespace="web"), service(), service("w", "web")],
        [],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("texts", "expected"), ROWS.values(), ids=ROWS)
def test_1_14(texts: list[str], expected: list[tuple[str, str]]) -> None:
    assert verdict_of(*texts) == expected


def test_1_14_port_missing() -> None:
    assert paths("gateway-api-backend-port", gateway(ALL), route(backends="[{name: a}]"), service()) != []


def test_1_14_parent_service_missing_and_open() -> None:
    assert verdict_of(route(SERVICE_PARENT), settings=None) == []


# --- 6.6


def test_g1_same() -> None:
    (found,) = findings(PARENT, gateway(), route())
    assert (found.location.path, found.equivalents, found.confidence) == (NAMESPACE, ("KIA1401",), "high")


def test_g2_all() -> None:
    assert paths(PARENT, gateway(ALL), route()) == []


LABELLED = """
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {x: %s}}
"""
SELECTOR = allowed("{from: Selector, selector: {matchLabels: {x: y}}}")
EXPRESSION = allowed("{from: Selector, selector: {matchExpressions: [{key: x, operator: In, values: [y]}]}}")


def test_g3_the_namespace_is_not_there() -> None:
    assert paths(PARENT, gateway(SELECTOR), route()) == []


@pytest.mark.parametrize("listener", [SELECTOR, EXPRESSION], ids=["labels", "expressions"])
@pytest.mark.parametrize(("label", "found"), [("y", []), ("z", [NAMESPACE])])
def test_g3_the_namespace_is_there(listener: str, label: str, found: list[str]) -> None:
    assert paths(PARENT, gateway(listener), route(), LABELLED % label) == found


def test_g4_no_grant() -> None:
    assert verdicts(GRANT, route(backends=IN_DB), DB, settings=COMPLETE) == [("error", "high")]
    assert verdicts(GRANT, route(backends=IN_DB), DB) == []


def test_g5_grant_in_the_wrong_namespace() -> None:
    texts = (route(backends=IN_DB), DB, grant("shop"))
    assert verdicts(GRANT, *texts, settings=COMPLETE) == [("error", "high")]
    assert verdicts(GRANT, *texts) == [("error", "medium")]


@pytest.mark.parametrize(
    ("given", "granted"),
    [
        (grant("db"), True),
        (grant("db", name="db"), True),
        (grant("db", name="other"), False),
        (grant("db", source="web"), False),
        (grant("db", kind="GRPCRoute"), False),
        (grant("db", source="'${NS}'"), True),
    ],
    ids=["all", "by name", "another name", "another source", "another kind", "template"],
)
def test_g6_grants(given: str, granted: bool) -> None:
    assert bool(paths(GRANT, route(backends=IN_DB), DB, given, settings=COMPLETE)) is not granted


def pods(labels: str, namespace: str = "infra") -> str:
    return f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: w, namespace: {namespace}}}
spec:
  template:
    metadata: {{labels: {{{labels}}}}}
    spec: {{containers: [{{name: main, image: main}}]}}
"""


GATEWAY_PODS = pods("gateway.networking.k8s.io/gateway-name: gw")


@pytest.mark.parametrize(
    ("group", "applied"), [("gateway.networking.k8s.io", True), ("networking.istio.io", False)],
    ids=["G7", "G8"],
)  # fmt: skip
def test_g7_g8_policies_of_a_gateway(group: str, applied: bool) -> None:
    policy = f"""
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {{name: jwt, namespace: infra}}
spec:
  targetRefs: [{{group: {group}, kind: Gateway, name: gw}}]
  jwtRules: [{{issuer: x, jwks: "{{}}"}}]
"""
    mesh = mesh_of(policy, gateway(), GATEWAY_PODS)
    attached = mesh.authn.attachments.of_workload(mesh.workloads.all[0])
    assert bool(attached.policies) is applied


def test_g9_policy_of_another_revision() -> None:
    policy = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: shop, labels: {istio.io/rev: old}}
spec: {mtls: {mode: STRICT}}
"""
    namespace = LABELLED.replace("x: %s", "istio.io/rev: new")
    mesh = mesh_of(policy, namespace, pods("app: a", "shop"))
    assert not mesh.mtls.configured(mesh.workloads.all[0], 80).is_(Mode.STRICT)


def test_g10_hostnames() -> None:
    texts = (gateway(f"hostname: '*.example.org', {ALL}"), route(hostnames="[a.example.com]"))
    assert paths(PARENT, *texts) == ["/spec/hostnames/0"]


def test_g11_policy_for_all_waypoints() -> None:
    policy = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: all, namespace: istio-system}
spec: {targetRefs: [{group: gateway.networking.k8s.io, kind: GatewayClass, name: istio-waypoint}]}
"""
    waypoint = pods("gateway.istio.io/managed: istio.io-mesh-controller", "shop")
    mesh = mesh_of(policy, waypoint)
    assert mesh.authz.attachments.of_workload(mesh.workloads.all[0]).policies


def test_g12_a_tag() -> None:
    webhook = """
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata:
  name: istio-revision-tag-prod
  labels: {istio.io/rev: 1-30, istio.io/tag: prod, app: sidecar-injector}
webhooks:
  - name: rev.namespace.sidecar-injector.istio.io
    namespaceSelector: {matchLabels: {istio.io/rev: prod}}
"""
    mesh = mesh_of(webhook, LABELLED.replace("x: %s", "istio.io/rev: prod"), pods("app: a", "shop"))
    injected = mesh.injection.of(mesh.workloads.all[0])
    assert injected.known
    assert injected.value is not None
    assert mesh.config.revision_of(injected.value.revision) == "1-30"


# --- more


def test_a_foreign_gateway_is_not_judged() -> None:
    foreign = """
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: nginx}
spec: {controllerName: example.com/nginx}
"""
    texts = (gateway(class_name="nginx"), foreign, route(backends="[{name: gone, port: 80}]"), service())
    assert verdict_of(*texts) == []


def test_any_version_of_a_gateway_will_do() -> None:
    assert paths(PARENT, gateway(), gateway(ALL), route()) == []


@pytest.mark.parametrize(
    ("kind", "found"), [("HTTPRoute", False), ("GRPCRoute", False), ("TCPRoute", True), ("TLSRoute", True)]
)
def test_kinds_of_routes(kind: str, found: bool) -> None:
    assert bool(paths(PARENT, gateway(ALL), route(kind=kind))) is found


def test_a_missing_service_is_said_once() -> None:
    texts = (route(backends=IN_DB), service(), DB.replace("name: db,", "name: other,"))
    assert verdict_of(*texts) == [
        (PARENT, "/spec/parentRefs/0/name"),
        (BACKEND, f"{TO}/name"),
    ]


def test_copies_are_backends() -> None:
    copy = route().replace(
        "rules: [{",
        "rules: [{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: gone, port: 80}}}], ",
    )
    assert paths(BACKEND, gateway(ALL), copy, service(), settings=COMPLETE) == [
        "/spec/rules/0/filters/0/requestMirror/backendRef/name"
    ]


@pytest.mark.parametrize(
    ("name", "advice"),
    [("a", "write a.shop.svc.cluster.local"), ("a.shop", "write a.shop.svc.cluster.local")],
)
def test_hostnames_as_backends(name: str, advice: str) -> None:
    backends = f"[{{group: networking.istio.io, kind: Hostname, name: {name}, port: 80}}]"
    assert [f.help for f in findings(BACKEND, route(SERVICE_PARENT, backends), service())] == [advice]


def test_a_name_with_dots_is_said_once() -> None:
    backends = "[{name: a.shop, port: 80}]"
    assert paths(BACKEND, route(SERVICE_PARENT, backends), service(), settings=COMPLETE) == []
    (found,) = findings("gateway-api-backend-kind", route(SERVICE_PARENT, backends), service())
    assert found.equivalents == ("KIA1402",)


VIRTUAL_SERVICE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: shop}
spec: {hosts: [%s], gateways: [%s], http: [{route: [{destination: {host: a}}]}]}
"""


@pytest.mark.parametrize(
    ("virtual_service", "other", "found"),
    [
        (VIRTUAL_SERVICE % ("a", "mesh"), route(SERVICE_PARENT), True),
        (VIRTUAL_SERVICE % ("b", "mesh"), route(SERVICE_PARENT), False),
        (VIRTUAL_SERVICE % ("a", "gw"), route(SERVICE_PARENT), False),
        (VIRTUAL_SERVICE % ("a.example.com", "infra/gw"), route(hostnames="[a.example.com]"), True),
        (VIRTUAL_SERVICE % ("b.example.com", "infra/gw"), route(hostnames="[a.example.com]"), False),
    ],
    ids=["mesh", "another service", "another proxy", "gateway", "another host"],
)
def test_two_apis_for_a_host(virtual_service: str, other: str, found: bool) -> None:
    texts = (virtual_service, other, gateway(ALL), service(), service("b"))
    assert bool(paths("route-and-vs-same-host", *texts)) is found
