"""Which objects belong to another release than the one they are meant for? (spec traffic 7.2, 7.5, 7.7, 7.8)

The tables are in `mesh.releases`. Versions of APIs and fields are in `validity`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache, partial
from typing import Any, Final

from meshlint.checks.admission.blocks import Block, spec
from meshlint.checks.admission.mesh_sources import title_of, written
from meshlint.findings import Draft
from meshlint.mesh.claims import CLAIMS
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.releases import (
    CHECKS_GATEWAY_API,
    DEPRECATED_SETTINGS,
    EXPERIMENTS,
    NEWEST,
    NO_OPERATOR,
    OLDEST_DEFINITIONS,
    REMOVED,
    SERVED_DEFINITIONS,
    Experiment,
)
from meshlint.mesh.scope import GATEWAY_API, ISTIO_EXTENSIONS, ISTIO_NETWORKING
from meshlint.resources import Place, Resource
from meshlint.schema.compile import numbers
from meshlint.source.nodes import Mapping as MappingNode
from meshlint.source.nodes import Node, Scalar, Sequence, text_of
from meshlint.source.templates import is_placeholder

Options = Mapping[str, Any]

_BUNDLE: Final = "gateway.networking.k8s.io/bundle-version"
_UNSERVED: Final = {"v1beta1": "IST0156", "v1": "IST0172"}
#: what waypoints read at their own risk (spec traffic 7.8)
_ON_WAYPOINTS: Final = {
    "VirtualService": "a VirtualService on a waypoint",
    "TLSRoute": "a TLSRoute on a waypoint",
    "TCPRoute": "a TCPRoute on a waypoint",
}
_RELEASE: Final = re.compile(r"v?([0-9]+)\.([0-9]+)(?:\.([0-9]+))?(?:[-+].*)?$")


def at_least(mesh: Mesh, release: str) -> bool:
    """Is the target, by default the newest release, this one or a later one?"""
    return numbers(mesh.settings.istio_version or NEWEST)[:2] >= numbers(release)


# -- removed-kind, istiooperator-in-cluster -------------------------------------------------------


def removed_kind(mesh: Mesh, options: Options) -> Iterator[Draft]:
    groups = {name.partition("/")[0] for name in REMOVED}
    for resource in mesh.scope.resources:
        if resource.group not in groups or mesh.schemas.kind(resource.group, resource.kind) is not None:
            continue
        removal = REMOVED.get(f"{resource.group}/{resource.kind}") or REMOVED[resource.group]
        if not at_least(mesh, removal.release):
            continue
        yield Draft(
            resource.place_at("apiVersion"),
            f"{resource.title}: Istio {removal.release} removed the API {resource.group}; the API server "
            f"knows no {resource.kind}",
            label=f"gone since Istio {removal.release}",
            help=f"use {removal.instead}",
        )


def istiooperator_in_cluster(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """A file for istioctl looks the same: it needs a sign that the object is applied."""
    if not at_least(mesh, NO_OPERATOR):
        return
    for resource in mesh.scope.of("install.istio.io", "IstioOperator"):
        if mesh.schemas.kind(resource.group, resource.kind) is not None:
            continue
        title = resource.title if resource.name else "The IstioOperator"
        confidence, how = _applied(resource, always=bool(options.get("applied")))
        yield Draft(
            resource.place_at("kind"),
            f"{title} {how}, but since Istio {NO_OPERATOR} a cluster has no definition of IstioOperator and "
            "nothing that acts on it",
            label="for istioctl only",
            help="install with Helm, or pass the file to `istioctl install -f` and do not apply it",
            confidence=confidence,
        )


def _applied(resource: Resource, *, always: bool) -> tuple[str | None, str]:
    """How sure it is that the object goes to a cluster, and why."""
    if always:
        return None, "is applied to the cluster"
    kustomization = resource.file.kustomization
    if kustomization is not None:
        return None, f"is a resource of {kustomization}"
    kinds = {text_of(d.root.get("kind")) for d in resource.file.documents if isinstance(d.root, MappingNode)}
    if kinds - {"IstioOperator", None}:
        return "medium", "stands in one file with objects for the cluster"
    return "low", "may be applied to the cluster"


# -- deprecated-field, for the mesh configuration --------------------------------------------------


def deprecated_settings(mesh: Mesh) -> Iterator[Draft]:
    for config in written(mesh):
        for path, (becomes, advice) in DEPRECATED_SETTINGS.items():
            parent = config.node.dig(*path[:-1])
            key = parent.key(path[-1]) if isinstance(parent, MappingNode) else None
            if key is not None:
                yield Draft(
                    config.resource.place(key),
                    f"{title_of(config.resource)}: {'.'.join(path)} of the mesh configuration {becomes}",
                    label="deprecated",
                    help=advice,
                    equivalents=(),
                )


# -- experimental-feature -------------------------------------------------------------------------


def experimental_feature(mesh: Mesh, options: Options) -> Iterator[Draft]:
    accepted = frozenset(options.get("accepted", ()))
    for experiment in EXPERIMENTS:
        if experiment.feature in accepted:
            continue
        for resource in mesh.scope.of(experiment.group, experiment.kind):
            if not experiment.path:
                yield _experimental(experiment, resource.place_at("kind"))
            for key in _keys(resource.root, experiment.path):
                yield _experimental(experiment, resource.place(key))
    if "routing by claims" not in accepted:
        yield from _claims(mesh)
    for kind, feature in _ON_WAYPOINTS.items():
        if feature not in accepted:
            yield from _on_waypoints(mesh, kind, feature)


def _experimental(experiment: Experiment, place: Place) -> Draft:
    return Draft(
        place,
        f"policy: {place.resource.title} uses {experiment.feature}, which is {experiment.stage}",
        label=experiment.stage,
        help="read the notes of each release before an upgrade, or do without it",
    )


def _keys(node: Node | None, path: tuple[str, ...]) -> Iterator[Scalar]:
    """The keys at the end of a path; lists on the way are walked."""
    if isinstance(node, Sequence):
        for item in node.items:
            yield from _keys(item, path)
    elif path and isinstance(node, MappingNode) and path[0] in node.index:
        key, value = node.index[path[0]]
        if len(path) == 1:
            yield key
        else:
            yield from _keys(value, path[1:])


def _on_waypoints(mesh: Mesh, kind: str, feature: str) -> Iterator[Draft]:
    """Rules for calls of a service whose requests a waypoint takes."""
    group = ISTIO_NETWORKING if kind == "VirtualService" else GATEWAY_API
    experiment = Experiment(group, kind, (), "alpha", feature)
    taken = cache(partial(_taken_by_waypoint, mesh))
    for resource in mesh.scope.of(group, kind):
        if any(map(taken, {host for route in mesh.routes.of(resource) for host in route.mesh_hosts})):
            yield _experimental(experiment, resource.place_at("kind"))


def _taken_by_waypoint(mesh: Mesh, host: str) -> bool:
    facts = (mesh.ambient.waypoint_of_service(service.resource) for service in mesh.registry.by_host(host))
    return any(fact.known and fact.value is not None and not fact.value.broken for fact in facts)


def _claims(mesh: Mesh) -> Iterator[Draft]:
    """Routes that match on claims of a token."""
    experiment = Experiment(ISTIO_NETWORKING, "VirtualService", (), "alpha", "routing by claims of a token")
    for resource in mesh.scope.of(ISTIO_NETWORKING, "VirtualService"):
        for part in ("headers", "withoutHeaders"):
            for node in _values(resource.root, ("spec", "http", "match", part)):
                for name, (key, _) in node.index.items():
                    if name.lower().startswith(CLAIMS):
                        yield _experimental(experiment, resource.place(key))


def _values(node: Node | None, path: tuple[str, ...]) -> Iterator[MappingNode]:
    if isinstance(node, Sequence):
        for item in node.items:
            yield from _values(item, path)
    elif isinstance(node, MappingNode):
        if path:
            yield from _values(node.get(path[0]), path[1:])
        else:
            yield node


# -- gateway-api-crd-version ----------------------------------------------------------------------


def gateway_api_crd_version(mesh: Mesh, options: Options) -> Iterator[Draft]:
    if not at_least(mesh, CHECKS_GATEWAY_API):
        return
    target = mesh.settings.istio_version or NEWEST
    for resource in mesh.scope.of("apiextensions.k8s.io", "CustomResourceDefinition"):
        needed = OLDEST_DEFINITIONS.get(resource.name)
        written = resource.annotations.get(_BUNDLE)
        match = _RELEASE.match(written) if needed and written else None
        if needed is None or match is None:
            continue
        if tuple(int(part or 0) for part in match.groups()) < numbers(needed):
            yield Draft(
                resource.place_at("metadata", "annotations", _BUNDLE),
                f"{resource.title} is of the Gateway API {written}, and Istio {target} needs {needed}: "
                "objects of this kind are ignored",
                label=f"older than {needed}",
                help=f"install the definitions of the Gateway API {needed} or later before Istio",
            )


# -- gateway-api-crd-served -----------------------------------------------------------------------


def gateway_api_crd_served(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for resource in mesh.scope.of("apiextensions.k8s.io", "CustomResourceDefinition"):
        wanted = SERVED_DEFINITIONS.get(resource.name)
        served = _served(resource) if wanted else None
        if wanted is None or served is None:
            continue
        missing = [version for version in wanted if version not in served]
        if missing:
            yield _not_served(resource, missing, sorted(served))


def _served(resource: Resource) -> set[str] | None:
    """The versions that a definition serves; None where that is not written."""
    versions = resource.mappings("spec", "versions")
    found = set()
    for version in versions:
        name, served = text_of(version.get("name")), version.get("served")
        if name is None or is_placeholder(name) or not isinstance(served, Scalar):
            return None
        if not isinstance(served.value, bool):
            return None
        found |= {name} if served.value else set()
    return found if versions else None


def _not_served(resource: Resource, missing: list[str], served: list[str]) -> Draft:
    """Without v1beta1 Istio does not read the kind; without v1 a later release does not."""
    now = "v1beta1" in missing
    effect = "Istio finds no objects of the kind" if now else "a later Istio reads v1 alone"
    versions = enumerate(resource.mappings("spec", "versions"))
    at = next((n for n, version in versions if text_of(version.get("name")) == missing[0]), None)
    return Draft(
        resource.place_at("spec", "versions", part="key")
        if at is None
        else resource.place_at("spec", "versions", at, "served"),
        f"{resource.title} does not serve {' and '.join(missing)}, only {', '.join(served) or 'nothing'}: "
        f"{effect}",
        label=f"no {missing[0]} served",
        help="install the definitions of a current release of the Gateway API before Istio",
        severity="error" if now else None,
        equivalents=tuple(_UNSERVED[version] for version in missing),
    )


# -- wasm-unpinned --------------------------------------------------------------------------------


def wasm_unpinned(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for resource in mesh.scope.of(ISTIO_EXTENSIONS, "WasmPlugin", "TrafficExtension"):
        block = spec(resource)
        module = block.block("wasm") if block and resource.kind == "TrafficExtension" else block
        url = module.text("url") if module else None
        if module is None or not url or module.has("sha256"):
            continue
        problem = _unpinned(url)
        if problem is not None:
            yield _wasm(module, url, *problem)


def _wasm(module: Block, url: str, says: str, label: str, advice: str) -> Draft:
    return Draft(
        module.place("url"),
        f"policy: {module.resource.title} loads {url}, {says}",
        label=label,
        help=advice,
    )


def _unpinned(url: str) -> tuple[str, str, str] | None:
    """What is wrong with the source of a module whose checksum is not given."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "oci", url
    if scheme == "http":
        return (
            "without encryption and without a checksum: whoever is on the way decides what proxies run",
            "unencrypted and unchecked",
            "load it by https or as an OCI image, and set sha256",
        )
    if scheme != "oci" or "@" in rest or is_placeholder(url):
        return None
    image = rest.rpartition("/")[2]
    tag = image.partition(":")[2]
    if tag not in ("", "latest"):
        return None
    what = "the tag latest" if tag else "an image without a tag"
    return (
        f"{what}: another module may come with the next proxy that starts",
        "not pinned",
        "name a version and set sha256, or name the image by its digest",
    )
