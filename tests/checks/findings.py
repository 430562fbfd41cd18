"""What do rules say about texts? For tests of tables of cases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from meshlint.config import config_from
from meshlint.findings import Finding
from meshlint.lint import mesh_of
from meshlint.policy.rules import load_rules
from meshlint.policy.run import run
from meshlint.source.load import load_texts

RULES = load_rules()


def findings(
    *texts: str,
    rules: tuple[str, ...],
    config: Mapping[str, Any] | None = None,
    files: Mapping[str, str] | None = None,
) -> list[Finding]:
    """The findings of some rules about texts, each of which is a file."""
    named = {f"{number}.yaml": text for number, text in enumerate(texts)} | dict(files or {})
    settings = replace(config_from(dict(config or {})), profile="audit")
    found, errors = run([RULES[name] for name in rules], mesh_of(load_texts(named), settings))
    assert errors == []
    return sorted(found, key=lambda f: f.sort_key)


def names(found: list[Finding]) -> list[str]:
    """Rules of findings, with the severity where it is not that of the rule."""
    return [f.rule if f.severity == RULES[f.rule].info.severity else f"{f.rule}:{f.severity}" for f in found]
