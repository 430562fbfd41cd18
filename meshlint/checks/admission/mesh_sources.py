"""Where does the input write a mesh configuration down, and what do messages call that place?"""

from __future__ import annotations

from collections.abc import Iterator

from meshlint.checks.admission.blocks import Block
from meshlint.mesh.mesh import Mesh
from meshlint.resources import Resource
from meshlint.source.nodes import Mapping as YamlMapping


def written(mesh: Mesh) -> Iterator[Block]:
    """The mesh configurations of the input, each layer by itself."""
    for source in mesh.config.sources:
        for layer in source.mesh or ():
            if layer.resource is not None and not layer.at and isinstance(layer.node, YamlMapping):
                yield Block(layer.resource, layer.node)


def title_of(resource: Resource) -> str:
    """How messages call what holds a mesh configuration; values files are no objects."""
    return resource.title if resource.kind else resource.file.path
