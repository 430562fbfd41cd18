"""What does a YAML text say that stands inside a scalar of another document (`data.mesh` of a ConfigMap)?

The nodes of the inner text point into the outer file, so that a finding names the inner line. That works
for literal blocks (``|``); in every other style all nodes stand where the whole scalar stands.
"""

from __future__ import annotations

from collections.abc import Callable

from meshlint.records import dataclass
from meshlint.source.files import SourceFile
from meshlint.source.nodes import Mapping, Node, Scalar
from meshlint.source.parse import parse


@dataclass(frozen=True, slots=True)
class Embedded:
    """`root` is that of the first inner document; `problem` is a message and where it stands.

    `templated`: another tool renders the text first, so that it cannot be read yet.
    """

    root: Node | None
    problem: tuple[str, Scalar] | None = None
    templated: bool = False


def embedded(file: SourceFile, scalar: Scalar) -> Embedded:
    """Read the YAML that a scalar of a file holds."""
    inner = parse(file.path, scalar.text)
    shift = _shift(file, scalar)
    seen: set[int] = set()
    root = inner.documents[0].root if inner.documents else None
    if root is not None:
        _move(root, shift, seen)
    if inner.skipped is not None or not inner.problems:
        return Embedded(root, templated=inner.skipped is not None)
    problem = inner.problems[0]
    start, end = shift(problem.start, problem.end)
    return Embedded(root, (problem.message, Scalar(start, end, "", "", None)))


def _shift(file: SourceFile, scalar: Scalar) -> Callable[[int, int], tuple[int, int]]:
    whole = scalar.start, scalar.end
    starts = _line_starts(file, scalar) if scalar.style == "|" else []
    if not starts:
        return lambda *_: whole
    inner = SourceFile("", scalar.text)

    def outer(offset: int) -> int:
        line, column = inner.position(offset)
        return min(starts[min(line, len(starts)) - 1] + column - 1, scalar.end)

    return lambda start, end: (outer(start), max(outer(end), outer(start) + 1))


def _line_starts(file: SourceFile, scalar: Scalar) -> list[int]:
    """Where the text of each inner line starts in the outer file; [] if the two do not fit together."""
    first, _ = file.position(scalar.start)
    lines = scalar.text.split("\n")
    indent = -1
    starts = []
    for number, line in enumerate(lines, first + 1):
        if number > len(file.line_starts):
            break
        outer = file.line(number)
        if indent < 0 and line.strip():
            indent = len(outer) - len(outer.lstrip(" ")) - (len(line) - len(line.lstrip(" ")))
        if line.strip() and outer[indent:] != line.rstrip("\r"):
            return []
        starts.append(file.line_starts[number - 1] + max(indent, 0))
    return starts


def _move(node: Node, shift: Callable[[int, int], tuple[int, int]], seen: set[int]) -> None:
    stack: list[Node] = [node]
    while stack:
        node = stack.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        node.start, node.end = shift(node.start, node.end)
        if isinstance(node, Mapping):
            stack.extend(part for pair in node.items for part in pair)
        elif not isinstance(node, Scalar):
            stack.extend(node.items)
