"""The rows of the validation table for VirtualServices: where each is found, and by which rule."""

# ruff: noqa: E501 - a row of the table is a line

from __future__ import annotations

import pytest

from tests.checks.admission.support import Row, check_row, findings, params, uncovered

ROUTE = "route: [{destination: {host: cart}}]"
GOOD = f"hosts: [cart]\nhttp:\n- {ROUTE}"
TLS = "tls:\n- match: [{sniHosts: [cart]}]\n  " + ROUTE
TCP = "tcp:\n- " + ROUTE


def http(*lines: str, route: str = ROUTE) -> str:
    """One HTTP rule."""
    body = "\n  ".join(line for line in (*lines, route) if line)
    return f"hosts: [cart]\nhttp:\n- {body}"


def match(text: str) -> str:
    return http(f"match: [{{{text}}}]")


def tls(text: str, hosts: str = "cart") -> str:
    return f"hosts: [{hosts}]\ntls:\n- {text}\n"


def gateways(text: str) -> str:
    return f"gateways: [{text}]\n{GOOD}"


def exported(text: str) -> str:
    return f"exportTo: [{text}]\n{GOOD}"


def rows(number: int, rule: str, *cases: tuple[str, str, str], severity: str | None = None) -> list[Row]:
    """Several documents for one row of the table: pointer, bad, good."""
    return [Row(number, rule, pointer, bad, good, severity) for pointer, bad, good in cases]


MATCH = "/spec/http/0/match/0"
LONG = "a" * 1025
OPERATIONS = "/spec/http/0/headers"

ROWS = [
    *rows(1, "vs-delegate-fields", ("/spec/gateways", f"gateways: [gw]\nhttp:\n- {ROUTE}", f"http:\n- {ROUTE}")),
    *rows(2, "vs-delegate-fields", ("/spec/tls", TLS, f"hosts: [cart]\n{TLS}")),
    *rows(3, "vs-delegate-fields", ("/spec/tcp", TCP, f"hosts: [cart]\n{TCP}")),
    *rows(
        4, "vs-gateway-legacy-name",
        ("/spec/gateways/0", gateways("gw.istio-system.svc.cluster.local"), gateways("istio-system/gw, gw, mesh")),
        (MATCH + "/gateways/0", match("gateways: [gw.ns]"), match("gateways: [ns/gw]")),
        ("/spec/tcp/0/match/0/gateways/0", f"hosts: [a]\ntcp:\n- match: [{{gateways: [gw.ns]}}]\n  {ROUTE}", GOOD),
        severity="warning",
    ),
    *rows(
        5, "vs-gateway-name",
        ("/spec/gateways/0", gateways("gw_1"), gateways("gw-1")),
        ("/spec/gateways/1", gateways("gw, '*'"), gateways("mesh, gw")),
        (MATCH + "/gateways/0", match("gateways: ['gw:80']"), match("gateways: [gw]")),
    ),
    *rows(
        6, "vs-gateway-name",
        ("/spec/gateways/0", gateways("ns/"), gateways("ns/gw")),
        ("/spec/gateways/0", gateways("/gw"), gateways("./gw")),
    ),
    *rows(7, "vs-gateway-name", ("/spec/gateways/0", gateways("ns.a/gw"), gateways("'${NS}/gw'"))),
    *rows(8, "vs-gateway-name", ("/spec/gateways/0", gateways("ns/gw.a"), gateways("ns/gw-a"))),
    *rows(
        9, "jwt-claim-route",
        (
            MATCH + "/headers/@request.auth.claims.group",
            match("headers: {'@request.auth.claims.group': {exact: a}}"),
            "gateways: [ns/gw]\n" + match("headers: {'@request.auth.claims.group': {exact: a}}"),
        ),
    ),
    *rows(
        10, "vs-hosts",
        ("/spec/hosts/0", f"hosts: ['http://a']\nhttp:\n- {ROUTE}", f"hosts: [a.b.]\nhttp:\n- {ROUTE}"),
        ("/spec/hosts/1", f"hosts: [a, 'a:80']\nhttp:\n- {ROUTE}", f"hosts: [a, '*.b', 10.0.0.1]\nhttp:\n- {ROUTE}"),
        (
            "/spec/hosts/0", f"hosts: [outbound_.80_._.a.b]\nhttp:\n- {ROUTE}",
            f"hosts: [outbound_.80_._.a.b]\ngateways: [gw]\n{TLS.replace('[cart]', '[outbound_.80_._.a.b]')}",
        ),
    ),
    *rows(
        11, "vs-hosts",
        ("/spec/hosts/0", f"hosts: ['*']\nhttp:\n- {ROUTE}", f"hosts: ['*']\ngateways: [gw]\nhttp:\n- {ROUTE}"),
        ("/spec/hosts/0", f"hosts: ['*']\ngateways: [gw, mesh]\nhttp:\n- {ROUTE}", GOOD),
    ),
    *rows(
        12, "vs-hosts",
        ("/spec/hosts/1", f"hosts: [a, a]\nhttp:\n- {ROUTE}", f"hosts: [a, b]\nhttp:\n- {ROUTE}"),
        ("/spec/hosts/0", f"hosts: [a.b, '*.b']\nhttp:\n- {ROUTE}", f"hosts: [b, '*.b']\nhttp:\n- {ROUTE}"),
        ("/spec/hosts/1", f"hosts: ['*.b', '*.a.b']\nhttp:\n- {ROUTE}", f"hosts: ['*.a', '*.b']\nhttp:\n- {ROUTE}"),
    ),
    *rows(13, "vs-no-routes", ("/spec", "hosts: [cart]", GOOD)),
    *rows(
        15, "vs-http-action",
        ("/spec/http/0/redirect", http("delegate: {name: a}", "redirect: {uri: /}", route=""), http("delegate: {name: a}", route="")),
    ),
    *rows(16, "vs-http-action", ("/spec/http/0/route", http("delegate: {name: a}"), http("delegate: {name: a}", "route: []", route=""))),
    *rows(
        17, "vs-delegate-fields",
        ("/spec/http/0/delegate", "http:\n- delegate: {name: a}", "hosts: [cart]\nhttp:\n- delegate: {name: a}"),
    ),
    *rows(18, "vs-http-action", ("/spec/http/0/route", http("redirect: {uri: /}"), http("redirect: {uri: /}", route=""))),
    *rows(19, "vs-http-action", ("/spec/http/0/fault", http("redirect: {uri: /}", "fault: {}", route=""), http("fault: {}"))),
    *rows(20, "vs-http-action", ("/spec/http/0/rewrite", http("redirect: {uri: /}", "rewrite: {uri: /}", route=""), http("rewrite: {uri: /}"))),
    *rows(
        21, "vs-http-action",
        (
            "/spec/http/0/directResponse", http("redirect: {uri: /}", "directResponse: {status: 200}", route=""),
            http("directResponse: {status: 200}", route=""),
        ),
    ),
    *rows(22, "vs-http-action", ("/spec/http/0/route", http("directResponse: {status: 200}"), GOOD)),
    *rows(23, "vs-http-action", ("/spec/http/0/fault", http("directResponse: {status: 200}", "fault: {}", route=""), GOOD)),
    *rows(24, "vs-http-action", ("/spec/http/0/rewrite", http("directResponse: {status: 200}", "rewrite: {}", route=""), GOOD)),
    *rows(
        25, "vs-http-action",
        ("/spec/http/0/timeout", http("timeout: 1s", route=""), http("timeout: 1s")),
        ("/spec/http/0/route", http(route="route: []"), http(route="route: null")),
    ),
    *rows(
        26, "vs-http-action",
        ("/spec/http/0/mirrors", http("mirror: {host: a}", "mirrors: [{destination: {host: b}}]"), http("mirror: {host: a}")),
    ),
    *rows(
        28, "vs-match-value",
        (MATCH + "/headers/", match("headers: {'': {exact: a}}"), match("headers: {x-a: {exact: a}}")),
        (MATCH + "/headers/x a", match("headers: {'x a': {exact: a}}"), match("headers: {':authority': {exact: a}}")),
        (
            MATCH + "/withoutHeaders/a:b", match("withoutHeaders: {'a:b': {exact: a}}"),
            match("withoutHeaders: {'@request.auth.claims[a b]': {exact: a}}"),
        ),
    ),
    *rows(
        29, "vs-regex-invalid",
        (MATCH + "/headers/a/regex", match("headers: {a: {regex: '*'}}"), match("headers: {a: {regex: '.*'}, b: {}}")),
        (MATCH + "/headers/a/regex", match("headers: {a: {regex: ''}}"), match("headers: {a: {regex: '${X}'}}")),
        (MATCH + "/headers/a/regex", match(f"headers: {{a: {{regex: {LONG}}}}}"), match("headers: {a: {exact: '(?='}}")),
    ),
    *rows(29, "vs-match-value", (MATCH + "/headers/a/prefix", match("headers: {a: {prefix: ''}}"), match("headers: {a: {exact: ''}}"))),
    *rows(
        30, "vs-regex-invalid",
        (MATCH + "/withoutHeaders/a/regex", match("withoutHeaders: {a: {regex: '('}}"), match("withoutHeaders: {a: {regex: '*'}}")),
    ),
    *rows(
        30, "vs-match-value",
        (MATCH + "/withoutHeaders/a/prefix", match("withoutHeaders: {a: {prefix: ''}}"), match("withoutHeaders: {a: {}}")),
    ),
    *rows(
        31, "vs-regex-invalid",
        (MATCH + "/uri/regex", match("uri: {regex: '/(?!a).*'}"), match("uri: {prefix: ''}")),
        (MATCH + "/uri/regex", match("uri: {regex: ''}"), match("uri: {regex: '/a|/b'}")),
        (MATCH + "/uri/regex", match(f"uri: {{regex: /{LONG}}}"), match("uri: {regex: '/[^/]+'}")),
    ),
    *[
        row
        for number, name in ((32, "scheme"), (33, "method"), (34, "authority"))
        for row in (
            *rows(number, "vs-match-value", (f"{MATCH}/{name}/prefix", match(f"{name}: {{prefix: ''}}"), match(f"{name}: {{prefix: a}}"))),
            *rows(number, "vs-regex-invalid", (f"{MATCH}/{name}/regex", match(f"{name}: {{regex: '['}}"), match(f"{name}: {{regex: a|b}}"))),
        )
    ],
    *rows(35, "vs-match-value", (MATCH + "/queryParams/a/prefix", match("queryParams: {a: {prefix: ''}}"), match("queryParams: {a: {exact: ''}}"))),
    *rows(35, "vs-regex-invalid", (MATCH + "/queryParams/a/regex", match("queryParams: {a: {regex: 'a**'}}"), match("queryParams: {a: {regex: 'a+'}}"))),
    *rows(36, "vs-match-client", (MATCH + "/port", match("port: 65536"), match("port: 65535")), (MATCH + "/port", match("port: 99999"), match("port: 0"))),
    *rows(
        37, "vs-match-client",
        (MATCH + "/sourceLabels/app", match("sourceLabels: {app: 'a*'}"), match("sourceLabels: {app: a, b.c/d: ''}")),
        (MATCH + "/sourceLabels/a*", match("sourceLabels: {'a*': a}"), match("sourceLabels: {'{{x}}': '{{y}}'}")),
    ),
    *rows(38, "vs-match-client", (MATCH + "/sourceNamespace", match("sourceNamespace: 'a*'"), match("sourceNamespace: a"))),
    *rows(
        39, "vs-header-operations",
        (OPERATIONS + "/request/set/", http("headers: {request: {set: {'': a}}}"), http("headers: {request: {set: {host: a}}}")),
        (OPERATIONS + "/request/add/:path", http("headers: {request: {add: {':path': a}}}"), http("headers: {request: {add: {':authority': a}}}")),
        (
            "/spec/http/0/route/0/headers/request/set/:method",
            http(route="route: [{destination: {host: a}, headers: {request: {set: {':method': a}}}}]"),
            http(route="route: [{destination: {host: a}, headers: {request: {set: {method: a}}}}]"),
        ),
    ),
    *rows(
        40, "vs-header-operations",
        (OPERATIONS + "/request/remove/0", http("headers: {request: {remove: [Host]}}"), http("headers: {request: {remove: [x-host]}}")),
        (OPERATIONS + "/response/add/host", http("headers: {response: {add: {host: a}}}"), http("headers: {response: {add: {hosts: a}}}")),
        (OPERATIONS + "/response/set/:status", http("headers: {response: {set: {':status': a}}}"), http("headers: {response: {set: {status: a}}}")),
        (OPERATIONS + "/response/remove/0", http("headers: {response: {remove: ['']}}"), http("headers: {response: {remove: [a]}}")),
    ),
    *rows(41, "vs-header-operations", (OPERATIONS + "/request/set/a", http('headers: {request: {set: {a: "b\\nc"}}}'), http('headers: {request: {set: {a: "b\\tc"}}}'))),
    *rows(
        42, "vs-header-operations",
        (OPERATIONS + "/response/set/a", http("headers: {response: {set: {a: 100%}}}"), http("headers: {response: {set: {a: 100%%}}}")),
        (OPERATIONS + "/response/add/a", http("headers: {response: {add: {a: '%REQ(b)'}}}"), http("headers: {response: {add: {a: '%REQ(b)%'}}}")),
    ),
    *rows(
        43, "vs-cors-invalid",
        ("/spec/http/0/corsPolicy/allowOrigins/0/exact", http("corsPolicy: {allowOrigins: [{exact: ''}]}"), http("corsPolicy: {allowOrigins: [{exact: '*'}]}")),
        ("/spec/http/0/corsPolicy/allowOrigins/0", http("corsPolicy: {allowOrigins: [{}]}"), http("corsPolicy: {allowOrigins: []}")),
    ),
    *rows(
        44, "vs-regex-invalid",
        ("/spec/http/0/corsPolicy/allowOrigins/0/regex", http("corsPolicy: {allowOrigins: [{regex: '*'}]}"), http("corsPolicy: {allowOrigins: [{regex: '.*'}]}")),
    ),
    *rows(45, "vs-cors-invalid", ("/spec/http/0/corsPolicy/allowMethods/1", http("corsPolicy: {allowMethods: [GET, get]}"), http("corsPolicy: {allowMethods: ['*', TRACE]}"))),
    *rows(46, "vs-cors-invalid", ("/spec/http/0/corsPolicy/allowHeaders/0", http("corsPolicy: {allowHeaders: ['a, b']}"), http("corsPolicy: {allowHeaders: ['*', a]}"))),
    *rows(47, "vs-cors-invalid", ("/spec/http/0/corsPolicy/exposeHeaders/0", http("corsPolicy: {exposeHeaders: ['']}"), http("corsPolicy: {exposeHeaders: [a]}"))),
    *rows(48, "timeout-invalid", ("/spec/http/0/corsPolicy/maxAge", http("corsPolicy: {maxAge: 1d}"), http("corsPolicy: {maxAge: 24h}"))),
    *rows(49, "vs-cors-invalid", ("/spec/http/0/corsPolicy/maxAge", http("corsPolicy: {maxAge: 1.5s}"), http("corsPolicy: {maxAge: 1m}"))),
    *rows(50, "vs-fault-invalid", ("/spec/http/0/fault", http("fault: {}"), http("fault: {abort: {httpStatus: 500}}"))),
    *rows(
        51, "vs-fault-invalid",
        *[
            ("/spec/http/0/fault/abort/percentage/value", http(f"fault: {{abort: {{httpStatus: 500, percentage: {{value: {bad}}}}}}}"),
             http(f"fault: {{abort: {{httpStatus: 500, percentage: {{value: {good}}}}}}}"))
            for bad, good in (("-1", "0"), ("100.5", "100"), ("0.00001", "0.0001"))
        ],
    ),
    *rows(
        52, "vs-fault-invalid",
        ("/spec/http/0/fault/abort/grpcStatus", http("fault: {abort: {grpcStatus: unavailable}}"), http("fault: {abort: {grpcStatus: UNAVAILABLE}}")),
        ("/spec/http/0/fault/abort/grpcStatus", http("fault: {abort: {grpcStatus: '14'}}"), http("fault: {abort: {grpcStatus: OK}}")),
    ),
    *rows(53, "vs-fault-invalid", ("/spec/http/0/fault/abort/http2Error", http("fault: {abort: {http2Error: a}}"), http("fault: {abort: {httpStatus: 503}}"))),
    *rows(
        54, "vs-fault-invalid",
        *[
            ("/spec/http/0/fault/abort/httpStatus", http(f"fault: {{abort: {{httpStatus: {bad}}}}}"), http(f"fault: {{abort: {{httpStatus: {good}}}}}"))
            for bad, good in ((199, 200), (601, 599), (0, 418), (600, 599))
        ],
    ),
    *rows(
        55, "vs-fault-inert",
        ("/spec/http/0/fault/abort", http("fault: {abort: {percentage: {value: 1}}}"), http("fault: {abort: {httpStatus: 500, percentage: {value: 1}}}")),
        severity="warning",
    ),
    *rows(56, "vs-fault-invalid", ("/spec/http/0/fault/delay/percentage/value", http("fault: {delay: {fixedDelay: 1s, percentage: {value: 101}}}"), http("fault: {delay: {fixedDelay: 1s}}"))),
    *rows(57, "timeout-invalid", ("/spec/http/0/fault/delay/fixedDelay", http("fault: {delay: {fixedDelay: '5'}}"), http("fault: {delay: {fixedDelay: 5s}}"))),
    *rows(58, "vs-fault-invalid", ("/spec/http/0/fault/delay/exponentialDelay", http("fault: {delay: {exponentialDelay: 1s}}"), http("fault: {delay: {fixedDelay: 1s}}"))),
    *rows(59, "vs-mirror-percentage", ("/spec/http/0/mirrorPercent", http("mirror: {host: a}", "mirrorPercent: 101"), http("mirror: {host: a}", "mirrorPercent: null")), severity="error"),
    *rows(60, "deprecated-field", ("/spec/http/0/mirrorPercent", http("mirror: {host: a}", "mirrorPercent: 5"), http("mirror: {host: a}")), severity="warning"),
    *rows(61, "vs-mirror-percentage", ("/spec/http/0/mirrorPercentage/value", http("mirrorPercentage: {value: 100.1}"), http("mirrorPercentage: {value: 100}"))),
    *rows(62, "vs-mirror-percentage", ("/spec/http/0/mirrorPercentage/value", http("mirrorPercentage: {value: -0.1}"), http("mirrorPercentage: {value: 0}"))),
    *rows(
        65, "vs-mirror-percentage",
        ("/spec/http/0/mirrors/0/percentage/value", http("mirrors: [{destination: {host: a}, percentage: {value: 200}}]"), http("mirrors: [{destination: {host: a}, percentage: {value: 20}}]")),
    ),
    *rows(
        66, "vs-mirror-percentage",
        ("/spec/http/0/mirrors/0/percentage/value", http("mirrors: [{destination: {host: a}, percentage: {value: -1}}]"), http("mirrors: [{destination: {host: a}}]")),
    ),
    *rows(67, "vs-redirect", ("/spec/http/0/redirect/prefixRewrite", http("redirect: {uri: /, prefixRewrite: /a}", route=""), http("redirect: {prefixRewrite: /a}", route=""))),
    *rows(
        68, "vs-redirect",
        (
            "/spec/http/0/redirect/prefixRewrite", http("match: [{uri: {exact: /b}}]", "redirect: {prefixRewrite: /a}", route=""),
            http("match: [{uri: {prefix: /b}}, {port: 80}]", "redirect: {prefixRewrite: /a}", route=""),
        ),
    ),
    *rows(
        69, "vs-redirect",
        ("/spec/http/0/redirect", http("redirect: {}", route=""), http("redirect: {derivePort: FROM_REQUEST_PORT}", route="")),
        ("/spec/http/0/redirect", http("redirect: {redirectCode: 302}", route=""), http("redirect: {uri: '${X}'}", route="")),
    ),
    *rows(
        70, "vs-redirect",
        *[
            ("/spec/http/0/redirect/redirectCode", http(f"redirect: {{uri: /, redirectCode: {bad}}}", route=""), http(f"redirect: {{uri: /, redirectCode: {good}}}", route=""))
            for bad, good in ((299, 301), (400, 308), (304, 0), (200, 303))
        ],
    ),
    *rows(71, "vs-redirect", ("/spec/http/0/redirect/scheme", http("redirect: {scheme: HTTPS}", route=""), http("redirect: {scheme: https}", route=""))),
    *rows(72, "vs-redirect", ("/spec/http/0/redirect/port", http("redirect: {port: 0}", route=""), http("redirect: {port: 8443}", route="")), ("/spec/http/0/redirect/port", http("redirect: {port: 65536}", route=""), GOOD)),
    *rows(
        73, "vs-direct-response",
        ("/spec/http/0/directResponse/body/string", http(f"directResponse: {{status: 200, body: {{string: {'a' * 1048577}}}}}", route=""), GOOD),
        severity="error",
    ),
    *rows(
        74, "vs-direct-response",
        (
            "/spec/http/0/directResponse/body/string", http(f"directResponse: {{status: 200, body: {{string: {'a' * 102401}}}}}", route=""),
            http(f"directResponse: {{status: 200, body: {{string: {'a' * 102400}}}}}", route=""),
        ),
        severity="warning",
    ),
    *rows(
        75, "vs-direct-response",
        *[
            ("/spec/http/0/directResponse/status", http(f"directResponse: {{status: {bad}}}", route=""), http(f"directResponse: {{status: {good}}}", route=""))
            for bad, good in ((199, 200), (601, 599), (600, 503))
        ],
    ),
    *rows(76, "retry-without-attempts", ("/spec/http/0/retries/attempts", http("retries: {attempts: -1}"), http("retries: {attempts: 0}"))),
    *rows(77, "retry-without-attempts", ("/spec/http/0/retries/retryOn", http("retries: {attempts: 0, retryOn: 5xx}"), http("retries: {attempts: 1, retryOn: 5xx}"))),
    *rows(78, "timeout-invalid", ("/spec/http/0/retries/perTryTimeout", http("retries: {attempts: 1, perTryTimeout: 0s}"), http("retries: {attempts: 1, perTryTimeout: 1ms}"))),
    *rows(79, "retry-on-invalid", ("/spec/http/0/retries/retryOn", http("retries: {attempts: 1, retryOn: '5xx, reset'}"), http("retries: {attempts: 1, retryOn: '5xx,reset,503'}"))),
    *rows(80, "timeout-invalid", ("/spec/http/0/retries/backoff", http("retries: {attempts: 1, backoff: 1us}"), http("retries: {attempts: 1, backoff: 25ms}"))),
    *rows(81, "vs-rewrite", ("/spec/http/0/rewrite/uriRegexRewrite", http("rewrite: {uri: /, uriRegexRewrite: {match: a, rewrite: b}}"), http("rewrite: {uriRegexRewrite: {match: a, rewrite: b}}"))),
    *rows(82, "vs-rewrite", ("/spec/http/0/rewrite", http("rewrite: {}"), http("rewrite: {authority: a}"))),
    *rows(
        83, "vs-rewrite",
        ("/spec/http/0/rewrite/uriRegexRewrite", http("rewrite: {uriRegexRewrite: {match: a}}"), http("rewrite: {uriRegexRewrite: {match: a, rewrite: null}}")),
        ("/spec/http/0/rewrite/uriRegexRewrite/match", http("rewrite: {uriRegexRewrite: {match: '', rewrite: b}}"), GOOD),
    ),
    *rows(84, "vs-regex-invalid", ("/spec/http/0/rewrite/uriRegexRewrite/match", http("rewrite: {uriRegexRewrite: {match: '(a', rewrite: b}}"), http("rewrite: {uriRegexRewrite: {match: '(a)', rewrite: '\\1'}}"))),
    *rows(
        85, "vs-rewrite",
        (OPERATIONS + "/request/set/Host", http("rewrite: {authority: a}", "headers: {request: {set: {Host: b}}}"), http("headers: {request: {set: {Host: b}}}")),
        (OPERATIONS + "/request/add/:authority", http("headers: {request: {set: {host: b}, add: {':authority': c}}}"), http("rewrite: {authority: a}", "headers: {response: {set: {a: b}}}")),
    ),
    *rows(88, "vs-weights", ("/spec/http/0/route/0/weight", http(route="route: [{destination: {host: a}, weight: -1}]"), http(route="route: [{destination: {host: a}, weight: 0}]")), severity="error"),
    *rows(
        89, "vs-weights",
        ("/spec/http/0/route", http(route="route: [{destination: {host: a}}, {destination: {host: b}}]"), http(route="route: [{destination: {host: a}, weight: 1}, {destination: {host: b}, weight: 1}]")),
        ("/spec/http/0/route", http(route="route: [{destination: {host: a}, weight: 0}, {destination: {host: b}, weight: 0}]"), http(route="route: [{destination: {host: a}, weight: '${W}'}, {destination: {host: b}}]")),
        severity="error",
    ),
    *rows(
        90, "vs-destination",
        ("/spec/http/0/route/0/destination/host", http(route="route: [{destination: {host: '*'}}]"), http(route="route: [{destination: {host: '*.a.b'}}]")),
        ("/spec/http/0/route/0/destination/host", http(route="route: [{destination: {host: 'a:80'}}]"), http(route="route: [{destination: {host: '${HOST}'}}]")),
        ("/spec/http/0/route/0/destination/host", http(route="route: [{destination: {host: 10.0.0.1}}]"), GOOD),
        ("/spec/http/0/mirror/host", http("mirror: {host: a_b}"), http("mirror: {host: a-b}")),
        ("/spec/http/0/mirrors/0/destination/host", http("mirrors: [{destination: {host: ''}}]"), http("mirrors: [{destination: {host: a}}]")),
        ("/spec/tcp/0/route/0/destination/host", "hosts: [a]\ntcp:\n- route: [{destination: {host: 'a b'}}]", "hosts: [a]\ntcp:\n- route: [{destination: {host: a}}]"),
    ),
    *rows(91, "vs-destination", ("/spec/http/0/route/0/destination/subset", http(route="route: [{destination: {host: a, subset: v1.0}}]"), http(route="route: [{destination: {host: a, subset: v1-0}}]"))),
    *rows(
        92, "vs-destination",
        ("/spec/http/0/route/0/destination/port/number", http(route="route: [{destination: {host: a, port: {number: 70000}}}]"), http(route="route: [{destination: {host: a, port: {number: 80}}}]")),
        ("/spec/http/0/route/0/destination/port", http(route="route: [{destination: {host: a, port: {}}}]"), http(route="route: [{destination: {host: a, port: null}}]")),
    ),
    *rows(93, "timeout-invalid", ("/spec/http/0/timeout", http("timeout: 0s"), http("timeout: 1s"))),
    *rows(94, "vs-tls-tcp-rule", ("/spec/tls/0/match", tls(f"match: []\n  {ROUTE}"), tls(f"match: [{{sniHosts: [cart]}}]\n  {ROUTE}"))),
    *rows(96, "vs-tls-tcp-rule", ("/spec/tls/0/match/0/sniHosts", tls(f"match: [{{sniHosts: []}}]\n  {ROUTE}"), tls(f"match: [{{sniHosts: null}}]\n  {ROUTE}"))),
    *rows(97, "vs-sni-hosts", ("/spec/tls/0/match/0/sniHosts/0", tls(f"match: [{{sniHosts: ['cart:443']}}]\n  {ROUTE}"), tls(f"match: [{{sniHosts: [cart]}}]\n  {ROUTE}"))),
    *rows(98, "vs-sni-hosts", ("/spec/tls/0/match/0/sniHosts/0", tls(f"match: [{{sniHosts: [10.0.0.1]}}]\n  {ROUTE}"), tls(f"match: [{{sniHosts: [cart]}}]\n  {ROUTE}")), severity="warning"),
    *rows(
        99, "vs-sni-hosts",
        ("/spec/tls/0/match/0/sniHosts/0", tls(f"match: [{{sniHosts: [a.b]}}]\n  {ROUTE}"), tls(f"match: [{{sniHosts: [a.b]}}]\n  {ROUTE}", hosts="'*.b'")),
        ("/spec/tls/0/match/0/sniHosts/0", tls(f"match: [{{sniHosts: ['*.b']}}]\n  {ROUTE}", hosts="a.b"), tls(f"match: [{{sniHosts: [a.b]}}]\n  {ROUTE}", hosts="'${HOST}'")),
        severity="error",
    ),
    *rows(
        100, "vs-match-client",
        ("/spec/tcp/0/match/0/destinationSubnets/0", f"hosts: [a]\ntcp:\n- match: [{{destinationSubnets: [10.0.0.0/33]}}]\n  {ROUTE}", f"hosts: [a]\ntcp:\n- match: [{{destinationSubnets: [10.0.0.0/8, 10.1.1.1]}}]\n  {ROUTE}"),
        ("/spec/tls/0/match/0/destinationSubnets/0", tls(f"match: [{{sniHosts: [cart], destinationSubnets: [a.b]}}]\n  {ROUTE}"), tls(f"match: [{{sniHosts: [cart], destinationSubnets: ['::/0']}}]\n  {ROUTE}")),
    ),
    *rows(101, "vs-match-client", ("/spec/tcp/0/match/0/port", f"hosts: [a]\ntcp:\n- match: [{{port: 70000}}]\n  {ROUTE}", f"hosts: [a]\ntcp:\n- match: [{{port: 0}}]\n  {ROUTE}")),
    *rows(102, "vs-match-client", ("/spec/tls/0/match/0/sourceLabels/a", tls(f"match: [{{sniHosts: [cart], sourceLabels: {{a: -b}}}}]\n  {ROUTE}"), tls(f"match: [{{sniHosts: [cart], sourceLabels: {{a: b}}}}]\n  {ROUTE}"))),
    *rows(
        103, "vs-tls-tcp-rule",
        ("/spec/tls/0/match", tls("match: [{sniHosts: [cart]}]"), tls(f"match: [{{sniHosts: [cart]}}]\n  {ROUTE}")),
        ("/spec/tls/0/route", tls("match: [{sniHosts: [cart]}]\n  route: []"), tls("match: [{sniHosts: [cart]}]\n  route: null")),
    ),
    *rows(105, "vs-tls-tcp-rule", ("/spec/tcp/0/match", "hosts: [a]\ntcp:\n- match: [{port: 80}]", f"hosts: [a]\n{TCP}")),
    *rows(
        106, "vs-weights",
        ("/spec/tcp/0/route", "hosts: [a]\ntcp:\n- route: [{destination: {host: a}}, {destination: {host: b}}]", f"hosts: [a]\n{TCP}"),
        ("/spec/tls/0/route/0/weight", tls("match: [{sniHosts: [cart]}]\n  route: [{destination: {host: a}, weight: -5}]"), f"hosts: [a]\n{TLS}"),
    ),
    *rows(107, "vs-export-to", ("/spec/exportTo/1", exported("a, a"), exported("a, b"))),
    *rows(108, "vs-export-to", ("/spec/exportTo/1", exported("., shop"), exported("., other"))),
    *rows(109, "vs-export-to", ("/spec/exportTo/0", exported("a.b"), exported("'${NS}'"))),
    *rows(110, "vs-export-to", ("/spec/exportTo/0", exported("'*', a"), exported("'*'"))),
    *rows(111, "vs-export-to", ("/spec/exportTo/0", exported("'~'"), exported("'.'"))),
    *rows(
        112, "vs-unreachable-rule",
        ("/spec/http/1/route", f"{GOOD}\n- {ROUTE}", GOOD),
        ("/spec/tcp/1/route", f"hosts: [a]\n{TCP}\n- {ROUTE}", f"hosts: [a]\n{TCP}"),
        severity="warning",
    ),
    *rows(
        113, "vs-unreachable-rule",
        ("/spec/http/1/match", f"{GOOD}\n- match: [{{uri: {{exact: /a}}}}]\n  {ROUTE}", f"{match('uri: {exact: /a}')}\n- {ROUTE}"),
        ("/spec/tcp/1/match", f"hosts: [a]\n{TCP}\n- match: [{{port: 1}}]\n  {ROUTE}", f"hosts: [a]\ntcp:\n- match: [{{port: 1}}]\n  {ROUTE}\n- {ROUTE}"),
        severity="warning",
    ),
    *rows(
        114, "vs-unreachable-rule",
        (
            "/spec/http/1/match", match("method: {exact: GET}") + f"\n- match: [{{name: b, method: {{exact: GET}}}}]\n  {ROUTE}",
            match("method: {exact: GET}") + f"\n- match: [{{method: {{exact: PUT}}}}]\n  {ROUTE}",
        ),
        ("/spec/tls/1/match", f"hosts: [cart]\n{TLS}\n- match: [{{sniHosts: [cart], name: b}}]\n  {ROUTE}", f"hosts: [cart]\n{TLS}\n- match: [{{sniHosts: [cart], port: 1}}]\n  {ROUTE}"),
        severity="warning",
    ),
    *rows(
        115, "vs-unreachable-rule",
        (
            "/spec/http/1/match/0/uri", match("uri: {exact: /a}") + f"\n- match: [{{uri: {{exact: /a}}}}, {{uri: {{exact: /b}}}}]\n  {ROUTE}",
            match("uri: {exact: /a}") + f"\n- match: [{{uri: {{exact: /b}}}}]\n  {ROUTE}",
        ),
        (
            "/spec/tcp/1/match/0/port", f"hosts: [a]\ntcp:\n- match: [{{port: 1}}]\n  {ROUTE}\n- match: [{{port: 1}}, {{port: 2}}]\n  {ROUTE}",
            f"hosts: [a]\ntcp:\n- match: [{{port: 1}}]\n  {ROUTE}\n- match: [{{port: 2}}]\n  {ROUTE}",
        ),
        severity="warning",
    ),
    *rows(
        116, "vs-unreachable-rule",
        (
            "/spec/http/1/match/0/uri",
            match("uri: {prefix: /a}") + f"\n- match: [{{uri: {{prefix: /a/b}}}}, {{uri: {{prefix: /c}}}}]\n  {ROUTE}",
            match("uri: {prefix: /a}, sourceLabels: {a: b}") + f"\n- match: [{{uri: {{prefix: /a/b}}}}, {{uri: {{prefix: /c}}}}]\n  {ROUTE}",
        ),
        severity="warning",
    ),
    *rows(64, "required-field", ("/spec/http/0/mirrors/0/percentage", http("mirrors: [{percentage: {value: 1}}]"), http("mirrors: [{destination: {host: a}}]"))),
    *rows(87, "required-field", ("/spec/http/0/route/0/weight", http(route="route: [{weight: 1}]"), http())),
    *rows(94, "required-field", ("/spec/tls/0/route", tls(ROUTE), tls(f"match: [{{sniHosts: [cart]}}]\n  {ROUTE}"))),
    *rows(96, "required-field", ("/spec/tls/0/match/0/port", tls(f"match: [{{port: 443}}]\n  {ROUTE}"), tls(f"match: [{{sniHosts: [cart]}}]\n  {ROUTE}"))),
]  # fmt: skip

NULL = "a null may be what a template or an overlay fills in, so nothing is said about it"
NOT_DONE = dict.fromkeys((14, 27, 63, 86, 95, 104), NULL)


@pytest.mark.parametrize("row", params("VirtualService", ROWS))
def test_row(row: Row) -> None:
    check_row("VirtualService", row.rule, row.bad, row.good, row.pointer, row.severity)


def test_every_row_is_accounted_for() -> None:
    assert uncovered(116, ROWS, NOT_DONE) == set()


#: the table of spec traffic 5.3: matches of two rules, and whether the second is never reached
ORDER = {
    "general first": ("uri: {prefix: /}", "uri: {prefix: /api}", True),
    "prefix of a prefix": ("uri: {prefix: /api}", "uri: {prefix: /api/v1}", True),
    "special first": ("uri: {prefix: /api/v1}", "uri: {prefix: /api}", False),
    "exact first": ("uri: {exact: /a}", "uri: {prefix: /a}", False),
    "prefixes are text": ("uri: {prefix: /a}", "uri: {exact: /ab}", True),
    "two methods": ("uri: {prefix: /a}, method: {exact: GET}", "uri: {prefix: /a}, method: {exact: POST}", False),
    "any method first": ("uri: {prefix: /a}", "uri: {prefix: /a}, method: {exact: POST}", True),
    "some clients": ("uri: {prefix: /a}, sourceLabels: {a: x}", "uri: {prefix: /a/b}", False),
    "other gateways": ("uri: {prefix: /a}, gateways: [g1]", "uri: {prefix: /a/b}, gateways: [g2]", False),
    "fewer gateways": ("uri: {prefix: /a}, gateways: [g1, g2]", "uri: {prefix: /a/b}, gateways: [g2]", True),
    "every regex": ("uri: {regex: '/.*'}", "headers: {a: {exact: b}}", True),
    "regex with a tail": ("uri: {regex: '/a/.*'}", "uri: {exact: /a/b}", True),
    "regex of words": ("uri: {regex: '/a/[a-z]+'}", "uri: {exact: /a/b}", False),
    "header first": ("headers: {x: {exact: '1'}}, uri: {prefix: /}", "uri: {prefix: /}", False),
    "cases ignored": ("uri: {prefix: /A}, ignoreUriCase: true", "uri: {prefix: /a}", True),
    "cases": ("uri: {prefix: /A}", "uri: {prefix: /a}", False),
    "cases ignored below": ("uri: {prefix: /a}", "uri: {prefix: /a}, ignoreUriCase: true", False),
    "present header": ("headers: {x: {}}", "headers: {X: {exact: '1'}}, uri: {exact: /}", True),
    "other header": ("headers: {x: {}}", "headers: {y: {}}", False),
    "absent header": ("withoutHeaders: {x: {}}", "withoutHeaders: {x: {}}, uri: {exact: /}", True),
    "fewer absent": ("withoutHeaders: {x: {}}", "uri: {exact: /}", False),
    "query": ("queryParams: {a: {exact: b}}", "queryParams: {a: {exact: b}, c: {exact: d}}", True),
    "port": ("port: 80", "port: 80, uri: {exact: /}", True),
    "other port": ("port: 80", "port: 81", False),
    "any port below": ("port: 80", "uri: {exact: /}", False),
    "namespace": ("sourceNamespace: a", "sourceNamespace: a, sourceLabels: {b: c}", True),
    "template": ("uri: {prefix: '${A}'}", "uri: {prefix: /a}", False),
    "unknown field": ("uri: {prefix: /}, new: 1", "uri: {prefix: /a}", False),
    "null": ("uri: null", "uri: {prefix: /a}", False),
}  # fmt: skip


@pytest.mark.parametrize(("first", "second", "dead"), ORDER.values(), ids=ORDER)
def test_order(first: str, second: str, dead: bool) -> None:
    text = match(first) + f"\n- match: [{{{second}}}]\n  {ROUTE}"
    assert [f.location.path for f in findings("VirtualService", "vs-unreachable-rule", text)] == (
        ["/spec/http/1/match"] if dead else []
    )


def test_a_delegating_rule_hides_nothing() -> None:
    text = f"hosts: [a]\nhttp:\n- delegate: {{name: b}}\n- {ROUTE}"
    assert findings("VirtualService", "vs-unreachable-rule", text) == []


def test_a_match_that_repeats_one_of_its_rule_is_an_info() -> None:
    text = http("match: [{uri: {prefix: /a}}, {uri: {exact: /a}}]")
    (found,) = findings("VirtualService", "vs-unreachable-rule", text)
    assert (found.location.path, found.severity) == ("/spec/http/0/match/1/uri", "info")


def test_a_destination_without_weight_beside_weights() -> None:
    text = http(route="route: [{destination: {host: a}, weight: 1}, {destination: {host: b}}]")
    (found,) = findings("VirtualService", "vs-weights", text)
    assert (found.location.path, found.severity) == ("/spec/http/0/route/1/destination", "warning")


def test_long_lists_of_rules_take_no_longer_per_rule() -> None:
    rules = "".join(f"- match: [{{uri: {{prefix: /a{n}/}}}}]\n  {ROUTE}\n" for n in range(3000))
    assert findings("VirtualService", "vs-unreachable-rule", "hosts: [a]\nhttp:\n" + rules) == []
