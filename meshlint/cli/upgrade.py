"""`meshlint upgrade --from X --to Y`: what changes for these manifests between two releases of Istio?

The report holds what behaves differently (the rule behaviour-change), and what is wrong for the new release
and was fine for the old one: versions no longer served, fields that are gone, new refusals. `meshlint lint
--upgrade-from X --upgrade-to Y` writes the same report.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import click

from meshlint.cli import lint as lint_command
from meshlint.cli.main import SETTINGS
from meshlint.cli.options import is_release
from meshlint.config import OFF, Config
from meshlint.findings import Finding, Linted, Report
from meshlint.lint import lint_loaded
from meshlint.policy.rules import Rule
from meshlint.schema.compile import numbers
from meshlint.source.load import load

CHANGE: Final = "behaviour-change"
#: options of `lint` that mean nothing where two releases are compared
_FOREIGN: Final = frozenset(("istio_version", "report_only", "no_cache", "upgrade_from", "upgrade_to"))


@click.command(
    "upgrade",
    context_settings=SETTINGS,
    params=[parameter for parameter in lint_command.command.params if parameter.name not in _FOREIGN],
)
@click.option("--from", "upgrade_from", required=True, metavar="X.Y", callback=is_release, help="Istio now.")
@click.option("--to", "upgrade_to", required=True, metavar="X.Y", callback=is_release, help="Istio then.")
def command(paths: tuple[str, ...], **options: Any) -> int:
    """Report what changes for manifests between two releases of Istio.

    What behaves differently, and what is wrong for the new release and was not for the old one. The exit
    code is that of `meshlint lint`.
    """
    unset = {"istio_version": None, "report_only": False, "no_cache": True}
    code = lint_command.command.callback(paths, **unset, **options)  # type: ignore[misc]
    return int(code)


def compared(
    inputs: Sequence[str], config: Config, rules: Mapping[str, Rule], start: str, target: str
) -> Linted:
    """The findings that the new release adds to those of the old one, and changes of behaviour."""
    if numbers(start)[:2] >= numbers(target)[:2]:
        raise click.UsageError(f"an upgrade goes to a later release, and {target} is none after {start}")
    stdin = sys.stdin.buffer.read() if "-" in inputs else None
    loaded = load(inputs, stdin=stdin, exclude=config.exclude, root=config.root)
    before = lint_loaded(loaded, _for_release(config, start), rules).report
    linted = lint_loaded(loaded, _for_release(config, target), rules)
    report = linted.report
    known, found = {_identity(f) for f in before.findings}, {_identity(f) for f in report.findings}
    fresh = [f for f in report.findings if _identity(f) not in known and f.rule != CHANGE]
    if config.severity.get(CHANGE) != OFF and CHANGE not in config.ignore:
        changes = lint_loaded(loaded, _changes(config, start, target), rules).report
        fresh += changes.findings
        report.rules = {**report.rules, **changes.rules}
    report.findings = sorted(fresh, key=lambda finding: finding.sort_key)
    report.notices += _notices(before, len(known - found), start, target)
    return linted


def _for_release(config: Config, release: str) -> Config:
    return replace(config, settings=replace(config.settings, istio_version=release))


def _changes(config: Config, start: str, target: str) -> Config:
    """Only changes of behaviour, whatever the profile; suppressions and severities hold."""
    settings = replace(config.settings, istio_version=target, upgrade_from=start, upgrade_to=target)
    return replace(config, settings=settings, select=(CHANGE,))


def _identity(finding: Finding) -> tuple[object, ...]:
    """What a finding is about; its message may name the release."""
    at = finding.location
    return finding.rule, at.file, at.path, at.start_line, at.start_column


def _notices(before: Report, gone: int, start: str, target: str) -> list[str]:
    notices = [f"what changes from Istio {start} to {target}"]
    kept = len(before.active) - gone
    if kept > 0 or gone:
        notices.append(f"not shown: {max(kept, 0)} findings of both releases, {gone} of {start} only")
    return notices
