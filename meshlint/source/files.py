"""What did one input file hold: its text, its documents, and what was wrong with it?"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from collections.abc import Sequence as SequenceOf
from dataclasses import field
from typing import Final, TypeVar

from meshlint.records import dataclass
from meshlint.source.changes import Changes
from meshlint.source.nodes import Mapping, Node, Scalar, Sequence

T = TypeVar("T")
#: lists of fewer items are walked through
_LONG: Final = 32


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with the text itself: a finding of the rule `rule` at an offset range."""

    rule: str
    message: str
    start: int
    end: int
    help: str = ""
    related: tuple[tuple[str, int, int], ...] = ()


@dataclass(slots=True, eq=False)
class Document:
    """One YAML document of a file. `root` is None when the document is empty."""

    file: SourceFile
    number: int
    root: Node | None
    start: int
    end: int
    #: a kustomize patch: it changes an object and is none itself
    patch: bool = False
    #: mappings that hold a key more than once
    duplicates: tuple[Mapping, ...] = ()

    def pointer(self, node: Node) -> str:
        """JSON pointer of a node (or of the value that a key node names) inside this document."""
        steps = _find(self.root, node) if self.root is not None else None
        return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps or ())


@dataclass(slots=True, eq=False)
class SourceFile:
    """One input. `path` is what is shown: relative to the working directory, forward slashes.

    `skipped` holds the reason why the file was not read as manifests (``helm-template``, ...).
    `encoding` is the codec that writes the same bytes back. `builds` are the namespaces into which
    kustomizations build its objects, None where they stay in those that are written. `kustomization` is
    the path of the one that lists the file, `changes` what kustomizations change in its objects, and
    `renamed` tells whether one gives them other names. `may_exist` are (kind, name) pairs that its
    templates may define.
    """

    path: str
    text: str
    documents: list[Document] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    skipped: str | None = None
    encoding: str = "utf-8"
    builds: tuple[str | None, ...] = (None,)
    kustomization: str | None = None
    changes: tuple[Changes, ...] = ()
    renamed: bool = False
    may_exist: set[tuple[str, str]] = field(default_factory=set)
    #: how many nodes the aliases of its documents have added so far
    expanded: int = 0
    _lines: list[int] | None = None

    def position(self, offset: int) -> tuple[int, int]:
        """1-based line and column (in characters) of an offset."""
        starts = self.line_starts
        line = bisect_right(starts, offset)
        return line, offset - starts[line - 1] + 1

    @property
    def line_starts(self) -> list[int]:
        if self._lines is None:
            starts = [0]
            find = self.text.find
            at = find("\n")
            while at >= 0:
                starts.append(at + 1)
                at = find("\n", at + 1)
            self._lines = starts
        return self._lines

    def line(self, number: int) -> str:
        """The text of a 1-based line, without its end."""
        starts = self.line_starts
        end = starts[number] if number < len(starts) else len(self.text)
        return self.text[starts[number - 1] : end].rstrip("\r\n")


def _find(root: Node, wanted: Node) -> list[str] | None:
    """Offsets lead to the node; behind an alias they do not, and the whole tree is searched.

    A node of a text inside a scalar has the path of that scalar.
    """
    path: list[str] = []
    node, at = root, wanted.start
    while not _same(node, wanted):
        step = _towards(node, at)
        if step is None:
            return _search(root, wanted) or path
        path.append(step[0])
        if _same(step[1], wanted):
            return path
        node = step[2]
    return path


def _same(node: Node, wanted: Node) -> bool:
    """Are they one node, or a node and its copy in a tree that changes have been made in?"""
    return node is wanted or (
        node.start == wanted.start and node.end == wanted.end and node.__class__ is wanted.__class__
    )


def _towards(node: Node, at: int) -> tuple[str, Node, Node] | None:
    """Step, key and value of the part of a collection in which an offset lies."""
    if isinstance(node, Mapping):
        for key, value in node.items[_first_of(node.items, at, _start_of_pair) :]:
            if key.start <= at and (at < value.end or at == value.start) and isinstance(key, Scalar):
                return key.text, key, value
    elif isinstance(node, Sequence):
        first = _first_of(node.items, at, _start)
        for number, item in enumerate(node.items[first:], first):
            if item.start <= at and (at < item.end or at == item.start):
                return str(number), item, item
    return None


def _first_of(items: SequenceOf[T], at: int, start: Callable[[T], int]) -> int:
    """Where in a long list, whose items stand in the order of the text, the one with the offset can be."""
    if len(items) < _LONG:
        return 0
    place = bisect_left(items, at, key=start) - 1  # the last item that begins before the offset
    return max(place, 0)


def _start(item: Node) -> int:
    return item.start


def _start_of_pair(pair: tuple[Node, Node]) -> int:
    return pair[0].start


def _search(root: Node, wanted: Node) -> list[str] | None:
    stack: list[tuple[Node, list[str]]] = [(root, [])]
    while stack:
        node, path = stack.pop()
        if node is wanted:
            return path
        if isinstance(node, Mapping):
            for key, value in node.items:
                if key is wanted:
                    return [*path, key.text] if isinstance(key, Scalar) else path
                stack.append((value, [*path, key.text if isinstance(key, Scalar) else "?"]))
        elif isinstance(node, Sequence):
            stack.extend((item, [*path, str(i)]) for i, item in enumerate(node.items))
    return None
