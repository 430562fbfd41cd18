"""Does the label istio.io/use-waypoint get anybody a waypoint, and who gets past it? (spec security 2.3)

It stands on Services, ServiceEntries, pods and Namespaces. One finding per label, at its value: that of a
Namespace is for all that is in it. Gateways go straight to the pods unless another label says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from meshlint.findings import Draft
from meshlint.mesh.ambient import Waypoint
from meshlint.mesh.attachment import attachment_problem, proxy_of, references_of, selector_of
from meshlint.mesh.authz import Action, Outcome, Request
from meshlint.mesh.dataplane import DataPlane
from meshlint.mesh.facts import Fact
from meshlint.mesh.gateways import Gateway
from meshlint.mesh.labels import DRY_RUN, INGRESS_USE_WAYPOINT, MODE, USE_WAYPOINT
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.registry import Service
from meshlint.mesh.routes import Route
from meshlint.mesh.scope import ISTIO_NETWORKING, ISTIO_SECURITY
from meshlint.mesh.workloads import Workload
from meshlint.resources import Place, Resource
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


# -- waypoint-bypassed ----------------------------------------------------------------------------


def bypassed(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """Services whose waypoint has policies to enforce, which requests from gateways do not meet."""
    policies = _by_target(mesh)
    own: dict[tuple[int, str], bool] = {}
    for service in mesh.registry.services if policies else ():
        if not mesh.ambient.ingress_uses_waypoint(service.resource).is_(False):
            continue
        waypoint = mesh.ambient.waypoint_of_service(service.resource)
        if not waypoint.known or waypoint.value is None or waypoint.value.broken:
            continue
        policy = _enforced(mesh, policies, service, waypoint.value)
        if policy is None:
            continue
        route = next(_unguarded(mesh, service, policy, own), None)
        if route is not None:
            yield _past(mesh, service, waypoint, policy, *route)


def _by_target(mesh: Mesh) -> dict[tuple[str, str, str], Resource]:
    """Policies about requests by kind, namespace and name of their targets."""
    found: dict[tuple[str, str, str], Resource] = {}
    for policy in mesh.scope.of(ISTIO_SECURITY, "AuthorizationPolicy", "RequestAuthentication"):
        if policy.annotations.get(DRY_RUN) != "true" and not attachment_problem(policy):
            for reference in references_of(policy):
                found.setdefault((reference.kind, policy.ns, reference.name), policy)
    return found


def _enforced(
    mesh: Mesh, policies: Mapping[tuple[str, str, str], Resource], service: Service, waypoint: Waypoint
) -> Resource | None:
    """A policy that the waypoint of a service enforces for it."""
    kind = "ServiceEntry" if service.kind == "service-entry" else "Service"
    gateway_class = waypoint.gateway.text("spec", "gatewayClassName") if waypoint.gateway else None
    return (
        policies.get((kind, service.namespace, service.resource.name))
        or policies.get(("Gateway", waypoint.namespace, waypoint.name))
        or policies.get(("GatewayClass", mesh.config.root, gateway_class or ""))
    )


def _from_gateways(mesh: Mesh, service: Service) -> Iterator[tuple[Route, Gateway]]:
    for route in mesh.routes.to_service(service):
        for gateway in route.binding.gateways:
            if gateway.istio is not False and not mesh.ambient.is_waypoint(gateway.resource):
                yield route, gateway


def _unguarded(
    mesh: Mesh, service: Service, policy: Resource, own: dict[tuple[int, str], bool]
) -> Iterator[tuple[Route, Gateway]]:
    """Routes from gateways that have no such policy themselves, and whose calls pods do not refuse."""
    for route, gateway in _from_gateways(mesh, service):
        key = (id(gateway), policy.kind)
        if key not in own:
            own[key] = _has_its_own(mesh, gateway, policy.kind)
        if not own[key] and not _refused(mesh, service, gateway):
            yield route, gateway


def _has_its_own(mesh: Mesh, gateway: Gateway, kind: str) -> bool:
    """Does a policy of the kind attach to a gateway, wherever its pods are?"""
    attachments = mesh.authn.attachments if kind == "RequestAuthentication" else mesh.authz.attachments
    for proxy in mesh.exposures.proxies_of(gateway):
        if attachments.of(proxy).policies:
            return True
        for policy in attachments.policies if proxy.workload is None else ():
            selector = selector_of(policy) or {}
            if references_of(policy) or (not selector and policy.ns != gateway.namespace):
                continue
            if selector.items() <= proxy.labels.items():
                return True
    return False


def _refused(mesh: Mesh, service: Service, gateway: Gateway) -> bool:
    """Do the pods let in none but others, such as the waypoint?"""
    pods = mesh.registry.workloads_of(service)
    return bool(pods) and all(_admits_others(mesh, workload, gateway) for workload in pods)


def _admits_others(mesh: Mesh, workload: Workload, gateway: Gateway) -> bool:
    policies = mesh.authz.enforced_at(proxy_of(workload))
    if not any(policy.action is Action.ALLOW for policy in policies):
        return False
    domains = mesh.access.trust_domains()
    for proxy in mesh.exposures.proxies_of(gateway):
        peer = mesh.exposures.identity(proxy, gateway)
        request = Request(peer=peer, http=False, trust_domains=domains)
        decision = mesh.authz.decide(policies, request)
        if decision.certain and decision.outcome is not Outcome.DENIED:
            return False
    return True


def _past(
    mesh: Mesh,
    service: Service,
    waypoint: Fact[Waypoint | None],
    policy: Resource,
    route: Route,
    gateway: Gateway,
) -> Draft:
    resource, name = service.resource, waypoint.value.name if waypoint.value is not None else ""
    undone = "no token" if policy.kind == "RequestAuthentication" else "no request"
    return Draft(
        waypoint.because[0] if waypoint.because else resource.place(),
        f"requests for {resource.title} that come through {gateway.resource.title} do not pass its waypoint "
        f"{name}, which alone enforces {policy.title}: of those {undone} is checked",
        label="passed by gateways",
        help=f'set the label {INGRESS_USE_WAYPOINT}: "true" on the {resource.kind} or its Namespace, or '
        "attach a policy to the gateway too",
        related=(
            ("from the gateway by this", route.resource.place()),
            ("enforced by the waypoint", policy.place()),
            ("the object", resource.place()),
        ),
        confidence=None if waypoint.certain and gateway.istio and mesh.settings.complete else "medium",
    )
