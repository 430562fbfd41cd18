"""The JSON report: a contract to which fields are only ever added (docs: output formats)."""

from __future__ import annotations

import json
from typing import Any

from meshlint import __version__
from meshlint.findings import SEVERITIES, Finding, Location, Report
from meshlint.report import Sources

SCHEMA_VERSION = 1


def render(report: Report, sources: Sources, *, color: bool = False, root: str = "") -> str:
    return json.dumps(document(report), indent=2) + "\n"


def document(report: Report) -> dict[str, Any]:
    """The report as plain data, sorted by place."""
    return {
        "schema_version": SCHEMA_VERSION,
        "meshlint": __version__,
        "findings": [_finding(f) for f in sorted(report.findings, key=lambda f: f.sort_key)],
        "errors": [{"file": e.file, "message": e.message} for e in report.errors],
        "skipped": [
            {"file": s.file, "reason": s.reason} for s in sorted(report.skipped, key=lambda s: s.file)
        ],
        "summary": {
            "files": report.files,
            "documents": report.documents,
            "resources": report.resources,
            **{severity: report.count(severity) for severity in SEVERITIES},
            "suppressed": report.suppressed,
        },
    }


def _finding(finding: Finding) -> dict[str, Any]:
    about, fix, suppressed = finding.resource, finding.fix, finding.suppressed
    return {
        "rule": finding.rule,
        "family": finding.family,
        "severity": finding.severity,
        "confidence": finding.confidence,
        "message": finding.message,
        "help": finding.help,
        "resource": about
        and {
            "apiVersion": about.api_version,
            "kind": about.kind,
            "namespace": about.namespace,
            "name": about.name,
        },
        "location": _location(finding.location),
        "label": finding.label,
        "related": [{"label": r.label, "location": _location(r.location)} for r in finding.related],
        "equivalents": list(finding.equivalents),
        "fix": fix and {"safety": fix.safety, "title": fix.title},
        "suppressed": suppressed
        and {
            "kind": suppressed.kind,
            "reason": suppressed.reason,
            "location": suppressed.location and _location(suppressed.location),
        },
    }


def _location(at: Location) -> dict[str, Any]:
    return {
        "file": at.file,
        "path": at.path,
        "start": {"line": at.start_line, "column": at.start_column},
        "end": {"line": at.end_line, "column": at.end_column},
    }
