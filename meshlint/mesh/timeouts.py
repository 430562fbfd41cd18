"""When does a request time out? (spec traffic 2)"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meshlint.mesh.mesh import Mesh


class Timeouts:
    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
