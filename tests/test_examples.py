"""Every example in every rule file is a test: a bad one is found on the marked lines, a good one is not."""

from __future__ import annotations

import pytest

from meshlint.policy.rules import Example, Rule, load_rules
from meshlint.policy.run import run
from tests.support import mesh_of, settings_from

RULES = load_rules()
CASES = [
    pytest.param(rule, example, kind, id=f"{rule.name}-{example.name}-{kind}".replace(" ", "_"))
    for rule in RULES.values()
    for example in rule.examples
    for kind in ("bad", "good")
    if getattr(example, kind) is not None
]


@pytest.mark.parametrize(("rule", "example", "kind"), CASES)
def test_example(rule: Rule, example: Example, kind: str) -> None:
    files = getattr(example, kind)
    mesh = mesh_of(settings=settings_from(example.config), **files)
    findings, errors = run([rule], mesh, {rule.name: example.options})
    assert errors == []
    found = {(f.location.file, f.location.start_line) for f in findings}
    marked = {
        (name, number)
        for name, text in files.items()
        for number, line in enumerate(text.splitlines(), 1)
        if line.rstrip().endswith("#!")
    }
    said = [f"{f.location.file}:{f.location.start_line} {f.message}" for f in findings]
    assert found == marked, "\n".join(said)
    if kind == "bad":
        assert marked, "a bad example marks at least one line with #!"


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_rule_has_both_kinds_of_examples(rule: Rule) -> None:
    assert any(e.bad for e in rule.examples), "a bad example is missing"
    assert any(e.good for e in rule.examples), "a good example is missing"
