"""Gateways and the VirtualServices that name them: the tables of spec traffic 1.8 and 5.11."""

from __future__ import annotations

import pytest

from meshlint.mesh.scope import Settings
from meshlint.policy.run import run
from tests.checks.admission.support import rule_named
from tests.checks.traffic.support import (
    COMPLETE,
    deployment,
    findings,
    gateway,
    paths,
    service,
    to,
    verdicts,
)
from tests.support import mesh_of

MISSING, MISMATCH, INVISIBLE = "vs-gateway-missing", "vs-gateway-host-mismatch", "vs-gateway-invisible"
ENTRY = "/spec/gateways/0"
PODS = deployment("ingress", "istio-system", "istio: ingressgateway")
SHARED = "istio-system/gw"


def shared(*hosts: str) -> str:
    listed = ", ".join(f'"{host}"' for host in hosts)
    return gateway(f"[{listed}]", namespace="istio-system")


def bound(host: str, reference: str = SHARED, export: str = "") -> str:
    text = to("host: a", hosts=f'["{host}"]', gateways=f'["{reference}"]')
    return text.replace("spec:\n", f"spec:\n  exportTo: {export}\n", 1) if export else text


def verdict_of(*texts: str, settings: Settings | None = None) -> list[tuple[str, str, str]]:
    """Rule, severity and confidence of what is said about the gateways of a VirtualService."""
    return [
        (rule, severity, confidence)
        for rule in (MISSING, MISMATCH, INVISIBLE, "vs-gateway-legacy-name")
        for severity, confidence in verdicts(rule, *texts, settings=settings)
    ]


ROWS = {
    "covered": ("*.example.com", "a.example.com", SHARED, "", []),
    "its own namespace": ("*.example.com", "a.example.com", "gw", "", [(MISSING, "error", "medium")]),
    "bare domain": ("*.example.com", "example.com", SHARED, "", [(MISMATCH, "error", "high")]),
    "namespace filter": ("prod/*.example.com", "a.example.com", SHARED, "", [(MISMATCH, "error", "high")]),
    "star for the namespace": ("shop/*", "a.example.com", SHARED, "", []),
    "star for its own": ("./*", "a.example.com", SHARED, "", [(MISMATCH, "error", "high")]),
    "wider than the server": ("a.example.com", "*.example.com", SHARED, "", []),
    "short host": ("*", "reviews", SHARED, "", [(MISMATCH, "warning", "medium")]),
    "private": ("*", "a.example.com", SHARED, '["."]', [(INVISIBLE, "error", "medium")]),
    "old name": (
        "*", "a.example.com", "gw.istio-system.svc.cluster.local", "",
        [("vs-gateway-legacy-name", "warning", "high")],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("offered", "host", "reference", "export", "expected"), ROWS.values(), ids=ROWS)
def test_1_8(
    offered: str, host: str, reference: str, export: str, expected: list[tuple[str, str, str]]
) -> None:
    assert verdict_of(shared(offered), bound(host, reference, export), PODS) == expected


def test_1_8_no_gateway_file() -> None:
    assert verdict_of(bound("a.example.com")) == []


def test_1_8_in_a_complete_input() -> None:
    texts = (shared("*.example.com"), bound("a.example.com", "gw"), PODS)
    (found,) = findings(MISSING, *texts, settings=COMPLETE)
    assert (found.confidence, found.location.path, found.equivalents) == (
        "high", ENTRY, ("IST0101", "IST0132", "KIA1102"),
    )  # fmt: skip


def test_a_gateway_without_a_written_namespace_may_be_anywhere() -> None:
    adrift = gateway(namespace="shop").replace(", namespace: shop", "")
    assert verdicts(MISSING, adrift, bound("a", "infra/gw"), settings=COMPLETE) == [("error", "low")]


@pytest.mark.parametrize(
    "name", ["kyma-system/kyma-gateway", "mesh", "${GATEWAY}", "knative-serving/knative-local-gateway"]
)
def test_gateways_that_are_never_missing(name: str) -> None:
    assert paths(MISSING, bound("a.example.com", name), settings=COMPLETE) == []


def test_any_version_of_a_gateway_will_do() -> None:
    assert paths(MISMATCH, shared("b.example.com"), shared("a.example.com"), bound("a.example.com")) == []


def test_a_second_gateway_that_serves_the_host_makes_the_first_one_idle() -> None:
    two = to("host: a", hosts="[a.example.com]", gateways="[istio-system/gw, other]")
    other = gateway('["b.example.com"]', name="other")
    (found,) = findings(MISMATCH, shared("a.example.com"), other, two)
    assert (found.severity, found.location.path) == ("warning", "/spec/gateways/1")


def test_a_placeholder_among_the_hosts_is_unknown() -> None:
    assert paths(MISMATCH, shared("${HOST}"), bound("a.example.com")) == []
    assert paths(MISMATCH, shared("b.example.com"), bound("${HOST}")) == []


def test_pods_of_an_invisible_rule_are_needed() -> None:
    assert paths(INVISIBLE, shared("*"), bound("a.example.com", export='["."]')) == []
    assert verdicts(
        INVISIBLE, shared("*"), bound("a.example.com", export='["."]'), PODS, settings=COMPLETE
    ) == [("error", "high")]


# --- 5.11


def server(port: int, protocol: str, hosts: str = "a.example.com", tls: str = "", name: str = "gw") -> str:
    block = f", tls: {tls}" if tls else ""
    text = f"port: {{number: {port}, name: web, protocol: {protocol}}}{block}"
    return gateway(f'["{hosts}"]', name=name, namespace="istio-system", server=text)


SIMPLE = "{mode: SIMPLE, credentialName: c}"
CREDENTIAL = "gw-credential-missing"


def secret(namespace: str, data: str = "", name: str = "c", kind: str = "Secret", api: str = "v1") -> str:
    written = data or "{tls.crt: LS0tLS1CRUdJTiBYLS0tLS0=, tls.key: LS0tLS1CRUdJTiBYLS0tLS0=}"
    return f"""
apiVersion: {api}
kind: {kind}
metadata: {{name: {name}, namespace: {namespace}}}
data: {written}
"""


CASES = {
    "certificate without a mode": (
        ["gw-tls-mode-missing"], [server(443, "HTTPS", tls="{credentialName: c}")], [("error", "high")],
    ),
    "Secret of the application": (
        [CREDENTIAL], [server(443, "HTTPS", tls=SIMPLE), secret("shop"), PODS], [("error", "medium")],
    ),
    "same host and port": (
        ["gw-duplicate-host-port"],
        [server(443, "HTTPS", tls=SIMPLE), server(443, "HTTPS", tls=SIMPLE, name="other")],
        [("error", "high"), ("error", "high")],
    ),
    "HTTP and TCP": (
        ["gw-port-protocol-conflict"], [server(80, "HTTP"), server(80, "TCP", name="other")],
        [("error", "high")],
    ),
    "plain servers are merged": (
        ["gw-duplicate-host-port", "gw-port-protocol-conflict"],
        [server(80, "HTTP", "*"), server(80, "HTTP", "*", name="other")],
        [("info", "low"), ("info", "low")],
    ),
    "redirect": (
        ["gw-http-no-redirect", "gw-tls-fields"], [server(80, "HTTP", tls="{httpsRedirect: true}")], [],
    ),
    "TLS that ends at the gateway, TCP rules": (
        [MISMATCH, "gw-tls-fields"],
        [server(443, "TLS", tls=SIMPLE), bound("a.example.com").replace("http:", "tcp:")], [],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("rules", "texts", "expected"), CASES.values(), ids=CASES)
def test_5_11(rules: list[str], texts: list[str], expected: list[tuple[str, str]]) -> None:
    found = [verdict for rule in rules for verdict in verdicts(rule, *texts)]
    assert found == expected


@pytest.mark.parametrize(
    "missing",
    [
        pytest.param("TLS PASSTHROUGH server, VS with http rules only", id="passthrough"),
        pytest.param("HTTPS SIMPLE, VS with tls rules", id="tls rules where TLS ends"),
        pytest.param("VS http with gateway TCP server", id="http rules on TCP"),
    ],
)
def test_5_11_rules_for_the_protocol_of_the_server(missing: str) -> None:
    """Said by vs-http-on-opaque-port, where it looks at servers."""
    blocks = {
        "TLS PASSTHROUGH server, VS with http rules only": (
            server(443, "TLS", tls="{mode: PASSTHROUGH}"), bound("a.example.com"),
        ),
        "HTTPS SIMPLE, VS with tls rules": (
            server(443, "HTTPS", tls=SIMPLE),
            bound("a.example.com").replace(
                "http: [{", "tls: [{match: [{port: 443, sniHosts: [a.example.com]}], "
            ),
        ),
        "VS http with gateway TCP server": (server(443, "TCP"), bound("a.example.com")),
    }  # fmt: skip
    assert paths("vs-http-on-opaque-port", *blocks[missing]) != []


@pytest.mark.parametrize(
    ("first", "second", "settings", "confidence"),
    [
        ("a/x.yaml", "a/y.yaml", None, "high"),
        ("a/x.yaml", "b/x.yaml", None, "medium"),
        ("a/x.yaml", "b/x.yaml", COMPLETE, "high"),
    ],
)
def test_other_folders_may_be_for_other_clusters(
    first: str, second: str, settings: Settings | None, confidence: str
) -> None:
    texts = {first: server(443, "HTTPS", tls=SIMPLE), second: server(443, "HTTPS", tls=SIMPLE, name="other")}
    found, _ = run([rule_named("gw-duplicate-host-port")], mesh_of(settings=settings, **texts))
    expected = (confidence, ("IST0145", "KIA0301", "IST0138"))
    assert [(f.confidence, f.equivalents) for f in found] == [expected, expected]


def test_versions_of_a_gateway_do_not_compete() -> None:
    texts = (server(443, "HTTPS", tls=SIMPLE), server(443, "HTTPS", "b.example.com", tls=SIMPLE))
    for rule in ("gw-duplicate-host-port", "gw-duplicate-certificate", "gw-port-protocol-conflict"):
        assert paths(rule, texts[0], texts[0], texts[1], server(443, "HTTP")) == []


def test_selectors_that_meet_on_a_pod() -> None:
    other = server(443, "HTTPS", tls=SIMPLE, name="other").replace("istio: ingressgateway", "app: edge")
    pods = deployment("edge", "edge", "istio: ingressgateway, app: edge")
    first = server(443, "HTTPS", tls=SIMPLE)
    assert paths("gw-duplicate-host-port", first, other) == []
    assert len(paths("gw-duplicate-host-port", first, other, pods)) == 2


def test_a_gateway_without_a_selector_meets_all() -> None:
    other = server(443, "HTTPS", tls=SIMPLE, name="other").replace("{istio: ingressgateway}", "{}")
    assert len(paths("gw-duplicate-host-port", server(443, "HTTPS", tls=SIMPLE), other)) == 2


def test_both_redirect_the_same_hosts() -> None:
    redirect = "{httpsRedirect: true}"
    texts = (server(80, "HTTP", tls=redirect), server(80, "HTTP", tls=redirect, name="other"))
    assert verdicts("gw-duplicate-host-port", *texts) == [("info", "low")] * 2


BEGIN = "LS0tLS1CRUdJTiBY"
SECRETS = {
    "pods unknown": ([], []),
    "missing": ([PODS], [("error", "high")]),
    "there": ([PODS, secret("istio-system")], []),
    "sealed": ([PODS, secret("istio-system", kind="SealedSecret", api="bitnami.com/v1alpha1")], []),
    "external": ([PODS, secret("istio-system", kind="ExternalSecret", api="external-secrets.io/v1")], []),
    "no key": ([PODS, secret("istio-system", f"{{tls.crt: {BEGIN}}}")], [("error", "high")]),
    "old keys": ([PODS, secret("istio-system", f"{{cert: {BEGIN}, key: eA==}}")], []),
    "no PEM": ([PODS, secret("istio-system", "{tls.crt: eHh4, tls.key: eHh4}")], [("error", "medium")]),
    "template": ([PODS, secret("istio-system", "{tls.crt: '${CRT}', tls.key: eHh4}")], []),
    "encrypted": ([PODS, secret("istio-system", "{tls.crt: 'ENC[x]', tls.key: 'ENC[y]'}")], []),
    "filled by somebody": ([PODS, secret("istio-system", "{}")], []),
}


@pytest.mark.parametrize(("texts", "expected"), SECRETS.values(), ids=SECRETS)
def test_credentials(texts: list[str], expected: list[tuple[str, str]]) -> None:
    assert verdicts(CREDENTIAL, server(443, "HTTPS", tls=SIMPLE), *texts, settings=COMPLETE) == expected


def test_a_copied_secret_is_everywhere() -> None:
    copied = secret("shop").replace(
        "namespace: shop",
        "namespace: shop, annotations: {reflector.v1.k8s.emberstack.com/reflection-allowed: 'true'}",
    )
    assert paths(CREDENTIAL, server(443, "HTTPS", tls=SIMPLE), PODS, copied, settings=COMPLETE) == []


@pytest.mark.parametrize("selector", ["istio: ingressgateway", "app: istio-ingress", '"${LABEL}": x'])
def test_pods_of_installations_are_never_missing(selector: str) -> None:
    text = server(80, "HTTP").replace("istio: ingressgateway", selector)
    assert paths("gw-selector-no-pods", text, settings=COMPLETE) == []


def test_pods_of_a_gateway_of_the_other_api() -> None:
    text = server(80, "HTTP").replace("istio: ingressgateway", "gateway.networking.k8s.io/gateway-name: edge")
    edge = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop}
spec: {gatewayClassName: istio, listeners: [{name: a, port: 80, protocol: HTTP}]}
"""
    assert paths("gw-selector-no-pods", text, edge, settings=COMPLETE) == []
    assert paths("gw-selector-no-pods", text, settings=COMPLETE) == ["/spec/selector"]


@pytest.mark.parametrize(
    ("port", "found"),
    [(80, False), (8080, False), (8443, False), (9000, True)],
)
def test_ports_of_the_service(port: int, found: bool) -> None:
    pods = PODS.replace("image: main", "image: main, ports: [{containerPort: 8443, name: https}]")
    leads = service(
        "ingress",
        "istio-system",
        "[{name: a, port: 80, targetPort: 8080}, {name: b, port: 443, targetPort: https}]",
    ).replace("app: ingress", "istio: ingressgateway")
    assert bool(paths("gw-port-not-on-service", server(port, "HTTP"), pods, leads)) is found
    assert paths("gw-port-not-on-service", server(port, "HTTP"), pods) == []


def test_pods_of_a_gateway_without_any_service() -> None:
    texts = (server(80, "HTTP"), PODS)
    assert len(paths("gw-port-not-on-service", *texts, settings=COMPLETE)) == 1
    on_host = PODS.replace("image: main", "image: main, ports: [{containerPort: 80, hostPort: 80}]")
    assert paths("gw-port-not-on-service", server(80, "HTTP"), on_host, settings=COMPLETE) == []


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        ((secret("shop"), deployment("a")), True),
        ((secret("shop"),), False),
        ((secret("istio-ingress"), deployment("a")), False),
        ((secret("shop"), secret("istio-system"), deployment("a")), False),
        ((secret("edge-gateway"), deployment("a", "edge-gateway")), False),
        ((secret("shop, annotations: {replicator/to: x}"), deployment("a")), False),
        ((deployment("a"),), False),
    ],
    ids=["beside", "pods unseen", "of the gateway", "both", "a gateway's name", "copied", "none"],
)
def test_secrets_of_an_ingress_gateway_that_is_not_in_the_input(texts: tuple[str, ...], found: bool) -> None:
    expected = [("error", "low")] if found else []
    assert verdicts(CREDENTIAL, server(443, "HTTPS", tls=SIMPLE), *texts) == expected


@pytest.mark.parametrize(
    ("more", "found"),
    [
        ("", True),
        ("type: LoadBalancer", True),
        ("type: ClusterIP", False),
    ],
)
def test_who_is_public(more: str, found: bool) -> None:
    leads = service("ingress", "istio-system").replace("app: ingress", "istio: ingressgateway")
    texts = [leads.replace("{selector", f"{{{more}, selector")] if more else []
    assert bool(paths("gw-http-no-redirect", server(80, "HTTP"), PODS, *texts)) is found


@pytest.mark.parametrize(
    ("kinds", "found"),
    [
        ({"ClusterIP": 8081}, False),
        ({"ClusterIP": 80}, True),
        ({"LoadBalancer": 8081}, True),
        ({"ClusterIP": 8081, "NodePort": 8081}, True),
        ({"ClusterIP": 8081, "LoadBalancer": 8080}, False),
    ],
)
def test_a_port_that_only_clients_of_the_cluster_reach(kinds: dict[str, int], found: bool) -> None:
    leads = [
        service(kind.lower(), "istio-system", f"[{{name: http, port: 80, targetPort: {port}}}]")
        .replace(f"app: {kind.lower()}", "istio: ingressgateway")
        .replace("{selector", f"{{type: {kind}, selector")
        for kind, port in kinds.items()
    ]
    assert bool(paths("gw-http-no-redirect", server(8081, "HTTP"), *leads)) is found


def test_a_load_balancer_that_ends_tls_or_is_inside() -> None:
    leads = service("ingress", "istio-system").replace("app: ingress", "istio: ingressgateway")
    leads = leads.replace("{selector", "{type: LoadBalancer, selector")
    for key in (
        "service.beta.kubernetes.io/aws-load-balancer-ssl-cert",
        "networking.gke.io/load-balancer-type-internal",
    ):
        shielded = leads.replace(
            "namespace: istio-system", f"namespace: istio-system, annotations: {{{key}: x}}"
        )
        assert paths("gw-http-no-redirect", server(80, "HTTP"), PODS, shielded) == []


def test_rules_that_redirect() -> None:
    redirect = bound("a.example.com").replace(
        "route: [{destination: {host: a}}]", "redirect: {scheme: https}"
    )
    assert paths("gw-http-no-redirect", server(80, "HTTP"), redirect) == []
    assert paths("gw-http-no-redirect", server(80, "HTTP"), bound("a.example.com")) != []


def test_challenges_are_plain() -> None:
    challenge = to(
        "host: a",
        match="uri: {prefix: /.well-known/acme-challenge/}",
        hosts='["*"]',
        gateways="[istio-system/gw]",
    )
    assert paths("gw-http-no-redirect", server(80, "HTTP", "*"), challenge) == []


def test_the_split_of_the_mesh_does_not_reach_the_ingress() -> None:
    entry = to("host: a", hosts="[a.example.com]", gateways="[gw]", name="entry")
    split = to("host: a, subset: v1", "host: a, subset: v2", name="split")
    (found,) = findings("vs-ingress-subset-inert", entry, split)
    assert (found.location.path, found.equivalents) == (
        "/spec/http/0/route/0/destination/host", ("IST0140",),
    )  # fmt: skip
    assert len(found.related) == 2


def test_a_split_of_its_own_and_one_of_another_gateway_are_no_loss() -> None:
    own = to("host: a, subset: v1", "host: a", hosts="[a, a.example.com]", gateways="[gw, mesh]")
    elsewhere = to("host: a, subset: v1", hosts="[b.example.com]", gateways="[gw]", name="elsewhere")
    assert paths("vs-ingress-subset-inert", own, elsewhere) == []
