"""Which gateways listen where, for which hosts, on which pods? (spec traffic 1.8)"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meshlint.mesh.mesh import Mesh


class Gateways:
    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
