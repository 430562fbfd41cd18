"""What does a rule change in a request, or answer by itself: rewrites, redirects, direct responses, faults?

Spec traffic 5.1, 5.5, 5.6 and 5.8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from meshlint.mesh.facts import Fact
from meshlint.mesh.matches import HttpRequest
from meshlint.mesh.served import Served, Way
from meshlint.records import dataclass
from meshlint.source.durations import istio_duration
from meshlint.source.nodes import Mapping, Node, Scalar, int_of, mappings, text_of
from meshlint.source.templates import is_placeholder

if TYPE_CHECKING:
    from meshlint.mesh.routes import Route

_PREFIX: Final = "%PREFIX()%"


@dataclass(frozen=True, slots=True)
class Redirect:
    code: int
    scheme: str
    host: str
    path: str
    port: int | None = None


@dataclass(frozen=True, slots=True)
class DirectResponse:
    """`percent` is the part of the requests that gets it."""

    status: int
    body: str
    percent: float = 100.0


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


def to_https(served: Served) -> bool:
    """Does plain HTTP get nothing but a redirect to https?"""
    if served.request.scheme == "https":
        return False
    if served.way is Way.HTTPS:
        return True
    route = served.route
    if route is None or route.action != "redirect":
        return False
    if route.api in ("HTTPRoute", "GRPCRoute"):
        node = _filter(route, "RequestRedirect", "requestRedirect")
    else:
        node = route.node.get("redirect")
    return node is not None and text_of(node.dig("scheme")) == "https"


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
