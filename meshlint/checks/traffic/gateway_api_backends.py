"""Do the backends of routes of the Gateway API answer? (spec traffic 1.14, security 6.2)

A reference is satisfied by any version of what it names. Routes of other implementations are left alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from meshlint.checks.admission.blocks import once
from meshlint.checks.traffic.route_refs import SERVICE_CODES, Ref, parents, reference, routes
from meshlint.findings import Draft
from meshlint.mesh.existence import Presence
from meshlint.mesh.grants import Target, grant_missing, misplaced
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.registry import Service
from meshlint.mesh.scope import ISTIO_NETWORKING
from meshlint.resources import Resource
from meshlint.source.nodes import Mapping as YamlMapping
from meshlint.source.nodes import int_of, mappings

Options = Mapping[str, Any]

# -- httproute-backend ----------------------------------------------------------------------------


@once
def _backends(mesh: Mesh) -> list[Ref]:
    """Backends of rules and of filters that copy requests, of routes that Istio may serve."""
    found: list[Ref | None] = []
    for resource in routes(mesh):
        if _foreign(mesh, resource):
            continue
        for rule in resource.mappings("spec", "rules"):
            nodes = [*mappings(rule.get("backendRefs"))]
            for filter_ in mappings(rule.get("filters")):
                copy = filter_.dig("requestMirror", "backendRef")
                nodes += [copy] if isinstance(copy, YamlMapping) else []
            found += (reference(resource, node, "Service", "") for node in nodes)
    return [ref for ref in found if ref is not None]


def _foreign(mesh: Mesh, resource: Resource) -> bool:
    """Are all of its parents Gateways of another implementation?"""
    refs = parents(mesh)[resource]
    if not refs:
        return False
    answers = [
        any(g.istio is False for g in mesh.gateways.find(ref.namespace, ref.name, "gateway-api"))
        for ref in refs
        if ref.kind == "Gateway"
    ]
    return len(answers) == len(refs) and all(answers)


def backend(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for ref in _backends(mesh):
        if (ref.group, ref.kind) == ("", "Service"):
            yield from _service(mesh, ref)
        elif (ref.group, ref.kind) == (ISTIO_NETWORKING, "Hostname"):
            yield from _hostname(mesh, ref)


def _service(mesh: Mesh, ref: Ref) -> Iterator[Draft]:
    if "." in ref.name:
        return  # no name of a Service: the rule on kinds of backends speaks
    resources = mesh.scope.find("", "Service", ref.namespace, ref.name)
    if not resources:
        sure = mesh.existence.service_missing(ref.namespace, ref.name)
        if sure is not None:
            what = "does not exist" if sure == "high" else "is not in the given files"
            yield Draft(
                ref.place(),
                f"{ref.resource.title} sends requests to {ref.title}, which {what}: they get the status 500",
                label="no such Service",
                help="name a Service that exists, with its namespace if that is another one",
                confidence=None if sure == "high" else sure,
                equivalents=SERVICE_CODES,
            )
        return
    number = int_of(ref.node.get("port"))
    host = f"{ref.name}.{ref.namespace}.svc.{mesh.registry.domain}"
    services = [s for s in mesh.registry.by_host(host) if s.kind != "service-entry"]
    if number is None or not services or any(_may_have(service, number) for service in services):
        return
    ports = ", ".join(str(port.number) for port in services[0].ports)
    yield Draft(
        ref.place("port"),
        f"{ref.resource.title} sends requests to port {number} of {ref.title}, which has no such port: "
        "they get the status 500",
        label="no port of the Service",
        help=f"use a port of the Service, not of its pods: {ports}",
        related=(("its ports", services[0].resource.place_at("spec", "ports", part="key")),),
        equivalents=(),
    )


def _may_have(service: Service, number: int) -> bool:
    if service.kind == "external-name" or service.port(number) is not None:
        return True
    written = service.resource.mappings("spec", "ports")
    return not written or len(written) != len(service.ports)


def _hostname(mesh: Mesh, ref: Ref) -> Iterator[Draft]:
    state = mesh.existence.of(ref.name, ref.resource.ns) if "." in ref.name else None
    if state is not None and state.presence not in (Presence.MISSING, Presence.UNQUALIFIED):
        return
    if state is not None and state.presence is Presence.MISSING:
        what, advice = "is not among the hosts of the mesh", "declare it in a ServiceEntry"
    else:
        full = state.meant if state is not None else mesh.registry.resolve(ref.name, ref.resource.ns)
        what, advice = "is no full name", f"write {full}"
    yield Draft(
        ref.place(),
        f"{ref.resource.title} sends requests to the Hostname {ref.name}, which {what}: they get the "
        "status 500",
        label="no such host",
        help=advice,
        confidence=state.confidence if state is not None else None,
        equivalents=(),
    )


# -- httproute-grant ------------------------------------------------------------------------------


def grant(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for ref in _backends(mesh):
        if not ref.crosses or (ref.group, ref.kind) != ("", "Service") or not _at_a_gateway(mesh, ref):
            continue
        if _is_reported(mesh, ref):
            continue
        target = Target("", "Service", ref.namespace, ref.name)
        sure = grant_missing(mesh, ref.resource, target)
        if sure is None:
            continue
        stray = misplaced(mesh, ref.resource, target)
        yield Draft(
            ref.place("namespace"),
            f"{ref.resource.title} sends requests to {ref.title}, and no ReferenceGrant in {ref.namespace} "
            f"lets a {ref.resource.kind} of {ref.resource.ns} do so: they get the status 500",
            label="not granted",
            help=f"create a ReferenceGrant in {ref.namespace} from {ref.resource.kind} of {ref.resource.ns} "
            "to Service",
            related=(("in the wrong namespace", stray.place()),) if stray is not None else (),
            confidence=None if sure == "high" else sure,
        )


def _is_reported(mesh: Mesh, ref: Ref) -> bool:
    """Does httproute-backend say already that there is no such Service?"""
    if mesh.scope.find("", "Service", ref.namespace, ref.name):
        return False
    return mesh.existence.service_missing(ref.namespace, ref.name) is not None


def _at_a_gateway(mesh: Mesh, ref: Ref) -> bool:
    """Grants are asked for where a gateway reads the route; parents in the mesh need none."""
    return any(p.kind in ("Gateway", "ListenerSet", "XListenerSet") for p in parents(mesh)[ref.resource])
