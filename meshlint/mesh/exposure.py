"""Where do requests from outside enter, and which workloads do they reach? (spec security 4.5)"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meshlint.mesh.mesh import Mesh


class Exposures:
    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
