"""What every rule file owes: the shape of the schema, names that match the tree, a check that exists."""

# ruff: noqa: E501

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import jsonschema
import pytest
import yaml

from meshlint.findings import Fix
from meshlint.policy.names import Names
from meshlint.policy.rules import RuleError, load_rule, load_rules, rules_directory, schema
from meshlint.policy.run import check_of

FILES = sorted(rules_directory().rglob("*.yaml"))
VALIDATOR = jsonschema.Draft202012Validator(schema())


def test_the_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_rule_file(path: Path):
    data = yaml.load(path.read_text("utf-8"), yaml.CSafeLoader)
    assert [error.message for error in VALIDATOR.iter_errors(data)] == []
    assert data["name"] == path.stem
    assert data["family"] == path.parent.name
    assert not data["summary"].endswith(".")
    for name, option in data.get("options", {}).items():
        errors = jsonschema.Draft202012Validator(option).iter_errors(option["default"])
        assert [error.message for error in errors] == [], f"default of {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_our_reader_says_the_same_and_finds_the_check(path: Path):
    assert callable(check_of(load_rule(path)))


def test_names_of_rules_families_and_codes_differ():
    names = Names(load_rules())
    assert not names.rules & names.families.keys()
    assert not names.rules & names.codes.keys()


def test_each_rule_has_a_file_of_its_own():
    assert len(load_rules()) == len(FILES)


RULE = """\
name: my-rule
summary: Something that we do not want
family: ours
severity: warning
confidence: high
profile: default
since: 1.0.0
why: |
  Because that is what we agreed upon in the platform team.
check: {python: mtls.port_level_needs_selector}
fix: {safety: unsafe, title: Do it}
options:
  limit: {type: integer, description: How much, default: 3, minimum: 1}
examples:
  - name: bad one
    bad: "x: 1 #!"
"""


def load(tmp_path: Path, text: str):
    path = tmp_path / "my-rule.yaml"
    path.write_text(dedent(text), "utf-8")
    return load_rule(path)


def test_a_rule_of_the_user(tmp_path):
    rule = load(tmp_path, RULE)
    assert (rule.name, rule.defaults, rule.fix) == ("my-rule", {"limit": 3}, Fix("unsafe", "Do it"))
    assert rule.examples[0].bad == {"manifest.yaml": "x: 1 #!"}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("severity: warning", "severity: high", "my-rule.yaml:4:11: severity: found the string 'high', expected one of error"),
        ("family: ours\n", "", "my-rule.yaml:1:1: 'family' is missing"),
        ("summary:", "sumary:", "unknown key 'sumary'; did you mean 'summary'?"),
        ("{python: mtls.port_level_needs_selector}", "{cel: 'true'}", "my-rule.yaml:10:14: check.cel: this version of meshlint does not run CEL, expected 'python'"),
        ("{python: mtls.port_level_needs_selector}", "{}", "check: found a mapping, expected a mapping with 'python' or a mapping with 'builtin'"),
        ("{python: mtls.port_level_needs_selector}", "{python: os}", "check.python: found the string 'os'"),
        ("default: 3, ", "", "options.limit: 'default' is missing"),
        ("name: my-rule", "name: My Rule", "name: found the string 'My Rule', expected text like"),
        ("bad: ", "baad: ", "examples[0]: unknown key 'baad'; did you mean 'bad'?"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_rule(tmp_path, old, new, expected):
    with pytest.raises(RuleError) as caught:
        load(tmp_path, RULE.replace(old, new))
    assert expected in str(caught.value)


@pytest.mark.parametrize("name", ["mtls.no_such_check", "nowhere.check", "mtls.Draft.x"])
def test_a_check_that_does_not_exist(tmp_path, name):
    from meshlint.policy.rules import rule_from

    rule = load(tmp_path, RULE)
    with pytest.raises(RuleError, match="there is no check named"):
        check_of(rule_from({**_plain(rule), "check": {"python": name}}))


def _plain(rule):
    info = rule.info
    return {
        "name": info.name, "family": info.family, "summary": info.summary, "severity": info.severity,
        "confidence": info.confidence, "profile": info.profile, "check": rule.check,
    }  # fmt: skip
