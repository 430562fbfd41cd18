"""Spec traffic 7.4: which objects each change of a release concerns. One row per change, found and not."""

from __future__ import annotations

import pytest

from meshlint.checks.upgrade import CHANGES, behaviour_change
from meshlint.findings import Draft
from meshlint.mesh.scope import Settings
from tests.support import mesh_of


def drafts(*texts: str, start: str, target: str) -> list[Draft]:
    settings = Settings(upgrade_from=start, upgrade_to=target)
    return list(behaviour_change(mesh_of(*texts, settings=settings), {}))


def thing(api_version: str, kind: str, spec: str, metadata: str = "") -> str:
    more = f", {metadata}" if metadata else ""
    head = f"apiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: a, namespace: shop{more}}}\n"
    return f"{head}spec: {spec}\n"


def istio(kind: str, spec: str, metadata: str = "") -> str:
    return thing("networking.istio.io/v1", kind, spec, metadata)


def named(name: str, text: str) -> str:
    return text.replace("name: a,", f"name: {name},", 1)


RETRIES = "{hosts: [a], http: [{retries: {attempts: 2%s}, route: [{destination: {host: a}}]}]}"
PODS = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: a, namespace: shop}
spec:
  template:
    metadata: {labels: {app: a, sidecar.istio.io/inject: "true"}, annotations: {%s}}
    spec:
      %s: [{name: init, image: a}]
      containers: [{name: a, image: a}]
---
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio-injection: enabled}}
"""
ENTRY = "{hosts: [%s], resolution: %s, ports: [{number: 443, name: tls, protocol: TLS}]%s}"
MADE = thing("gateway.networking.k8s.io/v1", "Gateway", "{gatewayClassName: istio, listeners: []}")
SELECTS = "{selector: {gateway.networking.k8s.io/gateway-name: a}, servers: []}"
MIRROR = "{rules: [{filters: [{type: %s}]}]}"

#: (release, a word of the message, concerned, not concerned)
ROWS: dict[str, tuple[str, str, tuple[str, ...], tuple[str, ...]]] = {
    "external-name": (
        "1.21",
        "alias",
        (thing("v1", "Service", "{type: ExternalName, externalName: a.example.com}"),),
        (thing("v1", "Service", "{selector: {app: a}, ports: [{port: 80}]}"),),
    ),
    "verify": (
        "1.21",
        "verified",
        (istio("DestinationRule", "{host: a.example.com, trafficPolicy: {tls: {mode: SIMPLE}}}"),),
        (
            istio(
                "DestinationRule", "{host: a, trafficPolicy: {tls: {mode: SIMPLE, caCertificates: /ca.pem}}}"
            ),
        ),
    ),
    "sni": (
        "1.21",
        "server name",
        (istio("DestinationRule", "{host: a, trafficPolicy: {tls: {mode: MUTUAL, credentialName: a}}}"),),
        (istio("DestinationRule", "{host: a, trafficPolicy: {tls: {mode: SIMPLE, sni: a.example.com}}}"),),
    ),
    "wildcards": (
        "1.21",
        "wildcard",
        (
            istio("VirtualService", '{hosts: ["*.example.com"]}'),
            named("b", istio("VirtualService", '{hosts: ["*.shop.example.com"]}')),
        ),
        (
            istio("VirtualService", '{hosts: ["*.example.com"], gateways: [public]}'),
            named("b", istio("VirtualService", '{hosts: ["*.shop.example.com"]}')),
        ),
    ),
    "zipkin": (
        "1.22",
        "zipkin",
        (
            thing("v1", "Service", "{}").replace(
                "name: a, namespace: shop", "name: zipkin, namespace: istio-system"
            ),
        ),
        (named("zipkin", thing("v1", "Service", "{}")),),
    ),
    "503": (
        "1.24",
        "503",
        (istio("VirtualService", RETRIES % ""),),
        (istio("VirtualService", RETRIES % ", retryOn: 5xx"),),
    ),
    "merge": (
        "1.24",
        "exportTo fits",
        (
            istio("DestinationRule", '{host: a, exportTo: ["."]}'),
            named("b", istio("DestinationRule", "{host: a}")),
        ),
        (
            istio("DestinationRule", "{host: a}"),
            named("b", istio("DestinationRule", "{host: a}")),
        ),
    ),
    "gateway-name": (
        "1.24",
        "selects none",
        (
            thing(
                "security.istio.io/v1",
                "AuthorizationPolicy",
                "{selector: {matchLabels: {istio.io/gateway-name: a}}}",
            ),
        ),
        (istio("Gateway", SELECTS),),
    ),
    "addresses": (
        "1.25",
        "addresses",
        (istio("ServiceEntry", ENTRY % ("a.example.com", "DNS", "")),),
        (
            istio("ServiceEntry", ENTRY % ("a.example.com", "NONE", "")),
            istio("ServiceEntry", ENTRY % ("a.example.com", "DNS", ", addresses: [10.0.0.1]")),
            istio("ServiceEntry", ENTRY % ('"*.example.com"', "NONE", "")),
        ),
    ),
    "addresses-label": (
        "1.25",
        "addresses",
        (istio("ServiceEntry", ENTRY % ("a.example.com", "STATIC", "")),),
        (
            istio(
                "ServiceEntry",
                ENTRY % ("a.example.com", "DNS", ""),
                'labels: {networking.istio.io/enable-autoallocate-ip: "false"}',
            ),
        ),
    ),
    "native": (
        "1.27",
        "native sidecar",
        (PODS % ("", "initContainers"),),
        (
            PODS % ("", "ephemeralContainers"),
            PODS % ('sidecar.istio.io/nativeSidecar: "true"', "initContainers"),
        ),
    ),
    "shadow": (
        "1.28",
        "-shadow",
        (istio("VirtualService", "{hosts: [a], http: [{mirrors: [{destination: {host: b}}]}]}"),),
        (istio("VirtualService", "{hosts: [a], http: [{name: a}]}"),),
    ),
    "shadow-route": (
        "1.28",
        "-shadow",
        (thing("gateway.networking.k8s.io/v1", "HTTPRoute", MIRROR % "RequestMirror"),),
        (thing("gateway.networking.k8s.io/v1", "HTTPRoute", MIRROR % "URLRewrite"),),
    ),
    "spans": (
        "1.28",
        "span",
        (thing("telemetry.istio.io/v1", "Telemetry", "{tracing: [{providers: [{name: otel}]}]}"),),
        (thing("telemetry.istio.io/v1", "Telemetry", "{tracing: [{disableSpanReporting: true}]}"),),
    ),
    "metrics": (
        "1.29",
        "metrics",
        (istio("DestinationRule", "{host: a, trafficPolicy: {connectionPool: {tcp: {maxConnections: 9}}}}"),),
        (istio("DestinationRule", "{host: a, trafficPolicy: {loadBalancer: {simple: RANDOM}}}"),),
    ),
    "namespaces": (
        "1.30",
        "by alphabet",
        (
            istio("Sidecar", '{egress: [{hosts: ["*/*"]}]}'),
            istio("ServiceEntry", ENTRY % ("a.example.com", "DNS", "")),
            istio("ServiceEntry", ENTRY % ("a.example.com", "DNS", "")).replace("shop", "web"),
        ),
        (
            istio("ServiceEntry", ENTRY % ("a.example.com", "DNS", "")),
            istio("ServiceEntry", ENTRY % ("a.example.com", "DNS", "")).replace("shop", "web"),
        ),
    ),
    "strict-merging": (
        "1.31",
        "not applied",
        (MADE.replace("shop", "edge"), istio("Gateway", SELECTS)),
        (MADE, istio("Gateway", SELECTS)),
    ),
    "unhealthy": (
        "1.31",
        "unhealthy",
        (istio("DestinationRule", "{host: a, trafficPolicy: {outlierDetection: {interval: 5s}}}"),),
        (istio("DestinationRule", "{host: a, trafficPolicy: {outlierDetection: {minHealthPercent: 10}}}"),),
    ),
    "exclusion": (
        "1.31",
        "exclusion",
        (istio("Sidecar", '{egress: [{hosts: ["*/*", "~/pay.example.com"]}]}'),),
        (istio("Sidecar", '{egress: [{hosts: ["~/*"]}]}'),),
    ),
}


def before(release: str) -> str:
    major, _, minor = release.partition(".")
    return f"{major}.{int(minor) - 1}"


@pytest.mark.parametrize(("release", "word", "bad", "good"), ROWS.values(), ids=ROWS)
def test_table(release: str, word: str, bad: tuple[str, ...], good: tuple[str, ...]) -> None:
    found = [d for d in drafts(*bad, start=before(release), target=release) if word in d.message]
    assert len(found) == 1
    assert found[0].label == f"changes with {release}"
    assert [d for d in drafts(*good, start=before(release), target=release) if word in d.message] == []
    assert [d for d in drafts(*bad, start=release, target="1.99") if word in d.message] == []


def test_every_change_has_a_row() -> None:
    words = {(row[0], row[1]) for row in ROWS.values()}
    unmet = [c.says for c in CHANGES if not any(r == c.release and w in c.says for r, w in words)]
    assert unmet == []


def test_silent_without_two_releases() -> None:
    text = ROWS["503"][2]
    assert drafts(*text, start="", target="") == []
    assert drafts(*text, start="1.20", target="") == []


def test_patch_releases_do_not_count() -> None:
    text = ROWS["503"][2]
    assert drafts(*text, start="1.24.1", target="1.24.5") == []
    assert len(drafts(*text, start="1.23.9", target="1.24.0")) == 1


OPERATOR = """
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata: {name: mesh, namespace: istio-system}
spec:
  %s
"""


def test_a_variable_of_the_installation_decides() -> None:
    env = OPERATOR % (
        "components: {pilot: {k8s: {env: [{name: EXCLUDE_UNSAFE_503_FROM_DEFAULT_RETRY, value: 'false'}]}}}"
    )
    assert drafts(*ROWS["503"][2], env, start="1.23", target="1.24") == []


def test_a_compatibility_version_makes_it_less_sure() -> None:
    kept = OPERATOR % "compatibilityVersion: '1.23'"
    assert [d.confidence for d in drafts(*ROWS["503"][2], kept, start="1.23", target="1.24")] == ["medium"]
