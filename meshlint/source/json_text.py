"""JSON -> the same nodes as YAML, for JSON that libyaml refuses.

Several values in a row (what ``kubectl`` prints, concatenated), surrogate pairs in escapes and keys of
more than 1,024 characters are JSON and no YAML. Numbers and words keep their text, as in YAML.
"""

from __future__ import annotations

import json
import re

from meshlint.source.nodes import NESTING_LIMIT, Mapping, Node, Scalar, Sequence

_SPACE = re.compile(r"[ \t\r\n]*")
_STRING = re.compile(r'"[^"\\\x00-\x1f]*(?:\\.[^"\\\x00-\x1f]*)*"')
_WORD = re.compile(
    r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?(?![\w.+-])|(?:true|false|null)(?!\w)"
)


def read_json(text: str) -> list[tuple[Node, list[Mapping]]] | None:
    """The values of a text with the mappings that hold a key twice; None if it is no strict JSON."""
    roots: list[tuple[Node, list[Mapping]]] = []
    reader = _Reader(text)
    try:
        while not reader.at_end():
            duplicates: list[Mapping] = []
            roots.append((reader.value(duplicates, 0), duplicates))
    except _NotJsonError:
        return None
    return roots


class _NotJsonError(Exception):
    pass


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def at_end(self) -> bool:
        self._space()
        return self.at >= len(self.text)

    def value(self, duplicates: list[Mapping], depth: int) -> Node:
        self._space()
        first = self.text[self.at : self.at + 1]
        if depth > NESTING_LIMIT:
            raise _NotJsonError
        if first == "{":
            return self._object(duplicates, depth)
        if first == "[":
            return self._array(duplicates, depth)
        return self._string() if first == '"' else self._word()

    def _object(self, duplicates: list[Mapping], depth: int) -> Mapping:
        start = self.at
        self.at += 1
        items: list[tuple[Node, Node]] = []
        while not self._closes("}", bool(items)):
            key = self._string()
            self._expect(":")
            items.append((key, self.value(duplicates, depth + 1)))
        mapping = Mapping(start, self.at, items, True)
        if len(mapping.index) < len(items):
            duplicates.append(mapping)
        return mapping

    def _array(self, duplicates: list[Mapping], depth: int) -> Sequence:
        start = self.at
        self.at += 1
        items: list[Node] = []
        while not self._closes("]", bool(items)):
            items.append(self.value(duplicates, depth + 1))
        return Sequence(start, self.at, items, True)

    def _closes(self, closing: str, after_item: bool) -> bool:
        """Go past the closing character, or past the comma before the next item."""
        self._space()
        if self.text[self.at : self.at + 1] == closing:
            self.at += 1
            return True
        if after_item:
            self._expect(",")
        self._space()
        return False

    def _expect(self, character: str) -> None:
        self._space()
        if self.text[self.at : self.at + 1] != character:
            raise _NotJsonError
        self.at += 1

    def _string(self) -> Scalar:
        match = _STRING.match(self.text, self.at)
        if match is None:
            raise _NotJsonError
        start, self.at = match.span()
        try:
            value = json.loads(match.group())
            value.encode()
        except ValueError as error:  # an unknown escape, half of a surrogate pair
            raise _NotJsonError from error
        return Scalar(start, self.at, value, '"')

    def _word(self) -> Scalar:
        match = _WORD.match(self.text, self.at)
        if match is None:
            raise _NotJsonError
        start, self.at = match.span()
        return Scalar(start, self.at, match.group(), "")

    def _space(self) -> None:
        match = _SPACE.match(self.text, self.at)
        self.at = match.end() if match else self.at
