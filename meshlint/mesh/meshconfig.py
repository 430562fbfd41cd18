"""What does the mesh configuration say, and where was it read? (spec security 7)"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meshlint.mesh.mesh import Mesh


class MeshConfig:
    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
