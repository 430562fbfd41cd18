"""What becomes of a request once its rule is known: destinations, times, rewrites, answers, faults, access?

Spec traffic 1.6, 2.4, 3, 5.1, 5.2, 5.5, 5.6 and 5.8; security 4.3 and 5.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from meshlint.mesh.access import Access, in_chain
from meshlint.mesh.attachment import Proxy, proxy_of
from meshlint.mesh.authz import Peer, Request, Token
from meshlint.mesh.facts import Fact
from meshlint.mesh.grants import Target, granted
from meshlint.mesh.matches import HttpRequest
from meshlint.mesh.retries import NOT_APPLICABLE as NO_RETRY
from meshlint.mesh.retries import Retry
from meshlint.mesh.served import GATEWAY_ROUTES, Served, Way
from meshlint.mesh.timeouts import DISABLED, Timeout
from meshlint.mesh.timeouts import NOT_APPLICABLE as NO_TIMEOUT
from meshlint.records import dataclass
from meshlint.resources import Place
from meshlint.source.durations import istio_duration
from meshlint.source.nodes import Mapping, Node, Scalar, int_of, mappings, string_map, text_of
from meshlint.source.templates import is_placeholder

if TYPE_CHECKING:
    from meshlint.mesh.gateways import Gateway
    from meshlint.mesh.mesh import Mesh
    from meshlint.mesh.registry import Service
    from meshlint.mesh.routes import Destination, Route
    from meshlint.mesh.workloads import Workload

_PREFIX: Final = "%PREFIX()%"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sends the request: a pod of the mesh, or somebody in front of a gateway.

    `peer` is None where it is unknown whether the caller has a proxy; `token` is the one it carries. `named`
    is the service whose waypoint routes the request: wherever it then goes, it does not meet another one.
    """

    namespace: str = ""
    labels: dict[str, str] | None = None
    peer: Peer | None = None
    token: Token | None = None
    named: Service | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Share:
    """One destination with its part of the requests in percent; `port` None: it is not known."""

    host: str
    port: int | None
    subset: str
    percent: float
    place: Place
    services: tuple[Service, ...]


@dataclass(frozen=True, slots=True)
class Redirect:
    code: int
    scheme: str
    host: str
    path: str
    port: int | None = None


@dataclass(frozen=True, slots=True)
class DirectResponse:
    status: int
    body: str


@dataclass(frozen=True, slots=True)
class Fault:
    """`abort` is a status or the name of a gRPC code, '' for none; `delay` is in nanoseconds, 0 for none."""

    abort: str = ""
    abort_percent: float = 0.0
    delay: int = 0
    delay_percent: float = 0.0


@dataclass(frozen=True, slots=True)
class Rewritten:
    """What the destination sees of the authority and of the path without its query."""

    host: str
    path: str


class Outcomes:
    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh

    def shares(self, served: Served) -> Fact[tuple[Share, ...]]:
        """Where the request goes, those without any part left out."""
        if served.way is Way.SERVICE and served.service is not None:
            service = served.service
            share = Share(service.host, served.port, "", 100.0, served.place, (service,))
            return Fact.of((share,), served.place, reason="no rule for it")
        route = served.route
        if route is None or route.action != "route":
            return Fact.of((), served.place)
        weights = _weights(route)
        if weights is None:
            return Fact.missing("a weight is a template", route.place())
        if any(is_placeholder(d.host) or is_placeholder(d.subset) for d in route.destinations):
            return Fact.missing("a destination is a template", route.place())
        whole = sum(weights)
        found = []
        for destination, weight in zip(route.destinations, weights, strict=True):
            allowed = self._granted(route, destination, served)
            if weight and allowed is None:
                reason = f"no ReferenceGrant for {destination.host} is in the input, and there may be one"
                return Fact.missing(reason, route.resource.place(destination.node))
            if weight and allowed:
                found.append(self._share(route, destination, 100.0 * weight / whole, served))
        return Fact.of(tuple(found), *(share.place for share in found) if found else (route.place(),))

    def direct_response(self, served: Served) -> Fact[DirectResponse | None]:
        """An answer of the proxy itself; a rule of the Gateway API that has no backend left gives 500."""
        route = served.route
        if route is None or route.action != "route" or route.api not in ("HTTPRoute", "GRPCRoute"):
            return direct_response(served)
        shares = self.shares(served)
        if not shares.known:
            return Fact.missing(shares.reason, *shares.because)
        return Fact.of(None if shares.value else DirectResponse(500, ""), *shares.because)

    def _granted(self, route: Route, destination: Destination, served: Served) -> bool | None:
        """May a route at a gateway name a Service of another namespace? (1.14; in the mesh it always may)"""
        if served.gateway is None or route.api not in GATEWAY_ROUTES or not destination.services:
            return True
        service = destination.services[0]
        if service.namespace == route.resource.ns or service.kind not in ("service", "headless"):
            return True
        return granted(self.mesh, route.resource, Target("", "Service", service.namespace, service.name))

    def timeout(self, served: Served) -> Fact[Timeout]:
        if served.route is not None:
            return self.mesh.timeouts.of(served.route)
        if served.way is not Way.SERVICE or not served.http:
            return Fact.of(NO_TIMEOUT, served.place, reason="nothing is proxied as HTTP")
        if self.mesh.timeouts.patches.anywhere(served.service.namespace if served.service else ""):
            return Fact.missing("an EnvoyFilter patches routes", served.place)
        return Fact.of(DISABLED, served.place, reason="no rule sets one", certain=False)

    def retries(self, served: Served) -> Fact[Retry]:
        if served.route is not None:
            return self.mesh.retries.of(served.route)
        if served.way is not Way.SERVICE or not served.http:
            return Fact.of(NO_RETRY, served.place, reason="nothing is proxied as HTTP")
        return self.mesh.retries.mesh_default

    def access(self, served: Served, caller: Caller) -> Fact[Access]:
        """Is the request let through by all proxies in its way, the caller's own routing aside?"""
        if served.way is Way.NOWHERE:
            return Fact.missing("no rule takes the request, so that nobody decides about it", served.place)
        return in_chain([*self._access(served, caller)])

    # -- access -------------------------------------------------------------------------------------------

    def _access(self, served: Served, caller: Caller) -> Iterator[Fact[Access]]:
        rewritten = rewrite(served)
        gateway = served.gateway
        if gateway is not None:
            answers, token = self._at_gateway(gateway, served, caller)
            yield from answers
            caller = replace(caller, token=token)
        shares = self.shares(served)
        if not shares.known:
            yield Fact.missing(shares.reason, *shares.because)
        elif not rewritten.known:
            yield Fact.missing(rewritten.reason, *rewritten.because)
        else:
            found = [
                a for share in shares.value for a in self._of_share(share, served, caller, rewritten.value)
            ]
            yield _same(found) if found else Fact.of(Access.ALLOWED, served.place, reason="nothing is called")

    def _at_gateway(
        self, gateway: Gateway, served: Served, caller: Caller
    ) -> tuple[list[Fact[Access]], Token | None]:
        if not gateway.istio:
            title = gateway.resource.title
            return [
                Fact.missing(f"whether Istio serves {title} is not in the input", gateway.resource.place())
            ], None
        answers, token = [], caller.token
        for proxy in self.mesh.exposures.proxies_of(gateway):
            refused, seen = self._token_at(proxy, caller.token)
            port = self.mesh.exposures.bound_port(proxy, served.port or 0)
            request = self._request(served, served.request.authority, served.request.path, port, seen)
            peer = caller.peer or Peer(mtls=False)
            answers.append(refused or self.mesh.access.at(proxy, replace(request, peer=peer)))
            if seen is not None and self._strips(proxy, seen):
                token = None
        return answers, token

    def _of_share(
        self, share: Share, served: Served, caller: Caller, seen: Rewritten
    ) -> Iterator[Fact[Access]]:
        if not share.services:
            yield Fact.missing(f"{share.host} is not in the input", share.place)
        for service in share.services:
            if service.kind in ("service-entry", "external-name") and not service.selector:
                yield Fact.of(
                    Access.ALLOWED, service.resource.place(), reason="outside of the mesh", certain=False
                )
                continue
            workloads = self._pods(service, share, caller)
            if not workloads:
                yield Fact.missing(f"the pods of {service.resource.title} are not in the input", share.place)
            for workload in workloads:
                yield self._of_workload(workload, service, share, served, caller, seen)

    def _pods(self, service: Service, share: Share, caller: Caller) -> list[Workload]:
        pods = self.mesh.registry.workloads_of(service)
        if not share.subset:
            return pods
        rules = self.mesh.destination_rules.for_host(caller.namespace, service, caller.labels)
        for subset in (s for rule in rules for s in rule.subsets):
            if text_of(subset.get("name")) == share.subset:
                labels = string_map(subset.get("labels"))
                return [pod for pod in pods if labels.items() <= pod.labels.items()]
        return []

    def _of_workload(
        self,
        workload: Workload,
        service: Service,
        share: Share,
        served: Served,
        caller: Caller,
        seen: Rewritten,
    ) -> Fact[Access]:
        if share.port is None:
            return Fact.missing(f"the port of {service.resource.title} is not known", share.place)
        target = self.mesh.registry.target_port(service, share.port, workload)
        if not target.known:
            return Fact.missing(target.reason, *target.because)
        gateway = served.gateway
        peer = self._client(gateway, caller)
        if peer is None:
            return Fact.missing("whether the caller is in the mesh is not in the input")
        broken, peer = self.mesh.access.sent(
            peer, peer.namespace or caller.namespace, service, share.port, workload,
            subset=share.subset or None, labels=caller.labels, gateway=gateway is not None,
        )  # fmt: skip
        if broken is not None:
            return broken
        refused, token = self._token_at(proxy_of(workload), caller.token)
        entry = service.port(share.port)
        request = self._request(served, seen.host, seen.path, target.value, token)
        request = replace(request, peer=peer, http=served.http and not (entry is not None and entry.opaque))
        if caller.named is not None:
            before = replace(request, host=served.request.authority, path=served.request.path)
            return refused or self.mesh.access.to(workload, target.value, request, caller.named, before)
        by_waypoint = gateway is None or self.mesh.ambient.ingress_uses_waypoint(service.resource).is_(True)
        return refused or self.mesh.access.to(
            workload, target.value, request, service if by_waypoint else None
        )

    def _client(self, gateway: Gateway | None, caller: Caller) -> Peer | None:
        if gateway is None:
            return caller.peer
        proxies = self.mesh.exposures.proxies_of(gateway)
        return self.mesh.exposures.identity(proxies[0], gateway)

    def _token_at(self, proxy: Proxy, token: Token | None) -> tuple[Fact[Access] | None, Token | None]:
        """A refusal of a token by a proxy, or the token as its policies see it."""
        rules = self.mesh.authn.rules_of(proxy)
        if token is None:
            return None, None
        if not rules:  # those that Kyma makes of an APIRule are not in the input
            exposed = proxy.workload is not None and self.mesh.api_rules.of(proxy.workload)
            return None, token if exposed else None
        if any(rule.issuer in ("", token.issuer) or is_placeholder(rule.issuer) for rule in rules):
            return None, token
        place = rules[0].resource.place(rules[0].node)
        return Fact.of(Access.DENIED, place, reason=f"tokens of {token.issuer} are not accepted"), None

    def _strips(self, proxy: Proxy, token: Token) -> bool:
        rules = self.mesh.authn.rules_of(proxy)
        return any(
            "header authorization" in rule.strips for rule in rules if rule.issuer in ("", token.issuer)
        )

    def _request(
        self, served: Served, host: str, path: str, port: int | None, token: Token | None
    ) -> Request:
        sent = served.request
        return Request(
            host=host,
            path=path,
            method=sent.method,
            port=port,
            token=token,
            trust_domains=self.mesh.access.trust_domains(),
            headers=dict(sent.headers),
        )

    # -- destinations -------------------------------------------------------------------------------------

    def _share(self, route: Route, destination: Destination, percent: float, served: Served) -> Share:
        return Share(
            host=destination.host,
            port=_port(destination, served.port),
            subset=destination.subset or "",
            percent=percent,
            place=route.resource.place(destination.node),
            services=destination.services,
        )


def rewrite(served: Served) -> Fact[Rewritten]:
    """What the destination sees."""
    request, route = served.request, served.route
    same = Rewritten(request.authority, request.path)
    if route is None or route.action != "route":
        return Fact.of(same, served.place)
    if route.api in ("HTTPRoute", "GRPCRoute"):
        return _gateway_rewrite(served, route, same)
    found = route.setting("rewrite") if route.api == "VirtualService" else None
    if found is None or not isinstance(found[1], Mapping):
        return Fact.of(same, served.place)
    resource, node = found[0], found[1]
    place = resource.place(node)
    if node.get("uriRegexRewrite") is not None:
        return Fact.missing("uriRegexRewrite is not evaluated", place)
    host, path = text_of(node.get("authority")), text_of(node.get("uri"))
    if is_placeholder(host) or is_placeholder(path):
        return Fact.missing("the rewrite is a template", place)
    changed = request.path if path is None else _prefix_replaced(served.match, request.path, path)
    return Fact.of(Rewritten(host or request.authority, changed), place)


def redirect(served: Served) -> Fact[Redirect | None]:
    """Where the caller is sent; None: nowhere."""
    request, route = served.request, served.route
    host = request.authority
    if served.way is Way.HTTPS:
        return Fact.of(Redirect(301, "https", host, request.target), served.place)
    if route is None or route.action != "redirect":
        return Fact.of(None, served.place)
    if route.api in ("HTTPRoute", "GRPCRoute"):
        return _gateway_redirect(served, route)
    node = route.node.get("redirect")
    if not isinstance(node, Mapping):
        return Fact.missing("the redirect is no mapping", route.place())
    place = route.place("redirect")
    if any(is_placeholder(text_of(value)) for _, value in node.index.values()):
        return Fact.missing("the redirect is a template", place)
    uri, prefix = text_of(node.get("uri")), text_of(node.get("prefixRewrite"))
    path = request.target
    if uri is not None:
        path = _with_prefix(served.match, uri, request)
    elif prefix is not None:
        path = _prefix_replaced(served.match, request.path, prefix) + request.target[len(request.path) :]
    code = int_of(node.get("redirectCode")) or 301
    scheme = text_of(node.get("scheme")) or request.scheme
    written = text_of(node.get("authority")) or host
    return Fact.of(Redirect(code, scheme, written, path, int_of(node.get("port"))), place)


def direct_response(served: Served) -> Fact[DirectResponse | None]:
    route = served.route
    if route is None or route.action != "direct-response":
        return Fact.of(None, served.place)
    node = route.node.get("directResponse")
    status = int_of(node.dig("status")) if node is not None else None
    if status is None:
        return Fact.missing("the status is no number", route.place("directResponse"))
    body = text_of(node.dig("body", "string")) if node is not None else None
    return Fact.of(DirectResponse(status, body or ""), route.place("directResponse"))


def fault(served: Served) -> Fact[Fault]:
    """What is injected; nothing without a percentage."""
    route = served.route
    found = route.setting("fault") if route is not None and route.api == "VirtualService" else None
    if found is None or not isinstance(found[1], Mapping):
        return Fact.of(Fault(), served.place)
    place = found[0].place(found[1])
    abort, delay = found[1].get("abort"), found[1].get("delay")
    code = text_of(abort.dig("httpStatus")) or text_of(abort.dig("grpcStatus")) if abort is not None else None
    length = delay.dig("fixedDelay") if delay is not None else None
    waits = istio_duration(length).nanoseconds if length is not None else 0
    parts = [_percentage(node) for node in (abort, delay)]
    if waits is None or None in parts or is_placeholder(code):
        return Fact.missing("the fault is a template or refused", place)
    aborted, delayed = (part or 0.0 for part in parts)
    return Fact.of(
        Fault(
            code or "" if aborted else "", aborted if code else 0.0, waits if delayed else 0,
            delayed if waits else 0.0,
        ),
        place,
    )  # fmt: skip


def _weights(route: Route) -> list[int] | None:
    """None where one is a template. One destination alone gets everything."""
    default = 1 if route.api != "VirtualService" else 0
    written = [d.node.dig("weight") if isinstance(d.node, Mapping) else None for d in route.destinations]
    if any(node is not None and int_of(node) is None and text_of(node) is not None for node in written):
        return None
    weights = [default if d.weight is None else d.weight for d in route.destinations]
    alone = len(weights) == 1 and (route.api == "VirtualService" or weights[0] > 0)
    return [1] if alone else weights


def _port(destination: Destination, listener: int | None) -> int | None:
    """The port that a destination means: its own, the only one, or that of the listener (1.6)."""
    if destination.port is not None:
        return destination.port
    ports = {port.number for service in destination.services for port in service.ports}
    if len(ports) == 1:
        return ports.pop()
    return listener if listener in ports else None


def _prefix_replaced(match: Mapping | None, path: str, uri: str) -> str:
    """`rewrite.uri`: the part that a prefix matched is replaced, in all other cases the whole path."""
    node = match.get("uri") if match is not None else None
    prefix = text_of(node.dig("prefix")) if node is not None else None
    if node is None:
        prefix = "/"
    return uri + path[len(prefix) :] if prefix is not None else uri


def _with_prefix(match: Mapping | None, uri: str, request: HttpRequest) -> str:
    """`redirect.uri`, which may name the matched prefix; the query stays."""
    prefix = text_of(match.dig("uri", "prefix")) if match is not None else None
    query = request.target[len(request.path) :]
    if not uri.startswith(_PREFIX) or prefix is None:
        return uri + query
    return uri.removeprefix(_PREFIX) + request.path[len(prefix) :] + query


def _filter(route: Route, kind: str, key: str) -> Node | None:
    for entry in mappings(route.node.get("filters")):
        if text_of(entry.get("type")) == kind:
            return entry.get(key)
    return None


def _gateway_rewrite(served: Served, route: Route, same: Rewritten) -> Fact[Rewritten]:
    node = _filter(route, "URLRewrite", "urlRewrite")
    if node is None:
        return Fact.of(same, served.place)
    host = text_of(node.dig("hostname")) or same.host
    path = _replaced(node.dig("path"), served.match, same.path)
    return Fact.of(Rewritten(host, path), route.resource.place(node))


def _gateway_redirect(served: Served, route: Route) -> Fact[Redirect | None]:
    node = _filter(route, "RequestRedirect", "requestRedirect")
    request = served.request
    if node is None:
        return Fact.missing("the redirect is no mapping", route.place())
    code = int_of(node.dig("statusCode")) or 302
    scheme = text_of(node.dig("scheme")) or request.scheme
    host = text_of(node.dig("hostname")) or request.authority
    path = _replaced(node.dig("path"), served.match, request.path) + request.target[len(request.path) :]
    return Fact.of(Redirect(code, scheme, host, path, int_of(node.dig("port"))), route.resource.place(node))


def _replaced(node: Node | None, match: Mapping | None, path: str) -> str:
    """ReplaceFullPath or ReplacePrefixMatch."""
    if node is None:
        return path
    full = text_of(node.dig("replaceFullPath"))
    if full is not None:
        return full
    value = text_of(node.dig("replacePrefixMatch"))
    if value is None:
        return path
    prefix = (text_of(match.dig("path", "value")) if match is not None else None) or "/"
    rest = path[len(prefix.rstrip("/")) :].lstrip("/")
    return f"{value.rstrip('/')}/{rest}" if rest else value or "/"


def _percentage(node: Node | None) -> float | None:
    """The percentage of an abort or delay: 0 where none is written; None for a template."""
    if node is None:
        return 0.0
    value = node.dig("percentage", "value") or node.dig("percent")
    if value is None:
        return 0.0
    number = value.value if isinstance(value, Scalar) else None
    return float(number) if isinstance(number, (int, float)) and not isinstance(number, bool) else None


def _same(answers: list[Fact[Access]]) -> Fact[Access]:
    """One answer for all pods and destinations, or none."""
    if len({(a.state, a.value if a.known else None) for a in answers}) == 1:
        return answers[0]
    places = dict.fromkeys(place for answer in answers for place in answer.because)
    return Fact.missing("destinations of the request answer differently", *places)
