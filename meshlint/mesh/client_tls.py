"""What do clients of a service send, and does it fit what its pods accept? (spec security 3.5, 3.6)"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meshlint.mesh.mesh import Mesh


class ClientTls:
    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
