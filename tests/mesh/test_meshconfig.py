"""Spec security 7.7, and what the other modules rely on."""

from __future__ import annotations

import pytest

from meshlint.mesh.meshconfig import MeshConfig
from meshlint.mesh.scope import Settings
from tests.support import corpus, mesh_of


def config_of(*texts: str, settings: Settings | None = None) -> MeshConfig:
    return mesh_of(*texts, settings=settings).config


CONFIG_MAP = """\
apiVersion: v1
kind: ConfigMap
metadata: {{name: {name}, namespace: istio-system}}
data:
  mesh: |
{mesh}
"""


def config_map(mesh: str, name: str = "istio") -> str:
    return CONFIG_MAP.format(name=name, mesh="".join(f"    {line}\n" for line in mesh.splitlines()))


def operator(spec: str) -> str:
    return (
        "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nmetadata: {name: a}\nspec:\n"
        + "".join(f"  {line}\n" for line in spec.splitlines())
    )


SAIL = """\
apiVersion: sailoperator.io/v1
kind: Istio
metadata: {{name: {name}}}
spec: {{version: v1.30.2, namespace: istio-system, updateStrategy: {{type: {strategy}}}}}
"""
KYMA = """\
apiVersion: operator.kyma-project.io/v1alpha2
kind: Istio
metadata: {name: default, namespace: kyma-system}
spec:
  config:
    numTrustedProxies: 2
    authorizers:
    - {name: oauth, service: oauth.svc.cluster.local, port: 80}
"""


def m1() -> None:
    assert config_of(config_map("rootNamespace: mesh-root")).root_namespace.is_("mesh-root")


def m2() -> None:
    spec = "meshConfig: {enableAutoMtls: false}\nvalues: {meshConfig: {enableAutoMtls: true}}"
    assert config_of(operator(spec)).auto_mtls.is_(True)


def m3() -> None:
    assert config_of(operator("values: {global: {istioNamespace: infra}}")).root_namespace.is_("infra")


def m4() -> None:
    config = config_of(SAIL.format(name="prod", strategy="RevisionBased"))
    assert config.revisions.is_(frozenset({"prod-v1-30-2"}))
    assert config.default_revision.is_(False)
    tag = "apiVersion: sailoperator.io/v1\nkind: IstioRevisionTag\nmetadata: {name: default}\n"
    tag += "spec: {targetRef: {kind: Istio, name: prod}}\n"
    assert config_of(SAIL.format(name="prod", strategy="RevisionBased"), tag).has_default


def m5() -> None:
    config = config_of(SAIL.format(name="default", strategy="InPlace"))
    assert config.sources[0].revision == ""
    assert config.has_default


def m6() -> None:
    config = config_of(
        config_map("trustDomain: a.example"), config_map("trustDomain: b.example", "istio-canary")
    )
    assert config.trust_domain.conflict
    assert {place.resource.name for place in config.trust_domain.because} == {"istio", "istio-canary"}
    assert config.of_revision("default").trust_domain.is_("a.example")
    assert config.of_revision("canary").trust_domain.is_("b.example")


def m7() -> None:
    values = "meshConfig: {{rootNamespace: {}}}\n"
    config = config_of(values.format("dev"), values.format("prod"))
    assert config.root_namespace.unknown
    assert len(config.root_namespace.because) == 2
    assert config.root == "istio-system"


def m8() -> None:
    providers = config_of(KYMA).extension_providers
    assert providers.value["oauth"] == "envoyExtAuthzHttp"
    assert "other" not in providers.value
    assert providers.certain
    assert {"kyma-traces", "kyma-logs", "stdout-json", "envoy"} <= providers.value.keys()


def m9() -> None:
    config = config_of("")
    assert config.sources == []
    assert not config.installed
    assert config.root_namespace.is_("istio-system")
    assert config.root_namespace.assumptions == ("A1",)
    assert config.revisions.is_(frozenset({"default"}))
    assert config.revisions.assumptions == ("A2",)
    assert config.injector_value("global", "proxy", "autoInject").assumptions == ("A3",)
    assert config.trust_domain.is_("cluster.local")
    assert config.auto_mtls.is_(True)
    assert config.auto_mtls.assumptions == ("A4",)
    assert not config.extension_providers.certain
    assert not config.setting("discoverySelectors").certain
    assert config.feature("ENABLE_NATIVE_SIDECARS").assumptions == ("A8",)


def m10() -> None:
    config = config_of(config_map("a: [1\nb: 2"))
    assert config.problems
    assert config.trust_domain.unknown
    assert config.auto_mtls.unknown
    assert config.extension_providers.unknown


def m11() -> None:
    config = config_of(config_map("discoverySelectors:\n- matchLabels:\n    mesh: on"))
    [(message, place)] = config.problems
    assert message == "discoverySelectors: the label mesh is `on`; it must be a string"
    assert place.resource.file.position(place.offsets[0]) == (8, 15)
    assert config.trust_domain.unknown


def m12() -> None:
    config = config_of(
        config_map("extensionProviders:\n- name: a\n  envoyExtAuthzGrpc: {service: a.b, port: 1}")
    )
    assert config.extension_providers.value["a"] == "envoyExtAuthzGrpc"


@pytest.mark.parametrize(
    "row", [m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12], ids=lambda row: row.__name__.upper()
)
def test_table(row) -> None:
    row()


# -- sources --------------------------------------------------------------------------------------

INJECTOR = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: istio-sidecar-injector-canary, namespace: istio-system}
data:
  config: |-
    policy: disabled
    neverInjectSelector:
    - matchLabels: {job: batch}
    templates:
      sidecar: |
        {{- if .Values.x }}
        spec: {}
        {{- end }}
  values: |-
    {"global": {"proxy": {"autoInject": "enabled", "clusterDomain": "corp.local"}}, "revision": "canary"}
"""
ARGO = """\
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: istiod, namespace: argocd}
spec:
  destination: {namespace: mesh}
  source:
    chart: istiod
    repoURL: https://charts.example.org
    helm:
      parameters:
      - {name: meshConfig.enableAutoMtls, value: "false"}
      values: |
        revision: blue
        revisionTags: [prod]
        meshConfig:
          trustDomain: argo.example
          enableAutoMtls: true
        pilot:
          env: {PILOT_ENABLE_AMBIENT: "true"}
"""
FLUX = """\
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: istiod, namespace: flux-system}
spec:
  targetNamespace: mesh
  chart: {spec: {chart: istiod}}
  values:
    meshConfig: {trustDomain: "${DOMAIN}"}
    sidecarInjectorWebhook: {enableNamespacesByDefault: true}
"""
ISTIOD = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: istiod-canary, namespace: istio-system, labels: {istio.io/rev: canary}}
spec:
  template:
    spec:
      containers:
      - name: discovery
        env:
        - {name: ENABLE_NATIVE_SIDECARS, value: "true"}
        - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
"""
TAG = """\
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: istio-revision-tag-prod, labels: {istio.io/tag: prod, istio.io/rev: 1-30}}
webhooks:
- name: rev.namespace.sidecar-injector.istio.io
"""


def test_injector_config_map() -> None:
    config = config_of(INJECTOR)
    assert config.injector_value("global", "proxy", "autoInject").conflict is False
    assert config.injector_value("sidecarInjectorWebhook", "neverInjectSelector").is_(
        [{"matchLabels": {"job": "batch"}}]
    )
    assert config.domain_suffix == "corp.local"
    assert not config.installed


def test_what_the_injector_reads_wins_over_the_values() -> None:
    found = config_of(INJECTOR).injector_value("global", "proxy", "autoInject")
    assert found.is_("disabled")
    [place, *_] = found.because
    assert place.resource.file.position(place.offsets[0]) == (6, 13)


def test_argo_application() -> None:
    config = config_of(ARGO)
    assert config.auto_mtls.is_(False)
    assert config.trust_domain.is_("argo.example")
    assert config.root_namespace.is_("mesh")
    assert config.revisions.is_(frozenset({"blue", "prod"}))
    assert config.default_revision.is_(False)
    assert config.revision_of("prod") == "blue"
    assert config.of_revision("prod").trust_domain.is_("argo.example")
    assert config.feature("PILOT_ENABLE_AMBIENT").is_("true")
    assert len(config.ambient_evidence) == 1
    [place] = config.trust_domain.because
    assert place.resource.file.position(place.offsets[0]) == (16, 24)


def test_flux_release() -> None:
    config = config_of(FLUX)
    assert config.trust_domain.unknown
    assert config.injector_value("sidecarInjectorWebhook", "enableNamespacesByDefault").is_(True)
    assert config.has_default
    assert config.auto_mtls.certain


def test_istiod_deployment() -> None:
    config = config_of(ISTIOD)
    assert config.feature("ENABLE_NATIVE_SIDECARS").is_("true")
    assert config.feature("POD_NAME").unknown
    assert config.feature("OTHER").is_(None)
    assert config.feature("OTHER").certain
    assert config.revisions.is_(frozenset({"canary"}))


def test_a_compatibility_version_makes_flags_unknown() -> None:
    config = config_of(
        operator("compatibilityVersion: '1.28'\ncomponents: {pilot: {k8s: {env: [{name: A, value: b}]}}}")
    )
    assert config.feature("A").is_("b")
    assert config.feature("B").unknown


def test_tag_webhook_alone_is_no_installation() -> None:
    config = config_of(TAG)
    assert not config.installed
    assert config.revisions.is_(frozenset({"default", "prod"}))
    assert not config.revisions.certain
    assert config.revision_of("prod") == "1-30"


def test_revisioned_operator_may_have_become_the_default() -> None:
    config = config_of(operator("revision: 1-30"))
    assert config.revisions.is_(frozenset({"1-30"}))
    assert config.default_revision.unknown
    assert config.has_default


def test_operator_for_gateways_is_no_control_plane() -> None:
    config = config_of(operator("profile: empty\ncomponents: {ingressGateways: [{name: gw, enabled: true}]}"))
    assert config.sources == []


def test_operators_of_one_revision_that_say_different_things() -> None:
    config = config_of(operator("meshConfig: {trustDomain: a.example}"), operator("profile: demo"))
    assert config.trust_domain.conflict
    assert config.auto_mtls.is_(True)


def test_sources_of_different_kinds_that_agree() -> None:
    config = config_of(
        config_map("trustDomain: a"), operator("meshConfig: {trustDomain: a, enableAutoMtls: false}")
    )
    assert config.trust_domain.is_("a")
    assert len(config.trust_domain.because) == 2
    assert config.auto_mtls.is_(False)


def test_configuration_file_wins() -> None:
    settings = Settings(root_namespace="mesh", mesh_config={"trustDomain": "mine", "enableAutoMtls": False})
    config = config_of(config_map("trustDomain: a\nrootNamespace: b"), settings=settings)
    assert config.root_namespace.is_("mesh")
    assert config.trust_domain.is_("mine")
    assert config.auto_mtls.is_(False)


def test_templated_fields_are_unknown_alone() -> None:
    config = config_of(config_map("trustDomain: ${DOMAIN}\nenableAutoMtls: false"))
    assert config.trust_domain.unknown
    assert config.auto_mtls.is_(False)
    assert not config.problems


def test_templated_data_is_no_problem() -> None:
    config = config_of(config_map("{{ .Values.mesh | toYaml }}"))
    assert not config.problems
    assert config.trust_domain.unknown


@pytest.mark.parametrize(
    ("mesh", "message"),
    [
        ("enableAutoMtls: 'false'", "enableAutoMtls is `false`; it must be true or false"),
        (
            "outboundTrafficPolicy: {mode: REGISTRY-ONLY}",
            "outboundTrafficPolicy.mode is `REGISTRY-ONLY`; it must be one of REGISTRY_ONLY, ALLOW_ANY",
        ),
        ("trustDomain: 1", "trustDomain is `1`; it must be a string"),
    ],
)
def test_values_that_istiod_refuses(mesh: str, message: str) -> None:
    config = config_of(config_map(mesh))
    assert [text for text, _ in config.problems] == [message]
    assert config.setting("trustDomain").unknown
    assert config.extension_providers.unknown


def test_values_file() -> None:
    config = config_of("meshConfig: {trustDomain: a}\nglobal: {istioNamespace: mesh}\n")
    assert config.trust_domain.is_("a")
    assert not config.trust_domain.certain
    assert config.root_namespace.is_("mesh")
    assert not config.installed
    assert config.setting("accessLogFile").is_(None)
    assert not config.setting("accessLogFile").certain


def test_openshift_service_mesh_2_is_not_read() -> None:
    config = config_of(
        "apiVersion: maistra.io/v2\nkind: ServiceMeshControlPlane\nmetadata: {name: a, namespace: b}\n"
    )
    assert config.trust_domain.unknown
    assert config.root_namespace.unknown


def test_kyma() -> None:
    config = config_of(KYMA)
    assert config.kyma
    assert config.installed
    assert config.setting("defaultConfig", "gatewayTopology", "numTrustedProxies").is_(2)
    assert config.setting("defaultConfig").value == {
        "holdApplicationUntilProxyStarts": True,
        "gatewayTopology": {"numTrustedProxies": 2},
    }
    assert config.injector_value("pilot", "cni", "enabled").is_(True)


def test_platform_kyma() -> None:
    config = config_of(settings=Settings(platform="kyma"))
    assert config.kyma
    assert "kyma-traces" in config.extension_providers.value
    assert not config.extension_providers.certain
    assert config.root_namespace.is_("istio-system")


def test_corpus_spire() -> None:
    folder = corpus("istio-samples", "security", "spire")
    config = config_of((folder / "istio-spire-config.yaml").read_text())
    assert config.trust_domain.is_("example.org")
    assert config.injector_value("sidecarInjectorWebhook", "templates").known


def test_corpus_application_set() -> None:
    folder = corpus("istio-samples", "ambient-argo", "istio")
    config = config_of(*(path.read_text() for path in sorted(folder.glob("*.yaml"))))
    assert config.revisions.unknown
    assert config.root_namespace.is_("istio-system")
    assert config.ambient_evidence


def test_profile_demo_brings_providers() -> None:
    providers = config_of(operator("profile: demo")).extension_providers
    assert providers.certain
    assert providers.value["jaeger"] == "opentelemetry"
    assert not config_of(operator("profile: ./mine.yaml")).extension_providers.certain


def test_an_installation_counts_more_than_the_guess_that_this_is_kyma() -> None:
    rule = "apiVersion: gateway.kyma-project.io/v2\nkind: APIRule\nmetadata: {name: a}\n"
    assert "kyma-traces" in config_of(rule).extension_providers.value
    config = config_of(rule, operator("meshConfig: {trustDomain: a}"))
    assert config.trust_domain.is_("a")
    assert "kyma-traces" not in config.extension_providers.value


def test_data_that_is_only_a_comment_is_empty() -> None:
    config = config_of(config_map("# nothing yet"))
    assert not config.problems
    assert config.trust_domain.is_("cluster.local")
    assert config.trust_domain.certain


def test_data_that_is_no_mapping() -> None:
    config = config_of(config_map("just words"))
    assert [text for text, _ in config.problems] == ["data.mesh is no YAML mapping"]
    assert config.trust_domain.unknown
