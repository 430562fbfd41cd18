"""Does one match of a rule take one request? (spec traffic 1.10, 1.14, 5.5)

Answers are True, False or None: a template, or a regular expression that is not read. Conditions of one
match must all hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Mapping as MappingOf
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from meshlint.mesh.claims import CLAIMS, Claims, steps_of, values_of
from meshlint.mesh.facts import all_of, every
from meshlint.mesh.regex import full_match
from meshlint.mesh.routes import gateway_key
from meshlint.mesh.strings import matches_template
from meshlint.records import dataclass
from meshlint.source.nodes import (
    Mapping,
    Node,
    Scalar,
    Sequence,
    int_of,
    is_true,
    mappings,
    string_map,
    text_of,
    texts,
)
from meshlint.source.templates import is_placeholder

if TYPE_CHECKING:
    from meshlint.mesh.routes import Route

_STRINGS: Final = ("exact", "prefix", "regex")
#: conditions that become header or query matchers of Envoy, which keep a rule from being a catch-all
_NARROWING: Final = ("headers", "withoutHeaders", "queryParams", "method", "authority", "scheme")


@dataclass(frozen=True, slots=True)
class Sender:
    """The proxy that routes the request: that of the client, or the gateway's.

    `labels` are those of its pods, None where they are not known.
    """

    namespace: str
    labels: MappingOf[str, str] | None = None


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """`target` is the path with its query; names of `headers` are lower case; `port` is the listener's.

    `scheme` is '' where the request does not say: the listener does. `claims` are those of its token, none
    without a token, None where they are not known.
    """

    authority: str
    target: str = "/"
    method: str = "GET"
    scheme: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    port: int | None = None
    claims: Claims | None = None

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    def header(self, name: str) -> str | None:
        return dict(self.headers).get(name.lower())

    def parameter(self, name: str) -> str | None:
        pairs = parse_qsl(self.target.partition("?")[2], keep_blank_values=True)
        return next((value for key, value in pairs if key == name), None)


def takes(route: Route, match: Mapping | None, request: HttpRequest) -> bool | None:
    """What the request says against a match of a rule of any API; None stands for no match at all."""
    if match is None:
        return True
    if route.api == "VirtualService":
        return virtual_service_takes(match, request)
    if route.api == "APIRule":
        return _api_rule_takes(match, request)
    return (
        _grpc_route_takes(match, request) if route.api == "GRPCRoute" else _http_route_takes(match, request)
    )


def meant_for(match: Mapping, context: str, namespace: str, sender: Sender, port: int | None) -> bool | None:
    """Can the match apply in a context, ``mesh`` or a gateway's key, whatever the request is?

    `namespace` is that of the VirtualService. A match that lists gateways ignores who the client is.
    """
    wanted = int_of(match.get("port"))
    answer: bool | None = True
    if wanted:
        answer = None if port is None else wanted == port
    gateways = texts(match.get("gateways"))
    if gateways:
        return all_of(answer, any(gateway_key(g.text, namespace) == context for g in gateways))
    source = text_of(match.get("sourceNamespace"))
    if source:
        answer = all_of(answer, source == sender.namespace)
    labels = string_map(match.get("sourceLabels"))
    if labels:
        known = sender.labels
        answer = all_of(answer, None if known is None else labels.items() <= known.items())
    return answer


def doubt(route: Route, match: Mapping | None, request: HttpRequest) -> str:
    """Why it cannot be told whether a rule takes a request, in words."""
    name = text_of(route.node.get("name"))
    rule = f"rule {name}" if name else "a rule"
    nodes = [*_scalars(match)]
    names = [key for part in ("headers", "withoutHeaders") for key, _ in _entries(match and match.get(part))]
    if request.claims is None and any(key.startswith(CLAIMS) for key in names):
        why = ": it asks for claims of the token, which are not known"
    elif any(is_placeholder(node.text) for node in nodes):
        why = ": its match is a template"
    elif match is not None and texts(match.get("destinationSubnets")):
        why = ": it asks for addresses"
    elif route.api == "APIRule":
        why = ": its path is not read"
    else:
        why = ": its regular expression is not read" if "regex" in str(match and match.plain()) else ""
    return f"whether {rule} of {route.title} takes it cannot be told{why}"


def _scalars(node: Node | None) -> Iterator[Scalar]:
    if isinstance(node, Scalar):
        yield node
    elif isinstance(node, Mapping):
        for _, value in node.index.values():
            yield from _scalars(value)
    elif isinstance(node, Sequence):
        for item in node.items:
            yield from _scalars(item)


def virtual_service_takes(match: Mapping, request: HttpRequest) -> bool | None:
    """uri, scheme, method, authority, headers, withoutHeaders and queryParams."""
    return every(_virtual_service_answers(match, request))


def is_catch_all(match: Mapping | None) -> bool:
    """Does Istio see at once that the match takes everything? Such rules go to the end on gateways."""
    if match is None:
        return True
    if any(match.get(key) is not None for key in _NARROWING):
        return False
    uri = match.get("uri")
    if not isinstance(uri, Mapping):
        return True
    return text_of(uri.get("prefix")) == "/" or text_of(uri.get("regex")) == ".*"


def string_takes(node: Node | None, text: str, *, folded: bool = False) -> bool | None:
    """A StringMatch of Istio against a text."""
    if not isinstance(node, Mapping):
        return None if isinstance(node, Scalar) and node.value is not None else True
    for kind in _STRINGS:
        value = node.get(kind)
        if isinstance(value, Scalar):
            wanted = value.text if value.value is not None else ""
            return _compared(kind, wanted, text, folded)
    return True


def _compared(kind: str, wanted: str, text: str, folded: bool) -> bool | None:
    if is_placeholder(wanted):
        return None
    if kind == "regex":
        return full_match(wanted, text)
    if folded:
        wanted, text = wanted.lower(), text.lower()
    return wanted == text if kind == "exact" else text.startswith(wanted)


def _virtual_service_answers(match: Mapping, request: HttpRequest) -> Iterator[bool | None]:
    ignores_case = is_true(match.get("ignoreUriCase"))
    yield string_takes(match.get("uri"), request.path, folded=ignores_case)
    for name, text in (
        ("method", request.method), ("scheme", request.scheme), ("authority", request.authority),
    ):  # fmt: skip
        yield string_takes(match.get(name), text)
    yield from (_header(name, node, request) for name, node in _entries(match.get("headers")))
    for name, node in _entries(match.get("withoutHeaders")):
        yield _absent(name, node, request)
    for name, node in _entries(match.get("queryParams")):
        value = request.parameter(name)
        yield False if value is None else string_takes(node, value)


def _header(name: str, node: Node, request: HttpRequest) -> bool | None:
    if name.startswith(CLAIMS):
        return _claim(name, node, request)
    value = _pseudo(name, request) if name.startswith(":") else request.header(name)
    if value is None:
        return False
    return True if _is_presence(node) else string_takes(node, value)


def _absent(name: str, node: Node, request: HttpRequest) -> bool | None:
    """withoutHeaders: a header that is not there counts as an empty one, unless presence is asked for."""
    if name.startswith(CLAIMS):
        found = _claim(name, node, request)
        return None if found is None else not found
    value = request.header(name)
    if _is_presence(node):
        return value is None
    found = string_takes(node, value or "")
    return None if found is None else not found


def _claim(name: str, node: Node, request: HttpRequest) -> bool | None:
    """A claim of the token, any of whose values may match."""
    if request.claims is None:
        return None
    values = values_of(request.claims, steps_of(name))
    if _is_presence(node):
        return bool(values)
    answers = [string_takes(node, value) for value in values]
    return True if True in answers else None if None in answers else False


def _is_presence(node: Node) -> bool:
    """``{}``, and as a special case the expression ``*``, ask for the header alone."""
    if not isinstance(node, Mapping):
        return isinstance(node, Scalar) and node.value is None
    return not any(isinstance(node.get(k), Scalar) for k in _STRINGS) or text_of(node.get("regex")) == "*"


def _pseudo(name: str, request: HttpRequest) -> str | None:
    return {
        ":authority": request.authority,
        ":method": request.method,
        ":path": request.target,
        ":scheme": request.scheme,
    }.get(name)


def _http_route_takes(match: Mapping, request: HttpRequest) -> bool | None:
    method = text_of(match.get("method"))
    return every(
        (
            _path(match.get("path"), request.path),
            None if is_placeholder(method) else method in (None, request.method),
            *_named(match.get("headers"), request.header),
            *_named(match.get("queryParams"), request.parameter),
        )
    )


def _path(node: Node | None, path: str) -> bool | None:
    value = (text_of(node.dig("value")) if node is not None else None) or "/"
    kind = (text_of(node.dig("type")) if node is not None else None) or "PathPrefix"
    if is_placeholder(value) or kind not in ("Exact", "PathPrefix", "RegularExpression"):
        return None
    if kind == "Exact":
        return path == value
    if kind == "RegularExpression":
        return full_match(value, path)
    base = value.rstrip("/")
    return path == base or path.startswith(base + "/")


def _named(node: Node | None, value_of: Callable[[str], str | None]) -> Iterator[bool | None]:
    """Entries with name, type and value; of two with one name only the first counts."""
    seen = set()
    for entry in mappings(node):
        name = (text_of(entry.get("name")) or "").lower()
        if name in seen:
            continue
        seen.add(name)
        found = value_of(text_of(entry.get("name")) or "")
        wanted = text_of(entry.get("value")) or ""
        regex = text_of(entry.get("type")) == "RegularExpression"
        yield False if found is None else _compared("regex" if regex else "exact", wanted, found, False)


def _grpc_route_takes(match: Mapping, request: HttpRequest) -> bool | None:
    method = match.get("method")
    _, service, name = [*request.path.split("/"), "", ""][:3]
    answers: list[bool | None] = [request.method == "POST"]
    if isinstance(method, Mapping):
        kind = "regex" if text_of(method.get("type")) == "RegularExpression" else "exact"
        for key, text in (("service", service), ("method", name)):
            wanted = text_of(method.get(key))
            answers.append(True if wanted is None else _compared(kind, wanted, text, False))
    return every((*answers, *_named(match.get("headers"), request.header)))


def _api_rule_takes(rule: Mapping, request: HttpRequest) -> bool | None:
    methods = [item.text for item in texts(rule.get("methods"))]
    path = text_of(rule.get("path")) or "/"
    if methods and request.method not in methods:
        return False
    if path in ("/*", "/.*"):
        return True
    if "{" in path:
        return matches_template(path, request.path)
    return None if any(c in path for c in "*()[]|+$") else path == request.path


def _entries(node: Node | None) -> Iterator[tuple[str, Node]]:
    if isinstance(node, Mapping):
        yield from ((name, pair[1]) for name, pair in node.index.items())
