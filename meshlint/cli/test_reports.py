"""Results of route tests as text for people and as JSON, JUnit XML and annotations of GitHub for machines."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any, Final
from xml.sax.saxutils import escape, quoteattr

from meshlint import __version__
from meshlint.meshtest.files import Complaint
from meshlint.meshtest.verdict import Check, Line, Result
from meshlint.records import dataclass
from meshlint.report.github import PER_LEVEL, command, path_from
from meshlint.report.paint import Paint, paint
from meshlint.report.printable import one_line

#: what XML 1.0 cannot hold
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Run:
    """Results of all files, and what could not be run. `files` counts the files that were read."""

    results: tuple[Result, ...]
    errors: tuple[Complaint, ...]
    files: int

    @property
    def failed(self) -> int:
        return sum(not result.passed for result in self.results)


def text(run: Run, look: Paint, *, verbose: bool) -> str:
    """Tests that fail, with `verbose` all, and how many there are of each kind."""
    lines = [line for r in run.results if verbose or not r.passed for line in (*_spelled(r, look), "")]
    return "".join(f"{line}\n" for line in (*lines, _verdict(run)))


def machine_text(format_: str, run: Run, root: str) -> str:
    """One of the other formats; `root` is the path of the working directory in its repository."""
    return _RENDERERS[format_](run, root)


# -- text ------------------------------------------------------------------------------------------------


def _verdict(run: Run) -> str:
    total = len(run.results)
    plural = "s" * (total != 1)
    if run.failed:
        verdict = f"{run.failed} of {total} route test{plural} fail{'s' * (run.failed == 1)}"
    else:
        verdict = f"{total} route test{plural} pass{'es' * (total == 1)}"
    return f"{verdict}, {run.files} file{'s' * (run.files != 1)}"


def _spelled(result: Result, look: Paint) -> Iterator[str]:
    """The request, the rule that takes it, and what is expected beside what happens."""
    word = look.bold("pass") if result.passed else look.severity("error", "FAIL")
    yield f"{word} {one_line(result.case.name)}"
    yield f"  {look.blue('-->')} {result.suite.file.path}:{result.case.line}"
    yield f"  request  {one_line(result.request)}"
    yield f"  rule     {one_line(result.rule)}" + (f"  ({result.at})" if result.at else "")
    for check in result.checks:
        yield from _check(check, result.suite.file.path, look)


def _check(check: Check, file: str, look: Paint) -> Iterator[str]:
    at = f"  ({', '.join(map(str, check.at))})" if check.at else ""
    if check.passed:
        yield f"    {check.key}: {one_line(check.actual)}{at}"
        return
    hint = f" ({check.hint})" if check.hint else ""
    expected = one_line(check.expected + hint)
    yield look.severity("error", f"  - {check.key}: {expected}") + f"  ({file}:{check.line})"
    yield look.bold(f"  + {check.key}: {one_line(check.actual)}") + at


# -- JSON ------------------------------------------------------------------------------------------------


def _json(run: Run, _root: str) -> str:
    document = {
        "schema_version": 1,
        "meshlint": __version__,
        "tests": [_json_test(result) for result in run.results],
        "errors": [
            {"file": e.file, "line": e.line or None, "column": e.column or None, "message": e.message}
            for e in run.errors
        ],
        "summary": {
            "files": run.files,
            "tests": len(run.results),
            "failed": run.failed,
            "errors": len(run.errors),
        },
    }
    return json.dumps(document, indent=2) + "\n"


def _json_test(result: Result) -> dict[str, Any]:
    return {
        "name": result.case.name,
        "file": result.suite.file.path,
        "line": result.case.line,
        "passed": result.passed,
        "request": result.request,
        "rule": {"text": result.rule, "at": _json_line(result.at)},
        "checks": [
            {
                "key": check.key,
                "line": check.line,
                "passed": check.passed,
                "expected": check.expected,
                "actual": check.actual,
                "hint": check.hint or None,
                "because": [_json_line(line) for line in check.at],
            }
            for check in result.checks
        ],
    }


def _json_line(line: Line | None) -> dict[str, Any] | None:
    return None if line is None else {"file": line.file, "line": line.line}


# -- JUnit -----------------------------------------------------------------------------------------------


def _junit(run: Run, _root: str) -> str:
    """A suite per file; what cannot be run is an error of the suite of its file."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>']
    total = len(run.results) + len(run.errors)
    lines += [f'<testsuites tests="{total}" failures="{run.failed}" errors="{len(run.errors)}">']
    results = {file: [*found] for file, found in groupby(run.results, lambda r: r.suite.file.path)}
    errors = {file: [*found] for file, found in groupby(run.errors, lambda e: e.file)}
    for file in dict.fromkeys((*results, *errors)):
        lines += _junit_suite(file, results.get(file, []), errors.get(file, []))
    return "".join(f"{line}\n" for line in (*lines, "</testsuites>"))


def _junit_suite(file: str, results: list[Result], errors: list[Complaint]) -> Iterator[str]:
    failed = sum(not result.passed for result in results)
    counts = f'tests="{len(results) + len(errors)}" failures="{failed}" errors="{len(errors)}"'
    yield f"  <testsuite name={_attribute(file)} {counts}>"
    for result in results:
        case = f"    <testcase name={_attribute(result.case.name)} classname={_attribute(file)}"
        case += f' file={_attribute(file)} line="{result.case.line}"'
        if result.passed:
            yield f"{case}/>"
            continue
        yield f"{case}>"
        whole = "\n".join(_spelled(result, paint(False)))
        yield f"      <failure message={_attribute(_summary(result))}>{escape(_clean(whole))}</failure>"
        yield "    </testcase>"
    for error in errors:
        yield f'    <testcase name="cannot be run" classname={_attribute(file)} file={_attribute(file)}>'
        yield f"      <error message={_attribute(str(error))}/>"
        yield "    </testcase>"
    yield "  </testsuite>"


def _attribute(text: str) -> str:
    return quoteattr(_clean(text), {"\n": "&#10;", "\t": "&#9;", "\r": "&#13;"})


def _clean(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)


# -- GitHub ----------------------------------------------------------------------------------------------


def _github(run: Run, root: str) -> str:
    """An annotation per test that fails, at its first line that is not as expected."""
    lines = []
    for error in run.errors:
        at = {"file": path_from(error.file, root)} | ({"line": str(error.line)} if error.line else {})
        lines.append(command("error", {**at, "title": "meshlint"}, error.message))
    for result in (r for r in run.results if not r.passed):
        line = next(check.line for check in result.checks if not check.passed)
        at = {"file": path_from(result.suite.file.path, root), "line": str(line)}
        message = "\n".join(_spelled(result, paint(False)))
        lines.append(command("error", {**at, "title": f"meshlint: {result.case.name}"}, message))
    rest = len(lines) - PER_LEVEL
    if rest > 0:
        more = f"{rest} more {'is' if rest == 1 else 'are'} not annotated; the whole report has all of them"
        lines = [*lines[:PER_LEVEL], command("notice", {"title": "meshlint"}, more)]
    return "".join(f"{line}\n" for line in lines)


def _summary(result: Result) -> str:
    wrong = (c for c in result.checks if not c.passed)
    return "; ".join(f"{c.key}: expected {c.expected}, found {c.actual}" for c in wrong)


_RENDERERS: Final[dict[str, Callable[[Run, str], str]]] = {"json": _json, "junit": _junit, "github": _github}
FORMATS: Final = ("text", *_RENDERERS)
