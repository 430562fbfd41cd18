""".meshlint.yaml -> Config: what did the user ask for? Layers: defaults < file < command line.

`schemas/config.schema.json` is the one description of the file: what is written is checked against
it, and every complaint names file, line, what was found and what was expected.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import Any

from meshlint.mesh.scope import Settings
from meshlint.policy.names import Names, closest
from meshlint.policy.rules import Rule, schemas_directory
from meshlint.policy.shape import Mismatch, complaint, complaints, mismatches
from meshlint.records import dataclass
from meshlint.source.decode import DecodeError, decode
from meshlint.source.discover import shown
from meshlint.source.files import Document
from meshlint.source.nodes import Mapping as MappingNode
from meshlint.source.nodes import Node, Scalar, texts
from meshlint.source.parse import parse

FILE_NAMES = (".meshlint.yaml", ".meshlint.yml")
DEFAULT_ORIGIN = "default"
#: the severity that leaves a rule out
OFF = "off"


class ConfigError(Exception):
    """The configuration cannot be used; one message per line, each with file and line."""


@dataclass(frozen=True, slots=True)
class PathRules:
    """What holds for the files that a pattern matches; `line` is where the file says so."""

    pattern: str
    ignore: tuple[str, ...] = ()
    select: tuple[str, ...] = ()
    reason: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True)
class Config:
    """`root` is the folder that patterns are relative to: that of the file, else the working directory.

    `origins` says per key of the file where its value comes from: ``.meshlint.yaml:3``, an option of
    the command line; keys that are not in it have their default.
    """

    settings: Settings = field(default_factory=Settings)
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    severity: Mapping[str, str] = field(default_factory=dict)
    profile: str = "default"
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    paths: tuple[PathRules, ...] = ()
    exclude: tuple[str, ...] = ()
    roots: tuple[str, ...] = ()
    rule_files: tuple[str, ...] = ()
    crds: tuple[str, ...] = ()
    fail_on: str = "warning"
    default_namespace: str = "default"
    root: Path | None = None
    file: str | None = None
    origins: Mapping[str, str] = field(default_factory=dict)
    document: Document | None = field(default=None, repr=False, compare=False)

    def origin(self, key: str) -> str:
        return self.origins.get(key, DEFAULT_ORIGIN)

    def override(self, origin: str, key: str, **changes: Any) -> Config:
        """The same with a value of a higher layer."""
        return replace(self, origins={**self.origins, key: origin}, **changes)


def config_from(data: Mapping[str, Any]) -> Config:
    """Plain data of a configuration file, known to be of the right shape -> Config."""
    complete = data.get("complete", False)
    return Config(
        settings=Settings(
            platform=data.get("platform", ""),
            complete=complete is True,
            complete_namespaces=frozenset(complete if isinstance(complete, list) else ()),
            root_namespace=data.get("rootNamespace", ""),
            mesh_config=data.get("meshConfig"),
            production_namespaces=tuple(data.get("productionNamespaces", ())),
            public_paths=tuple(data.get("publicPaths", ())),
            istio_version=str(data.get("istioVersion", "")),
            gateway_api_version=str(data.get("gatewayApiVersion", "")),
            gateway_api_channel=data.get("gatewayApiChannel", "standard"),
            kubernetes_version=str(data.get("kubernetesVersion", "")),
            upgrade_from=str(data.get("upgradeFrom", "")),
            upgrade_to=str(data.get("upgradeTo", "")),
        ),
        options=data.get("options", {}),
        severity={rule: word or OFF for rule, word in data.get("severity", {}).items()},
        profile=data.get("profile", "default"),
        select=tuple(data.get("select", ())),
        ignore=tuple(data.get("ignore", ())),
        paths=tuple(_path_rules(data.get("paths", {}))),
        exclude=tuple(data.get("exclude", ())),
        roots=tuple(data.get("roots", ())),
        rule_files=tuple(data.get("rules", ())),
        crds=tuple(data.get("crds", ())),
        fail_on=data.get("failOn", "warning"),
        default_namespace=data.get("defaultNamespace", "default"),
    )


def find_config(start: Path) -> Path | None:
    """The nearest configuration file, from a path up to the top of its repository."""
    start = start.resolve()
    for folder in (start, *start.parents):
        for name in FILE_NAMES:
            candidate = folder / name
            if candidate.is_file():
                return candidate
        if (folder / ".git").exists():
            return None
    return None


def load_config(path: Path) -> Config:
    """Read a configuration file. Raises ConfigError with everything that is wrong with its shape."""
    name = shown(str(path))
    try:
        text, _ = decode(path.read_bytes())
    except (OSError, DecodeError) as error:
        raise ConfigError(f"{name}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    file = parse(name, text)
    wrong = list(complaints(file, schema()))
    if wrong:
        raise ConfigError("\n".join(wrong))
    document = next((d for d in file.documents if isinstance(d.root, MappingNode)), None)
    if document is None or not isinstance(document.root, MappingNode):
        return Config(root=path.parent, file=name)
    config = config_from({key: value.plain() for key, (_, value) in document.root.index.items()})
    lines = {key: file.position(node.start)[0] for key, (node, _) in document.root.index.items()}
    return replace(
        config,
        root=path.parent,
        file=name,
        paths=tuple(_with_lines(config.paths, document)),
        origins={key: f"{name}:{line}" for key, line in lines.items()},
        document=document,
    )


def check_names(config: Config, rules: Mapping[str, Rule], names: Names) -> None:
    """Do all rules and options that the file names exist? Raises ConfigError with those that do not."""
    document = config.document
    if document is None or not isinstance(document.root, MappingNode):
        return
    wrong = sorted(_unknown_names(document.root, rules, names), key=lambda mismatch: mismatch.node.start)
    if wrong:
        raise ConfigError("\n".join(complaint(document.file, mismatch) for mismatch in wrong))


def schema() -> dict[str, Any]:
    """The JSON Schema of the configuration file."""
    text = (schemas_directory() / "config.schema.json").read_text("utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def _with_lines(paths: Iterable[PathRules], document: Document) -> Iterator[PathRules]:
    entries = document.root.dig("paths") if document.root is not None else None
    for rules in paths:
        key = entries.key(rules.pattern) if isinstance(entries, MappingNode) else None
        yield replace(rules, line=document.file.position(key.start)[0] if key is not None else 0)


def _unknown_names(root: MappingNode, rules: Mapping[str, Rule], names: Names) -> Iterator[Mismatch]:
    lists = [(root.get(key), key) for key in ("select", "ignore")]
    paths = root.get("paths")
    if isinstance(paths, MappingNode):
        for pattern, (_, entry) in paths.index.items():
            lists += [(entry.dig(key), f"paths.{pattern}.{key}") for key in ("select", "ignore")]
    for node, path in lists:
        for item in texts(node):
            if not names.meaning(item.text) and not (item.text == "*" and path.startswith("paths.")):
                yield Mismatch(item, path, names.complaint(item.text))
    for path in ("severity", "options"):
        entries = root.get(path)
        if isinstance(entries, MappingNode):
            for key, value in entries.index.values():
                yield from _unknown_key(key, value, path, rules)


def _unknown_key(key: Scalar, value: Node, path: str, rules: Mapping[str, Rule]) -> Iterator[Mismatch]:
    """A key that should be the name of a rule, and below `options` the options of that rule."""
    rule = rules.get(key.text)
    if rule is None:
        near = closest(key.text, rules)
        hint = f"; did you mean {near!r}?" if near else ""
        yield Mismatch(key, path, f"there is no rule named {key.text!r}{hint}")
    elif path == "options":
        accepted = {"type": "object", "additionalProperties": False, "properties": rule.options}
        yield from mismatches(value, accepted, f"options.{rule.name}")


def _path_rules(entries: Mapping[str, Mapping[str, Any]]) -> Iterator[PathRules]:
    for pattern, entry in entries.items():
        yield PathRules(
            pattern=pattern,
            ignore=tuple(entry.get("ignore", ())),
            select=tuple(entry.get("select", ())),
            reason=entry.get("reason", ""),
        )
