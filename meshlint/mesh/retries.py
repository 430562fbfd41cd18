"""How often is a request retried, and on what? (spec traffic 3)"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meshlint.mesh.mesh import Mesh


class Retries:
    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
