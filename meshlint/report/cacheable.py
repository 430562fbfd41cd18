"""Report <-> plain data without loss, for a cache: lists instead of names, because it is read often.

The shape is nobody's contract: a cache must be thrown away when `VERSION` or meshlint's version changes.
"""

from __future__ import annotations

from dataclasses import astuple, fields
from typing import Any, Final

from meshlint.findings import (
    Finding,
    Fix,
    Location,
    Related,
    Report,
    ResourceRef,
    RuleInfo,
    RunError,
    Skipped,
    Suppression,
)

VERSION: Final = 1


def to_data(report: Report) -> dict[str, Any]:
    """Data that JSON can hold."""
    return {
        "version": VERSION,
        "findings": [_from_finding(finding) for finding in report.findings],
        "errors": [astuple(error) for error in report.errors],
        "skipped": [astuple(skipped) for skipped in report.skipped],
        "counts": [report.files, report.documents, report.resources],
        "rules": [_from_rule(rule) for rule in report.rules.values()],
        "notices": report.notices,
    }


def from_data(data: dict[str, Any]) -> Report:
    """The report again. Raises ValueError when the data has another version or shape."""
    if data.get("version") != VERSION:
        raise ValueError(f"cached report of version {data.get('version')!r}, expected {VERSION}")
    try:
        files, documents, resources = data["counts"]
        return Report(
            findings=[_to_finding(row) for row in data["findings"]],
            errors=[RunError(*row) for row in data["errors"]],
            skipped=[Skipped(*row) for row in data["skipped"]],
            files=files,
            documents=documents,
            resources=resources,
            rules={rule.name: rule for rule in map(_to_rule, data["rules"])},
            notices=list(data["notices"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"cached report of a wrong shape: {error}") from error


def _from_finding(f: Finding) -> list[Any]:
    about, suppressed = f.resource, f.suppressed
    return [
        f.rule,
        f.family,
        f.severity,
        f.confidence,
        f.message,
        _from_location(f.location),
        f.label,
        f.help,
        about and (about.api_version, about.kind, about.namespace, about.name),
        [(r.label, _from_location(r.location)) for r in f.related],
        f.equivalents,
        f.fix and (f.fix.safety, f.fix.title),
        suppressed
        and (
            suppressed.kind,
            suppressed.reason,
            suppressed.location and _from_location(suppressed.location),
        ),
    ]


def _to_finding(row: list[Any]) -> Finding:
    rule, family, severity, confidence, message, at, label, help_, about, related, *more = row
    equivalents, fix, suppressed = more
    return Finding(
        rule,
        family,
        severity,
        confidence,
        message,
        Location(*at),
        label,
        help_,
        ResourceRef(*about) if about else None,
        tuple(Related(text, Location(*place)) for text, place in related),
        tuple(equivalents),
        Fix(*fix) if fix else None,
        _to_suppression(suppressed) if suppressed else None,
    )


def _to_suppression(row: list[Any]) -> Suppression:
    kind, reason, at = row
    return Suppression(kind, reason, Location(*at) if at else None)


def _from_location(at: Location) -> tuple[Any, ...]:
    return (at.file, at.path, at.start_line, at.start_column, at.end_line, at.end_column)


def _from_rule(rule: RuleInfo) -> list[Any]:
    return [getattr(rule, field.name) for field in fields(RuleInfo)]


def _to_rule(row: list[Any]) -> RuleInfo:
    values: list[Any] = [tuple(value) if isinstance(value, list) else value for value in row]
    return RuleInfo(*values)
