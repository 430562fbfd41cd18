"""docs/peers.md: do the codes that rules claim exist, and does an example show each of them?"""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import pytest

from meshlint.policy.rules import Rule, load_rules
from tests.house.checkout import ROOT

RULES = load_rules(ROOT / "rules")


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


build_peers = load("build_peers")
SHOWN = build_peers.shown(RULES)
CODES = {code.id: code for codes in build_peers.peers(RULES).values() for code in codes}


def test_the_page_lists_every_code_of_both_peers() -> None:
    prefixes = [code[:3] for code in CODES]
    assert (prefixes.count("IST"), prefixes.count("KIA")) == (68, 72)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_examples_show_each_code_that_a_rule_claims(rule: Rule) -> None:
    assert [code for code in rule.info.equivalents if rule.name not in SHOWN.get(code, ())] == []


def test_findings_carry_codes_that_exist() -> None:
    assert SHOWN.keys() - CODES.keys() == set()


@pytest.mark.parametrize("code", SHOWN)
def test_a_code_that_findings_carry_can_be_suppressed(code: str) -> None:
    """Suppressions and selections know a code by the rule files that claim it."""
    assert any(code in rule.info.equivalents for rule in RULES.values())


@pytest.mark.parametrize("code", CODES.values(), ids=CODES)
def test_a_code_is_covered_or_has_one_reason(code: object) -> None:
    assert isinstance(code, build_peers.Code)
    assert sum(map(bool, (code.rules, code.live, code.unused))) <= 1
