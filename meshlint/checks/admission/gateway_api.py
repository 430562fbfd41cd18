"""Which parts of the Gateway API's objects do its rules speak about, with the defaults applied?

The CEL rules of the definitions see an object after defaulting, so an absent kind of a backend is
Service, and absent matches are one for every path (spec schemas 4.1, traffic 1.14 and 7.5).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from meshlint.checks.admission.blocks import Block, once, spec
from meshlint.findings import Draft
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.scope import GATEWAY_API, ISTIO_NETWORKING
from meshlint.resources import Place
from meshlint.source.nodes import Sequence

ROUTES: Final = ("HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute")
#: protocols of listeners that Istio's gateways speak; HBONE is that of waypoints
SPOKEN: Final = ("HTTP", "HTTPS", "TLS", "TCP", "HBONE")


class Filters(NamedTuple):
    """A list of filters: that of a rule, or that of one of its backends (`backend` is then set)."""

    rule: Block
    backend: Block | None
    items: list[Block]

    @property
    def kind(self) -> str:
        return self.rule.resource.kind


class Reference(NamedTuple):
    """A reference to a backend; `what` is what messages call it."""

    block: Block
    what: str


@once
def routes(mesh: Mesh) -> list[Block]:
    """The specs of all routes."""
    return [block for block in map(spec, mesh.scope.of(GATEWAY_API, *ROUTES)) if block]


@once
def rules(mesh: Mesh) -> list[Block]:
    """The rules of all routes."""
    return [rule for route in routes(mesh) for rule in route.blocks("rules")]


@once
def filters(mesh: Mesh) -> list[Filters]:
    return [found for rule in rules(mesh) for found in _filters(rule)]


def _filters(rule: Block) -> Iterator[Filters]:
    if "filters" in rule.node.index:
        yield Filters(rule, None, rule.blocks("filters"))
    for backend in rule.blocks("backendRefs"):
        if "filters" in backend.node.index:
            yield Filters(rule, backend, backend.blocks("filters"))


@once
def references(mesh: Mesh) -> list[Reference]:
    """Everything that a route sends requests to: backends, mirrors and authorizers."""
    backends = [
        Reference(backend, "the backend") for rule in rules(mesh) for backend in rule.blocks("backendRefs")
    ]
    return backends + [
        Reference(found, what)
        for group in filters(mesh)
        for item in group.items
        for body, what in (("requestMirror", "the mirror"), ("externalAuth", "the authorizer"))
        if body in item.node.index and (inner := item.block(body)) and (found := inner.block("backendRef"))
    ]


@once
def listener_owners(mesh: Mesh) -> list[Block]:
    """The specs of Gateways and ListenerSets."""
    owners = mesh.scope.of(GATEWAY_API, "Gateway", "ListenerSet")
    return [block for block in map(spec, owners) if block]


def of_istio(mesh: Mesh, route: Block) -> bool | None:
    """Does Istio translate the route? None where the input does not have the gateways it is for."""
    answers = [_is_istio(mesh, parent) for parent in route.blocks("parentRefs")]
    return True if True in answers else None if None in answers else False


def _is_istio(mesh: Mesh, parent: Block) -> bool | None:
    group, kind = parent.enum("group", GATEWAY_API), parent.enum("kind", "Gateway")
    if (group, kind) in (("", "Service"), (ISTIO_NETWORKING, "ServiceEntry")):
        return True
    if (group, kind) != (GATEWAY_API, "Gateway"):
        return None
    namespace = parent.enum("namespace", parent.resource.ns)
    found = mesh.gateways.find(namespace or "", parent.text("name") or "", "gateway-api")
    answers = {gateway.istio for gateway in found}
    return answers.pop() if len(answers) == 1 else None


@once
def translated(mesh: Mesh) -> dict[int, bool | None]:
    """`of_istio` of every route, by the id of its resource."""
    return {id(route.resource): of_istio(mesh, route) for route in routes(mesh)}


def target(block: Block, group: str, kind: str) -> tuple[str | None, ...]:
    """What a reference names, with the defaults of its group and kind; the namespace only if written."""
    return (
        block.enum("group", group),
        block.enum("kind", kind),
        block.enum("namespace", ""),
        block.text("name"),
    )


def length(block: Block, name: str, absent: int) -> int | None:
    """The length of a list; None where it is unknown."""
    node = block.node.get(name)
    if isinstance(node, Sequence):
        return len(node.items)
    return absent if name not in block.node.index else None


def denied(place: Place, says: str, label: str, advice: str) -> Draft:
    """The rules of the definition refuse the object; `says` goes on after its title."""
    message = f"{place.resource.title} {says}; the API server refuses it"
    return Draft(place, message, label=label, help=advice)


def inert(place: Place, says: str, label: str, advice: str, severity: str | None = None) -> Draft:
    """The API server takes the object, and something in it does not work."""
    return Draft(place, f"{place.resource.title} {says}", label=label, help=advice, severity=severity)
