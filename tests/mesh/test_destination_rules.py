"""DestinationRule look-up and policies: the tables of spec traffic 1.12 and 4.1."""

from __future__ import annotations

from typing import Any

import pytest

from meshlint.mesh.destination_rules import ELSEWHERE, port_entry
from meshlint.mesh.facts import State
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.scope import Settings
from meshlint.source.nodes import int_of
from tests.support import mesh_of

SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: a, namespace: shop}
spec: {selector: {app: a}, ports: [{name: http, port: 80, targetPort: 8080}]}
"""


def rule(namespace: str, host: str, policy: str = "{}", *, name: str = "", more: str = "") -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {name or namespace}, namespace: {namespace}}}
spec:
  host: "{host}"
  trafficPolicy: {policy}
{more}
"""


PRIVATE = '  exportTo: ["."]'
LOOK_UP = {
    "rule of the service's namespace": ("web", [rule("shop", "a")], "shop"),
    "a wildcard of the client's namespace hides it": (
        "web",
        [rule("web", "*.local"), rule("shop", "a", more="  subsets: [{name: v1}]")],
        "web",
    ),
    "a third namespace is never asked": (
        "web",
        [rule("ops", "a.shop.svc.cluster.local", more='  exportTo: ["*"]')],
        None,
    ),
    "root": ("web", [rule("istio-system", "*.local")], "istio-system"),
    "the service's namespace goes before root": (
        "web",
        [rule("istio-system", "*.local"), rule("shop", "*.shop.svc.cluster.local")],
        "shop",
    ),
    "public rules of root come last for pods of root": (
        "istio-system",
        [rule("istio-system", "*.local", more='  exportTo: ["*"]'), rule("shop", "a")],
        "shop",
    ),
    "private rules of root come first for pods of root": (
        "istio-system",
        [rule("istio-system", "*.local", more=PRIVATE), rule("shop", "a")],
        "istio-system",
    ),
    "not exported": ("web", [rule("shop", "a", more=PRIVATE)], None),
    "not exported, root has one": (
        "web",
        [rule("shop", "a", more=PRIVATE), rule("istio-system", "*.local")],
        "istio-system",
    ),
    "a short host is one of the rule's namespace": ("web", [rule("web", "a")], None),
    "exported to another namespace only": ("shop", [rule("shop", "a", more="  exportTo: [web]")], None),
    "exported to this namespace": ("web", [rule("shop", "a", more="  exportTo: [web]")], "shop"),
    "exact goes before wildcards": (
        "web",
        [rule("shop", "*.local", name="wide"), rule("shop", "a"), rule("shop", "*", name="all")],
        "shop",
    ),
    "longer wildcards go first": (
        "web",
        [rule("shop", "*.local", name="wide"), rule("shop", "*.shop.svc.cluster.local", name="near")],
        "near",
    ),
    "an exact rule for others does not give way to a wildcard": (
        "web",
        [rule("shop", "a", more="  exportTo: [ops]"), rule("shop", "*.local", name="wide")],
        None,
    ),
}


def chosen(mesh: Mesh, client: str, labels: dict[str, str] | None = None) -> str | None:
    found = mesh.destination_rules.for_host(client, mesh.registry.services[0], labels)
    return found[0].resource.name if found else None


@pytest.mark.parametrize(("client", "texts", "expected"), LOOK_UP.values(), ids=LOOK_UP)
def test_look_up(client: str, texts: list[str], expected: str | None) -> None:
    assert chosen(mesh_of(SERVICE, *texts), client) == expected


def test_a_workload_selector_is_for_pods_of_its_namespace() -> None:
    selected = rule("shop", "a", name="picked", more="  workloadSelector: {matchLabels: {app: web}}")
    mesh = mesh_of(SERVICE, selected, rule("shop", "a"))
    assert chosen(mesh, "shop", {"app": "web"}) == "picked"
    assert chosen(mesh, "shop", {"app": "other"}) == "shop"
    assert chosen(mesh, "web", {"app": "web"}) == "shop"


def test_the_default_of_the_mesh_config() -> None:
    settings = Settings(mesh_config={"defaultDestinationRuleExportTo": ["."]})
    assert chosen(mesh_of(SERVICE, rule("shop", "a"), settings=settings), "web") is None
    assert chosen(mesh_of(SERVICE, rule("shop", "a"), settings=settings), "shop") == "shop"


def test_somebody_uses_it() -> None:
    mesh = mesh_of(SERVICE, rule("shop", "a", more="  exportTo: [web]"), rule("ops", "*.local"))
    service, rules = mesh.registry.services[0], mesh.destination_rules
    answers = [rules.used_by_somebody(r, service.host, service.namespace) for r in rules.all]
    assert answers == [True, True]
    third = mesh_of(SERVICE, rule("ops", "a.shop.svc.cluster.local", more="  exportTo: [web]"))
    only = third.destination_rules.all[0]
    assert not third.destination_rules.used_by_somebody(only, service.host, service.namespace)


X, Y, P, Q = (
    "{consecutive5xxErrors: 3, interval: 5s}",
    "{consecutive5xxErrors: 7}",
    "{tcp: {maxConnections: 1}}",
    "{tcp: {maxConnections: 2}}",
)
ENTRY = f"portLevelSettings: [{{port: {{number: 80}}, connectionPool: {Q}}}]"
TLS = "tls: {mode: ISTIO_MUTUAL}"


def subset(policy: str) -> str:
    return f"  subsets: [{{name: v1, trafficPolicy: {policy}}}]"


BLOCKS: dict[str, tuple[str, str, int, str | None, dict[str, Any]]] = {
    "an entry replaces everything": (
        f"{{outlierDetection: {X}, connectionPool: {P}, {ENTRY}}}",
        "",
        80,
        None,
        {"connectionPool": {"tcp": {"maxConnections": 2}}, "outlierDetection": None},
    ),
    "other ports keep the policy": (
        f"{{outlierDetection: {X}, connectionPool: {P}, {ENTRY}}}",
        "",
        81,
        None,
        {"connectionPool": {"tcp": {"maxConnections": 1}}, "outlierDetection": {"consecutive5xxErrors": 3}},
    ),
    "a block of a subset replaces the block": (
        f"{{outlierDetection: {X}}}",
        subset(f"{{outlierDetection: {Y}}}"),
        80,
        "v1",
        {"outlierDetection": {"consecutive5xxErrors": 7}},
    ),
    "a subset keeps the other blocks": (
        f"{{{TLS}}}",
        subset("{loadBalancer: {simple: RANDOM}}"),
        80,
        "v1",
        {"tls": {"mode": "ISTIO_MUTUAL"}, "loadBalancer": {"simple": "RANDOM"}},
    ),
    "an entry without tls": (
        f"{{{TLS}, portLevelSettings: [{{port: {{number: 8080}}, loadBalancer: {{simple: RANDOM}}}}]}}",
        "",
        8080,
        None,
        {"tls": None},
    ),
    "a subset that no route names": (
        f"{{outlierDetection: {X}}}",
        subset(f"{{outlierDetection: {Y}}}"),
        80,
        None,
        {"outlierDetection": {"consecutive5xxErrors": 3}},
    ),
    "an entry loses the retry budget": (
        f"{{retryBudget: {{percent: 20}}, {ENTRY}}}",
        "",
        80,
        None,
        {"retryBudget": None},
    ),
    "the entry of a subset replaces all four blocks": (
        f"{{{TLS}, outlierDetection: {X}}}",
        subset(f"{{{ENTRY}}}"),
        80,
        "v1",
        {"tls": None, "outlierDetection": None, "connectionPool": {"tcp": {"maxConnections": 2}}},
    ),
}


@pytest.mark.parametrize(("policy", "more", "port", "name", "expected"), BLOCKS.values(), ids=BLOCKS)
def test_blocks(policy: str, more: str, port: int, name: str | None, expected: dict[str, Any]) -> None:
    mesh = mesh_of(SERVICE, rule("shop", "a", policy, more=more))
    service = mesh.registry.services[0]
    for block, value in expected.items():
        node = mesh.destination_rules.block(block, "web", service, port, name).value
        written = node.plain() if node is not None else None
        if isinstance(value, dict) and isinstance(written, dict):
            assert value.items() <= written.items()
        else:
            assert written == value


def test_rules_of_one_host_that_disagree_are_a_conflict() -> None:
    one = rule("shop", "a", "{tls: {mode: DISABLE}}", name="one")
    two = rule("shop", "a.shop.svc.cluster.local", f"{{{TLS}}}", name="two")
    mesh = mesh_of(SERVICE, one, two)
    service = mesh.registry.services[0]
    assert mesh.destination_rules.block("tls", "web", service, 80).state is State.CONFLICT
    dated = mesh_of(
        SERVICE,
        one.replace("namespace: shop", 'namespace: shop, creationTimestamp: "2025"'),
        two.replace("namespace: shop", 'namespace: shop, creationTimestamp: "2024"'),
    )
    node = dated.destination_rules.block("tls", "web", dated.registry.services[0], 80).value
    assert node is not None
    assert node.plain() == {"mode": "ISTIO_MUTUAL"}


OUTLIER_X, OUTLIER_Y = f"{{outlierDetection: {X}}}", f"{{outlierDetection: {Y}}}"


def dated(text: str, year: int) -> str:
    return text.replace("namespace: shop", f'namespace: shop, creationTimestamp: "{year}"', 1)


def named(name: str, policy: str = "", more: str = "") -> str:
    text = rule("shop", "a", policy or "{}", name=name, more=more)
    return text if policy else text.replace("  trafficPolicy: {}\n", "")


V1 = subset(OUTLIER_Y)
PUBLIC, WEB, BOTH = ("  exportTo: ['*']", "  exportTo: [web]", "  exportTo: [web, ops]")
MERGED = {
    "one policy, one subset": ([named("a", OUTLIER_X), named("b", more=V1)], "v1", 7, 7),
    "the subset comes first": ([named("b", more=V1), named("a", OUTLIER_X)], "v1", 7, 7),
    "a subset that says nothing": (
        [named("a", OUTLIER_X), named("b", more="  subsets: [{name: v1}]")], "v1", 3, 3,
    ),
    "two policies": ([named("a", OUTLIER_X), named("b", OUTLIER_Y)], None, 3, "conflict"),
    "the policy of the first counts as a whole": (
        [named("a", f"{{connectionPool: {P}}}"), named("b", OUTLIER_Y)], None, None, "conflict",
    ),
    "a subset defined twice": (
        [named("a", OUTLIER_X, subset(OUTLIER_X)), named("b", more=V1)], "v1", 3, "conflict",
    ),
    "lists that differ as written: the newest": (
        [named("a", OUTLIER_X), named("b", OUTLIER_Y, PUBLIC)], None, 7, "conflict",
    ),
    "a wider list: merged, and on its own": (
        [named("a", OUTLIER_X, WEB), named("b", OUTLIER_Y, BOTH)], None, 7, "conflict",
    ),
    "lists that differ, the same policy": (
        [named("a", OUTLIER_X), named("b", OUTLIER_X, PUBLIC)], None, 3, 3,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("texts", "wanted", "aged", "ageless"), MERGED.values(), ids=MERGED)
def test_1_12_merging(texts: list[str], wanted: str | None, aged: int | None, ageless: int | str) -> None:
    def threshold(*written: str) -> int | str | None:
        mesh = mesh_of(SERVICE, *written)
        found = mesh.destination_rules.block("outlierDetection", "web", mesh.registry.services[0], 80, wanted)
        if found.conflict:
            return "conflict"
        return int_of(found.value.dig("consecutive5xxErrors")) if found.value is not None else None

    assert threshold(*(dated(text, 2020 + year) for year, text in enumerate(texts))) == aged
    assert threshold(*texts) == ageless


def test_index_by_host() -> None:
    mesh = mesh_of(rule("shop", "a"), rule("web", "*.local"), rule("web", "api.example.com", name="x"))
    hosts = list(mesh.destination_rules.by_host)
    assert hosts == ["a.shop.svc.cluster.local", "*.local", "api.example.com"]
    assert mesh.destination_rules.lookup(ELSEWHERE, "a.shop.svc.cluster.local", "shop")
    assert port_entry(None, 80) is None
