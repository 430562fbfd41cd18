"""`meshlint test`: do the examples of rule files show what they claim, and do route tests pass?"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from meshlint.cli.main import SETTINGS
from meshlint.cli.options import color_option, configured, rules_for, wants_color
from meshlint.cli.output import FOR_PEOPLE, STDOUT, Output, outputs, put, root_prefix
from meshlint.cli.refusal import Refusal, unread_documents
from meshlint.examples import cases, failures, shape_failures
from meshlint.meshtest.files import SUFFIXES, Complaint, Suite, SuiteError, is_suite, load_suite
from meshlint.policy.rules import Rule, RuleError, load_rule, load_rules
from meshlint.report.paint import paint
from meshlint.report.printable import one_line
from meshlint.source.discover import Found, discover
from meshlint.source.read import without_garbage_collection

if TYPE_CHECKING:
    from meshlint.cli.test_reports import Run
    from meshlint.mesh.mesh import Mesh
    from meshlint.meshtest.verdict import Result

_FORMATS: Final = ("text", "json", "junit", "github")
#: keys that rule files have, and manifests have not
_RULE: Final = (
    re.compile(r"^check:", re.MULTILINE),
    re.compile(r"^(?:name|family|summary|examples):", re.MULTILINE),
)


@click.command("test", context_settings=SETTINGS)
@click.argument("paths", nargs=-1)
@click.option("--config", "config_file", metavar="FILE", help="Read this instead of .meshlint.yaml.")
@click.option("--no-config", is_flag=True, help="Read no configuration file.")
@click.option("--verbose", "-v", is_flag=True, help="Show the route tests that pass, too.")
@click.option(
    "--output", multiple=True, metavar="FORMAT[=FILE]",
    help="Report on route tests: text, json, junit or github; may be repeated.",
)  # fmt: skip
@click.option("--format", "format_", metavar="FORMAT", help="Format of the report on standard output.")
@click.option("--rules", is_flag=True, help="Run the examples of the built-in rules, too.")
@click.option("--allow-empty", is_flag=True, help="Finding no test is fine.")
@color_option
def command(
    paths: tuple[str, ...],
    verbose: bool,
    output: tuple[str, ...],
    format_: str | None,
    rules: bool,
    allow_empty: bool,
    **options: Any,
) -> int:
    """Run route tests and the examples of rule files; without a path, the route tests of this folder.

    A route test (*.meshtest.yaml) states a request and what the mesh must do with it. Folders that are named
    are searched for both. The exit code is 1 if something fails, and 2 if there is no test or one cannot be
    run; all others run.
    """
    wanted = outputs(output, format_, _FORMATS)
    rule_files, suite_files = _sorted_by_content(paths, options, allow_empty)
    if not paths and not rules:
        suite_files = _suites_here(options)
    if not (rules or rule_files or suite_files or allow_empty):
        raise Refusal(_nothing(paths))
    failed = _test_rules(_loaded(rule_files, rules), options, wanted) if rules or rule_files else False
    if not suite_files and not output and not format_:
        return 1 if failed else 0
    run = _test_routes(suite_files, options)
    _report(run, wanted, verbose, options["color"])
    return 2 if run.errors else 1 if failed or run.failed else 0


def _nothing(paths: Sequence[str]) -> str:
    fine = "--allow-empty makes that fine"
    if paths:
        return f"no rule file and no route test is in {', '.join(paths)}; {fine}"
    rules = "--rules runs the examples of the built-in rules"
    return f"no route test (*.meshtest.yaml) is in the current folder; {fine}, and {rules}"


def _loaded(files: Sequence[Path], built_in: bool) -> list[Rule]:
    """The rules of files, and those that meshlint brings if they are asked for."""
    try:
        named = [load_rule(path) for path in files]
    except RuleError as error:
        raise Refusal(str(error)) from None
    return [*(load_rules().values() if built_in else ()), *named]


def _suites_here(options: Mapping[str, Any]) -> list[Path]:
    found = _found(".", options)
    return [Path(file.path) for file in found if file.path.endswith(SUFFIXES)]


def _found(name: str, options: Mapping[str, Any]) -> list[Found]:
    config = configured((name,), options)
    found = discover([name], exclude=config.exclude, root=config.root)
    if found.errors:
        raise Refusal("\n".join(f"{file}: {message}" for file, message in found.errors))
    return found.files


def _sorted_by_content(
    paths: Sequence[str], options: Mapping[str, Any], allow_empty: bool
) -> tuple[list[Path], list[Path]]:
    """Rule files and route tests; what a folder holds besides is left alone."""
    rules: list[Path] = []
    suites: list[Path] = []
    for name in paths:
        if name == "-":
            raise Refusal("tests are not read from standard input; name their files or folders")
        kinds = {Path(file.path): _kind(file) for file in _found(name, options)}
        rules += [file for file, kind in kinds.items() if kind == "rule"]
        suites += [file for file, kind in kinds.items() if kind == "suite"]
        if not any(kinds.values()) and not allow_empty:
            raise Refusal(_nothing((name,)))
    return rules, suites


def _kind(found: Found) -> str:
    """`rule`, `suite`, or '' for what was only met in a folder; what is named is a rule if not a suite."""
    if found.path.endswith(SUFFIXES):
        return "suite"
    try:
        text = Path(found.path).read_text("utf-8", "replace")
    except OSError:
        text = ""
    if found.named:
        return "suite" if is_suite(found.path, text) else "rule"
    return "rule" if all(key.search(text) for key in _RULE) else ""


# -- rules -------------------------------------------------------------------------------------------------


def _test_rules(rules: list[Rule], options: Mapping[str, Any], wanted: Sequence[Output]) -> bool:
    """Say what fails; beside a report for machines on standard output, on standard error."""
    aside = any(output.file == STDOUT and output.format not in FOR_PEOPLE for output in wanted)
    known = rules_for(configured((), options))
    total = failed = 0
    for rule in rules:
        lines = list(_lines(rule, {**known, rule.name: rule}))
        total += sum(1 for _ in cases(rule))
        failed += bool(lines)
        for line in lines:
            click.echo(line, err=aside)
    passing = "1 rule passes" if len(rules) == 1 else f"{len(rules)} rules pass"
    verdict = f"{failed} of {len(rules)} rules fail" if failed else passing
    click.echo(f"{verdict}, {total} examples", err=aside)
    return bool(failed)


def _lines(rule: Rule, rules: dict[str, Rule]) -> Iterator[str]:
    """What fails in one rule, a line each."""
    for what in shape_failures(rule):
        yield f"FAIL {rule.name}: {what}"
    for example, kind in cases(rule):
        for what in failures(rule, example, kind, rules):
            yield f"FAIL {rule.name}, {kind} example {example.name!r}: {what}"


# -- routes ------------------------------------------------------------------------------------------------


def _test_routes(paths: Sequence[Path], options: Mapping[str, Any]) -> Run:
    """Run what can be run; a file or a test that cannot be keeps no other from it."""
    from meshlint.cli.test_reports import Run
    from meshlint.meshtest.verdict import Runner

    runners: dict[tuple[str, ...], Runner] = {}
    results: list[Result] = []
    errors: list[Complaint] = []
    with without_garbage_collection():
        for path in paths:
            try:
                suite = load_suite(path)
                if suite.manifests not in runners:
                    runners[suite.manifests] = Runner(_mesh_of(suite, options))
                found, wrong = runners[suite.manifests].run(suite)
            except SuiteError as error:
                errors += error.complaints
            else:
                results += found
                errors += wrong
    return Run(tuple(results), tuple(errors), len(paths))


def _report(run: Run, wanted: Sequence[Output], verbose: bool, color: str) -> None:
    from meshlint.cli.test_reports import machine_text, text

    for output in wanted:
        if output.format != "text":
            put(output, machine_text(output.format, run, root_prefix() if output.format == "github" else ""))
        elif run.results or output.file != STDOUT:
            look = paint(output.file == STDOUT and wants_color(color, sys.stdout))
            put(output, text(run, look, verbose=verbose))
    sys.stdout.flush()
    for error in run.errors:
        click.echo(f"meshlint: error: {one_line(str(error))}", err=True)


def _mesh_of(suite: Suite, options: Mapping[str, Any]) -> Mesh:
    """The model of the manifests of a file. Raises SuiteError where there are none or one is unreadable."""
    from meshlint.lint import mesh_of
    from meshlint.source.changes import Reading
    from meshlint.source.load import load

    config = configured(suite.manifests, options)
    loaded = load(suite.manifests, exclude=config.exclude, root=config.root)
    if loaded.errors:
        texts = [f"{file + ': ' if file else ''}{message}" for file, message in loaded.errors]
        raise SuiteError(suite.complaint(suite.stated, f"manifests: {text}") for text in texts)
    unread = [f"manifests: {line}" for file in loaded.files for line in unread_documents(file)]
    if unread:
        raise SuiteError(suite.complaint(suite.stated, line) for line in unread)
    mesh = mesh_of(loaded, config, Reading.WRITTEN)  # expectations are about these manifests, overlays aside
    if not mesh.scope.resources:
        message = f"no manifest found in {', '.join(suite.manifests)}"
        raise SuiteError([suite.complaint(suite.stated, message)])
    return mesh
