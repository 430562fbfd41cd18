"""Which EnvoyFilters are ignored, applied in an order by chance, or reach further than they look?

Spec traffic 7.6, istioctl-analyze IST0151 to IST0155. What Istio's webhook refuses or warns about is in
`admission.envoy_filter`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshlint.checks.admission.blocks import Block, once, spec
from meshlint.findings import Draft
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.scope import ISTIO_NETWORKING
from meshlint.records import dataclass
from meshlint.resources import Place, Resource

Options = Mapping[str, Any]

_ROUTES: Final = frozenset(("ROUTE_CONFIGURATION", "HTTP_ROUTE"))
_REPLACEABLE: Final = frozenset(("NETWORK_FILTER", "HTTP_FILTER", "VIRTUAL_HOST"))
_INSERTIONS: Final = frozenset(("INSERT_BEFORE", "INSERT_AFTER"))


@dataclass(frozen=True, slots=True)
class _Patch:
    """One entry of configPatches whose operation can be read; `place` is that of the operation."""

    config: Block
    apply_to: str
    operation: str
    place: Place

    @property
    def relative(self) -> bool:
        """Does its result depend on what other patches did before? (MERGE and ADD: not)"""
        if self.operation == "REPLACE":
            return self.apply_to in _REPLACEABLE
        if self.operation == "REMOVE":
            return self.apply_to not in _ROUTES
        return self.operation in _INSERTIONS

    @property
    def filter_name(self) -> tuple[str, str]:
        """What the patch is about: the name in its value, else that of the filter it matches."""
        patch = self.config.block("patch")
        value = patch.block("value") if patch else None
        name = value.text("name") if value else None
        if name:
            return "value", name
        node = self.config.node.dig("match", "listener", "filterChain", "filter", "name")
        return "match", getattr(node, "text", "")

    @property
    def for_versions(self) -> bool:
        match = self.config.block("match")
        proxy = match.block("proxy") if match else None
        return proxy is not None and proxy.has("proxyVersion")


@once
def _filters(mesh: Mesh) -> list[tuple[Block, list[_Patch]]]:
    blocks = map(spec, mesh.scope.of(ISTIO_NETWORKING, "EnvoyFilter"))
    return [(block, list(_patches(block))) for block in blocks if block is not None]


def _patches(block: Block) -> Iterator[_Patch]:
    for config in block.blocks("configPatches"):
        patch = config.block("patch")
        operation = patch.text("operation") if patch else None
        if patch and operation:
            yield _Patch(config, config.text("applyTo") or "", operation, patch.place("operation"))


def bad_operation(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for _, patches in _filters(mesh):
        for patch in patches:
            code = _ignored(patch)
            if code is None:
                continue
            advice = "use INSERT_FIRST or MERGE, or patch the VIRTUAL_HOST that holds the routes"
            if patch.operation == "REPLACE":
                advice = "use MERGE, or REMOVE and ADD"
            yield Draft(
                patch.place,
                f"{patch.place.resource.title} applies {patch.operation} to {patch.apply_to}, which Istio "
                "does not do: the patch is ignored",
                label=f"ignored for {patch.apply_to}",
                help=advice,
                equivalents=(code,),
            )


def _ignored(patch: _Patch) -> str | None:
    """Istioctl's code for an operation that does nothing."""
    if patch.operation == "ADD" and patch.apply_to in _ROUTES:
        return "IST0153"
    if patch.operation == "REMOVE" and patch.apply_to in _ROUTES:
        return "IST0154"
    if patch.operation == "REPLACE" and patch.apply_to and patch.apply_to not in _REPLACEABLE:
        return "IST0152"
    return None


def relative_no_priority(mesh: Mesh, options: Options) -> Iterator[Draft]:
    filters = _filters(mesh)
    versioned = defaultdict(list)
    for _, patches in filters:
        for patch in patches:
            if patch.for_versions and patch.filter_name[1]:
                versioned[patch.filter_name].append(patch)
    for block, patches in filters:
        relative = [patch for patch in patches if patch.relative]
        if not relative or block.number("priority") not in (None, 0) or not _readable(block, "priority"):
            continue
        first = relative[0]
        others = [_other(patch, versioned.get(patch.filter_name, [])) for patch in relative]
        other = next((patch for patch in others if patch is not None), None)
        related = [("relative too", patch.place) for patch in relative[1:]]
        if other is not None and other not in relative:
            related.append(("the same filter, for some versions of the proxy", other.place))
        yield Draft(
            first.place,
            f"{block.resource.title} places its patch by {first.operation} and has no priority: among "
            "EnvoyFilters of the same reach the order is that of their creation, so it may come out "
            "differently in another cluster or after one is made anew",
            label="depends on the order of EnvoyFilters",
            help="set spec.priority, lower numbers first",
            related=tuple(related),
            equivalents=tuple(sorted({"IST0155" if patch else "IST0151" for patch in others})),
        )


def _other(patch: _Patch, versioned: list[_Patch]) -> _Patch | None:
    """Another patch about the same filter that is for some versions of the proxy."""
    return next((other for other in versioned if other is not patch), None)


def _readable(block: Block, name: str) -> bool:
    """Absent, or a number and no template."""
    return name not in block.node.index or block.number(name) is not None


def root_all(mesh: Mesh, options: Options) -> Iterator[Draft]:
    root = mesh.config.root
    assumed = not mesh.config.root_namespace.certain
    for block, patches in _filters(mesh):
        resource = block.resource
        if resource.ns != root or not patches or "workloadSelector" in block.node.index:
            continue
        if "targetRefs" in block.node.index:
            continue
        yield _reaches(resource, _context(patches), assumed)


def _reaches(resource: Resource, context: str, assumed: bool) -> Draft:
    who = {
        "GATEWAY": "every gateway of the mesh",
        "SIDECAR_INBOUND": "every sidecar of the mesh",
        "SIDECAR_OUTBOUND": "every sidecar of the mesh",
    }.get(context, "every proxy of the mesh, gateways included")
    return Draft(
        resource.place(),
        f"{resource.title} lies in the root namespace and selects no workloads: it patches {who}",
        label=f"patches {who.partition(' of ')[0]}",
        help="add a workloadSelector, or move it to the namespace that it is meant for",
        confidence="medium" if assumed else None,
    )


def _context(patches: list[_Patch]) -> str:
    """The context of all patches; '' where they differ or have none."""
    contexts = {getattr(patch.config.node.dig("match", "context"), "text", "") for patch in patches}
    return contexts.pop() if len(contexts) == 1 else ""
