"""`meshlint rules`: which rules are there?"""

from __future__ import annotations

import json
from typing import Any

import click

from meshlint.cli.main import SETTINGS
from meshlint.cli.options import configured, rules_for
from meshlint.findings import RuleInfo
from meshlint.policy.names import closest
from meshlint.policy.rules import PROFILES


@click.command("rules", context_settings=SETTINGS)
@click.option("--family", multiple=True, help="Only this family; may be repeated.")
@click.option("--profile", type=click.Choice(PROFILES), help="Only what runs in this profile.")
@click.option("--format", "format_", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("--config", "config_file", metavar="FILE", help="Read this instead of .meshlint.yaml.")
@click.option("--no-config", is_flag=True, help="Read no configuration file.")
def command(family: tuple[str, ...], profile: str | None, format_: str, **options: Any) -> None:
    """List the rules, those of the configuration included."""
    rules = [rule.info for rule in rules_for(configured((), options)).values()]
    families = sorted({info.family for info in rules})
    for name in family:
        if name not in families:
            near = closest(name, families)
            hint = f"did you mean {near!r}?" if near else f"expected one of {', '.join(families)}"
            raise click.BadParameter(f"there is no family {name!r}; {hint}", param_hint="--family")
    shown = [
        info
        for info in sorted(rules, key=lambda info: (info.family, info.name))
        if (not family or info.family in family)
        and (profile is None or PROFILES.index(info.profile) <= PROFILES.index(profile))
    ]
    if format_ == "json":
        click.echo(json.dumps([_plain(info) for info in shown], indent=2))
    else:
        click.echo("\n".join(_table(shown)))


def _plain(info: RuleInfo) -> dict[str, Any]:
    return {
        "name": info.name,
        "family": info.family,
        "summary": info.summary,
        "severity": info.severity,
        "confidence": info.confidence,
        "profile": info.profile,
        "equivalents": list(info.equivalents),
        "controls": list(info.controls),
        "fixable": info.fixable,
    }


def _table(rules: list[RuleInfo]) -> list[str]:
    width = max((len(info.name) for info in rules), default=0)
    lines: list[str] = []
    family = None
    for info in rules:
        if info.family != family:
            family = info.family
            lines += ["", family] if lines else [family]
        codes = f" ({', '.join(info.equivalents)})" if info.equivalents else ""
        lines.append(f"  {info.name:<{width}}  {info.severity:<7}  {info.profile:<7}  {info.summary}{codes}")
    return [*lines, "", f"{len(rules)} rules; `meshlint explain RULE` tells more"]
