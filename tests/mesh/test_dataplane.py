"""Which proxy stands before a workload (spec security 1.5, 1.7), and what bypasses it (1.9)?"""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from meshlint.mesh.dataplane import DataPlane, proxy_identity
from meshlint.mesh.facts import Fact
from meshlint.mesh.mesh import Mesh
from tests.support import mesh_of

TRAFFIC = "traffic.sidecar.istio.io/"
NAMESPACE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Namespace",
    "metadata": {"name": "shop", "labels": {"istio-injection": "enabled"}},
}


def workload(
    annotations: dict[str, str] | None = None,
    labels: dict[str, str] | None = None,
    container: dict[str, Any] | None = None,
    **spec: Any,
) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "cart", "namespace": "shop"},
        "spec": {
            "template": {
                "metadata": {"labels": labels or {"app": "cart"}, "annotations": annotations or {}},
                "spec": {"containers": [{"name": "cart", "image": "x", **(container or {})}], **spec},
            }
        },
    }


def installation(**proxy: Any) -> dict[str, Any]:
    return {
        "apiVersion": "install.istio.io/v1alpha1",
        "kind": "IstioOperator",
        "metadata": {"name": "istio", "namespace": "istio-system"},
        "spec": {"values": {"global": {"proxy": proxy}}},
    }


def mesh_with(*objects: dict[str, Any]) -> Mesh:
    return mesh_of(*(yaml.safe_dump(o) for o in objects))


def plain(fact: Fact[bool]) -> bool | None:
    return fact.value if fact.known else None


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        pytest.param(workload(), DataPlane.SIDECAR, id="sidecar"),
        pytest.param(
            workload({"inject.istio.io/templates": "gateway"}), DataPlane.GATEWAY, id="gateway template"
        ),
        pytest.param(
            workload({"inject.istio.io/templates": "sidecar,spire"}), DataPlane.SIDECAR, id="two templates"
        ),
        pytest.param(workload({"inject.istio.io/templates": "grpc-agent"}), None, id="proxyless gRPC"),
        pytest.param(
            workload(container={"name": "istio-proxy", "args": ["proxy", "router"]}),
            DataPlane.GATEWAY,
            id="rendered gateway",
        ),
        pytest.param(
            workload(labels={"gateway.networking.k8s.io/gateway-name": "gw"}),
            DataPlane.GATEWAY,
            id="Gateway API",
        ),
        pytest.param(workload(labels={"istio": "ingressgateway"}), DataPlane.GATEWAY, id="ingress gateway"),
        pytest.param(workload(labels={"sidecar.istio.io/inject": "false"}), DataPlane.NONE, id="opts out"),
    ],
)
def test_data_plane(pod: dict[str, Any], expected: DataPlane | None) -> None:
    mesh = mesh_with(NAMESPACE, pod)
    plane = mesh.data_planes.of(mesh.workloads.all[0])
    assert (plane.value if plane.known else None) is expected


@pytest.mark.parametrize(
    ("annotations", "port", "expected"),
    [
        pytest.param({}, 8080, True, id="everything by default"),
        pytest.param({"excludeInboundPorts": "8080"}, 8080, False, id="excluded"),
        pytest.param({"excludeInboundPorts": "9090, 8080"}, 8080, False, id="excluded among others"),
        pytest.param({"excludeInboundPorts": "9090"}, 8080, True, id="another port excluded"),
        pytest.param({"includeInboundPorts": ""}, 8080, False, id="nothing included"),
        pytest.param({"includeInboundPorts": "80"}, 8080, False, id="not included"),
        pytest.param({"includeInboundPorts": "80,8080"}, 8080, True, id="included"),
        pytest.param(
            {"includeInboundPorts": "8080", "excludeInboundPorts": "8080"},
            8080,
            True,
            id="a list beats exclude",
        ),
        pytest.param({}, 15008, False, id="tunnel"),
        pytest.param({}, 15090, False, id="metrics of the proxy"),
        pytest.param({}, 15020, False, id="status of the proxy"),
        pytest.param({"excludeInboundPorts": "${PORTS}"}, 8080, None, id="templated"),
    ],
)
def test_captured_ports(annotations: dict[str, str], port: int, expected: bool | None) -> None:
    mesh = mesh_with(NAMESPACE, workload({TRAFFIC + key: value for key, value in annotations.items()}))
    assert plain(mesh.data_planes.captures(mesh.workloads.all[0], port)) is expected


def test_udp_is_not_captured() -> None:
    mesh = mesh_with(NAMESPACE, workload())
    assert mesh.data_planes.captures(mesh.workloads.all[0], 53, "UDP").is_(False)


@pytest.mark.parametrize(
    ("annotations", "ip", "port", "expected"),
    [
        pytest.param({}, "10.1.2.3", 80, True, id="everything by default"),
        pytest.param({}, "127.0.0.1", 80, False, id="local"),
        pytest.param({"excludeOutboundIPRanges": "0.0.0.0/0"}, "10.1.2.3", 80, False, id="all excluded"),
        pytest.param({"includeOutboundIPRanges": ""}, "10.1.2.3", 80, False, id="nothing included"),
        pytest.param({"includeOutboundIPRanges": "10.0.0.0/8"}, "10.1.2.3", 80, True, id="range included"),
        pytest.param(
            {"includeOutboundIPRanges": "10.0.0.0/8"}, "8.8.8.8", 80, False, id="range not included"
        ),
        pytest.param({"excludeOutboundIPRanges": "10.0.0.0/8"}, "10.1.2.3", 80, False, id="range excluded"),
        pytest.param(
            {"excludeOutboundIPRanges": "169.254.169.254/32"},
            "10.1.2.3",
            80,
            True,
            id="metadata server excluded",
        ),
        pytest.param({"excludeOutboundPorts": "443"}, "10.1.2.3", 443, False, id="port excluded"),
        pytest.param(
            {"includeOutboundIPRanges": "", "includeOutboundPorts": "80"},
            "10.1.2.3",
            80,
            True,
            id="port included",
        ),
    ],
)
def test_captured_connections(annotations: dict[str, str], ip: str, port: int, expected: bool) -> None:
    mesh = mesh_with(NAMESPACE, workload({TRAFFIC + key: value for key, value in annotations.items()}))
    assert mesh.data_planes.captures_outbound(mesh.workloads.all[0], ip, port).is_(expected)


def test_application_as_the_proxy_escapes() -> None:
    pod = workload(container={"securityContext": {"runAsUser": 1337}})
    mesh = mesh_with(NAMESPACE, pod)
    assert mesh.data_planes.captures_outbound(mesh.workloads.all[0], "10.1.2.3", 80).is_(False)


def test_values_of_the_chart_hold_for_all() -> None:
    mesh = mesh_with(installation(excludeInboundPorts="8080"), NAMESPACE, workload())
    assert mesh.data_planes.captures(mesh.workloads.all[0], 8080).is_(False)


@pytest.mark.parametrize(
    "annotations",
    [
        {"sidecar.istio.io/interceptionMode": "NONE"},
        {"proxy.istio.io/config": "interceptionMode: NONE\n"},
    ],
    ids=["annotation", "proxy configuration"],
)
def test_without_interception(annotations: dict[str, str]) -> None:
    mesh = mesh_with(NAMESPACE, workload(annotations))
    assert mesh.data_planes.captures(mesh.workloads.all[0], 8080).is_(False)
    sidecar = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Sidecar",
        "metadata": {"name": "cart", "namespace": "shop"},
        "spec": {
            "workloadSelector": {"labels": {"app": "cart"}},
            "ingress": [{"port": {"number": 8080}, "captureMode": "NONE"}],
        },
    }
    mesh = mesh_with(NAMESPACE, workload(annotations), sidecar)
    assert mesh.data_planes.captures(mesh.workloads.all[0], 8080).unknown


@pytest.mark.parametrize(
    ("spec", "container", "field"),
    [
        pytest.param({}, {"securityContext": {"runAsUser": 1337}}, "runAsUser", id="user"),
        pytest.param({}, {"securityContext": {"runAsGroup": 1337}}, "runAsGroup", id="group"),
        pytest.param({"securityContext": {"runAsUser": 1337}}, {}, "runAsUser", id="user of the pod"),
        pytest.param(
            {"securityContext": {"runAsUser": 1337}},
            {"securityContext": {"runAsUser": 1000}},
            "",
            id="container over pod",
        ),
        pytest.param(
            {"securityContext": {"runAsUser": 1337}}, {"name": "istio-proxy"}, "", id="the proxy itself"
        ),
        pytest.param({}, {}, "", id="nothing said"),
    ],
)
def test_identity_of_the_proxy(spec: dict[str, Any], container: dict[str, Any], field: str) -> None:
    mesh = mesh_with(NAMESPACE, workload(container=container, **spec))
    found = proxy_identity(mesh.workloads.all[0])
    assert [name for _, _, name in found] == ([field] if field else [])


def test_ambient_pod_may_bypass_inbound_capture() -> None:
    home = {**NAMESPACE, "metadata": {"name": "shop", "labels": {"istio.io/dataplane-mode": "ambient"}}}
    for written, expected in (({}, True), ({"ambient.istio.io/bypass-inbound-capture": "true"}, False)):
        mesh = mesh_with(home, workload(written))
        assert mesh.data_planes.captures(mesh.workloads.all[0], 8080).is_(expected)


def test_rollout_with_a_borrowed_template() -> None:
    rollout = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": "cart", "namespace": "shop"},
        "spec": {"workloadRef": {"apiVersion": "v1", "kind": "PodTemplate", "name": "cart"}},
    }
    template = {
        "apiVersion": "v1",
        "kind": "PodTemplate",
        "metadata": {"name": "cart", "namespace": "shop"},
        "template": workload()["spec"]["template"],
    }
    mesh = mesh_with(NAMESPACE, rollout, template)
    assert [w.title for w in mesh.workloads.all] == ["PodTemplate shop/cart"]
    deployment = {**rollout, "spec": {"workloadRef": {"kind": "Deployment", "name": "cart"}}}
    mesh = mesh_with(NAMESPACE, deployment, workload())
    assert [w.title for w in mesh.workloads.all] == ["Deployment shop/cart"]
