"""Kyma: the conditions of spec schemas 4.2 and ecosystem f.3, f.4 and f.6, numbered here."""

from __future__ import annotations

from textwrap import indent

import pytest

from meshlint.checks.admission.api_rule_paths import covers
from meshlint.mesh.scope import Settings
from tests.checks.admission.support import Row, check_row, findings, params, uncovered

KIND = "Kyma"
COUNT = 66
RULE = "/spec/rules/0"
CLOSED = Settings(platform="kyma", complete=True)

OPEN = "{path: /*, methods: [GET], noAuth: true}"
HOST = "hosts: [cart.example.com]"
GATEWAY = "gateway: kyma-system/kyma-gateway"
SERVICE = "service: {name: cart, port: 80}"


def whole(kind: str, version: str, spec: str, name: str = "cart", namespace: str = "shop") -> str:
    head = f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: {name}, namespace: {namespace}}}\n"
    return f"{head}spec:\n{indent(spec, '  ')}\n"


def api_rule(
    *rules: str,
    host: str = HOST,
    gateway: str = GATEWAY,
    service: str = SERVICE,
    version: str = "v2",
    name: str = "cart",
) -> str:
    spec = "\n".join((host, gateway, service, f"rules: [{', '.join(rules or (OPEN,))}]"))
    return whole("APIRule", f"gateway.kyma-project.io/{version}", spec, name)


def access(text: str) -> str:
    return api_rule(f"{{path: /a, methods: [GET]{text}}}")


def paths(*rules: tuple[str, str]) -> str:
    return api_rule(*(f"{{path: '{path}', methods: [{methods}], noAuth: true}}" for path, methods in rules))


def entry(
    more: str = "", issuer: str = "https://a.example.com", keys: str = "https://a.example.com/k"
) -> str:
    return f"{{issuer: '{issuer}', jwksUri: '{keys}'{more}}}"


def jwt(entries: str, more: str = "") -> str:
    return access(f", jwt: {{authentications: [{entries}]{more}}}")


def restricted(entries: str) -> str:
    return access(f", extAuth: {{authorizers: [a], restrictions: {{authentications: [{entries}]}}}}")


def two_rules(first: str, second: str) -> str:
    return api_rule(
        *(
            f"{{path: /{number}, methods: [GET], jwt: {{authentications: [{text}]}}}}"
            for number, text in enumerate((first, second))
        )
    )


def external(name: str) -> str:
    return f"{istio('authorizers: [{name: proxy, service: a.b.svc, port: 80}]')}---\n" + api_rule(
        f"{{path: /a, methods: [GET], extAuth: {{authorizers: [{name}]}}}}"
    )


def own_gateway(*hosts: str, name: str = "public") -> str:
    servers = ", ".join(
        f"{{hosts: [{host}], port: {{number: {80 + number}, name: p{number}, protocol: HTTP}}}}"
        for number, host in enumerate(hosts)
    )
    return (
        whole("Gateway", "networking.istio.io/v1", f"selector: {{a: b}}\nservers: [{servers}]", name)
        + "---\n"
    )


def short(*hosts: str) -> str:
    return own_gateway(*hosts) + api_rule(host="hosts: [cart]", gateway="gateway: shop/public")


def virtual_service(hosts: str) -> str:
    spec = f"hosts: [{hosts}]\ngateways: [a/b]\nhttp: [{{route: [{{destination: {{host: cart}}}}]}}]"
    return whole("VirtualService", "networking.istio.io/v1", spec) + "---\n"


def limit(buckets: str = "[]", default: str = "", name: str = "cart", labels: str = "{app: cart}") -> str:
    local = f"local: {{defaultBucket: {bucket(default)}, buckets: {buckets}}}"
    return whole("RateLimit", "gateway.kyma-project.io/v1alpha1", f"selectorLabels: {labels}\n{local}", name)


def bucket(more: str = "") -> str:
    values = {"maxTokens": "10", "tokensPerFill": "5", "fillInterval": "30s"}
    values |= dict([more.split(": ")]) if more else {}
    return f"{{{', '.join(f'{name}: {value}' for name, value in values.items())}}}"


def istio(config: str = "", more: str = "", name: str = "default", namespace: str = "kyma-system") -> str:
    spec = f"config: {{{config}}}\n{more}"
    return whole("Istio", "operator.kyma-project.io/v1alpha2", spec, name, namespace)


def rolled(component: str, value: str) -> str:
    return istio(more=f"components: {{{component}: {{k8s: {{strategy: {{rollingUpdate: {{{value}}}}}}}}}}}")


def target(injection: str, selector: str = "{app: cart}", **rule: str) -> str:
    return f"""apiVersion: v1
kind: Namespace
metadata: {{name: shop, labels: {{istio-injection: {injection}}}}}
---
apiVersion: v1
kind: Service
metadata: {{name: cart, namespace: shop}}
spec: {{ports: [{{name: http, port: 80}}], selector: {selector}}}
---
{DEPLOYMENT}---
{api_rule(**rule)}"""


DEPLOYMENT = """apiVersion: apps/v1
kind: Deployment
metadata: {name: cart, namespace: shop}
spec:
  selector: {matchLabels: {app: cart}}
  template:
    metadata: {labels: {app: cart, tier: web}}
    spec: {containers: [{name: cart, image: 'cart:1'}]}
"""
LEGACY = api_rule(host="host: a.example.com", version="v1beta1")
EXTERNAL = "externalGateway: shop/outside"
NO_SPEC = api_rule(version="v2alpha1").partition("spec:")[0]
BUCKETS = "/spec/local/buckets/0"
ROLLING = "k8s/strategy/rollingUpdate"

ROWS = [
    Row(1, "apirule-version", "/apiVersion", LEGACY, api_rule(version="v2alpha1")),
    Row(
        2,
        "apirule-gateway",
        "/spec/gateway",
        api_rule(gateway="gateway: kyma-gateway.kyma-system.svc.cluster.local"),
        api_rule(),
    ),
    Row(
        3,
        "apirule-gateway",
        "/spec/externalGateway",
        api_rule(gateway="externalGateway: Shop/outside"),
        api_rule(gateway=EXTERNAL),
    ),
    Row(
        4,
        "apirule-gateway",
        "/spec/externalGateway",
        api_rule(gateway=f"{GATEWAY}\n{EXTERNAL}"),
        api_rule(gateway=EXTERNAL),
    ),
    Row(5, "apirule-gateway", "/spec", api_rule(gateway=""), api_rule(version="v2alpha1")),
    Row(
        6,
        "apirule-host",
        "/spec/hosts/0",
        api_rule(host="hosts: [Cart.example.com]"),
        api_rule(host="hosts: ['*.example.com']"),
    ),
    Row(
        7,
        "apirule-host",
        "/spec/hosts/0",
        api_rule(host="hosts: [a..b]"),
        api_rule(host=f"hosts: [{'a' * 63}]"),
    ),
    Row(
        8,
        "apirule-host",
        "/spec/hosts/0",
        api_rule(host="hosts: [cart]", gateway=EXTERNAL),
        api_rule(host="hosts: [cart]"),
    ),
    Row(9, "apirule-short-host", "/spec/hosts/0", short("'*.a.b'", "'*.a.c'"), short("'*.a.b'", "'*.a.b'")),
    Row(
        10,
        "apirule-short-host",
        "/spec/hosts/0",
        short("a.b"),
        own_gateway("a.b") + api_rule(gateway="gateway: shop/public"),
    ),
    Row(11, "invalid-value", "/spec/hosts", api_rule(host="hosts: [a.b, a.c]"), api_rule()),
    Row(12, "invalid-value", "/spec/rules", api_rule().replace(f"[{OPEN}]", "[]"), api_rule()),
    Row(
        13,
        "apirule-service",
        f"{RULE}/path",
        api_rule(service=""),
        api_rule(OPEN.replace("}", f", {SERVICE}}}"), service=""),
    ),
    Row(14, "apirule-empty", "/metadata/name", NO_SPEC, api_rule(version="v2alpha1")),
    Row(15, "apirule-empty", "/metadata/name", NO_SPEC.replace("v2alpha1", "v2"), api_rule()),
    Row(16, "apirule-access", f"{RULE}/path", access(""), access(", noAuth: true")),
    Row(17, "apirule-access", f"{RULE}/noAuth", access(", noAuth: false"), jwt(entry())),
    Row(
        18,
        "apirule-access",
        f"{RULE}/jwt",
        access(", noAuth: true, jwt: {}"),
        access(", noAuth: false, jwt: {}"),
    ),
    Row(
        19,
        "apirule-access",
        f"{RULE}/extAuth",
        access(", jwt: {}, extAuth: {authorizers: [a]}"),
        access(", extAuth: {authorizers: [a]}"),
    ),
    Row(20, "apirule-path", f"{RULE}/path", paths(("/{**}/{**}", "GET")), paths(("/{*}/{*}/{**}", "GET"))),
    Row(21, "apirule-path", f"{RULE}/path", paths(("/{**}/{*}", "GET")), paths(("/{**}/a", "GET"))),
    Row(
        22,
        "apirule-path-conflict",
        "/spec/rules/1/path",
        paths(("/a", "GET, PUT"), ("/a", "PUT")),
        paths(("/a", "GET"), ("/a", "PUT")),
    ),
    Row(
        23,
        "apirule-path-conflict",
        "/spec/rules/1/path",
        paths(("/{*}/b", "GET"), ("/a/b", "GET")),
        paths(("/a/b", "GET"), ("/{*}/b", "GET"), ("/{**}", "GET")),
    ),
    Row(24, "apirule-jwt", f"{RULE}/jwt/authentications", jwt(""), jwt(entry())),
    Row(
        25,
        "apirule-jwt",
        f"{RULE}/jwt/authentications/0/issuer",
        jwt(entry(issuer="")),
        jwt(entry(issuer="auth.example.com")),
    ),
    Row(
        26,
        "apirule-jwt",
        f"{RULE}/jwt/authentications/0/issuer",
        jwt(entry(issuer="https://a b")),
        jwt(entry(issuer="https://a.example.com/b")),
    ),
    Row(
        27,
        "apirule-jwt",
        f"{RULE}/jwt/authentications/0/jwksUri",
        jwt(entry(keys="/keys")),
        jwt(entry(keys="http://dex.auth:5556/keys")),
    ),
    Row(
        28,
        "apirule-jwt",
        f"{RULE}/jwt/authentications/0/fromHeaders",
        jwt(entry(", fromHeaders: [{name: a}, {name: b}]")),
        jwt(entry(", fromHeaders: [{name: a}]")),
    ),
    Row(
        29,
        "apirule-jwt",
        f"{RULE}/jwt/authentications/0/fromParams",
        jwt(entry(", fromParams: [a, b]")),
        jwt(entry(", fromParams: [a]")),
    ),
    Row(
        30,
        "apirule-jwt",
        f"{RULE}/jwt/authentications/0/fromParams",
        jwt(entry(", fromHeaders: [{name: a}], fromParams: [a]")),
        jwt(entry(", fromHeaders: [], fromParams: [a]")),
    ),
    Row(
        31,
        "apirule-jwt",
        f"{RULE}/extAuth/restrictions/authentications/0/jwksUri",
        restricted(entry(keys="keys")),
        restricted(entry()),
    ),
    Row(
        32,
        "apirule-authorization",
        f"{RULE}/jwt/authorizations",
        jwt(entry(), ", authorizations: []"),
        jwt(entry(), ", authorizations: [{audiences: [a]}]"),
    ),
    Row(
        33,
        "apirule-authorization",
        f"{RULE}/jwt/authorizations/0/requiredScopes",
        jwt(entry(), ", authorizations: [{requiredScopes: []}]"),
        jwt(entry(), ", authorizations: [{requiredScopes: [a]}]"),
    ),
    Row(
        34,
        "apirule-authorization",
        f"{RULE}/jwt/authorizations/0/audiences",
        jwt(entry(), ", authorizations: [{requiredScopes: [a], audiences: []}]"),
        jwt(entry(), ", authorizations: [{requiredScopes: [a]}]"),
    ),
    Row(
        35,
        "apirule-jwt-consistency",
        "/spec/rules/1/jwt/authentications/0/issuer",
        two_rules(entry(), entry(", fromParams: [a]")),
        two_rules(entry(", fromParams: [a]"), entry(", fromParams: [a]")),
    ),
    Row(
        36,
        "apirule-authorizer",
        f"{RULE}/extAuth/authorizers/0",
        external("other"),
        external("proxy"),
    ),
    Row(
        37,
        "apirule-authorizer",
        f"{RULE}/extAuth/authorizers/0",
        external("kyma-traces"),
        external("proxy"),
    ),
    Row(
        38,
        "apirule-gateway-missing",
        "/spec/gateway",
        own_gateway("a.b", name="other") + api_rule(gateway="gateway: shop/public"),
        own_gateway("a.b") + api_rule(gateway="gateway: shop/public"),
    ),
    Row(
        39,
        "apirule-host-occupied",
        "/spec/hosts/0",
        f"{api_rule()}---\n{api_rule(name='other')}",
        f"{api_rule()}---\n{api_rule()}",
    ),
    Row(
        40,
        "apirule-host-occupied",
        "/spec/hosts/0",
        virtual_service("cart.example.com") + api_rule(name="other"),
        virtual_service("'*.example.com'") + api_rule(name="other"),
    ),
    Row(
        41,
        "apirule-target",
        "/spec/service/name",
        target("enabled", "{}"),
        target("enabled", "{}", service="service: {name: cart, port: 80, external: true}"),
    ),
    Row(42, "apirule-target", "/spec/service/name", target("disabled"), target("enabled")),
    Row(
        43,
        "apirule-timeout-range",
        "/spec/timeout",
        api_rule(service=f"{SERVICE}\ntimeout: 3901"),
        api_rule(service=f"{SERVICE}\ntimeout: 3900"),
    ),
    Row(44, "invalid-value", f"{RULE}/path", paths(("/a.*", "GET")), paths(("/*", "GET"))),
    Row(45, "enum-value", f"{RULE}/methods/0", paths(("/a", "get")), paths(("/a", "GET"))),
    Row(
        46,
        "kyma-ratelimit-bucket",
        f"{BUCKETS}/bucket",
        limit(f"[{{bucket: {bucket()}}}]"),
        limit(f"[{{path: /a, bucket: {bucket()}}}, {{headers: {{a: b}}, bucket: {bucket()}}}]"),
    ),
    Row(
        47,
        "kyma-ratelimit-bucket",
        "/spec/local/defaultBucket/fillInterval",
        limit(default="fillInterval: 49ms"),
        limit(default="fillInterval: 0.05s"),
    ),
    Row(
        48,
        "kyma-ratelimit-bucket",
        f"{BUCKETS}/bucket/maxTokens",
        limit(f"[{{path: /a, bucket: {bucket('maxTokens: 0')}}}]"),
        limit(f"[{{path: /a, bucket: {bucket('maxTokens: 1')}}}]"),
    ),
    Row(
        49,
        "kyma-ratelimit-bucket",
        "/spec/local/defaultBucket/tokensPerFill",
        limit(default="tokensPerFill: 0"),
        limit(default="tokensPerFill: 1"),
    ),
    Row(50, "invalid-value", "/spec/selectorLabels", limit(labels="{}"), limit()),
    Row(
        51,
        "kyma-ratelimit-overlap",
        "/spec/selectorLabels",
        f"{DEPLOYMENT}---\n{limit()}---\n{limit(name='web', labels='{tier: web}')}",
        f"{DEPLOYMENT}---\n{limit()}---\n{limit(name='web', labels='{tier: db}')}",
    ),
    Row(52, "kyma-istio-place", "/metadata/namespace", istio(namespace="istio-system"), istio()),
    Row(
        53,
        "kyma-istio-place",
        "/metadata/name",
        f"{istio()}---\n{istio(name='other')}",
        f"{istio()}---\n{istio()}",
        "warning",
    ),
    Row(
        54,
        "kyma-istio-values",
        "/spec/config/authorizers/1/name",
        istio("authorizers: [{name: a, port: 80}, {name: a, port: 81}]"),
        istio("authorizers: [{name: a, port: 80}, {name: b, port: 80}]"),
        "warning",
    ),
    Row(
        55,
        "kyma-istio-values",
        "/spec/config/proxyStatsMatcher/inclusionRegexps/0",
        istio("proxyStatsMatcher: {inclusionRegexps: ['(?=a)']}"),
        istio("proxyStatsMatcher: {inclusionRegexps: ['(a)']}"),
    ),
    Row(
        56,
        "kyma-istio-values",
        f"/spec/components/pilot/{ROLLING}/maxSurge",
        rolled("pilot", "maxSurge: -1"),
        rolled("pilot", "maxSurge: 0"),
    ),
    Row(
        57,
        "kyma-istio-values",
        f"/spec/components/egressGateway/{ROLLING}/maxUnavailable",
        rolled("egressGateway", "maxUnavailable: -2"),
        rolled("ingressGateway", "maxUnavailable: 20%"),
    ),
    Row(
        58,
        "kyma-istio-values",
        "/spec/experimental",
        istio(more="experimental: {enableAmbient: true}"),
        istio(more="compatibilityMode: true"),
    ),
    Row(
        59,
        "invalid-value",
        f"/spec/components/pilot/{ROLLING}/maxSurge",
        rolled("pilot", "maxSurge: '-1'"),
        rolled("pilot", "maxSurge: 25%"),
    ),
]

NOT_DONE = {
    60: "ExternalGateway: nothing is checked beyond the schema",
    61: "APIGateway: only one in a cluster; its fields are not in the sources",
    62: "APIRule v1beta1: what its handlers ask for; that version is not reconciled any more",
    63: "APIRule corsPolicy: expressions of origins; what the controller makes of them is not in the sources",
    64: "RateLimit: intervals as multiples of each other; the rule of the proxy differs by release",
    65: "APIRule: paths that overlap without one covering the other; the sources disagree about the order",
    66: "APIRule: restrictions without authentications; the sources do not say whether that is refused",
}


@pytest.mark.parametrize("row", params(KIND, ROWS))
def test_row(row: Row) -> None:
    check_row(KIND, row.rule, row.bad, row.good, row.pointer, row.severity)


def test_every_row_is_accounted_for() -> None:
    assert uncovered(COUNT, ROWS, NOT_DONE) == set()


@pytest.mark.parametrize(
    ("general", "special", "expected"),
    [
        ("/*", "/a/b", True),
        ("/{**}", "/", True),
        ("/{**}", "/{*}/a", True),
        ("/a/{**}", "/a", False),
        ("/a/{**}", "/a/", True),
        ("/a/{*}", "/a/", False),
        ("/a/{*}", "/a/b/c", False),
        ("/{*}/b", "/a/b", True),
        ("/{*}", "/{**}", False),
        ("/{**}/c", "/a/b/c", True),
        ("/{**}/c", "/c", False),
        ("/{**}", "/{**}", True),
        ("/a", "/a/{**}", False),
    ],
)
def test_what_a_path_covers(general: str, special: str, expected: bool) -> None:
    assert covers(general, special) is expected


def test_the_gateway_of_kyma_is_there() -> None:
    assert findings(KIND, "apirule-gateway-missing", api_rule(), CLOSED) == []
    (found,) = findings(KIND, "apirule-gateway-missing", api_rule(gateway="gateway: a/b"), CLOSED)
    assert found.confidence == "high"


def test_a_gateway_may_be_outside_of_the_input() -> None:
    assert findings(KIND, "apirule-gateway-missing", api_rule(gateway="gateway: a/b")) == []


def test_generated_virtual_services_belong_to_the_api_rule() -> None:
    labelled = virtual_service("cart.example.com").replace(
        "namespace: shop}", "namespace: shop, labels: {apirule.gateway.kyma-project.io/v2alpha1: cart.shop}}"
    )
    owned = virtual_service("cart.example.com").replace(
        "namespace: shop}", "namespace: shop, ownerReferences: [{kind: APIRule, name: cart}]}"
    )
    for text in (labelled, owned):
        assert findings(KIND, "apirule-host-occupied", text + api_rule()) == []


def test_nobody_knows_the_authorizers_of_a_mesh_outside_of_the_input() -> None:
    text = api_rule("{path: /a, methods: [GET], extAuth: {authorizers: [other]}}")
    assert findings(KIND, "apirule-authorizer", text, CLOSED) == []


RULES = sorted({row.rule for row in ROWS if row.rule.startswith(("apirule-", "kyma-"))})


@pytest.mark.parametrize("name", RULES)
def test_templates_and_wrong_types_are_not_judged(name: str) -> None:
    for spec in (
        "hosts: ['${A}', ~]\ngateway: '${B}'\nrules: [{path: '${A}', methods: [~], noAuth: ~}]\nservice: ~",
        "hosts: a\ngateway: [b]\nrules: [a, {path: [a], methods: a, jwt: a, service: a}]\nservice: a",
        "hosts: ~\ngateway: ~\nrules: ~",
        "hosts: [a.b]\ngateway: a/b\nrules: [{path: /a, service: a, jwt: {authentications: '${A}'}}]",
        "hosts: [a.b]\ngateway: a/b\nrules: [{path: /a, service: a, jwt: {authentications: [{issuer: ~}]}}]",
    ):
        assert findings(KIND, name, whole("APIRule", "gateway.kyma-project.io/v2", spec)) == []
