"""Effective server modes: the tables P of spec security 3.9, provenance and open worlds (3.3, 3.8)."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from meshlint.mesh.facts import State
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.mtls import Level, Mode
from meshlint.mesh.scope import Settings
from tests.support import mesh_of

CLOSED = Settings(complete=True)
STRICT, PERMISSIVE, DISABLE = "STRICT", "PERMISSIVE", "DISABLE"


def policy(
    namespace: str,
    mode: str | None = None,
    *,
    name: str = "default",
    ports: dict[int, str] | None = None,
    selector: str | None = None,
    created: str = "",
) -> str:
    """A PeerAuthentication; mode '{}' writes an empty mtls block."""
    lines = ["apiVersion: security.istio.io/v1", "kind: PeerAuthentication", "metadata:"]
    lines += [f"  name: {name}", f"  namespace: {namespace}"]
    lines += [f"  creationTimestamp: '{created}'"] if created else []
    lines += ["spec:"]
    lines += [f"  selector: {selector}"] if selector else []
    lines += ["  mtls: {}" if mode in (None, "{}") else f"  mtls: {{mode: {mode}}}"]
    if ports:
        lines += ["  portLevelMtls:"] + [f"    {port}: {{mode: {m}}}" for port, m in ports.items()]
    return "\n".join(lines) + "\n"


def pod(*, inject: str = "true", annotations: str = "{}", name: str = "x", extra: str = "") -> str:
    return f"""
apiVersion: v1
kind: Pod
metadata:
  name: {name}
  namespace: app
  labels: {{app: {name}, sidecar.istio.io/inject: "{inject}"{extra}}}
  annotations: {annotations}
spec:
  containers: [{{name: x, image: x, ports: [{{containerPort: 8080}}]}}]
"""


SIDECAR = "apiVersion: v1\nkind: Namespace\nmetadata: {name: app, labels: {istio-injection: enabled}}\n"
AMBIENT = (
    "apiVersion: v1\nkind: Namespace\nmetadata: {name: app, labels: {istio.io/dataplane-mode: ambient}}\n"
)
AMBIENT_POD = pod().replace(', sidecar.istio.io/inject: "true"', "")
X = "{matchLabels: {app: x}}"


class Row(NamedTuple):
    m: str | None = None
    n: str | None = None
    w: str | None = None
    ports: dict[int, str] | None = None
    on: str = PERMISSIVE  #: sidecar, port 8080
    elsewhere: str = ""  #: sidecar, other ports; '' as on the port
    ambient: str = ""  #: port 8080; '' as for sidecars
    ambient_elsewhere: str = ""
    texts: tuple[str, ...] = ()


ROWS = {
    "P1": Row(),
    "P2": Row(m=STRICT, on=STRICT),
    "P3": Row(m="{}"),
    "P4": Row(m=STRICT, n=PERMISSIVE),
    "P5": Row(m=STRICT, n="{}", on=STRICT),
    "P6": Row(m=PERMISSIVE, n=STRICT, on=STRICT),
    "P7": Row(m=STRICT, w=DISABLE, on=DISABLE, ambient=PERMISSIVE),
    "P8": Row(m=STRICT, w="{}", ports={8080: DISABLE}, on=DISABLE, elsewhere=STRICT, ambient=STRICT),
    "P9": Row(m=STRICT, w="{}", ports={8080: PERMISSIVE}, elsewhere=STRICT),
    "P10": Row(w=STRICT, ports={8080: DISABLE}, on=DISABLE, elsewhere=STRICT, ambient=PERMISSIVE),
    "P11": Row(w=PERMISSIVE, ports={8080: STRICT}, on=STRICT, elsewhere=PERMISSIVE),
    "P12": Row(
        m=STRICT, w=PERMISSIVE, ports={8080: STRICT}, on=STRICT, elsewhere=PERMISSIVE, ambient=PERMISSIVE
    ),
    "P13": Row(m=STRICT, w=STRICT, ports={8080: "UNSET"}, on=STRICT),
    "P14": Row(
        n=DISABLE,
        w="{}",
        ports={8080: STRICT},
        on=STRICT,
        elsewhere=DISABLE,
        ambient=STRICT,
        ambient_elsewhere=PERMISSIVE,
    ),
    "P15": Row(texts=(policy("istio-system", STRICT, selector=X),)),
    "P16": Row(
        m=STRICT, n="{}", w="{}", ports={8080: PERMISSIVE}, elsewhere=STRICT, ambient_elsewhere=PERMISSIVE
    ),
    "P17": Row(texts=(policy("app", STRICT), policy("app", PERMISSIVE, name="second")), on="CONFLICT"),
    "P18": Row(texts=(policy("app", STRICT), policy("app", STRICT, name="second")), on=STRICT),
}


def said(mesh: Mesh, port: int | None = 8080) -> str:
    workload = next(w for w in mesh.workloads.all if w.name == "x")
    fact = mesh.mtls.mode(workload, port)
    return fact.value.value if fact.known else fact.state.name


def build(row: Row, namespace: str, workload: str) -> Mesh:
    texts = [namespace, workload, *row.texts]
    if row.m:
        texts.append(policy("istio-system", row.m))
    if row.n:
        texts.append(policy("app", row.n))
    if row.w:
        texts.append(policy("app", row.w, name="x", ports=row.ports, selector=X))
    return mesh_of(*texts, settings=CLOSED)


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_sidecar(row: Row) -> None:
    mesh = build(row, SIDECAR, pod())
    assert (said(mesh), said(mesh, 9999)) == (row.on, row.elsewhere or row.on)


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_ambient(row: Row) -> None:
    mesh = build(row, AMBIENT, AMBIENT_POD)
    on = row.ambient or row.on
    elsewhere = row.ambient_elsewhere or row.elsewhere or row.ambient or row.on
    assert (said(mesh), said(mesh, 9999)) == (on, elsewhere)


def test_p19_not_injected() -> None:
    assert said(mesh_of(SIDECAR, pod(inject="false"), policy("istio-system", STRICT))) == "PLAINTEXT_ONLY"


def test_p20_excluded_port() -> None:
    annotation = '{traffic.sidecar.istio.io/excludeInboundPorts: "8080"}'
    mesh = mesh_of(SIDECAR, pod(annotations=annotation), policy("istio-system", STRICT))
    assert (said(mesh), said(mesh, 9090)) == ("PLAINTEXT_ONLY", STRICT)


def test_p21_ports_without_selector_are_refused() -> None:
    mesh = mesh_of(SIDECAR, pod(), policy("app", PERMISSIVE, ports={8080: STRICT}), settings=CLOSED)
    assert mesh.mtls.policies[0].invalid
    assert mesh.mtls.by_namespace == {}


def test_p22_renamed_root() -> None:
    config = """
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    rootNamespace: mesh-root
"""
    mesh = mesh_of(SIDECAR, pod(), config, policy("istio-system", STRICT), settings=CLOSED)
    assert said(mesh) == PERMISSIVE
    assert mesh.mtls.policies[0].level is Level.NAMESPACE
    assert mesh.mtls.namespace_mode("istio-system").is_(Mode.STRICT)


def test_p23_root_not_in_the_input() -> None:
    assert said(mesh_of(SIDECAR, pod())) == "UNKNOWN"


def test_p24_kyma() -> None:
    kyma = """
apiVersion: operator.kyma-project.io/v1alpha2
kind: Istio
metadata: {name: default, namespace: kyma-system}
"""
    assert said(mesh_of(SIDECAR, pod(), kyma)) == STRICT


def test_kyma_with_another_mesh_wide_policy_is_a_conflict() -> None:
    settings = Settings(platform="kyma")
    mesh = mesh_of(SIDECAR, pod(), policy("istio-system", PERMISSIVE, name="mine"), settings=settings)
    assert said(mesh) == "CONFLICT"


def test_q4_an_empty_selector_is_not_mesh_wide_in_ambient() -> None:
    root = policy("istio-system", STRICT, selector="{}")
    assert said(mesh_of(AMBIENT, AMBIENT_POD, root, settings=CLOSED)) == PERMISSIVE
    assert said(mesh_of(SIDECAR, pod(), root, settings=CLOSED)) == STRICT


def test_the_deciding_place_comes_first() -> None:
    mesh = mesh_of(
        SIDECAR,
        pod(),
        policy("istio-system", STRICT),
        policy("app", PERMISSIVE),
        policy("app", "{}", name="x", selector=X, ports={8080: DISABLE}),
    )
    fact = mesh.mtls.mode(mesh.workloads.all[0], 8080)
    assert [place.text for place in fact.because] == ["DISABLE", "mtls", "PERMISSIVE", "STRICT"]
    assert fact.certain


def test_a_namespace_policy_is_not_certain_in_an_open_world() -> None:
    texts = (SIDECAR, pod(), policy("app", STRICT))
    workload = mesh_of(*texts).workloads.all[0]
    assert not mesh_of(*texts).mtls.mode(workload, 8080).certain
    closed = mesh_of(*texts, settings=CLOSED)
    assert closed.mtls.mode(closed.workloads.all[0], 8080).certain


def test_the_oldest_wins_where_ages_are_known() -> None:
    mesh = mesh_of(
        SIDECAR,
        pod(),
        policy("app", STRICT, name="new", created="2025-01-01T00:00:00Z"),
        policy("app", PERMISSIVE, name="old", created="2024-01-01T00:00:00Z"),
    )
    assert said(mesh) == PERMISSIVE


def test_versions_of_one_policy_that_disagree_are_a_conflict() -> None:
    assert said(mesh_of(SIDECAR, pod(), policy("app", STRICT), policy("app", DISABLE))) == "CONFLICT"


def test_policies_that_select_one_pod_and_agree_on_its_port() -> None:
    mesh = mesh_of(
        SIDECAR,
        pod(extra=", tier: back"),
        policy("app", PERMISSIVE, name="one", selector=X, ports={8080: STRICT}),
        policy("app", STRICT, name="two", selector="{matchLabels: {tier: back}}"),
    )
    assert (said(mesh), said(mesh, 9999)) == (STRICT, "CONFLICT")


@pytest.mark.parametrize("mode", ["${MODE}", "{{ .Values.mode }}"])
def test_a_templated_mode_is_unknown(mode: str) -> None:
    mesh = mesh_of(SIDECAR, pod(), policy("istio-system", STRICT), policy("app", f"'{mode}'"))
    assert said(mesh) == "UNKNOWN"


def test_a_refused_policy_does_not_count() -> None:
    mesh = mesh_of(SIDECAR, pod(), policy("istio-system", STRICT), policy("app", "permissive"))
    assert said(mesh) == STRICT


def test_a_selector_on_run_time_labels_is_unknown() -> None:
    selector = "{matchLabels: {app: x, pod-template-hash: abc}}"
    mesh = mesh_of(SIDECAR, pod(), policy("app", STRICT), policy("app", DISABLE, name="x", selector=selector))
    assert said(mesh) == "UNKNOWN"


def test_a_mesh_wide_policy_without_mode_decides_permissive() -> None:
    mesh = mesh_of(policy("istio-system", "{}"))
    assert mesh.mtls.mesh_mode.is_(Mode.PERMISSIVE)
    assert mesh_of().mtls.mesh_mode.state is State.UNKNOWN
