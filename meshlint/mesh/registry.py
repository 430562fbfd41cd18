"""Which hosts exist, with which ports and pods? (spec traffic 1.1 to 1.7)"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meshlint.mesh.mesh import Mesh


class Registry:
    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
