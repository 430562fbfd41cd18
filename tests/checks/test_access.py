"""What `authz-locks-out` says, and where it has to be silent or unsure."""

# ruff: noqa: E501 - messages are as long as they are

from __future__ import annotations

import pytest

from meshlint.checks.access import locks_out
from meshlint.mesh.scope import Settings
from tests.mesh.test_jwt import GATEWAY, GATEWAY_PODS, NAMESPACES, SERVICE, WORKLOAD
from tests.support import mesh_of

CLOSED = Settings(complete=True)
ROUTE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: %s, namespace: app}
spec:
  hosts: [%s.example.com]
  gateways: [istio-system/gw]
  http: [{route: [{destination: {host: api}}]}]
"""
CLIENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: client, namespace: app}
spec:
  template:
    metadata: {labels: {app: client}}
    spec:
      containers: [{name: app, image: x, args: ["--api=http://api.app:80/v1"]}]
"""


def policy(spec: str, name: str = "p", namespace: str = "app", selector: str = "app: api") -> str:
    return f"""
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  selector: {{matchLabels: {{{selector}}}}}
  {spec}
"""


def gateway_policy(spec: str, name: str = "edge") -> str:
    return policy(spec, name, "istio-system", "istio: ingressgateway")


SCRAPER = policy("rules: [{from: [{source: {principals: [cluster.local/ns/monitoring/sa/prometheus]}}]}]")
STATUS = gateway_policy("rules: [{to: [{operation: {paths: [/v9]}}]}]")
BASE = (NAMESPACES, GATEWAY_PODS, GATEWAY, WORKLOAD, SERVICE)


def found(*texts: str, settings: Settings = CLOSED, base: tuple[str, ...] = BASE):
    return list(locks_out(mesh_of(*base, *texts, settings=settings), {}))


def test_a_route():
    (draft,) = found(ROUTE % ("api", "api"), SCRAPER)
    assert draft.message == (
        "AuthorizationPolicy app/p locks out VirtualService app/api, which routes requests to Deployment app/api: "
        "at Deployment app/api it has no rule that lets them in"
    )
    assert draft.place.text == "principals"
    assert [label for label, _ in draft.related] == ["the traffic that is sent there", "where it enters"]
    assert draft.confidence is None


def test_several_routes_of_one_gateway_are_one_finding():
    routes = [
        (ROUTE % (name, name)).replace("{route:", "{match: [{uri: {prefix: /shop}}], route:")
        for name in ("api", "web")
    ]
    (draft,) = found(*routes, STATUS)
    assert draft.message == (
        "AuthorizationPolicy istio-system/edge locks out VirtualService app/api, which routes requests to Deployment "
        "app/api, and 1 more: at Deployment istio-system/istio-ingressgateway it has no rule that lets them in"
    )
    assert draft.place.text == "paths"


def test_a_declared_client():
    (draft,) = found(CLIENT, SCRAPER)
    assert draft.message == (
        "AuthorizationPolicy app/p locks out Deployment app/client as a client of port 80 of Service app/api: at "
        "Deployment app/api it has no rule that lets them in"
    )


def test_several_policies():
    (draft,) = found(CLIENT, SCRAPER, policy("rules: [{from: [{source: {namespaces: [b]}}]}]", "other"))
    assert draft.message.endswith("neither it nor 1 other ALLOW policy lets them in")


def test_nothing_but_health_checks():
    (draft,) = found(
        ROUTE % ("api", "api"), gateway_policy("rules: [{to: [{operation: {paths: [/healthz, /metrics]}}]}]")
    )
    assert draft.message.endswith("it lets through only /healthz, /metrics")
    assert draft.confidence == "medium"


@pytest.mark.parametrize(
    "texts",
    [
        pytest.param((CLIENT, SCRAPER, policy("rules: [{from: [{source: {namespaces: [app]}}]}]", "q")), id="let in"),
        pytest.param((CLIENT, policy("action: DENY\n  rules: [{}]")), id="denied on purpose"),
        pytest.param((CLIENT, policy("rules: [{to: [{operation: {paths: [/v1]}}]}]")), id="a part of the calls"),
        pytest.param((CLIENT, policy("rules: [{from: [{source: {ipBlocks: [10.0.0.0/8]}}]}]")), id="by address"),
        pytest.param((ROUTE % ("a", "a"), gateway_policy("rules: [{to: [{operation: {paths: ['/v1/*']}}]}]")), id="a part of the route"),
        pytest.param((ROUTE % ("a", "a"), SCRAPER.replace("app: api", "app: other")), id="for other pods"),
        pytest.param((ROUTE % ("a", "a"), gateway_policy("action: DENY\n  rules: [{}]")), id="closed gateway"),
        pytest.param((ROUTE % ("a", "a"), gateway_policy("rules: [{from: [{source: {remoteIpBlocks: [10.0.0.0/8]}}]}]")), id="from a network"),
        pytest.param((CLIENT, SCRAPER.replace("p, namespace: app", 'p, namespace: app, annotations: {istio.io/dry-run: "true"}')), id="dry run"),
        pytest.param((CLIENT, SCRAPER.replace("cluster.local/ns/monitoring/sa/prometheus", "'${PRINCIPAL}'")), id="template"),
        pytest.param((SCRAPER,), id="nobody is sent there"),
    ],
)  # fmt: skip
def test_silence(texts):
    assert found(*texts) == []


@pytest.mark.parametrize(
    ("text", "confidence"),
    [
        pytest.param(SCRAPER, "medium", id="a policy for somebody"),
        pytest.param(policy("{}").replace("  {}\n", ""), "low", id="a default deny"),
        pytest.param(
            policy("rules: [{from: [{source: {requestPrincipals: ['*']}}]}]"),
            "low",
            id="a token that nobody accepts",
        ),
    ],
)
def test_what_it_is_worth_without_the_whole_mesh(text, confidence):
    drafts = found(CLIENT, text, settings=Settings())
    assert [draft.confidence for draft in drafts] == [confidence]


ACCEPTED = """
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: a, namespace: app}
spec: {jwtRules: [{issuer: https://a.example.com, jwksUri: https://a.example.com/keys}]}
"""


def test_a_client_may_carry_a_token():
    assert found(CLIENT, policy("rules: [{from: [{source: {requestPrincipals: ['*']}}]}]"), ACCEPTED) == []


SCRAPES = "{from: [{source: {namespaces: [monitoring]}}], to: [{operation: {paths: [/metrics]}}]}"


@pytest.mark.parametrize("others", ["", f", {SCRAPES}"], ids=["alone", "beside a rule without a token"])
@pytest.mark.parametrize("condition", [
    "from: [{source: {requestPrincipals: ['*']}}]", "when: [{key: 'request.auth.claims[scope]', values: [cart]}]"
])  # fmt: skip
def test_a_part_of_the_route_for_those_with_a_token(condition, others):
    rules = policy(f"rules: [{{{condition}, to: [{{operation: {{paths: [/v1/*]}}}}]}}{others}]")
    assert found(ROUTE % ("api", "api"), rules, ACCEPTED) == []


def test_versions_of_one_policy():
    other = SCRAPER.replace("cluster.local/ns/monitoring/sa/prometheus", "cluster.local/ns/app/sa/default")
    assert found(CLIENT, SCRAPER, other) == []
