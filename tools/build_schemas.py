"""Write schemas/ from the facts in tools/facts; with --check, only say whether it is fresh.

One JSON Schema 2020-12 per kind, flat and without prose, and an index of kinds and versions. What a
schema cannot say in standard keywords stands in `x-` keywords beside it (docs/architecture.md), so any
validator gives sound results.

`--facts DIR` reads the facts from another folder. `--take-facts DIR` and `--take-kubernetes DIR` renew
tools/facts: the first from full facts about Istio, Gateway API and Kyma, the second from the schemas
inside an unpacked `kubernetes-validate` wheel (its folder `kubernetes-json-schema`).
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

Schema = dict[str, Any]

ROOT: Final = Path(__file__).parent.parent
FACTS: Final = ROOT / "tools" / "facts"
SCHEMAS: Final = ROOT / "schemas"
TAKEN: Final = ("istio-api", "gateway-api-standard", "gateway-api-experimental", "kyma-api")
GROUPS: Final = {
    "istio-api": "istio",
    "gateway-api-standard": "gateway-api",
    "gateway-api-experimental": "gateway-api",
    "kyma-api": "kyma",
}
EXPERIMENTAL: Final = "gateway-api-experimental"
#: what is written by hand and lives in the same folder
BY_HAND: Final = (
    "rule.schema.json",
    "config.schema.json",
    "meshtest.schema.json",
    "removed.json",
    "SOURCES.json",
)
INT32: Final = (-(2**31), 2**31 - 1)
INT64: Final = (-(2**63), 2**63 - 1)
#: keywords that mean the same in the facts and in JSON Schema
SAME: Final = (
    "type", "required", "enum", "default", "pattern", "minimum", "maximum", "minLength", "maxLength",
    "minItems", "maxItems", "minProperties", "maxProperties",
)  # fmt: skip
STRING: Final[Schema] = {"type": "string"}
STRINGS: Final[Schema] = {"type": "object", "additionalProperties": STRING}
METADATA: Final[Schema] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "annotations": STRINGS, "creationTimestamp": {}, "deletionGracePeriodSeconds": {},
        "deletionTimestamp": {}, "finalizers": {"type": "array", "items": STRING}, "generateName": STRING,
        "generation": {}, "labels": STRINGS, "managedFields": {}, "name": STRING, "namespace": STRING,
        "ownerReferences": {"type": "array"}, "resourceVersion": {}, "selfLink": {}, "uid": {},
    },
}  # fmt: skip
#: kinds of Kubernetes that the mesh model reads
KUBERNETES_KINDS: Final = frozenset(
    {
        "ConfigMap", "CronJob", "DaemonSet", "Deployment", "EndpointSlice", "Endpoints",
        "HorizontalPodAutoscaler", "Ingress", "IngressClass", "Job", "MutatingWebhookConfiguration",
        "Namespace", "NetworkPolicy", "Pod", "PodDisruptionBudget", "ReplicaSet", "ReplicationController",
        "Secret", "Service", "ServiceAccount", "StatefulSet", "ValidatingWebhookConfiguration",
    }
)  # fmt: skip


#: fields of Kubernetes objects that the API server really asks for; `required` in its OpenAPI only means
#: that a field is always written out
_WORKLOAD: Final = ("selector", "template")
ENFORCED: Final = {
    "apps.v1.DaemonSetSpec": _WORKLOAD, "apps.v1.DeploymentSpec": _WORKLOAD,
    "apps.v1.ReplicaSetSpec": ("selector",), "apps.v1.StatefulSetSpec": _WORKLOAD,
    "batch.v1.CronJobSpec": ("schedule", "jobTemplate"), "batch.v1.JobSpec": ("template",),
    "core.v1.Container": ("name",), "core.v1.ContainerPort": ("containerPort",), "core.v1.EnvVar": ("name",),
    "core.v1.ServicePort": ("port",), "core.v1.Volume": ("name",),
    "core.v1.VolumeMount": ("name", "mountPath"),
}  # fmt: skip


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if schemas/ is stale")
    parser.add_argument("--facts", type=Path, default=FACTS)
    parser.add_argument("--take-facts", type=Path, metavar="DIR")
    parser.add_argument("--take-kubernetes", type=Path, metavar="DIR")
    options = parser.parse_args(arguments)
    if options.take_facts:
        take_facts(options.take_facts, options.facts)
    if options.take_kubernetes:
        take_kubernetes(options.take_kubernetes, options.facts)
    made = dict(files(options.facts))
    return check(made) if options.check else write(made)


def check(made: dict[str, str]) -> int:
    stale = [name for name, text in made.items() if _text(SCHEMAS / name) != text]
    stale += [name for name in _generated() if name not in made]
    for name in stale:
        print(f"schemas/{name} is stale: run python tools/build_schemas.py", file=sys.stderr)
    return 1 if stale else 0


def write(made: dict[str, str]) -> int:
    for name in set(_generated()) - made.keys():
        (SCHEMAS / name).unlink()
    for name, text in made.items():
        path = SCHEMAS / name
        if _text(path) != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
            print(f"wrote schemas/{name}")
    return 0


def files(folder: Path) -> Iterator[tuple[str, str]]:
    """Every generated file: its path below schemas/ and its text."""
    facts = {name: _read(folder / f"{name}.json") for name in TAKEN}
    rules = _read(folder / "istio-rules.json")
    deprecated = _read(folder / "deprecated.json")
    older = _read(folder / "older-versions.json")
    index: dict[str, Any] = {}
    for identity, entry, schema in _kinds(facts):
        kind = identity.partition("/")[2]
        if entry["origin"] == "istio":
            _apply_rules(kind, schema, rules)
        _mark_deprecated(schema, deprecated.get(identity, {}), rules["homes"])
        index[identity] = entry
        whole = _whole(identity, schema)
        _add_older(whole, entry, older.get(identity, {}))
        yield entry["file"], _dump(whole)
    for name, schema in _read(folder / "mesh-config.json").items():
        whole = {"$schema": DRAFT, "$id": f"urn:meshlint:istio:mesh:{name}", **_converted(schema, "")}
        yield f"istio/mesh/{name}.json", _dump(whole)
    kubernetes = _read(folder / "kubernetes.json")
    core, kinds = _kubernetes(kubernetes)
    yield "kubernetes/core.json", _dump(core)
    releases = {
        "istio": facts["istio-api"]["releases"],
        "gateway-api": facts["gateway-api-standard"]["releases"],
        "kubernetes": kubernetes["releases"],
    }
    yield "index.json", _index(releases, {**index, **kinds})


DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"


# Facts -> one schema per kind


def _kinds(facts: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], Schema]]:
    """Each kind with its entry in the index and its schema."""
    standard = facts["gateway-api-standard"]["kinds"]
    for name in TAKEN:
        for identity, kind in sorted(facts[name]["kinds"].items()):
            if name == EXPERIMENTAL and identity in standard:
                continue
            experimental = facts[EXPERIMENTAL]["kinds"].get(identity) if identity in standard else None
            schema = _spec(kind, experimental)
            entry = {
                "file": f"{GROUPS[name]}/{identity.partition('/')[2]}.json",
                "origin": GROUPS[name],
                "scope": kind["scope"],
                "versions": list(_versions(identity, kind, experimental)),
            }
            if name == "kyma-api" and identity.startswith("operator."):
                entry["file"] = "kyma/Istio.json"
            if name == EXPERIMENTAL:
                entry["channel"] = "experimental"
            yield identity, entry, schema


def _spec(kind: dict[str, Any], experimental: dict[str, Any] | None) -> Schema:
    facts = {"type": "object", "properties": kind["properties"], "required": kind["required"]}
    schema = _converted(facts, "")
    if experimental is not None:
        other = {"type": "object", "properties": experimental["properties"]}
        _add_experimental(schema, _converted(other, ""))
    return schema


def _versions(
    identity: str, kind: dict[str, Any], experimental: dict[str, Any] | None
) -> Iterator[dict[str, Any]]:
    served = {v["name"]: v["served"] for v in (experimental or {}).get("versions", ())}
    for version in kind["versions"]:
        entry = {"name": version["name"]}
        entry |= {key: version[key] for key in ("since",) if key in version}
        entry |= {"deprecated": True} if version["deprecated"] else {}
        entry |= {"storage": True} if version["storage"] else {}
        if not version["served"]:
            entry["served"] = "experimental" if served.get(version["name"]) else False
        if identity == "gateway.kyma-project.io/APIRule" and version["name"] == "v1beta1":
            entry["schema"] = False  # another shape, with free-form parts; the facts describe v2
        yield entry


def _converted(facts: Schema, since: str) -> Schema:
    """One node of the facts as JSON Schema; `since` is that of the nearest parent that has one."""
    schema: Schema = {key: facts[key] for key in SAME if key in facts}
    own = facts.get("since", "")
    if own and _newer(own, since):
        schema["x-since"] = own
        since = own
    if facts.get("intOrString"):
        schema["type"] = ["integer", "string"]
    _formats(facts, schema)
    if facts.get("nullable"):
        schema["type"] = [schema["type"], "null"]
        if "enum" in schema:
            schema["enum"] = [*schema["enum"], None]
    if "enumSince" in facts:
        marks = {value: at for value, at in facts["enumSince"].items() if _newer(at, since)}
        schema |= {"x-enum-since": marks} if marks else {}
    if "listMapKeys" in facts:
        schema["x-unique-by"] = facts["listMapKeys"]
    groups = [group for group in facts.get("atMostOneOf", ()) if len(group) > 1]
    if groups:
        schema["allOf"] = [exclusive(group) for group in groups]
    if "items" in facts:
        schema["items"] = _converted(facts["items"], since)
    _members(facts, schema, since)
    return schema


def _members(facts: Schema, schema: Schema, since: str) -> None:
    if "values" in facts:
        schema["additionalProperties"] = _converted(facts["values"], since)
    if "properties" in facts:
        schema["properties"] = {k: _converted(v, since) for k, v in facts["properties"].items()}
        if not facts.get("preserveUnknown") and "values" not in facts:
            schema["additionalProperties"] = False


def _formats(facts: Schema, schema: Schema) -> None:
    word = facts.get("format")
    if word in ("int32", "int64"):
        low, high = INT32 if word == "int32" else INT64
        schema["minimum"] = max(low, schema.get("minimum", low))
        schema["maximum"] = min(high, schema.get("maximum", high))
    elif word in ("istio-duration", "go-duration", "duration"):
        schema["format"] = "go-duration" if word == "duration" else word


def exclusive(names: list[str]) -> Schema:
    """At most one of the names may be there."""
    pairs = [{"required": [a, b]} for i, a in enumerate(names) for b in names[i + 1 :]]
    return {"x-exclusive": names, "not": pairs[0] if len(pairs) == 1 else {"anyOf": pairs}}


def _add_experimental(schema: Schema, other: Schema) -> None:
    """Add to the schema of the standard channel what only the experimental one has, with a mark."""
    if "enum" in other and other["enum"] != schema.get("enum"):
        extra = [value for value in other["enum"] if value not in schema["enum"]]
        if extra:
            schema["enum"] = [*schema["enum"], *extra]
            schema["x-enum-experimental"] = extra
    for key in ("properties",):
        for name, sub in other.get(key, {}).items():
            if name in schema.get(key, {}):
                _add_experimental(schema[key][name], sub)
            else:
                schema.setdefault(key, {})[name] = {**sub, "x-channel": "experimental"}
    for key in ("items", "additionalProperties"):
        if isinstance(other.get(key), dict) and isinstance(schema.get(key), dict):
            _add_experimental(schema[key], other[key])


def _whole(identity: str, schema: Schema) -> Schema:
    """The schema of whole objects."""
    urn = f"urn:meshlint:{identity.replace('/', ':')}"
    free = {"type": "object", "additionalProperties": True}
    properties = {"apiVersion": STRING, "kind": STRING, "metadata": METADATA, **schema.pop("properties")}
    properties.setdefault("status", free)
    required = ["apiVersion", "kind", *schema.pop("required", ())]
    return {"$schema": DRAFT, "$id": urn, **schema, "required": required, "properties": properties}


def _add_older(schema: Schema, entry: dict[str, Any], older: dict[str, Any]) -> None:
    """Versions of a kind that ask for something else than its newest one: a definition for each.

    The facts say for a path which keywords differ there; null is one that the older version lacks.
    """
    plain = {key: value for key, value in schema.items() if not key.startswith("$")}
    for name, changes in older.items():
        own = json.loads(json.dumps(plain))
        for path, keywords in changes.items():
            for node in _at(own, path.split(".")):
                node.update(keywords)
                for absent in [key for key, value in keywords.items() if value is None]:
                    del node[absent]
        schema.setdefault("$defs", {})[name] = own
        next(version for version in entry["versions"] if version["name"] == name)["definition"] = name


# CEL rules and deprecations, at their places


def _apply_rules(kind: str, schema: Schema, rules: dict[str, Any]) -> None:
    for path, ids in rules["places"].get(kind, {}).items():
        for place in _alternatives(path, rules["homes"]):
            nodes = list(_at(schema, place.split(".")))
            if not nodes:
                raise SystemExit(f"istio-rules.json: {kind} has no {place}")
            for node in nodes:
                for name in ids:
                    _apply(node, rules["rules"][name], name)


def _apply(node: Schema, rule: Schema, name: str) -> None:
    """Bounds and formats join those of the node itself; everything else is a part of `allOf`."""
    if "x-exclusive" in rule or "x-says" in rule:
        part = exclusive(rule["x-exclusive"]) if "x-exclusive" in rule else rule
        parts = node.setdefault("allOf", [])
        if part.get("x-exclusive", "") not in [known.get("x-exclusive") for known in parts]:
            parts.append({"x-rule": name, **part})
        return
    for key, value in rule.items():
        if key == "minimum":
            value = max(node.get(key, value), value)
        elif key == "maximum":
            value = min(node.get(key, value), value)
        node[key] = value


def _alternatives(path: str, homes: dict[str, list[str]]) -> list[str]:
    for name, places in homes.items():
        if path.startswith(name):
            return [place + path.removeprefix(name) for place in places]
    return [path]


def _at(schema: Schema, steps: list[str]) -> Iterator[Schema]:
    """The nodes at a path such as ``spec.http[].match[].headers{}``."""
    if not steps:
        yield schema
        return
    name = re.match(r"[^\[{]*", steps[0])[0]  # type: ignore[index]
    node = schema.get("properties", {}).get(name)
    for suffix in re.findall(r"\[\]|\{\}", steps[0]):
        node = node and node.get("items" if suffix == "[]" else "additionalProperties")
    if node:
        yield from _at(node, steps[1:])


def _mark_deprecated(schema: Schema, marks: dict[str, Any], homes: dict[str, list[str]]) -> None:
    for written, mark in marks.items():
        path, _, value = written.partition("=")
        for place in _alternatives(path, homes):
            nodes = list(_at(schema, place.split(".")))
            if not nodes:
                raise SystemExit(f"deprecated.json: there is no {place}")
            for node in nodes:
                if value:
                    node.setdefault("x-enum-deprecated", {})[value] = mark
                else:
                    node["x-deprecated"] = mark


# Kubernetes


def _kubernetes(taken: dict[str, Any]) -> tuple[Schema, dict[str, Any]]:
    core = {"$schema": DRAFT, "$id": "urn:meshlint:kubernetes", "$defs": taken["definitions"]}
    kinds = {}
    for identity, entry in taken["kinds"].items():
        kinds[identity] = {"file": "kubernetes/core.json", "origin": "kubernetes", **entry}
    return core, kinds


def take_kubernetes(source: Path, target: Path) -> None:
    """Collect the kinds of KUBERNETES_KINDS from all releases, with marks for what came and went."""
    folders = sorted(source.glob("v*-local-strict"), key=lambda path: _numbers(path.name))
    releases = [".".join(folder.name[1:].split(".")[:2]) for folder in folders]
    bundles = [_read(folder / "_definitions.json")["$defs"] for folder in folders]
    kinds: dict[str, Any] = {}
    definitions: dict[str, Schema] = {}
    for release, bundle in zip(releases, bundles, strict=True):
        for name, kind in _served(bundle):
            _note_version(kinds, kind, name, release, first=releases[0])
            _collect(bundle, name, definitions, release, releases[0], seen=set())
    for entry in kinds.values():
        for version in entry["versions"]:
            last = version.pop("last")
            if last != releases[-1]:
                version["until"] = releases[releases.index(last) + 1]
    taken = {"releases": releases, "kinds": kinds, "definitions": dict(sorted(definitions.items()))}
    (target / "kubernetes.json").write_text(_lines(taken), "utf-8")


def _served(bundle: dict[str, Schema]) -> Iterator[tuple[str, dict[str, str]]]:
    for name, definition in bundle.items():
        for kind in definition.get("x-kubernetes-group-version-kind", ()):
            if kind["kind"] in KUBERNETES_KINDS and ".pkg.api." not in name and "spec" not in kind:
                alpha = "alpha" in kind["version"]
                if not alpha and name.startswith("io.k8s.api."):
                    yield name, kind


def _note_version(kinds: dict[str, Any], kind: dict[str, str], name: str, release: str, first: str) -> None:
    cluster = {"IngressClass", "Namespace", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"}
    scope = "Cluster" if kind["kind"] in cluster else "Namespaced"
    entry = kinds.setdefault(f"{kind['group']}/{kind['kind']}", {"scope": scope, "versions": []})
    for version in entry["versions"]:
        if version["name"] == kind["version"]:
            version["last"] = release
            return
    version = {"name": kind["version"], "definition": _short(name), "last": release}
    if release != first:
        version["since"] = release
    entry["versions"].append(version)


def _collect(
    bundle: dict[str, Schema], name: str, into: dict[str, Schema], release: str, first: str, seen: set[str]
) -> None:
    """Add a definition and all that it refers to."""
    if name in seen:
        return
    seen.add(name)
    fresh = _core(bundle[name])
    enforced = [field for field in ENFORCED.get(_short(name), ()) if field in fresh.get("required", ())]
    fresh.pop("required", None)
    if enforced:
        fresh["required"] = enforced
    known = into.get(_short(name), {})
    _mark_since(fresh.get("properties", {}), known.get("properties", {}), release if known else "")
    into[_short(name)] = fresh
    for reference in re.findall(r'"#/\$defs/([^"]+)"', json.dumps(bundle[name])):
        _collect(bundle, reference, into, release, first, seen)


def _mark_since(fresh: Schema, known: Schema, release: str) -> None:
    """The newest definition counts, with marks for what came later, and what older releases had."""
    for name, sub in fresh.items():
        since = known[name].get("x-since") if name in known else release
        if since:
            sub["x-since"] = since
    fresh |= {name: sub for name, sub in known.items() if name not in fresh}


def _core(schema: Any) -> Any:
    """One definition without prose, references shortened; null is allowed wherever it is optional."""
    if isinstance(schema, list):
        return [_core(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if set(schema) - {"description"} == {"oneOf"}:  # int-or-string and quantities
        return {"type": [*(branch["type"][0] for branch in schema["oneOf"]), "null"]}
    kept: Schema = {}
    for key, value in schema.items():
        if key == "properties":
            kept[key] = {name: _core(sub) for name, sub in value.items()}
        elif key == "$ref":
            kept[key] = "#/$defs/" + _short(value.removeprefix("#/$defs/"))
        elif key == "x-kubernetes-list-map-keys":
            kept["x-unique-by"] = value
        elif key == "format":
            _core_format(value, kept)
        elif key not in ("description", "$schema") and not key.startswith("x-kubernetes-"):
            kept[key] = _core(value)
    return kept


def _core_format(word: str, kept: Schema) -> None:
    if word in ("int32", "int64"):
        kept["minimum"], kept["maximum"] = INT32 if word == "int32" else INT64


def _short(name: str) -> str:
    return name.removeprefix("io.k8s.api.").replace("io.k8s.apimachinery.pkg.", "")


# Facts from elsewhere


def take_facts(source: Path, target: Path) -> None:
    for name in TAKEN:
        facts = _read(source / f"{name}.json")
        kept = {"releases": facts["releases"], "kinds": dict(sorted(facts["kinds"].items()))}
        (target / f"{name}.json").write_text(_lines(kept), "utf-8")


def _lines(data: dict[str, Any]) -> str:
    """Compact JSON with one line per kind or definition, so that changes can be read."""
    parts = []
    for key, value in data.items():
        if isinstance(value, dict):
            body = ",\n".join(f"{json.dumps(k)}: {_compact(v)}" for k, v in value.items())
            parts.append(f"{json.dumps(key)}: {{\n{body}\n}}")
        else:
            parts.append(f"{json.dumps(key)}: {_compact(value)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _compact(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def _index(releases: dict[str, list[str]], kinds: dict[str, Any]) -> str:
    note = "Generated by tools/build_schemas.py; do not edit."
    return _lines({"note": note, "releases": releases, "kinds": dict(sorted(kinds.items()))})


def _dump(schema: Schema) -> str:
    return json.dumps(schema, ensure_ascii=False, separators=(",", ":")) + "\n"


def _generated() -> Iterable[str]:
    names = [path.relative_to(SCHEMAS).as_posix() for path in SCHEMAS.rglob("*.json")]
    return [name for name in names if name not in BY_HAND]


def _newer(a: str, b: str) -> bool:
    return _numbers(a) > _numbers(b)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text))


def _read(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def _text(path: Path) -> str | None:
    return path.read_text("utf-8") if path.is_file() else None


#: used by tests, which hold the schemas against other validators
EXPORTED: Final[tuple[Callable[..., Any], ...]] = (exclusive, files)

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
