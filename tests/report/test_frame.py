"""Marks stand under the characters that they mean, whatever the line holds."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from meshlint.findings import Location
from meshlint.report.frame import LINE_WIDTH, Mark, frame
from meshlint.report.paint import paint
from meshlint.report.printable import one_line, width


def shown(line: str, start: int, end: int) -> tuple[str, str]:
    """The printed source line and the row of marks under it, without the gutter."""
    mark = Mark(Location("a", "", 1, start, 1, end), "", primary=True)
    _, source, marks = frame([line], [mark], 1, paint(False), "error")
    return source[5:], marks[5:]


def marked(line: str, start: int, end: int) -> str:
    """What stands over the marks."""
    source, marks = shown(line, start, end)
    cells = "".join(character + "\0" * (width(character) - 1) for character in source if width(character))
    return cells[len(marks) - len(marks.lstrip(" ")) : len(marks)].replace("\0", "")


def test_tabs_and_wide_characters() -> None:
    assert marked("\ta: b", 2, 3) == "a"
    assert marked("東京\t: 経路 x", 6, 8) == "経路"
    assert shown("\ta", 2, 3) == ("    a", "    ^")


@given(st.text(st.characters(categories=["L", "Lo", "Zs", "Nd"]), max_size=300), st.data())
def test_marks_stand_under_the_span(line: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(line)))
    end = data.draw(st.integers(start, min(len(line), start + 20)))
    visible = "".join(c for c in one_line(line[start:end]) if width(c))
    line = line[:start] + "<" + line[start:end] + ">" + line[end:]
    if visible:
        assert marked(line, start + 1, end + 3) == f"<{visible}>"


@given(st.integers(0, 3000), st.integers(0, 3000))
def test_long_lines_are_cut_around_the_span(before: int, after: int) -> None:
    line = "x" * before + "HERE" + "y" * after
    source, _ = shown(line, before + 1, before + 5)
    assert marked(line, before + 1, before + 5) == "HERE"
    assert len(source) <= LINE_WIDTH + 6
    assert source.startswith("...") == (not source.startswith(line[:4]))


def test_a_line_of_megabytes_costs_nothing() -> None:
    line = "{" + '"a": 1, ' * 500_000 + '"b": 2}'
    begun = time.perf_counter()
    assert marked(line, 4_000_002, 4_000_005) == '"b"'
    assert time.perf_counter() - begun < 0.5


def test_a_span_longer_than_the_line_may_be() -> None:
    source, marks = shown("a: " + "b" * 1000, 4, 1004)
    assert source.endswith("b...")
    assert len(marks) == LINE_WIDTH


def test_places_beyond_the_text() -> None:
    assert shown("ab", 9, 12) == ("ab", "  ^")
    mark = Mark(Location("a", "", 7, 1, 7, 2), "gone", primary=True)
    assert list(frame(["a"], [mark], 1, paint(False), "error")) == ["   |", " 7 |", "   | ^ gone"]
