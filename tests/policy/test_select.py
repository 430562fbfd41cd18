"""Profiles, names and severities: which rules run, which findings are shown."""

from __future__ import annotations

import pytest

from meshlint.config import Config
from meshlint.findings import Finding, Location
from meshlint.policy.names import Names
from meshlint.policy.rules import rule_from
from meshlint.policy.select import Selection


def rule(name, family, profile, equivalents=()):
    return rule_from(
        {
            "name": name, "family": family, "profile": profile, "summary": name, "severity": "warning",
            "confidence": "high", "check": {"python": "a.b"}, "equivalents": equivalents,
        }
    )  # fmt: skip


RULES = {
    r.name: r
    for r in (
        rule("a-default", "a", "default", ("IST0101", "IST0102")),
        rule("a-strict", "a", "strict", ("IST0102",)),
        rule("b-default", "b", "default"),
        rule("b-audit", "b", "audit"),
    )
}


def selected(**wishes):
    return [r.name for r in Selection.of(Config(**wishes), RULES, Names(RULES)).rules]


def finding(name="a-default", confidence="high", equivalents=("IST0101",)):
    info = RULES[name].info
    at = Location("a.yaml", "", 1, 1, 1, 2)
    return Finding(name, info.family, "warning", confidence, "x", at, equivalents=equivalents)


@pytest.mark.parametrize(
    ("wishes", "expected"),
    [
        ({}, ["a-default", "b-default"]),
        ({"profile": "strict"}, ["a-default", "a-strict", "b-default"]),
        ({"profile": "audit"}, ["a-default", "a-strict", "b-default", "b-audit"]),
        ({"select": ("a",)}, ["a-default"]),
        ({"select": ("a", "b-audit")}, ["a-default", "b-audit"]),
        ({"select": ("IST0102",)}, ["a-default", "a-strict"]),
        ({"select": ("ist0101",)}, ["a-default"]),
        ({"ignore": ("a",)}, ["b-default"]),
        ({"ignore": ("b-default",)}, ["a-default"]),
        ({"severity": {"b-default": "off"}}, ["a-default"]),
        ({"select": ("b-default",), "severity": {"b-default": "off"}}, []),
    ],
)
def test_rules_that_run(wishes, expected):
    assert selected(**wishes) == expected


@pytest.mark.parametrize(
    ("wishes", "about", "shown"),
    [
        ({}, finding(), True),
        ({}, finding(confidence="medium"), True),
        ({}, finding(confidence="low"), False),
        ({"profile": "strict"}, finding(confidence="low"), False),
        ({"profile": "audit"}, finding(confidence="low"), True),
        ({"select": ("IST0101",)}, finding(), True),
        ({"select": ("IST0102",)}, finding(), False),
        ({"ignore": ("IST0101",)}, finding(), False),
        ({"ignore": ("IST0102",)}, finding(), True),
    ],
)
def test_findings_that_are_shown(wishes, about, shown):
    selection = Selection.of(Config(**wishes), RULES, Names(RULES))
    assert (selection.shown(about) is not None) is shown


def test_severity_of_the_configuration():
    selection = Selection.of(Config(severity={"a-default": "error"}), RULES, Names(RULES))
    assert selection.shown(finding()).severity == "error"


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("a-defualt", "there is no rule or family named 'a-defualt'; did you mean 'a-default'?"),
        ("zzzzzz", "there is no rule or family named 'zzzzzz'"),
        ("IST0999", "no rule answers for the code IST0999"),
    ],
)
def test_complaints_about_names(name, complaint):
    names = Names(RULES)
    assert not names.meaning(name)
    assert names.complaint(name) == complaint
