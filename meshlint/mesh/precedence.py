"""Which rule of the routes of the Gateway API takes a request? (spec traffic 1.14)

Exact paths go before prefixes and these before expressions, longer ones before shorter ones; then method,
headers and parameters count, then the age of the route.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from meshlint.mesh.facts import Fact
from meshlint.mesh.matches import HttpRequest, doubt, takes
from meshlint.mesh.served import Served, Way, nowhere
from meshlint.resources import Place, Resource
from meshlint.source.nodes import Mapping, int_of, mappings, text_of

if TYPE_CHECKING:
    from meshlint.mesh.gateways import Gateway, Server
    from meshlint.mesh.routes import Route

_RANKS: Final = {"Exact": 3, "PathPrefix": 2, "RegularExpression": 1}


def by_precedence(
    rules: list[tuple[Route, Mapping | None]], request: HttpRequest, place: Place
) -> Fact[Served]:
    """Exact paths, then prefixes, then expressions; the longer; then method, headers, parameters."""
    ranked = sorted(rules, key=lambda rule: _rank(rule[1]), reverse=True)
    for number, (route, match) in enumerate(ranked):
        answer = takes(route, match, request) if route.protocol == "http" else True
        if answer is False:
            continue
        at = route.resource.place(match) if match is not None else route.place()
        if answer is None:
            return Fact.missing(doubt(route, match, request), at)
        rivals = [
            other
            for other, m in ranked[number + 1 :]
            if _rank(m) == _rank(match) and other.resource is not route.resource
            and takes(other, m, request) is not False
        ]  # fmt: skip
        if rivals and not _older(route.resource, [r.resource for r in rivals]):
            return Fact.missing(
                f"{route.title} and {rivals[0].title} take it alike, and which is older is not in the input",
                at,
            )
        return Fact.of(Served(Way.RULE, at, request, request.port, route, match), at)
    return Fact.of(nowhere(request, place), place, reason="no rule takes it")


def _rank(match: Mapping | None) -> tuple[int, int, bool, int, int]:
    if match is None:
        return _RANKS["PathPrefix"], 1, False, 0, 0
    path = match.get("path")
    method = match.get("method")
    kind = text_of(path.dig("type")) if path is not None else None
    length = len((text_of(path.dig("value")) if path is not None else None) or "/")
    if isinstance(method, Mapping):
        parts = [text_of(method.get(key)) for key in ("service", "method")]
        kind, length = ("Exact" if all(parts) else "PathPrefix"), sum(len(p or "") for p in parts)
    return (
        _RANKS.get(kind or "PathPrefix", 0),
        length,
        method is not None,
        len(mappings(match.get("headers"))),
        len(mappings(match.get("queryParams"))),
    )


def _older(resource: Resource, others: list[Resource]) -> bool:
    """Is it written that the resource is older than the others?"""

    def created(one: Resource) -> str:
        return one.text("metadata", "creationTimestamp") or ""

    return all(created(r) for r in (resource, *others)) and all(
        created(resource) < created(o) for o in others
    )


def attached(resource: Resource, gateway: Gateway, listener: Server) -> bool:
    """Does one of the parentRefs name this listener of the gateway?"""
    for ref in resource.mappings("spec", "parentRefs"):
        namespace = text_of(ref.get("namespace")) or resource.ns
        section, port = text_of(ref.get("sectionName")), int_of(ref.get("port"))
        named = (namespace, text_of(ref.get("name"))) == (gateway.namespace, gateway.name)
        if named and section in (None, listener.name) and port in (None, listener.port):
            return True
    return False


def parent_port(resource: Resource, host: str, port: int | None) -> bool:
    """Is a route with a Service as parent for this port of it?"""
    for ref in resource.mappings("spec", "parentRefs"):
        wanted = int_of(ref.get("port"))
        service = text_of(ref.get("kind")) != "Service" or host.startswith(f"{text_of(ref.get('name'))}.")
        if service and (wanted is None or port is None or wanted == port):
            return True
    return False
