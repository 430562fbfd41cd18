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
from meshlint.cli.refusal import Refusal
from meshlint.examples import cases, failures, shape_failures
from meshlint.meshtest.files import Suite, SuiteError, is_suite, load_suite
from meshlint.policy.rules import Rule, RuleError, load_rule, load_rules
from meshlint.report.paint import Paint, paint

if TYPE_CHECKING:
    from meshlint.mesh.mesh import Mesh
    from meshlint.meshtest.verdict import Check, Result

_SUFFIXES: Final = ("*.yaml", "*.yml")
#: keys that rule files have, and manifests have not
_RULE: Final = re.compile(r"^(?:check|summary|examples):", re.MULTILINE)


@click.command("test", context_settings=SETTINGS)
@click.argument("paths", nargs=-1)
@click.option("--config", "config_file", metavar="FILE", help="Read this instead of .meshlint.yaml.")
@click.option("--no-config", is_flag=True, help="Read no configuration file.")
@click.option("--verbose", "-v", is_flag=True, help="Show the route tests that pass, too.")
@color_option
def command(paths: tuple[str, ...], verbose: bool, **options: Any) -> int:
    """Run route tests and the examples of rule files; without a path, those of the built-in rules.

    A route test (*.meshtest.yaml) states a request and what the mesh must do with it. Folders are searched
    for both. The exit code is 1 if something fails and 2 if a file cannot be run.
    """
    rule_files, suite_files = _sorted_by_content(paths)
    try:
        suites = _suites(suite_files)
        rules = [load_rule(path) for path in rule_files]
    except (RuleError, SuiteError) as error:
        raise Refusal(str(error)) from None
    failed = False
    if rules or not paths:
        failed = _test_rules(rules or list(load_rules().values()), options)
    if suites:
        failed = _test_routes(suites, options, verbose) or failed
    return 1 if failed else 0


def _sorted_by_content(paths: Sequence[str]) -> tuple[list[Path], list[Path]]:
    """Rule files and route tests; what a folder holds besides is left alone."""
    rules, suites = [], []
    for name in paths:
        path = Path(name)
        found = list(_inside(path)) if path.is_dir() else [path]
        kinds = [(file, _kind(file, path.is_dir())) for file in found]
        rules += [file for file, kind in kinds if kind == "rule"]
        suites += [file for file, kind in kinds if kind == "suite"]
        if path.is_dir() and not any(kind for _, kind in kinds):
            raise Refusal(f"no rule file and no route test is in {name}")
    return rules, suites


def _inside(folder: Path) -> Iterator[Path]:
    for path in sorted(path for suffix in _SUFFIXES for path in folder.rglob(suffix)):
        if not any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield path


def _kind(path: Path, searched: bool) -> str:
    """`rule`, `suite`, or '' for what was only met in a folder; what is named is a rule if not a suite."""
    try:
        text = path.read_text("utf-8", "replace")
    except OSError:
        text = ""
    if is_suite(path, text):
        return "suite"
    return "rule" if not searched or _RULE.search(text) else ""


# -- rules -------------------------------------------------------------------------------------------------


def _test_rules(rules: list[Rule], options: Mapping[str, Any]) -> bool:
    known = rules_for(configured((), options))
    total = failed = 0
    for rule in rules:
        lines = list(_lines(rule, {**known, rule.name: rule}))
        total += sum(1 for _ in cases(rule))
        failed += bool(lines)
        for line in lines:
            click.echo(line)
    verdict = f"{failed} of {len(rules)} rules fail" if failed else f"{len(rules)} rules pass"
    click.echo(f"{verdict}, {total} examples")
    return bool(failed)


def _lines(rule: Rule, rules: dict[str, Rule]) -> Iterator[str]:
    """What fails in one rule, a line each."""
    for what in shape_failures(rule):
        yield f"FAIL {rule.name}: {what}"
    for example, kind in cases(rule):
        for what in failures(rule, example, kind, rules):
            yield f"FAIL {rule.name}, {kind} example {example.name!r}: {what}"


# -- routes ------------------------------------------------------------------------------------------------


def _suites(paths: Sequence[Path]) -> list[Suite]:
    """All files of route tests, or everything that is wrong with all of them."""
    suites, wrong = [], []
    for path in paths:
        try:
            suites.append(load_suite(path))
        except SuiteError as error:
            wrong.append(str(error))
    if wrong:
        raise SuiteError("\n".join(wrong))
    return suites


def _test_routes(suites: list[Suite], options: Mapping[str, Any], verbose: bool) -> bool:
    from meshlint.meshtest.verdict import run_suite

    look = paint(wants_color(options["color"], sys.stdout))
    meshes: dict[tuple[str, ...], Mesh] = {}
    results: list[Result] = []
    for suite in suites:
        if suite.manifests not in meshes:
            meshes[suite.manifests] = _mesh_of(suite, options)
        try:
            results += run_suite(meshes[suite.manifests], suite)
        except SuiteError as error:
            raise Refusal(str(error)) from None
    for result in results:
        if verbose or not result.passed:
            click.echo("".join(f"{line}\n" for line in _spelled(result, look)))
    failed = sum(not result.passed for result in results)
    verdict = f"{failed} of {len(results)} route tests fail" if failed else f"{len(results)} route tests pass"
    click.echo(f"{verdict}, {len(suites)} file{'s' * (len(suites) > 1)}")
    return bool(failed)


def _mesh_of(suite: Suite, options: Mapping[str, Any]) -> Mesh:
    from meshlint.lint import mesh_of
    from meshlint.source.load import load

    config = configured(suite.manifests, options)
    loaded = load(suite.manifests, exclude=config.exclude, root=config.root)
    if loaded.errors:
        raise Refusal("\n".join(f"{file + ': ' if file else ''}{message}" for file, message in loaded.errors))
    mesh = mesh_of(loaded, config)
    if not mesh.scope.resources:
        raise Refusal(f"{suite.file.path}: no manifest found in {', '.join(suite.manifests)}")
    return mesh


def _spelled(result: Result, look: Paint) -> Iterator[str]:
    """The request, the rule that takes it, and what is expected beside what happens."""
    word = look.bold("pass") if result.passed else look.severity("error", "FAIL")
    yield f"{word} {result.case.name}"
    yield f"  {look.blue('-->')} {result.suite.file.path}:{result.case.line}"
    yield f"  request  {result.request}"
    yield f"  rule     {result.rule}" + (f"  ({result.at})" if result.at else "")
    for check in result.checks:
        yield from _check(check, result.suite.file.path, look)


def _check(check: Check, file: str, look: Paint) -> Iterator[str]:
    at = f"  ({', '.join(check.at)})" if check.at else ""
    if check.passed:
        yield f"    {check.key}: {check.actual}{at}"
        return
    yield look.severity("error", f"  - {check.key}: {check.expected}") + f"  ({file}:{check.line})"
    yield look.bold(f"  + {check.key}: {check.actual}") + at
