"""Report -> text of one output format; each module of this package is one format and has `render`."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Final, Protocol, cast

from meshlint.findings import Report

#: Text of an input file by the name that findings use; None where it cannot be had.
Sources = Callable[[str], str | None]

#: Name of a format -> module of this package.
FORMATS: Final[dict[str, str]] = {
    "text": "text",
    "concise": "concise",
    "json": "json",
    "sarif": "sarif",
    "github": "github",
    "markdown": "markdown",
}


#: Formats whose file names are relative to the root of the repository instead of the working directory.
FROM_REPOSITORY: Final = frozenset(("sarif", "github"))


class Renderer(Protocol):
    """`root` is the path of the working directory inside the repository, '' for its root."""

    def __call__(self, report: Report, sources: Sources, *, color: bool = False, root: str = "") -> str: ...


def renderer(name: str) -> Renderer:
    """The function that renders a format of FORMATS; only its module is imported."""
    return cast(Renderer, import_module(f"meshlint.report.{FORMATS[name]}").render)
