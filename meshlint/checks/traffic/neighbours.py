"""Do two objects certainly end in the same cluster? (spec repositories 4)

Conflicts need both. What lies in one file, kustomization or folder is applied together; objects of
different folders may be for different environments, unless the user says that the input is one mesh.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from meshlint.mesh.mesh import Mesh
from meshlint.resources import Resource

T = TypeVar("T")

#: confidences, None for that of the rule, the surest first
_SURE: Final = (None, "medium", "low")


def together(mesh: Mesh, one: Resource, other: Resource) -> str | None:
    """The confidence of a finding about both: None for that of the rule, else 'medium' or 'low'."""
    if _of_different_builds(one, other):
        return "low"
    if _variants(mesh, one, other):
        return "low"
    if mesh.settings.complete or _home(one) == _home(other):
        return None
    return "medium"


def same_namespace(mesh: Mesh, one: Resource, other: Resource) -> str | None:
    """As `together`, for objects that meet only if their namespace is the same one.

    Where a manifest names none, whoever applies it decides; 'low' if two files may be applied apart, 'medium'
    if they lie side by side and neither names one.
    """
    if _of_different_builds(one, other):
        return "low"
    if one.namespace_written and other.namespace_written:
        return together(mesh, one, other)
    if one.file is other.file or mesh.settings.complete:
        return None
    alike = not one.namespace_written and not other.namespace_written and _home(one) == _home(other)
    return "medium" if alike and not _variants(mesh, one, other) else "low"


def surest(mesh: Mesh, one: Resource, others: Iterable[T], resource_of: Callable[[T], Resource]) -> list[T]:
    """The others, and first those that most certainly meet `one`."""
    return sorted(others, key=lambda other: _SURE.index(together(mesh, one, resource_of(other))))


def _variants(mesh: Mesh, one: Resource, other: Resource) -> bool:
    """Are they in files of which somebody chooses?"""
    if one.file is other.file or (one.file.kustomization and _home(one) == _home(other)):
        return False
    return mesh.scope.in_gallery(one) or mesh.scope.in_gallery(other)


def _of_different_builds(one: Resource, other: Resource) -> bool:
    """Overlays of one base are environments: what one builds does not meet what another builds of it."""
    several = len(one.file.builds) > 1 or len(other.file.builds) > 1
    return several and one.build != other.build


def _home(resource: Resource) -> str:
    return resource.file.kustomization or resource.file.path.rpartition("/")[0]
