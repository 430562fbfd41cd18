"""A job that cannot be done: said without a traceback, with exit code 2."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import IO, TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from meshlint.source.files import SourceFile


def unread_documents(file: SourceFile) -> Iterator[str]:
    """Documents of a file that are not read, so that answers would leave them out: a line each."""
    for problem in file.problems:
        if problem.rule == "yaml-syntax":
            line, column = file.position(problem.start)
            yield f"{file.path}:{line}:{column}: this document is not read: {problem.message}"


def route_test_hint(paths: Iterable[str]) -> str:
    """What to say about files of route tests where manifests are expected; '' where none is named."""
    tests = [path for path in paths if path.endswith((".meshtest.yaml", ".meshtest.yml"))]
    return f"; route tests are run by `meshlint test {' '.join(tests)}`" if tests else ""


class Refusal(click.ClickException):
    """Each line of the message is shown as an error of its own."""

    exit_code = 2

    def show(self, file: IO[Any] | None = None) -> None:  # noqa: ARG002
        for line in self.message.splitlines():
            click.echo(f"meshlint: error: {line}", err=True)
