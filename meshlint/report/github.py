"""Workflow commands of GitHub Actions: findings as annotations on the lines of a change.

GitHub shows ten annotations of each level per step, so the most important ten are written, and how many
there are besides them (spec ecosystem d.2).
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Final

from meshlint.findings import CONFIDENCES, Finding, Report
from meshlint.report import Sources
from meshlint.report.printable import one_line

PER_LEVEL: Final = 10
_LEVELS: Final = {"error": "error", "warning": "warning", "info": "notice"}


def render(report: Report, sources: Sources, *, color: bool = False, root: str = "") -> str:
    commands: dict[str, list[str]] = {"error": [], "warning": [], "notice": []}
    for error in report.errors:
        at = {"file": path_from(error.file, root)} if error.file else {}
        commands["error"].append(command("error", {**at, "title": "meshlint"}, error.message))
    for finding in sorted(report.active, key=lambda f: (CONFIDENCES.index(f.confidence), f.sort_key)):
        level = _LEVELS[finding.severity]
        commands[level].append(_annotation(level, finding, root))
    rest = sum(max(len(found) - PER_LEVEL, 0) for found in commands.values())
    if rest:
        rest += max(0, len(commands["notice"][:PER_LEVEL]) - PER_LEVEL + 1)
        commands["notice"] = [*commands["notice"][: PER_LEVEL - 1], _rest(rest)]
    lines = [line for found in commands.values() for line in found[:PER_LEVEL]]
    return "".join(f"{line}\n" for line in lines)


def _annotation(level: str, finding: Finding, root: str) -> str:
    at = finding.location
    properties = {"file": path_from(at.file, root), "line": str(at.start_line)}
    if at.end_line == at.start_line:  # columns are for spans of one line only
        properties |= {"col": str(at.start_column), "endLine": str(at.end_line)}
        properties["endColumn"] = str(max(at.end_column, at.start_column))
    else:
        properties["endLine"] = str(at.end_line)
    properties["title"] = f"meshlint: {finding.rule}"
    help_ = f"\n{finding.help}" if finding.help else ""
    return command(level, properties, f"{finding.message}{help_}")


def _rest(number: int) -> str:
    what = "1 more finding is" if number == 1 else f"{number} more findings are"
    return command("notice", {"title": "meshlint"}, f"{what} not annotated; the whole report has all of them")


def command(level: str, properties: Mapping[str, str], message: str) -> str:
    """One workflow command; line ends of the message are kept."""
    written = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    return f"::{level} {written}::{_data(message)}"


def _data(text: str) -> str:
    return "%0A".join(one_line(line).replace("%", "%25") for line in text.split("\n"))


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def path_from(file: str, root: str) -> str:
    """A path relative to the repository."""
    return posixpath.normpath(posixpath.join(root, file))
