"""Which labels does each namespace carry? (spec security 1.2)"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meshlint.mesh.mesh import Mesh


class Namespaces:
    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
