"""SARIF 2.1.0 for GitHub code scanning and other viewers (spec ecosystem d.2, d.3)."""

from __future__ import annotations

import json
import posixpath
from collections import Counter, defaultdict
from typing import Any, Final
from urllib.parse import quote

from meshlint import __version__
from meshlint.findings import SEVERITIES, Finding, Location, Report, RuleInfo, Suppression
from meshlint.report import Sources
from meshlint.report.fingerprints import content_fingerprint, line_hashes

SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
#: GitHub accepts 25,000 results and shows the 5,000 most severe ones
MAX_RESULTS: Final = 25_000
SHOWN_RESULTS: Final = 5_000
MAX_LOCATIONS: Final = 100
MAX_TAGS: Final = 10
MAX_DESCRIPTION: Final = 1024

SECURITY_FAMILIES: Final = frozenset(("mtls", "jwt", "authz", "injection"))
_LEVELS: Final = {"error": "error", "warning": "warning", "info": "note"}
_PROBLEMS: Final = {"error": "error", "warning": "warning", "info": "recommendation"}
_SECURITY_SEVERITIES: Final = {"error": "8.0", "warning": "5.5", "info": "3.0"}


def render(
    report: Report,
    sources: Sources,
    *,
    color: bool = False,
    root: str = "",
    category: str = "meshlint",
) -> str:
    findings = _chosen(report)
    infos = _infos(report, findings)
    index = {info.name: number for number, info in enumerate(infos)}
    hashes = _hashes(findings, sources)
    seen: Counter[str] = Counter()
    results = []
    for finding in findings:
        content = content_fingerprint(finding)
        seen[content] += 1
        prints = {"meshlint/v1": f"{content}:{seen[content]}"}
        line = hashes.get((finding.location.file, finding.location.start_line))
        if line is not None:
            prints["primaryLocationLineHash"] = line
        results.append(_result(finding, index[finding.rule], root) | {"partialFingerprints": prints})
    run = {
        "tool": {
            "driver": {
                "name": "meshlint",
                "version": __version__,
                "semanticVersion": __version__,
                "rules": [_rule(info) for info in infos],
            }
        },
        "automationDetails": {"id": f"{category.rstrip('/')}/"},
        "columnKind": "unicodeCodePoints",
        "invocations": [_invocation(report, len(report.findings) - len(findings), root)],
        "results": results,
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _chosen(report: Report) -> list[Finding]:
    """Findings by place; by severity first where there are more than anybody would show."""
    findings = sorted(report.findings, key=lambda f: f.sort_key)
    if len(findings) > SHOWN_RESULTS:
        findings.sort(key=lambda f: (f.suppressed is not None, SEVERITIES.index(f.severity)))
    return findings[:MAX_RESULTS]


def _infos(report: Report, findings: list[Finding]) -> list[RuleInfo]:
    """The rules that have results, by name."""
    used = {finding.rule: finding for finding in reversed(findings)}
    return [
        report.rules.get(name)
        or RuleInfo(name, f.family, name.replace("-", " "), f.severity, f.confidence, "default")
        for name, f in sorted(used.items())
    ]


def _hashes(findings: list[Finding], sources: Sources) -> dict[tuple[str, int], str]:
    wanted: dict[str, set[int]] = defaultdict(set)
    for finding in findings:
        wanted[finding.location.file].add(finding.location.start_line)
    found = {}
    for file, lines in wanted.items():
        text = sources(file)
        if text is not None:
            found.update({(file, line): value for line, value in line_hashes(text, lines).items()})
    return found


def _rule(info: RuleInfo) -> dict[str, Any]:
    security = info.family in SECURITY_FAMILIES
    tags = [info.family, *(["security"] if security else []), "istio", "service-mesh", *info.controls]
    properties = {
        "tags": list(dict.fromkeys(tags))[:MAX_TAGS],
        "precision": info.confidence,
        "problem.severity": _PROBLEMS[info.severity],
    }
    if security:
        properties["security-severity"] = _SECURITY_SEVERITIES[info.severity]
    return {
        "id": info.name,
        "name": info.name[:255],
        "shortDescription": {"text": _cut(info.summary or info.name)},
        "fullDescription": {"text": _cut(" ".join(info.why.split()) or info.summary or info.name)},
        "help": {"text": _help_text(info), "markdown": _help_markdown(info)},
        "defaultConfiguration": {"level": _LEVELS[info.severity]},
        "properties": properties,
    }


def _help_text(info: RuleInfo) -> str:
    parts = [info.summary or info.name, info.why.strip(), f"More: meshlint explain {info.name}"]
    return "\n\n".join(part for part in parts if part)


def _help_markdown(info: RuleInfo) -> str:
    parts = [f"**{info.summary or info.name}**", info.why.strip()]
    if info.equivalents:
        parts.append(f"Elsewhere known as {', '.join(info.equivalents)}.")
    if info.controls:
        parts.append(f"Controls: {', '.join(info.controls)}.")
    if info.references:
        parts.append("\n".join(f"- <{reference}>" for reference in info.references))
    parts.append(f"More: `meshlint explain {info.name}`")
    return "\n\n".join(part for part in parts if part)


def _result(finding: Finding, rule: int, root: str) -> dict[str, Any]:
    location: dict[str, Any] = {"physicalLocation": _physical(finding.location, root)}
    properties: dict[str, Any] = {"confidence": finding.confidence}
    if finding.equivalents:
        properties["equivalents"] = list(finding.equivalents)
    if finding.location.path:
        properties["path"] = finding.location.path
    about = finding.resource
    if about is not None:
        name = f"{about.namespace}/{about.name}" if about.namespace else about.name
        full = f"{about.api_version}/{about.kind}/{name}"
        location["logicalLocations"] = [{"name": name, "fullyQualifiedName": full, "kind": "resource"}]
    related = finding.related[:MAX_LOCATIONS]
    result: dict[str, Any] = {
        "ruleId": finding.rule,
        "ruleIndex": rule,
        "level": _LEVELS[finding.severity],
        "message": {"text": _message(finding)},
        "locations": [location],
        "properties": properties,
    }
    if related:
        result["relatedLocations"] = [
            {
                "id": number,
                "message": {"text": r.label or r.location.file},
                "physicalLocation": _physical(r.location, root),
            }
            for number, r in enumerate(related, 1)
        ]
    if finding.suppressed is not None:
        result["suppressions"] = [_suppression(finding.suppressed, root)]
    return result


def _message(finding: Finding) -> str:
    """The message, with links to the related locations by their ids."""
    text = finding.message or finding.rule
    if "](" in text:  # what looks like a link must not become one
        text = _link_text(text)
    links = [
        f"[{_link_text(r.label or r.location.file)}]({number})"
        for number, r in enumerate(finding.related[:MAX_LOCATIONS], 1)
    ]
    end = "" if text.endswith((".", "!", "?")) else "."
    return f"{text}{end}\nSee also: {', '.join(links)}." if links else text


def _link_text(text: str) -> str:
    return text.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]")


def _physical(at: Location, root: str) -> dict[str, Any]:
    start_line, start_column = max(at.start_line, 1), max(at.start_column, 1)
    end_line = max(at.end_line, start_line)
    end_column = max(at.end_column, start_column + 1) if end_line == start_line else max(at.end_column, 1)
    return {
        "artifactLocation": {"uri": uri(at.file, root)},
        "region": {
            "startLine": start_line,
            "startColumn": start_column,
            "endLine": end_line,
            "endColumn": end_column,
        },
    }


def uri(file: str, root: str = "") -> str:
    """A file as a reference relative to the root of the repository: percent-encoded, no ``./``."""
    path = posixpath.normpath(posixpath.join(root.replace("\\", "/"), file))
    try:
        data = path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        data = path.encode("utf-8", "replace")
    encoded = quote(data, safe="/-._~!$&'()*+,;=@")
    return f"file://{encoded}" if path.startswith("/") else encoded


def _suppression(suppressed: Suppression, root: str) -> dict[str, Any]:
    in_source = suppressed.kind in ("comment", "annotation")
    found: dict[str, Any] = {"kind": "inSource" if in_source else "external", "status": "accepted"}
    if suppressed.reason:
        found["justification"] = suppressed.reason
    if suppressed.location is not None and in_source:
        found["location"] = {"physicalLocation": _physical(suppressed.location, root)}
    return found


def _invocation(report: Report, left_out: int, root: str) -> dict[str, Any]:
    notes = [_notification("error", error.message, error.file, root) for error in report.errors]
    notes += [_notification("note", notice, None, root) for notice in report.notices]
    if left_out:
        notes.append(_notification("warning", f"{left_out} less severe findings are left out", None, root))
    return {"executionSuccessful": not report.errors, "toolExecutionNotifications": notes}


def _notification(level: str, message: str, file: str | None, root: str) -> dict[str, Any]:
    found: dict[str, Any] = {"level": level, "message": {"text": message or level}}
    if file:
        found["locations"] = [{"physicalLocation": {"artifactLocation": {"uri": uri(file, root)}}}]
    return found


def _cut(text: str) -> str:
    return text if len(text) <= MAX_DESCRIPTION else text[: MAX_DESCRIPTION - 3] + "..."
