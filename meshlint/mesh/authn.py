"""Which RequestAuthentications apply to a proxy? (spec security 4.1 to 4.3)"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meshlint.mesh.mesh import Mesh


class Authn:
    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
