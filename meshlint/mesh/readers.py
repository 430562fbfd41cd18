"""Which control planes read an object of Istio's configuration? (spec security 6.4)

An istiod reads the objects without the label istio.io/rev and those that name its own revision. Tags are
for namespaces and pods: no istiod goes by that name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

from meshlint.mesh.labels import REVISION
from meshlint.source.templates import is_placeholder

if TYPE_CHECKING:
    from meshlint.mesh.mesh import Mesh
    from meshlint.mesh.workloads import Workload
    from meshlint.resources import Resource

T = TypeVar("T")


class Readers:
    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self._revisions: dict[str, tuple[str, bool]] = {}

    def reads(self, resource: Resource, workload: Workload | None) -> bool | None:
        """Does the control plane of the pods read the object? None where nobody can tell.

        Without a workload only objects for every revision are read for certain.
        """
        wanted = resource.labels.get(REVISION)
        if wanted is None:
            return True
        if workload is None or is_placeholder(wanted):
            return None
        injected = self.mesh.injection.of(workload)
        if not injected.known:
            return True if self._asked(workload) == wanted else None
        if injected.value is None or injected.value.manual:
            return None
        name, proven = self._revision(injected.value.revision)
        if name == wanted:
            return True
        return False if proven and injected.certain else None

    def _asked(self, workload: Workload) -> str | None:
        """The name that the labels of namespace or pods ask for."""
        namespace = self.mesh.namespaces.label(workload.namespace, REVISION)
        return namespace.or_else(None) or workload.labels.get(REVISION)

    def _revision(self, name: str) -> tuple[str, bool]:
        """The revision that a name of the injector leads to; is it proven, or may the name be a tag?"""
        known = self._revisions.get(name)
        if known is None:
            config = self.mesh.config
            revision = config.revision_of(name) or "default"
            names = config.revisions
            proven = config.installed and names.known and names.certain and revision in names.value
            known = self._revisions[name] = revision, proven
        return known


def apart(one: Resource, other: Resource) -> bool:
    """Are two objects for different revisions, so that no control plane reads both?"""
    mine, its = one.labels.get(REVISION), other.labels.get(REVISION)
    if mine is None or its is None or mine == its:
        return False
    return not is_placeholder(mine) and not is_placeholder(its)


def read_together(items: Iterable[T], resource_of: Callable[[T], Resource]) -> list[list[T]]:
    """The items as each control plane sees them: one group, or one for each revision that they name.

    What names no revision is in every group.
    """
    items = list(items)
    named = [resource_of(item).labels.get(REVISION) for item in items]
    revisions = dict.fromkeys(name for name in named if name is not None)
    if not revisions:
        return [items]
    return [
        [item for item, name in zip(items, named, strict=True) if name in (None, revision)]
        for revision in revisions
    ]
