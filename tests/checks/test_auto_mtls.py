"""Automatic mutual TLS is off: who sends plain text, and how sure is that? (KIA0204, KIA0401, KIA0501)"""

from __future__ import annotations

from typing import Any

import pytest

from meshlint.findings import Finding
from tests.checks.findings import findings
from tests.mesh.test_client_tls import NAMESPACE, STRICT_NS, server
from tests.mesh.test_mtls import policy

RULES = ("mtls-strict-without-dr", "mtls-dr-drops-mutual")
OFF = """
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata: {name: mesh, namespace: istio-system}
spec: {meshConfig: {enableAutoMtls: false}}
"""
ON = OFF.replace("false", "true")
STRICT = policy("istio-system", "STRICT")
IN_AMBIENT = NAMESPACE.replace("istio-injection: enabled", "istio.io/dataplane-mode: ambient")
WHOLE = {"complete": True}
MUTUAL = "trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}"
BALANCED = "trafficPolicy: {loadBalancer: {simple: RANDOM}}"
OUTSIDE = NAMESPACE + "---" + server(inject="false")


def rule(host: str, spec: str, namespace: str = "app", name: str = "a") -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{host: "{host}", {spec}}}
"""


EVERYWHERE = rule("*.local", MUTUAL, "istio-system", "all")
ENTRY = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api, namespace: app}
spec: {hosts: [api.example.com], location: MESH_EXTERNAL, ports: [{number: 443, name: tls, protocol: TLS}]}
"""


def said(*texts: str, config: dict[str, Any] | None = None) -> list[str]:
    def word(finding: Finding) -> str:
        return f"{'+'.join(finding.equivalents)} {finding.severity} {finding.confidence}"

    return [word(finding) for finding in findings(*texts, rules=RULES, config=config)]


@pytest.mark.parametrize(
    ("texts", "config", "expected"),
    [
        pytest.param((ON, STRICT), WHOLE, [], id="automatic"),
        pytest.param((STRICT,), WHOLE, [], id="automatic by default"),
        pytest.param((OFF, STRICT), WHOLE, ["KIA0401 error medium"], id="mesh"),
        pytest.param((OFF, STRICT), None, ["KIA0401 error low"], id="rules may lie elsewhere"),
        pytest.param(
            (STRICT,), {"meshConfig": {"enableAutoMtls": False}}, [], id="nothing shows that rules are here"
        ),
        pytest.param((OFF, STRICT, EVERYWHERE), WHOLE, [], id="a rule for the mesh"),
        pytest.param((OFF, STRICT, rule("cart", MUTUAL)), WHOLE, [], id="a rule for one service"),
        pytest.param((OFF, policy("istio-system", "PERMISSIVE")), WHOLE, [], id="permissive"),
        pytest.param((OFF, STRICT_NS), WHOLE, ["KIA0501 error medium"], id="namespace"),
        pytest.param((OFF, STRICT_NS, EVERYWHERE), WHOLE, [], id="a rule for the mesh of a namespace"),
        pytest.param(
            (OFF, STRICT_NS, rule("*.app.svc.cluster.local", MUTUAL)), WHOLE, [], id="a rule for it"
        ),
        pytest.param(
            (OFF, STRICT_NS, rule("*.web.svc.cluster.local", MUTUAL, "web")),
            WHOLE,
            ["KIA0501 error medium"],
            id="a rule for another namespace",
        ),
        pytest.param(
            (OFF, STRICT_NS, rule("*.app.svc.cluster.local", BALANCED)),
            None,
            ["KIA0501 error medium"],
            id="a rule that does not say",
        ),
        pytest.param(
            (OFF, STRICT_NS, rule("*.app.svc.cluster.local", "trafficPolicy: {tls: {mode: DISABLE}}")),
            WHOLE,
            [],
            id="a rule that says no is for another check",
        ),
        pytest.param((OFF, STRICT_NS, IN_AMBIENT), WHOLE, [], id="ambient"),
        pytest.param((OFF, NAMESPACE, server(), STRICT_NS), WHOLE, ["KIA0501 error high"], id="a service"),
        pytest.param(
            (OFF, NAMESPACE, server(), STRICT_NS, rule("a", BALANCED)),
            None,
            ["KIA0501 error high"],
            id="the rule of the service does not say",
        ),
        pytest.param(
            (OFF, NAMESPACE, server(), STRICT_NS, rule("a", MUTUAL)),
            WHOLE,
            [],
            id="the rule of the service says",
        ),
        pytest.param((OFF, OUTSIDE, STRICT_NS), WHOLE, [], id="no proxy"),
    ],
)
def test_strict_without_dr(texts: tuple[str, ...], config: dict[str, Any] | None, expected: list[str]):
    assert said(*texts, config=config) == expected


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        pytest.param((ON, EVERYWHERE, rule("cart", BALANCED)), [], id="automatic"),
        pytest.param((OFF, EVERYWHERE, rule("cart", BALANCED)), ["KIA0204 warning high"], id="dropped"),
        pytest.param((OFF, EVERYWHERE, rule("cart", MUTUAL)), [], id="repeated"),
        pytest.param(
            (
                OFF,
                EVERYWHERE,
                rule("cart", "trafficPolicy: {portLevelSettings: [{port: {number: 80}, tls: {}}]}"),
            ),
            [],
            id="at a port",
        ),
        pytest.param(
            (
                OFF,
                EVERYWHERE,
                rule("cart", "subsets: [{name: a, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}]"),
            ),
            [],
            id="in a subset",
        ),
        pytest.param(
            (OFF, EVERYWHERE, rule("*.app.svc.cluster.local", BALANCED)),
            ["KIA0204 warning high"],
            id="for a namespace",
        ),
        pytest.param((OFF, EVERYWHERE, rule("api.example.com", BALANCED)), [], id="outside of the cluster"),
        pytest.param((OFF, rule("*", MUTUAL), ENTRY, rule("api.example.com", BALANCED)), [], id="an entry"),
        pytest.param(
            (OFF, rule("cart", MUTUAL, name="b"), rule("cart", BALANCED)), [], id="merged with its like"
        ),
        pytest.param(
            (OFF, EVERYWHERE, rule("cart", MUTUAL, name="b"), rule("cart", BALANCED)),
            [],
            id="merged with its like, before a wider one",
        ),
        pytest.param(
            (OFF, rule("*.local", MUTUAL, "web"), rule("cart", BALANCED)), [], id="of another namespace"
        ),
        pytest.param((OFF, EVERYWHERE, OUTSIDE, rule("a", BALANCED)), [], id="no proxy"),
        pytest.param(
            (OFF, EVERYWHERE, NAMESPACE, server(), STRICT_NS, rule("a", BALANCED)),
            ["KIA0204 error high"],
            id="refused",
        ),
    ],
)
def test_dr_drops_mutual(texts: tuple[str, ...], expected: list[str]):
    assert said(*texts) == expected


def test_files_of_different_folders_may_be_for_different_clusters():
    files = {"a/mesh.yaml": OFF + "---" + EVERYWHERE, "b/rule.yaml": rule("cart", BALANCED)}
    found = findings(rules=RULES, files=files)
    assert [finding.confidence for finding in found] == ["medium"]
    assert [place.label for place in found[0].related] == [
        "is not used for this host",
        "turns automatic mutual TLS off",
    ]


@pytest.mark.parametrize(("mesh", "codes"), [(OFF, [("KIA0204",)]), (ON, [()])])
def test_the_rule_of_the_owner_is_hidden_from_another_namespace(mesh: str, codes: list[tuple[str, ...]]):
    texts = (mesh, rule("cart", MUTUAL), rule("cart.app.svc.cluster.local", BALANCED, "web"))
    assert said(*texts) == []
    assert [finding.equivalents for finding in findings(*texts, rules=("dr-shadowed",))] == codes
