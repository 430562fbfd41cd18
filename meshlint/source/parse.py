"""Text -> documents with positions, in one pass of libyaml.

libyaml composes whole documents in C, and one short recursion turns them into the nodes of
`meshlint.source.nodes`: a quarter faster than PyYAML's own composer. Texts with anchors, aliases or
tags go through libyaml's events instead, because the composer forgets where an alias stood. Where a
text does not parse it is cut at its document markers, so that one broken document costs only itself.
"""

from __future__ import annotations

import operator
import re
import sys
from bisect import bisect_right
from collections.abc import Iterator
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
from yaml.nodes import MappingNode, ScalarNode

from meshlint.source.files import Document, Problem, SourceFile
from meshlint.source.json_text import read_json
from meshlint.source.nodes import NESTING_LIMIT, Mapping, Node, Scalar, Sequence, TaggedScalar
from meshlint.source.syntax import TOO_DEEP, syntax_problem
from meshlint.source.templates import document_template, file_template, noted

#: nodes that the aliases of one file may add; etcd refuses objects of a tenth of that
EXPANSION_LIMIT = 200_000

#: An anchor, an alias or a tag, where one can begin. May match more (prose): that costs time only.
_ANCHOR_OR_TAG = re.compile(r"[&*!](?:(?<=[\s\[{,:][&*!])|(?<=\A[&*!]))(?:(?<=!)|[\w-])")
_new = object.__new__
_intern = sys.intern


class RefusedError(Exception):
    """A document that is YAML and still not read: too deep, an alias bomb, an alias without anchor."""

    def __init__(self, message: str, start: int, end: int, hint: str = "") -> None:
        super().__init__(message)
        self.help = hint
        self.message = message
        self.start = start
        self.end = end


def parse(path: str, text: str, *, chart: bool = False) -> SourceFile:
    """Parse a text; never raises for what the text holds. `chart`: it is a template of a Helm chart."""
    file = SourceFile(path, text)
    try:
        _read(file, text, 0)
        _set_bounds(file)
    except (yaml.YAMLError, RefusedError, UnicodeEncodeError):
        file.documents.clear()
        file.expanded = 0
        if not _read_json(file):
            _read_in_pieces(file)
    _leave_out_templates(file, chart)
    return file


def _read(file: SourceFile, text: str, base: int) -> None:
    if base or _may_have_anchors(text):
        parser = CParser(text)
        try:
            _build(file, parser, base)
        finally:
            parser.dispose()
    else:
        _compose(file, text)


def _may_have_anchors(text: str) -> bool:
    """Is there an anchor, an alias or a tag? Finding characters is ten times faster than a search."""
    for mark in "&*!":
        at = text.find(mark)
        while at >= 0:
            if _ANCHOR_OR_TAG.match(text, at):
                return True
            at = text.find(mark, at + 1)
    return False


class _Composer(CParser):
    """libyaml's composer, which resolves tags by calling back into Python for each node.

    Nobody needs the tags, so builtins that do nothing take the calls: a fifth faster than methods.
    """

    resolve = slice
    descend_resolver = operator.is_
    ascend_resolver = tuple


def _compose(file: SourceFile, text: str) -> None:
    parser = _Composer(text)
    duplicates: list[Mapping] = []
    try:
        while parser.check_node():
            root = _convert(parser.get_node(), 0, duplicates)
            _add(file, root, duplicates)
            if duplicates:
                duplicates = []
    finally:
        parser.dispose()


def _convert(source: Any, depth: int, duplicates: list[Mapping]) -> Node:
    """A node of PyYAML as one of ours; mappings with a key twice are added to `duplicates`."""
    kind = source.__class__
    if kind is ScalarNode:
        start = source.start_mark.index
        return Scalar(start, source.end_mark.index, source.value, source.style)
    if depth > NESTING_LIMIT:
        start = source.start_mark.index
        raise RefusedError(TOO_DEEP, start, start + 1)
    if kind is not MappingNode:
        sequence: Sequence = _new(Sequence)
        sequence.start = source.start_mark.index
        sequence.end = source.end_mark.index
        sequence.flow = source.flow_style
        sequence.items = [_convert(item, depth + 1, duplicates) for item in source.value]
        return sequence
    mapping: Mapping = _new(Mapping)
    mapping.start = source.start_mark.index
    mapping.end = source.end_mark.index
    mapping.flow = source.flow_style
    index: dict[str, Any] = {}
    for key, value in source.value:
        # Scalars are made in place: a call for each of them would cost a fifth of the time.
        if key.__class__ is not ScalarNode:
            return _with_odd_keys(source, depth, duplicates)
        name: Scalar = _new(Scalar)
        name.start = key.start_mark.index
        name.end = key.end_mark.index
        name.text = text = _intern(key.value)
        name.style = key.style
        if value.__class__ is ScalarNode:
            scalar: Scalar = _new(Scalar)
            scalar.start = value.start_mark.index
            scalar.end = value.end_mark.index
            scalar.text = value.value
            scalar.style = value.style
            index[text] = (name, scalar)
        else:
            index[text] = (name, _convert(value, depth + 1, duplicates))
    if len(index) < len(source.value) or "<<" in index:
        return _with_odd_keys(source, depth, duplicates)
    mapping._index = index
    mapping._items = None
    return mapping


def _with_odd_keys(source: Any, depth: int, duplicates: list[Mapping]) -> Mapping:
    """A mapping with keys that are no scalars, come twice, or merge: its index is not its pairs."""
    inner: list[Mapping] = []
    items = [
        (_convert(key, depth + 1, inner), _convert(value, depth + 1, inner)) for key, value in source.value
    ]
    mapping = Mapping(source.start_mark.index, source.end_mark.index, items, source.flow_style)
    if _has_duplicates(mapping):
        duplicates.append(mapping)
    duplicates.extend(inner)
    return mapping


def _build(file: SourceFile, parser: Any, base: int) -> None:  # noqa: C901 - one loop over all events
    event_of = parser.get_event
    stack: list[tuple[list[Node], int, bool, str | None]] = []
    siblings: list[Node] = []
    anchors: dict[str, Node] = {}
    opened: set[str] = set()
    duplicates: list[Mapping] = []
    aliased = False
    started = base
    while True:
        event = event_of()
        kind = event.__class__
        if kind is ScalarEvent:
            node: Node = _scalar(
                event.start_mark.index + base,
                event.end_mark.index + base,
                event.value,
                event.style,
                event.tag,
            )
            if event.anchor is not None:
                anchors[event.anchor] = node
            if event.anchor is not None or event.tag is not None:
                node.start = _content_start(file.text, node.start, node.end) if event.value else node.end
            siblings.append(node)
        elif kind is MappingStartEvent or kind is SequenceStartEvent:
            start = event.start_mark.index + base
            if event.anchor is not None:
                opened.add(event.anchor)
                anchors.pop(event.anchor, None)
            if len(stack) > NESTING_LIMIT:
                raise RefusedError(TOO_DEEP, start, start + 1)
            if event.anchor is not None or event.tag is not None:
                start = _content_start(file.text, start, len(file.text))
            stack.append((siblings, start, event.flow_style, event.anchor))
            siblings = []
        elif kind is MappingEndEvent or kind is SequenceEndEvent:
            children = siblings
            siblings, start, flow, anchor = stack.pop()
            end = event.end_mark.index + base
            if kind is MappingEndEvent:
                pairs = iter(children)
                node = Mapping(start, end, list(zip(pairs, pairs, strict=True)), flow)
                if _has_duplicates(node):
                    duplicates.append(node)
            else:
                node = Sequence(start, end, children, flow)
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
            duplicates = []
            aliased = False
        elif kind is DocumentEndEvent:
            if aliased:
                file.expanded += _expansion(siblings[0], EXPANSION_LIMIT - file.expanded, started)
            _add(file, siblings[0], duplicates)
        elif kind is StreamEndEvent:
            return


def _scalar(start: int, end: int, text: str, style: str, tag: str | None) -> Scalar:
    return Scalar(start, end, text, style) if tag is None else TaggedScalar(start, end, text, style, tag)


def _add(file: SourceFile, root: Node, duplicates: list[Mapping]) -> None:
    empty = isinstance(root, Scalar) and not root.text and not root.style
    document = Document(file, len(file.documents), None if empty else root, root.start, root.end)
    document.duplicates = tuple(duplicates)
    file.documents.append(document)


def _has_duplicates(mapping: Mapping) -> bool:
    keys = [key.text for key, _ in mapping.items if isinstance(key, Scalar)]
    return len(set(keys)) < len(keys)


def _alias(event: Any, anchors: dict[str, Node], opened: set[str], base: int) -> Node:
    start = event.start_mark.index + base
    end = event.end_mark.index + base
    target = anchors.get(event.anchor)
    if target is None:
        what = "refers to itself" if event.anchor in opened else "has no anchor before it"
        raise RefusedError(f"the alias *{event.anchor} {what}", start, end, "write out what it stands for")
    if isinstance(target, Scalar):
        return _scalar(start, end, target.text, target.style, target.tag)
    if isinstance(target, Mapping):
        return Mapping(start, end, target.items, target.flow)
    return Sequence(start, end, target.items, target.flow)


def _expansion(root: Node, budget: int, started: int) -> int:
    """How many nodes the aliases of a document add; refused are bombs and depth that aliases make."""
    written = 0
    measures: dict[int, tuple[int, int]] = {}
    stack = [root]
    while stack:
        node = stack[-1]
        if isinstance(node, Scalar) or id(node.items) in measures:
            stack.pop()
            continue
        children = list(_children(node))
        pending = [c for c in children if not isinstance(c, Scalar) and id(c.items) not in measures]
        if pending:
            stack.extend(pending)
            continue
        stack.pop()
        written += 1 + sum(isinstance(c, Scalar) for c in children)
        below = [(1, 0) if isinstance(c, Scalar) else measures[id(c.items)] for c in children]
        size = 1 + sum(size for size, _ in below)
        height = 1 + max((height for _, height in below), default=0)
        if height > NESTING_LIMIT:
            raise RefusedError(TOO_DEEP, node.start, node.start + 1)
        measures[id(node.items)] = (size, height)
    added = 0 if isinstance(root, Scalar) else measures[id(root.items)][0] - written
    if added > budget:
        raise RefusedError(f"its aliases expand to more than {EXPANSION_LIMIT:,} nodes", started, started + 1)
    return added


def _children(node: Mapping | Sequence) -> Iterator[Node]:
    if isinstance(node, Sequence):
        yield from node.items
    else:
        for pair in node.items:
            yield from pair


_PROPERTIES = re.compile(r"(?:[&!]\S*[ \t]+|[&!]\S*(?:[ \t]*(?:#.*)?\r?\n[ \t]*)+)+")


def _content_start(text: str, start: int, end: int) -> int:
    """Skip the anchor and the tag that libyaml counts as part of a node."""
    match = _PROPERTIES.match(text, start, end)
    return match.end() if match else start


def _set_bounds(file: SourceFile) -> None:
    """A document reaches from its marker (the first: from the top) to the next marker."""
    starts = [start for start, _ in pieces(file.text)]
    for document in file.documents:
        at = bisect_right(starts, document.start) - 1
        document.start = starts[at]
        document.end = starts[at + 1] if at + 1 < len(starts) else len(file.text)


def pieces(text: str) -> Iterator[tuple[int, int]]:
    """The text cut before each ``---``: no content, not even a quoted one, may have such a line."""
    start = 0
    at = text.find("\n---")
    while at >= 0:
        if text[at + 4 : at + 5] in ("", " ", "\t", "\r", "\n"):
            cut = _before_directives(text, start, at + 1)
            if cut > start:
                yield start, cut
                start = cut
        at = text.find("\n---", at + 4)
    yield start, len(text)


def _before_directives(text: str, start: int, cut: int) -> int:
    """``%YAML`` lines belong to the document that follows them."""
    while cut > start:
        line = text.rfind("\n", start, cut - 1) + 1 or start
        if text[line] != "%":
            break
        cut = line
    return cut


def _read_json(file: SourceFile) -> bool:
    """JSON that YAML cannot read: several values in a row, surrogate pairs, very long keys."""
    if file.text.lstrip()[:1] not in ("{", "[", '"'):
        return False
    roots = read_json(file.text)
    if roots is None:
        return False
    for root, duplicates in roots:
        _add(file, root, duplicates)
    return True


def _read_in_pieces(file: SourceFile) -> None:
    template = file_template(file.text)
    for start, end in pieces(file.text):
        piece = file.text[start:end]
        before = len(file.documents)
        try:
            _read(file, piece, start)
        except (yaml.YAMLError, RefusedError, UnicodeEncodeError) as error:
            del file.documents[before:]
            if template is not None:
                file.skipped = template
                file.may_exist.update(noted(piece))
            else:
                file.problems.append(_problem(error, file, start))
        for document in file.documents[before:]:
            document.start, document.end = start, end


def _problem(error: Exception, file: SourceFile, base: int) -> Problem:
    if isinstance(error, RefusedError):
        return Problem("yaml-syntax", error.message, error.start, error.end, error.help)
    return syntax_problem(error, file, base)


def _leave_out_templates(file: SourceFile, chart: bool) -> None:
    """Documents that another tool renders first are no manifests yet: note their names, drop them."""
    text = file.text
    if "{{" not in text and "{%" not in text and "<%" not in text and "#@" not in text:
        return
    kept = []
    for document in file.documents:
        reason = document_template(document, text[document.start : document.end], chart)
        if reason is None:
            kept.append(document)
        else:
            file.skipped = reason
            file.may_exist.update(noted(text[document.start : document.end]))
    file.documents = kept
