"""Who reads routes and DestinationRules for callers in the ambient mesh? (spec traffic 1.12, 1.16)

ztunnel carries connections and reads none of them. A waypoint does, and looks for them as a client of its own
namespace would. Callers with sidecars read them too: where there are any, all this is a suspicion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Final

from meshlint.checks.admission.blocks import once
from meshlint.checks.injection import namespace_injects
from meshlint.checks.traffic.route_refs import Ref, parents
from meshlint.findings import Draft
from meshlint.mesh.ambient import Waypoint
from meshlint.mesh.dataplane import DataPlane
from meshlint.mesh.delegates import exported_to
from meshlint.mesh.destination_rules import DestinationRule, policies
from meshlint.mesh.existence import Presence
from meshlint.mesh.facts import Fact
from meshlint.mesh.hosts import is_wild
from meshlint.mesh.labels import MANAGED, MODE, USE_WAYPOINT
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.registry import Service
from meshlint.mesh.scope import GATEWAY_API, ISTIO_NETWORKING
from meshlint.records import dataclass
from meshlint.resources import Place, Resource
from meshlint.source.nodes import Scalar, mappings, texts
from meshlint.source.templates import is_placeholder

Options = Mapping[str, Any]

_NO_SIDECAR: Final = (DataPlane.AMBIENT, DataPlane.NONE, DataPlane.WAYPOINT, DataPlane.GATEWAY)
#: parts of a policy that only a proxy for HTTP can act on, and whether Kiali knows of them
_PARTS: Final = (
    (("connectionPool", "http"), True),
    (("outlierDetection",), True),
    (("loadBalancer", "consistentHash", "httpHeaderName"), True),
    (("loadBalancer", "consistentHash", "httpCookie"), True),
    (("loadBalancer", "consistentHash", "httpQueryParameterName"), False),
)


@dataclass(frozen=True, slots=True, eq=False)
class _Config:
    """An object about calls inside of the mesh; `hosts` are those that it is for, with their full names.

    `says` is what it does for a host, '' where nothing is lost without a waypoint. `sees` tells whether
    proxies of a namespace look at it for a service of another one. `codes` are Kiali's for a namespace
    without a waypoint, for a service without one, and for a service elsewhere.
    """

    resource: Resource
    hosts: tuple[tuple[Place, str], ...]
    says: str
    sees: Callable[[str, str], bool]
    codes: tuple[str, ...] = ()
    related: tuple[tuple[str, Place], ...] = ()


def virtual_service(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """VirtualServices for hosts of the ambient mesh that no waypoint reads."""
    known: _Known = {}
    for resource in mesh.scope.of(ISTIO_NETWORKING, "VirtualService"):
        routes = [route for route in mesh.routes.of(resource) if route.mesh]
        if not routes:
            continue
        hosts = _hosts(mesh, resource, texts(resource.get("spec", "hosts")))
        codes = ("KIA1109", "KIA1113", "KIA1114") if any(r.protocol != "tcp" for r in routes) else ()
        sees = partial(_exported, mesh, resource)
        yield from _unread(mesh, _Config(resource, hosts, "routes what is sent to", sees, codes), known)


def destination_rule(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """DestinationRules for hosts of the ambient mesh that no waypoint reads."""
    known: _Known = {}
    for rule in mesh.destination_rules.all:
        if _for_gateways(mesh, rule):
            continue
        host = rule.resource.get("spec", "host")
        parts = list(_about_requests(rule))
        says = f"sets {parts[0][0]} for" if parts else ""
        codes = ("KIA0210", "KIA0211", "KIA0212") if any(known for *_, known in parts) else ()
        config = _Config(
            rule.resource,
            _hosts(mesh, rule.resource, [host] if isinstance(host, Scalar) else []),
            says,
            partial(_looked_up, mesh, rule),
            codes,
            tuple(("only a proxy for HTTP does this", place) for _, place, _ in parts[:1]),
        )
        yield from _unread(mesh, config, known)


def mesh_route(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """Routes of the Gateway API for hosts of the ambient mesh that no waypoint reads."""
    known: _Known = {}
    for resource, refs in parents(mesh).items():
        hosts = tuple((ref.place(), host) for ref in refs for host in _parent_hosts(mesh, ref))
        if hosts:
            sees = partial(_route_seen, resource.ns)
            yield from _unread(mesh, _Config(resource, hosts, "routes what is sent to", sees), known)


def _parent_hosts(mesh: Mesh, ref: Ref) -> Iterator[str]:
    if (ref.group, ref.kind) in (("", "Service"), ("core", "Service")) and "." not in ref.name:
        yield f"{ref.name}.{ref.namespace}.svc.{mesh.registry.domain}"
    elif (ref.group, ref.kind) == (ISTIO_NETWORKING, "ServiceEntry"):
        for entry in mesh.scope.find(ISTIO_NETWORKING, "ServiceEntry", ref.namespace, ref.name):
            yield from (node.text for node in texts(entry.get("spec", "hosts")) if node.text)


def _route_seen(home: str, client: str, owner: str) -> bool:
    """One beside its Service is for all clients, another only for those of its own namespace."""
    return home in (client, owner)


def _hosts(mesh: Mesh, resource: Resource, nodes: Iterable[Scalar]) -> tuple[tuple[Place, str], ...]:
    return tuple(
        (resource.place(node), mesh.registry.resolve(node.text, resource.ns))
        for node in nodes
        if node.text and not is_placeholder(node.text)
    )


def _about_requests(rule: DestinationRule) -> Iterator[tuple[str, Place, bool]]:
    """Parts of a rule that need a proxy for HTTP; Kiali does not look at the settings of single ports."""
    for _, policy in policies(rule):
        for at, block in enumerate((policy, *mappings(policy.get("portLevelSettings")))):
            for path, known in _PARTS:
                if block.dig(*path) is not None:
                    place = rule.resource.place_at(*path, part="key", inside=block)
                    yield ".".join(path), place, known and at == 0


def _for_gateways(mesh: Mesh, rule: DestinationRule) -> bool:
    """Does a rule for a service elsewhere stand beside a gateway, which is the client that it is for?"""
    if any(service.namespace == rule.namespace for service in mesh.registry.by_host(rule.host)):
        return False
    gateways = mesh.scope.within(GATEWAY_API, "Gateway", rule.namespace)
    if any(not mesh.ambient.is_waypoint(gateway) for gateway in gateways):
        return True
    if mesh.scope.within(ISTIO_NETWORKING, "Gateway", rule.namespace):
        return True  # the pods are seldom in a repository
    pods = mesh.workloads.within(rule.namespace)
    return any(mesh.data_planes.of(workload).is_(DataPlane.GATEWAY) for workload in pods)


def _exported(mesh: Mesh, resource: Resource, client: str, owner: str) -> bool:
    return exported_to(resource, client, mesh.routes.default_exports)


def _looked_up(mesh: Mesh, rule: DestinationRule, client: str, owner: str) -> bool:
    """Does a client look at the namespace of a rule, and may it see the rule? (spec traffic 1.12)"""
    near = rule.namespace in (client, owner, mesh.config.root)
    return near and mesh.destination_rules.exported_to(rule, client)


# -- what no waypoint reads -----------------------------------------------------------------------


#: the services of a host, and whether the pods of each are in ambient mode
_Known = dict[str, tuple[list[Service], list[Fact[bool]]]]


def _unread(mesh: Mesh, config: _Config, known: _Known) -> Iterator[Draft]:
    judged: set[str] = set()
    for place, full in config.hosts:
        if full not in known:
            services = [service for service in mesh.registry.by_host(full) if _may_be_ambient(service)]
            known[full] = services, [_captured(mesh, service) for service in services]
        services, captured = known[full]
        if not services or not all(fact.is_(True) for fact in captured):
            continue
        if full not in judged:
            judged.add(full)
            sure = all(fact.certain for fact in captured)
            yield from _for_service(mesh, config, place, services, sure=sure)
    if config.hosts and config.says and not judged:
        yield from _in_namespace(mesh, config)


def _may_be_ambient(service: Service) -> bool:
    return service.kind in ("service", "headless") and MANAGED not in service.resource.labels


def _captured(mesh: Mesh, service: Service) -> Fact[bool]:
    """Are the pods of a service in ambient mode?"""
    planes = mesh.data_planes.among(mesh.registry.workloads_of(service))
    if planes:
        ambient = all(plane.is_(DataPlane.AMBIENT) for plane in planes)
        return Fact.of(ambient, *planes[0].because[:1], certain=all(plane.certain for plane in planes))
    mode = mesh.namespaces.label(service.namespace, MODE)
    ambient = mode.is_("ambient") and namespace_injects(mesh, service.namespace) is None
    return Fact.of(ambient, *mode.because[:1], certain=False)


def _for_service(
    mesh: Mesh, config: _Config, place: Place, services: list[Service], *, sure: bool
) -> Iterator[Draft]:
    facts = [mesh.ambient.waypoint_of_service(service.resource) for service in services]
    if not all(fact.known for fact in facts):
        return
    sure = sure and all(fact.certain for fact in facts)
    waypoints = [fact.value for fact in facts if fact.value is not None]
    if not waypoints and config.says:
        yield _without_waypoint(mesh, config, place, services, sure=sure)
    elif len(waypoints) == len(facts) and not any(waypoint.broken for waypoint in waypoints):
        owner = services[0].namespace
        if not any(_finds(config, waypoint, owner) for waypoint in waypoints):
            yield _out_of_sight(mesh, config, place, services, waypoints[0], sure=sure)


def _without_waypoint(
    mesh: Mesh, config: _Config, place: Place, services: list[Service], *, sure: bool
) -> Draft:
    service = services[0].resource
    ambient = mesh.namespaces.label(service.ns, MODE).is_("ambient")
    return Draft(
        place,
        f"{config.resource.title} {config.says} {service.title}, which is in ambient mode and has no "
        "waypoint: for callers in ambient mode nothing reads it",
        label="no waypoint for this host",
        help=f"set the label {USE_WAYPOINT} on the Service or its namespace, and run that waypoint",
        related=(("the Service", service.place()), *config.related),
        equivalents=config.codes[1:2] if ambient else (),
        confidence=_confidence(mesh, config, services, sure=sure),
    )


def _finds(config: _Config, waypoint: Waypoint, owner: str) -> bool:
    """What the namespace of the service sees counts for its waypoint too."""
    return config.sees(waypoint.namespace, owner) or config.sees(owner, owner)


def _out_of_sight(
    mesh: Mesh, config: _Config, place: Place, services: list[Service], waypoint: Waypoint, *, sure: bool
) -> Draft:
    service, home = services[0].resource, config.resource.ns
    other = mesh.namespaces.label(service.ns, MODE).is_("ambient") and home != service.ns
    return Draft(
        place,
        f"{config.resource.title} is about {service.title}, whose requests the waypoint {waypoint.namespace}/"
        f"{waypoint.name} handles; that does not look at it in {home}: for callers in ambient mode nothing "
        "reads it",
        label="not seen by the waypoint",
        help=f"move it to {service.ns}, the namespace of the Service",
        related=tuple(("the waypoint", w.place()) for w in [waypoint.gateway] if w is not None),
        equivalents=config.codes[2:] if other else (),
        confidence=_confidence(mesh, config, services, sure=sure),
    )


# -- hosts of which nobody knows that they are in ambient mode ------------------------------------


def _in_namespace(mesh: Mesh, config: _Config) -> Iterator[Draft]:
    """Hosts without a waypoint of their own, for callers of an ambient namespace that has none."""
    namespace = config.resource.ns
    mode, label = (mesh.namespaces.label(namespace, key) for key in (MODE, USE_WAYPOINT))
    if not mode.is_("ambient") or not label.is_(None, "none"):
        return
    if namespace_injects(mesh, namespace) is not None:
        return
    answers = [_served_by_none(mesh, full, namespace) for _, full in config.hosts]
    if not all(answer.is_(True) for answer in answers):
        return
    place, full = config.hosts[0]
    sure = all(answer.certain for answer in answers)
    services = mesh.registry.by_host(full)
    yield Draft(
        place,
        f"{config.resource.title} {config.says} {full} and stands in {namespace}, which is in ambient mode; "
        "that host has no waypoint: for callers in ambient mode nothing reads it",
        label="no waypoint for this host",
        help=f"set the label {USE_WAYPOINT} on the Service or ServiceEntry of the host, or on its namespace",
        related=(*(("ambient mode", at) for at in mode.because[:1]), *config.related),
        equivalents=config.codes[:1],
        confidence=_confidence(mesh, config, services, sure=sure) if services else "low",
    )


def _served_by_none(mesh: Mesh, full: str, namespace: str) -> Fact[bool]:
    """Has a host no waypoint? A host that is not in the input may have one."""
    registry = mesh.registry
    services = registry.within(full) if is_wild(full) else registry.by_host(full) or registry.covering(full)
    if not services:
        state = mesh.existence.of(full, namespace)
        unseen = state.presence in (Presence.UNKNOWN, Presence.FOUND)
        return Fact.of(unseen, certain=False)
    facts = [mesh.ambient.waypoint_of_service(service.resource) for service in services]
    none = all(
        fact.is_(None) and MANAGED not in s.resource.labels for fact, s in zip(facts, services, strict=True)
    )
    return Fact.of(none, certain=all(fact.certain for fact in facts) and not is_wild(full))


# -- how sure it is -------------------------------------------------------------------------------


def _confidence(mesh: Mesh, config: _Config, services: list[Service], *, sure: bool) -> str | None:
    """Low where sidecars or gateways, which may call the host, read the object."""
    owner, home = services[0].namespace, config.resource.ns
    if home != owner and not mesh.settings.complete and not mesh.namespaces.label(home, MODE).is_("ambient"):
        return "low"
    if any(config.sees(namespace, owner) for namespace in _with_sidecars(mesh)):
        return "low"
    if config.resource.kind == "DestinationRule" and _from_outside(mesh, services):
        return "low"
    return None if sure else "medium"


@once
def _with_sidecars(mesh: Mesh) -> frozenset[str]:
    """Namespaces of workloads that have a sidecar or may have one."""
    return frozenset(
        workload.namespace
        for workload in mesh.workloads.all
        if not workload.control_plane and not mesh.data_planes.of(workload).is_(*_NO_SIDECAR)
    )


def _from_outside(mesh: Mesh, services: list[Service]) -> bool:
    """Does a gateway, which is a client like others, send requests to a service?"""
    bindings = (route.binding for service in services for route in mesh.routes.to_service(service))
    return any(b.gateways or b.unsure_gateways or b.missing for b in bindings)
