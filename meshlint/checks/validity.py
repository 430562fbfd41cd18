"""What would the API server refuse, drop or warn about? (spec schemas 2, traffic 8.7 and 8.8)

Every rule here shows one kind of defect that `meshlint.schema` finds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from meshlint.checks.versions import deprecated_settings
from meshlint.findings import Draft
from meshlint.mesh.scope import ISTIO_NETWORKING
from meshlint.resources import Place, Resource
from meshlint.schema import mesh_config_defects
from meshlint.schema.catalogue import APIS, Kind, Version, newest
from meshlint.schema.schemas import spelled, steps_to
from meshlint.source.nodes import Mapping as MappingNode
from meshlint.source.nodes import Scalar
from meshlint.source.templates import is_placeholder

if TYPE_CHECKING:
    from meshlint.mesh.mesh import Mesh
    from meshlint.schema import Defect

Options = Mapping[str, Any]

#: kinds that Istio refuses without a spec, though their definitions do not ask for one
_NEVER_EMPTY: Final = ("DestinationRule", "Gateway", "Sidecar", "VirtualService")
#: what istioctl says of deprecated fields; of most it says nothing
_DEPRECATED: Final = {
    ("VirtualService", "percent"): ("IST0002",),
    ("VirtualService", "mirrorPercent"): ("IST0133",),
    ("VirtualService", "mirror_percent"): ("IST0133",),
    ("DestinationRule", "consecutiveErrors"): ("IST0133",),
    ("DestinationRule", "minimumRingSize"): ("IST0133",),
}


def unknown_field(mesh: Mesh, options: Options) -> Iterator[Draft]:
    return _drafts(mesh, "unknown-field")


def wrong_type(mesh: Mesh, options: Options) -> Iterator[Draft]:
    return _drafts(mesh, "wrong-type")


def enum_value(mesh: Mesh, options: Options) -> Iterator[Draft]:
    return _drafts(mesh, "enum-value")


def required_field(mesh: Mesh, options: Options) -> Iterator[Draft]:
    yield from _drafts(mesh, "required-field")
    for kind in _NEVER_EMPTY:
        for resource in mesh.scope.of(ISTIO_NETWORKING, kind):
            if "spec" not in resource.root.index:
                yield Draft(
                    resource.place(),
                    f"{resource.title} has no spec; Istio refuses it",
                    label="nothing in it",
                    help="write its spec, or remove the object",
                )


def exclusive_fields(mesh: Mesh, options: Options) -> Iterator[Draft]:
    return _drafts(mesh, "exclusive-fields")


def invalid_value(mesh: Mesh, options: Options) -> Iterator[Draft]:
    return _drafts(mesh, "invalid-value")


def duplicate_list_key(mesh: Mesh, options: Options) -> Iterator[Draft]:
    return _drafts(mesh, "duplicate-list-key")


def field_too_new(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for resource, defect in mesh.schemas.defects().get("field-too-new", ()):
        target = _target(mesh, mesh.schemas.kind(resource.group, resource.kind))
        yield _draft(mesh, resource, defect, help=f"the target is {target}; leave it out or raise the target")


def experimental_field(mesh: Mesh, options: Options) -> Iterator[Draft]:
    return _drafts(mesh, "experimental-field")


def deprecated_field(mesh: Mesh, options: Options) -> Iterator[Draft]:
    yield from _drafts(mesh, "deprecated-field")
    yield from deprecated_settings(mesh)


def mesh_config_invalid(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """What istiod refuses in a mesh configuration, wherever that is embedded."""
    seen = set()
    for message, place in mesh.config.problems:
        seen.add(id(place.node))
        yield Draft(place=place, message=f"{place.resource.title}: {message}", help=_LAST_GOOD)
    for source in mesh.config.sources:
        for layer in source.mesh or ():
            resource = layer.resource
            if resource is None or layer.at:
                continue
            for defect in mesh_config_defects(layer.node):
                if id(defect.node) not in seen:
                    path = spelled(steps_to(layer.node, defect.node))
                    message = f"{resource.title}: the mesh configuration: {path}: {defect.message}"
                    place = resource.place(defect.node)
                    yield Draft(place=place, message=message, label=defect.label, help=_LAST_GOOD)


_LAST_GOOD = (
    "istiod keeps its last good configuration until this is corrected, and does not start without one"
)


def api_version_not_served(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """A version that no API server of the target release answers for."""
    schemas = mesh.schemas
    for resource in mesh.scope.resources:
        if schemas.serves(resource) is not False or is_placeholder(resource.api_version):
            continue
        kind = schemas.kind(resource.group, resource.kind)
        if kind is not None:
            yield _not_served(mesh, resource, kind)


def api_version_preferred(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """A version that is served, where a more stable one is."""
    schemas = mesh.schemas
    better: dict[tuple[str, str, str], Version | None] = {}
    for resource in mesh.scope.resources:
        if not schemas.serves(resource):
            continue
        key = resource.group, resource.kind, resource.version
        if key not in better:
            better[key] = _better(mesh, resource)
        best, version = better[key], schemas.version(resource)
        if best is not None and version is not None:
            group = f"{resource.group}/" if resource.group else ""
            state = "is deprecated" if version.deprecated else f"is older than {best.name}"
            yield Draft(
                place=resource.place_at("apiVersion"),
                message=f"{resource.title}: {resource.api_version} {state}",
                label=f"{best.name} is served too",
                help=f"write apiVersion: {group}{best.name}",
            )


def _better(mesh: Mesh, resource: Resource) -> Version | None:
    """A version of another stage, or any other where that of the resource is deprecated."""
    kind, version = mesh.schemas.kind(resource.group, resource.kind), mesh.schemas.version(resource)
    if kind is None or version is None:
        return None
    best = kind.served(mesh.schemas.versions)[0]
    higher = best.rank > version.rank and (best.rank[0] > version.rank[0] or version.deprecated)
    return best if higher else None


def _not_served(mesh: Mesh, resource: Resource, kind: Kind) -> Draft:
    versions = mesh.schemas.versions
    known = kind.versions.get(resource.version)
    names = [version.name for version in kind.served(versions)]
    group = f"{kind.group}/" if kind.group else ""
    target = _target(mesh, kind)
    say = f"{resource.title}: {target} does not serve {resource.api_version} {kind.kind}"
    confidence = severity = None
    if known is not None and known.channel == "experimental":
        say = f"{resource.title}: in {target} only the experimental channel serves {resource.api_version}"
        # without a release in the configuration nobody knows which channel the cluster has
        severity, confidence = "warning", "medium" if versions.named(kind.origin) else "low"
    elif known is not None and known.since and names:
        say += f"; {known.name} came with {APIS.get(kind.origin, kind.origin)} {known.since}"
    elif not names:
        since = min((v.since for v in kind.versions.values()), default="")
        say = f"{resource.title}: {target} has no {kind.kind}"
        say += f"; it came with {APIS.get(kind.origin, kind.origin)} {since}" if since else ""
    return Draft(
        place=resource.place_at("apiVersion"),
        message=say,
        label=f"served: {', '.join(names)}" if names else "not served",
        help=_advice(f"{group}{names[0]}", known is None) if names else "",
        severity=severity,
        confidence="low" if mesh.schemas.is_distant(resource) else confidence,
    )


def _advice(api_version: str, unknown: bool) -> str:
    return f"write apiVersion: {api_version}" + ("; its fields may be others" if unknown else "")


def _target(mesh: Mesh, kind: Kind | None) -> str:
    """How messages call the release that is the target: ``Istio 1.28``."""
    if kind is None or kind.origin not in APIS:
        return f"the definition in {kind.source}" if kind is not None else "the cluster"
    release = mesh.schemas.versions.named(kind.origin) or newest(kind.origin)
    return f"{APIS[kind.origin]} {release}".strip()


def _drafts(mesh: Mesh, kind: str) -> Iterator[Draft]:
    for resource, defect in mesh.schemas.defects().get(kind, ()):
        yield _draft(mesh, resource, defect)


def _draft(mesh: Mesh, resource: Resource, defect: Defect, help: str = "") -> Draft:  # noqa: A002
    steps = steps_to(resource.root, defect.node)
    message = defect.message
    if defect.kind != "unknown-field":
        message = f"{spelled(steps)}: {message}" if steps else message
    return Draft(
        place=_place(resource, defect, steps),
        message=f"{resource.title}: {message}",
        label=defect.label,
        help=defect.help or help,
        severity=defect.severity,
        confidence="low" if mesh.schemas.is_distant(resource) else None,
        equivalents=_codes(mesh.schemas.kind(resource.group, resource.kind), resource, defect),
    )


def _codes(kind: Kind | None, resource: Resource, defect: Defect) -> tuple[str, ...] | None:
    """Istioctl's code for what a schema refuses is meant for Istio's own kinds."""
    if kind is None or kind.origin != "istio":
        return ()
    return _DEPRECATED.get((resource.kind, defect.name), ()) if defect.kind == "deprecated-field" else None


def _place(resource: Resource, defect: Defect, steps: tuple[str | int, ...]) -> Place:
    """A scalar itself; of mappings, lists and fields as a whole the key, or the first key of an item."""
    node = defect.node
    whole = defect.kind in ("field-too-new", "experimental-field", "deprecated-field") and defect.name
    if isinstance(node, Scalar) and not whole:
        return resource.place(node)
    if not steps:
        return resource.place()
    if isinstance(steps[-1], str):
        return resource.place_at(*steps, part="key")
    first = node.items[0][0] if isinstance(node, MappingNode) and node.items else node
    return resource.place(first)
