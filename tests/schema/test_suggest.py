"""Is the field named that was meant? Random slips at every property of every kind (spec schemas 2.5)."""

from __future__ import annotations

import json
import random
import re
import string
from collections.abc import Iterator
from typing import Any

import pytest

from meshlint.resources import resources_of
from meshlint.schema import Schemas
from meshlint.schema.catalogue import schema_file
from meshlint.schema.suggest import Homes, resolve, same_word, sibling
from meshlint.source.parse import parse

EDITS = 4000
Path = tuple[str, ...]


def test_4000_random_edits(capsys: pytest.CaptureFixture[str]) -> None:
    chance = random.Random(20260823)
    positions = [position for kind in kinds() for position in fields_of(*kind)]
    right = wrong = none = 0
    misses = []
    while right + wrong + none < EDITS:
        api_version, kind, path, siblings = chance.choice(positions)
        slip = slipped(path[-1], chance)
        if slip in siblings or not slip:
            continue
        found = suggested(api_version, kind, (*path[:-1], slip))
        right += found == path[-1]
        none += found == ""
        wrong += found not in ("", path[-1])
        if found != path[-1]:
            misses.append(f"{kind}: {'.'.join(path)} written {slip}, suggested {found or 'nothing'}")
    tally = {"right": right, "nothing": none, "wrong": wrong}
    with capsys.disabled():
        rates = (f"{word} {count / EDITS:.3%}" for word, count in tally.items())
        print(f"\n{EDITS} random edits of property names:", *rates)  # noqa: T201 - the numbers are asked for
    assert right / EDITS >= 0.99, misses
    assert wrong / EDITS < 0.001, misses


def kinds() -> Iterator[tuple[str, str, dict[str, Any], dict[str, Any]]]:
    for identity, entry in schema_file("index.json")["kinds"].items():
        group, kind = identity.rsplit("/", 1)
        version = [v for v in entry["versions"] if v.get("served", True) is True and v.get("schema", True)][
            -1
        ]
        root = schema_file(entry["file"])
        definition = version.get("definition")
        schema = {"$ref": f"#/$defs/{definition}"} if definition else root
        yield f"{group}/{version['name']}".lstrip("/"), kind, root, schema


def fields_of(
    api_version: str, kind: str, root: dict[str, Any], schema: dict[str, Any]
) -> list[tuple[str, str, Path, frozenset[str]]]:
    found = []
    for path, siblings in _fields(root, schema, (), ()):
        if len(path) > 1 and path[0] not in ("metadata", "status"):
            found.append((api_version, kind, path, siblings))
    return found


def _fields(
    root: dict[str, Any], schema: Any, path: Path, followed: Path
) -> Iterator[tuple[Path, frozenset[str]]]:
    if not isinstance(schema, dict):
        return
    reference = schema.get("$ref")
    if reference is not None:
        if reference not in followed and len(path) < 6:
            yield from _fields(root, resolve(root, reference), path, (*followed, reference))
        return
    properties = schema.get("properties", {})
    for name, sub in properties.items():
        if schema.get("additionalProperties") is False:
            yield (*path, name), frozenset(properties)
        yield from _fields(root, sub, (*path, name), followed)
    yield from _fields(root, schema.get("items"), (*path, "[]"), followed)
    yield from _fields(root, schema.get("additionalProperties"), (*path, "{}"), followed)


def slipped(name: str, chance: random.Random) -> str:
    """One slip: a letter more, less, other, or swapped; plural, lower case, snake case."""
    at = chance.randrange(len(name))
    kind = chance.choice(("insert", "delete", "substitute", "swap", "plural", "lower", "snake"))
    letter = chance.choice(string.ascii_lowercase)
    if kind == "insert":
        return name[:at] + letter + name[at:]
    if kind == "delete":
        return name[:at] + name[at + 1 :]
    if kind == "substitute":
        return name[:at] + letter + name[at + 1 :]
    if kind == "swap" and at + 1 < len(name):
        return name[:at] + name[at + 1] + name[at] + name[at + 2 :]
    if kind == "plural":
        return name[:-1] if name.endswith("s") else name + "s"
    if kind == "snake":
        return re.sub(r"([A-Z])", lambda match: f"_{match[0].lower()}", name)
    return name.lower()


def suggested(api_version: str, kind: str, path: Path) -> str:
    """What the whole engine suggests for a document with a field at the path."""
    value: Any = {}
    for step in reversed(path):
        value = [value] if step == "[]" else {"80": value} if step == "{}" else {step: value}
    text = json.dumps({"apiVersion": api_version, "kind": kind, "metadata": {"name": "a"}, **value})
    resource = next(iter(resources_of(parse("a.yaml", text).documents[0])))
    found = [d for d in SCHEMAS.defects_of(resource) if d.kind == "unknown-field"]
    assert len(found) == 1, (text, found)
    assert text[found[0].node.start : found[0].node.end].strip('"') == path[-1]
    return found[0].name


SCHEMAS = Schemas()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sni_hosts", "sniHosts"),
        ("SniHosts", "sniHosts"),
        ("host", None),
        ("prot", "port"),
        ("gatway", "gateways"),
        ("nothing", None),
    ],
)
def test_sibling(name: str, expected: str | None) -> None:
    assert sibling(name, ("sniHosts", "port", "gateways", "destinationSubnets")) == expected


def test_the_nearest_home_comes_first() -> None:
    root = schema_file("istio/VirtualService.json")
    homes = Homes(root, root)
    assert homes.of("weight", "spec.http[0].route[0].destination.weight") == ["spec.http[].route[]"]
    assert homes.of("sniHosts", "spec.http[0].match[0].sniHosts") == ["spec.tls[].match[]"]
    assert homes.of("nowhere", "spec.nowhere") == []


def test_words_of_enums() -> None:
    assert same_word("strict", ["UNSET", "STRICT"]) == "STRICT"
    assert same_word("first", ["UNSET", "STRICT"]) is None
