"""Checks of the family mtls on what servers accept (catalogue: spec traffic 8.2, security 3.8)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

from meshlint.checks.traffic.neighbours import same_namespace, surest
from meshlint.findings import Draft
from meshlint.mesh.api_server import Call, calls
from meshlint.mesh.labels import MODE, NAMESPACE_INJECTION, REVISION
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.mtls import Level, Mode, PeerPolicy, Setting
from meshlint.mesh.readers import read_together
from meshlint.mesh.registry import Service
from meshlint.mesh.scope import ISTIO_SECURITY, Evidence
from meshlint.mesh.workloads import Workload
from meshlint.resources import Place, Resource
from meshlint.source.nodes import text_of

#: rivals of one policy among which the nearest is looked for
_ENOUGH = 50

Options = Mapping[str, Any]
Exposed = tuple[Workload, int | None]


def mesh_strict(mesh: Mesh, options: Options) -> Iterator[Draft]:
    policies = mesh.mtls.mesh_wide
    if not policies:
        yield from _no_mesh_policy(mesh)
        return
    several = len({policy.resource.key for policy in policies}) > 1
    if several and any(policy.own.mode is Mode.STRICT for policy in policies):
        return
    for policy in policies:
        if policy.own.mode is Mode.STRICT or policy.own.unknown:
            continue
        mode = policy.own.mode.value if policy.own.mode else "no mode, which is PERMISSIVE"
        rival = ", while Kyma keeps a STRICT one" if mesh.config.kyma else ""
        yield Draft(
            policy.own.place,
            f"the mesh-wide {policy.resource.title} sets {mode}{rival}; policy: the mesh starts from STRICT",
            label="not STRICT for the whole mesh",
            help="set spec.mtls.mode to STRICT here, and make exceptions where they are needed",
            confidence="medium" if mesh.config.kyma else None,
        )


def _no_mesh_policy(mesh: Mesh) -> Iterator[Draft]:
    evidence = mesh.mtls.root_evidence()
    root = mesh.config.root_namespace
    if mesh.config.kyma or evidence is Evidence.OPEN or not root.known:
        return
    place = _where_the_mesh_is_made(mesh, evidence)
    if place is None:
        return
    declared = mesh.scope.within(ISTIO_SECURITY, "PeerAuthentication", root.value)
    unsure = "medium" if declared else "low"
    yield Draft(
        place,
        f"no PeerAuthentication without a selector in the root namespace {root.value}: "
        "the mesh accepts plain text wherever no other policy forbids it",
        label="the mesh has no mTLS policy of its own",
        help=f"add a PeerAuthentication with spec.mtls.mode STRICT and no selector to {root.value}",
        confidence=None if evidence is Evidence.CLOSED else unsure,
    )


def _where_the_mesh_is_made(mesh: Mesh, evidence: Evidence) -> Place | None:
    """The installation, the root namespace, something in it, or a namespace that joins the mesh."""
    for source in mesh.config.sources:
        if source.installs and source.resource is not None:
            return source.resource.place()
    found = [
        *mesh.scope.find("", "Namespace", "", mesh.config.root),
        *mesh.scope.within(ISTIO_SECURITY, "PeerAuthentication", mesh.config.root),
    ]
    if found:
        return found[0].place()
    if evidence is Evidence.CLOSED:
        for namespace in mesh.scope.of("", "Namespace"):
            for label in (NAMESPACE_INJECTION, REVISION, MODE):
                if namespace.labels.get(label, "disabled") not in ("disabled", "none"):
                    return namespace.place_at("metadata", "labels", label)
    return None


def permissive(mesh: Mesh, options: Options) -> Iterator[Draft]:
    yield from _plain_text(mesh, Mode.PERMISSIVE, "accept plain text")


def disabled(mesh: Mesh, options: Options) -> Iterator[Draft]:
    yield from _plain_text(mesh, Mode.DISABLE, "take plain text only")


def _plain_text(mesh: Mesh, mode: Mode, what: str) -> Iterator[Draft]:
    api_server = calls(mesh.scope)
    for policy in mesh.mtls.policies:
        if policy.invalid or policy.level is Level.IGNORED:
            continue
        if policy.level is Level.MESH and mesh.config.kyma:  # the module's own policy competes with it
            continue
        if policy.level is not Level.MESH and not _in_production(mesh, policy.resource.ns):
            continue
        for setting in policy.settings:
            if setting.mode is not mode:
                continue
            written = mesh.mtls.exposed.get(setting, [])
            hits = [
                (workload, port)
                for workload, port, _ in written
                if _in_production(mesh, workload.namespace)
                and not _accepted_practice(mesh, workload, port, setting, api_server)
            ]
            if hits or (not written and _concerns_others(mesh, policy)):
                yield _plain_text_draft(mesh, policy, setting, hits, what)


def _plain_text_draft(
    mesh: Mesh, policy: PeerPolicy, setting: Setting, hits: list[Exposed], what: str
) -> Draft:
    title = policy.resource.title
    mode = setting.mode.value if setting.mode else ""
    subject = _subject(policy, setting, hits)
    workloads = list(dict.fromkeys(workload for workload, _ in hits))
    examples = ""
    if policy.level in (Level.MESH, Level.NAMESPACE) and workloads:
        examples = f": {_listed([workload.title for workload in workloads])}"
    return Draft(
        setting.place,
        f"{title} lets {subject} {what} (mode {mode}){examples}",
        label="plain text is accepted here",
        help="set the mode to STRICT once every client has a proxy",
        related=(
            *((_OVERRIDES, place) for place in _overridden(mesh, policy, setting)),
            *(("is reached in plain text", workload.resource.place()) for workload in workloads[:3]),
        ),
    )


_OVERRIDES = "the setting that it overrides"


def _subject(policy: PeerPolicy, setting: Setting, hits: list[Exposed]) -> str:
    if policy.level is Level.MESH:
        return "the whole mesh"
    if policy.level is Level.NAMESPACE:
        written = policy.resource.namespace_written
        return f"the namespace {policy.resource.ns}" if written else "its namespace"
    titles = list(dict.fromkeys(workload.title for workload, _ in hits))
    pods = _listed(titles) if titles else "the pods that it selects"
    return pods if setting.port is None else f"port {setting.port} of {pods}"


def _overridden(mesh: Mesh, policy: PeerPolicy, setting: Setting) -> list[Place]:
    """Modes written further out, which this setting replaces."""
    outer = [policy.own] if setting.port is not None else []
    if policy.level is Level.WORKLOAD:
        outer += [other.own for other in mesh.mtls.by_namespace.get(policy.resource.ns, ())]
    if policy.level is not Level.MESH:
        outer += [other.own for other in mesh.mtls.mesh_wide]
    return [other.place for other in outer if other.mode is not None][:3]


def _concerns_others(mesh: Mesh, policy: PeerPolicy) -> bool:
    """Does the policy speak about pods that are not in the input?"""
    settings = mesh.settings
    if policy.level is Level.MESH:
        return not settings.complete or not mesh.workloads.all
    if mesh.mtls.selected(policy):
        return False
    closed = settings.complete or policy.resource.ns in settings.complete_namespaces
    return policy.level is Level.NAMESPACE or not closed


def _accepted_practice(
    mesh: Mesh,
    workload: Workload,
    port: int | None,
    setting: Setting,
    api_server: Mapping[tuple[str, str], list[Call]],
) -> bool:
    """Ports for probes, metrics and the API server, which cannot use mutual TLS (spec security 3.8)."""
    if port is None:
        return False
    services = [s for s in mesh.registry.services_of(workload) if _serves(mesh, s, port, workload)]
    if not services:
        return setting.port is not None and port in _operational_ports(workload)
    return all(
        (service.namespace, service.name) in api_server and not mesh.routes.to_service(service)
        for service in services
    )


def _serves(mesh: Mesh, service: Service, port: int, workload: Workload) -> bool:
    return any(mesh.registry.target_port(service, entry, workload).is_(port) for entry in service.ports)


def _operational_ports(workload: Workload) -> set[int]:
    """Ports that a probe or the annotation for Prometheus names."""
    ports = {workload.annotations.get("prometheus.io/port", "")}
    for container in workload.containers:
        for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
            for handler in ("httpGet", "tcpSocket", "grpc"):
                named = text_of(container.dig(probe, handler, "port"))
                if named:
                    entry = workload.port_named(named)
                    ports.add(str(entry.number) if entry else named)
    return {int(port) for port in ports if port.isdecimal()}


def port_level_needs_selector(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for policy in mesh.mtls.policies:
        written = policy.resource.mapping("spec", "portLevelMtls")
        if written is not None and not policy.selector:
            yield Draft(
                policy.resource.place_at("spec", "portLevelMtls", part="key"),
                f"{policy.resource.title} sets portLevelMtls without a selector, which Istio refuses",
                label="needs a selector with labels",
                help="select the workload with spec.selector.matchLabels, or drop portLevelMtls",
            )


def root_selector_ignored(mesh: Mesh, options: Options) -> Iterator[Draft]:
    root = mesh.config.root_namespace
    for policy in mesh.mtls.policies:
        if policy.level is Level.IGNORED:
            yield Draft(
                policy.resource.place_at("spec", "selector", part="key"),
                f"{policy.resource.title} has a selector in the root namespace {mesh.config.root}, "
                "where Istio ignores it",
                label="a selector in the root namespace applies to no pod",
                help="move the policy to the namespace of the pods, or drop the selector",
                related=tuple(("makes this the root namespace", place) for place in root.because[:1]),
                confidence=None if root.known else "low",
            )


def duplicate_scope(mesh: Mesh, options: Options) -> Iterator[Draft]:
    mtls = mesh.mtls
    said: set[PeerPolicy] = set()
    yield from _competing(mesh, mtls.mesh_wide, "for the whole mesh", said)
    for namespace, policies in mtls.by_namespace.items():
        yield from _competing(mesh, policies, f"for the namespace {namespace}", said)
    same: dict[tuple[str, frozenset[tuple[str, str]]], list[PeerPolicy]] = {}
    for policy in mtls.policies:
        if policy.level is Level.WORKLOAD and not policy.invalid:
            same.setdefault((policy.resource.ns, frozenset(policy.selector.items())), []).append(policy)
    for policies in same.values():
        yield from _competing(mesh, policies, "for the same pods", said)
    for workload, policies in mtls.by_workload.items():
        yield from _competing(mesh, policies, f"for {workload.title}", said, workload)


def _competing(
    mesh: Mesh,
    policies: list[PeerPolicy],
    scope: str,
    said: set[PeerPolicy],
    workload: Workload | None = None,
) -> Iterator[Draft]:
    if len(policies) > 1:
        for group in read_together(policies, lambda policy: policy.resource):
            yield from _competing_for(mesh, group, scope, said, workload)


def _competing_for(
    mesh: Mesh, policies: list[PeerPolicy], scope: str, said: set[PeerPolicy], workload: Workload | None
) -> Iterator[Draft]:
    if len({policy.resource.key for policy in policies}) < 2:
        return
    winner = policies[0]
    dated = all(policy.created for policy in policies)
    if dated:
        winner = min(policies, key=lambda policy: (policy.created, policy.resource.name))
    rivals = [winner]
    for policy in policies:
        if policy.resource.key == winner.resource.key or policy in said:
            continue
        said.add(policy)
        others = (rival for rival in rivals[:_ENOUGH] if rival.resource.key != policy.resource.key)
        rival, *_ = surest(mesh, policy.resource, others, lambda other: other.resource)
        yield replace(
            _duplicate(policy, rival, scope, dated, workload),
            confidence=same_namespace(mesh, policy.resource, rival.resource),
        )
        if not dated:
            rivals.append(policy)


def _duplicate(
    policy: PeerPolicy, winner: PeerPolicy, scope: str, dated: bool, workload: Workload | None
) -> Draft:
    resource, other = policy.resource, winner.resource
    agree = _says(policy) == _says(winner)
    result = "both say the same" if agree else f"they differ ({_modes(winner)} and {_modes(policy)})"
    counts = f"{other.title} is older and counts" if dated else "only the oldest counts"
    selective = policy.level is Level.WORKLOAD
    place = resource.place_at("spec", "selector", part="key") if selective else resource.place()
    related = [("competes with this policy", other.place())]
    if workload is not None:
        related.append(("selected by both", workload.resource.place()))
    return Draft(
        place,
        f"{resource.title} and {other.title} are both policies {scope}: {counts}; {result}",
        label="second policy of this scope",
        help="keep one policy for each scope",
        related=tuple(related),
        severity="warning" if agree else None,
        equivalents=("KIA0003",) if selective else ("KIA0002",),
    )


def _says(policy: PeerPolicy) -> object:
    return policy.own.mode, {port: setting.mode for port, setting in policy.ports.items()}


def _modes(policy: PeerPolicy) -> str:
    own = policy.own.mode.value if policy.own.mode else "UNSET"
    ports = [f"{port} {s.mode.value if s.mode else 'UNSET'}" for port, s in policy.ports.items()]
    return ", ".join([own, *ports])


def port_not_workload_port(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for policy in mesh.mtls.policies:
        if policy.level is not Level.WORKLOAD or policy.invalid or not policy.ports:
            continue
        workloads = mesh.mtls.selected(policy)
        for number in policy.ports:
            mistaken = [_mistaken(mesh, workload, number) for workload in workloads]
            if mistaken and all(mistaken):
                service, target = mistaken[0] or (None, 0)
                if service is not None:
                    yield _wrong_port(policy, number, service, target, workloads[0])


def _mistaken(mesh: Mesh, workload: Workload, number: int) -> tuple[Service, int] | None:
    """The Service with that port and the container port behind it, if the number is no container port."""
    if any(port.number == number for port in workload.ports):
        return None
    found: tuple[Service, int] | None = None
    for service in mesh.registry.services_of(workload):
        for port in service.ports:
            target = mesh.registry.target_port(service, port, workload)
            if not target.known or target.value == number:
                return None
            if port.number == number:
                found = service, target.value
    return found


def _wrong_port(policy: PeerPolicy, number: int, service: Service, target: int, workload: Workload) -> Draft:
    entry = service.port(number)
    title = service.resource.title
    return Draft(
        policy.resource.place_at("spec", "portLevelMtls", str(number), part="key"),
        f"{policy.resource.title} sets a mode for port {number}, which is a port of {title}; "
        f"{workload.title} listens on {target}, so the entry has no effect",
        label=f"the container port is {target}",
        help=f"write {target}: portLevelMtls counts ports of the container",
        related=(
            ("the port of the Service", service.resource.place(entry.node.get("port") if entry else None)),
            ("the workload", workload.resource.place()),
        ),
    )


def strict_nonmesh_client(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for workload in mesh.workloads.all:
        if mesh.data_planes.in_mesh(workload) is False:
            yield from _outside_calls(mesh, workload)
    for (namespace, name), callers in calls(mesh.scope).items():
        for service in mesh.registry.lookup(name, namespace):
            for call in callers:
                yield from _blocked(mesh, service, call.port, call.place, "the API server", call.resource)


def _outside_calls(mesh: Mesh, client: Workload) -> Iterator[Draft]:
    sure = mesh.data_planes.of(client).certain or mesh.injection.of(client).certain
    for call in mesh.clients.of(client):
        yield from _blocked(
            mesh, call.service, call.port.number, call.place, client.title, client.resource, sure
        )


def _blocked(
    mesh: Mesh,
    service: Service,
    port: int,
    place: Place,
    client: str,
    resource: Resource,
    sure: bool = True,
) -> Iterator[Draft]:
    for workload in mesh.registry.workloads_of(service):
        target = mesh.registry.target_port(service, port, workload)
        mode = mesh.mtls.mode(workload, target.value) if target.known else None
        if mode is None or not mode.is_(Mode.STRICT):
            continue
        yield Draft(
            place,
            f"{client} has no proxy and calls port {port} of {service.resource.title}, "
            f"but {workload.title} takes mutual TLS only there: the calls fail",
            label="called from outside of the mesh",
            help="put the client into the mesh, or allow PERMISSIVE for that port of the server",
            related=(
                *(("requires mutual TLS", where) for where in mode.because[:1]),
                ("the server", workload.resource.place()),
            ),
            resource=resource,
            confidence=None if sure else "low",
        )
        return


def _in_production(mesh: Mesh, namespace: str) -> bool:
    patterns = mesh.settings.production_namespaces
    return not patterns or any(fnmatchcase(namespace, pattern) for pattern in patterns)


def _listed(names: Iterable[str], limit: int = 3) -> str:
    every = list(names)
    shown = ", ".join(every[:limit])
    return shown if len(every) <= limit else f"{shown} and {len(every) - limit} more"
