"""The engine against `jsonschema`: both must agree about random documents of every kind."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker, ValidationError
from jsonschema.validators import extend

from meshlint.schema.catalogue import schema_file
from meshlint.schema.compile import Compiler, Target, is_newer, numbers
from meshlint.schema.defects import Defect
from meshlint.source.durations import MILLISECOND, go_duration
from tests.schema.documents import document, edited, node_of

DOCUMENTS = 60
MARKS = frozenset(("field-too-new", "experimental-field", "deprecated-field"))
FORMATS = FormatChecker(formats=())
KINDS = schema_file("index.json")["kinds"]


@FORMATS.checks("istio-duration")
def _istio_duration(value: Any) -> bool:
    return not isinstance(value, str) or (go_duration(value) or 0) >= MILLISECOND


@FORMATS.checks("go-duration")
def _go_duration(value: Any) -> bool:
    return not isinstance(value, str) or go_duration(value) is not None


def _unique_by(validator: Any, keys: list[str], items: Any, schema: Any) -> Iterator[ValidationError]:
    seen = []
    properties = schema.get("items", {}).get("properties", {})
    for item in items if isinstance(items, list) else ():
        if not isinstance(item, dict):
            continue
        found = [item.get(key, properties.get(key, {}).get("default")) for key in keys]
        if None in found or any(isinstance(value, (dict, list)) for value in found):
            continue
        if found in seen:
            yield ValidationError(f"{found} twice")
        seen.append(found)


Reference = extend(Draft202012Validator, {"x-unique-by": _unique_by})


def defects(root: dict[str, Any], schema: dict[str, Any], value: Any) -> list[Defect]:
    out: list[Defect] = []
    Compiler(root).check(schema)(node_of(value), out)
    return [defect for defect in out if defect.kind not in MARKS]


def schemas() -> Iterator[Any]:
    for identity, entry in KINDS.items():
        root = schema_file(entry["file"])
        definitions = {version.get("definition", "") for version in entry["versions"]}
        for name in sorted(definitions):
            schema = {"$ref": f"#/$defs/{name}"} if name else root
            yield pytest.param(root, schema, id=f"{identity}{name and '-' + name}")


@pytest.mark.parametrize(("root", "schema"), list(schemas()))
def test_agrees_with_jsonschema(root: dict[str, Any], schema: dict[str, Any]) -> None:
    chance = random.Random(f"{schema.get('$id')}{schema.get('$ref')}")
    whole = {key: root[key] for key in ("$schema", "$defs")} | schema if "$ref" in schema else schema
    reference = Reference(whole, format_checker=FORMATS)
    verdicts = set()
    for number in range(DOCUMENTS):
        value = document(root, schema, chance)
        if number % 2:
            value = edited(value, chance)
        expected = [error.message for error in reference.iter_errors(value)]
        found = defects(root, schema, value)
        assert bool(found) == bool(expected), (value, expected, found)
        verdicts.add(bool(found))
    assert verdicts == {True, False}


FILES = {entry["file"] for entry in KINDS.values()} | {
    "istio/mesh/MeshConfig.json",
    "istio/mesh/ProxyConfig.json",
}


@pytest.mark.parametrize("path", sorted(FILES))
def test_is_a_json_schema(path: str) -> None:
    Draft202012Validator.check_schema(schema_file(path))


CASES = [
    ({"type": "string"}, "a", True),
    ({"type": "string"}, 5, False),
    ({"type": ["string", "integer"]}, 5, True),
    ({"type": ["string", "integer"]}, True, False),
    ({"type": "integer"}, 5.0, True),
    ({"type": "integer"}, 5.5, False),
    ({"type": "number"}, 5, True),
    ({"type": "boolean"}, "true", False),
    ({"type": "integer", "minimum": 1, "maximum": 65535}, 0, False),
    ({"type": "integer", "minimum": 1, "maximum": 65535}, 65536, False),
    ({"type": "integer", "exclusiveMinimum": 0}, 0, False),
    ({"type": "string", "pattern": "^a$"}, "a\n", False),
    ({"enum": ["a", 1, True]}, 1, True),
    ({"enum": ["a", 1]}, True, False),
    ({"type": "array", "items": {"type": "string"}, "uniqueItems": True}, ["a", "a"], False),
    ({"type": "array", "contains": {"const": 5}}, [1, 2], False),
    ({"type": "object", "additionalProperties": {"type": "string"}}, {"a": 1}, False),
    ({"type": "object", "patternProperties": {"^x-": {}}, "additionalProperties": False}, {"x-a": 1}, True),
    ({"type": "object", "patternProperties": {"^x-": {}}, "additionalProperties": False}, {"a": 1}, False),
    ({"type": "object", "propertyNames": {"pattern": "^[a-z]+$"}}, {"A": 1}, False),
    ({"type": "object", "minProperties": 1}, {}, False),
    ({"oneOf": [{"required": ["a"]}, {"required": ["b"]}]}, {"a": 1, "b": 2}, False),
    ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, [], False),
    ({"not": {"required": ["a"]}}, {"a": 1}, False),
    ({"if": {"required": ["a"]}, "then": {"required": ["b"]}}, {"a": 1}, False),
    ({"dependentSchemas": {"a": {"required": ["b"]}}}, {"a": 1}, False),
    ({"properties": {"a": False}}, {"a": 1}, False),
]


@pytest.mark.parametrize(("schema", "value", "valid"), CASES)
def test_keyword(schema: dict[str, Any], value: Any, valid: bool) -> None:
    assert list(Reference(schema).iter_errors(value)) is not valid or schema.get("pattern")
    assert (not defects(schema, schema, value)) is valid


@pytest.mark.parametrize("text", ["null", "~", "", "${X}", "'{{ x }}'", "PATCH_ME"])
@pytest.mark.parametrize("kind", ["string", "integer", "boolean", "array", "object"])
def test_unknown_values_are_never_wrong(text: str, kind: str) -> None:
    from meshlint.source.parse import parse

    schema = {"type": "object", "properties": {"a": {"type": kind, "minLength": 20, "enum": [1]}}}
    if kind in ("array", "object"):
        del schema["properties"]["a"]["enum"]  # type: ignore[index]
    out: list[Defect] = []
    root = parse("a.yaml", f"a: {text}").documents[0].root
    assert root is not None
    Compiler(schema).check(schema)(root, out)
    assert out == []


@pytest.mark.parametrize(
    ("since", "release", "newer"),
    [
        ("1.27", "1.26", True), ("1.27", "1.27", False), ("1.27", "1.27.3", False), ("1.4.0", "1.4", False),
        ("1.5.0", "1.4", True), ("1.10", "1.9", True), ("1.27", "", False), ("1.6.1", "1.6.0", True),
    ],
)  # fmt: skip
def test_releases(since: str, release: str, newer: bool) -> None:
    assert is_newer(since, numbers(release)) is newer


def test_marks_of_fields_and_values() -> None:
    schema = {
        "type": "object",
        "properties": {
            "old": {"type": "string"},
            "new": {"type": "object", "x-since": "1.27", "properties": {"in": {"x-since": "1.28"}}},
            "word": {"enum": ["A", "B"], "x-enum-since": {"B": "1.27"}},
            "odd": {"type": "string", "x-channel": "experimental"},
        },
    }
    value = node_of({"old": "a", "new": {"in": 1}, "word": "B", "odd": "x"})
    found: list[Defect] = []
    Compiler(schema, Target("Istio", (1, 26))).check(schema)(value, found)
    assert [defect.message for defect in found] == [
        "the field new came with Istio 1.27",
        "the value 'B' came with Istio 1.27",
        "the field odd is in the experimental channel only",
    ]
    found.clear()
    Compiler(schema, Target("Istio", (1, 27), experimental=True)).check(schema)(value, found)
    assert [defect.message for defect in found] == ["the field in came with Istio 1.28"]
