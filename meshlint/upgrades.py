"""What changes for manifests between two releases of Istio?

Findings of the new release that the old one does not have, and what behaves differently (the rule
behaviour-change). The text is read once, and judged for both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from meshlint.config import OFF, Config
from meshlint.findings import Finding, Linted, Report
from meshlint.lint import lint_loaded
from meshlint.policy.rules import Rule
from meshlint.source.load import load

CHANGE: Final = "behaviour-change"


def compared(
    inputs: Sequence[str],
    config: Config,
    rules: Mapping[str, Rule],
    start: str,
    target: str,
    *,
    stdin: bytes | None = None,
) -> Linted:
    """The findings that the new release adds to those of the old one, and changes of behaviour."""
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
