"""Rule files -> Rule. Built-in rules and users' rules go through the same loader.

The fields are described by `schemas/rule.schema.json`. Nothing here knows what a mesh is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from meshlint.findings import Fix, RuleInfo

PROFILES = ("default", "strict", "audit")


class RuleError(Exception):
    """A rule file that cannot be used; the message names the file, the field and what was expected."""


@dataclass(frozen=True, slots=True)
class Example:
    """A test of a rule. `files` maps names to texts; in bad ones `#!` ends each line that is found.

    `config` is what the configuration file would say; `options` are those of the rule.
    """

    name: str
    bad: dict[str, str] | None
    good: dict[str, str] | None
    fixed: dict[str, str] | None
    config: dict[str, Any]
    options: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rule:
    info: RuleInfo
    check: dict[str, str]
    options: dict[str, Any]
    since: str
    fix: Fix | None
    examples: tuple[Example, ...] = ()

    @property
    def name(self) -> str:
        return self.info.name

    @property
    def defaults(self) -> dict[str, Any]:
        """The default of every option."""
        return {name: schema["default"] for name, schema in self.options.items()}


def rules_directory() -> Path:
    """Where the built-in rules are: inside the installed package, or at the top of the repository."""
    packaged = Path(__file__).parent.parent / "data" / "rules"
    return packaged if packaged.is_dir() else Path(__file__).parent.parent.parent / "rules"


def load_rules(directory: Path | None = None) -> dict[str, Rule]:
    """All rules of a directory by name, sorted; built-in ones by default."""
    root = directory or rules_directory()
    rules = {}
    for path in sorted(root.rglob("*.yaml")):
        rule = load_rule(path)
        rules[rule.name] = rule
    return rules


def load_rule(path: Path) -> Rule:
    try:
        data = yaml.load(path.read_text("utf-8"), Loader=yaml.CSafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RuleError(f"{path}: {error}") from error
    if not isinstance(data, dict):
        raise RuleError(f"{path}: expected a mapping with the fields of a rule")
    try:
        return rule_from(data)
    except KeyError as error:
        raise RuleError(f"{path}: the field {error} is missing") from error


def rule_from(data: dict[str, Any]) -> Rule:
    fix = data.get("fix")
    return Rule(
        info=RuleInfo(
            name=data["name"],
            family=data["family"],
            summary=data["summary"],
            severity=data["severity"],
            confidence=data["confidence"],
            profile=data["profile"],
            why=data.get("why", ""),
            equivalents=tuple(data.get("equivalents", ())),
            controls=tuple(data.get("controls", ())),
            references=tuple(data.get("references", ())),
            fixable=fix is not None,
        ),
        check=data["check"],
        options=data.get("options", {}),
        since=data.get("since", ""),
        fix=Fix(fix["safety"], fix["title"]) if fix else None,
        examples=tuple(_examples(data.get("examples", ()))),
    )


def _examples(items: Iterable[dict[str, Any]]) -> Iterable[Example]:
    for item in items:
        yield Example(
            name=item["name"],
            bad=_files(item.get("bad")),
            good=_files(item.get("good")),
            fixed=_files(item.get("fixed")),
            config=item.get("config", {}),
            options=item.get("options", {}),
        )


def _files(value: str | dict[str, str] | None) -> dict[str, str] | None:
    return {"manifest.yaml": value} if isinstance(value, str) else value
