"""Which filters of HTTPRoutes and GRPCRoutes are refused? (spec schemas 4.1, traffic 5.9 and 7.5)

The API server checks that the body of a filter fits its type, that filters are not repeated, and what a
path is replaced with. Istio then translates fewer types of filters than the API has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshlint.checks.admission.blocks import Block
from meshlint.checks.admission.gateway_api import Filters, denied, filters, inert, length, rules, translated
from meshlint.findings import Draft
from meshlint.mesh.mesh import Mesh
from meshlint.source.nodes import Node, Scalar, Sequence

Options = Mapping[str, Any]

#: types of filters and the field that each of them reads
_BODIES: Final = {
    "RequestHeaderModifier": "requestHeaderModifier",
    "ResponseHeaderModifier": "responseHeaderModifier",
    "RequestMirror": "requestMirror",
    "RequestRedirect": "requestRedirect",
    "URLRewrite": "urlRewrite",
    "CORS": "cors",
    "ExtensionRef": "extensionRef",
    "ExternalAuth": "externalAuth",
}
_TYPES: Final = {body: kind for kind, body in _BODIES.items()}
_ONCE: Final = {
    "HTTPRoute": frozenset(
        {"RequestHeaderModifier", "ResponseHeaderModifier", "RequestRedirect", "URLRewrite", "CORS"}
    ),
    "GRPCRoute": frozenset({"RequestHeaderModifier", "ResponseHeaderModifier"}),
}
_MODIFIERS: Final = (("ReplaceFullPath", "replaceFullPath"), ("ReplacePrefixMatch", "replacePrefixMatch"))
_TRANSLATED: Final = frozenset(_BODIES) - {"ExtensionRef", "ExternalAuth"}
_TRANSLATED_FOR_BACKENDS: Final = frozenset({"RequestHeaderModifier", "ResponseHeaderModifier"})


def bodies(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """Each filter has the field of its type and no other, and so has each replacement of a path."""
    for group in filters(mesh):
        for item in group.items:
            yield from _body(item)
            for name in ("requestRedirect", "urlRewrite"):
                inner = item.block(name) if name in item.node.index else None
                path = inner.block("path") if inner else None
                if path is not None:
                    yield from _modifier(path)


def _body(item: Block) -> Iterator[Draft]:
    kind = item.text("type")
    wanted = _BODIES.get(kind or "")
    if kind is None or wanted is None:
        return
    for name in item.node.index:
        if name in _TYPES and name != wanted and item.has(name):
            yield denied(
                item.place(name, "key"),
                f"has {name} in a filter of the type {kind}",
                f"the type is {kind}",
                f"move it to a filter of its own with type: {_TYPES[name]}",
            )
    if wanted not in item.node.index:
        yield denied(
            item.place("type"),
            f"has a filter of the type {kind} without {wanted}",
            f"{wanted} is missing",
            f"add {wanted}",
        )


def _modifier(path: Block) -> Iterator[Draft]:
    kind = path.text("type")
    for value, name in _MODIFIERS:
        if kind == value and name not in path.node.index:
            yield denied(
                path.place("type"),
                f"replaces a path by {kind} without {name}",
                f"{name} is missing",
                f"add {name}",
            )
        elif kind is not None and kind != value and _given(path.node.get(name)):
            yield denied(
                path.place(name, "key"),
                f"has {name} where the type is {kind}",
                f"the type is {kind}",
                f"remove it, or write type: {value}",
            )


def _given(node: Node | None) -> bool:
    """An empty text counts as well, since it is a value; null does not."""
    return node is not None and not (isinstance(node, Scalar) and node.value is None)


def combinations(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """Filters that exclude each other, or backends."""
    for group in filters(mesh):
        yield from _repeated(group)
        yield from _redirect_and_rewrite(group)
        if group.backend is None and group.kind == "HTTPRoute":
            yield from _redirect_with_backends(group)


def _repeated(group: Filters) -> Iterator[Draft]:
    once = _ONCE.get(group.kind, frozenset())
    seen = set()
    for item in group.items:
        kind = item.text("type")
        if kind in seen and (kind != "CORS" or group.backend is None):
            yield denied(
                item.place("type"),
                f"has two filters of the type {kind} in one list",
                f"{kind} is there already",
                "put both into one filter",
            )
        if kind in once:
            seen.add(kind)


def _redirect_and_rewrite(group: Filters) -> Iterator[Draft]:
    found: dict[str | None, Block] = {}
    for item in group.items:
        found.setdefault(item.text("type"), item)
    if "RequestRedirect" in found and "URLRewrite" in found:
        later = max((found["RequestRedirect"], found["URLRewrite"]), key=lambda item: item.node.start)
        yield denied(
            later.place("type"),
            "has both a RequestRedirect and a URLRewrite in one list of filters",
            "redirect and rewrite exclude each other",
            "keep one of them; a redirect can name a new path and host itself",
        )


def _redirect_with_backends(group: Filters) -> Iterator[Draft]:
    if not length(group.rule, "backendRefs", 0):
        return
    for item in group.items:
        if item.has("requestRedirect"):
            yield denied(
                item.place("requestRedirect", "key"),
                "has a redirect in a rule with backends, which no request would reach",
                "excludes backendRefs",
                "remove backendRefs, or the filter",
            )


def prefix_replacement(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """What stands for a matched prefix needs exactly one match, and that of a prefix."""
    for rule in rules(mesh):
        if rule.resource.kind != "HTTPRoute":
            continue
        problem = _not_one_prefix(rule)
        for name in ("requestRedirect", "urlRewrite") if problem else ():
            for found in _replacing(rule, name):
                yield denied(
                    found.place("replacePrefixMatch"),
                    f"replaces a matched prefix in a rule that {problem}",
                    f"the rule {problem}",
                    "give the rule exactly one match, with a path of the type PathPrefix",
                )


def _not_one_prefix(rule: Block) -> str:
    """Absent matches are one of the prefix /, and so is the path of a match without one."""
    count = length(rule, "matches", 1)
    if count is None or (count == 1 and "matches" not in rule.node.index):
        return ""
    if count != 1:
        return f"has {count or 'no'} matches"
    for match in rule.blocks("matches"):
        path = match.block("path")
        kind = path.enum("type", "PathPrefix") if path else None
        if kind is not None and kind != "PathPrefix":
            return f"matches a path of the type {kind}"
    return ""


def _replacing(rule: Block, name: str) -> list[Block]:
    """The replacements of a prefix in a rule; two in one list, or in two backends, escape the check."""
    found = [] if (own := _only(rule, name)) is None else [own]
    inner = [path for backend in rule.blocks("backendRefs") if (path := _only(backend, name))]
    return found + (inner if len(inner) == 1 else [])


def _only(owner: Block, name: str) -> Block | None:
    found = [
        path
        for item in owner.blocks("filters")
        if name in item.node.index and (body := item.block(name)) and (path := body.block("path"))
        if path.text("type") == "ReplacePrefixMatch" and _given(path.node.get("replacePrefixMatch"))
    ]
    return found[0] if len(found) == 1 else None


def values(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """Shares of a mirror, wildcards in the lists of CORS, and lists that are sets."""
    for group in filters(mesh):
        for item in group.items:
            index = item.node.index
            if "requestMirror" in index and (mirror := item.block("requestMirror")):
                yield from _share(mirror)
            if "cors" in index and (cors := item.block("cors")):
                for name in ("allowOrigins", "allowMethods", "allowHeaders"):
                    yield from _wildcard(cors, name)
                for name in ("allowOrigins", "allowMethods", "allowHeaders", "exposeHeaders"):
                    yield from _twice(cors, name)
            for name in ("requestHeaderModifier", "responseHeaderModifier"):
                if name in index and (body := item.block(name)):
                    yield from _twice(body, "remove")


def _share(mirror: Block) -> Iterator[Draft]:
    if mirror.has("percent") and mirror.has("fraction"):
        yield denied(
            mirror.place("fraction", "key"),
            "mirrors both a percent and a fraction",
            "percent and fraction exclude each other",
            "keep one of them",
        )
    fraction = mirror.block("fraction")
    if fraction is None:
        return
    numerator = fraction.number("numerator")
    denominator = fraction.number("denominator") if "denominator" in fraction.node.index else 100
    if numerator is not None and denominator is not None and numerator > denominator:
        yield denied(
            fraction.place("numerator"),
            f"mirrors {numerator} of {denominator} requests",
            f"more than {denominator}",
            "write a numerator that is not above the denominator, which is 100 unless it is given",
        )


def _wildcard(cors: Block, name: str) -> Iterator[Draft]:
    node = cors.node.get(name)
    if isinstance(node, Sequence) and len(node.items) > 1:
        for item, text in cors.texts(name):
            if text == "*":
                yield denied(
                    cors.resource.place(item),
                    f"has * beside other entries in {name}",
                    "must be the only entry",
                    "keep the * alone, or remove it",
                )


def _twice(block: Block, name: str) -> Iterator[Draft]:
    seen = set()
    for item, text in block.texts(name):
        if text in seen:
            yield denied(
                block.resource.place(item),
                f"has {text!r} twice in {name}",
                "is in the list already",
                "remove it",
            )
        seen.add(text)


def unsupported(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """What Istio does not translate; it refuses the rule and says so in the status of the route."""
    for group in filters(mesh):
        if not translated(mesh)[id(group.rule.resource)]:
            continue
        known = _TRANSLATED if group.backend is None else _TRANSLATED_FOR_BACKENDS
        for item in group.items:
            kind = item.text("type")
            if kind in _BODIES and kind not in known:
                where = "of a backend" if group.backend else "of a rule"
                yield inert(
                    item.place("type"),
                    f"has a filter {where} of the type {kind}, which Istio does not translate;"
                    " it does not serve the route as written",
                    "no filter of Istio",
                    "move it to the rule" if kind in _TRANSLATED else "use the resources of Istio for that",
                )
