"""`meshlint test`: do the examples of rule files show what they claim?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from meshlint.cli.main import SETTINGS
from meshlint.cli.options import configured, rules_for
from meshlint.cli.refusal import Refusal
from meshlint.examples import cases, failures, shape_failures
from meshlint.policy.rules import Rule, RuleError, load_rule, load_rules


@click.command("test", context_settings=SETTINGS)
@click.argument("files", nargs=-1, metavar="[RULEFILES]...")
@click.option("--config", "config_file", metavar="FILE", help="Read this instead of .meshlint.yaml.")
@click.option("--no-config", is_flag=True, help="Read no configuration file.")
def command(files: tuple[str, ...], **options: Any) -> int:
    """Run the examples of rule files or folders of them; without any, those of the built-in rules."""
    known = rules_for(configured((), options))
    try:
        rules = [rule for path in _paths(files) for rule in (load_rule(path),)]
        rules = rules if files else list(load_rules().values())
    except RuleError as error:
        raise Refusal(str(error)) from None
    total = failed = 0
    for rule in rules:
        lines = list(_lines(rule, {**known, rule.name: rule}))
        total += sum(1 for _ in cases(rule))
        failed += bool(lines)
        for line in lines:
            click.echo(line)
    verdict = f"{failed} of {len(rules)} rules fail" if failed else f"{len(rules)} rules pass"
    click.echo(f"{verdict}, {total} examples")
    return 1 if failed else 0


def _paths(files: tuple[str, ...]) -> Iterator[Path]:
    for name in files:
        path = Path(name)
        if path.is_dir():
            yield from sorted(path.rglob("*.yaml"))
        else:
            yield path


def _lines(rule: Rule, rules: dict[str, Rule]) -> Iterator[str]:
    """What fails in one rule, a line each."""
    for what in shape_failures(rule):
        yield f"FAIL {rule.name}: {what}"
    for example, kind in cases(rule):
        for what in failures(rule, example, kind, rules):
            yield f"FAIL {rule.name}, {kind} example {example.name!r}: {what}"
