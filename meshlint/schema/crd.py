"""CustomResourceDefinitions and ready JSON Schemas -> kinds (spec schemas 2.5)

Objects are closed at structural level only, where the API server prunes. CEL rules of a user's
definition are not run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from meshlint.schema.catalogue import Kind, Version
from meshlint.source.decode import DecodeError, decode
from meshlint.source.nodes import Mapping, Node, mappings, text_of
from meshlint.source.parse import parse

Schema = dict[str, Any]

_FREE: Final[Schema] = {"type": "object"}
_SAME: Final = (
    "type", "required", "enum", "default", "pattern", "minimum", "maximum", "minLength", "maxLength",
    "minItems", "maxItems", "minProperties", "maxProperties", "multipleOf", "uniqueItems",
)  # fmt: skip
_INTEGERS: Final = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}
#: <group>/<kind>_<version>.json, and <kind>-<first part of the group>-<version>.json
_READY: Final = re.compile(r"([a-z0-9]+)_(v[0-9a-z]+)\Z")
_READY_FLAT: Final = re.compile(r"([a-z0-9]+)-([a-z0-9-]+)-(v[0-9][0-9a-z]*)\Z")


def definitions_in(root: Node | None, source: str, *, named: bool = False) -> Iterator[Kind]:
    """The kind that a CustomResourceDefinition defines."""
    if not isinstance(root, Mapping) or text_of(root.get("kind")) != "CustomResourceDefinition":
        return
    spec = root.get("spec")
    group, kind = text_of(root.dig("spec", "group")), text_of(root.dig("spec", "names", "kind"))
    if not isinstance(spec, Mapping) or not group or not kind:
        return
    beta = (text_of(root.get("apiVersion")) or "").endswith("v1beta1")
    preserve = text_of(spec.get("preserveUnknownFields")) != "false" if beta else False
    shared = spec.dig("validation", "openAPIV3Schema")
    versions = {}
    for entry in mappings(spec.get("versions")):
        name = text_of(entry.get("name"))
        if name:
            schema = entry.dig("schema", "openAPIV3Schema") or shared
            versions[name] = Version(
                name,
                _root(schema, preserve),
                served=text_of(entry.get("served")) != "false",
                deprecated=text_of(entry.get("deprecated")) == "true",
            )
    yield Kind(group, kind, "crd", versions, source=source, named=named)


def read(paths: Iterable[Path]) -> tuple[list[Kind], list[str]]:
    """Kinds from files: YAML or JSON with definitions, or ready JSON Schemas; and what went wrong."""
    kinds: list[Kind] = []
    problems: list[str] = []
    for path in paths:
        try:
            found = list(_read(path))
        except (OSError, DecodeError, ValueError) as error:
            problems.append(f"{path}: cannot be read as a schema: {error}")
            continue
        if not found:
            problems.append(f"{path}: holds neither a CustomResourceDefinition nor a named JSON Schema")
        kinds += found
    return kinds, problems


def merged(kinds: Iterable[Kind]) -> dict[tuple[str, str], Kind]:
    """By group and kind; those that the configuration names come first and go before the others.

    Where two definitions disagree about a version, its shape is unknown.
    """
    found: dict[tuple[str, str], Kind] = {}
    for kind in kinds:
        known = found.get((kind.group, kind.kind.lower()))
        if known is None:
            found[kind.group, kind.kind.lower()] = kind
            continue
        if known.named and not kind.named:
            continue
        versions = dict(known.versions)
        for name, version in kind.versions.items():
            other = versions.get(name)
            same = other is None or other.schema == version.schema
            versions[name] = version if same else Version(name)
        found[kind.group, kind.kind.lower()] = Kind(
            known.group, known.kind, "crd", versions, source=known.source, named=known.named and kind.named
        )
    return found


def _read(path: Path) -> Iterator[Kind]:
    text, _ = decode(path.read_bytes())
    if path.suffix == ".json":
        data = json.loads(text)
        if isinstance(data, dict) and data.get("kind") != "CustomResourceDefinition":
            yield from _ready(path, data)
            return
    for document in parse(str(path), text).documents:
        yield from definitions_in(document.root, str(path), named=True)


def _ready(path: Path, data: Schema) -> Iterator[Kind]:
    """A JSON Schema whose name says what it describes; the kind is lower case there."""
    if match := _READY.match(path.stem.lower()):
        kind, version = match.groups()
        group = path.parent.name
    elif match := _READY_FLAT.match(path.stem.lower()):
        kind, group, version = match.groups()
        group += ".*"
    else:
        return
    yield Kind(group, kind, "crd", {version: Version(version, _repaired(data))}, source=str(path), named=True)


def _root(node: Node | None, preserve: bool) -> Schema | None:
    plain = node.plain() if node is not None else None
    if not isinstance(plain, dict):
        return None
    schema = _converted(plain, preserve)
    properties = schema.get("properties")
    if properties is None or preserve:
        return schema
    text = {"type": "string"}
    schema["properties"] = {**properties, "apiVersion": text, "kind": text, "metadata": _FREE, "status": {}}
    return schema


def _converted(node: Schema, preserve: bool) -> Schema:
    """One structural node."""
    schema: Schema = {key: node[key] for key in _SAME if node.get(key) is not None}
    preserve = preserve or node.get("x-kubernetes-preserve-unknown-fields") is True
    if node.get("x-kubernetes-int-or-string"):
        schema["type"] = ["integer", "string"]
    elif isinstance(node.get("anyOf"), list):
        schema["anyOf"] = node["anyOf"]
    schema |= {key: node[key] for key in ("oneOf", "allOf", "not") if key in node}
    if node.get("x-kubernetes-int-or-string"):
        schema.pop("allOf", None)
    _bounds(node, schema)
    _lists(node, schema, preserve)
    if isinstance(node.get("properties"), dict):
        schema["properties"] = {k: _converted(v, False) for k, v in node["properties"].items()}
    other = node.get("additionalProperties")
    if isinstance(other, dict):
        schema["additionalProperties"] = _converted(other, False)
    elif "properties" in schema and other is not True and not preserve:
        schema["additionalProperties"] = False
        if node.get("x-kubernetes-embedded-resource"):
            free = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": _FREE}
            schema["properties"] = {**free, **schema["properties"]}
    return _nullable(node, schema)


def _bounds(node: Schema, schema: Schema) -> None:
    for word, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if node.get(exclusive) is True and word in schema:
            schema[exclusive] = schema.pop(word)
    if node.get("format") in _INTEGERS and node.get("type") == "integer":
        low, high = _INTEGERS[node["format"]]
        schema["minimum"] = max(low, schema.get("minimum", low))
        schema["maximum"] = min(high, schema.get("maximum", high))


def _lists(node: Schema, schema: Schema, preserve: bool) -> None:
    if isinstance(node.get("items"), dict):
        schema["items"] = _converted(node["items"], preserve)
    if node.get("x-kubernetes-list-type") == "map":
        schema["x-unique-by"] = node.get("x-kubernetes-list-map-keys", [])
    elif node.get("x-kubernetes-list-type") == "set":
        schema["uniqueItems"] = True


def _repaired(schema: Any) -> Any:
    """A ready JSON Schema in which `nullable` is still the word of OpenAPI."""
    if isinstance(schema, list):
        return [_repaired(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return _nullable(schema, {key: _repaired(value) for key, value in schema.items()})


def _nullable(node: Schema, schema: Schema) -> Schema:
    if node.get("nullable") is True and "type" in schema:
        types = schema["type"]
        schema["type"] = [*(types if isinstance(types, list) else [types]), "null"]
        if "enum" in schema:
            schema["enum"] = [*schema["enum"], None]
    return schema
