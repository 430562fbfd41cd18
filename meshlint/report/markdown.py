"""The report as GitHub-flavoured Markdown, for the summary of a job.

GitHub refuses a summary above 1 MiB as a whole, so what does not fit is counted instead of written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from meshlint.findings import SEVERITIES, Finding, Report
from meshlint.report import Sources
from meshlint.report.printable import one_line
from meshlint.report.text import summary

MAX_BYTES: Final = 1_000_000
_MAX_CELL: Final = 2_000
_SPECIAL: Final = re.compile(r"[\\`*_\[\]|~#$@:]")
_HTML: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def render(report: Report, sources: Sources, *, color: bool = False, root: str = "") -> str:
    parts = [f"## meshlint\n\n{escape(summary(report))}\n"]
    parts += _errors(report)
    room = MAX_BYTES - sum(_size(part) for part in parts)
    left_out = 0
    for findings in _by_rule(report):
        section, missing = _section(report, findings, room)
        parts.append(section)
        room -= _size(section)
        left_out += missing
    if left_out:
        parts.append(f"\n{left_out} more findings do not fit into this summary.\n")
    return "".join(parts)


def escape(text: str) -> str:
    """Text that Markdown shows as it is, also inside a cell of a table; cut where it is very long."""
    line = one_line(text)
    if len(line) > _MAX_CELL:
        line = line[: _MAX_CELL - 3] + "..."
    return _html(_SPECIAL.sub(r"\\\g<0>", line))


def _html(text: str) -> str:
    return "".join(_HTML.get(character, character) for character in one_line(text))


def _errors(report: Report) -> Iterator[str]:
    if report.errors:
        yield "\n### The job could not be done completely\n\n"
        for error in report.errors[:100]:
            where = f"{escape(error.file)}: " if error.file else ""
            yield f"- {where}{escape(error.message)}\n"
        if len(report.errors) > 100:
            yield f"- and {len(report.errors) - 100} more\n"


def _by_rule(report: Report) -> list[list[Finding]]:
    """Findings of each rule by place; the rule with the most severe finding first, then the larger."""
    groups: dict[str, list[Finding]] = {}
    for finding in sorted(report.active, key=lambda f: (SEVERITIES.index(f.severity), f.sort_key)):
        groups.setdefault(finding.rule, []).append(finding)
    return sorted(groups.values(), key=lambda g: (SEVERITIES.index(g[0].severity), -len(g), g[0].rule))


def _section(report: Report, findings: list[Finding], room: int) -> tuple[str, int]:
    """The collapsible table of a rule, and how many of its findings it has no room for."""
    first = findings[0]
    info = report.rules.get(first.rule)
    about = f": {_html(info.summary)}" if info and info.summary else ""
    opened = " open" if first.severity == "error" else ""
    head = (
        f"\n<details{opened}><summary>{first.severity} <code>{_html(first.rule)}</code> "
        f"({len(findings)}){about}</summary>\n\n"
        "| Place | Resource | Finding |\n| --- | --- | --- |\n"
    )
    rows: list[str] = []
    end = "\n</details>\n"
    used = _size(head) + len(end)
    for finding in findings:
        row = _row(finding)
        used += _size(row)
        if used > room:
            break
        rows.append(row)
    if not rows:
        return "", len(findings)
    return f"{head}{''.join(rows)}{end}", len(findings) - len(rows)


def _row(finding: Finding) -> str:
    at, about = finding.location, finding.resource
    name = about.title if about is not None else ""
    place = escape(f"{at.file}:{at.start_line}:{at.start_column}")
    return f"| {place} | {escape(name)} | {escape(finding.message)} |\n"


def _size(text: str) -> int:
    return len(text.encode("utf-8", "replace"))
