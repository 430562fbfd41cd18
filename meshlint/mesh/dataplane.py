"""Which proxy stands before a workload, and which ports does it see? (spec security 1, 2)"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meshlint.mesh.mesh import Mesh


class DataPlanes:
    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
