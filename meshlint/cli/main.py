"""The commands of `meshlint`; each is a module that is imported when it is called.

``meshlint PATH...`` is ``meshlint lint PATH...``: what is no command is a path.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final

import click

from meshlint import __version__

COMMANDS: Final = {
    "lint": "Lint manifests: files, folders, globs, - for standard input.",
    "inspect": "Show the effective state of workloads and routes, with the lines that decide it.",
    "upgrade": "Report what changes for manifests between two releases of Istio.",
    "explain": "Explain a rule: why, options, examples.",
    "rules": "List the rules.",
    "test": "Run route tests and the examples of rule files.",
    "config": "Show the configuration that is in force.",
}
SETTINGS: Final = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class Commands(click.Group):
    """A group whose commands are imported on demand, and whose default command is `lint`."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"meshlint.cli.{cmd_name}").command
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in COMMANDS and args[0] not in ("-h", "--help", "--version", "-V")):
            args = ["lint", *args]
        return super().parse_args(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=Commands, context_settings=SETTINGS, options_metavar="[COMMAND]", subcommand_metavar="...")
@click.version_option(__version__, "--version", "-V", message="meshlint %(version)s")
def cli() -> None:
    """Lint Istio service-mesh manifests offline.

    Without a command, paths are linted: `meshlint mesh/` is `meshlint lint mesh/`.
    """


def run(arguments: Sequence[str], **extra: Any) -> int:
    """Run a command line; usage errors and refusals become a message and exit code 2."""
    try:
        code = cli.main(list(arguments), prog_name="meshlint", standalone_mode=False, **extra)
    except click.Abort:
        raise KeyboardInterrupt from None
    except click.ClickException as error:
        error.show()
        return 2
    return code if isinstance(code, int) else 0
