"""Hygiene of objects (spec traffic 8.8): how sure each finding is, and what keeps the rules quiet."""

from __future__ import annotations

from typing import Any

import pytest

from meshlint.findings import Finding
from meshlint.mesh.scope import Settings
from meshlint.policy.rules import load_rules
from meshlint.policy.run import run
from tests.support import mesh_of

RULES = load_rules()
COMPLETE = Settings(complete=True)


def found(rule: str, *texts: str, settings: Settings | None = None, **options: Any) -> list[Finding]:
    findings, errors = run([RULES[rule]], mesh_of(*texts, settings=settings), {rule: options})
    assert errors == []
    return findings


def sure(rule: str, *texts: str, settings: Settings | None = None) -> list[str]:
    return [finding.confidence for finding in found(rule, *texts, settings=settings)]


def service(selector: str, name: str = "cart", more: str = "") -> str:
    return (
        f"apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: shop{more}}}\n"
        f"spec: {{selector: {selector}, ports: [{{port: 80}}]}}\n"
    )


def deployment(labels: str, name: str = "cart", replicas: str = "") -> str:
    return (
        f"apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: shop}}\n"
        f"spec: {{{replicas}template: {{metadata: {{labels: {labels}}}, "
        "spec: {containers: [{name: a}]}}}\n"
    )


def istio(kind: str, spec: str, namespace: str = "shop", name: str = "a") -> str:
    return (
        f"apiVersion: networking.istio.io/v1\nkind: {kind}\n"
        f"metadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n"
    )


def namespace(name: str) -> str:
    return f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n"


class TestServiceSelectorEmptyMatch:
    rule = "service-selector-empty-match"
    operator = "apiVersion: example.com/v1\nkind: Database\nmetadata: {name: %s, namespace: shop}\n"

    @pytest.mark.parametrize(
        ("texts", "settings", "expected"),
        [
            ((service("{app: a}"),), None, []),
            ((service("{app: a}"),), COMPLETE, ["high"]),
            ((service("{app: a}"), deployment("{app: b}")), None, ["medium"]),
            ((service("{app: a}"), deployment("{app: b}", "web")), None, ["low"]),
            ((service("{app: a}"), deployment("{app: a}", "web")), None, []),
            ((service("{app: a}"), deployment("{app: b}")), Settings(remainder=True), []),
            ((service("{app: a}"), deployment("'{{ .Values.labels }}'")), None, []),
            ((service("{app: a}"), deployment("{app: '${APP}'}")), None, []),
            ((service("{app: '${APP}'}"), deployment("{app: b}")), None, []),
            ((service("{}"), deployment("{app: b}")), None, []),
            ((service("{statefulset.kubernetes.io/pod-name: a-0}"), deployment("{app: b}")), None, []),
            ((service("{istio: ingressgateway}"), deployment("{app: b}", "web")), None, []),
            ((service("{istio: ingressgateway}"),), COMPLETE, []),
            ((service("{app: istiod}"),), COMPLETE, []),
            (
                (service("{app: a}"), istio("WorkloadEntry", "{address: 1.1.1.1, labels: {app: a}}")),
                COMPLETE,
                [],
            ),
            ((service("{app: a}"), istio("WorkloadGroup", "{metadata: {labels: {app: a}}}")), COMPLETE, []),
            ((service("{db.example.com/cluster: main}"), operator % "db"), COMPLETE, ["high"]),
            ((service("{example.com/cluster: main}"), operator % "db"), COMPLETE, []),
            ((service("{example.com/cluster: main}"),), COMPLETE, ["high"]),
            ((service("{app: a}", "db-main"), deployment("{app: b}"), operator % "db"), None, []),
        ],
    )
    def test_evidence(self, texts: tuple[str, ...], settings: Settings | None, expected: list[str]) -> None:
        assert sure(self.rule, *texts, settings=settings) == expected

    def test_alternatives_of_the_workload_count(self) -> None:
        texts = (service("{app: a}"), deployment("{app: a}"), deployment("{app: b}"))
        assert found(self.rule, *texts) == []


class TestExportToUnknownNamespace:
    rule = "exportto-unknown-namespace"
    route = istio("VirtualService", '{hosts: [a], exportTo: [".", web]}')

    @pytest.mark.parametrize(
        ("texts", "settings", "expected"),
        [
            ((route,), None, []),
            ((route,), COMPLETE, ["high"]),
            ((route, namespace("shop")), None, ["low"]),
            ((route, namespace("shop")), Settings(remainder=True), []),
            ((route, namespace("shop")), Settings(may_exist=frozenset({("Namespace", "web")})), []),
            ((route, namespace("shop"), namespace("web")), None, []),
            ((route, istio("Sidecar", "{}", "web")), COMPLETE, []),
        ],
    )
    def test_evidence(self, texts: tuple[str, ...], settings: Settings | None, expected: list[str]) -> None:
        assert sure(self.rule, *texts, settings=settings) == expected

    @pytest.mark.parametrize("entry", [".", "*", "~", "${NAMESPACE}"])
    def test_entries_that_are_no_names(self, entry: str) -> None:
        text = istio("ServiceEntry", f"{{hosts: [a.example.com], exportTo: ['{entry}']}}")
        assert found(self.rule, text, settings=COMPLETE) == []


class TestWildcardDrHost:
    rule = "wildcard-dr-host"

    @pytest.mark.parametrize(
        ("host", "home", "expected"),
        [
            ("*.local", "shop", ["medium"]),
            ("*", "shop", ["medium"]),
            ("*.cluster.local", "shop", ["medium"]),
            ("*.svc.cluster.local", "shop", ["medium"]),
            ("*.pay.svc.cluster.local", "shop", ["medium"]),
            ("*.shop.svc.cluster.local", "shop", []),
            ("*.local", "istio-system", []),
            ("*.example.com", "shop", []),
            ("cart", "shop", []),
        ],
    )
    def test_hosts(self, host: str, home: str, expected: list[str]) -> None:
        assert sure(self.rule, istio("DestinationRule", f"{{host: '{host}'}}", home)) == expected

    def test_the_root_namespace_is_known(self) -> None:
        settings = Settings(root_namespace="mesh-root")
        text = istio("DestinationRule", "{host: '*.local'}", "istio-system")
        assert sure(self.rule, text, settings=settings) == ["high"]


class TestDeadObject:
    rule = "dead-object"
    gateway = istio(
        "Gateway",
        "{selector: {istio: gw}, "
        "servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']%s}]}",
        name="public",
    )
    route = istio(
        "VirtualService", "{hosts: [a.example.com], gateways: [%s], http: [{route: []}]}", name="route"
    )

    @pytest.mark.parametrize(
        ("texts", "settings", "expected"),
        [
            ((gateway % "",), None, []),
            ((gateway % "",), COMPLETE, ["high"]),
            ((gateway % "", route % "other"), None, ["low"]),
            ((gateway % "", route % "public"), COMPLETE, []),
            ((gateway % "", route % "shop/public"), COMPLETE, []),
            ((gateway % ", tls: {httpsRedirect: true}",), COMPLETE, []),
        ],
    )
    def test_gateways(self, texts: tuple[str, ...], settings: Settings | None, expected: list[str]) -> None:
        assert sure(self.rule, *texts, settings=settings) == expected

    @pytest.mark.parametrize(
        ("gateways", "expected"), [("[public]", []), ("[shop/public]", []), ("[stock/public]", ["high"])]
    )
    def test_gateways_of_a_canary(self, gateways: str, expected: list[str]) -> None:
        canary = (
            "apiVersion: flagger.app/v1beta1\nkind: Canary\nmetadata: {name: cart, namespace: shop}\n"
            f"spec: {{service: {{port: 80, gateways: {gateways}}}}}\n"
        )
        assert sure(self.rule, self.gateway % "", canary, settings=COMPLETE) == expected

    def test_gateways_of_knative(self) -> None:
        local = (self.gateway % "").replace("name: public", "name: knative-local-gateway")
        label = "name: public, labels: {networking.knative.dev/ingress-provider: istio}"
        labelled = (self.gateway % "").replace("name: public", label)
        assert sure(self.rule, local, labelled, settings=COMPLETE) == []


class TestDeploymentReplicas:
    rule = "deployment-replicas-1"

    @pytest.mark.parametrize(
        ("texts", "count"),
        [
            ((deployment("{app: a}"),), 1),
            ((deployment("{app: a}", replicas="replicas: 1, "),), 1),
            ((deployment("{app: a}", replicas="replicas: 2, "),), 0),
            ((deployment("{app: a}", replicas="replicas: 0, "),), 0),
            ((deployment("{app: a}", replicas="replicas: '${N}', "),), 0),
            ((deployment("{app: a}"), deployment("{app: a}", replicas="replicas: 2, ")), 0),
        ],
    )
    def test_replicas(self, texts: tuple[str, ...], count: int) -> None:
        assert len(found(self.rule, *texts)) == count

    def test_namespaces_that_are_left_out(self) -> None:
        assert found(self.rule, deployment("{app: a}"), ignore_namespaces=["sh*"]) == []


def test_one_missing_namespace_per_file() -> None:
    text = "apiVersion: v1\nkind: Service\nmetadata: {name: %s}\n---\n"
    findings = found("missing-namespace", (text % "a") + (text % "b"), text % "c")
    assert [(f.location.file, len(f.related)) for f in findings] == [("0.yaml", 1), ("1.yaml", 0)]


@pytest.mark.parametrize(
    "text",
    [
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n",
        "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: '${NAMESPACE}'}\n",
        "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: null}\n",
        "apiVersion: example.com/v1\nkind: Cluster\nmetadata: {name: a}\n",
    ],
)
def test_no_missing_namespace(text: str) -> None:
    assert found("missing-namespace", text) == []
