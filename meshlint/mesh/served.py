"""How does a request go on, and whose rules are asked? What `matching` and its parts share."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Final

from meshlint.mesh.facts import Fact
from meshlint.mesh.matches import HttpRequest
from meshlint.mesh.routes import MESH, Route
from meshlint.records import dataclass
from meshlint.resources import Place, Resource
from meshlint.source.nodes import Mapping

if TYPE_CHECKING:
    from meshlint.mesh.gateways import Gateway
    from meshlint.mesh.registry import Service

Test = Callable[[Route], bool]
#: a match of the root rule and one of the rule itself, and a rule with those that count
Pair = tuple[Mapping | None, Mapping | None]
Rule = tuple[Route, list[Pair]]

GATEWAY_ROUTES: Final = frozenset({"HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute"})


class Way(Enum):
    """How a request goes on."""

    RULE = "rule"  #: a rule of a route takes it
    SERVICE = "service"  #: no rule is for it, and it goes to the service that it names
    HTTPS = "https"  #: a server of a gateway sends it to https
    NOWHERE = "nowhere"  #: no rule takes it: 404, or a closed connection


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """`place` is the match, rule, server or service that decides; `port` is the listener's.

    `route` and `match` are those of a rule (no match: the rule takes everything), `service` the one that
    the request names. `http` False: no proxy reads the request.
    """

    way: Way
    place: Place
    request: HttpRequest
    port: int | None
    route: Route | None = None
    match: Mapping | None = None
    service: Service | None = None
    gateway: Gateway | None = None
    http: bool = True

    @property
    def decided(self) -> tuple[object, ...]:
        """The same for answers that mean the same."""
        return self.way, id(self.route), id(self.match), id(self.service), self.port


@dataclass(frozen=True, slots=True, eq=False)
class Owner:
    """The rules of one VirtualService, or one route of the Gateway API, for a domain."""

    resource: Resource
    domain: str
    routes: list[Route]
    gateway: Gateway | None = None

    @property
    def context(self) -> str:
        """What its matches have to name if they name gateways."""
        return MESH if self.gateway is None else f"{self.gateway.namespace}/{self.gateway.name}"

    @property
    def created(self) -> str:
        return self.resource.text("metadata", "creationTimestamp") or ""

    @property
    def gateway_api(self) -> bool:
        return self.routes[0].api in GATEWAY_ROUTES


def nowhere(request: HttpRequest, place: Place, gateway: Gateway | None = None) -> Served:
    return Served(Way.NOWHERE, place, request, request.port, gateway=gateway)


def owner_of(route: Route) -> Resource:
    return route.root.resource if route.root is not None else route.resource


def matches_of(route: Route) -> list[Mapping | None]:
    return [*route.matches] if route.matches else [None]


def agreed(answers: list[Fact[Served]], reason: str) -> Fact[Served]:
    """The answer that all give, or none."""
    known = [answer for answer in answers if answer.known]
    if len(known) == len(answers) and len({answer.value.decided for answer in known}) == 1:
        return answers[0]
    if len(answers) == 1:
        return answers[0]
    places = dict.fromkeys(place for answer in answers for place in answer.because)
    unknown = next((answer for answer in answers if not answer.known), None)
    return Fact.missing(unknown.reason if unknown is not None and not known else reason, *places)
