"""Which objects are for a revision of the control plane that does not exist? (spec security 6.4)"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshlint.findings import Draft
from meshlint.mesh.labels import REVISION
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.scope import ISTIO_EXTENSIONS, ISTIO_NETWORKING, ISTIO_SECURITY, ISTIO_TELEMETRY
from meshlint.source.templates import is_placeholder

Options = Mapping[str, Any]

_GROUPS: Final = (ISTIO_NETWORKING, ISTIO_SECURITY, ISTIO_TELEMETRY, ISTIO_EXTENSIONS)
_MANAGED: Final = "asm-"
_RELEASES: Final = frozenset({"HelmRelease", "Application", "ApplicationSet"})


def unread(mesh: Mesh, options: Options) -> Iterator[Draft]:
    labelled = [r for r in mesh.scope.resources if r.group in _GROUPS and REVISION in r.labels]
    if not labelled:
        return
    known = mesh.config.revisions
    if not (mesh.config.installed and known.known and known.certain) or _set_elsewhere(mesh):
        return
    for resource in labelled:
        name = resource.labels[REVISION]
        if is_placeholder(name) or name.startswith(_MANAGED):
            continue
        behind = mesh.config.revision_of(name) or "default"
        if name in known.value and behind == name:
            continue
        tag = name in known.value
        what = f"a tag, of the revision {behind}" if tag else "no revision of the control planes in the input"
        yield Draft(
            resource.place_at("metadata", "labels", REVISION),
            f"{resource.title} is for the revision {name}, which is {what}: no control plane reads it",
            label="a tag" if tag else f"known: {', '.join(sorted(known.value))}",
            help=f"name the revision {behind}, or drop the label"
            if tag
            else "name a revision that is installed, or drop the label",
            related=tuple(("a revision", place) for place in known.because[:3]),
            confidence=None if tag or mesh.settings.complete else "medium",
        )


def _set_elsewhere(mesh: Mesh) -> bool:
    """Does a control plane get values, and so perhaps its revision, from what is not in the input?"""
    return any(
        source.partial and not source.revision
        for source in mesh.config.sources
        if source.installs and source.resource is not None and source.resource.kind in _RELEASES
    )
