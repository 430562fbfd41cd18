"""Which control planes read an object of Istio's configuration (spec security 6.4)."""

from __future__ import annotations

import pytest

from meshlint.mesh.mtls import Mode
from meshlint.mesh.readers import apart, read_together
from meshlint.mesh.scope import ISTIO_SECURITY, Settings
from tests.support import mesh_of

INSTALLED = """
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata: {name: control-plane, namespace: istio-system}
spec: {}
---
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata: {name: control-plane-canary, namespace: istio-system}
spec: {revision: canary}
"""
TAG = """
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: istio-revision-tag-prod, labels: {istio.io/tag: prod, istio.io/rev: canary}}
webhooks: [{name: rev.namespace.sidecar-injector.istio.io}]
"""
PODS = """
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {%s}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: cart, namespace: shop}
spec:
  template:
    metadata: {labels: {app: cart}}
    spec: {containers: [{name: main, image: main}]}
"""


def policy(labels: str = "", mode: str = "STRICT", name: str = "default", namespace: str = "shop") -> str:
    return f"""
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: {name}, namespace: {namespace}, labels: {{{labels}}}}}
spec: {{mtls: {{mode: {mode}}}}}
"""


def labelled(revision: str) -> str:
    return f"istio.io/rev: {revision}"


CASES = {
    "for every revision": ("", "istio-injection: enabled", INSTALLED, True),
    "its own revision": (labelled("canary"), labelled("canary"), INSTALLED, True),
    "another revision": (labelled("old"), labelled("canary"), INSTALLED, False),
    "the default revision": (labelled("default"), "istio-injection: enabled", INSTALLED, True),
    "not the default revision": (labelled("canary"), "istio-injection: enabled", INSTALLED, False),
    "behind a tag": (labelled("canary"), labelled("prod"), INSTALLED + "---" + TAG, True),
    "a tag is no revision": (labelled("prod"), labelled("prod"), INSTALLED + "---" + TAG, False),
    "nothing installed, the same name": (labelled("canary"), labelled("canary"), "", True),
    "nothing installed, another name": (labelled("old"), labelled("canary"), "", None),
    "nothing installed, the default": (labelled("old"), "istio-injection: enabled", "", None),
    "a template": (labelled("'${REV}'"), labelled("canary"), INSTALLED, None),
    "no sidecar": (labelled("canary"), "istio-injection: disabled", INSTALLED, None),
    "in ambient mode": (labelled("canary"), "istio.io/dataplane-mode: ambient", INSTALLED, None),
}


@pytest.mark.parametrize(("label", "namespace", "control_planes", "read"), CASES.values(), ids=CASES)
def test_reads(label: str, namespace: str, control_planes: str, read: bool | None) -> None:
    mesh = mesh_of(policy(label), PODS % namespace, control_planes)
    (resource,) = mesh.scope.of(ISTIO_SECURITY, "PeerAuthentication")
    assert mesh.readers.reads(resource, mesh.workloads.all[0]) is read


def test_objects_of_two_revisions_never_meet() -> None:
    mesh = mesh_of(policy(labelled("a")), policy(labelled("b")), policy(), policy(labelled("'{{ .rev }}'")))
    one, other, every, template = mesh.scope.of(ISTIO_SECURITY, "PeerAuthentication")
    assert apart(one, other)
    assert [apart(one, two) for two in (one, every, template)] == [False, False, False]
    assert read_together([one, other, every], lambda r: r) == [[one, every], [other, every]]
    assert read_together([every], lambda r: r) == [[every]]


COMPLETE = Settings(complete=True)
FOR_ALL = policy("", "DISABLE", "mesh", "istio-system")
ONE, TWO = policy(labelled("default"), "DISABLE", "one"), policy(labelled("canary"), "STRICT", "two")
MODES = {
    "the policy of the revision counts": ((policy(labelled("canary")), FOR_ALL), Mode.STRICT),
    "that of another one does not": ((policy(labelled("default")), FOR_ALL), Mode.DISABLE),
    "one for each revision": ((ONE, TWO), Mode.STRICT),
    "of the whole mesh": ((policy(labelled("default"), namespace="istio-system"),), Mode.PERMISSIVE),
}


@pytest.mark.parametrize(("policies", "mode"), MODES.values(), ids=MODES)
def test_mode_by_revision(policies: tuple[str, ...], mode: Mode) -> None:
    mesh = mesh_of(*policies, PODS % labelled("canary"), INSTALLED, settings=COMPLETE)
    assert mesh.mtls.configured(mesh.workloads.all[0], 80).is_(mode)


def test_mode_is_unknown_without_the_installation() -> None:
    mesh = mesh_of(policy(labelled("old")), PODS % labelled("canary"), settings=COMPLETE)
    assert mesh.mtls.configured(mesh.workloads.all[0], 80).unknown
    assert mesh.mtls.namespace_mode("shop").unknown


AUTHORIZATION = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: deny, namespace: shop, labels: {istio.io/rev: %s}}
spec: {}
"""


@pytest.mark.parametrize(
    ("revision", "control_planes", "certain", "maybe"),
    [("canary", INSTALLED, 1, 0), ("default", INSTALLED, 0, 0), ("default", "", 0, 1)],
)
def test_policies_of_a_proxy(revision: str, control_planes: str, certain: int, maybe: int) -> None:
    mesh = mesh_of(AUTHORIZATION % revision, PODS % labelled("canary"), control_planes)
    attached = mesh.authz.attachments.of_workload(mesh.workloads.all[0])
    assert (len(attached.policies), len(attached.maybe)) == (certain, maybe)
    (resource,) = mesh.scope.of(ISTIO_SECURITY, "AuthorizationPolicy")
    assert len(mesh.authz.attachments.workloads_of(resource)) == certain


SIDECAR = """
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: %s, namespace: shop, labels: {istio.io/rev: %s}}
spec: {egress: [{hosts: ["./*"]}]}
"""


@pytest.mark.parametrize(("control_planes", "name"), [(INSTALLED, "two"), ("", None)])
def test_sidecar_of_a_revision(control_planes: str, name: str | None) -> None:
    texts = (SIDECAR % ("one", "default"), SIDECAR % ("two", "canary"))
    mesh = mesh_of(*texts, PODS % labelled("canary"), control_planes)
    found = mesh.sidecars.of(mesh.workloads.all[0])
    assert found.unknown if name is None else found.value and found.value.resource.name == name
