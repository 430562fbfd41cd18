"""What does a parsed YAML document look like, and where in the text does each part stand?

The tree is light on purpose: offsets instead of line and column (computed only when a finding is
printed), typed values only when asked for. An alias becomes a node of its own that stands at the
alias and shares the content of its anchor, so nobody has to follow references. Typing follows the
Kubernetes decoder (spec security 0.4): YAML 1.1 booleans, no sexagesimal numbers, no dates.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, Union

Node = Union["Scalar", "Mapping", "Sequence"]
Plain = str | int | float | bool | None | list[Any] | dict[str, Any]

#: libyaml allows 1,000; no manifest comes near, and every walk over a tree may recurse this deep
NESTING_LIMIT: Final = 200

_NULLS: Final = frozenset(("", "~", "null", "Null", "NULL"))
_WORDS: Final[dict[str, bool | None]] = {
    **{
        word: value
        for value, words in ((True, ("true", "yes", "on")), (False, ("false", "no", "off")))
        for base in words
        for word in (base, base.capitalize(), base.upper())
    },
    **dict.fromkeys(_NULLS),
}
_NUMBER_STARTS: Final = frozenset("0123456789+-.")
_DECIMAL: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]*)\Z")
_BASED: Final = re.compile(r"([-+]?)0([xXoObB]?)([0-9a-fA-F]{1,64})\Z")
_BASES: Final = {"x": 16, "o": 8, "b": 2, "": 8}
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_SPECIAL_FLOATS: Final = {
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}


class Scalar:
    """A scalar; `text` is its content without quotes, `style` one of ``'' ' " | >``."""

    __slots__ = ("end", "start", "style", "text")

    #: most scalars have none, so it takes no room in them
    tag: str | None = None

    def __init__(self, start: int, end: int, text: str, style: str, _tag: None = None) -> None:
        self.start = start
        self.end = end
        self.text = text
        self.style = style

    @property
    def value(self) -> str | int | float | bool | None:
        """The typed value as the Kubernetes decoder resolves it."""
        return self.text if self.style else resolve_plain(self.text)

    @property
    def string(self) -> str | None:
        """The text if the decoder sees a string here, else None."""
        value = self.value
        return value if isinstance(value, str) else None

    def dig(self, *path: str | int) -> Node | None:
        return None if path else self

    def plain(self) -> Plain:
        return self.value

    def __repr__(self) -> str:
        return f"Scalar({self.text!r})"


class TaggedScalar(Scalar):
    """A scalar with a written tag, which decides its type whatever the quotes."""

    __slots__ = ("tag",)

    def __init__(self, start: int, end: int, text: str, style: str, tag: str) -> None:
        super().__init__(start, end, text, style)
        self.tag = tag

    @property
    def value(self) -> str | int | float | bool | None:
        kind = (self.tag or "").removeprefix("tag:yaml.org,2002:")
        if kind not in ("int", "float", "bool", "null"):
            return self.text
        value = resolve_plain(self.text)
        return float(value) if kind == "float" and type(value) is int else value


class Mapping:
    """A mapping. The parser leaves either the pairs or the index; the other is made when asked for."""

    __slots__ = ("_index", "_items", "end", "flow", "start")

    def __init__(self, start: int, end: int, items: list[tuple[Node, Node]], flow: bool) -> None:
        self.start = start
        self.end = end
        self.flow = flow
        self._items: list[tuple[Node, Node]] | None = items
        self._index: dict[str, tuple[Scalar, Node]] | None = None

    @classmethod
    def of_index(cls, start: int, end: int, index: dict[str, tuple[Scalar, Node]]) -> Mapping:
        mapping = cls(start, end, [], False)
        mapping._items, mapping._index = None, index
        return mapping

    def put(self, key: Scalar, value: Node) -> None:
        """Set a value; only for trees that no parser and nobody else holds."""
        self.index[key.text] = (key, value)
        self._items = None

    def drop(self, key: str) -> None:
        """Remove a value; as `put`."""
        self.index.pop(key, None)
        self._items = None

    @property
    def items(self) -> list[tuple[Node, Node]]:
        """Every written pair in order, duplicates and merge keys included."""
        items = self._items
        if items is None:
            items = self._items = list(self.index.values())
        return items

    @property
    def index(self) -> dict[str, tuple[Scalar, Node]]:
        """Key text to (key node, value node), merge keys applied; of duplicates the last counts."""
        index = self._index
        return self._build_index() if index is None else index

    def get(self, key: str) -> Node | None:
        index = self._index
        if index is None:
            index = self._build_index()
        pair = index.get(key)
        return pair[1] if pair is not None else None

    def key(self, key: str) -> Scalar | None:
        """The node of the key itself."""
        pair = self.index.get(key)
        return pair[0] if pair is not None else None

    def dig(self, *path: str | int) -> Node | None:
        """Follow keys and list positions; None as soon as one is absent."""
        node: Node | None = self
        for step in path:
            if node.__class__ is Mapping:
                index = node._index
                if index is None:
                    index = node._build_index()
                pair = index.get(step if step.__class__ is str else str(step))
                if pair is None:
                    return None
                node = pair[1]
            elif isinstance(node, Sequence) and isinstance(step, int):
                node = node.items[step] if -len(node.items) <= step < len(node.items) else None
            else:
                return None
        return node

    def plain(self) -> Plain:
        return {key: pair[1].plain() for key, pair in self.index.items()}

    def _build_index(self) -> dict[str, tuple[Scalar, Node]]:
        try:
            index: dict[str, tuple[Scalar, Node]] = {pair[0].text: pair for pair in self.items}  # type: ignore[union-attr, misc]
        except AttributeError:  # a key that is no scalar
            index = {}
            for pair in self.items:
                if isinstance(pair[0], Scalar):
                    index[pair[0].text] = pair  # type: ignore[assignment]
        if "<<" in index:
            self._merge(index)
        self._index = index
        return index

    def _merge(self, index: dict[str, tuple[Scalar, Node]]) -> None:
        merged = [value for key, value in self.items if isinstance(key, Scalar) and _is_merge(key)]
        if _is_merge(index["<<"][0]):
            del index["<<"]
        for source in merged:
            for part in source.items if isinstance(source, Sequence) else (source,):
                if isinstance(part, Mapping):
                    for name, pair in part.index.items():
                        index.setdefault(name, pair)

    def __iter__(self) -> Iterator[str]:
        return iter(self.index)

    def __len__(self) -> int:
        return len(self.index)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"Mapping({list(self.index)!r})"


class Sequence:
    """A list of nodes."""

    __slots__ = ("end", "flow", "items", "start")

    def __init__(self, start: int, end: int, items: list[Node], flow: bool) -> None:
        self.start = start
        self.end = end
        self.items = items
        self.flow = flow

    def dig(self, *path: str | int) -> Node | None:
        if not path:
            return self
        first, *rest = path
        if not isinstance(first, int) or not -len(self.items) <= first < len(self.items):
            return None
        return self.items[first].dig(*rest)

    def plain(self) -> Plain:
        return [item.plain() for item in self.items]

    def __iter__(self) -> Iterator[Node]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"Sequence({self.items!r})"


def _is_merge(key: Scalar) -> bool:
    return key.text == "<<" and not key.style


def resolve_plain(text: str) -> str | int | float | bool | None:
    """Type of an unquoted scalar for the Kubernetes decoder (spec security 0.4).

    That is the resolver of sigs.k8s.io/yaml: ``y`` and ``n`` are strings, ``010`` and ``0o10`` are 8,
    ``1:30`` and ``2024-01-01`` are strings, and an integer that fits no 64 bits is a float.
    """
    if not text:
        return None
    if text[0] in _NUMBER_STARTS:
        return _number(text)
    return _WORDS.get(text, text)


def _number(text: str) -> str | int | float:
    if text in _SPECIAL_FLOATS:
        return _SPECIAL_FLOATS[text]
    digits = text if text[0] == "." else text.replace("_", "")
    integer = _integer(digits)
    if integer is not None:
        return integer
    if _FLOAT.match(digits):
        value = float(digits)
        return text if value in (float("inf"), float("-inf")) else value
    return text


def _integer(digits: str) -> int | None:
    value = None
    if _DECIMAL.match(digits):
        value = int(digits) if len(digits) <= 21 else None
    elif based := _BASED.match(digits):
        sign, base, body = based.groups()
        try:
            value = int(sign + body, _BASES[base.lower()])
        except ValueError:  # a digit that the base does not have
            return None
    if value is None or not -(2**63) <= value < 2**64:
        return None
    return None if value >= 2**63 and digits[0] == "+" else value


def texts(node: Node | None) -> list[Scalar]:
    """The scalar items of a list; [] for anything else."""
    if not isinstance(node, Sequence):
        return []
    return [item for item in node.items if isinstance(item, Scalar)]


def mappings(node: Node | None) -> list[Mapping]:
    """The mapping items of a list; [] for anything else."""
    if not isinstance(node, Sequence):
        return []
    return [item for item in node.items if isinstance(item, Mapping)]


def text_of(node: Node | None) -> str | None:
    """The text of a scalar whatever its type (``8080`` gives '8080'); None for null and non-scalars."""
    if isinstance(node, Scalar):
        return node.text if node.style or node.text not in _NULLS else None
    return None


def is_true(node: Node | None) -> bool:
    """Is it the boolean true? No text is, nor a node that is absent."""
    return isinstance(node, Scalar) and node.value is True


def int_of(node: Node | None) -> int | None:
    """The integer that a scalar holds (``8e1`` is 80 in JSON); None for anything else, booleans included."""
    if isinstance(node, Scalar):
        value = node.value
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
            return int(value)
    return None


def string_map(node: Node | None) -> dict[str, str]:
    """A map of strings (labels, annotations, matchLabels); null values read as ''."""
    if not isinstance(node, Mapping):
        return {}
    return {
        key: value.text if value.style or value.text not in _NULLS else ""
        for key, (_, value) in node.index.items()
        if isinstance(value, Scalar)
    }
