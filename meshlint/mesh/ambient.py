"""Is a pod in the ambient mesh, and which waypoint serves it? (spec security 2)"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meshlint.mesh.mesh import Mesh


class Ambient:
    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
