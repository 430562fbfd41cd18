"""What is wrong with a node, in words?"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from meshlint.records import dataclass
from meshlint.source.nodes import Mapping, Node, Scalar, Sequence
from meshlint.source.templates import is_placeholder

#: every kind of defect
KINDS: Final = (
    "unknown-field",
    "wrong-type",
    "enum-value",
    "required-field",
    "exclusive-fields",
    "invalid-value",
    "duplicate-list-key",
    "field-too-new",
    "experimental-field",
    "deprecated-field",
)

_TYPES: Final = {
    "object": "a mapping",
    "array": "a list",
    "string": "a string",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
}
_LONGEST: Final = 60


@dataclass(frozen=True, slots=True)
class Defect:
    """`node` is the key of an unknown field, the mapping that lacks a key, else the value.

    `message` says what is wrong with it; `name` is the field in question, `siblings` the fields that an
    unknown one could have been. `severity` is set where it is not that of the rule.
    """

    kind: str
    node: Node
    message: str
    help: str = ""
    label: str = ""
    name: str = ""
    siblings: tuple[str, ...] = ()
    severity: str | None = None


def is_unknown(node: Node) -> bool:
    """Null, or a text that another tool replaces: nobody knows what the cluster will see."""
    return isinstance(node, Scalar) and (node.value is None or is_placeholder(node.text))


def wrong_value(node: Node, problem: str, out: list[Defect]) -> None:
    """A value of the right type that is not allowed, unless it is unknown."""
    if not is_unknown(node):
        out.append(Defect("invalid-value", node, f"{quoted(node)} {problem}", label=problem))


def wrong_type(node: Node, types: Iterable[str]) -> Defect:
    wanted = type_words(types)
    text, fix = found(node), _cure(node, tuple(types))
    return Defect("wrong-type", node, f"expected {wanted}, found {text}", fix, f"expected {wanted}")


def type_words(types: Iterable[str]) -> str:
    return " or ".join(_TYPES[name] for name in types if name != "null") or "nothing"


def found(node: Node) -> str:
    """A node as messages call it: ``the string '80'``, ``true``, ``a list``."""
    if isinstance(node, Mapping):
        return "a mapping"
    if isinstance(node, Sequence):
        return "a list"
    value = node.value
    return ("the string " if isinstance(value, str) else "") + quoted(node)


def quoted(node: Node) -> str:
    if not isinstance(node, Scalar):
        return found(node)
    text = repr(node.text) if isinstance(node.value, str) else node.text
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def choices(allowed: Iterable[Any]) -> str:
    """The words of an enum; the numbers that a protobuf takes beside them are left out."""
    allowed = list(allowed)
    if any(isinstance(value, str) for value in allowed):
        allowed = [value for value in allowed if isinstance(value, str)]
    return ", ".join("''" if value == "" else str(value) for value in allowed if value is not None)


def _cure(node: Node, types: tuple[str, ...]) -> str:
    if not isinstance(node, Scalar):
        if isinstance(node, Sequence) and "object" in types:
            return "remove the dash: this is one mapping, not a list"
        if "array" in types:
            return "put a dash in front: this is a list"
        return ""
    if "string" in types and node.text:
        return f"quote it: '{node.text}'"
    if node.style in ("'", '"') and ("integer" in types or "number" in types or "boolean" in types):
        return "remove the quotes" if re.fullmatch(r"-?[0-9.]+|true|false", node.text) else ""
    if "array" in types:
        return "put a dash in front: this is a list"
    return ""
