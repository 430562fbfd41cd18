"""Does a ReferenceGrant let an object name one of another namespace? (spec security 6.2)"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from meshlint.mesh.scope import GATEWAY_API
from meshlint.source.nodes import text_of
from meshlint.source.templates import is_placeholder

if TYPE_CHECKING:
    from meshlint.mesh.mesh import Mesh
    from meshlint.resources import Resource


class Target(NamedTuple):
    """What is named in another namespace."""

    group: str
    kind: str
    namespace: str
    name: str


def granted(mesh: Mesh, referrer: Resource, target: Target) -> bool | None:
    """May `referrer` name it? None where a grant may exist outside of the input."""
    grants = mesh.scope.within(GATEWAY_API, "ReferenceGrant", target.namespace)
    if any(_grants(grant, referrer, target) for grant in grants):
        return True
    sure = grant_missing(mesh, referrer, target)
    return False if sure == "high" and not mesh.settings.remainder else None


def grant_missing(mesh: Mesh, referrer: Resource, target: Target) -> str | None:
    """How sure is it that nothing lets `referrer` name it? 'high', 'medium', 'low'; None: allowed or unknown.

    A grant that speaks of this referrer and target, but in the namespace of the referrer, where it has
    no effect, tells that somebody meant to allow it.
    """
    if is_placeholder(target.namespace) or is_placeholder(referrer.namespace):
        return None
    grants = mesh.scope.within(GATEWAY_API, "ReferenceGrant", target.namespace)
    if any(_grants(grant, referrer, target) for grant in grants):
        return None
    if any(is_placeholder(text) for grant in grants for text in _namespaces(grant)):
        return None
    sure = mesh.absence.of(GATEWAY_API, "ReferenceGrant", target.namespace, "")
    if sure == "high" or mesh.settings.remainder:
        return sure
    return "medium" if misplaced(mesh, referrer, target) else sure


def misplaced(mesh: Mesh, referrer: Resource, target: Target) -> Resource | None:
    """A grant for them that lies in the namespace of the referrer."""
    for grant in mesh.scope.within(GATEWAY_API, "ReferenceGrant", referrer.ns):
        if grant.namespace_written and _grants(grant, referrer, target):
            return grant
    return None


def _grants(grant: Resource, referrer: Resource, target: Target) -> bool:
    admitted = any(
        (text_of(entry.get("group")) or "", text_of(entry.get("kind")), text_of(entry.get("namespace")))
        == (referrer.group, referrer.kind, referrer.ns)
        for entry in grant.mappings("spec", "from")
    )
    return admitted and any(
        (text_of(entry.get("group")) or "", text_of(entry.get("kind"))) == (target.group, target.kind)
        and text_of(entry.get("name")) in (None, "", target.name)
        for entry in grant.mappings("spec", "to")
    )


def _namespaces(grant: Resource) -> Iterator[str]:
    for entry in grant.mappings("spec", "from"):
        yield text_of(entry.get("namespace")) or ""
