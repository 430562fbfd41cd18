"""Every format writes the sample report as the files in `expected` show.

MESHLINT_UPDATE_EXPECTED=1 writes them anew; read the difference before it is committed.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshlint import __version__
from meshlint.findings import Finding, Location, Report, RunError, Suppression
from meshlint.report import FORMATS, renderer
from meshlint.report.cacheable import from_data, to_data
from meshlint.report.printable import one_line
from meshlint.report.statistics import statistics
from tests.report.sample import SOURCES, sample

EXPECTED = Path(__file__).parent / "expected"


def rendered(name: str, report: Report | None = None) -> str:
    return renderer(name)(sample() if report is None else report, SOURCES.get)


def check(name: str, text: str) -> None:
    file = EXPECTED / f"{name}.txt"
    text = text.replace(f'"{__version__}"', '"VERSION"')
    if os.environ.get("MESHLINT_UPDATE_EXPECTED"):
        file.write_text(text, encoding="utf-8", newline="\n")
    assert text == file.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", FORMATS)
def test_sample(name: str) -> None:
    check(name, rendered(name))


def test_colors() -> None:
    colored = renderer("text")(sample(), SOURCES.get, color=True)
    check("text-color", colored)
    plain = rendered("text")
    assert "\x1b" not in plain
    for code in ("1;31", "1;33", "1;36", "1;34", "1", "2", "0"):
        colored = colored.replace(f"\x1b[{code}m", "")
    assert colored == plain


def test_statistics() -> None:
    check("statistics", statistics(sample()))


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_found(name: str) -> None:
    check(f"nothing-{name}", rendered(name, Report(files=2, documents=3, resources=3)))


def test_order_of_findings_does_not_matter() -> None:
    backwards = sample()
    backwards.findings.reverse()
    backwards.skipped.reverse()
    for name in FORMATS:
        assert rendered(name, backwards) == rendered(name)


# -- anything may stand in a message, a label, a file name --------------------------------------------

anything = st.text(st.characters(codec=None), max_size=40) | st.sampled_from(
    [
        "::error::x",
        "a](http://x)",
        "\x1b[2J",
        "| a |",
        "</details>",
        "%0A",
        "\r\n::debug::",
        "\ud800",
        "",
        "```",
    ]
)


def hostile(text: str, file: str) -> Report:
    where = Location(file, text, 1, 2, 1, 3)
    findings = [
        Finding("a-rule", "mtls", "error", "high", text, where, text, text),
        Finding("a-rule", "mtls", "error", "high", text, where, suppressed=Suppression("config", text)),
    ]
    return Report(findings=findings, errors=[RunError(text, file or None)])


@given(anything, anything)
def test_terminal_formats_stay_on_their_lines(text: str, file: str) -> None:
    report = hostile(text, file)
    concise = renderer("concise")(report, lambda _: text)
    assert concise.count("\n") == 1 == len(concise.splitlines())
    shown = renderer("text")(report, lambda _: text)
    assert len(shown.splitlines()) == len(shown.split("\n")) - 1
    assert not [c for c in shown if c != "\n" and (ord(c) < 32 or 127 <= ord(c) < 160)]


@given(anything, anything)
def test_workflow_commands_cannot_be_forged(text: str, file: str) -> None:
    written = renderer("github")(hostile(text, file), lambda _: text)
    assert len(written.split("\n")) == 3
    assert "\r" not in written
    for line in written.rstrip("\n").split("\n"):
        head, _, message = line.removeprefix("::error ").partition("::")
        assert decoded(message).startswith("\n".join(map(one_line, text.split("\n"))))
        assert all(part.partition("=")[0].isalpha() for part in head.split(","))


def decoded(text: str) -> str:
    return text.replace("%0A", "\n").replace("%25", "%")


@given(anything, anything)
def test_markdown_rows_stay_rows(text: str, file: str) -> None:
    written = renderer("markdown")(hostile(text, file), lambda _: text)
    [row] = [line for line in written.splitlines() if line.startswith("| ") and "\\:1\\:2" in line]
    unescaped = row.replace("\\\\", "").replace("\\|", "")
    assert unescaped.count("|") == 4
    assert written.count("<") == 6
    assert "`" not in written.replace("\\`", "")


@given(anything, anything)
def test_json_says_what_was_said(text: str, file: str) -> None:
    data = json.loads(renderer("json")(hostile(text, file), lambda _: None))
    assert [f["message"] for f in data["findings"]] == [text, text]
    assert data["findings"][0]["location"]["file"] == file


@given(anything, anything)
def test_cache_round_trip(text: str, file: str) -> None:
    report = hostile(text, file)
    assert from_data(json.loads(json.dumps(to_data(report)))) == report


def test_cache_round_trip_of_everything() -> None:
    assert from_data(json.loads(json.dumps(to_data(sample())))) == sample()


@pytest.mark.parametrize("data", [{}, {"version": 1}, {"version": 1, "counts": [1]}])
def test_a_cache_of_another_shape_is_refused(data: dict) -> None:
    with pytest.raises(ValueError, match="cached report"):
        from_data(data)


# -- limits of GitHub -------------------------------------------------------------------------------


def many(number: int, severity: str = "error", message: str = "m") -> Report:
    return Report(
        [
            Finding("r", "mtls", severity, "high", message, Location(f"{n:06}.yaml", "", 1, 1, 1, 2))
            for n in range(number)
        ]
    )


def test_ten_annotations_of_a_level() -> None:
    lines = rendered("github", many(25)).splitlines()
    assert len([line for line in lines if line.startswith("::error")]) == 10
    assert lines[-1] == (
        "::notice title=meshlint::15 more findings are not annotated; the whole report has all of them"
    )


def test_ten_notices_with_the_one_that_counts() -> None:
    lines = rendered("github", many(11, "info")).splitlines()
    assert len(lines) == 10
    assert lines[-1].startswith("::notice title=meshlint::2 more findings")
    assert len(rendered("github", many(10, "info")).splitlines()) == 10


def test_a_summary_that_does_not_fit_says_so() -> None:
    text = rendered("markdown", many(3000, message="ä" * 500))
    assert len(text.encode()) < 1024 * 1024
    assert "more findings do not fit into this summary." in text
