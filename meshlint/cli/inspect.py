"""`meshlint inspect`: the effective state of workloads and routes, with the lines that decide it."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from meshlint import __version__
from meshlint.cli.calls import CallState, calls_of
from meshlint.cli.main import SETTINGS
from meshlint.cli.options import color_option, configured, roots, rules_for, scope_options, wants_color
from meshlint.cli.refusal import Refusal, route_test_hint, unread_documents
from meshlint.cli.state import ALL, State, Wanted, state_of
from meshlint.cli.state_table import table
from meshlint.lint import mesh_of
from meshlint.report.paint import paint
from meshlint.source.load import load


@click.command("inspect", context_settings=SETTINGS)
@click.argument("paths", nargs=-1)
@click.option("--namespace", "-n", multiple=True, help="Only this namespace; may be repeated.")
@click.option(
    "--name", "names", multiple=True, metavar="[NAMESPACE/]NAME",
    help="Only workloads, routes or Services of this name, which may hold *; may be repeated.",
)  # fmt: skip
@click.option("--calls", is_flag=True, help="Show who may call which port of which Service instead.")
@click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text", show_default=True)
@color_option
@scope_options
def command(
    paths: tuple[str, ...],
    namespace: tuple[str, ...],
    names: tuple[str, ...],
    calls: bool,
    format_: str,
    **options: Any,
) -> int:
    """Show the effective state of workloads and routes, with the lines that decide it.

    Per workload: its data plane, mutual TLS per port, token, authorization and exposure. Per route:
    hosts, timeout and retries. What the input does not show is unknown, with the missing evidence.

    With --calls: per port of each Service, which callers mutual TLS, policies and Sidecars let in.
    """
    config = configured(paths, options)
    rules_for(config)
    inputs = paths or roots(config)
    stdin = sys.stdin.buffer.read() if "-" in inputs else None
    loaded = load(inputs, stdin=stdin, exclude=config.exclude, root=config.root)
    mesh = mesh_of(loaded, config)
    if not mesh.scope.resources and not loaded.errors:
        where = ", ".join(paths) or "the current folder"
        raise Refusal(f"no manifest found in {where}{route_test_hint(paths)}")
    if mesh.scope.resources:
        wanted = Wanted(namespace, names)
        state = calls_of(mesh, wanted) if calls else state_of(mesh, wanted)
        _write(state, format_, options["color"])
        if wanted != ALL and not any(state.plain().values()):
            kind = "Service" if calls else "workload or route"
            click.echo(f"meshlint: no {kind} {_spelled(wanted)} is in the input", err=True)
    wrong = [f"{file + ': ' if file else ''}{message}" for file, message in loaded.errors]
    wrong += [line for file in loaded.files for line in unread_documents(file)]
    for line in wrong:
        click.echo(f"meshlint: error: {line}", err=True)
    return 2 if wrong else 0


def _spelled(wanted: Wanted) -> str:
    parts = [f"named {' or '.join(wanted.names)}"] if wanted.names else []
    parts += [f"in the namespace {' or '.join(wanted.namespaces)}"] if wanted.namespaces else []
    return " ".join(parts)


def _write(state: State | CallState, format_: str, color: str) -> None:
    if format_ == "json":
        document = {"schema_version": 1, "meshlint": __version__, **state.plain()}
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    else:
        look = paint(wants_color(color, sys.stdout))
        lines = state.text(look) if isinstance(state, CallState) else table(state, look)
        sys.stdout.write("".join(f"{line}\n" for line in lines))
