"""Which AuthorizationPolicies apply to a proxy, and what do they decide? (spec security 5)"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meshlint.mesh.mesh import Mesh


class Authz:
    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
