"""Which DestinationRule does a client use for a host, port and subset? (spec traffic 1.12, 4.1)"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meshlint.mesh.mesh import Mesh


class DestinationRules:
    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
