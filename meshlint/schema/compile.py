"""JSON Schema -> functions that walk nodes and report what departs from it (spec schemas 2.5, 2.8).

A check is a function of a node and a list of defects. Valid documents take the shortest way: one call
per node, one look-up per key. Properties are compiled when a document first uses them.

Null and placeholders are unknown and never wrong. `Target` holds the releases that marks such as
`x-since` are held against.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from meshlint.records import dataclass
from meshlint.schema.defects import Defect, is_unknown, wrong_value
from meshlint.schema.keywords import (
    Check,
    Schema,
    all_of,
    anything,
    conditional,
    containing,
    count_of,
    dependent,
    deprecated,
    distinct,
    exclusive,
    experimental,
    is_text,
    missing,
    mistyped,
    names_like,
    not_allowed,
    not_like,
    nothing_fits,
    number_limits,
    plain_text,
    regex,
    repeated,
    said,
    some,
    text_limits,
    too_new,
    type_of,
    unknown,
    value_deprecated,
    value_experimental,
    value_too_new,
)
from meshlint.schema.suggest import resolve
from meshlint.source.nodes import Mapping, Node, Scalar, Sequence

_LIMITS: Final = frozenset(("minLength", "maxLength", "pattern", "format"))
_BOUNDS: Final = frozenset(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"))
_STRUCTURE: Final = (
    frozenset(("type", "properties", "additionalProperties", "patternProperties", "required", "items"))
    | frozenset(("enum", "const", "minItems", "maxItems", "minProperties", "maxProperties"))
    | frozenset(("uniqueItems", "x-unique-by"))
    | _LIMITS
    | _BOUNDS
)
#: keywords of maps: any name may be a key
_MAP: Final = frozenset(("type", "additionalProperties", "maxProperties", "x-since", "x-channel", "default"))
_BOOLEANS: Final = frozenset(("true", "false"))
_CLASSES: Final[dict[str, type]] = {"string": str, "boolean": bool}


@dataclass(frozen=True, slots=True)
class Target:
    """The release that a kind is held against, as numbers; () for the newest. `name` is for people."""

    name: str = ""
    release: tuple[int, ...] = ()
    experimental: bool = False


class Compiler:
    """Compiles one schema file; `root` is where references start."""

    def __init__(self, root: Schema, target: Target | None = None) -> None:
        self.root = root
        self.target = target or Target()
        self._references: dict[str, Check] = {}

    def check(self, schema: Schema | bool) -> Check:
        """The check of a schema."""
        if schema is True or schema == {}:
            return anything
        if schema is False:
            return nothing_fits
        reference = schema.get("$ref")
        if reference is not None and len(schema) <= 1 + ("x-since" in schema):
            return self._reference(reference)
        checks = [self._typed(schema)] if schema.keys() & _STRUCTURE else []
        checks += self._applied(schema)
        if reference is not None:
            checks.append(self._reference(reference))
        return checks[0] if len(checks) == 1 else all_of(checks) if checks else anything

    def property(self, name: str, schema: Schema | bool) -> Check:
        """The check of a property: that of its value, after the marks of the property itself."""
        check = self.check(schema)
        if schema is True or schema is False:
            return check
        since = schema.get("x-since")
        if since is not None and is_newer(since, self.target.release):
            return too_new(name, since, self.target.name, Compiler(self.root).check(schema))
        if schema.get("x-channel") == "experimental" and not self.target.experimental:
            return experimental(name, check)
        if "x-deprecated" in schema:
            return deprecated(name, schema["x-deprecated"], check)
        return check

    def _reference(self, reference: str) -> Check:
        """References may be recursive, so they are followed when they are first used."""
        known = self._references.get(reference)
        if known is not None:
            return known
        resolved: Check | None = None

        def check(node: Node, out: list[Defect]) -> None:
            nonlocal resolved
            if resolved is None:
                resolved = self.check(resolve(self.root, reference))
            resolved(node, out)

        self._references[reference] = check
        return check

    def _typed(self, schema: Schema) -> Check:
        types = schema.get("type")
        if types is None:
            return self._untyped(schema)
        names = [name for name in ([types] if isinstance(types, str) else types) if name != "null"]
        if len(names) != 1:
            return self._several(schema, names)
        return self._of_type(names[0], schema)

    def _of_type(self, name: str, schema: Schema) -> Check:
        if name == "object":
            return self._object(schema)
        if name == "array":
            return self._array(schema)
        if name == "string":
            return self._string(schema)
        if name in ("integer", "number"):
            return self._number(name, schema)
        return self._boolean(schema) if name == "boolean" else anything

    def _several(self, schema: Schema, names: list[str]) -> Check:
        checks = {name: self._of_type(name, schema) for name in names}
        if "number" in checks:
            checks.setdefault("integer", checks["number"])
        text = checks.get("string")
        plain = text is plain_text

        def check(node: Node, out: list[Defect]) -> None:
            if plain and is_text(node):
                return
            inner = checks.get(type_of(node))
            if inner is not None:
                inner(node, out)
            else:
                mistyped(node, names, out)

        return check

    def _untyped(self, schema: Schema) -> Check:
        """Without a type, keywords count only for values of the type that they speak of."""
        every = {
            name: self._of_type(name, schema) for name in ("object", "array", "string", "number", "boolean")
        }
        every["integer"] = every["number"]

        def check(node: Node, out: list[Defect]) -> None:
            inner = every.get(type_of(node))
            if inner is not None:
                inner(node, out)

        return check

    def _object(self, schema: Schema) -> Check:
        if schema.keys() <= _MAP and isinstance(schema.get("additionalProperties"), dict):
            return self._map(schema)
        properties = _Properties(self, schema)
        required = tuple(schema.get("required", ()))
        least, most = schema.get("minProperties", 0), schema.get("maxProperties")

        def check(node: Node, out: list[Defect]) -> None:
            if node.__class__ is not Mapping:
                mistyped(node, ("object",), out)
                return
            index = node.index
            for name, pair in index.items():
                inner = properties[name]
                if inner is not None:
                    inner(pair[1], out)
                else:
                    unknown(pair[0], properties.schemas, out)
            for name in required:
                if name not in index:
                    missing(node, name, out)
            if len(index) < least or (most is not None and len(index) > most):
                count_of(node, len(index), least, most, "entries", out)

        return check

    def _map(self, schema: Schema) -> Check:
        """Any keys, and one schema for all values."""
        inner = self.check(schema["additionalProperties"])
        most = schema.get("maxProperties")
        plain = inner is plain_text

        def check(node: Node, out: list[Defect]) -> None:
            if node.__class__ is not Mapping:
                mistyped(node, ("object",), out)
                return
            index = node.index
            for pair in index.values():
                if not plain or not is_text(pair[1]):
                    inner(pair[1], out)
            if most is not None and len(index) > most:
                count_of(node, len(index), 0, most, "entries", out)

        return check

    def _array(self, schema: Schema) -> Check:
        items = schema.get("items")
        inner = self.check(items) if items is not None else anything
        least, most = schema.get("minItems", 0), schema.get("maxItems")
        keys = schema.get("x-unique-by")
        keyed = distinct(keys, schema) if keys else None
        unique = schema.get("uniqueItems", False)

        def check(node: Node, out: list[Defect]) -> None:
            if node.__class__ is not Sequence:
                mistyped(node, ("array",), out)
                return
            for item in node.items:
                inner(item, out)
            count = len(node.items)
            if count < least or (most is not None and count > most):
                count_of(node, count, least, most, "items", out)
            if count > 1 and keyed is not None:
                keyed(node, out)
            if count > 1 and unique:
                repeated(node, out)

        return check

    def _string(self, schema: Schema) -> Check:
        if "enum" in schema or "const" in schema:
            return self._enum(schema, ("string",))
        if not schema.keys() & _LIMITS:
            return plain_text
        limits = text_limits(schema)

        def check(node: Node, out: list[Defect]) -> None:
            if not is_text(node):
                mistyped(node, ("string",), out)
                return
            problem = limits(node.text)  # type: ignore[union-attr]
            if problem is not None:
                wrong_value(node, problem, out)

        return check

    def _number(self, name: str, schema: Schema) -> Check:
        limits = number_limits(schema) if schema.keys() & _BOUNDS else None
        enum = self._enum(schema, (name,)) if "enum" in schema or "const" in schema else None
        whole = name == "integer"
        short = 0 if enum is not None else _digits_without_check(schema)

        def check(node: Node, out: list[Defect]) -> None:
            if node.__class__ is Scalar and not node.style:
                text = node.text
                if len(text) <= short and text.isdecimal() and text[0] != "0":
                    return
            value = node.value if isinstance(node, Scalar) else None
            kind = value.__class__
            if kind is float and whole and value.is_integer():  # type: ignore[union-attr]
                kind = int
            if kind is not int and (whole or kind is not float):
                mistyped(node, (name,), out)
                return
            if limits is not None:
                problem = limits(value)
                if problem is not None:
                    wrong_value(node, problem, out)
            if enum is not None:
                enum(node, out)

        return check

    def _boolean(self, schema: Schema) -> Check:
        enum = self._enum(schema, ("boolean",)) if "enum" in schema or "const" in schema else None

        def check(node: Node, out: list[Defect]) -> None:
            if node.__class__ is Scalar and not node.style and node.text in _BOOLEANS and enum is None:
                return
            if not isinstance(node, Scalar) or node.value.__class__ is not bool:
                mistyped(node, ("boolean",), out)
            elif enum is not None:
                enum(node, out)

        return check

    def _enum(self, schema: Schema, types: tuple[str, ...]) -> Check:
        allowed = schema["enum"] if "enum" in schema else [schema["const"]]
        values = frozenset(
            (value.__class__, value) for value in allowed if not isinstance(value, (dict, list))
        )
        marks = self._marks(schema)
        kind = _CLASSES.get(types[0]) if len(types) == 1 else None

        def check(node: Node, out: list[Defect]) -> None:
            value = node.value if isinstance(node, Scalar) else None
            if (value.__class__, value) in values:
                mark = marks.get(str(value)) if marks else None
                if mark is not None:
                    out.append(mark(node))
            elif value is None or (kind is str and not isinstance(value, str)):
                mistyped(node, types, out)
            elif not is_unknown(node):
                out.append(not_allowed(node, allowed))

        return check

    def _marks(self, schema: Schema) -> dict[str, Callable[[Node], Defect]]:
        """What to say about single values of an enum."""
        target = self.target
        marks: dict[str, Callable[[Node], Defect]] = {}
        for value, since in schema.get("x-enum-since", {}).items():
            if is_newer(since, target.release):
                marks[value] = value_too_new(since, target.name)
        if not target.experimental:
            marks |= dict.fromkeys(schema.get("x-enum-experimental", ()), value_experimental)
        for value, advice in schema.get("x-enum-deprecated", {}).items():
            marks[value] = value_deprecated(advice)
        return marks

    def _applied(self, schema: Schema) -> list[Check]:
        """The keywords that hold other schemas against the same node."""
        found: list[Check] = []
        found += [self._part(part) for part in schema.get("allOf", ())]
        for word in ("anyOf", "oneOf"):
            found += [some(word, [self.check(part) for part in schema[word]])] if word in schema else []
        if "not" in schema:
            found.append(not_like(self.check(schema["not"])))
        if "if" in schema:
            branches = (self.check(schema.get(word, True)) for word in ("if", "then", "else"))
            found.append(conditional(*branches))
        if "propertyNames" in schema:
            found.append(names_like(self.check(schema["propertyNames"])))
        if "contains" in schema:
            found.append(containing(self.check(schema["contains"])))
        for name, branch in schema.get("dependentSchemas", {}).items():
            found.append(dependent(name, self.check(branch)))
        return found

    def _part(self, part: Schema) -> Check:
        """A part of `allOf`: with words of its own, all that is wrong is said in these."""
        if "x-exclusive" in part:
            return exclusive(tuple(part["x-exclusive"]))
        check = self.check(part)
        return said(check, part) if "x-says" in part else check


def _digits_without_check(schema: Schema) -> int:
    """Positive numbers of how many digits are in bounds for sure?"""
    if schema.get("minimum", 0) > 1 or schema.keys() & {"exclusiveMinimum", "exclusiveMaximum", "multipleOf"}:
        return 0
    return len(str(int(schema.get("maximum", 10**18)))) - 1


class _Properties(dict[str, "Check | None"]):
    """Name of a property -> its check, compiled on first use; None for names that the schema has not."""

    def __init__(self, compiler: Compiler, schema: Schema) -> None:
        super().__init__()
        self.compiler = compiler
        self.schemas: Schema = schema.get("properties", {})
        self.patterns = [
            (found, compiler.check(sub))
            for text, sub in schema.get("patternProperties", {}).items()
            if (found := regex(text)) is not None
        ]
        other = schema.get("additionalProperties", True)
        self.other: Check | None = None if other is False else compiler.check(other)

    def __missing__(self, name: str) -> Check | None:
        schema = self.schemas.get(name)
        if schema is None:
            return next((check for pattern, check in self.patterns if pattern.search(name)), self.other)
        check = self[name] = self.compiler.property(name, schema)
        return check


def is_newer(since: str, release: tuple[int, ...]) -> bool:
    """Is `since` after the release? ``1.4.0`` is not after 1.4."""
    return numbers(since)[: len(release)] > release[: len(numbers(since))]


def numbers(text: str) -> tuple[int, ...]:
    """``1.28`` -> (1, 28), to compare releases."""
    return tuple(int(part) for part in re.findall(r"\d+", text))
