"""ReferenceGrants, as the checks of traffic ask for them."""

from __future__ import annotations

from meshlint.mesh.grants import Target, grant_missing, misplaced

__all__ = ["Target", "grant_missing", "misplaced"]
