"""What do the single keywords of a schema ask for, and what is said where they are not met?"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Final

from meshlint.schema.defects import (
    Defect,
    choices,
    is_unknown,
    quoted,
    wrong_type,
)
from meshlint.source.durations import MILLISECOND, go_duration
from meshlint.source.nodes import Mapping, Node, Scalar, Sequence
from meshlint.source.templates import is_placeholder

Schema = dict[str, Any]
Check = Callable[[Node, list[Defect]], None]

_TYPE_OF: Final[dict[type, str]] = {bool: "boolean", int: "integer", float: "number", str: "string"}


def type_of(node: Node) -> str:
    """The JSON type of a node: object, array, string, integer, number, boolean or null."""
    if isinstance(node, Mapping):
        return "object"
    if isinstance(node, Sequence):
        return "array"
    value = node.value
    if isinstance(value, float) and value.is_integer():
        return "integer"
    return _TYPE_OF.get(value.__class__, "null")


def is_text(node: Node) -> bool:
    """Does the decoder see a string here? The common cases are told by the first character."""
    if node.__class__ is Scalar:
        if node.style:
            return True
        text = node.text
        if text and text[0] in _LETTERS and text not in _WORDS:
            return True
    return isinstance(node, Scalar) and node.value.__class__ is str


_LETTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ/*")
_WORDS: Final = frozenset(
    spelling
    for word in ("true", "false", "yes", "no", "on", "off", "null")
    for spelling in (word, word.capitalize(), word.upper())
)


def anything(node: Node, out: list[Defect]) -> None:
    """No constraint."""


def nothing_fits(node: Node, out: list[Defect]) -> None:
    out.append(Defect("invalid-value", node, "nothing is allowed here"))


def all_of(checks: list[Check]) -> Check:
    def check(node: Node, out: list[Defect]) -> None:
        for inner in checks:
            inner(node, out)

    return check


# Types, fields and counts


def mistyped(node: Node, types: tuple[str, ...] | list[str], out: list[Defect]) -> None:
    if not is_unknown(node):
        out.append(wrong_type(node, types))


def unknown(key: Scalar, siblings: Schema, out: list[Defect]) -> None:
    """The words come later, when it is known whether the field belongs somewhere else."""
    if not is_placeholder(key.text):
        out.append(Defect("unknown-field", key, "", name=key.text, siblings=tuple(siblings)))


def missing(node: Node, name: str, out: list[Defect]) -> None:
    out.append(Defect("required-field", node, f"{name} is required", name=name, label=f"{name} is missing"))


def plain_text(node: Node, out: list[Defect]) -> None:
    """Any string; one function, so that maps of strings can tell that nothing else is asked."""
    if not is_text(node):
        mistyped(node, ("string",), out)


def count_of(node: Node, count: int, least: int, most: int | None, noun: str, out: list[Defect]) -> None:
    limit = f"at least {least}" if count < least else f"at most {most}"
    out.append(Defect("invalid-value", node, f"has {count} {noun}, must have {limit}", label=limit))


def distinct(keys: list[str], schema: Schema) -> Check:
    """Items of a list map: no two may have the same keys. Where a key has a default, it counts."""
    properties = schema.get("items", {}).get("properties", {})
    defaults = {key: properties.get(key, {}).get("default") for key in keys}

    def identity(item: Node) -> tuple[Any, ...] | None:
        values = []
        for key in keys:
            node = item.dig(key)
            value = defaults[key] if node is None else node.value if isinstance(node, Scalar) else None
            if value is None or (isinstance(node, Scalar) and is_placeholder(node.text)):
                return None
            values.append(value)
        return tuple(values)

    def check(node: Node, out: list[Defect]) -> None:
        seen = set()
        for item in node.items if isinstance(node, Sequence) else ():
            found = identity(item)
            if found is None:
                continue
            if found in seen:
                text = " and ".join(f"{key} {value}" for key, value in zip(keys, found, strict=True))
                at = item.dig(keys[0]) or item
                out.append(Defect("duplicate-list-key", at, f"another item has {text} already", name=keys[0]))
            seen.add(found)

    return check


def repeated(node: Sequence, out: list[Defect]) -> None:
    seen: list[Any] = []
    for item in node.items:
        plain = item.plain()
        if plain in seen and not is_unknown(item):
            out.append(Defect("duplicate-list-key", item, f"{quoted(item)} is in the list already"))
        seen.append(plain)


# Texts and numbers


def text_limits(schema: Schema) -> Callable[[str], str | None]:
    """A function that says what is wrong with a text, or None."""
    least, most = schema.get("minLength", 0), schema.get("maxLength")
    pattern, form = schema.get("pattern"), _FORMATS.get(schema.get("format", ""))
    search = found.search if pattern is not None and (found := regex(pattern)) is not None else None

    def limits(text: str) -> str | None:
        if len(text) < least:
            return "is empty" if not text else f"is shorter than {least} characters"
        if most is not None and len(text) > most:
            return "must be empty" if most == 0 else f"is longer than {most} characters"
        if search is not None and not search(text):
            return f"does not match {pattern}"
        return form(text) if form is not None else None

    return limits


@cache
def regex(pattern: str) -> re.Pattern[str] | None:
    """A pattern of RE2 or ECMAScript; None where Python's dialect cannot say the same."""
    try:
        return re.compile(_END.sub(r"\\Z", pattern))
    except re.error:
        return None


#: Python's $ also matches before a line break at the end
_END: Final = re.compile(r"(?<!\\)\$(?=$|[|)])")


def _istio_duration(text: str) -> str | None:
    length = go_duration(text)
    if length is None:
        return "is no duration such as 5s, 250ms or 1m30s"
    return None if length >= MILLISECOND else "is too short: durations start at 1ms"


def _go_duration(text: str) -> str | None:
    return "is no duration such as 5s, 250ms or 1m30s" if go_duration(text) is None else None


_FORMATS: Final[dict[str, Callable[[str], str | None]]] = {
    "istio-duration": _istio_duration,
    "go-duration": _go_duration,
}


def number_limits(schema: Schema) -> Callable[[Any], str | None]:
    """A function that says what is wrong with a number, or None."""
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    step = schema.get("multipleOf")

    def limits(value: Any) -> str | None:
        if low is not None and value < low:
            return f"is below the minimum of {low}"
        if high is not None and value > high:
            return f"is above the maximum of {high}"
        if above is not None and value <= above:
            return f"must be more than {above}"
        if below is not None and value >= below:
            return f"must be less than {below}"
        return f"is no multiple of {step}" if step is not None and value % step else None

    return limits


def not_allowed(node: Node, allowed: list[Any]) -> Defect:
    """A value that is not in an enum."""
    from meshlint.schema.suggest import same_word

    expected = choices(allowed)
    near = (
        same_word(node.text, [str(value) for value in allowed if value]) if isinstance(node, Scalar) else None
    )
    hint = f"did you mean {near}?" if near else f"it must be one of {expected}"
    message = f"{quoted(node)} is not allowed; {hint}"
    return Defect("enum-value", node, message, f"use one of {expected}", hint, name=near or "")


# Schemas that hold against the same node


def _fits(check: Check, node: Node) -> bool:
    out: list[Defect] = []
    check(node, out)
    return not out


def some(word: str, branches: list[Check]) -> Check:
    """The words anyOf and oneOf; where no branch fits, the one that gets furthest speaks."""

    def check(node: Node, out: list[Defect]) -> None:
        tried: list[list[Defect]] = []
        fitting = 0
        for branch in branches:
            inner: list[Defect] = []
            branch(node, inner)
            fitting += not inner
            tried.append(inner)
            if fitting and word == "anyOf":
                return
        if fitting == 0:
            inside = [inner for inner in tried if all(defect.node is not node for defect in inner)]
            if len(inside) == 1:
                out.extend(inside[0])
            elif not is_unknown(node):
                out.append(Defect("invalid-value", node, "fits none of the shapes that are allowed here"))
        elif fitting > 1 and word == "oneOf" and not any(map(is_unknown, _leaves(node))):
            out.append(
                Defect("invalid-value", node, "fits more than one of the shapes of which one is allowed")
            )

    return check


def not_like(inner: Check) -> Check:
    def check(node: Node, out: list[Defect]) -> None:
        if _fits(inner, node) and not is_unknown(node):
            out.append(Defect("invalid-value", node, f"{quoted(node)} is not allowed here"))

    return check


def conditional(condition: Check, then: Check, other: Check) -> Check:
    def check(node: Node, out: list[Defect]) -> None:
        (then if _fits(condition, node) else other)(node, out)

    return check


def names_like(inner: Check) -> Check:
    def check(node: Node, out: list[Defect]) -> None:
        for key, _ in node.index.values() if isinstance(node, Mapping) else ():
            name = key if key.style else Scalar(key.start, key.end, key.text, '"')
            found: list[Defect] = []
            inner(name, found)
            out.extend(Defect(d.kind, key, d.message, d.help, d.label, d.name) for d in found)

    return check


def containing(inner: Check) -> Check:
    def check(node: Node, out: list[Defect]) -> None:
        if isinstance(node, Sequence) and not any(_fits(inner, item) for item in node.items):
            out.append(Defect("invalid-value", node, "lacks an item that is needed here"))

    return check


def dependent(name: str, inner: Check) -> Check:
    def check(node: Node, out: list[Defect]) -> None:
        if isinstance(node, Mapping) and name in node.index:
            inner(node, out)

    return check


def exclusive(names: tuple[str, ...]) -> Check:
    """At most one of the names; the finding stands at the key that came too much."""

    def check(node: Node, out: list[Defect]) -> None:
        index = node.index if isinstance(node, Mapping) else {}
        there = [index[name] for name in names if name in index]
        if len(there) < 2:
            return
        keys = sorted((key for key, value in there if not _is_null(value)), key=lambda key: key.start)
        if len(keys) > 1:
            given = " and ".join(key.text for key in keys)
            message = f"{given} exclude each other"
            advice = f"keep only one of {', '.join(names)}"
            out.append(
                Defect("exclusive-fields", keys[-1], message, advice, "only one of these", keys[-1].text)
            )

    return check


def said(inner: Check, part: Schema) -> Check:
    """A part of `allOf` with words of its own, and a place: the field `x-at` where that is there."""
    kind, message, at = part.get("x-kind", "invalid-value"), part["x-says"], part.get("x-at")

    def check(node: Node, out: list[Defect]) -> None:
        found: list[Defect] = []
        inner(node, found)
        if not found:
            return
        place: Node = node
        if at is not None and isinstance(node, Mapping) and node.get(at) is not None:
            place = node.key(at) or node
        elif "propertyNames" in part:
            place = found[0].node
        if any(map(is_unknown, _leaves(node))):
            return
        text = message if isinstance(place, Mapping) or at else f"{quoted(place)}: {message}"
        out.append(Defect(kind, place, text, label=message, name=at or ""))

    return check


def _is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.value is None


def _leaves(node: Node) -> Iterator[Node]:
    stack = [node]
    while stack:
        top = stack.pop()
        if isinstance(top, Mapping):
            stack.extend(value for _, value in top.index.values())
        elif isinstance(top, Sequence):
            stack.extend(top.items)
        else:
            yield top


# Marks


def too_new(name: str, since: str, api: str, inner: Check) -> Check:
    def check(node: Node, out: list[Defect]) -> None:
        message = f"the field {name} came with {api} {since}"
        out.append(Defect("field-too-new", node, message, label=f"since {api} {since}", name=name))
        inner(node, out)

    return check


def experimental(name: str, inner: Check) -> Check:
    def check(node: Node, out: list[Defect]) -> None:
        message = f"the field {name} is in the experimental channel only"
        out.append(Defect("experimental-field", node, message, label="experimental", name=name))
        inner(node, out)

    return check


def deprecated(name: str, advice: str, inner: Check) -> Check:
    def check(node: Node, out: list[Defect]) -> None:
        out.append(Defect("deprecated-field", node, f"the field {name} is deprecated", advice, name=name))
        inner(node, out)

    return check


def value_too_new(since: str, api: str) -> Callable[[Node], Defect]:
    def mark(node: Node) -> Defect:
        message = f"the value {quoted(node)} came with {api} {since}"
        return Defect("field-too-new", node, message, label=f"since {api} {since}")

    return mark


def value_experimental(node: Node) -> Defect:
    message = f"the value {quoted(node)} is in the experimental channel only"
    return Defect("experimental-field", node, message, label="experimental")


def value_deprecated(advice: str) -> Callable[[Node], Defect]:
    def mark(node: Node) -> Defect:
        return Defect("deprecated-field", node, f"the value {quoted(node)} is deprecated", advice)

    return mark
