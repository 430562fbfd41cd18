"""Gateway: the table of spec schemas 3.3, one case for each row."""

from __future__ import annotations

import pytest

from tests.checks.admission.support import Row, check_row, findings, params, uncovered

KIND = "Gateway"
COUNT = 39


def server(tls: str = "", protocol: str = "HTTPS", more: str = "", hosts: str = "[a.example.com]") -> str:
    """The spec of a Gateway with one server, in flow style."""
    block = f", tls: {tls}" if tls else ""
    port = f"{{number: 443, name: web, protocol: {protocol}}}"
    return f"servers: [{{port: {port}, hosts: {hosts}{block}{more}}}]"


def port(text: str, more: str = "") -> str:
    return f"servers: [{{port: {text}, hosts: [a.example.com]{more}}}]"


SIMPLE = "{mode: SIMPLE, credentialName: c}"
FILES = "serverCertificate: /c, privateKey: /k"
TLS = "/spec/servers/0/tls"
HOST = "/spec/servers/0/hosts/0"
GOOD = server(SIMPLE)
HTTP = server(protocol="HTTP")


def own(field: str, value: str = "x") -> tuple[str, str]:
    return server(f"{{mode: ISTIO_MUTUAL, {field}: {value}}}"), server("{mode: ISTIO_MUTUAL}")


ROWS = [
    Row(1, "gw-name", "/metadata/name", f"metadata: {{name: a.b}}\nspec: {{{HTTP}}}", HTTP),
    Row(2, "gw-servers", "/spec", "selector: {istio: ingressgateway}", GOOD),
    Row(3, "wrong-type", "/spec/servers/0", 'servers: ["x"]', GOOD),
    Row(
        4,
        "gw-port",
        "/spec/servers/1/port/name",
        "servers: [{port: {number: 80, name: a, protocol: HTTP}, hosts: ['*']}, "
        "{port: {number: 81, name: a, protocol: HTTP}, hosts: ['*']}]",
        "servers: [{port: {number: 80, name: a, protocol: HTTP}, hosts: ['*']}, "
        "{port: {number: 81, name: b, protocol: HTTP}, hosts: ['*']}]",
    ),
    Row(
        5,
        "gw-tls-inert",
        f"{TLS}/httpsRedirect",
        server("{mode: SIMPLE, credentialName: c, httpsRedirect: true}"),
        server("{httpsRedirect: true}", "HTTP"),
        "warning",
    ),
    Row(6, "gw-hosts", "/spec/servers/0/hosts", server(protocol="HTTP", hosts="[]"), HTTP),
    Row(7, "gw-hosts", HOST, server(hosts="[/a.example.com]"), server(hosts="[ns/a.example.com]")),
    Row(8, "gw-hosts", HOST, server(hosts="[a_b/a.example.com]"), server(hosts="[./a.example.com, '*/*']")),
    Row(9, "gw-hosts", HOST, server(hosts="[shop]"), server(hosts="['*']")),
    Row(10, "gw-hosts", HOST, server(hosts="['a..example.com']"), server(hosts="[10.0.0.1]")),
    Row(11, "gw-hosts", HOST, server(hosts="['*a.example.com']"), server(hosts="['*.example.com']")),
    Row(12, "required-field", "/spec/servers/0/hosts", "servers: [{hosts: ['*']}]", HTTP),
    Row(
        13, "gw-port", "/spec/servers/0/port/protocol", server(protocol="HTTP3"), server(protocol="grpc-Web")
    ),
    Row(
        14,
        "gw-port",
        "/spec/servers/0/port/number",
        port("{number: 70000, name: a, protocol: HTTP}"),
        port("{number: 0, name: a, protocol: HTTP}", ", bind: 'unix:///a'"),
    ),
    Row(
        15,
        "gw-port",
        "/spec/servers/0/port/targetPort",
        port("{number: 80, name: a, protocol: HTTP, targetPort: 8080}"),
        port("{number: 80, name: a, protocol: HTTP, targetPort: 0}"),
    ),
    Row(16, "gw-port", "/spec/servers/0/port/name", port("{number: 80, name: '', protocol: HTTP}"), HTTP),
    Row(
        17,
        "gw-bind",
        "/spec/servers/0/bind",
        port("{number: 0, name: a, protocol: HTTP}", ", bind: 'unix://a/b'"),
        port("{number: 0, name: a, protocol: HTTP}", ", bind: 'unix://@a'"),
    ),
    Row(
        18,
        "gw-bind",
        "/spec/servers/0/bind",
        port("{number: 80, name: a, protocol: HTTP}", ", bind: 'unix:///a'"),
        port("{number: 0, name: a, protocol: HTTP}", ", bind: 'unix:///a'"),
    ),
    Row(
        19,
        "gw-bind",
        "/spec/servers/0/bind",
        server(protocol="HTTP", more=", bind: localhost"),
        server(protocol="HTTP", more=", bind: '::1'"),
    ),
    Row(
        20,
        "gw-tls-min-version",
        f"{TLS}/minProtocolVersion",
        server("{mode: SIMPLE, credentialName: c, minProtocolVersion: TLSV1_1}"),
        server("{mode: SIMPLE, credentialName: c, minProtocolVersion: TLSV1_1, cipherSuites: [AES128-SHA]}"),
        "warning",
    ),
    Row(
        21,
        "gw-tls-ciphers",
        f"{TLS}/cipherSuites/0",
        server("{mode: SIMPLE, credentialName: c, cipherSuites: [TLS_AES_128_GCM_SHA256]}"),
        server("{mode: SIMPLE, credentialName: c, cipherSuites: [ALL, '', '-AES128-SHA', AES128-SHA]}"),
        "warning",
    ),
    Row(
        22,
        "gw-tls-ciphers",
        f"{TLS}/cipherSuites/1",
        server("{mode: SIMPLE, credentialName: c, cipherSuites: [AES128-SHA, AES128-SHA]}"),
        server("{mode: SIMPLE, credentialName: c, cipherSuites: [ALL, ALL]}"),
        "warning",
    ),
    Row(23, "gw-tls-fields", f"{TLS}/serverCertificate", *own("serverCertificate")),
    Row(24, "gw-tls-fields", f"{TLS}/privateKey", *own("privateKey")),
    Row(25, "gw-tls-fields", f"{TLS}/caCertificates", *own("caCertificates")),
    Row(26, "gw-tls-fields", f"{TLS}/tlsCertificates", *own("tlsCertificates", f"[{{{FILES}}}]")),
    Row(27, "gw-tls-fields", f"{TLS}/credentialName", *own("credentialName")),
    Row(28, "gw-tls-fields", f"{TLS}/credentialNames", *own("credentialNames", "[x]")),
    Row(
        29,
        "gw-tls-inert",
        f"{TLS}/caCrl",
        server("{mode: AUTO_PASSTHROUGH, caCrl: /crl}"),
        server("{mode: AUTO_PASSTHROUGH}"),
        "warning",
    ),
    Row(
        30,
        "gw-tls-fields",
        f"{TLS}/tlsCertificates",
        server(f"{{mode: SIMPLE, credentialName: c, tlsCertificates: [{{{FILES}}}]}}"),
        server(f"{{mode: SIMPLE, tlsCertificates: [{{{FILES}}}]}}"),
    ),
    Row(
        31,
        "gw-tls-fields",
        TLS,
        server(f"{{mode: OPTIONAL_MUTUAL, {FILES}}}"),
        server(f"{{mode: OPTIONAL_MUTUAL, {FILES}, caCertificates: /ca}}"),
    ),
    Row(
        32,
        "invalid-value",
        f"{TLS}/tlsCertificates",
        server(f"{{mode: SIMPLE, tlsCertificates: [{{{FILES}}}, {{{FILES}}}, {{{FILES}}}]}}"),
        server(f"{{mode: SIMPLE, tlsCertificates: [{{{FILES}}}, {{{FILES}}}]}}"),
    ),
    Row(
        33,
        "gw-tls-fields",
        TLS,
        server("{mode: SIMPLE, privateKey: /k}"),
        server(f"{{mode: SIMPLE, {FILES}}}"),
    ),
    Row(
        34,
        "gw-tls-fields",
        f"{TLS}/tlsCertificates/0/serverCertificate",
        server("{mode: SIMPLE, tlsCertificates: [{serverCertificate: /c}]}"),
        server(f"{{mode: SIMPLE, tlsCertificates: [{{{FILES}}}]}}"),
    ),
    Row(
        35,
        "gw-tls-fields",
        f"{TLS}/caCrl",
        server("{mode: PASSTHROUGH, credentialName: c, caCrl: /crl}"),
        server("{mode: PASSTHROUGH, caCrl: /crl}"),
    ),
    Row(
        36,
        "gw-tls-fields",
        f"{TLS}/caCrl",
        server(f"{{mode: SIMPLE, {FILES}, caCrl: /crl}}"),
        server(f"{{mode: MUTUAL, {FILES}, caCertificates: /ca, caCrl: /crl}}"),
    ),
    Row(37, "gw-tls-fields", "/spec/servers/0/port", server(protocol="TLS"), GOOD),
    Row(38, "gw-tls-fields", TLS, server(SIMPLE, "HTTP2"), server("{httpsRedirect: true}", "HTTP2")),
    Row(39, "gw-tls-fields", TLS, server("{httpsRedirect: true}", "TCP"), server(protocol="TCP")),
]
NOT_DONE: dict[int, str] = {}


@pytest.mark.parametrize("row", params(KIND, ROWS))
def test_row(row: Row) -> None:
    check_row(KIND, row.rule, row.bad, row.good, row.pointer, row.severity)


def test_every_row_is_accounted_for() -> None:
    assert uncovered(COUNT, ROWS, NOT_DONE) == set()


def test_a_mode_that_is_not_written_is_passthrough() -> None:
    text = server("{credentialName: c}")
    assert [f.location.path for f in findings(KIND, "gw-tls-mode-missing", text)] == [f"{TLS}/credentialName"]
    assert findings(KIND, "gw-tls-inert", text) == []


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ("gw-tls-fields", server("{mode: '${MODE}', caCrl: /crl, credentialName: c}")),
        ("gw-tls-fields", server("{mode: SIMPLE, credentialName: null}")),
        ("gw-tls-fields", server("{mode: SIMPLE, serverCertificate: '${CERT}', privateKey: null}")),
        ("gw-tls-fields", server("null")),
        ("gw-tls-fields", server(protocol="'{{ .Values.protocol }}'")),
        ("gw-tls-mode-missing", server("{mode: null, credentialName: c}")),
        ("gw-hosts", server(hosts="[null, '${HOST}', 5]").replace(", 5", "")),
        ("gw-hosts", "servers: [{port: {number: 80}, hosts: null}]"),
        ("gw-port", server(protocol="null")),
        ("gw-port", port("{number: '${PORT}', name: $(NAME), protocol: HTTP}")),
        ("gw-bind", server(more=", bind: '${BIND}'")),
        ("gw-servers", "servers: null"),
        ("gw-name", f"metadata: {{name: '${{NAME}}.x'}}\nspec: {{{GOOD}}}"),
        ("gw-tls-ciphers", server("{mode: SIMPLE, credentialName: c, cipherSuites: ['${A}', null]}")),
    ],
)
def test_what_a_template_fills_is_not_judged(rule: str, text: str) -> None:
    assert findings(KIND, rule, text) == []


def test_one_finding_names_all_that_is_missing() -> None:
    (found,) = findings(KIND, "gw-tls-fields", server("{mode: MUTUAL}"))
    assert found.message == (
        "Gateway shop/test has no serverCertificate and no privateKey and no caCertificates for port 443 "
        "in mode MUTUAL; Istio refuses it"
    )
