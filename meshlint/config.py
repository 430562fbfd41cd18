"""What did the user ask for? Layers: defaults < file < command line. `config_file` reads the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshlint.mesh.scope import Settings
from meshlint.records import dataclass

if TYPE_CHECKING:
    from meshlint.source.files import Document

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

    def matches(self, pattern: str) -> list[Path]:
        """The files that a pattern of the configuration means."""
        return sorted(Path(self.root or ".").glob(pattern))

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
            present={kind: tuple(names) for kind, names in data.get("present", {}).items()},
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


def _path_rules(entries: Mapping[str, Mapping[str, Any]]) -> Iterator[PathRules]:
    for pattern, entry in entries.items():
        yield PathRules(
            pattern=pattern,
            ignore=tuple(entry.get("ignore", ())),
            select=tuple(entry.get("select", ())),
            reason=entry.get("reason", ""),
        )
