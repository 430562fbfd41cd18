"""Is a token required on the way to a workload? (spec security 4.4, 4.6)"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meshlint.mesh.mesh import Mesh


class Jwt:
    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
