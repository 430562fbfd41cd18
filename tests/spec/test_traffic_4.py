"""Spec traffic 4: policies of DestinationRules, outlier detection, load balancers, client TLS, workloads.

The blocks of 4.1, the arithmetic and the decision procedure of 4.4 are tested beside `mesh/destination_rules`
and in `checks/test_destination_policy`.
"""

# ruff: noqa: E501 - a row of a table is one line

from __future__ import annotations

import pytest

from meshlint.mesh.scope import Settings
from tests.checks.traffic.support import (
    deployment,
    destination_rule,
    service,
    service_entry,
    to,
    virtual_service,
)
from tests.spec.support import COMPLETE, Row, params, row, said


def dr(policy: str, more: str = "", host: str = "a") -> str:
    return destination_rule(host, more=f"trafficPolicy: {policy}{more}")


def subsets(text: str) -> str:
    return destination_rule("a", more=f"subsets: [{text}]")


def pool(text: str) -> str:
    return dr(f"{{connectionPool: {text}}}")


def outlier(text: str) -> str:
    return dr(f"{{outlierDetection: {text}}}")


def balancer(text: str, more: str = "") -> str:
    return dr(f"{{loadBalancer: {text}{more}}}")


def tls(text: str, host: str = "a") -> str:
    return dr(f"{{tls: {text}}}", host=host)


OUTLIER, POOL = "outlierDetection: {consecutive5xxErrors: 3}", "connectionPool: {tcp: {maxConnections: 9}}"
ISTIO = "tls: {mode: ISTIO_MUTUAL}"


def entry(port: int, block: str) -> str:
    return f"portLevelSettings: [{{port: {{number: {port}}}, {block}}}]"


SERVICE = service(ports="[{name: http, port: 80, targetPort: 8080}, {name: http-b, port: 81}]")
R_4_1 = [
    row("outlier X, pool P; entry 80: pool Q", SERVICE, dr(f"{{{OUTLIER}, {POOL}, {entry(80, POOL)}}}"),
        says="dr-port-level-replaces warning"),
    row("an entry with both blocks", SERVICE, dr(f"{{{OUTLIER}, {POOL}, {entry(80, f'{OUTLIER}, {POOL}')}}}")),
    row("outlier of a subset", SERVICE, dr(f"{{{OUTLIER}}}", f", subsets: [{{name: v1, labels: {{v: a}}, trafficPolicy: {{{OUTLIER}}}}}]"),
        to("host: a, subset: v1")),
    row("tls above, subset with a load balancer", SERVICE,
        dr(f"{{{ISTIO}}}", ", subsets: [{name: v1, labels: {v: a}, trafficPolicy: {loadBalancer: {simple: RANDOM}}}]"), to("host: a, subset: v1")),
    row("tls above, entry with a load balancer", SERVICE, dr(f"{{{ISTIO}, {entry(80, 'loadBalancer: {simple: RANDOM}')}}}"),
        says="mtls-dr-port-level-drops-tls warning"),
    row("subset policy without a route", SERVICE, to("host: a"),
        destination_rule("a", more=f"subsets: [{{name: v1, labels: {{v: a}}, trafficPolicy: {{{OUTLIER}}}}}]"), says="dr-subset-unused info"),
    row("retryBudget above, entry 80", SERVICE, dr(f"{{retryBudget: {{percent: 10}}, {POOL}, {entry(80, POOL)}}}"),
        says="dr-port-level-replaces warning"),
    row("an entry for a port of the pods", SERVICE, dr(f"{{{POOL}, {entry(8080, POOL)}}}"), says="dr-port-not-on-service warning"),
    row("an entry of a subset for a port of the pods", SERVICE, to("host: a, subset: v1"),
        destination_rule("a", more=f"subsets: [{{name: v1, labels: {{v: a}}, trafficPolicy: {{{entry(8080, POOL)}}}}}]"),
        says="dr-port-not-on-service warning"),
    row("an entry for a service that is not given", dr(f"{{{POOL}, {entry(8080, POOL)}}}")),
    row("an entry of a wildcard", SERVICE, dr(f"{{{POOL}, {entry(8080, POOL)}}}", host="*.local")),
]  # fmt: skip

R_4_2 = [
    row("trafficPolicy: {}", dr("{}"), says="dr-empty-policy error"),
    row("connectionPool: {}", pool("{}"), says="dr-empty-policy error"),
    row("negative numbers", pool("{tcp: {maxConnections: -1}}"), says="dr-pool error"),
    row("UPGRADE and useClientProtocol", pool("{http: {h2UpgradePolicy: UPGRADE, useClientProtocol: true}}"), says="dr-pool error"),
    row("http2KeepAlive without interval", pool("{http: {http2KeepAlive: {timeout: 1s}}}"), says="dr-pool error"),
    row("http2KeepAlive without timeout", pool("{http: {http2KeepAlive: {interval: 1s}}}"), says="dr-pool error"),
    row("entry without port", dr("{portLevelSettings: [{tls: {mode: DISABLE}}]}"), says="dr-port-level error"),
    row("entry without a block", dr("{portLevelSettings: [{port: {number: 80}}]}"), says="dr-empty-policy error"),
    row("tunnel and proxyProtocol", dr("{tunnel: {targetHost: a, targetPort: 1}, proxyProtocol: {version: V1}}"), says="dr-tunnel error"),
    row("tunnel.protocol", dr("{tunnel: {protocol: GET, targetHost: a.b, targetPort: 1}}"), says="dr-tunnel error"),
    row("tunnel.targetHost", dr("{tunnel: {targetHost: 'a:1', targetPort: 1}}"), says="dr-tunnel error"),
    row("tunnel.targetPort", dr("{tunnel: {targetHost: a, targetPort: 70000}}"), says="dr-tunnel error"),
    row("duplicate subset", subsets("{name: v1, labels: {a: b}}, {name: v1, labels: {a: c}}"), says="dr-subsets error"),
    row("subset name no label", subsets("{name: v.1, labels: {a: b}}"), says="dr-subsets error"),
    row("subset label key", subsets("{name: v1, labels: {-a: b}}"), says="dr-subsets error"),
    row("subset with empty labels", subsets("{name: v1, labels: {}}"), says="dr-subset-without-labels info"),
    row("zero", pool("{http: {http1MaxPendingRequests: 0}}"), says="pool-zero warning"),
    row("unknown field of a pool", pool("{tcp: {maxConnection: 3}}"), says="unknown-field error"),
    row("unknown field of outlier detection", outlier("{consecutive5xxError: 3}"), says="unknown-field error"),
    row("workloadSelector exported", destination_rule("a", more="exportTo: [b], workloadSelector: {matchLabels: {a: b}}"), says="dr-export-to error"),
]  # fmt: skip

SMALL = [service(), deployment("a").replace("spec:\n  template", "spec:\n  replicas: 3\n  template")]
R_4_4 = [
    row("consecutive5xxErrors 0", outlier("{consecutive5xxErrors: 0}"), says="outlier-disabled warning"),
    row("both thresholds 0", outlier("{consecutive5xxErrors: 0, consecutiveGatewayErrors: 0}"), says="outlier-disabled warning"),
    row("consecutive5xxErrors 0, gateway errors 3", outlier("{consecutive5xxErrors: 0, consecutiveGatewayErrors: 3}")),
    row("consecutiveErrors", outlier("{consecutiveErrors: 5}"), says="outlier-deprecated warning"),
    row("consecutiveLocalOriginFailures without split", outlier("{consecutiveLocalOriginFailures: 3}"), says="outlier-local-origin error"),
    row("consecutiveLocalOriginFailures with split", outlier("{consecutiveLocalOriginFailures: 3, splitExternalLocalOriginErrors: true}")),
    row("interval below 1ms", outlier("{interval: 1us}"), says="timeout-invalid error"),
    row("maxEjectionPercent unset", *SMALL, outlier("{}"), says="outlier-cannot-eject warning"),
    row("maxEjectionPercent 0 is unset", *SMALL, outlier("{maxEjectionPercent: 0}"), says="outlier-cannot-eject warning"),
    row("maxEjectionPercent 101", outlier("{maxEjectionPercent: 101}"), says="dr-outlier-percent error"),
    row("minHealthPercent -1", outlier("{minHealthPercent: -1}"), says="dr-outlier-percent error"),
    row("minHealthPercent 60, max 50", outlier("{minHealthPercent: 60, maxEjectionPercent: 50}"), says="outlier-panic-conflict warning"),
    row("outlierDetectionHttpErrorCodes", outlier("{outlierDetectionHttpErrorCodes: [99]}"), says="invalid-value error"),
    row("gateway threshold 5 of 5", outlier("{consecutiveGatewayErrors: 5}"), says="outlier-gateway-threshold warning"),
    row("all of them", service(), outlier("{maxEjectionPercent: 100}"), says="outlier-eject-all warning"),
    row("interval > baseEjectionTime", outlier("{maxEjectionPercent: 50, interval: 1m}"), says="outlier-intervals info"),
    row("interval < 1s", outlier("{maxEjectionPercent: 50, interval: 500ms}"), says="outlier-intervals info"),
    row("baseEjectionTime > 5m", outlier("{maxEjectionPercent: 50, baseEjectionTime: 6m}"), says="outlier-intervals info"),
    row("times within bounds", outlier("{maxEjectionPercent: 50, interval: 1s, baseEjectionTime: 5m}")),
]  # fmt: skip

HASH = "consistentHash: {useSourceIp: true%s}"
FAIL = "localityLbSetting: {failover: [{from: a, to: b}]}"
REGION = "topology.kubernetes.io/region"
R_4_5 = [
    row("simple", balancer("{simple: LEAST_REQUEST}")),
    row("LEAST_CONN", balancer("{simple: LEAST_CONN}"), says="deprecated-field warning"),
    row("PASSTHROUGH", balancer("{simple: PASSTHROUGH}")),
    row("RANDOM with warmup", balancer("{simple: RANDOM, warmup: {duration: 1s}}"), says="lb-warmup-inert warning"),
    row("consistentHash by two", balancer("{consistentHash: {httpHeaderName: x, useSourceIp: true}}"), says="exclusive-fields error"),
    row("maglev and ringHash", balancer(f"{{{HASH % ', ringHash: {}, maglev: {tableSize: 7}'}}}"), says="exclusive-fields error"),
    row("maglev.tableSize missing", balancer(f"{{{HASH % ', maglev: {}'}}}"), says="lb-maglev error"),
    row("maglev.tableSize no prime", balancer(f"{{{HASH % ', maglev: {tableSize: 9}'}}}"), says="lb-maglev error"),
    row("maglev.tableSize too large", balancer(f"{{{HASH % ', maglev: {tableSize: 5000011}'}}}"), says="lb-maglev error"),
    row("minimumRingSize", balancer(f"{{{HASH % ', minimumRingSize: 8'}}}"), says="dr-ring-size warning"),
    row("minimumRingSize with ringHash", balancer(f"{{{HASH % ', minimumRingSize: 8, ringHash: {}'}}}"), says="dr-ring-size error"),
    row("httpCookie without name", balancer("{consistentHash: {httpCookie: {ttl: 0s}}}"), says="required-field error"),
    row("httpCookie without ttl", balancer("{consistentHash: {httpCookie: {name: a}}}"), says="lb-cookie-no-ttl warning"),
    row("httpCookie attributes twice", balancer("{consistentHash: {httpCookie: {name: a, ttl: 0s, attributes: [{name: b}, {name: b}]}}}"), says="dr-cookie error"),
    row("warmup without duration", balancer("{warmup: {aggression: 1}}"), says="required-field error"),
    row("warmup.minimumPercent 101", balancer("{warmup: {duration: 1s, minimumPercent: 101}}"), says="invalid-value error"),
    row("warmup.aggression 0", balancer("{warmup: {duration: 1s, aggression: 0}}"), says="dr-warmup error"),
    row("warmup of a hash", balancer(f"{{{HASH % ''}, warmup: {{duration: 1s}}}}"), says="lb-warmup-inert warning"),
    row("both warm-ups", balancer("{warmup: {duration: 1s}, warmupDurationSecs: 1s}"), says="lb-warmup-inert warning"),
    row("warmupDurationSecs", balancer("{warmupDurationSecs: 1s}"), says="deprecated-field warning"),
    row("simple and consistentHash", balancer(f"{{simple: RANDOM, {HASH % ''}}}"), says="exclusive-fields error"),
    row("localityLbSetting and zoneAwareLbSetting", balancer("{localityLbSetting: {}, zoneAwareLbSetting: {}}"), says="dr-locality-failover error"),
    row("distribute and failover", balancer("{localityLbSetting: {distribute: [{from: a, to: {b: 100}}], failover: [{from: a, to: b}]}}", ", outlierDetection: {maxEjectionPercent: 50}"),
        says="locality-distribute error"),
    row("distribute sum", balancer("{localityLbSetting: {distribute: [{from: a, to: {b: 50}}]}}"), says="locality-distribute error"),
    row("distribute weight 0", balancer("{localityLbSetting: {distribute: [{from: a, to: {b: 0, c: 100}}]}}"), says="locality-distribute error"),
    row("distribute overlap", balancer("{localityLbSetting: {distribute: [{from: a, to: {b: 100}}, {from: a, to: {c: 100}}]}}"), says="locality-distribute error"),
    row("failover to itself", balancer("{localityLbSetting: {failover: [{from: a, to: a}]}}", ", outlierDetection: {maxEjectionPercent: 50}"),
        says="locality-distribute error"),
    row("failover with a slash", balancer("{localityLbSetting: {failover: [{from: a/b, to: c}]}}", ", outlierDetection: {maxEjectionPercent: 50}"),
        says="dr-locality-failover error"),
    row("failover without outlierDetection", balancer(f"{{{FAIL}}}"), says="locality-failover-inert warning"),
    row("failover with failoverPriority of regions",
        balancer(f"{{localityLbSetting: {{failover: [{{from: a, to: b}}], failoverPriority: [{REGION}]}}}}", ", outlierDetection: {maxEjectionPercent: 50}"),
        says="dr-locality-failover error"),
    row("zoneAwareLbSetting with topology labels", balancer(f"{{zoneAwareLbSetting: {{failoverPriority: [{REGION}]}}}}", ", outlierDetection: {maxEjectionPercent: 50}"),
        says="dr-locality-failover error"),
    row("headless", service(more=", clusterIP: None"), balancer("{simple: ROUND_ROBIN}"), says="lb-headless warning"),
    *(row(f"consistentHash + {way.partition(':')[0]}", dr(f"{{outlierDetection: {{}}, loadBalancer: {{{HASH % ''}, localityLbSetting: {{{way}}}}}}}"), says="lb-hash-locality info")
      for way in ("failover: [{from: a, to: b}]", "distribute: [{from: a, to: {b: 100}}]", f"failoverPriority: [{REGION}]")),
]  # fmt: skip
NOT_DONE_4_5 = {
    "consistentHash and default retries": "says what the proxy does with retries that nobody wrote, and gives no class; "
    "whether the same pod may be tried twice is not known to be wrong",
}

X = "x.example.com"
R_4_6 = [
    row("absent", destination_rule("a")),
    row("without mode", tls("{sni: x}"), says="mtls-dr-no-mode error"),
    row("SIMPLE", tls("{mode: SIMPLE}", X)),
    row("SIMPLE before 1.21", tls("{mode: SIMPLE}", X), says="mtls-external-san warning", settings=Settings(istio_version="1.20")),
    row("MUTUAL without files", tls("{mode: MUTUAL}"), says="dr-tls-fields error"),
    row("ISTIO_MUTUAL with others", tls("{mode: ISTIO_MUTUAL, credentialName: c}"), says="dr-tls-fields warning"),
    row("credentialName with files", tls("{mode: SIMPLE, credentialName: c, caCertificates: /x}", X),
        says="dr-tls-fields error, mtls-credential-on-sidecar error, mtls-external-san info"),
    row("insecureSkipVerify with a CA", tls("{mode: SIMPLE, insecureSkipVerify: true, caCertificates: /x}", X),
        says="dr-tls-fields error, mtls-insecure-skip-verify error"),
    row("insecureSkipVerify alone", tls("{mode: SIMPLE, insecureSkipVerify: true}", X), says="mtls-insecure-skip-verify error"),
    row("credentialName of a sidecar", tls("{mode: SIMPLE, credentialName: c}", X), says="mtls-credential-on-sidecar error"),
    row("configmap of another namespace", tls("{mode: SIMPLE, credentialName: 'configmap://web/x'}", X), says="dr-tls-fields error"),
    row("configmap", tls("{mode: SIMPLE, credentialName: 'configmap://shop/x'}", X)),
]  # fmt: skip

H80, H443, S443 = (
    "{number: 80, name: h, protocol: HTTP}",
    "{number: 443, name: h, protocol: HTTP}",
    "{number: 443, name: s, protocol: HTTPS}",
)


def se(ports: str, more: str = ", resolution: DNS", host: str = X) -> str:
    return service_entry(host, more=more).replace("[{number: 80, name: http, protocol: HTTP}]", f"[{ports}]")


SIMPLE = tls("{mode: SIMPLE}", X)
AT_443 = "portLevelSettings: [{port: {number: 443}, tls: {mode: SIMPLE}}]"
ORIGINATION = destination_rule(X, more=f"subsets: [{{name: tls, trafficPolicy: {{{AT_443}}}}}]")
TO_443 = virtual_service(
    f"http: [{{match: [{{port: 80}}], route: [{{destination: {{host: {X}, subset: tls, port: {{number: 443}}}}}}]}}]",
    hosts=f"[{X}]",
)
R_4_6_ENTRIES = [
    row("HTTPS 443, TLS, none", se(S443), settings=COMPLETE),
    row("HTTPS 443, TLS, SIMPLE", se(S443), SIMPLE, says="se-double-tls error", settings=COMPLETE),
    row("TLS 443, TLS, SIMPLE", se(S443.replace("HTTPS", "TLS")), SIMPLE, says="se-double-tls error", settings=COMPLETE),
    row("HTTP 80 targetPort 443, SIMPLE", se("{number: 80, name: h, protocol: HTTP, targetPort: 443}"), SIMPLE, settings=COMPLETE),
    row("HTTP 443, none", se(H443), says="se-plaintext-443 error", settings=COMPLETE),
    row("HTTP 443, SIMPLE", se(H443), SIMPLE, settings=COMPLETE),
    row("HTTP 80, portLevel for 443 only", se(H80), dr(f"{{{AT_443}}}", host=X), says="dr-port-not-on-service warning", settings=COMPLETE),
    row("HTTP 80 + HTTPS 443, VS to 443 with a subset", se(f"{H80}, {S443}"), ORIGINATION, TO_443, settings=COMPLETE),
]  # fmt: skip
NONE = service_entry("*.x.example.com", more=", resolution: NONE")
R_4_6_WILD = [
    row("resolution NONE, wildcard host, SIMPLE", NONE, tls("{mode: SIMPLE}", "*.x.example.com"), says="mtls-external-san info"),
    row("the same, application sends TLS", NONE.replace("protocol: HTTP", "protocol: TLS"), tls("{mode: SIMPLE}", "*.x.example.com"),
        says="mtls-external-san info, se-double-tls error"),
    row("the same with names", NONE, tls("{mode: SIMPLE, subjectAltNames: [y.x.example.com]}", "*.x.example.com")),
    row("resolution DNS", service_entry("y.x.example.com", more=", resolution: DNS"), tls("{mode: SIMPLE}", "y.x.example.com")),
]  # fmt: skip

INJECTED = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {istio-injection: enabled}}\n"


def pods(replicas: int) -> str:
    return deployment("a").replace("spec:\n  template", f"spec:\n  replicas: {replicas}\n  template")


def budget(text: str) -> str:
    return f"apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {{name: a, namespace: shop}}\nspec: {{selector: {{matchLabels: {{app: a}}}}, {text}}}\n"


def graceful(seconds: int, drain: str = "") -> str:
    text = deployment("a").replace(
        "spec: {containers", f"spec: {{terminationGracePeriodSeconds: {seconds}, containers"
    )
    return (
        text.replace(
            "labels: {app: a}}", f"labels: {{app: a}}, annotations: {{proxy.istio.io/config: '{drain}'}}}}"
        )
        if drain
        else text
    )


def scaled(replicas: int) -> str:
    return pods(replicas).replace("labels: {app: a}", "labels: {app: a, version: v1}")


V1_SUBSET = destination_rule("a", more="subsets: [{name: v1, labels: {version: v1}}]")
SENT = to("host: a, subset: v1")
SCALER = """
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: a, namespace: shop}
spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: a}, minReplicas: 1, maxReplicas: 3}
"""
EJECT = outlier("{maxEjectionPercent: 100}")
R_4_7 = [
    row("1 replica behind outlierDetection", INJECTED, service(), pods(1), EJECT, settings=COMPLETE,
        says="outlier-eject-all warning, deployment-replicas-1 info"),
    row("2 replicas without a budget", INJECTED, service(), pods(2), says="replicas-pdb warning", settings=COMPLETE),
    row("minAvailable >= replicas", INJECTED, service(), pods(2), budget("minAvailable: 2"), says="replicas-pdb warning", settings=COMPLETE),
    row("maxUnavailable: 0", INJECTED, service(), pods(2), budget("maxUnavailable: 0"), says="replicas-pdb warning", settings=COMPLETE),
    row("maxUnavailable: 1", INJECTED, service(), pods(2), budget("maxUnavailable: 1"), settings=COMPLETE),
    row("no readiness probe", INJECTED, service(), pods(1), says="readiness-probe-missing info"),
    row("a readiness probe", INJECTED, service(), pods(1).replace("image: main}", "image: main, readinessProbe: {}}")),
    row("terminationGracePeriodSeconds < terminationDrainDuration", INJECTED, graceful(2), says="drain-beyond-grace info"),
    row("terminationGracePeriodSeconds 30", INJECTED, graceful(30)),
    row("a drain that is annotated", INJECTED, graceful(30, "terminationDrainDuration: 45s"), says="drain-beyond-grace info"),
    row("a proxy that ends with its connections", INJECTED, graceful(30, "{terminationDrainDuration: 45s, proxyMetadata: {EXIT_ON_ZERO_ACTIVE_CONNECTIONS: \"true\"}}")),
    row("subset of 0 replicas", service(), V1_SUBSET, SENT, scaled(0), says="vs-subset-no-replicas warning"),
    row("subset of 0 replicas, weight 0", service(), V1_SUBSET, to("host: a", "host: a, subset: v1").replace("subset: v1}, weight: 50", "subset: v1}, weight: 0"), scaled(0)),
    row("subset of 0 replicas, an autoscaler", service(), V1_SUBSET, SENT, scaled(0), SCALER),
    row("subset of 1 replica", service(), V1_SUBSET, SENT, scaled(1)),
]  # fmt: skip


@pytest.mark.parametrize(("one", "asked"), params(R_4_1))
def test_4_1_blocks(one: Row, asked: tuple[str, ...]) -> None:
    assert said(one, asked) == list(one.expected)


@pytest.mark.parametrize(("one", "asked"), params(R_4_2))
def test_4_2_structure(one: Row, asked: tuple[str, ...]) -> None:
    assert said(one, asked) == list(one.expected)


@pytest.mark.parametrize(("one", "asked"), params(R_4_4))
def test_4_4_outlier_detection(one: Row, asked: tuple[str, ...]) -> None:
    assert said(one, asked) == list(one.expected)


@pytest.mark.parametrize(("one", "asked"), params(R_4_5))
def test_4_5_load_balancers(one: Row, asked: tuple[str, ...]) -> None:
    assert said(one, asked) == list(one.expected)


@pytest.mark.parametrize(("one", "asked"), params(R_4_6))
def test_4_6_client_tls(one: Row, asked: tuple[str, ...]) -> None:
    assert said(one, asked) == list(one.expected)


@pytest.mark.parametrize(("one", "asked"), params(R_4_6_ENTRIES))
def test_4_6_service_entries(one: Row, asked: tuple[str, ...]) -> None:
    assert said(one, asked) == list(one.expected)


@pytest.mark.parametrize(("one", "asked"), params(R_4_6_WILD))
def test_4_6_wildcards(one: Row, asked: tuple[str, ...]) -> None:
    assert said(one, asked) == list(one.expected)


@pytest.mark.parametrize(("one", "asked"), params(R_4_7))
def test_4_7_workloads(one: Row, asked: tuple[str, ...]) -> None:
    assert said(one, asked) == list(one.expected)
