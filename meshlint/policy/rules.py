"""Rule files -> Rule. Built-in rules and users' rules go through the same loader.

The fields are described by `schemas/rule.schema.json`. Nothing here knows what a mesh is. A normal
run reads the built-in rules from `rules/index.json` (`meshlint.policy.index`); only `explain`, `test`
and the tests need whole files.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from meshlint.findings import Fix, RuleInfo
from meshlint.records import dataclass

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
    #: rules that say less about the same place
    refines: tuple[str, ...] = ()
    #: kinds of objects without all of which there can be no finding; none where there always may be one
    kinds: tuple[str, ...] = ()
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
    """All rules of a directory by name, sorted by file, with examples; built-in ones by default."""
    root = directory or rules_directory()
    rules = {}
    for path in sorted(root.rglob("*.yaml")):
        rule = load_rule(path)
        rules[rule.name] = rule
    return rules


def load_rule(path: Path) -> Rule:
    """Read one rule file. Raises RuleError."""
    return rule_from(read_rule(path))


def read_rule(path: Path) -> dict[str, Any]:
    """One rule file as plain data; what is wrong with its shape is said with line and column."""
    from meshlint.policy.shape import complaints
    from meshlint.source.decode import DecodeError, decode
    from meshlint.source.discover import shown
    from meshlint.source.nodes import Mapping, Scalar
    from meshlint.source.parse import parse

    name = shown(str(path))
    try:
        text, _ = decode(path.read_bytes())
    except (OSError, DecodeError) as error:
        raise RuleError(f"{name}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    file = parse(name, text)
    root = file.documents[0].root if file.documents else None
    check = root.dig("check", "cel") if isinstance(root, Mapping) else None
    if isinstance(check, Scalar):
        line, column = file.position(check.start)
        raise RuleError(
            f"{name}:{line}:{column}: check.cel: this version of meshlint does not run CEL, expected 'python'"
        )
    wrong = list(complaints(file, schema()))
    if wrong:
        raise RuleError("\n".join(wrong))
    if not isinstance(root, Mapping):
        raise RuleError(f"{name}: found no document, expected the fields of a rule")
    plain = root.plain()
    assert isinstance(plain, dict)  # noqa: S101
    return plain


def schema() -> dict[str, Any]:
    """The JSON Schema of rule files."""
    loaded: dict[str, Any] = json.loads((schemas_directory() / "rule.schema.json").read_text("utf-8"))
    return loaded


def schemas_directory() -> Path:
    """Where the JSON Schemas are: inside the installed package, or at the top of the repository."""
    packaged = Path(__file__).parent.parent / "data" / "schemas"
    return packaged if packaged.is_dir() else Path(__file__).parent.parent.parent / "schemas"


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
        refines=tuple(data.get("refines", ())),
        kinds=tuple(data.get("kinds", ())),
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
