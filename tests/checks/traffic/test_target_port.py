"""Which ports of Services lead nowhere, and how sure is that? (kiali-validations KIA0701)"""

from __future__ import annotations

from typing import Any

import pytest

from tests.checks.findings import findings

RULE = "service-target-port"


def service(port: str, more: str = "", labels: str = "{}") -> str:
    return f"""
apiVersion: v1
kind: Service
metadata: {{name: cart, namespace: shop, labels: {labels}}}
spec: {{selector: {{app: cart}}, {more}ports: [{port}]}}
"""


def pod(ports: str, more: str = "", name: str = "cart", kind: str = "", init: str = "") -> str:
    spec = f"{{containers: [{{name: cart, image: cart, ports: {ports}{more}}}], initContainers: [{init}]}}"
    metadata = f"{{name: {name}, namespace: shop, labels: {{app: cart}}}}"
    if not kind:
        return f"apiVersion: v1\nkind: Pod\nmetadata: {metadata}\nspec: {spec}\n"
    template = f"{{metadata: {{labels: {{app: cart}}}}, spec: {spec}}}"
    version = "batch/v1" if kind == "Job" else "apps/v1"
    return (
        f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: {name}, namespace: shop}}\n"
        f"spec: {{template: {template}}}\n"
    )


WEB = "[{name: web, containerPort: 8080}]"
BARE = pod(WEB)


def said(*texts: str, config: dict[str, Any] | None = None) -> list[str]:
    found = findings(*texts, rules=(RULE,), config=config)
    assert all(finding.equivalents == ("KIA0701",) for finding in found)
    return [f"{finding.severity} {finding.confidence}" for finding in found]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        pytest.param((service("{port: 80, targetPort: web}"), BARE), [], id="named"),
        pytest.param((service("{port: 80, targetPort: http}"), BARE), ["error high"], id="no such name"),
        pytest.param(
            (service('{port: 80, targetPort: "8080"}'), BARE), ["error high"], id="a number in quotes"
        ),
        pytest.param(
            (service("{port: 80, targetPort: web, protocol: UDP}"), BARE), ["error high"], id="protocol"
        ),
        pytest.param(
            (service("{port: 80, targetPort: http}", "clusterIP: None, "), BARE),
            ["error medium"],
            id="headless",
        ),
        pytest.param(
            (service("{port: 80, targetPort: http}"), pod(WEB, kind="StatefulSet")),
            ["error high"],
            id="labels of the template",
        ),
        pytest.param((service("{port: 80, targetPort: http}"),), [], id="no pods"),
        pytest.param(
            (service("{port: 80, targetPort: http}"), pod(WEB, name="migrate", kind="Job")),
            [],
            id="a Job alone",
        ),
        pytest.param(
            (
                service("{port: 80, targetPort: dapr-grpc}"),
                BARE.replace("labels:", 'annotations: {dapr.io/enabled: "true"}, labels:'),
            ),
            [],
            id="another injector",
        ),
        pytest.param(
            (
                service("{port: 80, targetPort: http}"),
                BARE,
                pod("[{name: http, containerPort: 80}]", name="b"),
            ),
            [],
            id="some pods have it",
        ),
        pytest.param(
            (
                service("{port: 80, targetPort: proxy}"),
                pod(
                    WEB,
                    init="{name: p, restartPolicy: Always, ports: [{name: proxy, containerPort: 1}]}",
                ),
            ),
            [],
            id="a container that keeps running",
        ),
        pytest.param((service("{port: 80, targetPort: '${PORT}'}"), BARE), [], id="templated target"),
        pytest.param(
            (service("{port: 80, targetPort: http}"), pod("[{name: '${NAME}', containerPort: 80}]")),
            [],
            id="templated name",
        ),
        pytest.param((service("{port: 80, targetPort: http}"), pod("'${PORTS}'")), [], id="templated ports"),
        pytest.param(
            (service("{port: 80, targetPort: http}"), pod("[{name: web, containerPort: 80}, '${MORE}']")),
            [],
            id="perhaps more ports",
        ),
        pytest.param(
            (
                service(
                    "{port: 80, targetPort: http}",
                    labels="{gateway.istio.io/managed: istio.io-gateway-controller}",
                ),
                BARE,
            ),
            [],
            id="made by Istio",
        ),
        pytest.param((service("{port: 80, targetPort: 8080}"), BARE), [], id="number"),
        pytest.param((service("{port: 8080}"), BARE), [], id="the same number"),
        pytest.param((service("{port: 80}"), BARE), ["warning low"], id="not declared"),
        pytest.param((service("{port: 80, targetPort: 0}"), BARE), ["warning low"], id="zero"),
        pytest.param((service("{port: 80}"), pod("[]")), [], id="nothing declared"),
        pytest.param((service("{port: 80}"), pod(WEB, ", args: [--port=80]")), [], id="in an argument"),
        pytest.param(
            (service("{port: 80}"), pod(WEB, ", args: [--port=8000]")), ["warning low"], id="another number"
        ),
        pytest.param(
            (
                service("{port: 80}"),
                pod(WEB, ", envFrom: [{configMapRef: {name: cart-settings}}]"),
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: cart-settings, namespace: shop}\n"
                'data: {LISTEN: "0.0.0.0:80"}\n',
            ),
            [],
            id="in a ConfigMap",
        ),
    ],
)
def test_target_port(texts: tuple[str, ...], expected: list[str]):
    assert said(*texts) == expected


def test_pods_of_a_template_file_may_have_the_port():
    chart = 'apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: {{ .Values.name }}}\nspec: {{ "{}" }}\n'
    files = {"a.yaml": service("{port: 80, targetPort: http}"), "b.yaml": BARE, "chart.yaml": chart}
    assert [f.confidence for f in findings(rules=(RULE,), files=files)] == ["low"]


def test_pods_of_another_file_may_be_those_of_another_namespace():
    bare = [text.replace(", namespace: shop", "") for text in (service("{port: 80, targetPort: a}"), BARE)]
    assert said("---\n".join(bare)) == ["error high"]
    files = {"a/service.yaml": bare[0], "b/pod.yaml": bare[1]}
    assert [f.confidence for f in findings(rules=(RULE,), files=files)] == ["low"]
