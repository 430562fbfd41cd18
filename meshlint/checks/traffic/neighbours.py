"""Do two objects certainly end in the same cluster? (spec repositories 4)

Conflicts need both. What lies in one file, kustomization or folder is applied together; objects of
different folders may be for different environments, unless the user says that the input is one mesh.
"""

from __future__ import annotations

from meshlint.mesh.mesh import Mesh
from meshlint.resources import Resource


def together(mesh: Mesh, one: Resource, other: Resource) -> str | None:
    """The confidence of a finding about both: None for that of the rule, else 'medium'."""
    if mesh.settings.complete or _home(one) == _home(other):
        return None
    return "medium"


def same_namespace(mesh: Mesh, one: Resource, other: Resource) -> str | None:
    """As `together`, for objects that meet only if their namespace is the same one.

    Where a manifest names none, whoever applies it decides; 'low' if two files may be applied apart.
    """
    if one.namespace_written and other.namespace_written:
        return together(mesh, one, other)
    return None if one.file is other.file or mesh.settings.complete else "low"


def _home(resource: Resource) -> str:
    return resource.file.kustomization or resource.file.path.rpartition("/")[0]
