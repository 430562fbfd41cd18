"""Which gateways, clients and ports are the rules of a VirtualService for, and what do they leave over?

Catalogue: spec traffic 8.5; procedures 1.7, 1.8, 1.10 and 5.4.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from meshlint.findings import Draft
from meshlint.mesh.delegates import is_delegate
from meshlint.mesh.gateways import Gateway
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.registry import HTTP_LIKE, OPAQUE, TLS_LIKE, ServicePort
from meshlint.mesh.routes import MESH, Route, applies, gateway_key
from meshlint.mesh.scope import ISTIO_NETWORKING
from meshlint.resources import Place, Resource
from meshlint.source.nodes import Mapping as YamlMapping
from meshlint.source.nodes import Node, Scalar, int_of, mappings, string_map, text_of, texts
from meshlint.source.templates import is_placeholder

Options = Mapping[str, Any]

_ANY_PATH = frozenset({".*", "/.*", "^.*$", "^.*", "^/.*$", ".+", "/?.*"})
_REQUEST_CONDITIONS = ("scheme", "method", "authority", "headers", "queryParams", "withoutHeaders")


def roots(mesh: Mesh) -> Iterator[Resource]:
    """The VirtualServices that are no delegates."""
    for resource in mesh.scope.of(ISTIO_NETWORKING, "VirtualService"):
        if not is_delegate(resource):
            yield resource


def unconditional(match: YamlMapping) -> bool:
    """Does a match take every request of the clients and ports that it is for?"""
    if any(match.get(name) is not None for name in _REQUEST_CONDITIONS):
        return False
    if any(match.get(name) is not None for name in ("sourceLabels", "sourceNamespace", "port")):
        return False
    return _any_path(match.get("uri"))


def _any_path(uri: Node | None) -> bool:
    if uri is None:
        return True
    if not isinstance(uri, YamlMapping):
        return False
    return text_of(uri.get("prefix")) == "/" or _is_empty(uri.get("prefix")) or _is_any(uri.get("regex"))


def _is_empty(node: Node | None) -> bool:
    return isinstance(node, Scalar) and node.value == ""


def _is_any(node: Node | None) -> bool:
    return isinstance(node, Scalar) and node.text in _ANY_PATH


def match_gateway_unlisted(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for resource in roots(mesh):
        written = [item.text for item in texts(resource.get("spec", "gateways"))] or [MESH]
        if any(is_placeholder(name) for name in written):
            continue
        listed = {gateway_key(name, resource.ns) for name in written}
        for match in _all_matches(resource):
            names = texts(match.get("gateways"))
            unlisted = [item for item in names if gateway_key(item.text, resource.ns) not in listed]
            for item in unlisted:
                if not is_placeholder(item.text):
                    yield _unlisted(resource, item, len(unlisted) == len(names))


def _unlisted(resource: Resource, item: Scalar, dead: bool) -> Draft:
    effect = "the match never applies" if dead else "that entry has no effect"
    return Draft(
        resource.place(item),
        f"{resource.title} matches requests at {item.text}, which is not among its spec.gateways: {effect}",
        label="not in spec.gateways",
        help=f"add {item.text} to spec.gateways, or remove it here",
        related=(("the gateways of all rules", resource.place_at("spec", "gateways", part="key")),),
        severity=None if dead else "info",
    )


def _all_matches(resource: Resource) -> Iterator[YamlMapping]:
    for protocol in ("http", "tls", "tcp"):
        for rule in resource.mappings("spec", protocol):
            yield from mappings(rule.get("match"))


def source_labels_ignored(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for resource in mesh.scope.of(ISTIO_NETWORKING, "VirtualService"):
        for rule in resource.mappings("spec", "http"):
            for match in mappings(rule.get("match")):
                if not texts(match.get("gateways")):
                    continue
                for name in ("sourceLabels", "sourceNamespace"):
                    if string_map(match.get(name)) or text_of(match.get(name)):
                        yield _ignored(resource, match, name)


def _ignored(resource: Resource, match: YamlMapping, name: str) -> Draft:
    return Draft(
        resource.place_at(name, part="key", inside=match),
        f"{resource.title} has {name} beside gateways in a match of an HTTP rule: with gateways the client "
        "is not looked at, so the rule is for everybody there",
        label="not looked at",
        help=f"remove gateways from the match to have {name} count; without gateways it is for the mesh",
        related=(("takes precedence", resource.place_at("gateways", part="key", inside=match)),),
    )


def opaque_port(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for resource in roots(mesh):
        routes = [route for route in mesh.routes.of(resource) if route.root is None]
        for protocol in ("http", "tls", "tcp"):
            own = [route for route in routes if route.protocol == protocol]
            if own and all(_unused(mesh, route) for route in own):
                yield _never_asked(mesh, resource, own[0])


def _never_asked(mesh: Mesh, resource: Resource, route: Route) -> Draft:
    protocol = route.protocol
    ports = [port for host in route.mesh_hosts for s in mesh.registry.by_host(host) for port in s.ports]
    shown = ", ".join(dict.fromkeys(f"{port.number} ({port.protocol or 'undeclared'})" for port in ports))
    gateways = ", ".join(f"{g.namespace}/{g.name}" for g in route.binding.gateways)
    where = f"ports {shown} of its hosts" if shown else f"the servers of {gateways}"
    needs = {
        "http": "a port or server that carries HTTP",
        "tls": "a port of the protocol TLS or HTTPS, or a server that passes TLS through",
        "tcp": "a port or server of TCP that is neither HTTP nor TLS",
    }
    evidence = [
        s.resource.place_at("spec", "ports") for h in route.mesh_hosts for s in mesh.registry.by_host(h)
    ]
    evidence += [g.resource.place_at("spec", "servers") for g in route.binding.gateways]
    return Draft(
        resource.place_at("spec", protocol, part="key"),
        f"{resource.title} has {protocol} rules that nothing uses: they need {needs[protocol]}, and {where} "
        "are of another kind",
        label="never asked",
        help="declare the protocol of the port by name or appProtocol, or write rules of the other kind",
        related=tuple(("the ports", place) for place in evidence[:2]),
        confidence="low" if mesh.settings.remainder else None,
    )


def _unused(mesh: Mesh, route: Route) -> bool:
    """Is it certain that no port or server asks the rule?"""
    binding = route.binding
    if binding.missing or binding.unsure_gateways or not (binding.mesh_hosts or binding.gateways):
        return False
    wanted = _matched_ports(route)
    if any(_server_asks(gateway, route, wanted) for gateway in binding.gateways):
        return False
    return all(_ports_never_ask(mesh, host, route.protocol, wanted) for host in binding.mesh_hosts)


def _matched_ports(route: Route) -> set[int]:
    """The ports that all matches of a rule ask for; empty if some match is for every port."""
    numbers = [int_of(match.get("port")) for match in route.matches]
    return {number for number in numbers if number} if all(numbers) else set()


def _server_asks(gateway: Gateway, route: Route, wanted: set[int]) -> bool:
    return any(
        server.asks in (route.protocol, "")
        for server in gateway.offers.servers(route.resource.ns, route.hosts)
        if not wanted or server.port in wanted
    )


def _ports_never_ask(mesh: Mesh, host: str, protocol: str, wanted: set[int]) -> bool:
    services = mesh.registry.by_host(host)
    if not services or any(s.kind == "external-name" or not s.ports for s in services):
        return False
    ports = [port for s in services for port in s.ports if not wanted or port.number in wanted]
    return bool(ports) and not any(_asks(port, protocol) for port in ports)


def _asks(port: ServicePort, protocol: str) -> bool:
    if protocol == "http":
        return port.protocol not in OPAQUE
    if protocol == "tls":
        return port.protocol in TLS_LIKE
    return port.protocol not in HTTP_LIKE and port.protocol not in TLS_LIKE and port.protocol != "UDP"


def missing_default(mesh: Mesh, options: Options) -> Iterator[Draft]:
    delegated: dict[int, list[Route]] = defaultdict(list)
    for route in mesh.routes.all:
        if route.root is not None:
            delegated[id(route.root)].append(route)
    covered = _covered_at_gateways(mesh, delegated)
    for resource in roots(mesh):
        routes = [r for r in mesh.routes.of(resource) if r.root is None and r.protocol == "http"]
        if not routes or any(r.action == "delegate" and not delegated[id(r)] for r in routes):
            continue
        draft = _mesh_default(mesh, resource, routes, delegated) or _gateway_default(
            resource, routes, covered
        )
        if draft is not None:
            yield draft


def _mesh_default(
    mesh: Mesh, resource: Resource, routes: list[Route], delegated: dict[int, list[Route]]
) -> Draft | None:
    hosts = [host for host in routes[0].hosts if mesh.registry.by_host(host)]
    in_mesh = [route for route in routes if route.mesh and _for_anybody(route)]
    if not hosts or not in_mesh or any(_takes_all(r, MESH, delegated) for r in in_mesh):
        return None
    return Draft(
        _last_match(routes),
        f"{resource.title} has no rule for what its matches leave over: clients in the mesh that call "
        f"{hosts[0]} otherwise get 404, though the service exists",
        label="the last condition",
        help="end with a rule without match",
    )


def _gateway_default(resource: Resource, routes: list[Route], covered: set[tuple[str, str]]) -> Draft | None:
    keys = _gateway_keys(resource)
    open_hosts = [h for h in routes[0].hosts for key in keys if (key, h) not in covered]
    if not open_hosts:
        return None
    return Draft(
        _last_match(routes),
        f"{resource.title} has no rule for what its matches leave over: other requests to {open_hosts[0]} "
        "get 404 from the gateway",
        label="the last condition",
        help="end with a rule without match, if that is not meant",
        confidence="medium",
        severity="info",
    )


def _last_match(routes: list[Route]) -> Place:
    return routes[-1].place("match", part="key")


def _gateway_keys(resource: Resource) -> list[str]:
    keys = {gateway_key(item.text, resource.ns) for item in texts(resource.get("spec", "gateways"))}
    return sorted(keys - {MESH})


def _covered_at_gateways(mesh: Mesh, delegated: dict[int, list[Route]]) -> set[tuple[str, str]]:
    """Gateways and hosts for which some VirtualService has a rule without conditions."""
    covered = set()
    for resource in roots(mesh):
        keys = _gateway_keys(resource)
        routes = (
            [r for r in mesh.routes.of(resource) if r.root is None and r.protocol == "http"] if keys else []
        )
        for key in keys:
            if any(_takes_all(route, key, delegated) for route in routes):
                covered |= {(key, host) for host in routes[0].hosts}
    return covered


def _takes_all(route: Route, context: str, delegated: dict[int, list[Route]]) -> bool:
    if route.action == "delegate":
        inner = delegated[id(route)]
        return _open(route, context) and any(_open(one, context) for one in inner)
    return _open(route, context)


def _open(route: Route, context: str) -> bool:
    """Is a rule without conditions on requests in a context? Conditions on ports are left aside."""
    if not route.matches:
        return True
    return any(
        applies(match, context, route.resource.ns)
        and _any_path(match.get("uri"))
        and all(match.get(name) is None for name in _REQUEST_CONDITIONS)
        for match in route.matches
    )


def _for_anybody(route: Route) -> bool:
    """Is a rule for clients whoever they are? Others do not make the host the VirtualService's own."""
    return not route.matches or any(
        match.get("sourceLabels") is None and match.get("sourceNamespace") is None for match in route.matches
    )
