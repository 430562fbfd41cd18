"""Do routes of the Gateway API attach to their parents? (spec traffic 1.14, security 6.1)

A reference is satisfied by any version of what it names. Gateways of other implementations are left alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshlint.checks.traffic.neighbours import together
from meshlint.checks.traffic.route_refs import ROUTES, SERVICE_CODES, Ref, dotted, parents
from meshlint.findings import Draft
from meshlint.mesh.gateways import Gateway, Server
from meshlint.mesh.hosts import intersect
from meshlint.mesh.labels import GATEWAY_NAME
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.routes import LISTENER_KINDS, Route
from meshlint.mesh.scope import GATEWAY_API, ISTIO_NETWORKING
from meshlint.resources import Resource
from meshlint.source.nodes import Mapping as YamlMapping
from meshlint.source.nodes import Node, int_of, mappings, text_of, texts
from meshlint.source.templates import is_placeholder

Options = Mapping[str, Any]

_PARENT: Final = ("KIA1401",)


# -- httproute-parent -----------------------------------------------------------------------------


def parent(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for refs in parents(mesh).values():
        for ref in refs:
            if (ref.group, ref.kind) == (GATEWAY_API, "Gateway"):
                yield from _gateway(mesh, ref)
            elif (ref.group, ref.kind) == ("", "Service"):
                yield from _mesh_parent(mesh, ref)
            elif (ref.group, ref.kind) == (ISTIO_NETWORKING, "ServiceEntry"):
                if not mesh.scope.find(ISTIO_NETWORKING, "ServiceEntry", ref.namespace, ref.name):
                    sure = mesh.absence.of(ISTIO_NETWORKING, "ServiceEntry", ref.namespace, ref.name)
                    yield from _absent(ref, sure, ())
            elif (ref.group, ref.kind) == (ISTIO_NETWORKING, "Gateway"):
                yield Draft(
                    ref.place("group"),
                    f"{ref.resource.title} names a Gateway of {ISTIO_NETWORKING} as its parent; routes of "
                    "the Gateway API attach to Gateways of their own API only",
                    label="not this kind of Gateway",
                    help=f"name a Gateway of {GATEWAY_API}, or use a VirtualService",
                )


def _absent(ref: Ref, sure: str | None, codes: tuple[str, ...]) -> Iterator[Draft]:
    if sure is None:
        return
    what = "does not exist" if sure == "high" else "is not in the given files"
    yield Draft(
        ref.place(),
        f"{ref.resource.title} is for {ref.title}, which {what}: the route is not used there",
        label=f"no such {ref.kind}",
        help=f"name a {ref.kind} that exists" + ("" if ref.crosses else ", with its namespace"),
        confidence=None if sure == "high" else sure,
        equivalents=codes,
    )


def _mesh_parent(mesh: Mesh, ref: Ref) -> Iterator[Draft]:
    if "." in ref.name:
        yield dotted(ref)
    elif not mesh.scope.find("", "Service", ref.namespace, ref.name):
        yield from _absent(ref, mesh.existence.service_missing(ref.namespace, ref.name), SERVICE_CODES)


def _gateway(mesh: Mesh, ref: Ref) -> Iterator[Draft]:
    gateways = mesh.gateways.find(ref.namespace, ref.name, "gateway-api")
    if not gateways:
        yield from _absent(ref, mesh.absence.of(GATEWAY_API, "Gateway", ref.namespace, ref.name), _PARENT)
        return
    if any(gateway.istio is False for gateway in gateways):
        return
    refusals = [_refusal(mesh, ref, gateway) for gateway in gateways]
    if None not in refusals:
        yield from (refusal for refusal in refusals[:1] if refusal is not None)


def _refusal(mesh: Mesh, ref: Ref, gateway: Gateway) -> Draft | None:
    """Why no listener takes the route; None where one does, or might."""
    listeners = [listener for listener in gateway.servers if _is_meant(ref, listener)]
    if not gateway.servers or any(_templated(listener) for listener in gateway.servers):
        return None
    if not listeners:
        return _no_listener(ref, gateway)
    fitting = [listener for listener in listeners if _kind_allowed(ref.resource.kind, listener)]
    if not fitting:
        return _wrong_kind(ref, gateway, listeners[0])
    allowed = [
        listener for listener in fitting if _namespace_allowed(mesh, gateway, listener, ref) is not False
    ]
    if not allowed:
        return _not_admitted(ref, gateway, fitting[0])
    hosts = [item.text for item in texts(ref.resource.get("spec", "hostnames"))]
    if not hosts or ref.resource.kind == "TCPRoute" or any(is_placeholder(host) for host in hosts):
        return None
    if any(intersect([listener.hosts[0][1]], hosts) for listener in allowed):
        return None
    return _no_hostname(ref, gateway, allowed, hosts)


def _is_meant(ref: Ref, listener: Server) -> bool:
    section, port = text_of(ref.node.get("sectionName")), int_of(ref.node.get("port"))
    return section in (None, listener.name) and port in (None, listener.port)


def _templated(listener: Server) -> bool:
    return any(is_placeholder(text) for text in (listener.name, listener.hosts[0][1], listener.protocol))


def _no_listener(ref: Ref, gateway: Gateway) -> Draft:
    section, port = text_of(ref.node.get("sectionName")), text_of(ref.node.get("port"))
    wanted = " and ".join(w for w in (section and f"the name {section}", port and f"port {port}") if w)
    names = ", ".join(f"{listener.name} ({listener.port})" for listener in gateway.servers[:6])
    return Draft(
        ref.place("sectionName" if section else "port"),
        f"{ref.resource.title} wants a listener with {wanted} of {gateway.resource.title}, which has none: "
        "the route does not attach",
        label="no such listener",
        help=f"its listeners are {names}",
        related=(("its listeners", gateway.resource.place_at("spec", "listeners", part="key")),),
        equivalents=(),
    )


def _kind_allowed(kind: str, listener: Server) -> bool:
    listed = mappings(listener.node.dig("allowedRoutes", "kinds"))
    if listed:
        return any(text_of(entry.get("kind")) == kind for entry in listed)
    return kind in LISTENER_KINDS.get(listener.protocol, frozenset(ROUTES))


def _wrong_kind(ref: Ref, gateway: Gateway, listener: Server) -> Draft:
    return Draft(
        ref.place(),
        f"{ref.resource.title} does not attach to {gateway.resource.title}: no listener that it means takes "
        f"a {ref.resource.kind}",
        label=f"takes no {ref.resource.kind}",
        help="name a listener of a fitting protocol, or list the kind in its allowedRoutes",
        related=(
            (f"speaks {listener.protocol}", gateway.resource.place_at("protocol", inside=listener.node)),
        ),
        equivalents=(),
    )


def _namespace_allowed(mesh: Mesh, gateway: Gateway, listener: Server, ref: Ref) -> bool | None:
    namespaces = listener.node.dig("allowedRoutes", "namespaces")
    source = (text_of(namespaces.dig("from")) if namespaces is not None else None) or "Same"
    if source == "Same":
        return gateway.namespace == ref.resource.ns
    if source != "Selector" or namespaces is None:
        return source != "None" if source in ("All", "None") else None
    labels = mesh.namespaces.labels(ref.resource.ns)
    if labels is None:
        return None
    return selected(namespaces.dig("selector"), labels)


def selected(selector: Node | None, labels: Mapping[str, str]) -> bool | None:
    """Does a label selector of Kubernetes, with expressions, select the labels? None: it cannot be read."""
    if not isinstance(selector, YamlMapping):
        return None
    wanted = selector.get("matchLabels")
    if isinstance(wanted, YamlMapping):
        for key in wanted:
            value = text_of(wanted.get(key))
            if is_placeholder(value):
                return None
            if labels.get(key) != (value or ""):
                return False
    answers = [_expression(entry, labels) for entry in mappings(selector.get("matchExpressions"))]
    if False in answers:
        return False
    return None if None in answers else True


def _expression(entry: YamlMapping, labels: Mapping[str, str]) -> bool | None:
    key, operator = text_of(entry.get("key")) or "", text_of(entry.get("operator"))
    values = {item.text for item in texts(entry.get("values"))}
    if any(is_placeholder(value) for value in values):
        return None
    answers = {
        "In": labels.get(key) in values,
        "NotIn": labels.get(key) not in values,
        "Exists": key in labels,
        "DoesNotExist": key not in labels,
    }
    return answers.get(operator or "")


def _not_admitted(ref: Ref, gateway: Gateway, listener: Server) -> Draft:
    written = listener.node.dig("allowedRoutes", "namespaces", "from")
    source = text_of(written) or "Same"
    whom = {"Same": f"its own namespace {gateway.namespace}", "None": "no namespace"}.get(
        source, "other namespaces"
    )
    return Draft(
        ref.place("namespace"),
        f"{ref.resource.title} does not attach to {gateway.resource.title}: the listener admits routes of "
        f"{whom} only",
        label=f"does not admit {ref.resource.ns}",
        help="set allowedRoutes.namespaces.from of the listener to All, or to Selector with labels of "
        f"{ref.resource.ns}",
        related=(
            (
                "decides who may attach",
                gateway.resource.place_at("allowedRoutes", "namespaces", "from", inside=listener.node),
            ),
        ),
        equivalents=_PARENT if ref.crosses else (),
    )


def _no_hostname(ref: Ref, gateway: Gateway, listeners: list[Server], hosts: list[str]) -> Draft:
    offered = ", ".join(dict.fromkeys(listener.hosts[0][1] for listener in listeners))
    return Draft(
        ref.resource.place_at("spec", "hostnames", 0),
        f"{ref.resource.title} is for {', '.join(hosts[:3])}, and {gateway.resource.title} listens for "
        f"{offered} only: the route does not attach",
        label="listened for by nobody",
        help="use a hostname that the listener covers, or change that of the listener",
        related=(
            ("listens for others", gateway.resource.place_at("hostname", inside=listeners[0].node)),
            ("the parent", ref.place()),
        ),
        equivalents=(),
    )


# -- route-and-vs-same-host -----------------------------------------------------------------------


def same_host(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """HTTPRoutes and GRPCRoutes beside VirtualServices, in the mesh and at one gateway."""
    virtual = _virtual_services(mesh)
    said: set[tuple[int, str]] = set()
    for route in mesh.routes.all:
        if route.api not in ("HTTPRoute", "GRPCRoute"):
            continue
        for context, host in _contexts(route):
            other = virtual.get((context, host))
            if other is not None and (id(route.resource), host) not in said:
                said.add((id(route.resource), host))
                yield _both(mesh, route.resource, other, host)


def _virtual_services(mesh: Mesh) -> dict[tuple[str, str], Resource]:
    """VirtualServices by the proxies that read them and by host."""
    found: dict[tuple[str, str], Resource] = {}
    for route in mesh.routes.all:
        if route.api != "VirtualService" or not route.bound or route.protocol != "http":
            continue
        owner = route.root.resource if route.root else route.resource
        for host in route.mesh_hosts:
            found.setdefault(("mesh", host), owner)
        for gateway in (*route.binding.gateways, *route.binding.unsure_gateways):
            key = _pods_of(gateway)
            for host in route.hosts if key else ():
                found.setdefault((key, host), owner)
    return found


def _contexts(route: Route) -> Iterator[tuple[str, str]]:
    for host in route.mesh_hosts:
        yield "mesh", host
    for gateway in route.binding.gateways:
        for host in route.hosts:
            yield _pods_of(gateway), host


def _pods_of(gateway: Gateway) -> str:
    """A name for the pods that Istio makes for a Gateway of the Gateway API; '' for other pods."""
    if gateway.api == "gateway-api":
        return f"{gateway.namespace}/{gateway.name}"
    name = gateway.selector.get(GATEWAY_NAME)
    return f"{gateway.namespace}/{name}" if name else ""


def _both(mesh: Mesh, resource: Resource, other: Resource, host: str) -> Draft:
    names = [item for item in texts(resource.get("spec", "hostnames")) if item.text == host]
    place = resource.place(names[0]) if names else resource.place_at("spec", "parentRefs", 0, "name")
    sure = together(mesh, resource, other)
    return Draft(
        place,
        f"{resource.title} and {other.title} both say what happens to requests for {host}: which of them the "
        "proxy uses depends on their age",
        label=f"also in {other.title}",
        help="keep the rules for a host in one API",
        related=(("the same host", other.place_at("spec", "hosts")),),
        confidence="low" if sure == "medium" else sure,
    )
