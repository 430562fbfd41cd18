"""What the configuration says is in the cluster is not missing (spec repositories 5)."""

from __future__ import annotations

import pytest

from tests.checks.findings import findings

MESH = """
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio-injection: enabled}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: edge}
spec:
  selector: {app: edge}
  servers:
    - port: {number: 443, name: https, protocol: HTTPS}
      tls: {mode: SIMPLE, credentialName: shop-tls}
      hosts: [shop/shop.example.com]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: edge, namespace: edge}
spec:
  replicas: 2
  selector: {matchLabels: {app: edge}}
  template:
    metadata: {labels: {app: edge}}
    spec: {containers: [{name: proxy, image: auto}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop, namespace: shop}
spec:
  hosts: [shop.example.com]
  gateways: [edge/edge, edge/inner]
  http:
    - match: [{uri: {prefix: /cart}}]
      route: [{destination: {host: cart}}]
    - match: [{uri: {prefix: /pay}}]
      route: [{destination: {host: api.pay.example}}]
    - match: [{uri: {prefix: /catalog}}]
      delegate: {name: catalog, namespace: shop}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  rules:
    - from: [{source: {principals: [cluster.local/ns/edge/sa/robot]}}]
    - from: [{source: {namespaces: [robots]}}]
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
"""

#: rule -> what must be said to be there; the message of a finding tells which one it is about
CASES = [
    ("gw-credential-missing", "shop-tls", "Secret", "edge/shop-tls"),
    ("gw-credential-missing", "shop-tls", "Secret", "shop-*"),
    ("vs-gateway-missing", "edge/inner", "Gateway", "edge/inner"),
    ("vs-destination-missing", "cart", "Service", "shop/cart"),
    ("vs-destination-missing", "api.pay.example", "Host", "*.pay.example"),
    ("vs-delegate-broken", "catalog", "VirtualService", "shop/catalog"),
    ("authz-unknown-principal", "edge/sa/robot", "ServiceAccount", "edge/robot"),
    ("authz-unknown-principal", "robots", "Namespace", "robots"),
    ("authz-selector-no-match", "app=web", "Deployment", "shop/web"),
    ("service-selector-empty-match", "app: web", "StatefulSet", "shop/*"),
]


RULES = (*dict.fromkeys(rule for rule, *_ in CASES), "mtls-mesh-strict")


def said(**present: list[str]) -> list[tuple[str, str]]:
    found = findings(MESH, rules=RULES, config={"complete": True, "present": present})
    return [(finding.rule, finding.message) for finding in found]


@pytest.mark.parametrize(("rule", "word", "kind", "pattern"), CASES)
def test_what_is_present_is_not_missing(rule: str, word: str, kind: str, pattern: str) -> None:
    def about(found: list[tuple[str, str]]) -> bool:
        return any(name == rule and word in message for name, message in found)

    assert about(said())
    assert not about(said(**{kind: [pattern]}))
    assert about(said(**{kind: ["elsewhere/thing"]}))


def test_a_service_entry_may_have_any_host() -> None:
    assert not any("api.pay.example" in message for _, message in said(ServiceEntry=["shop/pay"]))


def test_policies_that_are_not_in_the_input_may_apply() -> None:
    """Of kinds that nothing names, any object may matter: what they decide is unknown."""
    rules = {rule for rule, _ in said()}
    assert "mtls-mesh-strict" in rules
    open_rules = {rule for rule, _ in said(PeerAuthentication=["istio-system/default"])}
    assert "mtls-mesh-strict" not in open_rules
