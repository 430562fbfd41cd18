"""Where reports go: ``--output FORMAT[=FILE]``, files written whole or not at all."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

import click

from meshlint.cli.refusal import Refusal
from meshlint.findings import Finding, Report
from meshlint.policy.names import closest
from meshlint.records import dataclass
from meshlint.report import FORMATS, FROM_REPOSITORY, Sources, renderer
from meshlint.report.statistics import statistics

STDOUT: Final = "-"
#: formats that people read: what is asked for on top of the findings goes into the report itself
FOR_PEOPLE: Final = ("text", "concise")


@dataclass(frozen=True, slots=True)
class Output:
    format: str
    file: str

    @property
    def to_people(self) -> bool:
        return self.file == STDOUT and self.format in FOR_PEOPLE


def outputs(
    written: Sequence[str], format_: str | None, formats: Collection[str] = tuple(FORMATS)
) -> tuple[Output, ...]:
    """The reports that are asked for; text on standard output when none is."""
    wanted = [*written, *([format_] if format_ else [])]
    found = tuple(_output(text, formats) for text in wanted) or (Output("text", STDOUT),)
    for target in {output.file for output in found}:
        if sum(output.file == target for output in found) > 1:
            where = "standard output" if target == STDOUT else target
            raise click.UsageError(f"two reports cannot both go to {where}")
    return found


def write(
    output: Output, report: Report, sources: Sources, *, color: bool, extra: Sequence[str] = ()
) -> None:
    """Render one report and write it; `extra` are lines for people after it."""
    root = root_prefix() if output.format in FROM_REPOSITORY else ""
    render = renderer(output.format)
    text = render(report, sources, color=color and output.file == STDOUT, root=root)
    put(output, text + "".join(f"{line}\n" for line in extra if output.file == STDOUT))


def put(output: Output, text: str) -> None:
    """Write a rendered report to where it goes."""
    if output.file == STDOUT:
        sys.stdout.write(text)
        return
    try:
        _write_whole(Path(output.file), text)
    except OSError as error:
        raise Refusal(f"{output.file}: cannot be written: {error.strerror}") from None


def root_prefix() -> str:
    """The path of the current folder inside its Git repository, '' at its root or outside of any."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / ".git").exists():
            prefix = here.relative_to(folder).as_posix()
            return "" if prefix == "." else prefix
    return ""


def suppressed_lines(report: Report) -> list[str]:
    """What --show-suppressed adds: one line per finding that somebody accepted."""
    hidden = sorted((f for f in report.findings if f.suppressed), key=lambda f: f.sort_key)
    if not hidden:
        return []
    return ["", f"suppressed ({len(hidden)}):", *(f"  {_suppressed_line(finding)}" for finding in hidden)]


def statistics_lines(report: Report) -> list[str]:
    """What --statistics adds."""
    return ["", *statistics(report).splitlines()] if report.active else []


def _output(text: str, formats: Collection[str]) -> Output:
    name, equals, file = text.partition("=")
    if name not in formats:
        near = closest(name, formats)
        hint = f"; did you mean {near!r}?" if near else f", expected one of {', '.join(formats)}"
        raise click.BadParameter(f"there is no format {name!r}{hint}", param_hint="--output")
    if equals and not file:
        raise click.BadParameter(f"{text!r} names no file after '='", param_hint="--output")
    folder = Path(file).parent
    if file and file != STDOUT and not folder.is_dir():
        raise click.BadParameter(f"{file}: there is no folder {folder}", param_hint="--output")
    return Output(name, file or STDOUT)


def _write_whole(path: Path, text: str) -> None:
    """Write next to the file and move over it; what is no regular file (a pipe) is written to."""
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):
        path.write_text(text, "utf-8")
        return
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        draft.write_text(text, "utf-8")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _suppressed_line(finding: Finding) -> str:
    at, suppression = finding.location, finding.suppressed
    assert suppression is not None  # noqa: S101
    by = f"by {suppression.kind}"
    if suppression.location is not None:
        by += f" at {suppression.location.file}:{suppression.location.start_line}"
    reason = f": {suppression.reason}" if suppression.reason else ", no reason given"
    return f"{at.file}:{at.start_line}:{at.start_column}: {finding.severity}[{finding.rule}] ({by}{reason})"
