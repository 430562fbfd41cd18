"""`meshlint lint`: the findings in files and folders (exit codes: design section 4)."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Final

import click

from meshlint.cache import user_cache
from meshlint.cached import lint
from meshlint.cli.main import COMMANDS, SETTINGS
from meshlint.cli.options import (
    IN_PART,
    check_names,
    color_option,
    configured,
    is_release,
    names_in,
    profile_option,
    roots,
    rules_for,
    scope_options,
    wants_color,
)
from meshlint.cli.output import Output, outputs, statistics_lines, suppressed_lines, write
from meshlint.cli.refusal import route_test_hint
from meshlint.config import Config
from meshlint.findings import SEVERITIES, Linted, Report, RunError
from meshlint.source.discover import shown

if TYPE_CHECKING:
    from meshlint.policy.rules import Rule

FAIL_ON: Final = (*SEVERITIES, "never")
CLEAN, FINDINGS, BROKEN = 0, 1, 2


@click.command("lint", context_settings=SETTINGS)
@click.argument("paths", nargs=-1)
@profile_option
@click.option(
    "--select", multiple=True, metavar="RULES", help="Only these rules, families or codes (IST0102)."
)
@click.option("--ignore", multiple=True, metavar="RULES", help="Not these rules, families or codes.")
@click.option("--output", multiple=True, metavar="FORMAT[=FILE]", help="Write a report; may be repeated.")
@click.option("--format", "format_", metavar="FORMAT", help="Format of the report on standard output.")
@click.option("--fail-on", type=click.Choice(FAIL_ON), help="Lowest severity that gives exit code 1.")
@click.option("--report-only", is_flag=True, help="Read everything, report what touches the paths.")
@click.option("--show-suppressed", is_flag=True, help="List suppressed findings and who accepted them.")
@click.option("--statistics", is_flag=True, help="Count findings per rule.")
@click.option("--quiet", "-q", is_flag=True, help="Nothing but findings and errors.")
@click.option("--no-cache", is_flag=True, help="Do not use or keep reports of unchanged inputs.")
@click.option("--allow-empty", is_flag=True, help="Finding no manifest is fine.")
@click.option("--upgrade-from", metavar="X.Y", callback=is_release, help="See `meshlint upgrade`.")
@click.option("--upgrade-to", metavar="X.Y", callback=is_release, help="See `meshlint upgrade`.")
@color_option
@scope_options
def command(paths: tuple[str, ...], **options: Any) -> int:
    """Lint manifests: files, folders, globs, - for standard input.

    Without a path, the roots of the configuration are linted, else the current folder. The exit code
    is 0 when there is nothing at or above --fail-on, 1 when there are findings, 2 when the job could
    not be done.
    """
    wanted = outputs(options["output"], options["format_"])
    _check(paths, options)
    config = configured(paths, options)
    config = _overridden(config, options)
    linted = _lint(paths, config, options)
    report = linted.report
    if config.origin("complete") == IN_PART:
        report.notices.append(f"'complete' of {config.file} is {IN_PART}; --complete says that it is all")
    if not options["allow_empty"] and not options["report_only"]:
        report.errors.extend(_nothing_found(report, paths))
    _write(wanted, linted, options)
    _explain(wanted, report, paths, quiet=options["quiet"])
    return exit_code(report, config.fail_on)


def _check(paths: tuple[str, ...], options: Mapping[str, Any]) -> None:
    """Options that need or exclude others."""
    if options["report_only"] and not paths:
        raise click.UsageError("--report-only needs the files to report on")
    if bool(options["upgrade_from"]) is not bool(options["upgrade_to"]):
        raise click.UsageError("--upgrade-from and --upgrade-to need each other")
    if options["upgrade_from"] and options["report_only"]:
        raise click.UsageError("--upgrade-from and --report-only exclude each other")
    if options["upgrade_from"]:
        _check_order(options["upgrade_from"], options["upgrade_to"])


def _check_order(start: str, target: str) -> None:
    from meshlint.schema.compile import numbers

    if numbers(start)[:2] >= numbers(target)[:2]:
        raise click.UsageError(f"an upgrade goes to a later release, and {target} is none after {start}")


def exit_code(report: Report, fail_on: str) -> int:
    if report.errors:
        return BROKEN
    counted = SEVERITIES[: SEVERITIES.index(fail_on) + 1] if fail_on in SEVERITIES else ()
    return FINDINGS if any(finding.severity in counted for finding in report.active) else CLEAN


def _overridden(config: Config, options: Mapping[str, Any]) -> Config:
    select, ignore = names_in(options["select"]), names_in(options["ignore"])
    if select:
        config = config.override("--select", "select", select=select)
    if ignore:
        config = config.override("--ignore", "ignore", ignore=(*config.ignore, *ignore))
    if options["fail_on"]:
        config = config.override("--fail-on", "failOn", fail_on=options["fail_on"])
    return config


def _rules(config: Config, options: Mapping[str, Any]) -> Mapping[str, Rule]:
    rules = rules_for(config)
    check_names(options["select"], "--select", rules)
    check_names(options["ignore"], "--ignore", rules)
    return rules


def _lint(paths: tuple[str, ...], config: Config, options: Mapping[str, Any]) -> Linted:
    inputs = roots(config) if options["report_only"] or not paths else paths
    stdin = sys.stdin.buffer.read() if "-" in inputs else None
    if options["upgrade_from"]:
        from meshlint.upgrades import compared

        start, target = options["upgrade_from"], options["upgrade_to"]
        return compared(inputs, config, _rules(config, options), start, target, stdin=stdin)
    only = [shown(path) for path in paths] if options["report_only"] else None
    cache = None if options["no_cache"] else user_cache()
    with _progress(options["quiet"]) as progress:
        return lint(
            inputs,
            config,
            rules=lambda: _rules(config, options),
            stdin=stdin,
            report_only=only,
            progress=progress,
            cache=cache,
        )


def _progress(quiet: bool) -> Any:
    if quiet or not sys.stderr.isatty():
        return nullcontext()
    from meshlint.cli.progress import Progress, wanted

    return Progress() if wanted() else nullcontext()


def _nothing_found(report: Report, paths: Sequence[str]) -> list[RunError]:
    """No manifest is an error of its own: a pipeline that checks nothing must not pass."""
    if report.resources or report.findings or report.errors:
        return []
    where = ", ".join(paths) or "the current folder"
    skipped = f" ({len(report.skipped)} files skipped as templates)" if report.skipped else ""
    hint = route_test_hint(paths) or "; --allow-empty makes that fine"
    return [RunError(f"no manifest found in {where}{skipped}{hint}")]


def _write(wanted: Sequence[Output], linted: Linted, options: Mapping[str, Any]) -> None:
    report = linted.report
    color = wants_color(options["color"], sys.stdout)
    extra = suppressed_lines(report) if options["show_suppressed"] else []
    if options["statistics"]:
        extra += statistics_lines(report)
    for output in wanted:
        if output.to_people and options["quiet"] and not report.active:
            continue
        write(output, report, linted.source, color=color, extra=extra if output.to_people else ())
    if extra and not any(output.to_people for output in wanted):
        click.echo("\n".join(extra).lstrip("\n"), err=True)


def _explain(wanted: Sequence[Output], report: Report, paths: Sequence[str], *, quiet: bool) -> None:
    """What kept the job from being done, and what else there is to know, on standard error."""
    for error in report.errors:
        click.echo(f"meshlint: error: {_with_hint(error, paths)}", err=True)
    if quiet:
        return
    for notice in report.notices:
        click.echo(f"meshlint: {notice}", err=True)
    if not any(output.to_people and output.format == "text" for output in wanted):
        from meshlint.report.text import summary

        click.echo(summary(report), err=True)


def _with_hint(error: RunError, paths: Sequence[str]) -> str:
    text = error.message if error.file is None else f"{error.file or repr('')}: {error.message}"
    if paths and error.file == paths[0] and not os.path.lexists(paths[0]):
        from meshlint.policy.names import closest

        near = closest(paths[0], COMMANDS)
        return f"{text}; did you mean the command {near!r}?" if near else text
    return text
