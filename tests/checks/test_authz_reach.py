"""Callers, hosts and pods that policies name, and policies that nobody enforces (spec security 2.4, 5.6 and 5.9)."""

# ruff: noqa: E501 - a row of a table is one line

from __future__ import annotations

from typing import Any

import pytest

from meshlint.mesh.identities import never_a_principal
from tests.checks.findings import findings, names

WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {serviceAccountName: web, containers: [{name: web, image: web}]}
"""
CART = WEB.replace("web", "cart").replace("namespace: cart", "namespace: shop")
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {selector: {app: cart}, ports: [{name: http, port: 80, targetPort: 8080}]}
"""
AMBIENT = (
    "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {istio.io/dataplane-mode: ambient}}\n"
)
COMPLETE: dict[str, Any] = {"complete": True}


def policy(spec: str, namespace: str = "shop") -> str:
    return f"""
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: cart, namespace: {namespace}}}
spec: {{{spec}}}
"""


def source(fields: str) -> str:
    return policy(f"rules: [{{from: [{{source: {{{fields}}}}}]}}]")


@pytest.mark.parametrize(
    ("value", "never"),
    [
        ("cluster.local/ns/web/sa/w", False),
        ("*", False),
        ("*/sa/w", False),
        ("cluster.local/ns/web/*", False),
        ("spiffe://cluster.local/ns/web/sa/w", True),
        ("cluster.local/ns/*/sa/w", True),
        ("sa/foo", True),
        ("ns/foo/sa/bar", True),
        ("${PRINCIPAL}", False),
    ],
)
def test_principals_that_match_nobody(value: str, never: bool) -> None:
    assert bool(never_a_principal(value)) is never


CALLERS = [
    pytest.param("principals: ['spiffe://cluster.local/ns/web/sa/web']", {}, [("high", ("KIA0108",))], id="spiffe"),
    pytest.param("principals: [sa/web]", {}, [("high", ("KIA0106",))], id="no identity"),
    pytest.param("principals: [cluster.local/ns/web/sa/other]", COMPLETE, [("high", ("KIA0106",))], id="no such account"),
    pytest.param("principals: [cluster.local/ns/web/sa/other]", {}, [("low", ("KIA0106",))], id="no such account in sight"),
    pytest.param("principals: [cluster.local/ns/web/sa/web]", COMPLETE, [], id="used by pods"),
    pytest.param("principals: [cluster.local/ns/web/sa/default]", COMPLETE, [], id="default account"),
    pytest.param("principals: [cluster.local/ns/nowhere/sa/web]", {}, [], id="unknown namespace"),
    pytest.param("namespaces: [nowhere]", COMPLETE, [("high", ("KIA0101", "IST0101"))], id="no such namespace"),
    pytest.param("notNamespaces: [nowhere]", COMPLETE, [("high", ("IST0101",))], id="no such namespace, negated"),
    pytest.param("namespaces: ['we*', '*']", COMPLETE, [], id="wildcards"),
    pytest.param("namespaces: ['nowhere-*']", COMPLETE, [("high", ("KIA0101", "IST0101"))], id="wildcard of nothing"),
    pytest.param("namespaces: [nowhere]", {}, [], id="namespaces are not in the input"),
    pytest.param("serviceAccounts: [web]", COMPLETE, [("high", ())], id="an account of the policy's namespace"),
    pytest.param("serviceAccounts: [web/web]", COMPLETE, [], id="an account of another namespace"),
    pytest.param("principals: [other.td/ns/web/sa/web]", {"meshConfig": {"trustDomain": "corp"}}, [("medium", ("KIA0108",))], id="another trust domain"),
    pytest.param("principals: [cluster.local/ns/web/sa/web]", {"meshConfig": {"trustDomain": "corp"}}, [], id="cluster.local is every mesh"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "config", "expected"), CALLERS)
def test_callers(fields: str, config: dict[str, Any], expected: list[tuple[str, tuple[str, ...]]]) -> None:
    found = findings(source(fields), WEB, rules=("authz-unknown-principal",), config=config)
    assert [(f.confidence, f.equivalents) for f in found] == expected


ZTUNNEL = [
    pytest.param("rules: [{from: [{source: {principals: [x]}}]}]", False, id="ALLOW principals"),
    pytest.param("rules: [{to: [{operation: {methods: [GET]}}]}]", True, id="ALLOW methods"),
    pytest.param("action: DENY, rules: [{to: [{operation: {paths: [/admin]}}]}]", True, id="DENY paths"),
    pytest.param("action: DENY, rules: [{to: [{operation: {ports: ['8080'], paths: [/admin]}}]}]", True, id="DENY ports and paths"),
    pytest.param("action: DENY, rules: [{from: [{source: {notRequestPrincipals: ['*']}}]}]", True, id="DENY without token"),
    pytest.param("action: ALLOW", False, id="ALLOW nothing"),
    pytest.param("action: AUDIT, rules: [{}]", True, id="AUDIT"),
    pytest.param("rules: [{when: [{key: 'request.headers[x]', values: [a]}]}]", True, id="when headers"),
    pytest.param("rules: [{to: [{operation: {ports: ['8080']}}]}]", False, id="ports"),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "found"), ZTUNNEL)
def test_ztunnel(spec: str, found: bool) -> None:
    for scope in (policy(spec), policy(f"selector: {{matchLabels: {{app: cart}}}}, {spec}")):
        said = findings(scope, CART, AMBIENT, rules=("authz-ambient-l7",))
        assert bool(said) is found
    sidecar = AMBIENT.replace("istio.io/dataplane-mode: ambient", "istio-injection: enabled")
    assert findings(policy(spec), CART, sidecar, rules=("authz-ambient-l7",)) == []


def test_a_service_without_a_waypoint() -> None:
    text = policy("targetRefs: [{kind: Service, group: '', name: cart}], rules: [{}]")
    assert names(findings(text, SERVICE, AMBIENT, rules=("authz-ambient-l7",))) == ["authz-ambient-l7"]
    assert findings(text, SERVICE, rules=("authz-ambient-l7",)) == [], "the namespace may have the label"


def test_codes_of_kiali_in_ambient_mode() -> None:
    http = "rules: [{to: [{operation: {methods: [GET]}}]}]"
    target = "targetRefs: [{kind: Service, group: '', name: cart}], "
    using = AMBIENT.replace("ambient}", "ambient, istio.io/use-waypoint: wp}")

    def codes(*texts: str, config: dict[str, Any] | None = None) -> list[tuple[str, ...]]:
        return [f.equivalents for f in findings(*texts, rules=("authz-ambient-l7",), config=config)]

    assert codes(policy(http), CART, AMBIENT) == [("KIA0109", "KIA0110", "KIA1317")]
    assert codes(policy(http), AMBIENT) == [("KIA0109", "KIA0110")], "no workload to say it at"
    assert codes(policy(http), CART, using) == [("KIA0110",)]
    assert codes(policy(target + http), SERVICE, CART, AMBIENT) == [("KIA0109", "KIA1317")]
    assert codes(policy(target + http), SERVICE, AMBIENT) == [("KIA0109",)]
    assert codes(policy(target + "rules: [{}]"), SERVICE, AMBIENT) == [()], "nothing about HTTP"
    assert codes(policy(target + http), SERVICE, AMBIENT.replace("ambient}", "none}")) == [()]
    assert codes(policy(target + http), SERVICE, using, config=COMPLETE) == [()], (
        "that there is no such waypoint"
    )


def test_the_workloads_of_a_policy_that_ztunnel_drops_are_named() -> None:
    web = WEB.replace("namespace: web", "namespace: shop")
    spec = "rules: [{to: [{operation: {methods: [GET]}}]}]"
    (found,) = findings(policy(spec), CART, web, AMBIENT, rules=("authz-ambient-l7",))
    assert "is for Deployment shop/cart and 1 more, which are in ambient mode" in found.message
    assert [r.label for r in found.related] == ["in ambient mode by this", "for these pods", "for these pods"]


def test_hosts_and_ports() -> None:
    def said(action: str, hosts: str) -> list[str]:
        text = policy(f"action: {action}, rules: [{{to: [{{operation: {{{hosts}}}}}]}}]")
        return names(findings(text, rules=("authz-hosts-without-port",)))

    assert said("DENY", "hosts: [a.example.com]") == ["authz-hosts-without-port"]
    assert said("DENY", "hosts: [a.example.com, 'a.example.com:*']") == []
    assert said("DENY", "hosts: ['a.example.com*', 'b.example.com:443']") == []
    assert said("ALLOW", "hosts: [a.example.com]") == ["authz-hosts-without-port:info"]
    assert said("ALLOW", "notHosts: [a.example.com]") == ["authz-hosts-without-port"]


def test_selectors() -> None:
    chosen = policy("selector: {matchLabels: {app: crat}}, rules: [{}]")
    rule = ("authz-selector-no-match",)
    assert [f.confidence for f in findings(chosen, CART, rules=rule, config=COMPLETE)] == ["high"]
    assert [f.confidence for f in findings(chosen, CART, rules=rule)] == ["low"]
    assert findings(chosen, rules=rule) == []
    templated = CART.replace("app: cart", "app: '${NAME}'")
    assert findings(chosen, templated, rules=rule, config=COMPLETE) == []
    root = policy("selector: {matchLabels: {app: cart}}, rules: [{}]", "istio-system")
    injected = AMBIENT.replace("istio.io/dataplane-mode: ambient", "istio-injection: enabled")
    assert findings(root, CART, injected, rules=rule, config=COMPLETE) == []
    outside = findings(root, CART, AMBIENT.replace("labels", "annotations"), rules=rule)
    assert [f.confidence for f in outside] == ["low"], "its pods seem to have no proxy"
    empty = policy("rules: [{}]", "empty")
    assert [f.equivalents for f in findings(empty, CART, rules=rule, config=COMPLETE)] == [("IST0127",)]
