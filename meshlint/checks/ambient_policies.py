"""Does a waypoint act on policies about requests, where pods have no proxy? (spec security 2.4, traffic 6.1)

For pods in ambient mode ztunnel acts on AuthorizationPolicies and PeerAuthentications alone. The rest is done
by waypoints, for what targetRefs name; a Telemetry that names neither pods nor targets is for all of a
namespace, its waypoints included. AuthorizationPolicies are in `authz_reach`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshlint.checks.admission.blocks import once
from meshlint.checks.gateway_pods import by_labels
from meshlint.checks.injection import namespace_injects
from meshlint.findings import Draft
from meshlint.mesh.attachment import Reference, attachment_problem, references_of, selector_of
from meshlint.mesh.dataplane import DataPlane
from meshlint.mesh.facts import Fact
from meshlint.mesh.labels import MANAGED, MODE, USE_WAYPOINT
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.scope import (
    GATEWAY_API,
    ISTIO_EXTENSIONS,
    ISTIO_NETWORKING,
    ISTIO_SECURITY,
    ISTIO_TELEMETRY,
)
from meshlint.mesh.selection import made_elsewhere
from meshlint.mesh.telemetry import SIGNALS
from meshlint.mesh.workloads import Workload
from meshlint.resources import Place, Resource
from meshlint.source.nodes import mappings

Options = Mapping[str, Any]

_KINDS: Final = (
    (ISTIO_SECURITY, "RequestAuthentication"),
    (ISTIO_EXTENSIONS, "WasmPlugin"),
    (ISTIO_EXTENSIONS, "TrafficExtension"),
    (ISTIO_TELEMETRY, "Telemetry"),
)
#: workloads whose labels are looked at for one finding
_LOOKED_AT: Final = 50
#: what is left undone
_EFFECTS: Final = {
    "RequestAuthentication": "no token is checked",
    "WasmPlugin": "the module is not run",
    "TrafficExtension": "the extension is not run",
    "Telemetry": "nothing of it takes effect",
}
#: Kiali's codes: no waypoint, no targetRefs
_CODES: Final = {
    "RequestAuthentication": ("KIA1110", "KIA1115"),
    "WasmPlugin": ("KIA1111", "KIA1116"),
    "Telemetry": ("KIA1112", "KIA1117"),
}


def unenforced(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """Policies about requests that neither a waypoint nor any other proxy acts on."""
    for group, kind in _KINDS:
        for policy in mesh.scope.of(group, kind):
            if attachment_problem(policy) or not _says_something(policy):
                continue
            if references_of(policy):
                for reference in references_of(policy):
                    yield from _target(mesh, policy, reference)
            else:
                yield from _pods(mesh, policy)


def _says_something(policy: Resource) -> bool:
    lists = {"RequestAuthentication": ("jwtRules",), "Telemetry": SIGNALS}.get(policy.kind)
    return lists is None or any(policy.mappings("spec", name) for name in lists)


# -- targetRefs -----------------------------------------------------------------------------------


def _target(mesh: Mesh, policy: Resource, reference: Reference) -> Iterator[Draft]:
    """A Service without a waypoint; one that names a waypoint which does not serve it is another matter."""
    group = ISTIO_NETWORKING if reference.kind == "ServiceEntry" else ""
    if reference.kind not in ("Service", "ServiceEntry") or reference.group not in (group, "core"):
        return
    targets = mesh.scope.find(group, reference.kind, policy.ns, reference.name)
    facts = [mesh.ambient.waypoint_of_service(target) for target in targets if MANAGED not in target.labels]
    if not facts or len(facts) < len(targets) or not all(fact.is_(None) for fact in facts):
        return
    yield Draft(
        policy.place_at("name", inside=reference.node),
        f"{policy.title} is attached to {targets[0].title}, which has no waypoint, and nobody else "
        f"looks at targetRefs: {_EFFECTS[policy.kind]}",
        label="no waypoint for this target",
        help=f"set the label {USE_WAYPOINT} on the {reference.kind} or its namespace; for workloads with "
        "sidecars use a selector",
        related=((f"this {reference.kind}", targets[0].place()),),
        equivalents=_codes(mesh, policy, 0) if reference.kind == "Service" else (),
        confidence=None if all(fact.certain for fact in facts) else "medium",
    )


def _codes(mesh: Mesh, policy: Resource, *numbers: int) -> tuple[str, ...]:
    """Kiali looks at policies of ambient namespaces, and of metrics at those that override something."""
    if policy.kind not in _CODES or not mesh.namespaces.label(policy.ns, MODE).is_("ambient"):
        return ()
    if policy.kind == "Telemetry":
        entries = (node for signal in SIGNALS for node in policy.mappings("spec", signal))
        metrics = policy.mappings("spec", "metrics")
        if all(entry in metrics and not mappings(entry.get("overrides")) for entry in entries):
            return ()
    return tuple(_CODES[policy.kind][number] for number in numbers)


# -- policy-class-target ----------------------------------------------------------------------------


def class_outside_root(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """Policies for a GatewayClass, which is no matter of a single namespace, elsewhere than in the root."""
    root = mesh.config.root_namespace
    for group, kind in ((ISTIO_SECURITY, "AuthorizationPolicy"), *_KINDS):
        for policy in mesh.scope.of(group, kind):
            if policy.ns == mesh.config.root or attachment_problem(policy):
                continue
            for reference in references_of(policy):
                if reference.kind == "GatewayClass":
                    yield Draft(
                        policy.place_at("kind", inside=reference.node),
                        f"{policy.title} is attached to the GatewayClass {reference.name}; policies for a "
                        f"class count in the root namespace {mesh.config.root} alone, so nobody enforces it",
                        label=f"not in {mesh.config.root}",
                        help=f"move it to {mesh.config.root}, or name a Gateway or Service of {policy.ns}",
                        related=tuple(("the root namespace", place) for place in root.because[:1]),
                        confidence=None if root.known and root.certain else "medium",
                    )


# -- selectors, and policies for a whole namespace --------------------------------------------------


def _pods(mesh: Mesh, policy: Resource) -> Iterator[Draft]:
    selector = selector_of(policy) or {}
    root = policy.ns == mesh.config.root
    if (root and not selector) or made_elsewhere(mesh, selector):
        return
    if selector and by_labels(mesh, policy, selector) is not None:
        return  # pods of a waypoint or Gateway, of which another rule speaks
    everywhere = root and policy.kind != "Telemetry"
    pods = mesh.workloads.matching(selector, None if everywhere else policy.ns)
    captured = _captured(mesh, policy, pods, selector)
    if not captured.is_(True) or (not selector and _has_gateways(mesh, policy.ns)):
        return
    if selector or policy.kind != "Telemetry":
        yield _ignored(mesh, policy, pods, captured)
    elif not _has_waypoints(mesh, policy.ns):
        yield _unread(mesh, policy, captured)


def _captured(mesh: Mesh, policy: Resource, pods: list[Workload], selector: Mapping[str, str]) -> Fact[bool]:
    """Is ztunnel all that the pods have? Those outside of the mesh, and waypoints, do not count."""
    if selector:
        return _judged(mesh, pods) if pods else _unseen(mesh, policy.ns, selector)
    known = _namespaces(mesh)
    if policy.ns not in known:
        known[policy.ns] = _judged(mesh, pods) if pods else _unseen(mesh, policy.ns, selector)
    return known[policy.ns]


@once
def _namespaces(mesh: Mesh) -> dict[str, Fact[bool]]:
    """Answers for all pods of a namespace, which many policies may ask for."""
    return {}


def _judged(mesh: Mesh, pods: list[Workload]) -> Fact[bool]:
    planes = [mesh.data_planes.of(workload) for workload in pods]
    inside = [plane for plane in planes if not plane.is_(DataPlane.NONE, DataPlane.WAYPOINT)]
    ambient = bool(inside) and all(plane.is_(DataPlane.AMBIENT) for plane in inside)
    places = inside[0].because[:1] if inside else ()
    return Fact.of(ambient, *places, certain=all(plane.certain for plane in inside))


def _unseen(mesh: Mesh, namespace: str, selector: Mapping[str, str]) -> Fact[bool]:
    """Pods that are not in the input: labels that no pod of the input has are likelier to be wrong."""
    mode = mesh.namespaces.label(namespace, MODE)
    misses = bool(selector) and bool(mesh.workloads.within(namespace))
    ambient = not misses and mode.is_("ambient") and namespace_injects(mesh, namespace) is None
    return Fact.of(ambient, *mode.because[:1], certain=False)


def _has_gateways(mesh: Mesh, namespace: str) -> bool:
    """May there be pods of a gateway, which a policy for the namespace is for too?"""
    gateways = mesh.scope.within(GATEWAY_API, "Gateway", namespace)
    if any(not mesh.ambient.is_waypoint(gateway) for gateway in gateways):
        return True
    return mesh.existence.installed_into(namespace)


def _has_waypoints(mesh: Mesh, namespace: str) -> bool:
    """May a waypoint read the Telemetry of a namespace: one in it, or one of its Services?"""
    known = _with_waypoints(mesh)
    if namespace not in known:
        known[namespace] = _look_for_waypoints(mesh, namespace)
    return known[namespace]


@once
def _with_waypoints(mesh: Mesh) -> dict[str, bool]:
    return {}


def _look_for_waypoints(mesh: Mesh, namespace: str) -> bool:
    if not mesh.namespaces.label(namespace, USE_WAYPOINT).is_(None, "none"):
        return True
    if any(map(mesh.ambient.is_waypoint, mesh.scope.within(GATEWAY_API, "Gateway", namespace))):
        return True
    services = mesh.scope.within("", "Service", namespace)
    entries = mesh.scope.within(ISTIO_NETWORKING, "ServiceEntry", namespace)
    if not all(mesh.ambient.waypoint_of_service(one).is_(None) for one in (*services, *entries)):
        return True
    return not all(mesh.ambient.waypoint_of_workload(w).is_(None) for w in mesh.workloads.within(namespace))


def _ignored(mesh: Mesh, policy: Resource, pods: list[Workload], captured: Fact[bool]) -> Draft:
    """Waypoints do not look at it whatever their labels say, for want of targetRefs."""
    numbers = (1,) if _enrolled(mesh, policy.ns, pods) else (0, 1)
    return Draft(
        _way(policy),
        f"{policy.title} is for {_whom(policy, pods)} in ambient mode and names no target: waypoints look at "
        f"targetRefs alone and ztunnel does not read it, so {_EFFECTS[policy.kind]}",
        label="no waypoint acts on this",
        help="run a waypoint for the Service and name the Service or the waypoint in targetRefs",
        related=tuple(("in ambient mode by this", place) for place in captured.because[:1]),
        equivalents=_codes(mesh, policy, *numbers),
        confidence=None if captured.certain else "medium",
        severity="error" if policy.kind == "RequestAuthentication" else None,
    )


def _unread(mesh: Mesh, policy: Resource, captured: Fact[bool]) -> Draft:
    return Draft(
        _way(policy),
        f"{policy.title} is for pods of {policy.ns}, which are in ambient mode and have no waypoint: ztunnel "
        f"does not read it, so {_EFFECTS[policy.kind]}",
        label="no waypoint reads this",
        help=f"run a waypoint and set the label {USE_WAYPOINT} on the Namespace, or drop it",
        related=tuple(("in ambient mode by this", place) for place in captured.because[:1]),
        equivalents=_codes(mesh, policy, 0),
        confidence=None if captured.certain and mesh.settings.complete else "medium",
    )


def _enrolled(mesh: Mesh, namespace: str, pods: list[Workload]) -> bool:
    inherited = mesh.namespaces.label(namespace, USE_WAYPOINT).or_else(None)
    labels = [workload.labels.get(USE_WAYPOINT, inherited) for workload in pods[:_LOOKED_AT]] or [inherited]
    return all(label and label != "none" for label in labels)


def _way(policy: Resource) -> Place:
    return policy.place_at("spec", "selector", part="key") if selector_of(policy) else policy.place()


def _whom(policy: Resource, pods: list[Workload]) -> str:
    if len(pods) == 1:
        return f"{pods[0].title},"
    return "the pods that it selects," if selector_of(policy) else f"pods of {policy.ns},"
