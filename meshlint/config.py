""".meshlint.yaml -> Config: what did the user ask for? Layers: defaults < file < command line.

`schemas/config.schema.json` is the one description of the file: what is written is checked against
it, and every complaint names file, line, what was found and what was expected.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from meshlint.mesh.scope import Settings
from meshlint.policy.rules import schemas_directory

FILE_NAMES = (".meshlint.yaml", ".meshlint.yml")
DEFAULT_ORIGIN = "default"


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
    fail_on: str = "warning"
    default_namespace: str = "default"
    root: Path | None = None
    file: str | None = None
    origins: Mapping[str, str] = field(default_factory=dict)

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
        ),
        options=data.get("options", {}),
        severity=data.get("severity", {}),
        profile=data.get("profile", "default"),
        select=tuple(data.get("select", ())),
        ignore=tuple(data.get("ignore", ())),
        paths=tuple(_path_rules(data.get("paths", {}))),
        exclude=tuple(data.get("exclude", ())),
        roots=tuple(data.get("roots", ())),
        rule_files=tuple(data.get("rules", ())),
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
    from meshlint.policy.shape import complaints
    from meshlint.source.decode import DecodeError, decode
    from meshlint.source.discover import shown
    from meshlint.source.nodes import Mapping as MappingNode
    from meshlint.source.parse import parse

    name = shown(str(path))
    try:
        text, _ = decode(path.read_bytes())
    except (OSError, DecodeError) as error:
        raise ConfigError(f"{name}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    file = parse(name, text)
    wrong = list(complaints(file, schema()))
    if wrong:
        raise ConfigError("\n".join(wrong))
    root = file.documents[0].root if file.documents else None
    if not isinstance(root, MappingNode):
        return replace(Config(), root=path.parent, file=name)
    plain = root.plain()
    assert isinstance(plain, dict)  # noqa: S101
    lines = {key: file.position(node.start)[0] for key, (node, _) in root.index.items()}
    paths = root.get("paths")
    if isinstance(paths, MappingNode):
        lines |= {f"paths.{key}": file.position(node.start)[0] for key, (node, _) in paths.index.items()}
    config = config_from({key: value for key, value in plain.items() if value is not None})
    return replace(
        config,
        root=path.parent,
        file=name,
        paths=tuple(replace(entry, line=lines.get(f"paths.{entry.pattern}", 0)) for entry in config.paths),
        origins={key: f"{name}:{line}" for key, line in lines.items() if not key.startswith("paths.")},
    )


def schema() -> dict[str, Any]:
    """The JSON Schema of the configuration file."""
    text = (schemas_directory() / "config.schema.json").read_text("utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def _path_rules(entries: Mapping[str, Mapping[str, Any]]) -> Iterator[PathRules]:
    for pattern, entry in entries.items():
        yield PathRules(
            pattern=pattern,
            ignore=tuple(entry.get("ignore", ())),
            select=tuple(entry.get("select", ())),
            reason=entry.get("reason", ""),
        )
