"""Gateway API: the conditions of spec schemas 4.1 and traffic 1.14, 5.2, 5.9 and 7.5, numbered here.

1 to 92 are those of the API server (rules of the definitions, after defaulting), 93 and up are what
Istio or the proxy makes of an object that was taken.
"""

from __future__ import annotations

from textwrap import indent
from typing import Any

import pytest
import yaml

from tests.checks.admission.support import Row, check_row, findings, params, uncovered

KIND = "GatewayAPI"
COUNT = 118
RULE = "/spec/rules/0"
FILTER = f"{RULE}/filters/0"
BACKEND = f"{RULE}/backendRefs/0"
MATCH = f"{RULE}/matches/0"
LISTENER = "/spec/listeners/0"

TO_CART = "backendRefs: [{name: cart, port: 80}]"
MESH = "parentRefs: [{group: '', kind: Service, name: cart}]"
GATEWAY = "parentRefs: [{name: public}]"
REF = "{name: copy, port: 80}"


def whole(kind: str, spec: str, version: str = "v1") -> str:
    head = f"apiVersion: gateway.networking.k8s.io/{version}\nkind: {kind}\n"
    return f"{head}metadata: {{name: test, namespace: shop}}\nspec:\n{indent(spec, '  ')}\n"


def route(rules: str, parents: str = GATEWAY, kind: str = "HTTPRoute") -> str:
    hosts = "hostnames: [a.example.com]\n" if kind == "TLSRoute" else ""
    return whole(kind, f"{parents}\n{hosts}rules: [{rules}]")


def backends(*refs: str, kind: str = "HTTPRoute", parents: str = GATEWAY) -> str:
    return route(f"{{backendRefs: [{', '.join(refs)}]}}", parents, kind)


def parents(*refs: str) -> str:
    return route(f"{{{TO_CART}}}", f"parentRefs: [{', '.join(refs)}]")


def filters(*items: str, kind: str = "HTTPRoute", more: str = TO_CART) -> str:
    return route(f"{{filters: [{', '.join(items)}], {more}}}", kind=kind)


def backend_filters(*items: str, more: str = "", parents: str = GATEWAY) -> str:
    refs = f"backendRefs: [{{name: cart, port: 80, filters: [{', '.join(items)}]}}]"
    return route(f"{{{refs}{more}}}", parents)


def matches(*items: str, kind: str = "HTTPRoute", parents: str = GATEWAY) -> str:
    return route(f"{{{TO_CART}, matches: [{', '.join(items)}]}}", parents, kind)


def path(value: str, kind: str = "PathPrefix") -> str:
    return matches(f"{{path: {{type: {kind}, value: '{value}'}}}}")


def gateway(*listeners: str, more: str = "", name: str = "istio") -> str:
    return whole("Gateway", f"gatewayClassName: {name}\n{more}\nlisteners: [{', '.join(listeners)}]")


def listener(text: str, name: str = "a", port: int = 80) -> str:
    return f"{{name: {name}, port: {port}, {text}}}"


def allowed(text: str) -> str:
    return gateway(listener(f"protocol: HTTP, allowedRoutes: {{namespaces: {text}}}"))


def policy(validation: str, targets: str = "{group: '', kind: Service, name: cart}") -> str:
    return whole("BackendTLSPolicy", f"targetRefs: [{targets}]\nvalidation: {validation}")


def subject(text: str) -> str:
    return policy(f"{{hostname: a.example.com, wellKnownCACertificates: System, subjectAltNames: [{text}]}}")


def prefix(kind: str) -> str:
    value = "{path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}"
    return (
        f"{{type: RequestRedirect, requestRedirect: {value}}}"
        if kind == "redirect"
        else (f"{{type: URLRewrite, urlRewrite: {value}}}")
    )


def rewrite(path: str) -> str:
    return filters(f"{{type: URLRewrite, urlRewrite: {{path: {path}}}}}")


def mirror(text: str) -> str:
    return filters(f"{{type: RequestMirror, requestMirror: {{backendRef: {REF}, {text}}}}}")


def cors(text: str) -> str:
    return filters(f"{{type: CORS, cors: {{{text}}}}}")


#: type of a filter -> a valid one of it, without braces
BODIES = {
    "RequestHeaderModifier": "requestHeaderModifier: {remove: [x-a]}",
    "ResponseHeaderModifier": "responseHeaderModifier: {remove: [x-a]}",
    "RequestMirror": f"requestMirror: {{backendRef: {REF}}}",
    "RequestRedirect": "requestRedirect: {scheme: https}",
    "URLRewrite": "urlRewrite: {hostname: a.example.com}",
    "CORS": "cors: {allowOrigins: ['*']}",
    "ExtensionRef": "extensionRef: {group: a.example.com, kind: A, name: a}",
    "ExternalAuth": f"externalAuth: {{protocol: HTTP, backendRef: {REF}}}",
}


def filled(kind: str, body: str | None = None) -> str:
    text = BODIES[kind] if body is None else body
    return f"{{type: {kind}{', ' if text else ''}{text}}}"


def twice(kind: str) -> Row:
    number = {"RequestHeaderModifier": 40, "ResponseHeaderModifier": 41}
    more = {"RequestRedirect": 42, "URLRewrite": 43, "CORS": 44}
    rest = "name: a" if kind == "RequestRedirect" else TO_CART
    return Row(
        {**number, **more}[kind],
        "gateway-api-filter-conflict",
        f"{RULE}/filters/1/type",
        filters(filled(kind), filled(kind), more=rest),
        filters(filled(kind), filled("RequestMirror"), filled("RequestMirror"), more=rest),
    )


def alien(number: int, kind: str) -> Row:
    """A filter of one type with the field of another."""
    other = "CORS" if kind != "CORS" else "URLRewrite"
    return Row(
        number,
        "gateway-api-filter-body",
        f"{FILTER}/{BODIES[kind].split(':')[0]}",
        filters(filled(other, f"{BODIES[other]}, {BODIES[kind]}")),
        filters(filled(kind)),
    )


def hollow(number: int, kind: str) -> Row:
    return Row(
        number, "gateway-api-filter-body", f"{FILTER}/type", filters(filled(kind, "")), filters(filled(kind))
    )


def bad_path(number: int, value: str, good: str) -> Row:
    return Row(number, "httproute-path", f"{MATCH}/path/value", path(value), path(good, "Exact"))


ONCE = ("RequestHeaderModifier", "ResponseHeaderModifier", "RequestRedirect", "URLRewrite", "CORS")
PREFIX_VALUE = "path/replacePrefixMatch"
HTTPS = "protocol: HTTPS, tls: {certificateRefs: [{name: a}]}"
PLAIN = listener("protocol: HTTP")
SECTION = "{group: '', kind: Service, name: cart, sectionName: https}"
SYSTEM = "{hostname: a.example.com, wellKnownCACertificates: System}"
REGEX = "type: RegularExpression"

ROWS = [
    Row(
        1,
        "gateway-api-parent-refs",
        "/spec/parentRefs/1/name",
        parents("{name: a}", "{kind: Gateway, name: a, sectionName: b}"),
        parents("{name: a}", "{name: a, namespace: shop, sectionName: b}"),
    ),
    Row(
        2,
        "gateway-api-parent-refs",
        "/spec/parentRefs/2/name",
        parents("{name: a, sectionName: b}", "{name: a, sectionName: c}", "{name: a, sectionName: b}"),
        parents("{name: a, sectionName: b}", "{name: a, sectionName: c}"),
    ),
    Row(
        3,
        "gateway-api-parent-refs",
        "/spec/parentRefs/1/name",
        parents("{name: a, port: 80}", "{name: a}"),
        parents("{name: a, port: 80}", "{name: a, port: 443}"),
    ),
    Row(
        4,
        "gateway-api-backend-port",
        f"{BACKEND}/name",
        backends("{name: cart}"),
        backends("{group: a.example.com, kind: Service, name: cart}"),
    ),
    Row(
        5,
        "gateway-api-backend-port",
        f"{FILTER}/requestMirror/backendRef/name",
        filters("{type: RequestMirror, requestMirror: {backendRef: {name: copy}}}"),
        filters(filled("RequestMirror")),
    ),
    Row(
        6,
        "gateway-api-backend-port",
        f"{FILTER}/externalAuth/backendRef/name",
        filters("{type: ExternalAuth, externalAuth: {protocol: HTTP, backendRef: {name: a}}}"),
        filters(filled("ExternalAuth")),
    ),
    Row(
        7,
        "gateway-api-backend-port",
        f"{BACKEND}/name",
        backends("{name: cart}", kind="TCPRoute"),
        backends("{name: cart, port: 80}", kind="TLSRoute"),
    ),
    Row(
        8,
        "gateway-api-match-count",
        "/spec/rules",
        route(", ".join([f"{{matches: [{', '.join(['{method: GET}'] * 64)}]}}"] * 2 + ["{}"])),
        route(", ".join([f"{{matches: [{', '.join(['{method: GET}'] * 64)}]}}"] * 2)),
    ),
    Row(
        9,
        "httproute-rule-name",
        "/spec/rules/1/name",
        route(f"{{name: a, {TO_CART}}}, {{name: a, {TO_CART}}}"),
        route(f"{{name: a, {TO_CART}}}, {{{TO_CART}}}, {{{TO_CART}}}"),
    ),
    bad_path(10, "cart", "/cart"),
    bad_path(11, "/a//b", "/a/b"),
    bad_path(12, "/a/./b", "/a/.b"),
    bad_path(13, "/a/../b", "/a/..b"),
    bad_path(14, "/a%2fb", "/a%20b"),
    bad_path(15, "/a%2Fb", "/a%3Ab"),
    bad_path(16, "/a#b", "/a@b"),
    bad_path(17, "/a/..", "/a.."),
    bad_path(18, "/a/.", "/a."),
    bad_path(19, "/a/{b}", "/a/*"),
    Row(
        20,
        "enum-value",
        f"{MATCH}/path/type",
        path("/a", "Prefix"),
        path("/a", "RegularExpression"),
    ),
    Row(
        21,
        "grpcroute-method",
        f"{MATCH}/method",
        matches("{method: {}}", kind="GRPCRoute"),
        matches("{method: {method: Get}}", kind="GRPCRoute"),
    ),
    Row(
        22,
        "grpcroute-method",
        f"{MATCH}/method/service",
        matches("{method: {service: a-b}}", kind="GRPCRoute"),
        matches(f"{{method: {{{REGEX}, service: a-b}}}}", kind="GRPCRoute"),
    ),
    Row(
        23,
        "grpcroute-method",
        f"{MATCH}/method/method",
        matches("{method: {method: 1a}}", kind="GRPCRoute"),
        matches("{method: {service: .a.B_1, method: a1}}", kind="GRPCRoute"),
    ),
    *(alien(number, kind) for number, kind in enumerate(BODIES, 24)),
    *(hollow(number, kind) for number, kind in enumerate(BODIES, 32)),
    *map(twice, ONCE),
    Row(
        45,
        "gateway-api-filter-conflict",
        f"{BACKEND}/filters/1/type",
        backend_filters(filled("RequestRedirect"), filled("URLRewrite")),
        backend_filters(filled("URLRewrite"), filled("RequestHeaderModifier")),
    ),
    Row(
        46,
        "gateway-api-filter-conflict",
        f"{FILTER}/requestRedirect",
        filters(filled("RequestRedirect")),
        filters(filled("RequestRedirect"), more="backendRefs: []"),
    ),
    Row(
        47,
        "httproute-prefix-replacement",
        f"{FILTER}/requestRedirect/{PREFIX_VALUE}",
        filters(prefix("redirect"), more="matches: [{path: {type: Exact, value: /a}}]"),
        filters(prefix("redirect"), more="matches: [{headers: [{name: a, value: b}]}]"),
    ),
    Row(
        48,
        "httproute-prefix-replacement",
        f"{FILTER}/urlRewrite/{PREFIX_VALUE}",
        filters(prefix("rewrite"), more="matches: [{path: {value: /a}}, {path: {value: /b}}]"),
        filters(prefix("rewrite")),
    ),
    Row(
        49,
        "httproute-prefix-replacement",
        f"{BACKEND}/filters/0/requestRedirect/{PREFIX_VALUE}",
        backend_filters(prefix("redirect"), more=", matches: []"),
        backend_filters(prefix("redirect")),
    ),
    Row(
        50,
        "httproute-prefix-replacement",
        f"{BACKEND}/filters/0/urlRewrite/{PREFIX_VALUE}",
        backend_filters(prefix("rewrite"), more=f", matches: [{{path: {{{REGEX}, value: /a}}}}]"),
        backend_filters(prefix("rewrite"), more=", matches: [{path: {value: /a}}]"),
    ),
    Row(
        51,
        "gateway-api-filter-body",
        f"{FILTER}/urlRewrite/path/type",
        rewrite("{type: ReplaceFullPath}"),
        rewrite("{type: ReplaceFullPath, replaceFullPath: ''}"),
    ),
    Row(
        52,
        "gateway-api-filter-body",
        f"{FILTER}/urlRewrite/path/replaceFullPath",
        rewrite("{type: ReplacePrefixMatch, replacePrefixMatch: /, replaceFullPath: ''}"),
        rewrite("{type: ReplacePrefixMatch, replacePrefixMatch: /}"),
    ),
    Row(
        53,
        "gateway-api-filter-body",
        f"{FILTER}/urlRewrite/path/type",
        rewrite("{type: ReplacePrefixMatch}"),
        rewrite("{type: ReplacePrefixMatch, replacePrefixMatch: ''}"),
    ),
    Row(
        54,
        "gateway-api-filter-body",
        f"{FILTER}/urlRewrite/path/replacePrefixMatch",
        rewrite("{type: ReplaceFullPath, replaceFullPath: /, replacePrefixMatch: /}"),
        rewrite("{type: ReplaceFullPath, replaceFullPath: /}"),
    ),
    Row(
        55,
        "gateway-api-filter-value",
        f"{FILTER}/requestMirror/fraction",
        mirror("percent: 5, fraction: {numerator: 5}"),
        mirror("percent: 5"),
    ),
    Row(
        56,
        "gateway-api-filter-value",
        f"{FILTER}/requestMirror/fraction/numerator",
        mirror("fraction: {numerator: 101}"),
        mirror("fraction: {numerator: 101, denominator: 101}"),
    ),
    Row(
        57,
        "gateway-api-filter-value",
        f"{FILTER}/cors/allowOrigins/1",
        cors("allowOrigins: ['https://a.example.com', '*']"),
        cors("allowOrigins: ['*']"),
    ),
    Row(
        58,
        "gateway-api-filter-value",
        f"{FILTER}/cors/allowMethods/0",
        cors("allowMethods: ['*', GET]"),
        cors("allowMethods: [GET, PUT]"),
    ),
    Row(
        59,
        "gateway-api-filter-value",
        f"{FILTER}/cors/allowHeaders/1",
        cors("allowHeaders: [x-a, '*']"),
        cors("exposeHeaders: [x-a, '*']"),
    ),
    Row(
        60,
        "gateway-api-filter-value",
        f"{FILTER}/cors/exposeHeaders/1",
        cors("exposeHeaders: [x-a, x-a]"),
        cors("exposeHeaders: [x-a, x-b]"),
    ),
    Row(
        61,
        "gateway-api-filter-value",
        f"{FILTER}/requestHeaderModifier/remove/1",
        filters("{type: RequestHeaderModifier, requestHeaderModifier: {remove: [x-a, x-a]}}"),
        filters("{type: RequestHeaderModifier, requestHeaderModifier: {remove: [x-a, X-A]}}"),
    ),
    Row(
        62,
        "timeout-httproute-grammar",
        f"{RULE}/timeouts/backendRequest",
        route(f"{{{TO_CART}, timeouts: {{request: 1s, backendRequest: 2s}}}}"),
        route(f"{{{TO_CART}, timeouts: {{request: 0s, backendRequest: 2s}}}}"),
    ),
    Row(
        63,
        "gateway-api-listener-tls",
        f"{LISTENER}/tls",
        gateway(listener("protocol: TCP, tls: {}")),
        gateway(listener("protocol: HTTP", "a"), listener("protocol: HBONE", "b", 15008)),
    ),
    Row(
        64,
        "gateway-api-listener-tls",
        f"{LISTENER}/tls/mode",
        gateway(listener("protocol: HTTPS, tls: {mode: Passthrough}")),
        gateway(listener("protocol: TLS, tls: {mode: Passthrough}")),
    ),
    Row(
        65,
        "gateway-api-listener-tls",
        f"{LISTENER}/protocol",
        gateway(listener("protocol: TLS")),
        gateway(listener("protocol: HTTPS")),
    ),
    Row(
        66,
        "gateway-api-listener-conflict",
        f"{LISTENER}/hostname",
        gateway(listener("protocol: UDP, hostname: a.example.com")),
        gateway(listener("protocol: TLS, tls: {mode: Passthrough}, hostname: a.example.com")),
    ),
    Row(
        67,
        "duplicate-list-key",
        "/spec/listeners/1/name",
        gateway(PLAIN, listener("protocol: HTTP", port=81)),
        gateway(PLAIN, listener("protocol: HTTP", "b", 81)),
    ),
    Row(
        68,
        "gateway-api-listener-conflict",
        "/spec/listeners/1/port",
        gateway(PLAIN, listener("protocol: HTTP", "b")),
        gateway(PLAIN, listener("protocol: HTTP, hostname: a.example.com", "b"), listener(HTTPS, "c")),
    ),
    Row(
        69,
        "gateway-api-listener-tls",
        f"{LISTENER}/tls",
        gateway(listener("protocol: HTTPS, tls: {}")),
        gateway(listener("protocol: HTTPS, tls: {options: {a.example.com/b: c}}"), listener(HTTPS, "b", 81)),
    ),
    Row(
        70,
        "gateway-api-address",
        "/spec/addresses/1/value",
        gateway(PLAIN, more="addresses: [{value: 192.0.2.1}, {type: IPAddress, value: 192.0.2.1}]"),
        gateway(PLAIN, more="addresses: [{value: 192.0.2.1}, {value: 192.0.2.2}]"),
    ),
    Row(
        71,
        "gateway-api-address",
        "/spec/addresses/1/value",
        gateway(PLAIN, more="addresses: [{type: Hostname, value: a.b}, {type: Hostname, value: a.b}]"),
        gateway(PLAIN, more="addresses: [{type: NamedAddress, value: a}, {type: NamedAddress, value: a}]"),
    ),
    Row(
        72,
        "gateway-api-infrastructure",
        "/spec/infrastructure/labels/a b",
        gateway(PLAIN, more="infrastructure: {labels: {a b: c}}"),
        gateway(PLAIN, more="infrastructure: {labels: {a.example.com/b: c}}"),
    ),
    Row(
        73,
        "gateway-api-infrastructure",
        "/spec/infrastructure/annotations/A_b~1c",
        gateway(PLAIN, more="infrastructure: {annotations: {A_b/c: d}}"),
        gateway(PLAIN, more="infrastructure: {annotations: {a.b/C_d: any text}}"),
    ),
    Row(
        74,
        "invalid-value",
        "/spec/infrastructure/labels/a",
        gateway(PLAIN, more="infrastructure: {labels: {a: b c}}"),
        gateway(PLAIN, more="infrastructure: {labels: {a: ''}}"),
    ),
    Row(
        75,
        "duplicate-list-key",
        "/spec/tls/frontend/perPort/1/port",
        gateway(
            PLAIN, more="tls: {frontend: {default: {}, perPort: [{port: 1, tls: {}}, {port: 1, tls: {}}]}}"
        ),
        gateway(
            PLAIN, more="tls: {frontend: {default: {}, perPort: [{port: 1, tls: {}}, {port: 2, tls: {}}]}}"
        ),
    ),
    Row(
        76,
        "backend-tls-policy-target",
        "/spec/targetRefs/1/name",
        policy(SYSTEM, f"{SECTION}, {{group: '', kind: Service, name: cart}}"),
        policy(SYSTEM, f"{SECTION}, {{group: '', kind: Service, name: pay}}"),
    ),
    Row(
        77,
        "backend-tls-policy-target",
        "/spec/targetRefs/1/name",
        policy(SYSTEM, f"{SECTION}, {SECTION}"),
        policy(SYSTEM, f"{SECTION}, {SECTION.replace('https', 'admin')}"),
    ),
    Row(
        78,
        "backend-tls-policy-validation",
        "/spec/validation/wellKnownCACertificates",
        policy(SYSTEM.replace("}", ", caCertificateRefs: [{group: '', kind: ConfigMap, name: a}]}")),
        policy(SYSTEM.replace("}", ", caCertificateRefs: []}")),
    ),
    Row(
        79,
        "backend-tls-policy-validation",
        "/spec/validation",
        policy("{hostname: a.example.com}"),
        policy("{hostname: a.example.com, caCertificateRefs: [{group: '', kind: ConfigMap, name: a}]}"),
    ),
    Row(
        80,
        "backend-tls-policy-validation",
        "/spec/validation/subjectAltNames/0/type",
        subject("{type: Hostname}"),
        subject("{type: Hostname, hostname: a.example.com}"),
    ),
    Row(
        81,
        "backend-tls-policy-validation",
        "/spec/validation/subjectAltNames/0/hostname",
        subject("{type: URI, uri: 'spiffe://a/b', hostname: a.example.com}"),
        subject("{type: URI, uri: 'spiffe://a/b'}"),
    ),
    Row(
        82,
        "backend-tls-policy-validation",
        "/spec/validation/subjectAltNames/0/type",
        subject("{type: URI}"),
        subject("{type: URI, uri: 'spiffe://a/b'}"),
    ),
    Row(
        83,
        "backend-tls-policy-validation",
        "/spec/validation/subjectAltNames/0/uri",
        subject("{type: Hostname, uri: 'spiffe://a/b', hostname: a.example.com}"),
        subject("{type: Hostname, hostname: '*.example.com'}"),
    ),
    Row(
        84,
        "tlsroute-hostname",
        "/spec/hostnames/0",
        route(f"{{{TO_CART}}}", kind="TLSRoute").replace("a.example.com", "192.0.2.1"),
        route(f"{{{TO_CART}}}", kind="TLSRoute").replace("a.example.com", "1a.2.3.4"),
    ),
    Row(
        85,
        "invalid-value",
        "/spec/hostnames/0",
        route(f"{{{TO_CART}}}", kind="TLSRoute").replace("a.example.com", "a.*.example.com"),
        route(f"{{{TO_CART}}}", kind="TLSRoute").replace("a.example.com", "'*.example.com'"),
    ),
    Row(
        87,
        "duplicate-list-key",
        f"{MATCH}/headers/1/name",
        matches("{headers: [{name: a, value: b}, {name: a, value: c}]}"),
        matches("{headers: [{name: a, value: b}, {name: b, value: c}]}"),
    ),
    Row(
        88,
        "gateway-api-session",
        f"{RULE}/sessionPersistence/cookieConfig/lifetimeType",
        route(f"{{{TO_CART}, sessionPersistence: {{cookieConfig: {{lifetimeType: Permanent}}}}}}"),
        route(f"{{{TO_CART}, sessionPersistence: {{cookieConfig: {{lifetimeType: Session}}}}}}"),
    ),
    Row(
        93,
        "gateway-api-regex",
        f"{MATCH}/path/value",
        matches(f"{{path: {{{REGEX}, value: '/(?!a)'}}}}", parents=MESH),
        matches("{path: {type: Exact, value: '/(a'}}", parents=MESH),
    ),
    Row(
        94,
        "gateway-api-regex",
        f"{MATCH}/headers/0/value",
        matches(f"{{headers: [{{name: a, {REGEX}, value: '[a'}}]}}"),
        matches("{headers: [{name: a, value: '[a'}]}"),
    ),
    Row(
        95,
        "gateway-api-regex",
        f"{MATCH}/queryParams/0/value",
        matches(f"{{queryParams: [{{name: a, {REGEX}, value: '*a'}}]}}", parents=MESH),
        matches(f"{{queryParams: [{{name: a, {REGEX}, value: '.*a'}}]}}", parents=MESH),
    ),
    Row(
        96,
        "gateway-api-regex",
        f"{MATCH}/method/service",
        matches(f"{{method: {{{REGEX}, service: 'a(b'}}}}", kind="GRPCRoute", parents=MESH),
        matches(f"{{method: {{{REGEX}, service: 'a(b)'}}}}", kind="GRPCRoute", parents=MESH),
    ),
    Row(
        97,
        "gateway-api-backend-kind",
        f"{BACKEND}/name",
        backends("{name: cart.shop, port: 80}"),
        backends("{group: networking.istio.io, kind: Hostname, name: cart.shop, port: 80}", parents=MESH),
    ),
    Row(
        98,
        "gateway-api-backend-kind",
        f"{BACKEND}/kind",
        backends("{group: a.example.com, kind: Bucket, name: cart}", parents=MESH),
        backends("{group: a.example.com, kind: Bucket, name: cart}"),
    ),
    Row(
        99,
        "gateway-api-backend-kind",
        f"{BACKEND}/namespace",
        backends(
            "{group: networking.istio.io, kind: Hostname, name: a.b, namespace: c, port: 1}", parents=MESH
        ),
        backends("{name: a, namespace: c, port: 1}", parents=MESH),
    ),
    Row(
        100,
        "httproute-weight",
        f"{BACKEND}/weight",
        backends("{name: a, port: 80, weight: 0}", "{name: b, port: 80, weight: 0}", kind="GRPCRoute"),
        backends("{name: a, port: 80, weight: 0}", "{name: b, port: 80, weight: 1}", kind="GRPCRoute"),
    ),
    Row(
        101,
        "httproute-weight",
        f"{RULE}/name",
        route("{name: a}"),
        filters(filled("RequestRedirect"), more="name: a"),
        "warning",
    ),
    Row(
        102,
        "httproute-weight",
        f"{BACKEND}/weight",
        backends("{name: a, port: 80, weight: 0}", kind="TCPRoute"),
        backends("{name: a, port: 80}", kind="TCPRoute"),
    ),
    Row(
        103,
        "gateway-api-filter-unsupported",
        f"{FILTER}/type",
        filters(filled("ExtensionRef")).replace(GATEWAY, MESH),
        filters(filled("ExtensionRef")),
    ),
    Row(
        104,
        "gateway-api-filter-unsupported",
        f"{BACKEND}/filters/0/type",
        backend_filters(filled("URLRewrite"), parents=MESH),
        backend_filters(filled("ResponseHeaderModifier"), parents=MESH),
    ),
    Row(
        105,
        "gateway-api-listener-unsupported",
        f"{LISTENER}/protocol",
        gateway(listener("protocol: UDP")),
        gateway(listener("protocol: UDP"), name="of-others"),
    ),
    Row(
        106,
        "gateway-api-listener-unsupported",
        f"{LISTENER}/tls/certificateRefs/0/kind",
        gateway(listener("protocol: HTTPS, tls: {certificateRefs: [{kind: ConfigMap, name: a}]}")),
        gateway(listener("protocol: HTTPS, tls: {certificateRefs: [{kind: Secret, name: a}]}")),
    ),
    Row(
        107,
        "gateway-api-allowed-routes",
        f"{LISTENER}/allowedRoutes/namespaces/from",
        allowed("{from: Selector}"),
        allowed("{from: Selector, selector: {matchLabels: {a: b}}}"),
    ),
    Row(
        108,
        "gateway-api-allowed-routes",
        f"{LISTENER}/allowedRoutes/namespaces/selector",
        allowed("{selector: {matchLabels: {a: b}}}"),
        allowed("{from: All}"),
        "warning",
    ),
    Row(
        109,
        "gateway-api-allowed-routes",
        f"{LISTENER}/allowedRoutes/namespaces/selector/matchExpressions/0/operator",
        allowed("{from: Selector, selector: {matchExpressions: [{key: a, operator: Equals, values: [b]}]}}"),
        allowed("{from: Selector, selector: {matchExpressions: [{key: a, operator: In, values: [b]}]}}"),
    ),
    Row(
        110,
        "gateway-api-allowed-routes",
        f"{LISTENER}/allowedRoutes/namespaces/selector/matchExpressions/0/values",
        allowed("{from: Selector, selector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}}"),
        allowed("{from: Selector, selector: {matchExpressions: [{key: a, operator: Exists}]}}"),
    ),
    Row(
        111,
        "timeout-httproute-overwritten",
        f"{RULE}/timeouts/request",
        route(f"{{{TO_CART}, timeouts: {{request: 10s, backendRequest: 2s}}}}", MESH),
        route(f"{{{TO_CART}, timeouts: {{request: 10s}}}}", MESH),
    ),
]

NOT_DONE = {
    86: "GatewayClass: controllerName cannot be changed; a manifest does not show what it was",
    89: "GRPCRoute: names of rules; whether the standard definition asks for it differs by release",
    90: "Gateway: characters of an address of the type Hostname; the form of the rule is not in the sources",
    91: "TLSRoute: labels of a hostname longer than 63; the form of the rule is not in the sources",
    92: "XBackend, XBackendTrafficPolicy, XMesh: rules of the experimental kinds are not in the sources",
    112: "parent that is missing, has no such listener, or does not admit the route: rules on references",
    113: "backend Service or port that is missing: rules on references",
    114: "ReferenceGrant for another namespace: rules on references",
    115: "class of a Gateway that nobody serves: rules on references",
    116: "UDPRoute for an Istio gateway: the sources disagree about it; its listener is row 105",
    117: "XBackend and InferencePool as backends: allowed by flags of istiod that are not in the manifests",
    118: "releases before 1.4: rules that came later are applied to older targets as well",
}


@pytest.mark.parametrize("row", params(KIND, ROWS))
def test_row(row: Row) -> None:
    check_row(KIND, row.rule, row.bad, row.good, row.pointer, row.severity)


def test_every_row_is_accounted_for() -> None:
    assert uncovered(COUNT, ROWS, NOT_DONE) == set()


OF_LISTENERS = [row for row in ROWS if row.number in (63, 64, 65, 66, 67, 68, 69, 107, 108)]


@pytest.mark.parametrize("row", params("ListenerSet", OF_LISTENERS))
def test_listener_sets_are_like_gateways(row: Row) -> None:
    def turned(text: str) -> str:
        return text.replace("kind: Gateway", "kind: ListenerSet").replace(
            "gatewayClassName: istio", "parentRef: {name: public}"
        )

    check_row(KIND, row.rule, turned(row.bad), turned(row.good), row.pointer, row.severity)


RULES = sorted(
    {row.rule for row in ROWS if row.rule.startswith(("gateway-", "http", "grpc", "tlsr", "backend"))}
)


#: rows about what is there or not there, whatever its value is
STRUCTURAL = {4, 5, 6, 7, 8, 21, 46, 55, 63, 69, 73, 79, 101, 108}


@pytest.mark.parametrize("value", ["${A}", None, "{{ .A }}"])
@pytest.mark.parametrize("row", params(KIND, (r for r in ROWS if r.number not in STRUCTURAL)))
def test_what_a_template_fills_is_not_judged(row: Row, value: str | None) -> None:
    if row.rule in RULES:
        manifest = yaml.safe_load(row.bad)
        manifest["spec"] = filled_by_a_template(manifest["spec"], value)
        assert findings(KIND, row.rule, yaml.safe_dump(manifest)) == []


def filled_by_a_template(node: Any, value: str | None) -> Any:
    if isinstance(node, dict):
        return {key: filled_by_a_template(inner, value) for key, inner in node.items() if " " not in key}
    return [filled_by_a_template(inner, value) for inner in node] if isinstance(node, list) else value


@pytest.mark.parametrize(
    "spec",
    [
        "{parentRefs: [~, a], rules: [~, a, {matches: ~, filters: a, backendRefs: [~, a]}]}",
        "{parentRefs: a, rules: {a: b}}",
        "{rules: [{matches: [{path: a, headers: a, method: a}], filters: [{type: [a], cors: a}]}]}",
        "{rules: [{filters: [{type: URLRewrite, urlRewrite: {path: a}}, {cors: a}], backendRefs: a}]}",
        "{rules: [{backendRefs: [{name: ~, group: ~, kind: ~, port: ~, weight: ~, filters: ~}]}]}",
    ],
)
@pytest.mark.parametrize("kind", ["HTTPRoute", "GRPCRoute", "TCPRoute", "Gateway"])
def test_wrong_types_are_left_to_the_schema(spec: str, kind: str) -> None:
    for name in RULES:
        assert findings(KIND, name, whole(kind, spec)) == [], name
