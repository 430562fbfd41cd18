"""Which rule sends which requests where? (spec traffic 1.8, 1.9, 1.14, 1.15)"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meshlint.mesh.mesh import Mesh


class Routes:
    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
