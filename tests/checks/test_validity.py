"""Schema-driven rules: places, words, and that no node is reported twice."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meshlint.config import config_from
from meshlint.lint import lint_loaded, mesh_of, rules_of
from meshlint.policy.rules import Rule, load_rules
from meshlint.policy.run import run
from meshlint.source.load import load_texts

RULES = load_rules()
GENERIC = [
    rule for rule in RULES.values() if rule.check.get("python", "").startswith("validity.")
    and not rule.check["python"].startswith("validity.api_version")
]  # fmt: skip
SPECIFIC = [rule for rule in RULES.values() if rule not in GENERIC and "python" in rule.check]

#: what the specific rule says follows from what the generic one says, and both help
BOTH = {("authz-empty-clause", "unknown-field")}

ROUTE = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: cart, namespace: shop}
spec:
  hosts: [cart]
  http:
    - timeout: 5
      route:
        - destination: {host: cart}
          wieght: 5
        - weight: 5
"""


@pytest.mark.parametrize("rule", SPECIFIC, ids=lambda rule: rule.name)
def test_a_specific_finding_replaces_the_generic_one(rule: Rule) -> None:
    """Rules that say more about a node than a schema can name the generic rule in `refines`."""
    for example in rule.examples:
        if example.bad is None:
            continue
        config = replace(config_from(example.config), options={rule.name: example.options})
        mesh = mesh_of(load_texts(example.bad), config)
        found, _ = run([*GENERIC, rule], mesh, config.options)
        own = {(f.location.file, f.location.path) for f in found if f.rule == rule.name}
        twice = [
            f"{f.rule}: {f.message}"
            for f in found
            if f.rule != rule.name
            and (rule.name, f.rule) not in BOTH
            and (f.location.file, f.location.path) in own
            and f.location.path
        ]
        assert twice == [], f"{rule.name} should name them in `refines`"


def test_places_and_words() -> None:
    config = config_from({"ignore": ["timeout-invalid"]})
    report = lint_loaded(load_texts({"a.yaml": ROUTE}), config, rules_of(config)).report
    found = [f for f in report.active if f.rule in {rule.name for rule in GENERIC}]
    assert [(f.rule, f.location.start_line, f.location.start_column, f.message, f.help) for f in found] == [
        (
            "wrong-type",
            7,
            16,
            "VirtualService shop/cart: spec.http[0].timeout: expected a string, found 5",
            "quote it: '5'",
        ),
        (
            "unknown-field",
            10,
            11,
            "VirtualService shop/cart: spec.http[0].route[0].wieght is no field of VirtualService;"
            " did you mean weight?",
            "rename it to weight",
        ),
        (
            "required-field",
            11,
            11,
            "VirtualService shop/cart: spec.http[0].route[1]: destination is required",
            "",
        ),
    ]
    assert {f.rule: f.equivalents for f in found} == {
        "wrong-type": ("IST0106",),
        "unknown-field": (),
        "required-field": ("IST0106",),
    }


def test_the_generic_finding_stands_where_the_specific_rule_is_off() -> None:
    config = config_from({})
    report = lint_loaded(load_texts({"a.yaml": ROUTE}), config, rules_of(config)).report
    assert [f.rule for f in report.active if f.location.path == "/spec/http/0/timeout"] == ["timeout-invalid"]
    config = config_from({"ignore": ["timeout-invalid"]})
    report = lint_loaded(load_texts({"a.yaml": ROUTE}), config, rules_of(config)).report
    assert [f.rule for f in report.active if f.location.path == "/spec/http/0/timeout"] == ["wrong-type"]


def test_nodes_of_embedded_yaml_are_told_apart() -> None:
    text = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    connectTimeout: soon
    enableAutoMtls: "yes"
"""
    config = config_from({})
    report = lint_loaded(load_texts({"a.yaml": text}), config, rules_of(config)).report
    found = [(f.location.start_line, f.rule) for f in report.active if f.family == "validity"]
    assert found == [(6, "mesh-config-values"), (7, "mesh-config-invalid")]
