""".meshlint.yaml -> Config: what did the user ask for? Layers: defaults < file < command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from meshlint.mesh.scope import Settings


@dataclass(frozen=True, slots=True)
class Config:
    settings: Settings = field(default_factory=Settings)
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def config_from(data: Mapping[str, Any]) -> Config:
    """Plain data of a configuration file -> Config."""
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
    )
