"""Whom do Kyma's APIRules let into the pods that they expose? (spec security 4.7, ecosystem f.4)

For each rule the module makes ALLOW policies that admit the ingress gateway alone, so that callers inside of
the mesh need an ALLOW policy of their own. Version v1beta1 may work otherwise, which stays unknown.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Final

from meshlint.mesh.facts import Fact
from meshlint.mesh.matches import HttpRequest, takes
from meshlint.records import dataclass
from meshlint.source.nodes import Mapping, is_true, mappings, text_of

if TYPE_CHECKING:
    from meshlint.mesh.authz import Peer, Request, Token
    from meshlint.mesh.mesh import Mesh
    from meshlint.mesh.routes import Route
    from meshlint.mesh.workloads import Workload

ACCOUNT: Final = "istio-ingressgateway-service-account"
_LEGACY: Final = "v1beta1"


@dataclass(frozen=True, slots=True)
class Admission:
    """`allowed` None: an external authorizer decides."""

    allowed: bool | None


class ApiRules:
    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh

    def of(self, workload: Workload) -> list[Route]:
        """The rules of APIRules that expose a workload."""
        return self._by_workload.get(id(workload), [])

    def admits(self, rules: list[Route], request: Request) -> Fact[Admission]:
        """What the policies that the module makes say to a request; only the gateway may get through."""
        place = rules[0].resource.place()
        title = rules[0].resource.title
        if any(rule.resource.version == _LEGACY for rule in rules):
            return Fact.missing(f"which policies Kyma makes of {title} is not in the input", place)
        if not self._is_gateway(request.peer):
            return Fact.of(Admission(False), place, reason=f"{title} lets in the ingress gateway alone")
        if request.path is None or request.method is None or len({id(r.resource) for r in rules}) > 1:
            return Fact.missing(f"what {title} lets in depends on the request", place)
        sent = HttpRequest(request.host or "", request.path, request.method)
        taken = {rule: takes(rule, rule.matches[0], sent) if rule.matches else None for rule in rules}
        if None in taken.values():
            return Fact.missing(f"whether a rule of {title} takes it cannot be told", place)
        found = [_strategy(rule, request.token) for rule, answer in taken.items() if answer]
        if not found:
            return Fact.of(Admission(False), place, reason=f"no rule of {title} takes the request")
        return _together(found, request.token)

    def _is_gateway(self, peer: Peer) -> bool:
        return peer.namespace in (None, self.mesh.config.root) and peer.service_account in (None, ACCOUNT)

    @cached_property
    def _by_workload(self) -> dict[int, list[Route]]:
        index: dict[int, list[Route]] = defaultdict(list)
        for route, workload in self._exposed():
            index[id(workload)].append(route)
        return index

    def _exposed(self) -> Iterator[tuple[Route, Workload]]:
        for route in self.mesh.routes.all:
            if route.api == "APIRule":
                for service in (s for d in route.destinations for s in d.services):
                    yield from ((route, w) for w in self.mesh.registry.workloads_of(service))


def _together(found: list[Fact[Admission]], token: Token | None) -> Fact[Admission]:
    """Of ALLOW policies one is enough, and an external authorizer is asked before them (security 4.7)."""
    if len({(fact.state, fact.value.allowed if fact.known else None) for fact in found}) == 1:
        return found[0]
    place, title = found[0].because[0], found[0].because[0].resource.title
    admitting = [fact for fact in found if fact.known and fact.value.allowed]
    asking = [fact for fact in found if fact.known and fact.value.allowed is None]
    if asking and len(asking) + len(admitting) == len(found):
        return asking[0]
    if not admitting or asking or token is not None:
        # a token that one of them does not know is refused before any policy is asked
        return Fact.missing(f"rules of {title} that take the request let in differently", place)
    return admitting[0]


def _strategy(rule: Route, token: Token | None) -> Fact[Admission]:
    """noAuth, jwt or extAuth of the rule that takes the request."""
    node, place, title = rule.node, rule.place(), rule.resource.title
    if is_true(node.get("noAuth")):
        return Fact.of(Admission(True), place, reason=title)
    if node.get("extAuth") is not None:
        return Fact.of(Admission(None), place, reason=title)
    jwt = node.get("jwt")
    if not isinstance(jwt, Mapping):
        return Fact.missing(f"{title} says not how it lets requests in", place)
    issuers = {text_of(entry.get("issuer")) for entry in mappings(jwt.get("authentications"))}
    if token is None or token.issuer not in issuers:
        return Fact.of(Admission(False), place, reason=f"{title} asks for a token")
    if mappings(jwt.get("authorizations")):
        return Fact.missing(f"{title} asks for scopes or audiences", place)
    return Fact.of(Admission(True), place, reason=title)
