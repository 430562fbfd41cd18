"""Which mTLS mode does each port of a workload accept, and which line decided it? (spec security 3)"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meshlint.mesh.mesh import Mesh


class MutualTls:
    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
