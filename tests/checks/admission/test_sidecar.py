"""Sidecar: the table of spec schemas 3.3, one case for each row."""

from __future__ import annotations

import pytest

from tests.checks.admission.support import Row, check_row, findings, params, uncovered

KIND = "Sidecar"
COUNT = 50
IN = "/spec/ingress/0"
OUT = "/spec/egress/0"
PROXY = "/spec/outboundTrafficPolicy/egressProxy"
ALL = "egress: [{hosts: ['./*']}]"
FILES = "serverCertificate: /c, privateKey: /k"


def ingress(port: str = "{number: 80, protocol: HTTP}", more: str = "", *others: str) -> str:
    return f"ingress: [{', '.join((f'{{port: {port}{more}}}', *others))}]"


def endpoint(text: str) -> str:
    return ingress(more=f", defaultEndpoint: '{text}'")


def tls(text: str, protocol: str = "HTTPS") -> str:
    return ingress(f"{{number: 443, protocol: {protocol}}}", f", tls: {text}")


def egress(*listeners: str) -> str:
    return f"egress: [{', '.join(f'{{{text}}}' for text in listeners)}]"


def hosts(text: str) -> str:
    return f"egress: [{{hosts: [{text}]}}]"


def proxy(text: str, mode: str = "ALLOW_ANY") -> str:
    return f"outboundTrafficPolicy: {{mode: {mode}, egressProxy: {text}}}"


ANY = "hosts: ['./*']"
SOCKET = "port: {number: 0, protocol: HTTP}, bind: 'unix:///a'"
SERVER_TLS = f"{{mode: SIMPLE, {FILES}}}"
EGRESS_PROXY = "{host: a.example.com, port: {number: 443}}"

ROWS = [
    Row(
        1,
        "sidecar-selector",
        "/spec/workloadSelector/labels/",
        f"{ALL}\nworkloadSelector: {{labels: {{'': a}}}}",
        f"{ALL}\nworkloadSelector: {{labels: {{app: a}}}}",
    ),
    Row(
        2,
        "sidecar-selector",
        "/spec/workloadSelector/labels/a*",
        f"{ALL}\nworkloadSelector: {{labels: {{'a*': a}}}}",
        f"{ALL}\nworkloadSelector: {{labels: {{app: a}}}}",
    ),
    Row(
        3,
        "selector-empty",
        "/spec/workloadSelector",
        f"{ALL}\nworkloadSelector: {{labels: {{}}}}",
        ALL,
        "warning",
    ),
    Row(4, "sidecar-empty", "/spec", "workloadSelector: {labels: {app: a}}", "outboundTrafficPolicy: {}"),
    Row(5, "wrong-type", "/spec/ingress/0", "ingress: ['80']", ingress()),
    Row(6, "required-field", f"{IN}/defaultEndpoint", "ingress: [{defaultEndpoint: ':80'}]", ingress()),
    Row(
        7,
        "sidecar-ingress-port",
        f"{IN}/port/targetPort",
        ingress("{number: 80, targetPort: 8080}"),
        ingress("{number: 80, targetPort: 0}"),
    ),
    Row(
        8,
        "sidecar-ingress-port",
        f"{IN}/port/name",
        ingress("{number: 80, name: a_b}"),
        ingress("{number: 80, name: ''}"),
    ),
    Row(
        9,
        "sidecar-ingress-port",
        f"{IN}/port/protocol",
        ingress("{number: 80, protocol: HTTP3}"),
        ingress("{number: 80, protocol: ''}"),
    ),
    Row(10, "sidecar-ingress-port", f"{IN}/port/number", ingress("{number: 0}"), ingress("{number: 65535}")),
    Row(
        11,
        "sidecar-ingress-port",
        f"{IN}/bind",
        ingress(more=", bind: 'unix:///a'"),
        ingress(more=", bind: '::'"),
    ),
    Row(
        12,
        "sidecar-ingress-port",
        "/spec/ingress/1/port/number",
        ingress("{number: 80}", "", "{port: {number: 80}}"),
        ingress("{number: 80}", "", "{port: {number: 81}}"),
    ),
    Row(13, "sidecar-default-endpoint", f"{IN}/defaultEndpoint", endpoint("unix://a"), endpoint("unix://@a")),
    Row(
        14,
        "sidecar-default-endpoint",
        f"{IN}/defaultEndpoint",
        endpoint("127.0.0.1"),
        endpoint("127.0.0.1:80"),
    ),
    Row(
        15, "sidecar-default-endpoint", f"{IN}/defaultEndpoint", endpoint("10.0.0.1:80"), endpoint("[::]:80")
    ),
    Row(16, "sidecar-default-endpoint", f"{IN}/defaultEndpoint", endpoint(":http"), endpoint(":80")),
    Row(
        17,
        "sidecar-ingress-tls",
        f"{IN}/tls/subjectAltNames",
        tls(f"{{mode: SIMPLE, {FILES}, subjectAltNames: [a]}}"),
        tls(SERVER_TLS),
    ),
    Row(
        18,
        "sidecar-ingress-tls",
        f"{IN}/tls/httpsRedirect",
        tls(f"{{mode: SIMPLE, {FILES}, httpsRedirect: true}}"),
        tls(f"{{mode: SIMPLE, {FILES}, httpsRedirect: false}}"),
    ),
    Row(
        19,
        "sidecar-ingress-tls",
        f"{IN}/tls/credentialName",
        tls("{mode: SIMPLE, credentialName: c}"),
        tls(SERVER_TLS),
    ),
    Row(
        20,
        "sidecar-ingress-tls",
        f"{IN}/tls/credentialNames",
        tls("{mode: SIMPLE, credentialNames: [c]}"),
        tls(SERVER_TLS),
    ),
    Row(
        21,
        "sidecar-ingress-tls",
        f"{IN}/tls/tlsCertificates",
        tls(f"{{mode: SIMPLE, tlsCertificates: [{{{FILES}}}]}}"),
        tls(SERVER_TLS),
    ),
    Row(
        22,
        "sidecar-ingress-tls",
        f"{IN}/tls/mode",
        tls("{mode: AUTO_PASSTHROUGH}"),
        tls("{mode: PASSTHROUGH}"),
    ),
    Row(23, "sidecar-ingress-tls", f"{IN}/tls", tls(SERVER_TLS, "HTTP"), tls(SERVER_TLS, "TLS")),
    Row(
        24,
        "sidecar-ingress-tls",
        f"{IN}/tls",
        tls(f"{{mode: MUTUAL, {FILES}}}"),
        tls(f"{{mode: MUTUAL, {FILES}, caCertificates: /ca}}"),
        "error",
    ),
    Row(
        25,
        "sidecar-pool",
        f"{IN}/connectionPool/tcp/maxConnections",
        ingress(more=", connectionPool: {tcp: {maxConnections: -1}}"),
        ingress(more=", connectionPool: {tcp: {maxConnections: 1}}"),
    ),
    Row(
        26,
        "sidecar-pool",
        f"{IN}/connectionPool/http",
        ingress("{number: 80, protocol: TCP}", ", connectionPool: {http: {maxRetries: 1}}"),
        ingress("{number: 80, protocol: GRPC}", ", connectionPool: {http: {maxRetries: 1}}"),
        "warning",
    ),
    Row(
        27,
        "sidecar-pool",
        "/spec/inboundConnectionPool",
        "inboundConnectionPool: {}",
        "inboundConnectionPool: {http: {maxRetries: 1}}",
    ),
    Row(28, "wrong-type", "/spec/egress/0", "egress: ['./*']", ALL),
    Row(
        29,
        "sidecar-egress-listener",
        f"{OUT}/hosts",
        egress(ANY, f"port: {{number: 80}}, {ANY}"),
        egress(f"port: {{number: 80}}, {ANY}", ANY),
    ),
    Row(30, "sidecar-egress-listener", "/spec/egress/1/hosts", egress(ANY, ANY), egress(ANY)),
    Row(
        31,
        "sidecar-egress-listener",
        f"{OUT}/port/targetPort",
        egress(f"port: {{number: 80, targetPort: 80}}, {ANY}"),
        egress(f"port: {{number: 80}}, {ANY}"),
    ),
    Row(
        32,
        "sidecar-egress-listener",
        f"{OUT}/port/name",
        egress(f"port: {{number: 80, name: a.b}}, {ANY}"),
        egress(f"port: {{number: 80, name: ab}}, {ANY}"),
    ),
    Row(
        33,
        "sidecar-egress-listener",
        f"{OUT}/port/protocol",
        egress(f"port: {{number: 80, protocol: h2c}}, {ANY}"),
        egress(f"port: {{number: 80, protocol: mongo}}, {ANY}"),
    ),
    Row(
        34,
        "sidecar-egress-listener",
        f"{OUT}/port",
        egress(f"port: {{protocol: HTTP}}, {ANY}"),
        egress(f"{SOCKET}, {ANY}"),
    ),
    Row(
        35,
        "sidecar-egress-listener",
        f"{OUT}/captureMode",
        egress(f"{SOCKET}, captureMode: IPTABLES, {ANY}"),
        egress(f"{SOCKET}, captureMode: NONE, {ANY}"),
    ),
    Row(
        36,
        "sidecar-egress-listener",
        f"{OUT}/port/number",
        egress(f"port: {{number: 65536}}, {ANY}"),
        egress(f"port: {{number: 65535}}, {ANY}"),
    ),
    Row(
        37,
        "sidecar-egress-listener",
        f"{OUT}/bind",
        egress(f"port: {{number: 80}}, bind: 'unix:///a', {ANY}"),
        egress(f"port: {{number: 80}}, bind: 127.0.0.1, {ANY}"),
    ),
    Row(
        38,
        "sidecar-egress-listener",
        "/spec/egress/1/bind",
        egress(f"{SOCKET}, {ANY}", f"{SOCKET}, {ANY}"),
        egress(f"{SOCKET}, {ANY}", f"{SOCKET[:-1]}b', {ANY}"),
    ),
    Row(
        39,
        "sidecar-egress-listener",
        "/spec/egress/1/port/number",
        egress(f"port: {{number: 80}}, {ANY}", f"port: {{number: 80}}, {ANY}"),
        egress(f"port: {{number: 80}}, {ANY}", f"port: {{number: 81}}, {ANY}"),
    ),
    Row(40, "sidecar-egress-hosts", f"{OUT}/hosts", hosts(""), hosts("~/*")),
    Row(
        41,
        "sidecar-egress-hosts",
        f"{OUT}/hosts/1",
        hosts("prod/*, prod/a.example.com"),
        hosts("prod/b.example.com, prod/a.example.com"),
        "warning",
    ),
    Row(42, "sidecar-egress-hosts", f"{OUT}/hosts/0", hosts("a.example.com"), hosts("'*/a.example.com'")),
    Row(43, "sidecar-egress-hosts", f"{OUT}/hosts/0", hosts("a_b/*"), hosts("./*, ~a-b/*")),
    Row(44, "sidecar-egress-hosts", f"{OUT}/hosts/0", hosts("prod/a"), hosts("prod/*.example.com")),
    Row(
        45,
        "sidecar-egress-hosts",
        f"{OUT}/hosts/0",
        hosts("'*/*', prod/*"),
        hosts("'*/*', ~prod/*"),
        "warning",
    ),
    Row(
        46,
        "enum-value",
        "/spec/outboundTrafficPolicy/mode",
        "outboundTrafficPolicy: {mode: ALLOW_ANY_DYNAMIC_DNS}",
        "outboundTrafficPolicy: {mode: ALLOW_ANY}",
    ),
    Row(47, "sidecar-outbound-policy", PROXY, proxy(EGRESS_PROXY, "REGISTRY_ONLY"), proxy(EGRESS_PROXY)),
    Row(
        48,
        "sidecar-outbound-policy",
        f"{PROXY}/host",
        proxy("{host: '*.example.com', port: {number: 443}}"),
        proxy(EGRESS_PROXY),
    ),
    Row(49, "sidecar-outbound-policy", PROXY, proxy("{host: a.example.com}"), proxy(EGRESS_PROXY)),
    Row(
        50,
        "sidecar-outbound-policy",
        f"{PROXY}/subset",
        proxy("{host: a.example.com, subset: v.1, port: {number: 443}}"),
        proxy("{host: a.example.com, subset: v1, port: {number: 443}}"),
    ),
]
NOT_DONE: dict[int, str] = {}


@pytest.mark.parametrize("row", params(KIND, ROWS))
def test_row(row: Row) -> None:
    check_row(KIND, row.rule, row.bad, row.good, row.pointer, row.severity)


def test_every_row_is_accounted_for() -> None:
    assert uncovered(COUNT, ROWS, NOT_DONE) == set()


def test_star_in_a_value_is_said_by_the_schema() -> None:
    bad = f"{ALL}\nworkloadSelector: {{labels: {{app: 'a*'}}}}"
    assert [f.location.path for f in findings(KIND, "invalid-value", bad)] == [
        "/spec/workloadSelector/labels/app"
    ]
    assert findings(KIND, "sidecar-selector", bad) == []


def test_tls_checks_of_gateways_apply() -> None:
    text = tls(f"{{mode: SIMPLE, {FILES}, minProtocolVersion: TLSV1_0}}")
    (found,) = findings(KIND, "sidecar-ingress-tls", text)
    assert (found.severity, found.equivalents) == ("warning", ("IST0133",))


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ("sidecar-selector", f"{ALL}\nworkloadSelector: {{labels: {{'${{K}}*': a}}}}"),
        ("sidecar-empty", "egress: null"),
        ("sidecar-ingress-port", ingress("{number: null, name: '${N}', protocol: '${P}'}", ", bind: '${B}'")),
        ("sidecar-ingress-port", ingress("{number: '${N}'}", "", "{port: {number: '${N}'}}")),
        ("sidecar-default-endpoint", endpoint("${HOST}:80")),
        ("sidecar-ingress-tls", tls("{mode: '${M}', caCertificates: /ca}")),
        ("sidecar-ingress-tls", tls(SERVER_TLS, "'${P}'")),
        ("sidecar-ingress-tls", tls("{mode: SIMPLE, serverCertificate: '${C}', privateKey: null}")),
        ("sidecar-pool", "inboundConnectionPool: null"),
        ("sidecar-pool", ingress("{number: 80}", ", connectionPool: {http: {maxRetries: 1}}")),
        (
            "sidecar-egress-listener",
            egress(f"port: {{number: '${{P}}'}}, {ANY}", f"port: {{number: '${{P}}'}}, {ANY}"),
        ),
        ("sidecar-egress-listener", egress(f"port: {{number: 0}}, bind: null, {ANY}")),
        ("sidecar-egress-hosts", hosts("'${NS}/*', null")),
        ("sidecar-egress-hosts", "egress: [{hosts: null}]"),
        ("sidecar-outbound-policy", proxy("{host: '${H}', subset: '${S}', port: {number: null}}", "'${M}'")),
    ],
)
def test_what_a_template_fills_is_not_judged(rule: str, text: str) -> None:
    assert findings(KIND, rule, text) == []


@pytest.mark.parametrize(
    ("written", "accepted"),
    [
        ("127.0.0.1:8080", True),
        ("0.0.0.0:8080", True),
        ("[::1]:8080", True),
        (":8080", True),
        ("unix:///a/b", True),
        ("::1:8080", False),
        ("[::1]", False),
        ("localhost:8080", False),
        ("127.0.0.1:0", False),
        ("127.0.0.1:65536", False),
        ("127.0.0.1:99999999999999999999", False),
        ("127.0.0.1:", False),
        ("unix:///a/", False),
        ("unix://", False),
    ],
)
def test_endpoints(written: str, accepted: bool) -> None:
    assert (findings(KIND, "sidecar-default-endpoint", endpoint(written)) == []) is accepted
