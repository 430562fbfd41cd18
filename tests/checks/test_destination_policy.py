"""Outlier detection, pools and load balancers: the tables of spec traffic 4.3 to 4.5 and 4.7."""

# ruff: noqa: E501 - a row of a table is one line

from __future__ import annotations

import pytest

from meshlint.mesh.replicas import most_ejectable
from tests.checks.findings import findings, names
from tests.support import mesh_of

OUTLIER = (
    "outlier-cannot-eject", "outlier-eject-all", "outlier-disabled", "outlier-gateway-threshold",
    "outlier-panic-conflict", "outlier-local-origin", "outlier-deprecated", "dr-outlier-percent",
    "dr-port-level-replaces",
)  # fmt: skip

SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {selector: {app: cart}, ports: [{name: http, port: 80}]}
"""
EXTERNAL = """
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {type: ExternalName, externalName: cart.example.com, ports: [{name: http, port: 80}]}
"""
SCALER = """
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: cart, namespace: shop}
spec: {scaleTargetRef: {kind: Deployment, name: cart}, minReplicas: %s, maxReplicas: %s}
"""


def deployment(replicas: str = "", name: str = "cart", labels: str = "app: cart") -> str:
    return f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: shop}}
spec:
  {f"replicas: {replicas}" if replicas else "paused: false"}
  selector: {{matchLabels: {{{labels}}}}}
  template:
    metadata: {{labels: {{{labels}}}}}
    spec: {{containers: [{{name: cart, image: cart}}]}}
"""


def rule(policy: str, more: str = "") -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: cart, namespace: shop}}
spec:
  host: cart
  trafficPolicy: {{{policy}}}
  {more}
"""


SENDING = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: cart, namespace: shop}
spec: {hosts: [cart], http: [{route: [{destination: {host: cart, subset: SUBSET}}]}]}
"""


def outlier(text: str) -> str:
    return rule(f"outlierDetection: {{{text}}}")


@pytest.mark.parametrize(
    ("endpoints", "row"),
    [
        (1, (0, 0, 0, 1)),
        (2, (0, 0, 1, 2)),
        (3, (0, 0, 1, 3)),
        (4, (0, 1, 2, 4)),
        (5, (0, 1, 2, 5)),
        (10, (1, 2, 5, 10)),
        (20, (2, 5, 10, 20)),
    ],
)
def test_most_ejectable(endpoints: int, row: tuple[int, ...]) -> None:
    assert tuple(most_ejectable(endpoints, percent) for percent in (10, 25, 50, 100)) == row


def test_where_rounding_decides_it_is_unknown() -> None:
    assert most_ejectable(3, 33) is None
    assert most_ejectable(3, 67) is None
    assert most_ejectable(2, 49) == 0


POLICIES = [
    pytest.param((SERVICE, deployment("3"), outlier("")), ["outlier-cannot-eject"], id="3 replicas, default share"),
    pytest.param((SERVICE, deployment("3"), outlier("maxEjectionPercent: 50")), [], id="3 replicas, 50"),
    pytest.param((SERVICE, deployment("1"), outlier("maxEjectionPercent: 100")), ["outlier-eject-all"], id="1 replica, 100"),
    pytest.param((SERVICE, deployment(), SCALER % (2, 4), outlier("maxEjectionPercent: 50")), [], id="autoscaler from 2, 50"),
    pytest.param((SERVICE, deployment("'${N}'"), outlier("")), [], id="replicas templated"),
    pytest.param((outlier(""),), [], id="replicas unknown"),
    pytest.param((outlier("consecutive5xxErrors: 0"),), ["outlier-disabled"], id="consecutive5xxErrors 0"),
    pytest.param((outlier("consecutiveGatewayErrors: 5"),), ["outlier-gateway-threshold"], id="5 gateway errors"),
    pytest.param((outlier("consecutiveGatewayErrors: 3, consecutive5xxErrors: 5"),), [], id="3 of 5"),
    pytest.param((outlier("consecutiveLocalOriginFailures: 3"),), ["outlier-local-origin"], id="local failures, not split"),
    pytest.param((outlier("consecutiveErrors: 5"),), ["outlier-deprecated"], id="consecutiveErrors"),
    pytest.param((rule("outlierDetection: {}, portLevelSettings: [{port: {number: 80}, connectionPool: {tcp: {maxConnections: 9}}}]"),), ["dr-port-level-replaces"], id="lost for a port"),
    pytest.param((outlier("maxEjectionPercent: 150"),), ["dr-outlier-percent"], id="150"),
    pytest.param((outlier("minHealthPercent: 60, maxEjectionPercent: 50"),), ["outlier-panic-conflict"], id="60 healthy, 50 ejected"),
    pytest.param((EXTERNAL, outlier("")), ["outlier-cannot-eject"], id="ExternalName"),
    pytest.param((outlier("maxEjectionPercent: 100, minHealthPercent: 50"),), ["outlier-panic-conflict"], id="100 with protection"),
    pytest.param((outlier("consecutive5xxErrors: 0, splitExternalLocalOriginErrors: true"),), [], id="local failures alone"),
    pytest.param((outlier("consecutive5xxErrors: '${N}', consecutiveGatewayErrors: 9"),), [], id="templated threshold"),
]  # fmt: skip


@pytest.mark.parametrize(("texts", "expected"), POLICIES)
def test_outlier_detection(texts: tuple[str, ...], expected: list[str]) -> None:
    assert names(findings(*texts, rules=OUTLIER)) == expected


def test_how_sure_it_is() -> None:
    def confidence(*texts: str, complete: bool = False) -> str:
        found = findings(
            SERVICE, *texts, outlier(""), rules=("outlier-cannot-eject",), config={"complete": complete}
        )
        return found[0].confidence if found else ""

    assert confidence(deployment("3"), complete=True) == "high"
    assert confidence(deployment("3")) == "medium"
    assert confidence(deployment()) == "low", "an overlay or an autoscaler may say more"
    assert confidence(deployment(), SCALER % (2, 40)) == "low", "with more pods some can be ejected"
    assert confidence(deployment(), SCALER % (2, 4)) == "medium"
    assert confidence(deployment("3"), deployment("30")) == "", "versions that differ"
    assert confidence(deployment("6"), deployment("6", name="cart-v2", labels="app: cart, version: v2")) == ""


def test_a_subset_has_endpoints_of_its_own() -> None:
    def said(policy: str, sent: str = "v2") -> list[bool]:
        subsets = f"[{{name: v1, labels: {{version: v1}}}}, {{name: v2, labels: {{version: v2}}{policy}}}]"
        text = rule("outlierDetection: {}") + f"  subsets: {subsets}\n"
        routes = SENDING.replace("SUBSET", sent)
        pods = [
            deployment(n, name=f"cart-{v}", labels=f"app: cart, version: {v}")
            for n, v in (("20", "v1"), ("3", "v2"))
        ]
        found = findings(SERVICE, text, routes, *pods, rules=("outlier-cannot-eject",))
        return ["subset v2" in f.message for f in found]

    assert said("") == [True], "20 pods of v1 do not help the three of v2"
    assert said("", sent="v1") == [], "nobody sends to v2"
    assert said(", trafficPolicy: {outlierDetection: {maxEjectionPercent: 50}}") == [], "it has its own"
    assert said(", trafficPolicy: {outlierDetection: {}}") == [True], "its own block"


def test_before_1_20_one_endpoint_could_always_be_ejected() -> None:
    texts = (SERVICE, deployment("3"), outlier(""))
    assert findings(*texts, rules=OUTLIER, config={"istioVersion": "1.19"}) == []


def test_failing_over_may_eject_all_of_a_locality() -> None:
    text = rule(
        "outlierDetection: {maxEjectionPercent: 100}, "
        "loadBalancer: {localityLbSetting: {failover: [{from: a, to: b}]}}"
    )
    assert [f.confidence for f in findings(text, rules=("outlier-eject-all",))] == ["low"]


def test_endpoints_of_a_service_entry() -> None:
    mesh = mesh_of("""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: bank, namespace: shop}
spec:
  hosts: [bank.example.com]
  ports: [{number: 443, name: tls, protocol: TLS}]
  resolution: STATIC
  endpoints: [{address: 10.0.0.1}, {address: 10.0.0.2}]
""")
    count = mesh.replicas.endpoints(mesh.registry.services[0]).value
    assert (count.least, count.most) == (2, 2)


BALANCERS = [
    pytest.param("simple: RANDOM, warmup: {duration: 1s}", ["lb-warmup-inert"], id="RANDOM with warmup"),
    pytest.param("simple: PASSTHROUGH, warmup: {duration: 1s}", ["lb-warmup-inert"], id="PASSTHROUGH with warmup"),
    pytest.param("simple: ROUND_ROBIN, warmup: {duration: 1s}", [], id="ROUND_ROBIN with warmup"),
    pytest.param("warmup: {duration: 1s}", [], id="warmup alone"),
    pytest.param("warmup: {duration: 1s}, warmupDurationSecs: 1s", ["lb-warmup-inert"], id="both warm-ups"),
    pytest.param("consistentHash: {useSourceIp: true}, warmup: {duration: 1s}", ["lb-warmup-inert"], id="hash with warmup"),
    pytest.param("consistentHash: {httpCookie: {name: a}}", ["lb-cookie-no-ttl"], id="cookie without ttl"),
    pytest.param("consistentHash: {httpCookie: {name: a, ttl: 0s}}", [], id="session cookie"),
    pytest.param("simple: ROUND_ROBIN", [], id="ROUND_ROBIN"),
]  # fmt: skip


@pytest.mark.parametrize(("balancer", "expected"), BALANCERS)
def test_load_balancers(balancer: str, expected: list[str]) -> None:
    text = rule(f"loadBalancer: {{{balancer}}}")
    assert names(findings(text, rules=("lb-warmup-inert", "lb-cookie-no-ttl", "lb-headless"))) == expected


def test_headless() -> None:
    headless = SERVICE.replace("selector:", "clusterIP: None, selector:")
    text = rule("loadBalancer: {simple: ROUND_ROBIN}")
    assert names(findings(headless, text, rules=("lb-headless",))) == ["lb-headless"]
    assert findings(headless, SERVICE, text, rules=("lb-headless",)) == [], "one version is not headless"
    assert findings(headless, rule("loadBalancer: {simple: PASSTHROUGH}"), rules=("lb-headless",)) == []


BUDGET = """
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: cart, namespace: shop}
spec: {selector: {matchLabels: {app: cart}}, %s}
"""
NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {istio-injection: enabled}}\n"


@pytest.mark.parametrize(
    ("replicas", "budget", "expected"),
    [
        pytest.param("2", "minAvailable: 2", ["replicas-pdb"], id="minAvailable as many as there are"),
        pytest.param("3", "minAvailable: 2", [], id="one may go"),
        pytest.param("3", "maxUnavailable: 0", ["replicas-pdb"], id="maxUnavailable 0"),
        pytest.param("3", 'minAvailable: "100%"', ["replicas-pdb"], id="all of them"),
        pytest.param("3", "maxUnavailable: 1", [], id="maxUnavailable 1"),
        pytest.param("1", "minAvailable: 1", ["replicas-pdb"], id="a single pod"),
    ],
)
def test_budgets(replicas: str, budget: str, expected: list[str]) -> None:
    found = findings(NAMESPACE, SERVICE, deployment(replicas), BUDGET % budget, rules=("replicas-pdb",))
    assert names(found) == expected


def test_no_budget() -> None:
    texts = (NAMESPACE, SERVICE, deployment("2"))
    assert findings(*texts, rules=("replicas-pdb",)) == []
    assert names(findings(*texts, rules=("replicas-pdb",), config={"complete": True})) == ["replicas-pdb"]
