"""How is a piece of source shown, with marks under the spans that matter?

Columns of a span count characters of the source line; what is printed counts cells: tabs are expanded
and wide characters take two. A line that is too long is cut around its first span.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from meshlint.findings import Location
from meshlint.records import dataclass
from meshlint.report.paint import Paint
from meshlint.report.printable import cell, one_line

#: cells of source text that are shown of one line
LINE_WIDTH: Final = 110
_NEAR: Final = 4 * LINE_WIDTH
_TAB: Final = 4
_CUT: Final = "..."


@dataclass(frozen=True, slots=True)
class Mark:
    """A span to point at; the primary one is drawn with ``^``, the others with ``-``."""

    at: Location
    label: str
    primary: bool


def frame(lines: list[str], marks: list[Mark], margin: int, look: Paint, severity: str) -> Iterator[str]:
    """The lines of one file that the marks name; `margin` is the width of the line numbers."""
    gutter = look.blue(" " * (margin + 2) + "|")
    yield gutter
    by_line: dict[int, list[Mark]] = {}
    for mark in sorted(marks, key=lambda m: (m.at.start_line, not m.primary, m.at.start_column)):
        by_line.setdefault(mark.at.start_line, []).append(mark)
    shown = 0
    for number in _numbers(lines, by_line):
        if shown and number > shown + 1:
            yield look.blue(_CUT)
        shown = number
        line = _Line(_text(lines, number), by_line.get(number, []))
        yield f"{look.blue(f' {number:>{margin}} |')} {line.text}".rstrip()
        for mark in by_line.get(number, ()):
            yield f"{gutter} {_pointer(line, mark, look, severity)}"


def _numbers(lines: list[str], by_line: dict[int, list[Mark]]) -> list[int]:
    """Lines with marks, the one before the primary span, and single lines between two of those."""
    wanted = set(by_line)
    wanted |= {
        number - 1
        for number, marks in by_line.items()
        if marks[0].primary and number > 1 and _text(lines, number - 1).strip()
    }
    wanted |= {number + 1 for number in wanted if number + 2 in wanted}
    return sorted(wanted)


def _text(lines: list[str], number: int) -> str:
    return lines[number - 1].rstrip("\r") if 0 < number <= len(lines) else ""


def _pointer(line: _Line, mark: Mark, look: Paint, severity: str) -> str:
    start, length = line.cells(mark.at)
    more = _CUT if mark.at.end_line > mark.at.start_line else ""
    label = f" {one_line(mark.label)}" if mark.label else ""
    if mark.primary:
        drawn = look.severity(severity, "^" * length + more + label)
    else:
        drawn = look.blue("-" * length + more + label)
    return " " * start + drawn


class _Line:
    """A source line as it is printed, and where its characters went."""

    def __init__(self, raw: str, marks: list[Mark]) -> None:
        # of a very long line (JSON without line ends) only the surroundings of the first span are read
        self._offset = max(0, marks[0].at.start_column - _NEAR) if marks and len(raw) > 4 * _NEAR else 0
        parts, starts = _cells(raw[self._offset : self._offset + 4 * _NEAR])
        self._starts = starts
        first, last, lead = self._window(marks[0].at if marks else None)
        before = first + self._offset
        tail = _CUT if before + last - first < len(raw) else ""
        self._lead = lead - starts[first]
        self._last = starts[last]
        self._first = starts[first]
        self.text = (_CUT if before else "") + "".join(parts[first:last]) + tail

    def cells(self, at: Location) -> tuple[int, int]:
        """First cell and number of cells of the part of a span that is on the line; at least one."""
        end_column = at.end_column if at.end_line == at.start_line else len(self._starts) + self._offset
        start = self._cell(at.start_column)
        end = self._cell(end_column)
        return start + self._lead, max(end - start, 1)

    def _cell(self, column: int) -> int:
        cells = self._starts[max(0, min(column - 1 - self._offset, len(self._starts) - 1))]
        return max(self._first, min(cells, self._last))

    def _window(self, at: Location | None) -> tuple[int, int, int]:
        """Characters [first, last) to show, and the cell at which the first of them is printed."""
        starts = self._starts
        count = len(starts) - 1
        if starts[-1] <= LINE_WIDTH:
            return 0, count, len(_CUT) if self._offset else 0
        column = min(at.start_column - 1 - self._offset, count) if at is not None else 0
        first = 0
        if starts[column] > LINE_WIDTH * 2 // 3:
            first = column
            while first and starts[column] - starts[first] < LINE_WIDTH // 4:
                first -= 1
        last = first
        while last < count and starts[last + 1] - starts[first] <= LINE_WIDTH:
            last += 1
        return first, last, len(_CUT) if first or self._offset else 0


def _cells(text: str) -> tuple[Sequence[str], Sequence[int]]:
    """What is printed for each character, and the cell where it starts; then where the last one ends."""
    if text.isascii() and text.isprintable():
        return text, range(len(text) + 1)
    parts: list[str] = []
    starts = [0]
    for character in text:
        at = starts[-1]
        if character == "\t":
            size = _TAB - at % _TAB
            parts.append(" " * size)
        else:
            printed = one_line(character)
            size = cell(printed)
            parts.append(printed)
        starts.append(at + size)
    return parts, starts
