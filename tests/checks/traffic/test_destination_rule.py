"""DestinationRules that apply to nothing, hide others or contradict them: spec traffic 1.12, 1.13 and 4.1."""

from __future__ import annotations

import pytest

from meshlint.mesh.scope import Settings
from tests.checks.traffic.support import (
    COMPLETE,
    deployment,
    destination_rule,
    findings,
    paths,
    service,
    service_entry,
    to,
    verdicts,
    virtual_service,
)

OUTLIER = "trafficPolicy: {outlierDetection: {consecutive5xxErrors: 3}}"
POOL = "trafficPolicy: {connectionPool: {tcp: {maxConnections: 1}}}"
TLS = "trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}"
FULL = "a.shop.svc.cluster.local"
V1 = "subsets: [{name: v1, labels: {version: v1}}]"

SHADOWS = {
    "wildcard of the clients": ([destination_rule("*.local", "web", more=TLS)], ["warning"]),
    "wildcard of root": ([destination_rule("*.local", "istio-system", more=TLS)], []),
    "wildcard of the owner": ([destination_rule("*.shop.svc.cluster.local", name="w", more=TLS)], []),
    "exact, blocks lost": ([destination_rule(FULL, "web", more=TLS)], ["info"]),
    "exact, nothing lost": ([destination_rule(FULL, "web", more=OUTLIER)], []),
    "another service": ([destination_rule("b.shop.svc.cluster.local", "web", more=TLS)], []),
    "short name of another namespace": ([destination_rule("a", "web", more=TLS)], []),
    "not for its own namespace": (
        [destination_rule("*.local", "web", more=TLS + ", exportTo: [ops]")],
        [],
    ),
    "and a narrower one": (
        [
            destination_rule("*.local", "web", more=TLS),
            destination_rule(FULL, "web", name="near", more=OUTLIER),
        ],
        [],
    ),
}


@pytest.mark.parametrize(("texts", "severities"), SHADOWS.values(), ids=SHADOWS)
def test_1_12_hidden_rules(texts: list[str], severities: list[str]) -> None:
    found = verdicts("dr-shadowed", service(), destination_rule("a", more=OUTLIER), *texts)
    assert found == [(severity, "medium") for severity in severities]


def test_1_12_a_private_rule_is_not_hidden() -> None:
    private = destination_rule("a", more=OUTLIER + ', exportTo: ["."]')
    assert verdicts("dr-shadowed", service(), private, destination_rule("*.local", "web", more=TLS)) == []


def test_1_12_lost_subsets_are_a_warning() -> None:
    texts = (destination_rule("a", more=V1), destination_rule(FULL, "web", more=TLS))
    assert verdicts("dr-shadowed", service(), *texts) == [("warning", "medium")]


THIRD = {
    "no pods, complete": ("", COMPLETE, [("warning", "high")]),
    "no pods known": ("", None, [("warning", "low")]),
    "exported to others": ("exportTo: [web]", None, [("warning", "high")]),
    "exported to its own and others": ('exportTo: [".", web]', None, [("warning", "high")]),
}


@pytest.mark.parametrize(("export", "settings", "expected"), THIRD.values(), ids=THIRD)
def test_1_12_a_third_namespace(
    export: str, settings: Settings | None, expected: list[tuple[str, str]]
) -> None:
    texts = (service(), deployment("a"), destination_rule(FULL, "ops", more=export))
    assert verdicts("dr-unreachable-namespace", *texts, settings=settings) == expected


@pytest.mark.parametrize("namespace", ["shop", "istio-system", "web"])
def test_1_12_namespaces_that_are_asked(namespace: str) -> None:
    texts = (service(), deployment("web", "web"), destination_rule(FULL, namespace))
    assert verdicts("dr-unreachable-namespace", *texts, settings=COMPLETE) == []


def dated(text: str, year: int) -> str:
    return text.replace("{name:", f"{{creationTimestamp: {year}-01-01T00:00:00Z, name:", 1)


TWO = {
    "two policies": (OUTLIER, POOL, 2),
    "the same policy": (OUTLIER, OUTLIER, 0),
    "policy and subsets": (OUTLIER, V1, 0),
    "different subsets": (V1, "subsets: [{name: v2, labels: {version: v2}}]", 0),
    "one subset, two meanings": (V1, "subsets: [{name: v1, labels: {version: v2}}]", 2),
    "exports that differ, and meet": ('exportTo: ["*"], ' + OUTLIER, OUTLIER, 2),
    "exports that differ": ("exportTo: [web], " + OUTLIER, "exportTo: [ops], " + POOL, 0),
    "the wider is merged into the narrower": ('exportTo: ["."], ' + V1, "exportTo: ['.', web]", 0),
    "for different clients": ("workloadSelector: {matchLabels: {app: x}}, " + OUTLIER, POOL, 0),
}


@pytest.mark.parametrize(("one", "other", "number"), TWO.values(), ids=TWO)
def test_1_12_rules_of_one_host(one: str, other: str, number: int) -> None:
    texts = (destination_rule("a", more=one), destination_rule(FULL, name="other", more=other))
    assert verdicts("dr-duplicate-host", *texts) == [("warning", "high")] * number


def test_1_12_creation_times_tell_who_loses() -> None:
    one, other = destination_rule("a", more=OUTLIER), destination_rule("a", name="other", more=POOL)
    (found,) = findings("dr-duplicate-host", dated(one, 2024), dated(other, 2025))
    assert found.resource is not None
    assert found.resource.name == "other"


def test_1_12_versions_of_one_object_do_not_conflict() -> None:
    texts = (destination_rule("a", more=OUTLIER), destination_rule("a", more=POOL))
    assert verdicts("dr-duplicate-host", *texts) == []


ENDPOINTS = ", resolution: STATIC, endpoints: [{address: 1.1.1.1, labels: {version: v1}}]"
PODS = {
    "pods have them": ([service(), deployment("a", labels="app: a, version: v1")], COMPLETE, []),
    "no pod has them, complete": ([service(), deployment("a")], COMPLETE, [("info", "high")]),
    "no pod has them": ([service(), deployment("a")], None, [("info", "low")]),
    "no pods known": ([service()], None, []),
    "pods of another service": (
        [service(), deployment("b", labels="app: b, version: v1")],
        COMPLETE,
        [("info", "high")],
    ),
    "a route uses it": (
        [service(), deployment("a"), to("host: a, subset: v1")],
        COMPLETE,
        [("error", "high")],
    ),
    "a template": ([service(), deployment("a", labels='app: a, version: "${V}"')], COMPLETE, []),
}


def machines(version: str) -> str:
    return (
        "apiVersion: networking.istio.io/v1\nkind: WorkloadGroup\nmetadata: {name: a, namespace: shop}\n"
        f"spec: {{metadata: {{labels: {{app: a, version: {version}}}}}, template: {{serviceAccount: a}}}}\n"
    )


PODS |= {
    "machines have them": ([service(), deployment("a"), machines("v1")], COMPLETE, []),
    "machines of another version": ([service(), machines("v2")], COMPLETE, [("info", "high")]),
}


@pytest.mark.parametrize(("texts", "settings", "expected"), PODS.values(), ids=PODS)
def test_1_13_labels(texts: list[str], settings: Settings | None, expected: list[tuple[str, str]]) -> None:
    assert (
        verdicts("dr-subset-no-pods", destination_rule("a", more=V1), *texts, settings=settings) == expected
    )


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        ("topology.kubernetes.io/zone: eu-1", False),
        ('topology.kubernetes.io/zone: ""', True),
        ("topology.kubernetes.io/zone: eu-1, version: v9", True),
        ("pod-template-hash: abc", False),
        ('version: "${VERSION}"', False),
        ("", False),
    ],
)
def test_1_13_labels_that_templates_do_not_have(labels: str, found: bool) -> None:
    rule = destination_rule("a", more=f"subsets: [{{name: v1, labels: {{{labels}}}}}]")
    texts = (service(), deployment("a"), rule)
    assert bool(paths("dr-subset-no-pods", *texts, settings=COMPLETE)) is found


def test_1_13_endpoints_of_a_service_entry() -> None:
    entry = service_entry("a.example.com", more=ENDPOINTS)
    good, bad = (destination_rule("a.example.com", more=f"subsets: [{{name: v, labels: {{version: {v}}}}}]")
                 for v in ("v1", "v2"))  # fmt: skip
    assert paths("dr-subset-no-pods", entry, good) == []
    assert verdicts("dr-subset-no-pods", entry, bad) == [("info", "high")]


def test_1_13_a_subset_without_labels() -> None:
    (found,) = findings("dr-subset-without-labels", destination_rule("a", more="subsets: [{name: v1}]"))
    assert (found.location.path, found.equivalents) == ("/spec/subsets/0/name", ("KIA0209",))


def test_1_12_hosts_that_do_not_exist() -> None:
    rule = destination_rule("b", more=OUTLIER)
    assert verdicts("dr-host-missing", service(), rule) == [("warning", "low")]
    assert verdicts("dr-host-missing", rule) == []
    (found,) = findings("dr-host-missing", service(), rule, settings=COMPLETE)
    assert (found.location.path, found.equivalents) == ("/spec/host", ("IST0174", "KIA0202"))
    assert verdicts("dr-host-missing", service(), destination_rule("*.local"), settings=COMPLETE) == []
    (app,) = findings("dr-host-missing", rule, deployment("b"), settings=COMPLETE)
    assert app.equivalents == ("IST0174",)


USES = {
    "by a route": (to("host: a, subset: v1"), []),
    "by a copy": (to("host: a", more=", mirror: {host: a, subset: v1}"), []),
    "by nobody": (to("host: a"), [("info", "medium")]),
    "the host is not routed": (to("host: b"), [("info", "low")]),
    "by a rule for TCP": (virtual_service("tcp: [{route: [{destination: {host: a, subset: v1}}]}]"), []),
}


@pytest.mark.parametrize(("text", "expected"), USES.values(), ids=USES)
def test_subsets_and_their_users(text: str, expected: list[tuple[str, str]]) -> None:
    assert verdicts("dr-subset-unused", destination_rule("a", more=V1), text) == expected


def test_without_virtual_services_nothing_is_unused() -> None:
    assert verdicts("dr-subset-unused", destination_rule("a", more=V1)) == []


def port(entry: str, above: str, subset: str = "") -> str:
    entries = f"portLevelSettings: [{{port: {{number: 80}}{', ' if entry else ''}{entry}}}]"
    if subset:
        more = f"trafficPolicy: {{{above}}}, subsets: [{{name: v1, trafficPolicy: {{{entries}}}}}]"
    else:
        more = f"trafficPolicy: {{{above}, {entries}}}"
    return destination_rule("a", more=more)


X, P = "outlierDetection: {consecutive5xxErrors: 3}", "connectionPool: {tcp: {maxConnections: 9}}"
LOST = {
    "outlier detection": (port(P, f"{X}, {P}"), ["warning"]),
    "nothing": (port(f"{X}, {P}", f"{X}, {P}"), []),
    "connection pool only": (port(X, f"{X}, {P}"), ["info"]),
    "retry budget": (port(P, f"retryBudget: {{percent: 10}}, {P}"), ["warning"]),
    "TLS is another rule's": (port(P, f"tls: {{mode: SIMPLE}}, {P}"), []),
    "of a subset": (port(P, X, subset="v1"), ["warning"]),
    "a retry budget stays for a subset": (port(P, "retryBudget: {percent: 10}", subset="v1"), []),
}


@pytest.mark.parametrize(("text", "severities"), LOST.values(), ids=LOST)
def test_4_1_port_level_entries(text: str, severities: list[str]) -> None:
    assert [severity for severity, _ in verdicts("dr-port-level-replaces", text)] == severities
