"""`meshlint lint`: the findings in files and folders, on standard output."""

from __future__ import annotations

from typing import Any

import click

from meshlint.cli.main import SETTINGS
from meshlint.findings import SEVERITIES, Report

PROFILES = ("default", "strict", "audit")


@click.command("lint", context_settings=SETTINGS)
@click.argument("paths", nargs=-1)
@click.option("--profile", type=click.Choice(PROFILES), help="How much to ask for.")
@click.option("--format", "format_", default="text")
@click.option("--fail-on", type=click.Choice((*SEVERITIES, "never")), default=None)
def command(**options: Any) -> int:
    """Lint manifests: files, folders, globs, - for standard input."""
    from meshlint.config import Config
    from meshlint.lint import lint

    paths = options["paths"] or (".",)
    config = Config(profile=options["profile"] or "default")
    linted = lint(paths, config)
    click.echo(rendered(linted.report, linted.source, options["format_"]), nl=False)
    for error in linted.report.errors:
        click.echo(f"error: {error.file + ': ' if error.file else ''}{error.message}", err=True)
    if linted.report.errors:
        return 2
    return 1 if any(f.severity in ("error", "warning") for f in linted.report.active) else 0


def rendered(report: Report, source: Any, name: str) -> str:
    from meshlint.report import renderer

    return renderer(name)(report, source)
