"""Whom Kyma's APIRules let in: the ingress gateway alone, by the strategy of the rule (ecosystem f.4)."""

from __future__ import annotations

import pytest

from meshlint.mesh.access import Access
from meshlint.mesh.authz import PLAIN, Peer, Request, Token
from meshlint.mesh.scope import Settings
from tests.mesh.test_jwt import NAMESPACES, WORKLOAD, ap
from tests.support import mesh_of

SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: api, namespace: app}
spec: {selector: {app: api}, ports: [{name: http, port: 80, targetPort: 8080}]}
"""
RULES = """
apiVersion: gateway.kyma-project.io/v2
kind: APIRule
metadata: {name: api, namespace: app}
spec:
  hosts: [api.kyma.test]
  service: {name: api, port: 80}
  gateway: kyma-system/kyma-gateway
  rules:
    - {path: /open, methods: [GET], noAuth: true}
    - path: /login
      methods: [GET]
      jwt: {authentications: [{issuer: https://idp, jwksUri: https://idp/keys}]}
    - {path: /other, methods: [GET], extAuth: {authorizers: [opa]}}
"""
GATEWAY = Peer(True, "cluster.local", "istio-system", "istio-ingressgateway-service-account")
WEB = Peer(True, "cluster.local", "web", "w")
FROM_WEB = ap("rules: [{from: [{source: {namespaces: [web]}}]}]", name="web")


def access(request: Request, *texts: str, rules: str = RULES):
    mesh = mesh_of(NAMESPACES, WORKLOAD, SERVICE, rules, *texts, settings=Settings(complete=True))
    (workload,) = mesh.workloads.all
    return mesh.access.to(workload, 8080, request)


def get(path: str, peer: Peer, token: Token | None = None) -> Request:
    return Request("api.kyma.test", path, "GET", peer=peer, token=token)


ROWS = [
    pytest.param(get("/open", GATEWAY), (), Access.ALLOWED, id="noAuth"),
    pytest.param(get("/login", GATEWAY), (), Access.DENIED, id="jwt without a token"),
    pytest.param(get("/login", GATEWAY, Token("https://idp")), (), Access.ALLOWED, id="jwt"),
    pytest.param(get("/login", GATEWAY, Token("https://no")), (), Access.DENIED, id="another issuer"),
    pytest.param(get("/other", GATEWAY), (), Access.EXTERNAL, id="extAuth"),
    pytest.param(get("/none", GATEWAY), (), Access.DENIED, id="no rule"),
    pytest.param(get("/open", WEB), (), Access.DENIED, id="from inside of the mesh"),
    pytest.param(get("/open", PLAIN), (), Access.DENIED, id="without identity"),
    pytest.param(get("/none", WEB), (FROM_WEB,), Access.ALLOWED, id="a policy of its own"),
]


@pytest.mark.parametrize(("request_", "texts", "expected"), ROWS)
def test_row(request_, texts, expected):
    assert access(request_, *texts).value is expected


def test_an_old_version_is_unknown():
    assert access(get("/open", WEB), rules=RULES.replace("/v2", "/v1beta1")).unknown


def test_a_path_that_is_not_said_is_unknown():
    assert access(Request(peer=GATEWAY)).unknown


TOGETHER = """
apiVersion: gateway.kyma-project.io/v2
kind: APIRule
metadata: {name: api, namespace: app}
spec:
  hosts: [api.kyma.test]
  service: {name: api, port: 80}
  gateway: kyma-system/kyma-gateway
  rules:
    - {path: "/public/{**}", methods: [GET], noAuth: true}
    - {path: "/asked/{**}", methods: [GET], extAuth: {authorizers: [opa]}}
    - path: "/{**}"
      methods: [GET]
      jwt: {authentications: [{issuer: https://idp, jwksUri: https://idp/keys}]}
"""


@pytest.mark.parametrize(
    ("path", "token", "expected"),
    [
        pytest.param("/public/a", None, Access.ALLOWED, id="one ALLOW policy is enough"),
        pytest.param("/public/a", Token("https://idp"), Access.ALLOWED, id="both admit it"),
        pytest.param("/a", None, Access.DENIED, id="only the rule for a token"),
        pytest.param("/public/a", Token("https://no"), None, id="a token that is refused everywhere"),
        pytest.param("/asked/a", None, None, id="an authorizer and a token"),
        pytest.param("/asked/a", Token("https://idp"), Access.EXTERNAL, id="the authorizer is asked first"),
    ],
)
def test_several_rules(path, token, expected):
    found = access(get(path, GATEWAY, token), rules=TOGETHER)
    assert (found.value if found.known else None) is expected
