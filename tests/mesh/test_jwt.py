"""Whether a token is required: the tables of spec security 4.4 and 4.8."""

# ruff: noqa: E501 - a row of a table is one line

from __future__ import annotations

import pytest

from meshlint.mesh.attachment import Proxy, proxy_of
from meshlint.mesh.authz import Peer, Request
from meshlint.mesh.coverage import UNHEARD, Requirement
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.scope import Settings
from tests.support import mesh_of

CLOSED = Settings(complete=True)
REQUIRED, NOT_REQUIRED = Requirement.REQUIRED, Requirement.NOT_REQUIRED
EXTERNAL, BLOCKED = Requirement.EXTERNAL, Requirement.BLOCKED

NAMESPACES = """
apiVersion: v1
kind: Namespace
metadata: {name: app, labels: {istio-injection: enabled}}
"""
GATEWAY_PODS = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: istio-ingressgateway, namespace: istio-system}
spec:
  template:
    metadata: {labels: {istio: ingressgateway, sidecar.istio.io/inject: "false"}}
    spec:
      serviceAccountName: gw
      containers: [{name: istio-proxy, image: proxyv2}]
"""
GATEWAY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: ["*"]
"""
WORKLOAD = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: api, namespace: app}
spec:
  template:
    metadata: {labels: {app: api}}
    spec:
      containers: [{name: app, image: x, ports: [{containerPort: 8080}]}]
"""
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: api, namespace: app}
spec:
  selector: {app: api}
  ports: [{port: 80, name: http, targetPort: 8080}]
"""
ROUTE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: api, namespace: app}
spec:
  hosts: [api.example.com]
  gateways: [istio-system/gw]
  http:
  - match: [{uri: {prefix: /}}]
    route: [{destination: {host: api}}]
"""
BASE = (NAMESPACES, GATEWAY_PODS, GATEWAY, WORKLOAD, SERVICE, ROUTE)


def ra(namespace: str = "app", name: str = "jwt", target: str = "selector: {matchLabels: {app: api}}") -> str:
    return f"""
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  {target or "{}"}
  jwtRules: [{{issuer: "https://idp.example", jwksUri: "https://idp.example/keys"}}]
""".replace("\n  {}\n", "\n")


def ap(
    body: str,
    namespace: str = "app",
    name: str = "require",
    target: str = "selector: {matchLabels: {app: api}}",
    annotations: str = "{}",
) -> str:
    return f"""
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: {name}, namespace: {namespace}, annotations: {annotations}}}
spec:
  {target or "{}"}
  {body}
""".replace("\n  {}\n", "\n")


TOKEN = 'rules: [{from: [{source: {requestPrincipals: ["*"]}}]}]'
INGRESS = "selector: {matchLabels: {istio: ingressgateway}}"


def results(mesh: Mesh) -> dict[str, Requirement | str]:
    """Path -> requirement, over all exposures of the mesh."""
    found: dict[str, Requirement | str] = {}
    for exposure in mesh.exposures.all:
        for covered in mesh.jwt.coverage(exposure):
            fact = covered.requirement
            value = fact.value if fact.known else fact.state.value
            path = covered.probe.path or "?"
            if path in found and found[path] is not value:
                value = f"{found[path]} {value}"
            found[path] = value
    return found


def every(mesh: Mesh) -> set[Requirement | str]:
    return set(results(mesh).values())


def swapped(old: str, new: str) -> tuple[str, ...]:
    assert old in BASE
    return tuple(new if text == old else text for text in BASE)


J3 = (ra(), ap(TOKEN))
EXCLUDED = WORKLOAD.replace(
    "metadata: {labels: {app: api}}",
    'metadata: {labels: {app: api}, annotations: {traffic.sidecar.istio.io/excludeInboundPorts: "8080"}}',
)
AMBIENT = NAMESPACES.replace("istio-injection: enabled", "istio.io/dataplane-mode: ambient")
PASSTHROUGH = GATEWAY.replace(
    "protocol: HTTP}", "protocol: TLS}\n    tls: {mode: PASSTHROUGH}"
)  # fmt: skip
CUSTOM = """action: CUSTOM
  provider: {name: oauth2}
  rules: [{}]"""
MESH_CONFIG = {"extensionProviders": [{"name": "oauth2", "envoyExtAuthzHttp": {"service": "o.app.svc.cluster.local", "port": 80}}]}  # fmt: skip

ROWS = [
    pytest.param(BASE, CLOSED, {NOT_REQUIRED}, id="J1"),
    pytest.param((*BASE, ra()), CLOSED, {NOT_REQUIRED}, id="J2"),
    pytest.param((*BASE, *J3), CLOSED, {REQUIRED}, id="J3"),
    pytest.param(
        (*BASE, ra("istio-system", target=INGRESS), ap(TOKEN, "istio-system", target=INGRESS)),
        CLOSED, {REQUIRED}, id="J4",
    ),
    pytest.param(
        (*BASE, ra("app", target=INGRESS), ap(TOKEN, "app", target=INGRESS)),
        CLOSED, {NOT_REQUIRED}, id="J5",
    ),
    pytest.param(
        (*BASE, ra("istio-system", target=""), ap(TOKEN, "istio-system", target="")),
        CLOSED, {REQUIRED}, id="J6",
    ),
    pytest.param((*BASE, ra("istio-system", target=INGRESS), ap(TOKEN)), CLOSED, {BLOCKED}, id="J7"),
    pytest.param((*BASE, ra(), ap('action: DENY\n  rules: [{from: [{source: {notRequestPrincipals: ["*"]}}]}]')), CLOSED, {REQUIRED}, id="J9"),
    pytest.param(
        (*BASE, ra(), ap('rules: [{from: [{source: {requestPrincipals: ["https://idp.example*"]}}]}]')),
        CLOSED, {BLOCKED}, id="J11",
    ),
    pytest.param((*swapped(WORKLOAD, EXCLUDED), *J3), CLOSED, {NOT_REQUIRED}, id="J12"),
    pytest.param((*swapped(NAMESPACES, AMBIENT), *J3), CLOSED, {BLOCKED}, id="J13"),
    pytest.param(swapped(GATEWAY, PASSTHROUGH), CLOSED, set(), id="J17"),
    pytest.param(swapped(ROUTE, ROUTE.replace("istio-system/gw", "mesh")), CLOSED, set(), id="J18"),
    pytest.param((*BASE, ap(CUSTOM)), Settings(complete=True, mesh_config=MESH_CONFIG), {EXTERNAL}, id="J20"),
    pytest.param((*BASE, ap(CUSTOM)), Settings(complete=True, mesh_config={"rootNamespace": "istio-system"}), {BLOCKED}, id="J21"),
    pytest.param(
        (*BASE, ra(), ap(TOKEN, annotations='{istio.io/dry-run: "true"}')), CLOSED, {NOT_REQUIRED}, id="J25"
    ),
    pytest.param(
        (
            *swapped(ROUTE, ROUTE.replace("prefix: /}}]", "prefix: /v1}}]\n    rewrite: {uri: /}")),
            ra(), ap('rules: [{from: [{source: {requestPrincipals: ["*"]}}], to: [{operation: {paths: ["/v1*"]}}]}]'),
        ),
        CLOSED, {BLOCKED}, id="J26",
    ),
    pytest.param(
        (*BASE, ra(), ap(
            'rules: [{from: [{source: {requestPrincipals: ["*"]}}, '
            "{source: {principals: [cluster.local/ns/istio-system/sa/gw]}}]}]"
        )),
        CLOSED, {NOT_REQUIRED}, id="J27",
    ),
    pytest.param((*BASE, *J3, ap("rules: [{}]", "istio-system", "all", "")), CLOSED, {NOT_REQUIRED}, id="J32"),
]  # fmt: skip


@pytest.mark.parametrize(("texts", "settings", "expected"), ROWS)
def test_coverage(texts: tuple[str, ...], settings: Settings, expected: set[Requirement]) -> None:
    assert every(mesh_of(*texts, settings=settings)) == expected


def test_j8_a_second_allow_policy_opens_its_paths() -> None:
    public = ap('rules: [{to: [{operation: {paths: ["/public*"]}}]}]', name="public")
    assert results(mesh_of(*BASE, *J3, public, settings=CLOSED)) == {
        "/": REQUIRED,
        f"/{UNHEARD}": REQUIRED,
        "/public": NOT_REQUIRED,
        f"/public{UNHEARD}": NOT_REQUIRED,
    }


def test_j10_a_deny_rule_covers_the_exact_path_only() -> None:
    deny = ap(
        'action: DENY\n  rules: [{from: [{source: {notRequestPrincipals: ["*"]}}], '
        'to: [{operation: {paths: ["/api"]}}]}]'
    )
    found = results(mesh_of(*BASE, ra(), deny, settings=CLOSED))
    assert found["/api"] is REQUIRED
    assert found[f"/{UNHEARD}"] is NOT_REQUIRED
    assert needs(deny, path="/api/x") is NOT_REQUIRED


K8S_GATEWAY = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw, namespace: app}
spec:
  gatewayClassName: istio
  listeners: [{name: http, port: 80, protocol: HTTP}]
"""
HTTP_ROUTE = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: api, namespace: app}
spec:
  parentRefs: [{name: gw}]
  rules: [{backendRefs: [{name: api, port: 80}]}]
"""
K8S_BASE = (NAMESPACES, WORKLOAD, SERVICE, K8S_GATEWAY, HTTP_ROUTE)
TARGET = "targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: gw}]"


@pytest.mark.parametrize(
    ("policies", "expected"),
    [
        pytest.param((ra(target=TARGET), ap(TOKEN, target=TARGET)), {REQUIRED}, id="J14"),
        pytest.param(
            (ra("other", target=TARGET), ap(TOKEN, "other", target=TARGET)), {NOT_REQUIRED}, id="J15"
        ),
        pytest.param((ra(target=INGRESS), ap(TOKEN, target=INGRESS)), {NOT_REQUIRED}, id="J16"),
    ],
)
def test_gateway_api(policies: tuple[str, ...], expected: set[Requirement]) -> None:
    assert every(mesh_of(*K8S_BASE, *policies, settings=CLOSED)) == expected


def test_j19_a_load_balancer_bypasses_the_gateway() -> None:
    texts = swapped(SERVICE, SERVICE.replace("spec:", "spec:\n  type: LoadBalancer"))
    policies = (ra("istio-system", target=INGRESS), ap(TOKEN, "istio-system", target=INGRESS))
    mesh = mesh_of(*texts, *policies, settings=CLOSED)
    by_way = {
        exposure.way: {c.requirement.value for c in mesh.jwt.coverage(exposure)}
        for exposure in mesh.exposures.all
    }
    assert by_way == {"VirtualService": {REQUIRED}, "Service": {NOT_REQUIRED}}


RULES = [
    pytest.param("- {audiences: [a]}", "neither issuer nor jwksUri", id="J22"),
    pytest.param("- {issuer: a, jwks: '{}', jwksUri: 'https://a'}", "exclude each other", id="J23"),
    pytest.param("- {issuer: a, jwksUri: 'ftp://a'}", "neither http nor https", id="J24"),
]


@pytest.mark.parametrize(("rule", "problem"), RULES)
def test_invalid_jwt_rules(rule: str, problem: str) -> None:
    text = ra().split("  jwtRules")[0] + f"  jwtRules:\n  {rule}\n"
    (authentication,) = mesh_of(text).authn.all
    found = authentication.rules[0].problem
    assert found is not None
    assert problem in found[0]


def test_j28_and_j29_evidence_says_whether_absence_counts() -> None:
    assert mesh_of(*BASE, ra()).jwt.evidence("app") == 0
    assert mesh_of(*BASE, ra(), settings=CLOSED).jwt.evidence("app") == 2


API_RULE = """
apiVersion: gateway.kyma-project.io/v2
kind: APIRule
metadata: {name: api, namespace: app}
spec:
  hosts: [api]
  gateway: kyma-system/kyma-gateway
  service: {name: api, port: 80}
  rules:
  - path: /*
    methods: [GET]
    jwt: {authentications: [{issuer: "https://idp", jwksUri: "https://idp/keys"}]}
  - path: /health
    methods: [GET]
    noAuth: true
"""


def test_j30_api_rule() -> None:
    mesh = mesh_of(NAMESPACES, WORKLOAD, SERVICE, API_RULE, settings=CLOSED)
    assert results(mesh) == {"/": REQUIRED, "/health": NOT_REQUIRED}


HANDLERS = [
    pytest.param("noop", {NOT_REQUIRED}, id="noop"),
    pytest.param("no_auth", {NOT_REQUIRED}, id="no_auth"),
    pytest.param("allow", {NOT_REQUIRED}, id="allow"),
    pytest.param("jwt", {REQUIRED}, id="jwt"),
    pytest.param("oauth2_introspection", {EXTERNAL}, id="oauth2_introspection"),
]


@pytest.mark.parametrize(("handler", "expected"), HANDLERS)
def test_handlers_of_old_api_rules(handler: str, expected: set[Requirement]) -> None:
    old = f"""
apiVersion: gateway.kyma-project.io/v1beta1
kind: APIRule
metadata: {{name: api, namespace: app}}
spec:
  host: api
  gateway: kyma-system/kyma-gateway
  service: {{name: api, port: 80}}
  rules: [{{path: /.*, methods: [GET], accessStrategies: [{{handler: {handler}}}]}}]
"""
    assert every(mesh_of(NAMESPACES, WORKLOAD, SERVICE, old)) == expected


STRATEGIES = [
    pytest.param("noAuth: true", {NOT_REQUIRED}, id="noAuth"),
    pytest.param("noAuth: false", {"unknown"}, id="noAuth false"),
    pytest.param("extAuth: {authorizers: [oauth2]}", {EXTERNAL}, id="extAuth"),
    pytest.param("methods: [GET]", {"unknown"}, id="none"),
]


@pytest.mark.parametrize(("strategy", "expected"), STRATEGIES)
def test_access_strategies_of_api_rules(strategy: str, expected: set[Requirement | str]) -> None:
    text = API_RULE.split("  rules:")[0] + f"  rules: [{{path: /*, {strategy}}}]\n"
    assert every(mesh_of(NAMESPACES, WORKLOAD, SERVICE, text)) == expected


def test_a_policy_of_ones_own_covers_an_api_rule_without_authentication() -> None:
    text = API_RULE.split("  rules:")[0] + "  rules: [{path: /*, noAuth: true}]\n"
    assert every(mesh_of(NAMESPACES, WORKLOAD, SERVICE, text, *J3)) == {REQUIRED}


def test_j31_tokens_of_another_issuer_pass_authentication_but_are_denied() -> None:
    two = ra().replace(
        'jwksUri: "https://idp.example/keys"}', 'jwksUri: "https://idp.example/keys"}, {issuer: B, jwks: x}'
    )
    only_a = ap('rules: [{from: [{source: {requestPrincipals: ["https://idp.example/*"]}}]}]')
    assert every(mesh_of(*BASE, two, only_a, settings=CLOSED)) == {REQUIRED}
    only_c = ap('rules: [{from: [{source: {requestPrincipals: ["C/*"]}}]}]')
    assert every(mesh_of(*BASE, two, only_c, settings=CLOSED)) == {BLOCKED}


def test_alternatives_that_disagree_are_a_dispute() -> None:
    mesh = mesh_of(*BASE, *J3, ap("rules: [{}]"), settings=CLOSED)
    assert every(mesh) == {"conflict"}


# -- the table of typical shapes (4.4) ---------------------------------------------------------------


def only(mesh: Mesh) -> Proxy:
    (workload,) = [w for w in mesh.workloads.all if w.name == "api"]
    return proxy_of(workload)


def needs(*policies: str, path: str = "/x", peer: Peer | None = None, authn: bool = True) -> Requirement:
    mesh = mesh_of(WORKLOAD, *policies, *((ra(),) if authn else ()), settings=CLOSED)
    request = Request("h", path, "GET", 8080, peer=peer or Peer(mtls=False))
    return mesh.jwt.requires(only(mesh), request).value


GATEWAY_PEER = Peer(True, "cluster.local", "foo", "gw")
DENY_ANONYMOUS = 'from: [{source: {notRequestPrincipals: ["*"]}}]'

SHAPES = [
    pytest.param((), "/x", None, NOT_REQUIRED, id="no policy"),
    pytest.param((ap(TOKEN),), "/x", None, REQUIRED, id="requestPrincipals"),
    pytest.param((ap("rules: [{when: [{key: 'request.auth.claims[iss]', values: ['https://idp.example']}]}]"),), "/x", None, REQUIRED, id="claim values"),
    pytest.param((ap("rules: [{when: [{key: 'request.auth.claims[groups]', notValues: [x]}]}]"),), "/x", None, NOT_REQUIRED, id="claim notValues"),
    pytest.param((ap('rules: [{from: [{source: {requestPrincipals: ["*"]}}]}, {to: [{operation: {paths: [/health]}}]}]'),), "/x", None, REQUIRED, id="open path, elsewhere"),
    pytest.param((ap('rules: [{from: [{source: {requestPrincipals: ["*"]}}]}, {to: [{operation: {paths: [/health]}}]}]'),), "/health", None, NOT_REQUIRED, id="open path"),
    pytest.param((ap(TOKEN), ap("rules: [{from: [{source: {namespaces: [foo]}}]}]", name="ns")), "/x", GATEWAY_PEER, NOT_REQUIRED, id="namespace of the gateway"),
    pytest.param((ap(TOKEN), ap("rules: [{from: [{source: {namespaces: [bar]}}]}]", name="ns")), "/x", GATEWAY_PEER, REQUIRED, id="another namespace"),
    pytest.param((ap('rules: [{from: [{source: {requestPrincipals: ["*"]}}, {source: {principals: [cluster.local/ns/foo/sa/gw]}}]}]'),), "/x", GATEWAY_PEER, NOT_REQUIRED, id="two list items"),
    pytest.param((ap('rules: [{from: [{source: {requestPrincipals: ["*"], principals: [cluster.local/ns/foo/sa/gw]}}]}]'),), "/x", GATEWAY_PEER, REQUIRED, id="one source"),
    pytest.param((ap(f"action: DENY\n  rules: [{{{DENY_ANONYMOUS}}}]"),), "/x", None, REQUIRED, id="deny anonymous"),
    pytest.param((ap(f'action: DENY\n  rules: [{{{DENY_ANONYMOUS}, to: [{{operation: {{paths: ["/api*"]}}}}]}}]'),), "/api/x", None, REQUIRED, id="deny anonymous under a path"),
    pytest.param((ap(f'action: DENY\n  rules: [{{{DENY_ANONYMOUS}, to: [{{operation: {{paths: ["/api*"]}}}}]}}]'),), "/x", None, NOT_REQUIRED, id="deny anonymous, other path"),
    pytest.param((ap(f"action: DENY\n  rules: [{{{DENY_ANONYMOUS}, to: [{{operation: {{notPaths: [/health]}}}}]}}]"),), "/health", None, NOT_REQUIRED, id="deny anonymous but health"),
    pytest.param((ap(f"action: DENY\n  rules: [{{{DENY_ANONYMOUS}, to: [{{operation: {{notPaths: [/health]}}}}]}}]"),), "/x", None, REQUIRED, id="deny anonymous, not health"),
    pytest.param((ap('action: DENY\n  rules: [{from: [{source: {notRequestPrincipals: ["https://idp.example/*"]}}], to: [{operation: {paths: [/admin]}}]}]'),), "/admin", None, REQUIRED, id="deny other issuers"),
    pytest.param((ap('action: DENY\n  rules: [{from: [{source: {requestPrincipals: ["*"]}}]}]'),), "/x", None, NOT_REQUIRED, id="inverted"),
    pytest.param((ap(TOKEN), ap("rules: [{}]", name="all")), "/x", None, NOT_REQUIRED, id="allow all beside it"),
    pytest.param((ap("{}"),), "/x", None, BLOCKED, id="deny all"),
]  # fmt: skip


@pytest.mark.parametrize(("policies", "path", "peer", "expected"), SHAPES)
def test_typical_shapes(
    policies: tuple[str, ...], path: str, peer: Peer | None, expected: Requirement
) -> None:
    assert needs(*policies, path=path, peer=peer) is expected


def test_a_requirement_without_authentication_blocks_everybody() -> None:
    assert needs(ap(TOKEN), authn=False) is BLOCKED


def test_custom_provider_is_external() -> None:
    mesh = mesh_of(WORKLOAD, ap(CUSTOM), settings=Settings(mesh_config=MESH_CONFIG))
    assert mesh.jwt.requires(only(mesh), Request(path="/x")).value is EXTERNAL


def test_on_a_tcp_port_a_token_rule_blocks() -> None:
    mesh = mesh_of(WORKLOAD, *J3)
    assert mesh.jwt.requires(only(mesh), Request(port=5432, http=False)).value is BLOCKED


def test_a_filter_of_ones_own_makes_the_answer_unknown() -> None:
    own = """
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: oauth, namespace: app}
spec:
  workloadSelector: {labels: {app: api}}
  configPatches:
  - applyTo: HTTP_FILTER
    match: {context: SIDECAR_INBOUND}
    patch: {operation: INSERT_BEFORE, value: {name: envoy.filters.http.oauth2}}
"""
    mesh = mesh_of(WORKLOAD, own)
    assert mesh.jwt.requires(only(mesh), Request(path="/x")).unknown
