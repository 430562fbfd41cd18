"""Do policies select pods of the Gateway API by labels, where only targetRefs count? (spec security 4.1)

Waypoints look at targetRefs alone; the pods of other Gateways honour selectors as long as istiod is told to.
Telemetry objects are in `telemetry`, which asks `by_labels` too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshlint.checks.admission.blocks import once
from meshlint.findings import Draft
from meshlint.mesh.attachment import ProxyKind, proxy_of, references_of, selector_of
from meshlint.mesh.labels import GATEWAY_NAME
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.scope import GATEWAY_API, ISTIO_EXTENSIONS, ISTIO_SECURITY
from meshlint.mesh.workloads import Workload
from meshlint.resources import Place, Resource

Options = Mapping[str, Any]

_KINDS: Final = (
    (ISTIO_SECURITY, "AuthorizationPolicy"),
    (ISTIO_SECURITY, "RequestAuthentication"),
    (ISTIO_EXTENSIONS, "WasmPlugin"),
    (ISTIO_EXTENSIONS, "TrafficExtension"),
)


def selected(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for group, kind in _KINDS:
        for policy in mesh.scope.of(group, kind):
            selector = selector_of(policy)
            if selector and not references_of(policy):
                draft = by_labels(mesh, policy, selector)
                if draft is not None:
                    yield draft


def by_labels(mesh: Mesh, policy: Resource, selector: Mapping[str, str]) -> Draft | None:
    """Pods of a Gateway or waypoint that a policy selects; from the root namespace it may select all pods."""
    everywhere = policy.ns == mesh.config.root and policy.kind != "Telemetry"
    gateways = [
        workload
        for workload in _gateways(mesh)
        if (everywhere or workload.namespace == policy.ns) and selector.items() <= workload.labels.items()
    ]
    if gateways:
        found = next(filter(_is_waypoint, gateways), gateways[0])
        place, name = found.pod_place("metadata", "labels", GATEWAY_NAME), found.labels[GATEWAY_NAME]
        near = any(workload.namespace == policy.ns for workload in gateways)
        return _no_effect(mesh, policy, place, name, waypoint=_is_waypoint(found), near=near)
    name = selector.get(GATEWAY_NAME, "")
    for gateway in mesh.scope.find(GATEWAY_API, "Gateway", policy.ns, name) if name else ():
        waypoint = mesh.ambient.is_waypoint(gateway)
        return _no_effect(mesh, policy, gateway.place(), name, waypoint=waypoint, near=True)
    return None


@once
def _gateways(mesh: Mesh) -> list[Workload]:
    """Pods that are written down for a Gateway; as a rule Istio makes them, and there are none."""
    return [workload for workload in mesh.workloads.all if GATEWAY_NAME in workload.labels]


def _is_waypoint(workload: Workload) -> bool:
    return proxy_of(workload).kind is ProxyKind.WAYPOINT


def _no_effect(mesh: Mesh, policy: Resource, place: Place, name: str, *, waypoint: bool, near: bool) -> Draft:
    flag = mesh.config.feature("ENABLE_SELECTOR_BASED_K8S_GATEWAY_POLICY")
    off = flag.known and (flag.value or "").lower() in ("false", "0", "f")
    what = "waypoint" if waypoint else "Gateway"
    effect = (
        "where selectors have no effect"
        if waypoint or off
        else "where a selector works only as long as istiod is told to honour it"
    )
    return Draft(
        policy.place_at("spec", "selector", part="key"),
        f"{policy.title} selects the pods of the {what} {name}, {effect}",
        label=f"selects the pods of a {what}",
        help=f"name the {what} in targetRefs instead",
        related=((f"the {what}", place),),
        equivalents=("IST0166",) if near and policy.kind != "TrafficExtension" else (),
        confidence=None if waypoint or off else "low",
    )
