"""Text -> documents with positions, in one pass of libyaml.

libyaml's events are turned into the nodes of `meshlint.source.nodes`. A document that does not
parse becomes a Problem, and reading goes on at the next document marker.
"""

from __future__ import annotations

import re
from typing import Any

import yaml
from yaml._yaml import CParser
from yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from meshlint.source.files import Document, Problem, SourceFile
from meshlint.source.nodes import Mapping, Node, Scalar, Sequence

_NEXT_DOCUMENT = re.compile(r"^---(?=[ \t\r\n]|\Z)", re.MULTILINE)
_EXPANSION_LIMIT = 2_000_000


def parse(path: str, text: str) -> SourceFile:
    """Parse a text; never raises for what the text holds."""
    file = SourceFile(path, text)
    base = 0
    while True:
        try:
            _read(file, text[base:] if base else text, base)
            return file
        except yaml.YAMLError as error:
            at = base + _error_offset(error)
            file.problems.append(_syntax_problem(error, text, at))
            following = _NEXT_DOCUMENT.search(text, max(at, base + 1))
            if following is None:
                return file
            base = following.start()


def _read(file: SourceFile, text: str, base: int) -> None:
    parser = CParser(text)
    try:
        _build(file, parser, base)
    finally:
        parser.dispose()


def _build(file: SourceFile, parser: Any, base: int) -> None:
    event_of = parser.get_event
    stack: list[tuple[list[Node], int, bool, str | None, str | None]] = []
    siblings: list[Node] = []
    anchors: dict[str, Node] = {}
    opened: set[str] = set()
    aliased = False
    started = base
    while True:
        event = event_of()
        kind = event.__class__
        if kind is ScalarEvent:
            node: Node = Scalar(
                event.start_mark.index + base,
                event.end_mark.index + base,
                event.value,
                event.style or "",
                event.tag,
            )
            if event.anchor is not None:
                anchors[event.anchor] = node
            if event.anchor is not None or event.tag is not None:
                node.start = _content_start(file.text, node.start)
            siblings.append(node)
        elif kind is MappingStartEvent or kind is SequenceStartEvent:
            start = event.start_mark.index + base
            if event.anchor is not None:
                opened.add(event.anchor)
                anchors.pop(event.anchor, None)
            stack.append((siblings, start, event.flow_style, event.anchor, event.tag))
            siblings = []
        elif kind is MappingEndEvent:
            children = siblings
            siblings, start, flow, anchor, _ = stack.pop()
            pairs = iter(children)
            node = Mapping(start, event.end_mark.index + base, list(zip(pairs, pairs, strict=True)), flow)
            siblings.append(node)
            if anchor is not None:
                anchors[anchor] = node
                opened.discard(anchor)
        elif kind is SequenceEndEvent:
            children = siblings
            siblings, start, flow, anchor, _ = stack.pop()
            node = Sequence(start, event.end_mark.index + base, children, flow)
            siblings.append(node)
            if anchor is not None:
                anchors[anchor] = node
                opened.discard(anchor)
        elif kind is AliasEvent:
            aliased = True
            siblings.append(_alias(event, anchors, opened, base))
        elif kind is DocumentStartEvent:
            started = event.start_mark.index + base
            anchors = {}
            opened = set()
            siblings = []
            aliased = False
        elif kind is DocumentEndEvent:
            root = siblings[0] if siblings else None
            if aliased and root is not None:
                _bound_expansion(root, event)
            number = len(file.documents)
            file.documents.append(Document(file, number, root, started, event.end_mark.index + base))
        elif kind is StreamEndEvent:
            return


def _alias(event: Any, anchors: dict[str, Node], opened: set[str], base: int) -> Node:
    start = event.start_mark.index + base
    end = event.end_mark.index + base
    target = anchors.get(event.anchor)
    if target is None:
        what = "refers to itself" if event.anchor in opened else "has no anchor before it"
        raise yaml.composer.ComposerError(None, None, f"alias *{event.anchor} {what}", event.start_mark)
    if isinstance(target, Scalar):
        return Scalar(start, end, target.text, target.style, target.tag)
    if isinstance(target, Mapping):
        return Mapping(start, end, target.items, target.flow)
    return Sequence(start, end, target.items, target.flow)


def _bound_expansion(root: Node, event: Any) -> None:
    """Refuse a document whose aliases would expand to more nodes than anyone means (alias bomb)."""
    sizes: dict[int, int] = {}
    if _size(root, sizes) > _EXPANSION_LIMIT:
        raise yaml.composer.ComposerError(
            None, None, "aliases expand to more than 2,000,000 nodes", event.start_mark
        )


def _size(node: Node, sizes: dict[int, int]) -> int:
    if isinstance(node, Scalar):
        return 1
    known = sizes.get(id(node.items))
    if known is not None:
        return known
    if isinstance(node, Mapping):
        total = 1 + sum(_size(k, sizes) + _size(v, sizes) for k, v in node.items)
    else:
        total = 1 + sum(_size(item, sizes) for item in node.items)
    sizes[id(node.items)] = total
    return total


_PROPERTIES = re.compile(r"(?:[&!][^\s]*\s+)+")


def _content_start(text: str, start: int) -> int:
    """Skip the anchor and the tag that libyaml counts as part of the scalar."""
    match = _PROPERTIES.match(text, start)
    return match.end() if match else start


def _error_offset(error: yaml.YAMLError) -> int:
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        return int(mark.index)
    position = getattr(error, "position", 0)
    return int(position or 0)


def _syntax_problem(error: yaml.YAMLError, text: str, at: int) -> Problem:
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    context = getattr(error, "context", None)
    message = f"{problem} ({context})" if context else str(problem)
    at = min(at, len(text))
    return Problem("yaml-syntax", message, at, min(at + 1, len(text)))
