"""Ports of Services: the table of spec traffic 1.7, and Services that disagree."""

from __future__ import annotations

import pytest

from tests.checks.traffic.support import deployment, findings, service

INJECTED = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {istio-injection: enabled}}"
NAME, APP = ("IST0118", "KIA0601"), ("IST0118", "KIA0602")


def said(rule: str, *texts: str) -> list[tuple[str, str, tuple[str, ...]]]:
    found = findings(rule, *texts, INJECTED, deployment("a"))
    return [(f.severity, f.confidence, f.equivalents) for f in found]


@pytest.mark.parametrize(
    ("port", "expected"),
    [
        ("name: http, port: 80", None),
        ("name: http-web, port: 80", None),
        ("name: HTTP-x, port: 80", None),
        ("name: web, port: 80", ("info", NAME)),
        ("name: httpweb, port: 80", ("info", NAME)),
        ("name: grpc-api, port: 80", None),
        ("name: grpcapi, port: 80", ("warning", NAME)),
        ("name: tcp-http, port: 80", None),
        ("name: https, port: 443", None),
        ("name: mysql, port: 3306", None),
        ("port: 3306", None),
        ("name: web, appProtocol: http, port: 80", None),
        ("name: http, appProtocol: tcp, port: 80", None),
        ("name: http, appProtocol: mycorp.io/foo, port: 80", ("info", APP)),
        ("name: http, appProtocol: kubernetes.io/h2c, port: 80", None),
        ("port: 9092", ("info", NAME)),
        ("name: web, port: 53, protocol: UDP", None),
        ('name: "${NAME}", port: 80', None),
    ],
)
def test_1_7_names(port: str, expected: tuple[str, tuple[str, ...]] | None) -> None:
    found = said("port-naming", service(ports=f"[{{{port}}}]"))
    assert found == ([] if expected is None else [(expected[0], "high", expected[1])])


def test_pods_without_a_proxy_need_no_names() -> None:
    assert findings("port-naming", service(ports="[{name: web, port: 80}]"), deployment("a")) == []


def test_pods_that_are_not_in_the_input() -> None:
    (found,) = findings("port-naming", service(ports="[{name: web, port: 80}]"), INJECTED)
    assert (found.confidence, found.equivalents) == ("low", NAME)
    assert findings("port-naming", service(ports="[{name: http, port: 80}]"), INJECTED) == []


@pytest.mark.parametrize(
    ("port", "said"),
    [
        ("name: tcp, port: 443", True),
        ("name: tcp, port: 3306", True),
        ("name: web, port: 443", True),
        ("port: 443", True),
        ("port: 3306", False),
        ("name: tls, port: 443", False),
        ("name: tcp-web, port: 443", False),
        ('name: "${NAME}", port: 443', False),
    ],
)
def test_ports_of_an_external_name(port: str, said: bool) -> None:
    alias = f"""
apiVersion: v1
kind: Service
metadata: {{name: pay, namespace: shop}}
spec: {{type: ExternalName, externalName: pay.example.com, ports: [{{{port}}}]}}
"""
    found = findings("port-naming", alias)
    assert [(f.confidence, f.equivalents) for f in found] == ([("low", ("IST0150",))] if said else [])


def two(first: str, second: str) -> tuple[str, str]:
    other = service("b", ports=f"[{{{second}}}]").replace("app: b", "app: a")
    return service(ports=f"[{{{first}}}]"), other


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("name: http, port: 80", "name: tcp, port: 80", [("warning", "high", ("IST0116",))]),
        ("name: http, port: 80", "name: https, port: 80", [("warning", "high", ("IST0116",))]),
        ("name: http, port: 80", "name: grpc, port: 80", []),
        ("name: http, port: 80", "name: web, port: 80", []),
        ("name: http, port: 80", "name: dns, port: 80, protocol: UDP", []),
        ("name: http, port: 80", "name: tcp, port: 81", []),
        (
            "name: http, port: 80, targetPort: 8080", "name: tcp, port: 81, targetPort: 8080",
            [("warning", "high", ("IST0137",))],
        ),
        (
            "name: http, port: 80, targetPort: 8080", "name: http, port: 81, targetPort: 8080",
            [("info", "low", ("IST0137",))],
        ),
    ],
)  # fmt: skip
def test_services_of_one_pod(
    first: str, second: str, expected: list[tuple[str, str, tuple[str, ...]]]
) -> None:
    assert said("service-conflicting-ports", *two(first, second)) == expected


def test_it_is_said_about_the_pods() -> None:
    texts = (*two("name: http, port: 80", "name: tcp, port: 80"), INJECTED, deployment("a"))
    (found,) = findings("service-conflicting-ports", *texts)
    assert found.resource is not None
    assert (found.resource.kind, found.location.path) == ("Deployment", "/spec/ports/0/name")


def test_versions_of_a_service_do_not_disagree() -> None:
    texts = (service(ports="[{name: http, port: 80}]"), service(ports="[{name: tcp, port: 80}]"))
    assert said("service-conflicting-ports", *texts) == []


@pytest.mark.parametrize(
    "labels", ["istio: ingressgateway, app: a", "gateway.networking.k8s.io/gateway-name: gw, app: a"]
)
def test_gateways_know_their_protocols(labels: str) -> None:
    pods = deployment("a", labels=labels)
    texts = (*two("name: status, port: 80", "name: tcp, port: 80"), INJECTED, pods)
    assert findings("port-naming", *texts) == []
    assert findings("service-conflicting-ports", *texts) == []
