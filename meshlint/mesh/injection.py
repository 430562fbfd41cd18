"""Does a pod get a sidecar, and which line decides it? (spec security 1)"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meshlint.mesh.mesh import Mesh


class Injection:
    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
