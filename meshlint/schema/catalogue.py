"""Which kinds are known, in which versions, and since when? (schemas/index.json, spec schemas 5)"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, Final

from meshlint.records import dataclass
from meshlint.schema.compile import Target, is_newer, numbers

Schema = dict[str, Any]

#: what people call the APIs that have releases
APIS: Final = {"istio": "Istio", "gateway-api": "Gateway API", "kubernetes": "Kubernetes", "kyma": "Kyma"}


@dataclass(frozen=True, slots=True)
class Versions:
    """The releases that the manifests are meant for, such as ``1.28``; '' is the newest known.

    `gateway_api_channel` is ``standard`` or ``experimental``.
    """

    istio: str = ""
    gateway_api: str = ""
    kubernetes: str = ""
    gateway_api_channel: str = "standard"

    def named(self, origin: str) -> str:
        """The release that the user named for the APIs of an origin; '' if none."""
        names = {"istio": self.istio, "gateway-api": self.gateway_api, "kubernetes": self.kubernetes}
        return names.get(origin, "")

    def target(self, origin: str) -> Target:
        """What the marks of schemas are held against."""
        release = self.named(origin) or newest(origin)
        experimental = self.gateway_api_channel == "experimental"
        return Target(APIS.get(origin, ""), numbers(release), experimental)


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a kind. `channel` is ``experimental`` where only that channel serves it."""

    name: str
    schema: Schema | None = None
    definition: str = ""
    since: str = ""
    until: str = ""
    served: bool = True
    channel: str = ""
    deprecated: bool = False

    @property
    def rank(self) -> tuple[int, ...]:
        """How Kubernetes orders versions: v2, v1, v1beta2, v1beta1, v1alpha1."""
        major, *rest = numbers(self.name) or (0,)
        stage = 0 if "alpha" in self.name else 1 if "beta" in self.name else 2
        return (stage, major, *rest)


@dataclass(frozen=True, slots=True)
class Kind:
    """`origin` is istio, gateway-api, kyma, kubernetes, or `crd` for what the user brings."""

    group: str
    kind: str
    origin: str
    versions: dict[str, Version]
    file: str = ""
    channel: str = ""
    #: where the user's definition stands, and whether the configuration names it
    source: str = ""
    named: bool = False

    def served(self, versions: Versions) -> list[Version]:
        """The versions that the target release serves, the preferred one first."""
        found = [v for v in self.versions.values() if self.serves(v, versions)]
        return sorted(found, key=lambda version: version.rank, reverse=True)

    def serves(self, version: Version, versions: Versions) -> bool:
        target = versions.target(self.origin)
        if version.channel == "experimental" and target.experimental:
            return True
        if not version.served or version.channel == "experimental":
            return False
        if version.since and is_newer(version.since, target.release):
            return False
        return not version.until or is_newer(version.until, target.release)


def bundled(group: str, kind: str) -> Kind | None:
    """A kind that meshlint brings a schema for."""
    entry = _index()["kinds"].get(f"{group}/{kind}")
    if entry is None:
        return None
    versions = {version["name"]: _version(version, entry) for version in entry["versions"]}
    return Kind(group, kind, entry["origin"], versions, entry["file"], entry.get("channel", ""))


def newest(origin: str) -> str:
    """The newest release that the schemas describe."""
    releases = _index()["releases"].get(origin)
    return releases[-1] if releases else ""


@cache
def schema_file(name: str) -> Schema:
    """A file of schemas/, read once."""
    loaded: Schema = json.loads((_directory() / name).read_text("utf-8"))
    return loaded


def _version(entry: dict[str, Any], kind: dict[str, Any]) -> Version:
    experimental = entry.get("served") == "experimental"
    return Version(
        entry["name"],
        None if entry.get("schema") is False else {},
        entry.get("definition", ""),
        "" if experimental else entry.get("since", ""),
        entry.get("until", ""),
        entry.get("served", True) is not False,
        "experimental" if experimental else "",
        entry.get("deprecated", False),
    )


@cache
def _index() -> dict[str, Any]:
    return schema_file("index.json")


def _directory() -> Path:
    packaged = Path(__file__).parent.parent / "data" / "schemas"
    return packaged if packaged.is_dir() else Path(__file__).parent.parent.parent / "schemas"
