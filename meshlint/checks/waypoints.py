"""Does the label istio.io/use-waypoint get anybody a waypoint? (spec security 2.3)

It stands on Services, ServiceEntries, pods and Namespaces. One finding per label, at its value: that of a
Namespace is for all that is in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from meshlint.findings import Draft
from meshlint.mesh.ambient import MODE, USE_WAYPOINT, Waypoint
from meshlint.mesh.dataplane import DataPlane
from meshlint.mesh.facts import Fact
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.scope import ISTIO_NETWORKING
from meshlint.mesh.workloads import Workload
from meshlint.resources import Place
from meshlint.source.nodes import Scalar
from meshlint.source.templates import is_placeholder

Options = Mapping[str, Any]

_ADVICE: Final = {
    "not ready": "deploy a Gateway of the class istio-waypoint by that name, or correct the name",
    "no waypoint": "name a Gateway of the class istio-waypoint",
    "attachment denied": "admit the namespace in allowedRoutes of its HBONE listener on port 15008",
    "unsupported traffic type": "set istio.io/waypoint-for on the Gateway to all, or drop the label",
}


# -- waypoint-missing -----------------------------------------------------------------------------


def missing(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """Labels that name a waypoint which does not exist, or does not serve whoever names it."""
    for resource in (*mesh.scope.of("", "Service"), *mesh.scope.of(ISTIO_NETWORKING, "ServiceEntry")):
        if _named(resource.get("metadata", "labels", USE_WAYPOINT)):
            place = resource.place_at("metadata", "labels", USE_WAYPOINT)
            yield from _broken(mesh, mesh.ambient.waypoint_of_service(resource), place, resource.title)
    for workload in mesh.workloads.all:
        if _named(workload.label_node(USE_WAYPOINT)):
            fact, place = mesh.ambient.waypoint_of_workload(workload), _label(workload)
            yield from _broken(mesh, fact, place, workload.title, pods=True)
    for namespace in mesh.scope.of("", "Namespace"):
        if _named(namespace.get("metadata", "labels", USE_WAYPOINT)):
            fact = mesh.ambient.waypoint_of_namespace(namespace.name)
            place = namespace.place_at("metadata", "labels", USE_WAYPOINT)
            pods = any(_may_use(w) for w in mesh.workloads.within(namespace.name))
            yield from _broken(mesh, fact, place, namespace.title, pods=pods)


def _named(node: object) -> bool:
    return isinstance(node, Scalar) and node.text not in ("", "none") and not is_placeholder(node.text)


def _label(workload: Workload) -> Place:
    return workload.pod_place("metadata", "labels", USE_WAYPOINT)


def _may_use(workload: Workload) -> bool:
    """Pods that the label of their namespace is for."""
    return USE_WAYPOINT not in workload.labels and workload.labels.get(MODE) != "none"


def _broken(
    mesh: Mesh, fact: Fact[Waypoint | None], place: Place, who: str, *, pods: bool = False
) -> Iterator[Draft]:
    if not fact.known or fact.value is None or not fact.value.broken:
        return
    waypoint = fact.value
    absent = waypoint.broken in ("not ready", "no waypoint")
    gateway = waypoint.gateway
    yield Draft(
        place,
        f"{who} names the waypoint {waypoint.namespace}/{waypoint.name}, {_why(mesh, waypoint)}: no waypoint "
        "handles the requests, and what is meant for one does nothing",
        label="no such waypoint" if absent else "not served by this waypoint",
        help=_ADVICE[waypoint.broken],
        related=(("this Gateway", gateway.place()),) if gateway is not None else (),
        equivalents=("KIA1313",) if absent and pods else (),
        confidence=None if fact.certain else "low" if absent else "medium",
    )


def _why(mesh: Mesh, waypoint: Waypoint) -> str:
    gateway = waypoint.gateway
    if gateway is None:
        return "which is not in the given files"
    if waypoint.broken == "no waypoint":
        return f"which is a Gateway of the class {gateway.text('spec', 'gatewayClassName')}"
    if waypoint.broken == "attachment denied":
        return "which admits nothing of this namespace"
    return f"which serves {_TRAFFIC.get(mesh.ambient.traffic_of(gateway), 'other traffic alone')}"


_TRAFFIC: Final = {
    "service": "traffic to Services alone",
    "workload": "traffic to pods alone",
    "none": "nobody",
}


# -- waypoint-outside-ambient ---------------------------------------------------------------------


def outside_ambient(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """Pods that are to be behind a waypoint and are not in the ambient mesh."""
    for workload in mesh.workloads.all:
        if workload.partial or workload.control_plane:
            continue
        if _named(workload.label_node(USE_WAYPOINT)) and _is_outside(mesh, [workload]):
            yield _bypassed(mesh, _label(workload), workload.title, [workload])
    for namespace in mesh.scope.of("", "Namespace"):
        if _named(namespace.get("metadata", "labels", USE_WAYPOINT)):
            pods = [w for w in mesh.workloads.within(namespace.name) if _may_use(w) and not w.partial]
            if pods and _is_outside(mesh, pods):
                place = namespace.place_at("metadata", "labels", USE_WAYPOINT)
                yield _bypassed(mesh, place, namespace.title, pods)


def _is_outside(mesh: Mesh, pods: Iterable[Workload]) -> bool:
    """Pods that opt out, or that no node agent could capture, are meant to be outside."""
    return all(
        workload.labels.get(MODE) != "none"
        and not workload.host_network
        and mesh.data_planes.of(workload).is_(DataPlane.NONE, DataPlane.SIDECAR)
        for workload in pods
    )


def _bypassed(mesh: Mesh, place: Place, who: str, pods: list[Workload]) -> Draft:
    planes = [mesh.data_planes.of(workload) for workload in pods]
    sidecars = any(plane.is_(DataPlane.SIDECAR) for plane in planes)
    others = "their sidecars take" if sidecars else "the pods take"
    return Draft(
        place,
        f"{who} names the waypoint {place.text}, and its pods are not in the ambient mesh: {others} requests "
        "from everybody, and callers outside of the mesh get past the waypoint",
        label="a waypoint for pods outside of the ambient mesh",
        help=f"set the label {MODE}: ambient on the Namespace or the pods, or drop this label",
        related=tuple(("decides that they are outside", at) for at in planes[0].because[:1]),
        equivalents=("KIA1312",),
        confidence="low" if sidecars else None if all(plane.certain for plane in planes) else "medium",
    )
