"""What the rules of the family mtls say where the evidence is thin: confidence, places, related lines."""

from __future__ import annotations

import pytest

from meshlint.findings import Finding
from meshlint.mesh.scope import Settings
from meshlint.policy.rules import load_rules
from meshlint.policy.run import run
from tests.mesh.test_client_tls import DISABLE, MUTUAL, NAMESPACE, STRICT_NS, A, dr, server
from tests.mesh.test_mtls import policy
from tests.support import mesh_of

RULES = {name: rule for name, rule in load_rules().items() if rule.info.family == "mtls"}
KYMA = Settings(platform="kyma")
INSTALL = """
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata: {name: mesh, namespace: istio-system}
spec: {profile: default}
"""
UNLABELLED = server().replace(', sidecar.istio.io/inject: "true"', "")
NOT_AMBIENT = NAMESPACE.replace(", labels: {istio-injection: enabled}", "")
IN_AMBIENT = NAMESPACE.replace("istio-injection: enabled", "istio.io/dataplane-mode: ambient")
ROOT = policy("istio-system", "STRICT", selector=A)


def findings(*texts: str, settings: Settings | None = None) -> list[Finding]:
    found, errors = run(RULES.values(), mesh_of(*texts, settings=settings))
    assert errors == []
    return found


def said(*texts: str, settings: Settings | None = None) -> dict[str, str]:
    return {f.rule: f.confidence for f in findings(*texts, settings=settings)}


CASES: dict[str, tuple[tuple[str, ...], Settings | None, dict[str, str]]] = {
    "nothing about the root namespace": ((STRICT_NS,), None, {}),
    "root namespace has other policies": (
        (ROOT,),
        None,
        {"mtls-mesh-strict": "medium", "mtls-root-selector-ignored": "high"},
    ),
    "an installation without policies": ((INSTALL,), None, {"mtls-mesh-strict": "low"}),
    "an installation, complete": ((INSTALL,), Settings(complete=True), {"mtls-mesh-strict": "high"}),
    "an installation beside templates": ((INSTALL,), Settings(remainder=True), {}),
    "complete, and nothing to point at": ((STRICT_NS,), Settings(complete=True), {}),
    "Kyma undoes a permissive mesh": (
        (policy("istio-system", "PERMISSIVE"),),
        KYMA,
        {"mtls-mesh-strict": "medium"},
    ),
    "two mesh-wide policies that disagree": (
        (policy("istio-system", "STRICT"), policy("istio-system", "PERMISSIVE", name="b")),
        None,
        {"mtls-duplicate-scope": "high", "mtls-permissive": "high"},
    ),
    "two policies of a namespace that disagree": (
        (NAMESPACE, server(), STRICT_NS, policy("app", "PERMISSIVE", name="b")),
        None,
        {"mtls-duplicate-scope": "high"},
    ),
    "versions of a policy": (
        (NAMESPACE, server(), STRICT_NS, policy("app", "PERMISSIVE")),
        None,
        {"mtls-permissive": "high"},
    ),
    "the pod opts out": (
        (NAMESPACE, server(inject="false"), dr(MUTUAL)),
        None,
        {"mtls-dr-mutual-vs-disable": "medium"},
    ),
    "no label that could be set elsewhere": (
        (NOT_AMBIENT, UNLABELLED, dr(MUTUAL)),
        None,
        {"mtls-dr-mutual-vs-disable": "low"},
    ),
    "namespace unknown, its policy strict": (
        (UNLABELLED, STRICT_NS, dr(DISABLE)),
        None,
        {"mtls-dr-disable-vs-strict": "medium"},
    ),
    "namespace unknown, mesh strict": (
        (UNLABELLED, policy("istio-system", "STRICT"), dr(DISABLE)),
        None,
        {"mtls-dr-disable-vs-strict": "low"},
    ),
    "an ambient server": ((IN_AMBIENT, UNLABELLED, STRICT_NS, dr(DISABLE)), None, {}),
    "rules of a third namespace": (
        (NAMESPACE, server(), STRICT_NS, dr(DISABLE, namespace="ops", more="  exportTo: [web]")),
        None,
        {},
    ),
    "rules that disagree": (
        (
            NAMESPACE,
            server(),
            STRICT_NS,
            dr(DISABLE, namespace="app", host="a").replace("name: app", "name: one", 1),
            dr(MUTUAL, namespace="app").replace("name: app", "name: two", 1),
        ),
        None,
        {},
    ),
    "other shapes than expected": (
        (
            policy("app", "STRICT").replace("mtls: {mode: STRICT}", "mtls: STRICT"),
            "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: b}\nspec: [a]\n",
            dr("[]"),
            dr("{mode: [a]}", more="  exportTo: a\n  subsets: {}"),
        ),
        None,
        {},
    ),
}


@pytest.mark.parametrize(("texts", "settings", "expected"), CASES.values(), ids=CASES)
def test_evidence(texts: tuple[str, ...], settings: Settings | None, expected: dict[str, str]) -> None:
    assert said(*texts, settings=settings) == expected


def test_one_finding_for_the_line_that_decides() -> None:
    pods = [server(name=name).split("---")[0] for name in "abcde"]
    found = findings(NAMESPACE, *pods, policy("istio-system", "STRICT"), policy("app", "PERMISSIVE"))
    assert [f.message for f in found] == [
        "PeerAuthentication app/default lets the namespace app accept plain text (mode PERMISSIVE): "
        "Pod app/a, Pod app/b, Pod app/c and 2 more"
    ]
    assert [(r.label, r.location.file, r.location.start_line) for r in found[0].related] == [
        ("the setting that it overrides", "6.yaml", 7),
        ("is reached in plain text", "1.yaml", 5),
        ("is reached in plain text", "2.yaml", 5),
        ("is reached in plain text", "3.yaml", 5),
    ]


def test_production_namespaces_are_patterns() -> None:
    texts = (policy("shop-eu", "PERMISSIVE"), policy("lab", "DISABLE"))
    settings = Settings(production_namespaces=("shop-*",))
    assert said(*texts, settings=settings) == {"mtls-permissive": "high"}


def test_many_clashes_are_one_finding() -> None:
    services = [server().replace("name: a", f"name: a{i}") for i in range(30)]
    found = findings(NAMESPACE, *services, STRICT_NS, dr(DISABLE, host="*.local"))
    assert [f.rule for f in found] == ["mtls-dr-disable-vs-strict"]
    assert "at least 19 more" in found[0].message
