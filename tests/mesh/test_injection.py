"""The tables of spec security 1.14, 1.8 and 1.6: which pods are injected?"""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from meshlint.mesh.facts import Fact
from meshlint.mesh.injection import Injected
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.scope import Settings
from meshlint.policy.rules import load_rules
from meshlint.policy.run import run
from tests.support import mesh_of

INJECT = "sidecar.istio.io/inject"
REV = "istio.io/rev"
TEMPLATES = "inject.istio.io/templates"
IP_RANGES = "traffic.sidecar.istio.io/excludeOutboundIPRanges"
ENABLED = {"istio-injection": "enabled"}

UNKNOWN, INVALID = "UNKNOWN", "INVALID"
RULES = load_rules()


def operator(revision: str = "", **values: Any) -> dict[str, Any]:
    return {
        "apiVersion": "install.istio.io/v1alpha1",
        "kind": "IstioOperator",
        "metadata": {"name": f"istio-{revision}", "namespace": "istio-system"},
        "spec": {**({"revision": revision} if revision else {}), "values": values},
    }


def control_plane(revision: str) -> dict[str, Any]:
    """A rendered control plane: its mesh configuration."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"istio-{revision}", "namespace": "istio-system"},
        "data": {"mesh": "rootNamespace: istio-system\n"},
    }


def tag(name: str, revision: str) -> dict[str, Any]:
    return {
        "apiVersion": "sailoperator.io/v1",
        "kind": "IstioRevisionTag",
        "metadata": {"name": name},
        "spec": {"targetRef": {"kind": "IstioRevision", "name": revision}},
    }


BOTH = [operator(), operator("canary")]
POLICY_OFF = [operator(**{"global": {"proxy": {"autoInject": "disabled"}}})]
AUTO = [operator(sidecarInjectorWebhook={"enableNamespacesByDefault": True})]


def selecting(name: str) -> list[dict[str, Any]]:
    return [operator(sidecarInjectorWebhook={name: [{"matchLabels": {"app": "x"}}]})]


def namespace(labels: dict[str, Any] | None, name: str = "shop") -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels or {}}}


def pod(
    labels: dict[str, Any] | None = None,
    annotations: dict[str, Any] | None = None,
    *,
    name: str = "shop",
    image: str = "",
    **spec: Any,
) -> dict[str, Any]:
    container = {"name": "istio-proxy", "image": image} if image else {"name": "app", "image": "example/app"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "cart", "namespace": name},
        "spec": {
            "template": {
                "metadata": {"labels": labels or {}, "annotations": annotations or {}},
                "spec": {"containers": [container], **spec},
            }
        },
    }


def on_deployment(value: str) -> dict[str, Any]:
    workload = pod()
    workload["metadata"]["labels"] = {INJECT: value}
    return workload


def on_job_template(value: str) -> dict[str, Any]:
    template = pod()["spec"]["template"]
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "cart", "namespace": "shop"},
        "spec": {"jobTemplate": {"metadata": {"labels": {INJECT: value}}, "spec": {"template": template}}},
    }


def on_knative_service(value: str) -> dict[str, Any]:
    workload = on_deployment(value)
    workload.update(apiVersion="serving.knative.dev/v1", kind="Service")
    return workload


def mesh_with(*objects: dict[str, Any] | None, settings: Settings | None = None) -> Mesh:
    return mesh_of(*(yaml.safe_dump(o) for o in objects if o is not None), settings=settings)


def answer(mesh: Mesh) -> str | None:
    """The revision that injects the only workload, None, UNKNOWN or INVALID."""
    workload = mesh.workloads.all[0]
    fact: Fact[Injected | None] = mesh.injection.of(workload)
    if fact.known:
        return fact.value.revision if fact.value is not None else None
    return INVALID if mesh.injection.refusals(workload) else UNKNOWN


def rules_found(mesh: Mesh) -> set[str]:
    findings, errors = run([r for r in RULES.values() if r.info.family == "injection"], mesh)
    assert errors == []
    return {f.rule.removeprefix("injection-") for f in findings}


CASES = [
    # id, namespace labels (None: not in the input), workload, expected, rule, installation
    ("I1", {}, pod(), None, "missing", BOTH),
    ("I2", ENABLED, pod(), "default", "", BOTH),
    ("I3", {"istio-injection": "disabled"}, pod({INJECT: "true"}), None, "", BOTH),
    ("I4", ENABLED, pod({INJECT: "false"}), None, "opt-out", BOTH),
    ("I5", {}, pod({INJECT: "true"}), "default", "", BOTH),
    ("I6", {}, pod(None, {INJECT: "true"}), None, "label-on-wrong-object", BOTH),
    ("I7", {REV: "canary"}, pod(), "canary", "", BOTH),
    ("I8", {REV: "canary"}, pod({INJECT: "true"}), "canary", "", BOTH),
    ("I9", {}, pod({REV: "canary"}), "canary", "", BOTH),
    ("I10", {}, pod({INJECT: "true", REV: "canary"}), "canary", "", BOTH),
    ("I11", ENABLED, pod({REV: "canary"}), "default", "conflicting-labels", BOTH),
    ("I12", {**ENABLED, REV: "canary"}, pod(), "default", "conflicting-labels", BOTH),
    ("I13", {"istio-injection": "disabled", REV: "canary"}, pod({INJECT: "true"}), None, "", BOTH),
    ("I14", {REV: "ghost"}, pod({INJECT: "true"}), None, "unknown-revision", BOTH),
    ("I15", {"istio-injection": "true"}, pod({INJECT: "true"}), None, "invalid-value", BOTH),
    ("I16", {"istio-injection": "Enabled"}, pod(), None, "invalid-value", BOTH),
    ("I17", ENABLED, pod({INJECT: "yes"}), "default", "invalid-value", BOTH),
    ("I18", {}, pod({INJECT: "True"}), None, "invalid-value", BOTH),
    ("I19", ENABLED, pod({INJECT: "False"}), "default", "invalid-value", BOTH),
    ("I20", ENABLED, pod({INJECT: True}), INVALID, "invalid-value", BOTH),
    ("I21", ENABLED, pod(hostNetwork=True), None, "host-network", BOTH),
    ("I24", ENABLED, pod(None, {INJECT: "false"}), None, "annotation-deprecated", BOTH),
    ("I25", ENABLED, pod({INJECT: "true"}, {INJECT: "false"}), "default", "conflicting-labels", BOTH),
    ("I26", ENABLED, pod({INJECT: ""}, {INJECT: "true"}), "default", "invalid-value", BOTH),
    ("I27", ENABLED, pod(), None, "", POLICY_OFF),
    ("I28", ENABLED, pod({INJECT: "true"}), "default", "", POLICY_OFF),
    ("I29", ENABLED, pod({"app": "x"}), None, "", selecting("neverInjectSelector")),
    ("I30", ENABLED, pod({"app": "x", INJECT: "true"}), "default", "", selecting("neverInjectSelector")),
    ("I31", {}, pod({"app": "x"}), None, "missing", selecting("alwaysInjectSelector")),
    ("I32", {}, pod(), "default", "by-default", AUTO),
    ("I33", {}, pod({INJECT: "yes"}), None, "invalid-value", AUTO),
    ("I34", ENABLED, pod(), None, "unknown-revision", [control_plane("canary")]),
    ("I35", ENABLED, pod(), "default", "", [control_plane("canary"), tag("default", "canary")]),
    ("I36", {REV: "default"}, pod(), "default", "", [operator()]),
    ("I37", ENABLED, on_deployment("false"), "default", "label-on-wrong-object", BOTH),
    ("I38", {}, on_deployment("true"), None, "label-on-wrong-object", BOTH),
    ("I39", None, pod(), UNKNOWN, "", BOTH),
    ("I40", None, pod({INJECT: "false"}), None, "", BOTH),
    ("I41", None, pod({INJECT: "true"}), UNKNOWN, "", BOTH),
    ("I42", None, pod(hostNetwork=True), None, "", BOTH),
    ("I43", ENABLED, pod(None, {TEMPLATES: "nope"}), INVALID, "invalid-value", BOTH),
    ("I44", ENABLED, pod(None, {IP_RANGES: "10.0.0.1"}), INVALID, "invalid-value", BOTH),
    ("I44b", ENABLED, pod(None, {IP_RANGES: "10.0.0.0/8, 192.168.0.0/16"}), INVALID, "invalid-value", BOTH),
    (
        "I45",
        {"istio-injection": "disabled"},
        pod({INJECT: "true"}, {TEMPLATES: "gateway"}, image="auto"),
        None,
        "image-auto",
        BOTH,
    ),
    ("I46", {REV: ""}, pod({INJECT: "true"}), None, "unknown-revision", BOTH),
    ("I47", {"istio-injection": "{{ .Values.mesh }}"}, pod(), UNKNOWN, "", BOTH),
    ("I48", ENABLED, on_job_template("false"), "default", "label-on-wrong-object", BOTH),
    ("I49", ENABLED, on_knative_service("false"), "default", "label-on-wrong-object", BOTH),
]


@pytest.mark.parametrize(
    ("labels", "workload", "expected", "rule", "installation"),
    [c[1:] for c in CASES],
    ids=[c[0] for c in CASES],
)
def test_injection(
    labels: dict[str, Any] | None,
    workload: dict[str, Any],
    expected: str | None,
    rule: str,
    installation: list[dict[str, Any]],
) -> None:
    home = namespace(labels) if labels is not None else None
    mesh = mesh_with(*installation, home, workload)
    assert answer(mesh) == expected
    found = rules_found(mesh)
    assert rule in found if rule else not found


@pytest.mark.parametrize(
    ("name", "expected"),
    [pytest.param("kube-system", None, id="I22"), pytest.param("istio-system", "default", id="I23")],
)
def test_system_namespaces(name: str, expected: str | None) -> None:
    mesh = mesh_with(*BOTH, namespace(ENABLED, name), pod(name=name))
    assert answer(mesh) == expected


def test_templated_label_of_the_pod_is_unknown() -> None:
    mesh = mesh_with(namespace(ENABLED), pod({INJECT: "${INJECT}"}))
    assert answer(mesh) == UNKNOWN
    assert not rules_found(mesh)


def test_templated_labels_of_the_pod_are_unknown() -> None:
    workload = pod()
    workload["spec"]["template"]["metadata"]["labels"] = "${LABELS}"
    assert answer(mesh_with(namespace(ENABLED), workload)) == UNKNOWN


def test_openshift_service_mesh_2_is_unknown() -> None:
    roll = {
        "apiVersion": "maistra.io/v1",
        "kind": "ServiceMeshMemberRoll",
        "metadata": {"name": "default", "namespace": "istio-system"},
        "spec": {"members": ["shop"]},
    }
    mesh = mesh_with(roll, namespace({}), pod(None, {INJECT: "true"}))
    assert answer(mesh) == UNKNOWN
    assert not rules_found(mesh)


def test_opt_out_of_a_pod_is_certain_without_its_namespace() -> None:
    mesh = mesh_with(pod({INJECT: "false"}))
    fact = mesh.injection.of(mesh.workloads.all[0])
    assert fact.value is None
    assert fact.certain
    assert [place.text for place in fact.because] == ["false"]


def test_absent_labels_are_certain_only_in_a_complete_input() -> None:
    for complete in (False, True):
        mesh = mesh_with(namespace({}), pod(), settings=Settings(complete=complete))
        assert mesh.injection.of(mesh.workloads.all[0]).certain is complete


def test_revision_that_the_input_does_not_know_is_unknown_without_an_installation() -> None:
    assert answer(mesh_with(namespace({REV: "stable"}), pod())) == UNKNOWN
    assert answer(mesh_with(namespace({REV: "asm-managed"}), pod())) == "asm-managed"


def confidences(*objects: dict[str, Any], complete: bool = False) -> list[str]:
    mesh = mesh_with(*objects, settings=Settings(complete=complete))
    return [f.confidence for f in run([RULES["injection-unknown-revision"]], mesh)[0]]


def test_a_tag_from_the_command_line_is_in_no_file() -> None:
    stable = [operator("1-27-0"), namespace({REV: "stable"}), pod()]
    assert confidences(*stable) == ["low"]
    assert confidences(*stable, tag("prod", "1-27-0")) == ["medium"]
    assert confidences(*stable, complete=True) == ["high"]
    assert confidences(operator("1-27-0"), namespace({REV: "1-26-2"}), pod()) == ["medium"]


WRONG_PLACES = [
    # id, namespace labels, workload, effect (is it injected?), rule, severity of the finding
    ("owner label true, no injection", {}, on_deployment("true"), False, "label-on-wrong-object", "error"),
    ("owner label true, injection", ENABLED, on_deployment("true"), True, "label-on-wrong-object", "info"),
    (
        "owner label false, injection",
        ENABLED,
        on_deployment("false"),
        True,
        "label-on-wrong-object",
        "warning",
    ),
    ("annotation true", {}, pod(None, {INJECT: "true"}), False, "label-on-wrong-object", "error"),
    ("annotation false", ENABLED, pod(None, {INJECT: "false"}), False, "annotation-deprecated", "info"),
    (
        "annotation true, label false",
        ENABLED,
        pod({INJECT: "false"}, {INJECT: "true"}),
        False,
        "conflicting-labels",
        "warning",
    ),
    (
        "annotation false, label true",
        {},
        pod({INJECT: "true"}, {INJECT: "false"}),
        True,
        "conflicting-labels",
        "warning",
    ),
    ("label enabled, injection", ENABLED, pod({INJECT: "enabled"}), True, "invalid-value", "warning"),
    ("label enabled, no injection", {}, pod({INJECT: "enabled"}), False, "invalid-value", "error"),
    ("label off, injection", ENABLED, pod({INJECT: "off"}), True, "invalid-value", "error"),
    ("namespace value", {"istio-injection": "on"}, pod({INJECT: "true"}), False, "invalid-value", "error"),
    ("both namespace labels", {**ENABLED, REV: "canary"}, pod(), True, "conflicting-labels", "error"),
    ("pod revision", {REV: "canary"}, pod({REV: "default"}), True, "conflicting-labels", "warning"),
    ("unknown revision", {REV: "x"}, pod({INJECT: "true"}), False, "unknown-revision", "error"),
    (
        "ambient and sidecar",
        {**ENABLED, "istio.io/dataplane-mode": "ambient"},
        pod(),
        True,
        "ambient-and-sidecar",
        "error",
    ),
    ("namespace label on a pod", ENABLED, pod(ENABLED), True, "label-on-wrong-object", "warning"),
]


@pytest.mark.parametrize(
    ("labels", "workload", "injected", "rule", "severity"),
    [c[1:] for c in WRONG_PLACES],
    ids=[c[0] for c in WRONG_PLACES],
)
def test_wrong_places_and_values(
    labels: dict[str, Any], workload: dict[str, Any], injected: bool, rule: str, severity: str
) -> None:
    mesh = mesh_with(*BOTH, namespace(labels), workload)
    assert (answer(mesh) is not None) is injected
    findings, errors = run([RULES[f"injection-{rule}"]], mesh)
    assert errors == []
    assert [f.severity for f in findings] == [severity]


def test_namespace_annotation_has_no_meaning() -> None:
    home = namespace({})
    home["metadata"]["annotations"] = dict(ENABLED)
    mesh = mesh_with(*BOTH, home, pod())
    assert answer(mesh) is None
    assert "label-on-wrong-object" in rules_found(mesh)


REFUSED = [
    ("sidecar.istio.io/interceptionMode", "redirect"),
    ("status.sidecar.istio.io/port", "70000"),
    ("readiness.status.sidecar.istio.io/periodSeconds", "2s"),
    ("traffic.sidecar.istio.io/includeOutboundIPRanges", "10.0.0.1"),
    ("traffic.sidecar.istio.io/excludeOutboundIPRanges", "*"),
    ("traffic.sidecar.istio.io/includeInboundPorts", "http"),
    ("traffic.sidecar.istio.io/excludeInboundPorts", "*"),
    ("traffic.sidecar.istio.io/excludeOutboundPorts", "1-100"),
    ("istio.io/reroute-virtual-interfaces", "a-very-long-interface-name"),
    ("prometheus.istio.io/merge-metrics", "yes"),
    ("proxy.istio.io/config", "concurrency: ["),
    ("sidecar.istio.io/proxyCPU", "lots"),
    (TEMPLATES, ""),
]
ACCEPTED = [
    ("sidecar.istio.io/interceptionMode", "TPROXY"),
    ("status.sidecar.istio.io/port", "0"),
    ("readiness.status.sidecar.istio.io/periodSeconds", "2"),
    ("traffic.sidecar.istio.io/includeOutboundIPRanges", "*"),
    ("traffic.sidecar.istio.io/includeOutboundIPRanges", ""),
    ("traffic.sidecar.istio.io/excludeOutboundIPRanges", "10.0.0.0/8,fd00::/8"),
    ("traffic.sidecar.istio.io/includeInboundPorts", "80, 443"),
    ("traffic.sidecar.istio.io/includeOutboundPorts", "anything"),
    ("istio.io/reroute-virtual-interfaces", "net1,net2"),
    ("prometheus.istio.io/merge-metrics", "False"),
    ("proxy.istio.io/config", "concurrency: 2"),
    ("sidecar.istio.io/proxyCPU", "100m"),
    ("sidecar.istio.io/proxyMemory", "1.5Gi"),
    (TEMPLATES, "sidecar, grpc-agent"),
]


@pytest.mark.parametrize(("key", "value"), REFUSED)
def test_refused_annotations(key: str, value: str) -> None:
    assert answer(mesh_with(*BOTH, namespace(ENABLED), pod(None, {key: value}))) == INVALID


@pytest.mark.parametrize(("key", "value"), ACCEPTED)
def test_accepted_annotations(key: str, value: str) -> None:
    assert answer(mesh_with(*BOTH, namespace(ENABLED), pod(None, {key: value}))) == "default"


def test_custom_template_without_an_installation_is_no_error() -> None:
    mesh = mesh_with(namespace(ENABLED), pod(None, {TEMPLATES: "sidecar,spire"}))
    injected = mesh.injection.of(mesh.workloads.all[0]).value
    assert injected is not None
    assert injected.templates == ("sidecar", "spire")


def test_manually_injected() -> None:
    workload = pod(None, {"sidecar.istio.io/status": "{}"})
    workload["spec"]["template"]["spec"]["containers"].append(
        {"name": "istio-proxy", "image": "istio/proxyv2:1.20.0", "args": ["proxy", "sidecar"]}
    )
    mesh = mesh_with(workload)
    assert mesh.injection.of(mesh.workloads.all[0]).value == Injected("", ("sidecar",), manual=True)


WEBHOOKS = """
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata:
  name: istio-sidecar-injector
webhooks:
  - name: namespace.sidecar-injector.istio.io
    clientConfig:
      service: {name: istiod, namespace: istio-system, path: /inject}
    rules:
      - {operations: [CREATE], apiGroups: [""], apiVersions: [v1], resources: [pods]}
    namespaceSelector:
      matchExpressions:
        - {key: team, operator: In, values: [shop]}
    objectSelector:
      matchExpressions:
        - {key: sidecar.istio.io/inject, operator: NotIn, values: ["false"]}
"""


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        pytest.param({"team": "shop"}, "default", id="selected"),
        pytest.param({"team": "other"}, None, id="not selected"),
        pytest.param(None, UNKNOWN, id="namespace not in the input"),
    ],
)
def test_webhooks_of_the_input(labels: dict[str, str] | None, expected: str | None) -> None:
    home = namespace(labels) if labels is not None else None
    texts = [yaml.safe_dump(o) for o in (*BOTH, home, pod()) if o is not None]
    assert answer(mesh_of(*texts, WEBHOOKS)) == expected


def test_webhook_with_conditions_is_unknown() -> None:
    conditional = WEBHOOKS + "    matchConditions: [{name: a, expression: 'true'}]\n"
    texts = [yaml.safe_dump(o) for o in (*BOTH, namespace({"team": "shop"}), pod())]
    assert answer(mesh_of(*texts, conditional)) == UNKNOWN


@pytest.mark.parametrize(
    ("annotation", "version", "platform", "expected"),
    [
        pytest.param("false", "", "", False, id="annotation off"),
        pytest.param("true", "1.20", "", True, id="annotation on"),
        pytest.param("", "1.26", "", False, id="before 1.27"),
        pytest.param("", "1.27", "", None, id="since 1.27 the nodes decide"),
        pytest.param("", "", "kyma", True, id="Kyma"),
    ],
)
def test_native_sidecars(annotation: str, version: str, platform: str, expected: bool | None) -> None:
    written = {"sidecar.istio.io/nativeSidecar": annotation} if annotation else {}
    settings = Settings(istio_version=version, platform=platform)
    mesh = mesh_with(namespace(ENABLED), pod(None, written), settings=settings)
    native = mesh.injection.native_sidecar(mesh.workloads.all[0])
    assert (native.value if native.known else None) is expected


def test_revisions_have_configurations_of_their_own() -> None:
    off = operator("canary", **{"global": {"proxy": {"autoInject": "disabled"}}})
    assert answer(mesh_with(operator(), off, namespace({REV: "canary"}), pod())) is None
    assert answer(mesh_with(operator(), off, namespace(ENABLED), pod())) == "default"


def exactly(*pairs: tuple[str, str, list[str] | None]) -> dict[str, Any]:
    """A LabelSelector of match expressions."""
    return {
        "matchExpressions": [
            {"key": key, "operator": operator, **({"values": values} if values is not None else {})}
            for key, operator, values in pairs
        ]
    }


def rendered_webhooks(revision: str, default: bool) -> dict[str, Any]:
    """The webhooks of one control plane, as the table of 1.3 lists them."""
    on = (INJECT, "NotIn", ["false"])
    no_label, no_revision = ("istio-injection", "DoesNotExist", None), (REV, "DoesNotExist", None)
    hooks = [
        ("rev.namespace", exactly((REV, "In", [revision]), no_label), exactly(on)),
        ("rev.object", exactly(no_revision, no_label), exactly(on, (REV, "In", [revision]))),
    ]
    if default:
        hooks += [
            ("namespace", exactly(("istio-injection", "In", ["enabled"])), exactly(on)),
            ("object", exactly(no_label, no_revision), exactly((INJECT, "In", ["true"]), no_revision)),
        ]
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": f"istio-sidecar-injector-{revision}", "labels": {REV: revision}},
        "webhooks": [
            {
                "name": f"{name}.sidecar-injector.istio.io",
                "clientConfig": {"service": {"name": "istiod", "namespace": "istio-system"}},
                "rules": [{"operations": ["CREATE"], "apiGroups": [""], "resources": ["pods"]}],
                "namespaceSelector": of_namespace,
                "objectSelector": of_object,
            }
            for name, of_namespace, of_object in hooks
        ],
    }


@pytest.mark.parametrize(
    ("labels", "workload", "expected"),
    [pytest.param(c[1], c[2], c[3], id=c[0]) for c in CASES if c[5] is BOTH],
)
def test_rendered_webhooks_decide_like_the_table(
    labels: dict[str, Any] | None, workload: dict[str, Any], expected: str | None
) -> None:
    home = namespace(labels) if labels is not None else None
    webhooks = [rendered_webhooks("default", True), rendered_webhooks("canary", False)]
    assert answer(mesh_with(*BOTH, *webhooks, home, workload)) == expected
