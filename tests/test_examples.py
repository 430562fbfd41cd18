"""Every example in every rule file is a test: a bad one is found on the marked lines, a good one is not."""

from __future__ import annotations

import pytest

from meshlint.examples import cases, failures, shape_failures
from meshlint.policy.rules import Example, Rule, load_rules

RULES = load_rules()
CASES = [
    pytest.param(rule, example, kind, id=f"{rule.name}-{example.name}-{kind}".replace(" ", "_"))
    for rule in RULES.values()
    for example, kind in cases(rule)
]


@pytest.mark.parametrize(("rule", "example", "kind"), CASES)
def test_example(rule: Rule, example: Example, kind: str) -> None:
    assert failures(rule, example, kind, RULES) == []


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_rule_has_both_kinds_of_examples(rule: Rule) -> None:
    assert shape_failures(rule) == []
