"""How sure is it that an object that something names does not exist? (spec traffic 0.3, repositories 3, 5, 9)

For all kinds but Services, which `existence` knows more about.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property
from typing import TYPE_CHECKING, Final

from meshlint.mesh.scope import ISTIO_NETWORKING, Evidence

if TYPE_CHECKING:
    from meshlint.mesh.mesh import Mesh
    from meshlint.resources import Resource

#: what installations bring and nobody keeps in a repository
_BUILT_IN: Final = frozenset(
    {
        (ISTIO_NETWORKING, "Gateway", "kyma-system", "kyma-gateway"),
        (ISTIO_NETWORKING, "Gateway", "knative-serving", "knative-ingress-gateway"),
        (ISTIO_NETWORKING, "Gateway", "knative-serving", "knative-local-gateway"),
    }
)


class Absence:
    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh

    def of(self, group: str, kind: str, namespace: str, name: str) -> str | None:
        """'high' or 'low'; None: whether it exists is unknown. The input has no such object."""
        scope = self.mesh.scope
        if (group, kind, namespace, name) in _BUILT_IN or scope.may_exist(kind, name, namespace):
            return None
        evidence = scope.evidence(group, kind, namespace)
        if evidence is Evidence.OPEN or self.mesh.existence.installed_into(namespace):
            return None
        if evidence is Evidence.LIKELY or self._adrift(group, kind, name):
            return "low"
        return "high"

    def elsewhere(self, group: str, kind: str, name: str) -> list[Resource]:
        """Objects of the kind and name in whatever namespace."""
        return self._by_name(group, kind).get(name, [])

    def _adrift(self, group: str, kind: str, name: str) -> bool:
        """Is there one of that name whose manifest leaves the namespace to whoever applies it?"""
        return any(not resource.namespace_written for resource in self.elsewhere(group, kind, name))

    def _by_name(self, group: str, kind: str) -> dict[str, list[Resource]]:
        known = self._names.get((group, kind))
        if known is None:
            known = defaultdict(list)
            for resource in self.mesh.scope.of(group, kind):
                known[resource.name].append(resource)
            self._names[group, kind] = known
        return known

    @cached_property
    def _names(self) -> dict[tuple[str, str], dict[str, list[Resource]]]:
        return {}
