"""Random documents for a schema: mostly valid ones, and single edits of them."""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Iterator
from typing import Any

from meshlint.schema.suggest import resolve
from meshlint.source.nodes import Node
from meshlint.source.parse import parse

Schema = dict[str, Any]

#: texts that satisfy the patterns of the schemas now and then
TEXTS = (
    "a", "cart", "shop.example.com", "/", "/cart", "5s", "1m30s", "10", "v1", "https://example.com/keys",
    "unix:///run/x", "*", "", "UPPER", "oci://registry/x:1", "192.0.2.0/24", "a/b", "a b", "0.5", "80%",
    "x" * 300,
)  # fmt: skip


def document(root: Schema, schema: Schema, chance: random.Random) -> Any:
    """A value that follows the types of the schema; rules across fields may be broken."""
    return _value(root, schema, chance, depth=0)


def edited(value: Any, chance: random.Random) -> Any:
    """The same with one part dropped, renamed, or replaced by something of another kind."""
    value = copy.deepcopy(value)
    places = [place for place in _places(value) if place[1] not in ("apiVersion", "kind")]
    if not places:
        return value
    parent, key = chance.choice(places)
    kind = chance.choice(("drop", "rename", "replace", "replace", "double"))
    if kind == "drop":
        del parent[key]
    elif kind == "rename" and isinstance(parent, dict):
        parent[f"{key}x"] = parent.pop(key)
    elif kind == "double" and isinstance(parent, list):
        parent.append(copy.deepcopy(parent[key]))
    else:
        parent[key] = chance.choice([5, "text", True, [], {}, -1, 70000, 1.5, ["a"], {"a": "b"}])
    return value


def node_of(value: Any) -> Node:
    """JSON is YAML: the same value as our parser reads it."""
    root = parse("value.yaml", json.dumps(value)).documents[0].root
    assert root is not None
    return root


def _value(root: Schema, schema: Any, chance: random.Random, depth: int) -> Any:
    if not isinstance(schema, dict):
        return {}
    if "$ref" in schema:
        return _value(root, resolve(root, schema["$ref"]), chance, depth)
    if "enum" in schema:
        return chance.choice([value for value in schema["enum"] if value is not None])
    types = schema.get("type", "object")
    names = [name for name in ([types] if isinstance(types, str) else types) if name != "null"]
    kind = chance.choice(names)
    if kind == "object":
        return _object(root, schema, chance, depth)
    if kind == "array":
        most = 0 if depth > 9 else min(schema.get("maxItems", 2), 2)
        count = max(schema.get("minItems", 0), chance.randint(0, most))
        return [
            _value(root, schema.get("items", {"type": "string"}), chance, depth + 1) for _ in range(count)
        ]
    if kind == "boolean":
        return chance.random() < 0.5
    if kind == "string":
        return _text(schema, chance)
    low, high = schema.get("minimum", -5), schema.get("maximum", 100)
    number = chance.choice([low, high, 1, 7, 80, 443])
    return number + 0.5 if kind == "number" and chance.random() < 0.3 else number


def _object(root: Schema, schema: Schema, chance: random.Random, depth: int) -> dict[str, Any]:
    found = {}
    required = schema.get("required", ())
    for name, sub in schema.get("properties", {}).items():
        likely = 0.9 if depth < 2 else 0.35 if depth < 6 else 0.1
        if name in required or (name != "status" and chance.random() < likely):
            found[name] = _value(root, sub, chance, depth + 1)
    for part in schema.get("allOf", ()):
        for name in part.get("x-exclusive", ())[1:] if chance.random() < 0.95 else ():
            found.pop(name, None)
    other = schema.get("additionalProperties")
    if isinstance(other, dict):
        for _ in range(chance.randint(0, 2)):
            found[chance.choice(("app", "version", "80", "http", "9090", "a*b"))] = _value(
                root, other, chance, depth + 1
            )
    return found


def _text(schema: Schema, chance: random.Random) -> str:
    """A text that fits where one is at hand, and any other in one of twenty cases."""
    if chance.random() < 0.05:
        return chance.choice(TEXTS)
    parts = [schema, *schema.get("allOf", ())]
    return chance.choice([text for text in TEXTS if all(_fits(text, part) for part in parts)] or TEXTS)


def _fits(text: str, schema: Schema) -> bool:
    if not schema.get("minLength", 0) <= len(text) <= schema.get("maxLength", 10**6):
        return False
    if "format" in schema and text not in ("5s", "1m30s"):
        return False
    return "pattern" not in schema or re.search(schema["pattern"], text) is not None


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    stack = [value]
    while stack:
        top = stack.pop()
        for key in list(top) if isinstance(top, dict) else range(len(top)):
            yield top, key
            if isinstance(top[key], (dict, list)):
                stack.append(top[key])
