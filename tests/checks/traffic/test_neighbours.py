"""Do two objects certainly end in the same cluster and namespace?"""

from __future__ import annotations

import pytest

from meshlint.config import config_from
from meshlint.lint import lint_loaded, rules_of
from meshlint.source.load import load_texts

#: kinds of which one object counts for a namespace or a host, with the rule that says so
SPECS = {
    "mtls-duplicate-scope": ("security.istio.io/v1", "PeerAuthentication", "{mtls: {mode: %s}}"),
    "telemetry-duplicate": ("telemetry.istio.io/v1", "Telemetry", "{tracing: [{customTags: {%s: {}}}]}"),
    "dr-duplicate-host": (
        "networking.istio.io/v1",
        "DestinationRule",
        "{host: cart.shop.svc.cluster.local, subsets: [{name: v1, labels: {version: %s}}]}",
    ),
    "vs-duplicate-host-mesh": (
        "networking.istio.io/v1",
        "VirtualService",
        "{hosts: [cart.shop.svc.cluster.local], http: [{name: %s, directResponse: {status: 404}}]}",
    ),
}
STRICT, OPEN = "STRICT", "PERMISSIVE"


def manifest(rule: str, name: str, value: str, namespace: str) -> str:
    version, kind, spec = SPECS[rule]
    metadata = f"{{name: {name}" + (f", namespace: {namespace}}}" if namespace else "}")
    return f"apiVersion: {version}\nkind: {kind}\nmetadata: {metadata}\nspec: {spec % value}\n"


def confidences(rule: str, files: dict[str, str]) -> set[str]:
    config = config_from({"profile": "audit"})
    report = lint_loaded(load_texts(files), config, rules_of(config)).report
    return {finding.confidence for finding in report.findings if finding.rule == rule}


@pytest.mark.parametrize("rule", SPECS)
@pytest.mark.parametrize(
    ("one", "other", "variant", "expected"),
    [
        ("k8s/a.yaml", "k8s/b.yaml", None, {"high"}),
        ("staging/a.yaml", "prod/b.yaml", None, {"medium"}),
        ("steps/a.yaml", "steps/b.yaml", "steps/c.yaml", {"low"}),  # c holds another version of what a holds
        ("steps/a.yaml", "k8s/b.yaml", "steps/c.yaml", {"low"}),
        ("staging/a.yaml", "k8s/b.yaml", "prod/c.yaml", {"medium"}),
    ],
)
def test_folders(rule: str, one: str, other: str, variant: str | None, expected: set[str]) -> None:
    files = {one: manifest(rule, "one", STRICT, "shop"), other: manifest(rule, "two", OPEN, "shop")}
    if variant:
        files[variant] = manifest(rule, "one", "DISABLE", "shop")
    assert confidences(rule, files) == expected


@pytest.mark.parametrize("rule", SPECS)
def test_variants_of_one_file_meet_all_the_same(rule: str) -> None:
    both = manifest(rule, "one", STRICT, "shop") + "---\n" + manifest(rule, "two", OPEN, "shop")
    found = confidences(
        rule, {"steps/a.yaml": both, "steps/b.yaml": manifest(rule, "one", "DISABLE", "shop")}
    )
    assert found >= {"high"}


@pytest.mark.parametrize("rule", ["mtls-duplicate-scope", "telemetry-duplicate"])
@pytest.mark.parametrize(
    ("one", "other", "namespaces", "expected"),
    [
        ("k8s/a.yaml", "k8s/b.yaml", ("", ""), {"medium"}),
        ("cart/a.yaml", "stock/b.yaml", ("", ""), {"low"}),
        ("k8s/a.yaml", "k8s/b.yaml", ("", "default"), {"low"}),
    ],
)
def test_namespaces_that_are_not_written(
    rule: str, one: str, other: str, namespaces: tuple[str, str], expected: set[str]
) -> None:
    files = {
        one: manifest(rule, "one", STRICT, namespaces[0]),
        other: manifest(rule, "two", OPEN, namespaces[1]),
    }
    assert confidences(rule, files) == expected


def test_the_nearest_rival_is_named() -> None:
    rule = "telemetry-duplicate"
    files = {
        "a/far.yaml": manifest(rule, "far", STRICT, "shop"),
        "b/one.yaml": manifest(rule, "one", STRICT, "shop"),
        "b/two.yaml": manifest(rule, "two", STRICT, "shop"),
    }
    config = config_from({})
    found = lint_loaded(load_texts(files), config, rules_of(config)).report.findings
    said = {f.location.file: (f.confidence, f.message) for f in found if f.rule == rule}
    assert said["b/two.yaml"][0] == "high"
    assert "Telemetry shop/one" in said["b/two.yaml"][1]
