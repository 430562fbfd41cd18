"""Checks of the family resilience about timeouts and circuit breakers that are missing (spec traffic 8.4)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, Final

from meshlint.findings import Draft
from meshlint.mesh.destination_rules import DestinationRule, policies
from meshlint.mesh.facts import Fact
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.registry import HTTP_LIKE, Service
from meshlint.mesh.retries import (
    Retry,
)
from meshlint.mesh.routes import Route
from meshlint.mesh.scope import GATEWAY_API, ISTIO_NETWORKING, ISTIO_SECURITY, KYMA_GATEWAY, Evidence
from meshlint.resources import Place, Resource
from meshlint.source.durations import SECOND, Duration, gateway_duration, istio_duration, kyma_seconds, spell
from meshlint.source.nodes import Mapping as YamlMapping
from meshlint.source.nodes import Node, Scalar, Sequence, mappings, text_of
from meshlint.source.templates import is_placeholder

_POOL: Final = (
    "tcp.connectTimeout", "tcp.idleTimeout?", "tcp.maxConnectionDuration", "tcp.tcpKeepalive.time",
    "tcp.tcpKeepalive.interval", "http.idleTimeout", "http.http2KeepAlive.interval",
    "http.http2KeepAlive.timeout",
)  # fmt: skip
_POLICY: Final = (
    *(f"connectionPool.{path}" for path in _POOL), "outlierDetection.interval",
    "outlierDetection.baseEjectionTime", "loadBalancer.warmupDurationSecs", "loadBalancer.warmup.duration",
    "loadBalancer.consistentHash.httpCookie.ttl?",
)  # fmt: skip
#: (group, kind) -> paths of its durations below spec; ``*`` is every item, ``?`` allows zero
_DURATIONS: Final = {
    (ISTIO_NETWORKING, "VirtualService"): (
        "http.*.timeout", "http.*.retries.perTryTimeout", "http.*.retries.backoff",
        "http.*.fault.delay.fixedDelay", "http.*.corsPolicy.maxAge",
    ),
    (ISTIO_NETWORKING, "DestinationRule"): tuple(
        f"{where}.{path}"
        for where in (
            "trafficPolicy", "trafficPolicy.portLevelSettings.*", "subsets.*.trafficPolicy",
            "subsets.*.trafficPolicy.portLevelSettings.*",
        )
        for path in _POLICY
    ),
    (ISTIO_NETWORKING, "Sidecar"): tuple(
        f"{where}.{path}" for where in ("inboundConnectionPool", "ingress.*.connectionPool") for path in _POOL
    ),
    (ISTIO_SECURITY, "RequestAuthentication"): ("jwtRules.*.timeout",),
}  # fmt: skip


def _tree(paths: Iterable[str]) -> dict[str, Any]:
    """Paths -> a tree, so that a resource is walked once; a leaf says whether zero is allowed."""
    tree: dict[str, Any] = {}
    for path in paths:
        *steps, last = path.split(".")
        at = tree
        for step in steps:
            at = at.setdefault(step, {})
        at[last.removesuffix("?")] = last.endswith("?")
    return tree


_DURATION_TREES: Final = {kind: _tree(paths) for kind, paths in _DURATIONS.items()}


def timeout_invalid(mesh: Mesh, options: Mapping[str, Any]) -> Iterator[Draft]:
    for (group, kind), tree in _DURATION_TREES.items():
        for resource in mesh.scope.of(group, kind):
            for name, node, zero_allowed in _leaves(resource.get("spec"), tree):
                written = istio_duration(node, zero_allowed)
                if written.problem:
                    yield _invalid_duration(resource, name, node, written)


def _leaves(node: Node | None, tree: dict[str, Any] | bool) -> Iterator[tuple[str, Node, bool]]:
    """The fields of a node that a tree of paths names, with their names."""
    if isinstance(tree, bool) or node is None:
        return
    if isinstance(node, Sequence):
        for item in node.items:
            yield from _leaves(item, tree.get("*", False))
    elif isinstance(node, YamlMapping):
        for name, below in tree.items():
            value = node.get(name)
            if value is None:
                continue
            if isinstance(below, bool):
                yield name, value, below
            else:
                yield from _leaves(value, below)


def _invalid_duration(resource: Resource, name: str, node: Node, written: Duration) -> Draft:
    help_ = "write a number with a unit, such as 5s or 250ms"
    if isinstance(node, Scalar) and node.text in ("0", "0s", "0ms"):
        help_ = f"leave {name} out to have no limit; zero is refused"
    return Draft(
        Place(resource, node),
        f"{resource.title} sets {name} to {_shown(node)}, which {written.problem}; Istio refuses it",
        label=written.problem,
        help=help_,
    )


def timeout_httproute_grammar(mesh: Mesh, options: Mapping[str, Any]) -> Iterator[Draft]:
    for resource in mesh.scope.of(GATEWAY_API, "HTTPRoute"):
        for rule in resource.mappings("spec", "rules"):
            yield from _httproute_durations(resource, rule)


def _httproute_durations(resource: Resource, rule: YamlMapping) -> Iterator[Draft]:
    lengths = {}
    for path in (("timeouts", "request"), ("timeouts", "backendRequest"), ("retry", "backoff")):
        node = rule.dig(*path)
        if node is None:
            continue
        written = gateway_duration(node)
        lengths[path[1]] = written.nanoseconds
        if written.problem:
            yield Draft(
                Place(resource, node),
                f"{resource.title} sets {'.'.join(path)} to {_shown(node)}, which {written.problem}; "
                "the API server refuses it",
                label="no Gateway API duration",
                help="write whole numbers with a unit, such as 1500ms or 1m30s",
            )
    request, backend = lengths.get("request"), lengths.get("backendRequest")
    if request and backend and backend > request:
        yield _backend_longer(resource, rule, request, backend)


def _backend_longer(resource: Resource, rule: YamlMapping, request: int, backend: int) -> Draft:
    return Draft(
        resource.place_at("timeouts", "backendRequest", inside=rule),
        f"{resource.title} allows one try {spell(backend)} and the whole request {spell(request)}; "
        "the API server refuses a backendRequest above request",
        label=f"longer than request, {spell(request)}",
        help="set backendRequest to the time of one try, at most that of request",
        related=(("the whole request", resource.place_at("timeouts", "request", inside=rule)),),
    )


def timeout_httproute_overwritten(mesh: Mesh, options: Mapping[str, Any]) -> Iterator[Draft]:
    for route in mesh.routes.all:
        if route.api != "HTTPRoute" or isinstance(route.node.get("retry"), YamlMapping):
            continue
        nodes = [route.node.dig("timeouts", name) for name in ("request", "backendRequest")]
        request, backend = (gateway_duration(n).nanoseconds if n is not None else None for n in nodes)
        if request and backend and backend < request and mesh.routes.served_by_istio(route):
            yield Draft(
                route.place("timeouts", "request", part="pair"),
                f"{route.title} allows a request {spell(request)}, but Istio uses the backendRequest of "
                f"{spell(backend)} for the whole request, because the rule has no retry",
                label="ignored",
                help="leave backendRequest out, or add the retry that makes it a limit per try",
                related=(("used in its place", route.place("timeouts", "backendRequest", part="pair")),),
            )


def timeout_ineffective(mesh: Mesh, options: Mapping[str, Any]) -> Iterator[Draft]:
    for route in mesh.routes.all:
        name = "timeout" if route.api == "VirtualService" else "timeouts"
        if route.api == "APIRule" or route.node.get(name) is None:
            continue
        reason = _why_ineffective(mesh, route)
        if reason:
            yield Draft(
                route.place(name, part="key"),
                f"{route.title} sets a timeout on a rule that {reason}, so it limits nothing",
                label="has no effect",
                help="remove it"
                if route.protocol == "http"
                else "remove it; connectionPool.tcp of a DestinationRule limits idle and total time",
            )


def _why_ineffective(mesh: Mesh, route: Route) -> str:
    if route.protocol != "http":
        return f"routes {route.protocol} connections, where no such field exists"
    if route.api == "GRPCRoute":
        return "belongs to a GRPCRoute, where no such field exists"
    if route.action == "redirect":
        return "only redirects"
    if route.action == "direct-response":
        return "answers by itself"
    return "no client uses, as no port of its hosts carries HTTP" if mesh.routes.unused_http(route) else ""


def timeout_missing(mesh: Mesh, options: Mapping[str, Any]) -> Iterator[Draft]:
    seen: set[int] = set()
    for route in mesh.routes.all:
        if id(route.node) in seen or route.api == "GRPCRoute" or not _wants_timeout(route):
            continue
        timeout = mesh.timeouts.of(route)
        if timeout.known and timeout.value.kind == "disabled" and not _ignored(route.hosts, options):
            seen.add(id(route.node))
            yield _without_timeout(route, mesh.retries.of(route))
    yield from _services_without_route(mesh, options)


def _without_timeout(route: Route, retry: Fact[Retry]) -> Draft:
    key = "backendRefs" if route.api == "HTTPRoute" else "route"
    field = "timeouts.request" if route.api == "HTTPRoute" else "timeout"
    root = route.root
    related = (("delegated here without a timeout", root.place("delegate", part="key")),) if root else ()
    effect = "a hanging upstream holds its callers for as long as it likes"
    if retry.known and retry.value.attempts and retry.value.per_try:
        tries, each = retry.value.attempts + 1, retry.value.per_try
        effect = f"only each try is limited, so a request can take {spell(tries * each)} in {tries} tries"
    return Draft(
        route.place(key, part="key"),
        f"{route.title} sets no timeout on requests for {hosts_of(route)}: {effect}",
        label="no timeout on this rule",
        help=f"set {field} on the rule to the longest time that callers should wait",
        related=related,
    )


def _wants_timeout(route: Route) -> bool:
    """Not faults for tests, not streams, not what speaks another protocol than it says (spec 2.3, 2.4)."""
    if route.setting("fault") is not None or not route.destinations or route.binding.dead or route.shadowed:
        return False
    if _streams(route) or to_control_plane(route) or any(is_placeholder(host) for host in route.hosts):
        return False
    services = [s for d in route.destinations for s in d.services]
    return not services or not all(_not_http(s) for s in services)


def to_control_plane(route: Route) -> bool:
    """Proxies keep a stream to istiod open."""
    return any(d.host.startswith(("istiod.", "istiod-")) for d in route.destinations)


def _not_http(service: Service) -> bool:
    if service.kind == "external-name":
        return True
    sniffed = all(not port.protocol for port in service.ports)
    return service.kind == "headless" and bool(service.ports) and sniffed


_STREAM_WORDS: Final = frozenset(
    {"ws", "wss", "websocket", "websockets", "socket.io", "sockjs", "stream", "streams", "streaming", "sse"}
)
_WORDS: Final = re.compile(r"[/()|?*]+")


def _streams(route: Route) -> bool:
    """Does the rule look like one for connections that stay open: websockets, event streams?"""
    for match in (*route.matches, *(route.root.matches if route.root else ())):
        if _STREAM_WORDS.intersection(_path_words(match)):
            return True
        upgrade = match.dig("headers", "upgrade") or match.dig("headers", "Upgrade")
        if upgrade is not None:
            return True
    ports = [s.port(d.port) if d.port else None for d in route.destinations for s in d.services]
    return any(port is not None and port.app_protocol.startswith("kubernetes.io/ws") for port in ports)


def _path_words(match: YamlMapping) -> list[str]:
    uri = match.get("uri") or match.get("path")
    if isinstance(uri, Scalar):
        return _WORDS.split(uri.text.lower())
    if isinstance(uri, YamlMapping):
        values = [text_of(value) or "" for _, value in uri.index.values()]
        return [word for value in values for word in _WORDS.split(value.lower())]
    return []


def _services_without_route(mesh: Mesh, options: Mapping[str, Any]) -> Iterator[Draft]:
    """Only in a complete input is the absence of a route a fact.

    What a route for another host leads to, from a gateway or as one of several versions, is left to it.
    """
    if not mesh.settings.complete:
        return
    led_to = {s.host for route in mesh.routes.all for d in route.destinations for s in d.services}
    for service in mesh.registry.services:
        ports = [port for port in service.ports if port.protocol in HTTP_LIKE and port.protocol != "GRPC"]
        if not ports or not _is_application(mesh, service) or _ignored((service.host,), options):
            continue
        if mesh.routes.in_mesh(service.host) or mesh.timeouts.patches.anywhere(service.namespace):
            continue
        if service.host in led_to:
            continue
        yield Draft(
            service.resource.place(),
            f"{service.resource.title} speaks HTTP and no route leads to it, so calls to it have no timeout",
            label="called without a timeout",
            help=f"add a VirtualService for {service.name} with a timeout",
        )


def _is_application(mesh: Mesh, service: Service) -> bool:
    """Not a gateway, not outside of the mesh, not an alias: something whose callers are proxies."""
    if service.kind != "service" or service.namespace in ("kube-system", mesh.config.root):
        return False
    planes = mesh.data_planes.among(mesh.registry.workloads_of(service))
    return any(p.known and p.value.value in ("sidecar", "ambient") for p in planes)


def timeout_too_long(mesh: Mesh, options: Mapping[str, Any]) -> Iterator[Draft]:
    limit = options["seconds"] * SECOND
    seen: set[int] = set()
    for route in mesh.routes.all:
        timeout = mesh.timeouts.of(route)
        if not timeout.known or timeout.value.limit is None or timeout.value.limit <= limit:
            continue
        place = timeout.because[0]
        if timeout.reason or id(place.node) in seen:
            continue
        seen.add(id(place.node))
        yield Draft(
            place,
            f"{route.title} lets a request take {spell(timeout.value.limit)}; "
            f"the policy allows at most {spell(limit)}",
            label=f"above {spell(limit)}",
            help="shorten it, or raise the option seconds of the rule if callers do wait that long",
        )


STREAMING: Final = "meshlint.dev/streaming"


def timeout_streaming(mesh: Mesh, options: Mapping[str, Any]) -> Iterator[Draft]:
    for route in mesh.routes.all:
        timeout = mesh.timeouts.of(route)
        if not timeout.known or timeout.value.limit is None or timeout.reason:
            continue
        marked = _streaming_mark(route, options["paths"])
        if marked:
            yield Draft(
                timeout.because[0],
                f"{route.title} cuts every response after {spell(timeout.value.limit)}, "
                f"and {marked} says that responses here are streams",
                label="ends open streams",
                help="leave the timeout of the rule out and let an idle timeout close dead streams",
            )


def _streaming_mark(route: Route, paths: list[str]) -> str:
    marked = [route.resource, *(s.resource for d in route.destinations for s in d.services)]
    for resource in marked:
        if resource.annotations.get(STREAMING) == "true":
            return f"the annotation {STREAMING} of {resource.title}"
    for match in route.matches:
        uri = match.get("uri") or match.get("path")
        values = [uri, *(v for _, v in uri.index.values())] if isinstance(uri, YamlMapping) else [uri]
        for text in filter(None, map(text_of, values)):
            for path in paths:
                if text.startswith(path):
                    return f"the option paths ({path})"
    return ""


def apirule_timeout_range(mesh: Mesh, options: Mapping[str, Any]) -> Iterator[Draft]:
    for resource in mesh.scope.of(KYMA_GATEWAY, "APIRule"):
        owners = [resource.mapping("spec"), *resource.mappings("spec", "rules")]
        for node in (owner.get("timeout") for owner in owners if owner is not None):
            problem = kyma_seconds(node).problem if node is not None else ""
            if node is not None and problem:
                yield Draft(
                    Place(resource, node),
                    f"{resource.title} sets the timeout {_shown(node)}, which {problem}; "
                    "the API server refuses it",
                    label=problem,
                    help="write a whole number of seconds from 1 to 3900, without quotes and unit",
                )


def every_policy(rule: DestinationRule) -> Iterator[YamlMapping]:
    """Every policy of a DestinationRule: top level, subsets, ports."""
    for _, policy in policies(rule):
        yield policy
        yield from mappings(policy.get("portLevelSettings"))


def circuit_breaker_missing(mesh: Mesh, options: Mapping[str, Any]) -> Iterator[Draft]:
    if not mesh.config.setting("defaultTrafficPolicy").is_(None):
        return
    broken: dict[tuple[str, str], bool] = {}
    for service in mesh.registry.services:
        if not service.ports or not _is_application(mesh, service):
            continue
        rules = mesh.destination_rules.for_host(service.namespace, service)
        key = (service.namespace, service.host)
        if key not in broken:
            broken[key] = any(map(_breaks_circuits, rules))
        if broken[key]:
            continue
        confidence = "high" if rules else absence(mesh, service.namespace)
        if confidence:
            related = tuple(("used for it, without either", r.resource.place()) for r in rules[:3])
            yield Draft(
                service.resource.place(),
                f"{service.resource.title} has neither connection limits nor outlier detection, so a "
                "failing or slow pod keeps its share of the requests",
                label="no circuit breaker",
                help="add outlierDetection, or connectionPool limits, in a DestinationRule for it",
                related=related,
                confidence=confidence,
            )


_LIMITS: Final = (
    ("tcp", "maxConnections"),
    ("http", "http1MaxPendingRequests"),
    ("http", "http2MaxRequests"),
    ("http", "maxConcurrentStreams"),
)


def _breaks_circuits(rule: DestinationRule) -> bool:
    return any(
        policy.get("outlierDetection") is not None
        or any(policy.dig("connectionPool", *path) is not None for path in _LIMITS)
        for policy in every_policy(rule)
    )


def absence(mesh: Mesh, namespace: str) -> str:
    """Confidence of a finding that rests on a DestinationRule not being there; '' is none."""
    evidence = mesh.scope.evidence(ISTIO_NETWORKING, "DestinationRule", namespace)
    return {Evidence.CLOSED: "high", Evidence.LIKELY: "low"}.get(evidence, "")


def _shown(node: Node) -> str:
    return repr(node.text) if isinstance(node, Scalar) else "a list or mapping"


def hosts_of(route: Route) -> str:
    """The hosts of a rule, as messages name them."""
    return "all hosts" if "*" in route.hosts or not route.hosts else listed(route.hosts)


def listed(names: Iterable[str]) -> str:
    """``a, b and c``; of many the first three, and how many more there are."""
    found = list(names)
    if len(found) > 3:
        return f"{', '.join(found[:3])} and {len(found) - 3} more"
    return " and ".join([", ".join(found[:-1]), found[-1]] if len(found) > 1 else found)


def _ignored(hosts: Iterable[str], options: Mapping[str, Any]) -> bool:
    return any(fnmatchcase(host, pattern) for host in hosts for pattern in options["ignore_hosts"])
