"""What clients send and whether it fits: spec security 3.6 (matrix) and 3.9 (C rows), traffic 4.6."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from meshlint.mesh.client_tls import ClientMode, Verdict, verdict
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.mtls import Mode
from meshlint.mesh.scope import Settings
from meshlint.policy.rules import load_rules
from meshlint.policy.run import run
from tests.mesh.test_destination_rules import rule
from tests.mesh.test_mtls import policy
from tests.support import mesh_of

OK, PLAIN, APP, BROKEN = Verdict.OK, Verdict.UNENCRYPTED, Verdict.APP_TLS, Verdict.BROKEN
MATRIX = {
    ClientMode.PLAIN: (BROKEN, PLAIN, PLAIN, PLAIN),
    ClientMode.MTLS: (OK, OK, BROKEN, BROKEN),
    ClientMode.AUTO: (OK, OK, PLAIN, PLAIN),
    ClientMode.TLS_ONEWAY: (BROKEN, APP, APP, APP),
    ClientMode.TLS_CUSTOM: (BROKEN, APP, APP, APP),
}
SERVERS = (Mode.STRICT, Mode.PERMISSIVE, Mode.DISABLE, Mode.PLAINTEXT_ONLY)
CELLS = [
    pytest.param(client, server, cell, id=f"{client.value}-{server.value}")
    for client, row in MATRIX.items()
    for server, cell in zip(SERVERS, row, strict=True)
]


@pytest.mark.parametrize(("client", "server", "cell"), CELLS)
def test_matrix(client: ClientMode, server: Mode, cell: Verdict) -> None:
    assert verdict(client, server) is cell


def test_matrix_exceptions() -> None:
    assert verdict(ClientMode.AUTO, Mode.PLAINTEXT_ONLY, bypassed=True) is BROKEN
    assert verdict(ClientMode.TLS_ONEWAY, Mode.PERMISSIVE, protocol="HTTP") is BROKEN
    assert verdict(ClientMode.PLAIN, Mode.NOT_APPLICABLE) is None


NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {name: app, labels: {istio-injection: enabled}}\n"


def server(
    *,
    inject: str = "true",
    annotations: str = "{}",
    labels: str = "",
    name: str = "a",
    headless: bool = False,
) -> str:
    return f"""
apiVersion: v1
kind: Pod
metadata:
  name: {name}
  namespace: app
  labels: {{app: a, sidecar.istio.io/inject: "{inject}"{labels}}}
  annotations: {annotations}
spec:
  containers: [{{name: a, image: a, ports: [{{containerPort: 8080}}]}}]
---
apiVersion: v1
kind: Service
metadata: {{name: a, namespace: app}}
spec:
  {"clusterIP: None" if headless else ""}
  selector: {{app: a}}
  ports: [{{name: tcp, port: 80, targetPort: 8080}}]
"""


def dr(tls: str, *, namespace: str = "web", host: str = "a.app.svc.cluster.local", more: str = "") -> str:
    return rule(namespace, host, f"{{tls: {tls}}}", more=more)


EXCLUDED = '{traffic.sidecar.istio.io/excludeInboundPorts: "8080"}'
STRICT_NS = policy("app", "STRICT")
A = "{matchLabels: {app: a}}"
DISABLE, MUTUAL = "{mode: DISABLE}", "{mode: ISTIO_MUTUAL}"


class Row(NamedTuple):
    texts: tuple[str, ...]
    expected: Verdict
    settings: Settings = Settings(complete=True)
    workload: str = server()
    subset: str | None = None
    port: int = 80


def entry(top: str, port: int, tls: str = "") -> str:
    block = f"tls: {tls}" if tls else "loadBalancer: {simple: RANDOM}"
    settings = f"[{{port: {{number: {port}}}, {block}}}]"
    host = "a.app.svc.cluster.local"
    return rule("web", host, f"{{tls: {top}, portLevelSettings: {settings}}}")


NO_AUTO = Settings(complete=True, mesh_config={"enableAutoMtls": False})
ROWS = {
    "C1": Row((STRICT_NS,), OK),
    "C2": Row((STRICT_NS, dr(DISABLE)), BROKEN),
    "C3": Row((policy("app", "PERMISSIVE"), dr(DISABLE)), PLAIN),
    "C4": Row((policy("app", "PERMISSIVE"), dr(MUTUAL)), OK),
    "C5": Row((policy("app", "DISABLE"), dr(MUTUAL)), BROKEN),
    "C6": Row((STRICT_NS, dr(MUTUAL)), BROKEN, workload=server(inject="false")),
    "C7": Row((policy("app", "DISABLE"), policy("app", "STRICT", name="a", selector=A)), BROKEN),
    "C8": Row((policy("app", "STRICT"), policy("app", "DISABLE", name="a", selector=A)), PLAIN),
    "C9": Row((STRICT_NS,), BROKEN, NO_AUTO),
    "C10": Row(
        (
            STRICT_NS,
            dr(MUTUAL, namespace="istio-system", host="*.local"),
            dr(DISABLE, namespace="app", host="a"),
        ),
        BROKEN,
    ),
    "C11": Row((STRICT_NS, dr(MUTUAL, host="*.local"), dr(DISABLE, namespace="app", host="a")), OK),
    "C12": Row((STRICT_NS, dr(DISABLE, namespace="app", host="a", more='  exportTo: ["."]')), OK),
    "C13": Row((STRICT_NS, dr(DISABLE, host="a")), OK),
    "C14": Row((STRICT_NS, entry(DISABLE, 80, MUTUAL)), OK),
    "C15": Row((STRICT_NS, entry(MUTUAL, 80)), OK),
    "C16": Row((STRICT_NS, entry(DISABLE, 80)), BROKEN),
    "C17": Row((STRICT_NS, entry(DISABLE, 8080, MUTUAL)), BROKEN),
    "C18": Row(
        (STRICT_NS, dr(MUTUAL, more=f"  subsets: [{{name: v1, trafficPolicy: {{tls: {DISABLE}}}}}]")),
        BROKEN,
        subset="v1",
    ),
    "C21": Row((STRICT_NS, dr("{}")), BROKEN),
    "C22": Row((STRICT_NS,), BROKEN, workload=server(annotations=EXCLUDED)),
    "C24": Row(
        (STRICT_NS, dr(DISABLE, namespace="app", host="a", more=f"  workloadSelector: {A}")),
        OK,
    ),
    # the special rows of 3.6 that have no number
    "no auto mTLS, ISTIO_MUTUAL for everybody": Row(
        (STRICT_NS, dr(MUTUAL, namespace="istio-system", host="*.local")), OK, NO_AUTO
    ),
    "NS DISABLE, WL STRICT, ISTIO_MUTUAL": Row(
        (policy("app", "DISABLE"), policy("app", "STRICT", name="a", selector=A), dr(MUTUAL)), OK
    ),
    "port DISABLE under a strict namespace": Row(
        (STRICT_NS, policy("app", "{}", name="a", selector=A, ports={8080: "DISABLE"})), PLAIN
    ),
    "excluded port with a DestinationRule": Row(
        (STRICT_NS, dr(DISABLE)), PLAIN, workload=server(annotations=EXCLUDED)
    ),
    "excluded port with a port policy": Row(
        (STRICT_NS, policy("app", "{}", name="a", selector=A, ports={8080: "DISABLE"})),
        PLAIN,
        workload=server(annotations=EXCLUDED),
    ),
    "mesh-wide ISTIO_MUTUAL, no sidecar": Row(
        (dr(MUTUAL, namespace="istio-system", host="*.local"),), BROKEN, workload=server(inject="false")
    ),
    "the pod template turns the label off": Row(
        (STRICT_NS,), BROKEN, workload=server(labels=", security.istio.io/tlsMode: disabled")
    ),
    "SIMPLE to a strict server": Row((STRICT_NS, dr("{mode: SIMPLE}")), BROKEN),
    "SIMPLE to a server without a proxy": Row((dr("{mode: SIMPLE}"),), APP, workload=server(inject="false")),
    "headless, all injected": Row((STRICT_NS,), OK, workload=server(headless=True)),
}


def called(row: Row) -> Verdict:
    mesh = mesh_of(NAMESPACE, row.workload, *row.texts, settings=row.settings)
    service = mesh.registry.services[0]
    target = mesh.workloads.all[0]
    return mesh.client_tls.outcome("web", service, row.port, target, row.subset).value


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_calls(row: Row) -> None:
    assert called(row) is row.expected


def test_headless_with_one_pod_outside() -> None:
    outside = server(headless=True, name="b", inject="false").split("---")[0]
    mesh = mesh_of(NAMESPACE, server(headless=True), outside, STRICT_NS)
    outcome = mesh.client_tls.outcome("web", mesh.registry.services[0], 80, mesh.workloads.all[0])
    assert outcome.value is BROKEN


EXTERNAL = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api, namespace: web}
spec:
  hosts: [api.example.com]
  location: MESH_EXTERNAL
  resolution: DNS
  ports: [{number: 443, name: https, protocol: HTTPS}]
"""


def sent(mesh: Mesh, *, gateway: bool = False) -> str:
    mode = mesh.client_tls.mode("web", mesh.registry.services[0], 443, gateway=gateway)
    return mode.value.value if mode.known else mode.state.name


@pytest.mark.parametrize(
    ("tls", "more", "expected", "at_gateways"),
    [
        pytest.param("", "", "PLAIN", "PLAIN", id="external without a rule"),
        pytest.param("{mode: SIMPLE}", "", "TLS_ONEWAY", "TLS_ONEWAY", id="SIMPLE"),
        pytest.param("{mode: SIMPLE, credentialName: ca}", "", "PLAIN", "TLS_ONEWAY", id="C20"),
        pytest.param(
            "{mode: MUTUAL, credentialName: 'configmap://web/ca'}", "", "TLS_CUSTOM", "TLS_CUSTOM",
            id="from a ConfigMap",
        ),
        pytest.param("{mode: ISTIO_MUTUAL}", "", "MTLS", "MTLS", id="ISTIO_MUTUAL"),
        pytest.param("{sni: api.example.com}", "", "PLAIN", "PLAIN", id="only an sni"),
        pytest.param("{mode: simple}", "", "UNKNOWN", "UNKNOWN", id="lower case"),
        pytest.param("{mode: '${MODE}'}", "", "UNKNOWN", "UNKNOWN", id="templated"),
    ],
)  # fmt: skip
def test_external(tls: str, more: str, expected: str, at_gateways: str) -> None:
    texts = [dr(tls, host="api.example.com", more=more)] if tls else []
    mesh = mesh_of(EXTERNAL, *texts)
    assert (sent(mesh), sent(mesh, gateway=True)) == (expected, at_gateways)


def test_a_workload_selector_makes_sidecars_read_secrets() -> None:
    text = dr(
        "{mode: SIMPLE, credentialName: ca}",
        host="api.example.com",
        more="  workloadSelector: {matchLabels: {app: b}}",
    )
    mesh = mesh_of(EXTERNAL, text)
    mode = mesh.client_tls.mode("web", mesh.registry.services[0], 443, labels={"app": "b"})
    assert mode.is_(ClientMode.TLS_ONEWAY)


RULES = {n: rule for n, rule in load_rules().items() if rule.info.family == "mtls" or n == "dr-tls-fields"}


def found(*texts: str, settings: Settings | None = None) -> set[str]:
    findings, errors = run(RULES.values(), mesh_of(*texts, settings=settings))
    assert errors == []
    return {finding.rule for finding in findings}


FINDINGS: dict[str, tuple[tuple[str, ...], str | None]] = {
    "C2": ((NAMESPACE, server(), STRICT_NS, dr(DISABLE)), "mtls-dr-disable-vs-strict"),
    "C5": ((NAMESPACE, server(), policy("app", "DISABLE"), dr(MUTUAL)), "mtls-dr-mutual-vs-disable"),
    "C10": ((NAMESPACE, server(), *ROWS["C10"].texts), "mtls-dr-disable-vs-strict"),
    "C12": ((NAMESPACE, server(), *ROWS["C12"].texts), "mtls-dr-disable-vs-strict"),  # clients in app
    "C13": ((NAMESPACE, server(), *ROWS["C13"].texts), None),
    "C14": ((NAMESPACE, server(), *ROWS["C14"].texts), None),
    "C15": ((NAMESPACE, server(), *ROWS["C15"].texts), "mtls-dr-port-level-drops-tls"),
    "C17": ((NAMESPACE, server(), *ROWS["C17"].texts), "mtls-dr-disable-vs-strict"),
    "C20": ((EXTERNAL, dr("{mode: SIMPLE, credentialName: ca}", host="api.example.com")),
            "mtls-credential-on-sidecar"),
    "C21": ((NAMESPACE, server(), STRICT_NS, dr("{}")), "mtls-dr-no-mode"),
    "C24": ((NAMESPACE, server(), *ROWS["C24"].texts), "mtls-dr-disable-vs-strict"),  # clients in app
    "ISTIO_MUTUAL to a host outside": ((EXTERNAL, dr(MUTUAL, host="api.example.com")),
                                       "mtls-dr-mutual-vs-disable"),
    "DISABLE for the API server": ((policy("istio-system", "STRICT"), dr(MUTUAL, host="*.local"),
                                    dr(DISABLE, host="kubernetes.default.svc.cluster.local")), None),
    "KIA0207": ((policy("app", "STRICT"), dr(DISABLE, namespace="app", host="*.app.svc.cluster.local")),
                "mtls-dr-disable-vs-strict"),
    "KIA0208": ((policy("istio-system", "STRICT"), dr(DISABLE, host="*.local")),
                "mtls-dr-disable-vs-strict"),
    "KIA0002": ((policy("app", "STRICT"), policy("app", "STRICT", name="b")), "mtls-duplicate-scope"),
    "skip": ((dr("{mode: SIMPLE, insecureSkipVerify: true}", host="api.example.com"),),
             "mtls-insecure-skip-verify"),
    "the mesh's own files": ((NAMESPACE, server(), STRICT_NS, dr(
        "{mode: MUTUAL, clientCertificate: /etc/certs/cert-chain.pem, privateKey: /etc/certs/key.pem}")),
        None),
}  # fmt: skip


@pytest.mark.parametrize(("texts", "expected"), FINDINGS.values(), ids=FINDINGS)
def test_findings(texts: tuple[str, ...], expected: str | None) -> None:
    assert found(*texts) - {"mtls-disabled", "mtls-permissive"} == ({expected} if expected else set())


def test_c18_only_where_a_route_names_the_subset() -> None:
    route = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a, namespace: app}
spec:
  hosts: [a]
  http: [{route: [{destination: {host: a, subset: v1}}]}]
"""
    subset = f"  subsets: [{{name: v1, labels: {{app: a}}, trafficPolicy: {{tls: {DISABLE}}}}}]"
    texts = (NAMESPACE, server(), STRICT_NS, dr(MUTUAL, namespace="app", more=subset))
    assert found(*texts) == set()
    assert found(*texts, route) == {"mtls-dr-disable-vs-strict"}


def test_c19_mutual_without_certificates() -> None:
    assert found(dr("{mode: MUTUAL}", host="api.example.com")) == {"dr-tls-fields"}


def test_c23_a_client_outside_of_the_mesh() -> None:
    client = """
apiVersion: v1
kind: Pod
metadata: {name: report, namespace: app, labels: {sidecar.istio.io/inject: "false"}}
spec:
  hostNetwork: true
  containers: [{name: r, image: r, env: [{name: A, value: "http://a.app:80"}]}]
"""
    assert found(NAMESPACE, server(), STRICT_NS, client) == {"mtls-strict-nonmesh-client"}
