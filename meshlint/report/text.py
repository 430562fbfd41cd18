"""Findings for people: the lines that cause each one, with what has to do with them, and a summary.

All spans of one finding that lie in one file share a frame; every other file gets a frame of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from meshlint.findings import SEVERITIES, Finding, Location, Report
from meshlint.records import dataclass
from meshlint.report import Sources
from meshlint.report.frame import Mark, frame
from meshlint.report.paint import Paint, paint
from meshlint.report.printable import one_line

#: Words for the reasons of skipping in the summary; other reasons are shown as they are.
SKIP_REASONS: Final = {
    "helm-template": "Helm template",
    "jinja-template": "Jinja template",
    "erb-template": "ERB template",
    "ytt-template": "ytt template",
}


def render(report: Report, sources: Sources, *, color: bool = False, root: str = "") -> str:
    look = paint(color)
    texts = _Texts(sources)
    blocks = [
        "\n".join(_finding(finding, texts, look)) + "\n"
        for finding in sorted(report.active, key=lambda f: f.sort_key)
    ]
    return "\n".join([*blocks, summary(report) + "\n"])


def summary(report: Report) -> str:
    """The last line: how much was found, in how much, and what was left out."""
    active = report.active
    fixable = sum(1 for f in active if f.fix is not None)
    size = f"{_count(report.resources, 'resource')}, {_count(report.files, 'file')}"
    parts = [f"{_found(report, len(active))} in {size}"]
    if fixable:
        parts.append(f"{fixable} fixable")
    if report.suppressed:
        parts.append(f"{report.suppressed} suppressed")
    if report.skipped:
        parts.append(f"{_count(len(report.skipped), 'file')} skipped ({_reasons(report)})")
    if report.errors:
        parts.append(f"incomplete because of {_count(len(report.errors), 'error')}")
    return "; ".join(parts)


def _found(report: Report, number: int) -> str:
    if not number:
        return "No findings"
    counts = []
    for severity in SEVERITIES:
        count = report.count(severity)
        if count:
            counts.append(f"{count} info" if severity == "info" else _count(count, severity))
    return f"{_count(number, 'finding')} ({', '.join(counts)})"


def _reasons(report: Report) -> str:
    counts = Counter(SKIP_REASONS.get(s.reason, one_line(s.reason)) for s in report.skipped)
    if len(counts) == 1:
        return _count(len(report.skipped), next(iter(counts))).partition(" ")[2]
    return ", ".join(_count(count, reason) for reason, count in sorted(counts.items()))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


@dataclass(slots=True)
class _Group:
    """The spans of one finding that lie in one file; `at` is named in the head of the frame."""

    at: Location
    marks: list[Mark]


def _finding(finding: Finding, texts: _Texts, look: Paint) -> Iterator[str]:
    title = look.severity(finding.severity, f"{finding.severity}[{finding.rule}]")
    fix = "   " + look.dim(f"[{finding.fix.safety} fix]") if finding.fix else ""
    yield f"{title}{look.bold(': ' + one_line(finding.message))}{fix}"
    groups = _groups(finding)
    margin = len(str(max(mark.at.start_line for group in groups for mark in group.marks)))
    indent = " " * (margin + 1)
    for group in groups:
        arrow = "-->" if group is groups[0] else ":::"
        at = group.at
        yield f"{indent}{look.blue(arrow)} {one_line(at.file)}:{at.start_line}:{at.start_column}"
        lines = texts.lines(at.file)
        if lines is not None:
            yield from frame(lines, group.marks, margin, look, finding.severity)
        else:
            for mark in group.marks:
                if mark.label:
                    note = f"{one_line(mark.label)} (line {mark.at.start_line})"
                    yield f"{indent} {look.blue('=')} note: {note}"
    if finding.help:
        yield f"{indent} {look.blue('=')} help: {one_line(finding.help)}"
    yield f"{indent} {look.blue('=')} docs: meshlint explain {finding.rule}"


def _groups(finding: Finding) -> list[_Group]:
    first = _Group(finding.location, [Mark(finding.location, finding.label, primary=True)])
    groups = {finding.location.file: first}
    for related in finding.related:
        at = related.location
        mark = Mark(at, related.label, primary=False)
        if at.file in groups:
            groups[at.file].marks.append(mark)
        else:
            groups[at.file] = _Group(at, [mark])
    return list(groups.values())


class _Texts:
    """Lines of the inputs; each text is split once."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._lines: dict[str, list[str] | None] = {}

    def lines(self, file: str) -> list[str] | None:
        if file not in self._lines:
            text = self._sources(file)
            self._lines[file] = None if text is None else text.split("\n")
        return self._lines[file]
