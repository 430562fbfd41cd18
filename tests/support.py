"""How tests make meshes: from texts, without touching the disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from meshlint.mesh.mesh import Mesh
from meshlint.mesh.scope import Settings
from meshlint.resources import resources_of
from meshlint.source.parse import parse

CORPUS = Path(__file__).parent.parent.parent / "shared" / "corpus"


def mesh_of(*texts: str, settings: Settings | None = None, **files: str) -> Mesh:
    """A mesh of YAML texts; each is a file of its own."""
    named = {f"{number}.yaml": text for number, text in enumerate(texts)} | files
    sources = [parse(name, text) for name, text in named.items()]
    resources = [r for source in sources for d in source.documents for r in resources_of(d)]
    return Mesh(resources, settings, sources)


def corpus(*parts: str) -> Path:
    """A folder of the corpora; the test is skipped where they are not there."""
    path = CORPUS.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"corpus {'/'.join(parts)} is not on this machine")
    return path


def settings_from(config: dict[str, Any]) -> Settings:
    """The `config` of a rule example as settings of the model."""
    from meshlint.config import config_from

    return config_from(config).settings
