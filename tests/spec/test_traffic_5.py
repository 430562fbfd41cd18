"""Spec traffic 5: HTTP rules, weights, matches, faults, mirrors, redirects, CORS, Gateways and ServiceEntries.

Order and reachability (5.3, 5.4) are tested with `checks/admission/virtual_service_order` and in
`checks/traffic/test_virtual_service`.
"""

# ruff: noqa: E501 - a row of a table is one line

from __future__ import annotations

import pytest

from meshlint.mesh.scope import Settings
from tests.checks.traffic.support import (
    deployment,
    destination_rule,
    gateway,
    service,
    service_entry,
    virtual_service,
)
from tests.spec.support import COMPLETE, Row, params, row, said

ROUTE = "route: [{destination: {host: a}}]"
PRODUCTION = Settings(production_namespaces=("shop",))


def http(*parts: str, hosts: str = "[a]", gateways: str = "") -> str:
    """Rules with the given fields and a route."""
    return rules(*(f"{part}, {ROUTE}" if part else ROUTE for part in parts), hosts=hosts, gateways=gateways)


def rules(*parts: str, hosts: str = "[a]", gateways: str = "") -> str:
    return virtual_service(
        f"http: [{', '.join(f'{{{part}}}' for part in parts)}]", hosts=hosts, gateways=gateways
    )


def match(text: str) -> str:
    return f"match: [{{{text}}}]"


def matched(text: str) -> str:
    return http(match(text))


R_5_1 = [
    row("delegate", rules("delegate: {name: d}")),
    row("delegate and redirect", rules("delegate: {name: d}, redirect: {uri: /}"), says="vs-http-action error"),
    row("delegate and route", http("delegate: {name: d}"), says="vs-http-action error"),
    row("delegate of a delegate", virtual_service("http: [{delegate: {name: d}}]", hosts=""), says="vs-delegate-fields error"),
    row("no action", rules("timeout: 1s"), says="vs-http-action error"),
    row("redirect and route", http("redirect: {uri: /}"), says="vs-http-action error"),
    row("redirect and directResponse", rules("redirect: {uri: /}, directResponse: {status: 200}"), says="vs-http-action error"),
    row("redirect and fault", rules("redirect: {uri: /}, fault: {delay: {fixedDelay: 1s, percentage: {value: 1}}}"), says="vs-http-action error"),
    row("redirect and rewrite", rules("redirect: {uri: /}, rewrite: {uri: /}"), says="vs-http-action error"),
    row("directResponse and route", http("directResponse: {status: 200}"), says="vs-http-action error"),
    row("directResponse and rewrite", rules("directResponse: {status: 200}, rewrite: {uri: /}"), says="vs-http-action error"),
    row("mirror and mirrors", http("mirror: {host: b}, mirrors: [{destination: {host: b}}]"), says="vs-http-action error"),
    row("no destination", rules("route: [{weight: 1}]"), says="required-field error"),
    row("no http, tls or tcp", virtual_service("exportTo: ['*']"), says="vs-no-routes error"),
    row("tls without match", virtual_service(f"tls: [{{{ROUTE}}}]"), says="required-field error"),
    row("tls without sniHosts", virtual_service(f"tls: [{{match: [{{port: 443}}], {ROUTE}}}]"), says="required-field error"),
    row("tls without route", virtual_service("tls: [{match: [{sniHosts: [a]}]}]"), says="vs-tls-tcp-rule error"),
    row("sniHost of another host", virtual_service(f"tls: [{{match: [{{sniHosts: [b]}}], {ROUTE}}}]"), says="vs-sni-hosts error"),
    row("tcp without route", virtual_service("tcp: [{match: [{port: 80}]}]"), says="vs-tls-tcp-rule error"),
    row("redirect with timeout", rules("redirect: {uri: /}, timeout: 1s"), says="timeout-ineffective warning"),
    row("redirect with retries", rules("redirect: {uri: /}, retries: {attempts: 2}"), says="retry-ineffective warning"),
    row("redirect with a mirror", rules("redirect: {uri: /}, mirror: {host: b}"), says="vs-mirror-inert warning"),
    row("directResponse with corsPolicy", rules("directResponse: {status: 200}, corsPolicy: {allowOrigins: [{exact: 'https://a.b'}]}")),
]  # fmt: skip


def weighted(*entries: str) -> str:
    """Destinations as `host and subset; weight`."""
    routes = []
    for entry in entries:
        destination, _, weight = entry.partition("; ")
        routes.append(f"{{destination: {{host: {destination}}}{f', weight: {weight}' if weight else ''}}}")
    return virtual_service(f"http: [{{route: [{', '.join(routes)}]}}]")


V1 = destination_rule("a", more="subsets: [{name: v1, labels: {version: v1}}]")
R_5_2 = [
    row("90/10", weighted("a; 90", "b; 10")),
    row("1/1", weighted("a; 1", "b; 1")),
    row("50/60", weighted("a; 50", "b; 60"), says="vs-weights info"),
    row("100/absent", weighted("a; 100", "b"), says="vs-weights warning"),
    row("absent/absent", weighted("a", "b"), says="vs-weights error"),
    row("0/0", weighted("a; 0", "b; 0"), says="vs-weights error"),
    row("single 0", weighted("a; 0")),
    row("single absent", weighted("a")),
    row("-1/101", weighted("a; -1", "b; 101"), says="vs-weights error"),
    row("80/20, missing subset", V1, weighted("a, subset: v1; 80", "a, subset: v2; 20"), says="vs-subset-missing error"),
    row("100/0, missing subset", V1, weighted("a, subset: v1; 100", "a, subset: v2; 0"), says="vs-subset-missing info"),
]  # fmt: skip

FOO = match("uri: {prefix: /foo}")
CLAIM = "headers: {'@request.auth.claims.group': {exact: a}}"
INGRESS = deployment("ingress", "istio-system", "istio: ingressgateway")
R_5_5 = [
    row("prefix /foo beside /foobar", http(match("uri: {prefix: /foobar}"), FOO), says="vs-prefix-boundary info"),
    row("prefix /foo/", matched("uri: {prefix: /foo/}"), says="vs-prefix-boundary info"),
    row("prefix /foo and rewrite /", http(f"{FOO}, rewrite: {{uri: /}}"), says="vs-prefix-boundary warning"),
    row("prefix /foo/ and rewrite /", http(match("uri: {prefix: /foo/}") + ", rewrite: {uri: /}", "")),
    row("rewrite of an exact path", http(match("uri: {exact: /foo}") + ", rewrite: {uri: /}")),
    row("rewrite.uri with a regex", http(match("uri: {regex: '/a.*'}") + ", rewrite: {uri: /}"), says="vs-rewrite-regex warning"),
    row("both rewrites", http("rewrite: {uri: /, uriRegexRewrite: {match: a, rewrite: b}}"), says="vs-rewrite error"),
    row("half of uriRegexRewrite", http("rewrite: {uriRegexRewrite: {rewrite: b}}"), says="vs-rewrite error"),
    row("rewrite: {}", http("rewrite: {}"), says="vs-rewrite error"),
    row("authority twice", http("rewrite: {authority: b}, headers: {request: {set: {host: c}}}"), says="vs-rewrite error"),
    row("ignoreUriCase with a regex", matched("uri: {regex: /a.*}, ignoreUriCase: true"), says="vs-match-inert info"),
    *(row(f"no RE2: {text}", matched(f"uri: {{regex: '{text}'}}"), says="vs-regex-invalid error")
      for text in ("(?=a)b", "(?!a)b", "(?<=a)b", "(?<!a)b", "(a)\\1", "(?P<n>a)(?P=n)", "(?>a)", "(a)?(?(1)b|c)",
                   "a*+", "a++", "a?+", "a\\Z", "a{1001}", "(a")),
    row("regex of 1025 bytes", matched(f"uri: {{regex: '{'a' * 1025}'}}"), says="vs-regex-invalid error"),
    row("regex against the query", matched("uri: {regex: '/a[?]b=.*'}"), says="vs-match-inert warning"),
    row("headers: {x: {}}", matched("headers: {x: {}}")),
    row("withoutHeaders regex *", matched("withoutHeaders: {x: {regex: '*'}}")),
    *(row(f"empty prefix: {field}", matched(text), says="vs-match-value error")
      for field, text in (("scheme", "scheme: {prefix: ''}"), ("method", "method: {prefix: ''}"), ("authority", "authority: {prefix: ''}"),
                          ("header", "headers: {x: {prefix: ''}}"), ("query", "queryParams: {x: {prefix: ''}}"))),
    row("empty regex", matched("uri: {regex: ''}"), says="vs-regex-invalid error"),
    row("uri.prefix ''", matched("uri: {prefix: ''}")),
    row("exact '' of a path", matched("uri: {exact: ''}"), says="vs-match-inert warning"),
    row("exact '' of a parameter", matched("queryParams: {x: {exact: ''}}")),
    row("claims in the mesh", matched(CLAIM), says="jwt-claim-route error"),
    row("claims, no RequestAuthentication", INGRESS, gateway(), http(match(CLAIM), gateways="[gw]"), says="jwt-claim-route error", settings=COMPLETE),
    row("queryParams", matched("queryParams: {a: {exact: b}, c: {prefix: d}, e: {regex: f}}")),
    row("method in lower case", matched("method: {exact: get}"), says="vs-match-inert warning"),
    row("regex anchors", matched("uri: {regex: '^/a.*$'}"), says="vs-regex-pitfall info"),
    row("regex without a metacharacter", matched("uri: {regex: /api}"), says="vs-regex-pitfall warning"),
    row("unescaped dot of a regex", matched("authority: {regex: 'a.example[.]com|b'}"), says="vs-regex-pitfall info"),
    row("regex that is none of that", matched("uri: {regex: '/a[.]b/.*'}")),
    row("header name upper case", matched("headers: {X-Test: {exact: a}}"), says="vs-match-pitfall info"),
    row("header regex *", matched("headers: {x: {regex: '*'}}"), says="vs-regex-invalid error"),
    row("authority match with a port", matched("authority: {exact: 'a.example.com:443'}"), says="vs-match-pitfall info"),
    row("authority match without the port", service(ports="[{name: http, port: 8080}]"), matched("authority: {exact: a}"), says="vs-match-pitfall info"),
    row("authority match by prefix", service(ports="[{name: http, port: 8080}]"), matched("authority: {prefix: a}")),
    row("authority match on port 80", service(), matched("authority: {exact: a}")),
    row("pseudo header keys", matched("headers: {':path': {prefix: /a}}"), says="vs-match-pitfall info"),
    row("empty match", http("match: [{}]"), says="vs-match-pitfall info"),
    row("exact '' of a header", matched("headers: {x: {exact: ''}}"), says="vs-match-pitfall info"),
]  # fmt: skip
NOT_DONE_5_5 = {
    "scheme behind a load balancer": "what stands before the gateway, and which headers it sets, is not in manifests",
}

DELAY = "delay: {fixedDelay: 7s, percentage: {value: 100}}"


def fault(text: str, more: str = "") -> str:
    return http(f"fault: {{{text}}}{more}")


def abort(text: str) -> str:
    return fault(f"abort: {{{text}, percentage: {{value: 1}}}}")


R_5_6 = [
    row("delay in production", fault(DELAY), says="vs-fault-in-production error", settings=PRODUCTION),
    row("delay without percentage", fault("delay: {fixedDelay: 7s}"), says="vs-fault-inert warning", settings=PRODUCTION),
    row("abort of 0.00001 %", fault("abort: {httpStatus: 500, percentage: {value: 0.00001}}"), says="vs-fault-invalid error"),
    row("httpStatus 199", abort("httpStatus: 199"), says="vs-fault-invalid error"),
    row("httpStatus 601", abort("httpStatus: 601"), says="vs-fault-invalid error"),
    row("httpStatus 600", abort("httpStatus: 600"), says="vs-fault-invalid error"),
    row("grpcStatus 14", abort("grpcStatus: '14'"), says="vs-fault-invalid error"),
    row("grpcStatus unavailable", abort("grpcStatus: unavailable"), says="vs-fault-invalid error"),
    row("scoped by a header", http(match("headers: {x-test: {exact: a}}") + f", fault: {{{DELAY}}}"), says="vs-fault-in-production info", settings=PRODUCTION),
    row("fault of a tcp rule", virtual_service(f"tcp: [{{fault: {{{DELAY}}}, {ROUTE}}}]"), says="unknown-field error"),
    row("fault: {}", http("fault: {}"), says="vs-fault-invalid error"),
    row("http2Error", abort("http2Error: X"), says="vs-fault-invalid error"),
    row("abort without a status", fault("abort: {percentage: {value: 1}}"), says="vs-fault-inert warning"),
    row("two statuses", abort("httpStatus: 500, grpcStatus: UNAVAILABLE"), says="exclusive-fields error"),
    row("delay of 0s", fault("delay: {fixedDelay: 0s, percentage: {value: 1}}"), says="timeout-invalid error"),
    row("exponentialDelay", fault("delay: {exponentialDelay: 1s, percentage: {value: 1}}"), says="vs-fault-invalid error"),
    row("delay without fixedDelay", fault("delay: {percentage: {value: 1}}"), says="vs-fault-inert warning"),
    row("delay >= timeout of the rule", fault("delay: {fixedDelay: 7s, percentage: {value: 1}}", ", timeout: 3s"), says="vs-fault-delay info"),
    row("delay < timeout of the rule", fault("delay: {fixedDelay: 1s, percentage: {value: 1}}", ", timeout: 3s")),
]  # fmt: skip

B = service("b")
R_5_7 = [
    row("mirror", service(), B, http("mirror: {host: b}"), settings=COMPLETE),
    row("mirror of a missing host", service(), http("mirror: {host: c}"), says="vs-mirror-missing warning", settings=COMPLETE),
    row("mirrorPercentage 0", http("mirror: {host: b}, mirrorPercentage: {value: 0}"), says="vs-mirror-inert warning"),
    row("mirrorPercentage 101", http("mirror: {host: b}, mirrorPercentage: {value: 101}"), says="vs-mirror-percentage error"),
    row("mirrorPercentage without mirror", http("mirrorPercentage: {value: 1}"), says="vs-mirror-inert warning"),
    row("mirrorPercent", http("mirror: {host: b}, mirrorPercent: 10"), says="deprecated-field warning"),
    row("mirrorPercent 101", http("mirror: {host: b}, mirrorPercent: 101"), says="vs-mirror-percentage error"),
    row("mirrors without destination", http("mirrors: [{percentage: {value: 1}}]"), says="required-field error"),
    row("mirror of the same", service(), http("mirror: {host: a}"), says="vs-mirror-self warning"),
    row("redirect with mirror", rules("redirect: {uri: /}, mirror: {host: b}"), says="vs-mirror-inert warning"),
    row("directResponse with mirrors", rules("directResponse: {status: 200}, mirrors: [{destination: {host: b}}]"), says="vs-mirror-inert warning"),
]  # fmt: skip


def redirect(fields: str, uri: str = "exact: /a") -> str:
    return rules(f"{match(f'uri: {{{uri}}}')}, redirect: {{{fields}}}")


HTTPS = rules("redirect: {scheme: https}", hosts="[x.com]", gateways="[gw]")
PLAIN = "port: {number: 80, name: http, protocol: HTTP}"
R_5_8 = [
    row("redirect: {}", redirect(""), says="vs-redirect error"),
    row("uri and prefixRewrite", redirect("uri: /b, prefixRewrite: /c", "prefix: /a"), says="vs-redirect error"),
    row("prefixRewrite of an exact path", redirect("prefixRewrite: /c"), says="vs-redirect error"),
    *(row(f"redirectCode {code}", redirect(f"uri: /b, redirectCode: {code}")) for code in (301, 302, 303, 307, 308)),
    *(row(f"redirectCode {code}", redirect(f"uri: /b, redirectCode: {code}"), says="vs-redirect error") for code in (300, 304, 305, 299, 400)),
    row("scheme ftp", redirect("scheme: ftp"), says="vs-redirect error"),
    row("redirect to itself", redirect("uri: /a"), says="vs-redirect warning"),
    row("redirect to https of itself", redirect("uri: /a, scheme: https")),
    row("https where httpsRedirect does it", gateway('["x.com"]', server=f"{PLAIN}, tls: {{httpsRedirect: true}}"), HTTPS, says="vs-redirect info"),
    row("https where nothing does it", gateway('["x.com"]'), HTTPS),
    *(row(f"directResponse {code}", rules(f"directResponse: {{status: {code}}}"), says="vs-direct-response error") for code in (100, 199, 600)),
    *(row(f"directResponse {code}", rules(f"directResponse: {{status: {code}}}")) for code in (200, 404, 599)),
    row("body of string and bytes", rules("directResponse: {status: 200, body: {string: a, bytes: YQ==}}"), says="exclusive-fields error"),
    row("body over 1 MB", rules(f"directResponse: {{status: 200, body: {{string: {'a' * 1_100_000}}}}}"), says="vs-direct-response error"),
    row("body over 100 KB", rules(f"directResponse: {{status: 200, body: {{string: {'a' * 200_000}}}}}"), says="vs-direct-response warning"),
]  # fmt: skip


def cors(fields: str) -> str:
    return http(f"corsPolicy: {{{fields}}}")


def open_to(origin: str) -> str:
    return cors(f"allowCredentials: true, allowOrigins: [{{{origin}}}]")


def cors_filter(fields: str) -> str:
    return f"""
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: r, namespace: shop}}
spec:
  parentRefs: [{{group: "", kind: Service, name: a}}]
  rules: [{{filters: [{{type: CORS, cors: {{{fields}}}}}], backendRefs: [{{name: a, port: 80}}]}}]
"""


ONE = "allowOrigins: [{exact: 'https://a.b'}]"
WILD = "vs-cors-wildcard-credentials"
R_5_9 = [
    row("no allowOrigins", cors("allowMethods: [GET]"), says="vs-cors-inert warning"),
    row("empty allowOrigins", cors("allowOrigins: []"), says="vs-cors-inert warning"),
    row("allowOrigin", cors("allowOrigin: ['https://a.b']"), says="deprecated-field warning"),
    row("allowMethods in lower case", cors(f"{ONE}, allowMethods: [get]"), says="vs-cors-invalid error"),
    row("allowMethods *", cors(f"{ONE}, allowMethods: ['*']")),
    row("maxAge 1.5s", cors(f"{ONE}, maxAge: 1.5s"), says="vs-cors-invalid error"),
    row("maxAge 0s", cors(f"{ONE}, maxAge: 0s"), says="timeout-invalid error"),
    row("origin without a value", cors("allowOrigins: [{exact: ''}]"), says="vs-cors-invalid error"),
    row("origin without a form", cors("allowOrigins: [{}]"), says="vs-cors-invalid error"),
    *(row(f"credentials: {origin}", open_to(origin), says=f"{WILD} error")
      for origin in ("exact: '*'", "prefix: h", "prefix: https", "prefix: 'https://'", "regex: '.*'", "regex: '.+'", "regex: 'https?://.*'")),
    row("wildcard without credentials", cors("allowOrigins: [{regex: '.*'}]")),
    row("regex without a boundary", open_to("regex: 'https://.*example.com'"), says=f"{WILD} warning"),
    row("regex with unescaped dots", open_to("regex: 'https://a.example.com'"), says=f"{WILD} warning"),
    row("regex with escaped dots", open_to("regex: 'https://a[.]example\\.com'")),
    row("HTTPRoute: * and another", cors_filter("allowOrigins: ['*', 'https://a.b']"), says="gateway-api-filter-value error"),
    row("HTTPRoute: * with credentials", cors_filter("allowOrigins: ['*'], allowCredentials: true"), says=f"{WILD} error"),
]  # fmt: skip

SIMPLE = "{mode: SIMPLE, credentialName: c}"


def server(
    port: int, protocol: str, tls: str = "", hosts: str = '["x.com"]', name: str = "gw", more: str = ""
) -> str:
    block = f", tls: {tls}" if tls else ""
    text = f"port: {{number: {port}, name: web, protocol: {protocol}{more}}}{block}"
    return gateway(hosts, name=name, server=text)


def spec_of(text: str) -> str:
    return f"apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: gw, namespace: shop}}\nspec: {{selector: {{istio: ingressgateway}}{text}}}\n"


FILES = "serverCertificate: /c, privateKey: /k"
R_5_11 = [
    row("no servers", spec_of(""), says="gw-servers error"),
    row("no hosts", spec_of(f", servers: [{{{PLAIN}}}]"), says="required-field error"),
    row("no port", spec_of(", servers: [{hosts: [x.com]}]"), says="required-field error"),
    row("no port name", spec_of(", servers: [{hosts: [x.com], port: {number: 80, protocol: HTTP}}]"), says="required-field error"),
    row("port 70000", server(70000, "HTTP"), says="gw-port error"),
    row("port names twice", spec_of(f", servers: [{{hosts: [x.com], {PLAIN}}}, {{hosts: [y.com], {PLAIN}}}]"), says="gw-port error"),
    row("unknown protocol", server(80, "HTTP3"), says="gw-port error"),
    row("protocol in lower case", server(80, "http")),
    row("HTTPS without tls", server(443, "HTTPS"), says="gw-tls-fields error"),
    row("HTTP with tls", server(80, "HTTP", SIMPLE), says="gw-tls-fields error"),
    row("HTTP with httpsRedirect", server(80, "HTTP", "{httpsRedirect: true}")),
    row("TCP with tls", server(80, "TCP", SIMPLE), says="gw-tls-fields error"),
    row("tls without mode", server(443, "HTTPS", "{credentialName: c}"), says="gw-tls-mode-missing error"),
    row("SIMPLE without certificates", server(443, "HTTPS", "{mode: SIMPLE}"), says="gw-tls-fields error"),
    row("MUTUAL with files, no CA", server(443, "HTTPS", f"{{mode: MUTUAL, {FILES}}}"), says="gw-tls-fields error"),
    row("files and credentialName", server(443, "HTTPS", f"{{mode: SIMPLE, credentialName: c, {FILES}}}"), says="gw-tls-fields error"),
    row("ISTIO_MUTUAL with certificates", server(443, "HTTPS", "{mode: ISTIO_MUTUAL, credentialName: c}"), says="gw-tls-fields error"),
    row("caCrl with SIMPLE", server(443, "HTTPS", f"{{mode: SIMPLE, {FILES}, caCrl: /crl}}"), says="gw-tls-fields error"),
    row("minProtocolVersion 1.0", server(443, "HTTPS", "{mode: SIMPLE, credentialName: c, minProtocolVersion: TLSV1_0}"), says="gw-tls-min-version warning"),
    row("cipherSuites invalid", server(443, "HTTPS", "{mode: SIMPLE, credentialName: c, cipherSuites: [X]}"), says="gw-tls-ciphers warning"),
    row("cipherSuites twice", server(443, "HTTPS", "{mode: SIMPLE, credentialName: c, cipherSuites: [ECDHE-RSA-AES128-GCM-SHA256, ECDHE-RSA-AES128-GCM-SHA256]}"),
        says="gw-tls-ciphers warning"),
    row("targetPort", server(80, "HTTP", more=", targetPort: 8080"), says="gw-port error"),
    row("bind to a name", server(80, "HTTP").replace("hosts:", "bind: a.b, hosts:"), says="gw-bind error"),
    row("bind to a socket with a port", server(80, "HTTP").replace("hosts:", "bind: 'unix:///s', hosts:"), says="gw-bind error"),
    row("httpsRedirect on HTTPS", server(443, "HTTPS", "{mode: SIMPLE, credentialName: c, httpsRedirect: true}"), says="gw-tls-inert warning"),
    row("public HTTP", INGRESS.replace("template:", "selector: {matchLabels: {istio: ingressgateway}}\n  template:"), server(80, "HTTP"), says="gw-http-no-redirect warning"),
    row("empty selector", spec_of(f", servers: [{{hosts: [x.com], {PLAIN}}}]").replace("{istio: ingressgateway}", "{}"),
        says="gw-empty-selector warning, gw-http-no-redirect warning"),
    row("hosts *", server(443, "HTTPS", SIMPLE, '["*"]'), says="gw-wildcard-host info"),
]  # fmt: skip

BOUND = http("", hosts="[x.com]", gateways="[gw]")
TLS_RULES = virtual_service(
    f"tls: [{{match: [{{sniHosts: [x.com]}}], {ROUTE}}}]", hosts="[x.com]", gateways="[gw]"
)
TCP_RULES = virtual_service(f"tcp: [{{{ROUTE}}}]", hosts="[x.com]", gateways="[gw]")
SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: c, namespace: shop}\ndata: {tls.crt: LS0tLS1CRUdJTiBYLS0tLS0=, tls.key: LS0tLS1CRUdJTiBYLS0tLS0=}\n"
R_5_11_CASES = [
    row("HTTPS, credentialName, no mode", server(443, "HTTPS", "{credentialName: c}"), BOUND,
        says="gw-tls-mode-missing error, vs-http-on-opaque-port warning"),
    row("SIMPLE, secret of the application", INGRESS, server(443, "HTTPS", SIMPLE), SECRET, says="gw-credential-missing error"),
    row("two Gateways, 443, the same host", server(443, "HTTPS", SIMPLE), server(443, "HTTPS", SIMPLE, name="other"), says="gw-duplicate-host-port error"),
    row("80 HTTP and 80 TCP", server(80, "HTTP"), server(80, "TCP", name="other"), says="gw-port-protocol-conflict error"),
    row("80 HTTP * in both", server(80, "HTTP", hosts='["*"]'), server(80, "HTTP", hosts='["*"]', name="other"), says="gw-duplicate-host-port info"),
    row("HTTP with httpsRedirect", server(80, "HTTP", "{httpsRedirect: true}")),
    row("TLS PASSTHROUGH, http rules", server(443, "TLS", "{mode: PASSTHROUGH}"), BOUND, says="vs-http-on-opaque-port warning"),
    row("TLS SIMPLE, tcp rules", server(443, "TLS", SIMPLE), TCP_RULES),
    row("HTTPS SIMPLE, tls rules", server(443, "HTTPS", SIMPLE), TLS_RULES, says="vs-http-on-opaque-port warning"),
    row("TCP, http rules", server(443, "TCP"), BOUND, says="vs-http-on-opaque-port warning"),
]  # fmt: skip


def entry(
    hosts: str,
    port: str = "{number: 443, name: p, protocol: HTTPS}",
    more: str = "resolution: DNS",
    name: str = "entry",
) -> str:
    fields = f", {more}" if more else ""
    return f"apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}, namespace: shop}}\nspec: {{hosts: [{hosts}], ports: [{port}]{fields}}}\n"


TCP = "{number: 5432, name: p, protocol: TCP}"
TLS = "{number: 443, name: p, protocol: TLS}"
INJECTED = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {istio-injection: enabled}}\n"
REGISTRY_ONLY = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata: {mesh: 'outboundTrafficPolicy: {mode: REGISTRY_ONLY}'}\n"


def calling(address: str) -> str:
    return deployment("a").replace("image: main}", f"image: main, env: [{{name: API, value: '{address}'}}]}}")


STATIC = "resolution: STATIC, endpoints: [{address: %s}]"
R_5_12 = [
    row("hosts empty", entry(""), says="invalid-value error"),
    row("hosts *", entry('"*"'), says="invalid-value error"),
    row("partial wildcard", entry('"*foo.com"', more="resolution: NONE"), says="se-hosts warning"),
    row("workloadSelector with endpoints", entry("a.com", more="resolution: STATIC, workloadSelector: {labels: {a: b}}, endpoints: [{address: 1.1.1.1}]"),
        says="exclusive-fields error"),
    row("workloadSelector: {}", entry("a.com", more="resolution: STATIC, workloadSelector: {}"), says="selector-empty warning"),
    row("CIDR with DNS", entry("a.com", more="resolution: DNS, addresses: [10.0.0.0/8]"), says="invalid-value error"),
    row("CIDR with NONE", entry("a.com", more="resolution: NONE, addresses: [10.0.0.0/8]")),
    row("port name twice", entry("a.com", f"{TCP}, {TCP.replace('5432', '5433')}", "resolution: NONE, addresses: [10.0.0.1]"), says="duplicate-list-key error"),
    row("port number twice", entry("a.com", f"{TCP}, {TCP.replace('name: p', 'name: q')}", "resolution: NONE, addresses: [10.0.0.1]"), says="se-ports error"),
    row("unknown protocol", entry("a.com", "{number: 80, name: p, protocol: HTTP3}"), says="se-ports error"),
    row("NONE with endpoints", entry("a.com", more="resolution: NONE, endpoints: [{address: 1.1.1.1}]"), says="exclusive-fields error"),
    row("STATIC with a name", entry("a.com", more=STATIC % "b.com"), says="se-endpoints error"),
    row("STATIC with an unknown port", entry("a.com", more="resolution: STATIC, endpoints: [{address: 1.1.1.1, ports: {x: 1}}]"), says="se-endpoints error"),
    row("DNS with a wildcard", entry('"*.a.com"'), says="se-validation error"),
    row("DNS with a CIDR as endpoint", entry("a.com", more="resolution: DNS, endpoints: [{address: 'a:1'}]"), says="se-endpoints error"),
    row("DNS_ROUND_ROBIN with two", entry("a.com", more="resolution: DNS_ROUND_ROBIN, endpoints: [{address: b.com}, {address: c.com}]"), says="invalid-value error"),
    row("DYNAMIC_DNS with a name", entry("a.com", "{number: 80, name: p, protocol: HTTP}", "resolution: DYNAMIC_DNS"), says="se-validation error"),
    row("DYNAMIC_DNS with HTTPS", entry('"*.a.com"', more="resolution: DYNAMIC_DNS"), says="se-validation error"),
    row("two hosts of TCP", entry("a.com, b.com", TCP), says="se-validation error"),
    row("TCP without addresses, 1.24", entry("a.com", TCP), says="se-tcp-address warning", settings=Settings(istio_version="1.24")),
    row("TCP without addresses, 1.27", entry("a.com", TCP), settings=Settings(istio_version="1.27")),
    row("conflicting protocols", entry("a.com"), entry("a.com", TCP.replace("5432", "443"), name="b"), says="se-port-conflict warning",
        settings=Settings(istio_version="1.27")),
    row("a host of a Service", service(), entry("a.shop.svc.cluster.local", "{number: 80, name: p, protocol: HTTP}"), says="se-host-of-service warning"),
    row("MESH_INTERNAL for an external API", entry("api.payments.io", more="resolution: DNS, location: MESH_INTERNAL"), says="se-internal-external warning"),
    row("MESH_INTERNAL with endpoints", entry("api.payments.io", more="location: MESH_INTERNAL, " + STATIC % "10.0.0.1")),
    row("MESH_INTERNAL of a private name", entry("pay.internal", more="resolution: DNS, location: MESH_INTERNAL")),
    row("undeclared host under REGISTRY_ONLY", INJECTED, REGISTRY_ONLY, calling("https://api.payments.io/v1"), says="egress-undeclared-host warning", settings=COMPLETE),
    row("declared host under REGISTRY_ONLY", INJECTED, REGISTRY_ONLY, calling("https://api.payments.io/v1"), entry("api.payments.io"), settings=COMPLETE),
    row("a vocabulary under REGISTRY_ONLY", INJECTED, REGISTRY_ONLY, calling("http://www.w3.org/2001/XMLSchema"), settings=COMPLETE),
    row("undeclared host under ALLOW_ANY", INJECTED, calling("https://api.payments.io/v1"), settings=COMPLETE),
    row("the same host and port in several", entry("a.com"), entry("a.com", name="b"), says="se-port-conflict warning"),
    row("NONE with a workloadSelector", entry("a.com", more="resolution: NONE, workloadSelector: {labels: {a: b}}"), says="se-validation warning"),
    row("targetPort 70000", entry("a.com", "{number: 443, name: p, protocol: TLS, targetPort: 70000}"), says="invalid-value error"),
    row("port name a_b", entry("a.com", "{number: 443, name: a_b, protocol: TLS}"), says="se-ports error"),
    row("STATIC with a unix path", entry("a.com", more=STATIC % "'unix:///a/b'")),
    row("DNS with an unknown port", entry("a.com", more="resolution: DNS, endpoints: [{address: b.com, ports: {x: 1}}]"), says="se-endpoints error"),
    row("DNS with addresses and several hosts", entry("a.com, b.com", more="resolution: DNS, addresses: [10.0.0.1]"), says="se-addresses warning"),
    row("DNS_ROUND_ROBIN with a wildcard", entry('"*.a.com"', more="resolution: DNS_ROUND_ROBIN"), says="se-validation error"),
    row("DYNAMIC_DNS with addresses", entry('"*.a.com"', TLS, "resolution: DYNAMIC_DNS, addresses: [10.0.0.1]"), says="se-validation error"),
    row("DYNAMIC_DNS with endpoints", entry('"*.a.com"', TLS, "resolution: DYNAMIC_DNS, endpoints: [{address: b.com}]"), says="se-validation error"),
    row("DYNAMIC_DNS inside, with a waypoint", entry('"*.a.internal"', TLS, "resolution: DYNAMIC_DNS, location: MESH_INTERNAL").replace("namespace: shop}", "namespace: shop, labels: {istio.io/use-waypoint: w}}"),
        says="se-validation error"),
]  # fmt: skip

R_5_12_CASES = [
    row('hosts ["*"]', entry('"*"'), says="invalid-value error"),
    row('hosts ["*.api.com"], DNS', entry('"*.api.com"'), says="se-validation error"),
    row('hosts ["*.api.com"], NONE, HTTPS 443', entry('"*.api.com"', more="resolution: NONE")),
    row('hosts ["*.api.com"], DYNAMIC_DNS, HTTPS', entry('"*.api.com"', more="resolution: DYNAMIC_DNS"), says="se-validation error"),
    row("STATIC, endpoint api2.com", entry("api.com", more=STATIC % "api2.com"), says="se-endpoints error"),
    row("two hosts, DNS, TCP 5432", entry("a.com, b.com", TCP), says="se-validation error"),
    row("db.com, DNS, TCP, 1.24", entry("db.com", TCP), says="se-tcp-address warning", settings=Settings(istio_version="1.24")),
    row("db.com, DNS, TCP, 1.27", entry("db.com", TCP), settings=Settings(istio_version="1.27")),
    row("resolution absent and an endpoint", entry("a.com", more="endpoints: [{address: 10.0.0.1}]"), says="exclusive-fields error"),
]  # fmt: skip

TABLES = {
    "5.1": R_5_1, "5.2": R_5_2, "5.5": R_5_5, "5.6": R_5_6, "5.7": R_5_7, "5.8": R_5_8, "5.9": R_5_9,
    "5.11 checks": R_5_11, "5.11 cases": R_5_11_CASES, "5.12 checks": R_5_12, "5.12 cases": R_5_12_CASES,
}  # fmt: skip


@pytest.mark.parametrize(
    ("one", "asked"),
    [
        pytest.param(*param.values, id=f"{name} {param.id}")
        for name, rows in TABLES.items()
        for param in params(rows)
    ],
)
def test_row(one: Row, asked: tuple[str, ...]) -> None:
    assert said(one, asked) == list(one.expected)


def test_entries_are_looked_up_by_host() -> None:
    assert said(row("another host", service(), service_entry("x.com")), ("se-host-of-service",)) == []
