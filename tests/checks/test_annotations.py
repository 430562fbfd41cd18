"""Annotations: where each is looked for, and which rule of several speaks."""

from __future__ import annotations

import pytest

from meshlint.checks.annotations import _meant
from meshlint.findings import Finding
from meshlint.mesh.annotations import (
    ADDED_WITHOUT_INIT,
    ANYWHERE,
    DEPRECATED,
    DEPRECATED_ON_SERVICES,
    HOMES,
    POD_ANNOTATIONS,
    SETTLED,
    WRITTEN_BY_ISTIO,
)
from meshlint.policy.rules import Rule, load_rules
from meshlint.policy.run import run
from tests.support import mesh_of

NAMES = ("annotation-", "injection-", "dry-run", "reserved-annotation")
ALPHA = "annotation-alpha"  # says nothing about right and wrong, and so is asked by itself
RULES = [rule for rule in load_rules().values() if rule.name.startswith(NAMES) and rule.name != ALPHA]


def found(text: str, rules: list[Rule] = RULES) -> list[Finding]:
    findings, errors = run(rules, mesh_of(text))
    assert errors == []
    return findings


def thing(api_version: str, kind: str, annotation: str) -> str:
    return f"""
apiVersion: {api_version}
kind: {kind}
metadata:
  name: a
  namespace: shop
  annotations: {{{annotation}}}
spec: {{}}
"""


def test_the_catalogue_is_complete() -> None:
    """68 annotations, each with one home (spec istioctl-analyze, appendix A)."""
    known = [*POD_ANNOTATIONS, *HOMES, *ANYWHERE]
    assert len(known) == len(set(known)) == 68
    assert DEPRECATED.keys() <= POD_ANNOTATIONS
    assert DEPRECATED_ON_SERVICES.keys() <= HOMES.keys()


@pytest.mark.parametrize(
    ("api_version", "kind", "annotation", "rules"),
    [
        ("v1", "Service", "networking.istio.io/exportTo: x", set()),
        ("v1", "Namespace", "networking.istio.io/exportTo: x", {"annotation-misplaced"}),
        ("apps/v1", "Deployment", "networking.istio.io/exportTo: x", {"annotation-misplaced"}),
        ("v1", "Namespace", "networking.istio.io/traffic-distribution: x", set()),
        ("networking.istio.io/v1", "ServiceEntry", "networking.istio.io/traffic-distribution: x", set()),
        ("networking.istio.io/v1", "Sidecar", "networking.istio.io/exportTo: x", {"annotation-misplaced"}),
        ("networking.istio.io/v1", "WorkloadEntry", "istio.io/autoRegistrationGroup: x", set()),
        ("networking.istio.io/v1", "WorkloadGroup", "proxy.istio.io/config: x", set()),
        ("networking.istio.io/v1", "Sidecar", "proxy.istio.io/config: x", {"annotation-misplaced"}),
        ("networking.k8s.io/v1", "Ingress", "kubernetes.io/ingress.class: istio", set()),
        ("v1", "Service", "kubernetes.io/ingress.class: istio", {"annotation-misplaced"}),
        ("networking.istio.io/v1", "Gateway", "gateway.istio.io/name-override: x", {"annotation-misplaced"}),
        ("gateway.networking.k8s.io/v1", "Gateway", "gateway.istio.io/name-override: x", set()),
        ("gateway.networking.k8s.io/v1", "Gateway", "proxy.istio.io/config: x", set()),
        ("networking.istio.io/v1", "Gateway", "galley.istio.io/analyze-suppress: x", set()),
        ("networking.istio.io/v1", "Gateway", "istio.io/rev: x", set()),
        ("networking.istio.io/v1", "Gateway", "istio.io/nothing: x", {"annotation-unknown"}),
        ("networking.istio.io/v1", "Gateway", "internal.istio.io/parents: x", {"reserved-annotation"}),
        ("networking.istio.io/v1", "Gateway", 'istio.io/dry-run: "true"', {"dry-run-annotation"}),
        ("v1", "Service", 'istio.io/dry-run: "true"', {"annotation-misplaced"}),
        ("v1", "Service", "alpha.istio.io/kubernetes-serviceaccounts: x", {"annotation-deprecated"}),
        ("v1", "Namespace", "istio.io/use-waypoint: x", {"annotation-unknown"}),
        ("v1", "Namespace", "istio.io/dataplane-mode: ambient", {"injection-label-on-wrong-object"}),
        ("v1", "Namespace", "sidecar.istio.io/inject: x", {"injection-label-on-wrong-object"}),
        ("v1", "Namespace", "install.operator.istio.io/owning-resource: x", set()),
        ("v1", "Namespace", "notistio.io/a: x", set()),
        ("v1", "Namespace", "'{{ x }}.istio.io/a': x", set()),
        ("v1", "ConfigMap", "istio.io/nothing: x", set()),
    ],
)  # fmt: skip
def test_one_rule_speaks(api_version: str, kind: str, annotation: str, rules: set[str]) -> None:
    assert {finding.rule for finding in found(thing(api_version, kind, annotation))} == rules


def test_what_istiod_makes_has_the_annotations_of_its_gateway() -> None:
    text = thing("apps/v1", "Deployment", "gateway.istio.io/name-override: x")
    assert {finding.rule for finding in found(text)} == {"annotation-misplaced"}
    managed = text.replace(
        "  annotations:", "  labels: {gateway.istio.io/managed: istio.io-gateway-controller}\n  annotations:"
    )
    assert not found(managed)


PODS = """
apiVersion: batch/v1
kind: CronJob
metadata: {name: a, namespace: shop}
spec:
  jobTemplate:
    spec:
      template:
        metadata:
          annotations: {%s}
        spec:
          containers: [{name: a, image: a}]
"""


@pytest.mark.parametrize(
    ("annotation", "rules"),
    [
        ("sidecar.istio.io/injekt: x", {"annotation-unknown"}),
        ("networking.istio.io/exportTo: x", {"annotation-misplaced"}),
        ("sidecar.istio.io/status: x", set()),
        ("proxy.istio.io/config: 'concurrency: 2'", set()),
    ],
)
def test_pod_templates(annotation: str, rules: set[str]) -> None:
    assert {finding.rule for finding in found(PODS % annotation)} == rules


@pytest.mark.parametrize("label", ["enabled", "disabled"])
def test_refused_values_are_said_once(label: str) -> None:
    labels = f"labels: {{istio-injection: {label}}}"
    namespace = f"---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: shop, {labels}}}\n"
    text = PODS % "sidecar.istio.io/interceptionMode: redirect" + namespace
    expected = {"enabled": "injection-invalid-value", "disabled": "annotation-invalid"}[label]
    said = [f.rule for f in found(text) if "IST0125" in f.equivalents]
    assert said == [expected]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("sidecar.istio.io/injekt", "sidecar.istio.io/inject"),
        ("sidecar.istio.io/includeInboundPorts", "traffic.sidecar.istio.io/includeInboundPorts"),
        (
            "traffic.sidecar.istio.io/excludeOutboundIPRange",
            "traffic.sidecar.istio.io/excludeOutboundIPRanges",
        ),
        ("sidecar.istio.io/enableCoreDump", None),
        ("policy.istio.io/check", None),
    ],
)
def test_suggestions(written: str, meant: str | None) -> None:
    assert _meant(written) == meant


def pod(annotation: str, init: str) -> str:
    return f"""
apiVersion: v1
kind: Pod
metadata: {{name: a, namespace: shop, annotations: {{{annotation}}}}}
spec: {{containers: [{{name: a, image: a}}], initContainers: [{{name: {init}, image: a}}]}}
"""


CAPTURED = 'traffic.sidecar.istio.io/includeInboundPorts: "80"'


def test_the_stages_are_those_of_the_catalogue() -> None:
    """Five annotations are beta or stable (spec istioctl-analyze, appendix A)."""
    known = {*POD_ANNOTATIONS, *HOMES, *ANYWHERE}
    assert len(SETTLED) == 5
    assert known > SETTLED
    assert known > WRITTEN_BY_ISTIO
    assert ADDED_WITHOUT_INIT < POD_ANNOTATIONS


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        (thing("v1", "Service", "networking.istio.io/exportTo: x"), ["IST0136"]),
        (thing("v1", "Namespace", "topology.istio.io/controlPlaneClusters: x"), ["IST0136"]),
        (thing("v1", "Namespace", "galley.istio.io/analyze-suppress: x"), ["IST0136"]),
        (thing("v1", "Namespace", "networking.istio.io/exportTo: x"), []),
        (thing("v1", "Service", "traffic.istio.io/nodeSelector: x"), []),
        (thing("v1", "Service", "istio.io/rev: x"), []),
        (thing("v1", "Service", "alpha.istio.io/kubernetes-serviceaccounts: x"), []),
        (thing("v1", "Service", "istio.io/nothing: x"), []),
        (
            thing("networking.istio.io/v1", "ServiceEntry", "networking.istio.io/traffic-distribution: x"),
            [""],
        ),
        (thing("networking.istio.io/v1", "WorkloadEntry", "istio.io/autoRegistrationGroup: x"), []),
        (thing("security.istio.io/v1", "AuthorizationPolicy", "istio.io/dry-run: 'true'"), []),
        (pod("sidecar.istio.io/proxyCPU: 1", "a"), ["IST0136"]),
        (pod("sidecar.istio.io/inject: 'true'", "a"), []),
        (pod("sidecar.istio.io/status: x", "a"), []),
        (pod("sidecar.istio.io/discoveryAddress: x", "a"), []),
        (pod(CAPTURED, "a"), []),
        (pod(CAPTURED, "istio-init"), ["IST0136"]),
        (PODS % CAPTURED, ["IST0136"]),
    ],
)
def test_alpha(text: str, codes: list[str]) -> None:
    said = found(text, [load_rules()[ALPHA]])
    assert ["".join(finding.equivalents) for finding in said] == codes
