"""The code blocks of a Markdown page, and the commands in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^( *)```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Fence:
    """A fenced block; `title` is the file that its text belongs in, '' if there is none."""

    language: str
    title: str
    text: str
    line: int


def fences(page: Path, language: str | None = None) -> list[Fence]:
    text = page.read_text("utf-8")
    return [
        Fence(match[2], match[3] or "", _dedent(match[4], match[1]), text.count("\n", 0, match.start()) + 1)
        for match in _FENCE.finditer(text)
        if language in (None, match[2])
    ]


def commands(block: str) -> list[tuple[str, str]]:
    """The lines after `$`, each with the output that is shown below it."""
    found: list[tuple[str, str]] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], ""))
        elif found:
            command, output = found[-1]
            if command.endswith("\\"):
                found[-1] = (f"{command}\n{line}", output)
            else:
                found[-1] = (command, f"{output}{line}\n")
    return found


def shows(expected: str, output: str) -> bool:
    """Is the output what the page shows? A line `...` stands for any lines."""
    pattern = "".join(
        r"(?:.*\n)*?" if line.strip() == "..." else re.escape(line.rstrip()) + r" *\n"
        for line in expected.splitlines()
    )
    return re.fullmatch(pattern, output if output.endswith("\n") or not output else output + "\n") is not None


def _dedent(text: str, indent: str) -> str:
    return "".join(line.removeprefix(indent) for line in text.splitlines(keepends=True))
