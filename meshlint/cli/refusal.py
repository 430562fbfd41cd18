"""A job that cannot be done: said without a traceback, with exit code 2."""

from __future__ import annotations

from typing import IO, Any

import click


class Refusal(click.ClickException):
    """Each line of the message is shown as an error of its own."""

    exit_code = 2

    def show(self, file: IO[Any] | None = None) -> None:  # noqa: ARG002
        for line in self.message.splitlines():
            click.echo(f"meshlint: error: {line}", err=True)
