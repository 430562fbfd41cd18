"""Does a file have the shape that one of our JSON Schemas describes, and where does it not?

An interpreter for the part of JSON Schema that the schemas of rule files, the configuration and route tests
use; it works on nodes, so that every complaint has a line. `x-says` has words for what is expected. A test
holds it against the `jsonschema` package, whose import alone takes longer than a whole run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from meshlint.policy.names import closest
from meshlint.records import dataclass
from meshlint.source.files import SourceFile
from meshlint.source.nodes import Mapping, Node, Scalar, Sequence

Schema = dict[str, Any]

_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string"}


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A node that is not as the schema says; `path` is how people name it: ``severity.mtls-permissive``."""

    node: Node
    path: str
    message: str


def complaints(file: SourceFile, schema: Schema) -> Iterator[str]:
    """Every mismatch of a file of one document, as ``file:line:column: what``."""
    for problem in file.problems:
        yield _line(file, problem.start, problem.message)
    if file.problems:
        return
    roots = [document.root for document in file.documents if document.root is not None]
    if len(roots) > 1:
        yield _line(file, roots[1].start, "found a second document, expected only one")
    for root in roots[:1]:
        for mismatch in mismatches(root, schema):
            yield complaint(file, mismatch)


def mismatches(root: Node, schema: Schema, path: str = "") -> Iterator[Mismatch]:
    """Where a tree departs from a schema; `path` is what the root is called."""
    yield from _Shape(schema).check(root, schema, path)


def complaint(file: SourceFile, mismatch: Mismatch) -> str:
    """``file:line:column: path: what was found, what was expected``"""
    at = f"{mismatch.path}: " if mismatch.path else ""
    return _line(file, mismatch.node.start, at + mismatch.message)


def _line(file: SourceFile, offset: int, message: str) -> str:
    line, column = file.position(offset)
    return f"{file.path}:{line}:{column}: {message}"


class _Shape:
    def __init__(self, root: Schema) -> None:
        self.root = root
        self._targets: dict[int, Schema] = {}

    def check(self, node: Node, schema: Schema, path: str) -> Iterator[Mismatch]:
        schema = self._resolved(schema)
        branches = schema.get("anyOf")
        if branches is not None:
            yield from self._any_of(node, branches, path)
        kinds = _listed(schema.get("type"))
        if kinds and not any(_is(node, kind) for kind in kinds):
            yield Mismatch(node, path, f"found {_found(node)}, expected {self._words(schema)}")
            return
        if isinstance(node, Scalar):
            yield from _scalar(node, schema, path)
        elif "enum" in schema:
            yield Mismatch(node, path, f"found {_found(node)}, expected one of {_choices(schema['enum'])}")
        elif isinstance(node, Sequence):
            yield from self._sequence(node, schema, path)
        else:
            yield from self._mapping(node, schema, path)

    def _resolved(self, schema: Schema) -> Schema:
        reference = schema.get("$ref")
        if reference is None:
            return schema
        known = self._targets.get(id(schema))
        if known is None:
            target: Any = self.root
            for step in reference.removeprefix("#/").split("/"):
                target = target[step]
            known = {**self._resolved(target), **{k: v for k, v in schema.items() if k != "$ref"}}
            self._targets[id(schema)] = known
        return known

    def _any_of(self, node: Node, branches: list[Schema], path: str) -> Iterator[Mismatch]:
        """One branch has to fit. Where one of the right type does not, its mismatches say most."""
        tried = []
        for branch in branches:
            found = list(self.check(node, branch, path))
            if not found:
                return
            tried.append(found)
        inner = [wrong for wrong in tried if wrong[0].node is not node]
        if inner:
            yield from min(inner, key=len)
            return
        expected = " or ".join(self._words(branch) for branch in branches)
        yield Mismatch(node, path, f"found {_found(node)}, expected {expected}")

    def _words(self, schema: Schema) -> str:
        schema = self._resolved(schema)
        if "x-says" in schema:
            return str(schema["x-says"])
        if schema.get("required"):
            return "a mapping with " + " and ".join(map(repr, schema["required"]))
        items = self._resolved(schema.get("items", {})).get("type")
        words = _type_words(_listed(schema.get("type", "object")))
        return f"{words} of {items}s" if items else words

    def _sequence(self, node: Sequence, schema: Schema, path: str) -> Iterator[Mismatch]:
        if len(node) < schema.get("minItems", 0):
            yield Mismatch(node, path, f"found {len(node)} items, expected at least {schema['minItems']}")
        items = schema.get("items")
        for number, item in enumerate(node.items):
            if items is not None:
                yield from self.check(item, items, f"{path}[{number}]")
        if schema.get("uniqueItems"):
            yield from _repeated(node, path)

    def _mapping(self, node: Mapping, schema: Schema, path: str) -> Iterator[Mismatch]:
        known: dict[str, Schema] = schema.get("properties", {})
        others = schema.get("additionalProperties", True)
        for name in schema.get("required", ()):
            if name not in node.index:
                yield Mismatch(node, path, f"{name!r} is missing")
        for name, (key, value) in node.index.items():
            below = f"{path}.{name}" if path else name
            if name in known:
                yield from self.check(value, known[name], below)
            elif others is False:
                yield Mismatch(key, path, _unknown_key(name, known))
            elif isinstance(others, dict):
                yield from self.check(value, others, below)


def _scalar(node: Scalar, schema: Schema, path: str) -> Iterator[Mismatch]:
    value = node.value
    allowed = schema.get("enum")
    if allowed is not None and not any(
        value is a or (value == a and type(value) is type(a)) for a in allowed
    ):
        near = closest(node.text, [a for a in allowed if isinstance(a, str) and a])
        hint = f"; did you mean {near!r}?" if near else ""
        yield Mismatch(node, path, f"found {_found(node)}, expected one of {_choices(allowed)}{hint}")
    if isinstance(value, str):
        if len(value) < schema.get("minLength", 0):
            at_least = schema["minLength"]
            yield Mismatch(node, path, f"found {_found(node)}, expected at least {at_least} characters")
        elif "pattern" in schema and not re.search(schema["pattern"], value):
            yield Mismatch(node, path, f"found {_found(node)}, expected {_alike(schema)}")
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        low, high = schema.get("minimum", value), schema.get("maximum", value)
        if not low <= value <= high:
            bound = f"at least {low}" if value < low else f"at most {high}"
            yield Mismatch(node, path, f"found {_found(node)}, expected {bound}")


def _alike(schema: Schema) -> str:
    return str(schema.get("x-says", f"text like {schema.get('pattern')}"))


def _choices(allowed: list[Any]) -> str:
    return ", ".join("''" if value == "" else str(value) for value in allowed if value is not False)


def _repeated(node: Sequence, path: str) -> Iterator[Mismatch]:
    seen = []
    for item in node.items:
        plain = item.plain()
        if plain in seen:
            yield Mismatch(item, path, f"found {_found(item)} twice")
        seen.append(plain)


def _unknown_key(name: str, known: dict[str, Schema]) -> str:
    near = closest(name, known)
    hint = f"did you mean {near!r}?" if near else "expected one of " + ", ".join(known)
    return f"unknown key {name!r}; {hint}"


def _listed(kinds: str | list[str] | None) -> list[str]:
    return [] if kinds is None else [kinds] if isinstance(kinds, str) else kinds


def _is(node: Node, kind: str) -> bool:
    if isinstance(node, Mapping):
        return kind == "object"
    if isinstance(node, Sequence):
        return kind == "array"
    value = node.value
    actual = "null" if value is None else _TYPES[type(value)]
    if actual == "integer":
        return kind in ("integer", "number")
    return actual == kind or (kind == "integer" and isinstance(value, float) and value.is_integer())


_WORDS = {
    "object": "a mapping",
    "array": "a list",
    "string": "a string",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}


def _type_words(kinds: list[str]) -> str:
    return " or ".join(_WORDS[kind] for kind in kinds)


def _found(node: Node) -> str:
    if isinstance(node, Mapping):
        return "a mapping"
    if isinstance(node, Sequence):
        return "a list"
    value = node.value
    if value is None:
        return "nothing"
    kind = "the string " if isinstance(value, str) else ""
    text = repr(node.text) if isinstance(value, str) else node.text
    return kind + (text if len(text) <= 60 else text[:57] + "...")
