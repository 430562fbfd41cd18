"""Spec security 7.7, and what the other modules rely on."""

from __future__ import annotations

import pytest

from meshlint.mesh.meshconfig import MeshConfig
from meshlint.mesh.scope import Settings
from tests.support import mesh_of


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
