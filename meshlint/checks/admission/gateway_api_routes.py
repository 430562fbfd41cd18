"""Which routes of the Gateway API are refused, or lead nowhere? (spec schemas 4.1, traffic 1.14 and 7.5)

Parents, backends, weights, names and numbers; `gateway_api_matches` and `gateway_api_filters` have the
rest of a rule.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from meshlint.checks.admission.blocks import Block
from meshlint.checks.admission.gateway_api import (
    denied,
    inert,
    length,
    references,
    routes,
    rules,
    target,
    translated,
)
from meshlint.findings import Draft
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.scope import GATEWAY_API, ISTIO_NETWORKING
from meshlint.source.nodes import Sequence

Options = Mapping[str, Any]

MOST_MATCHES: Final = 128
#: what Istio sends requests to, with the groups of each kind
_BACKENDS: Final = {
    "Service": ("",),
    "Hostname": (ISTIO_NETWORKING,),
    "ServiceImport": ("multicluster.x-k8s.io",),
    "InferencePool": ("inference.networking.k8s.io", "inference.networking.x-k8s.io"),
    "XBackend": ("gateway.networking.x-k8s.io",),
}
_FAILS: Final = "its requests are answered with 500"
#: filters of other makers may answer by themselves
_ANSWERING: Final = frozenset({"RequestRedirect", "ExtensionRef", None})


def parents(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """The same parent twice is told apart by section or port, in every reference or in none."""
    for route in routes(mesh):
        parents = route.blocks("parentRefs")
        if len(parents) > 1:
            yield from repeated(parents, GATEWAY_API, "Gateway", "parent", ("sectionName", "port"))


def repeated(refs: list[Block], group: str, kind: str, what: str, parts: tuple[str, ...]) -> Iterator[Draft]:
    """References to the same object of which one makes the other ambiguous."""
    first: dict[tuple[str | None, ...], list[Block]] = {}
    for ref in refs:
        named = target(ref, group, kind)
        if None in named:
            continue
        others = first.setdefault(named, [])
        problem = next((found for other in others if (found := _clash(other, ref, parts))), "")
        others.append(ref)
        if problem:
            yield denied(
                ref.place("name"),
                f"names the {what} {ref.text('name')!r} a second time {problem}",
                problem,
                f"set {' or '.join(parts)} in each of the references, to different values",
            )


def _clash(one: Block, other: Block, parts: tuple[str, ...]) -> str:
    written = [[part in ref.node.index for ref in (one, other)] for part in parts]
    if any(ref.node.get(part) is not None and not ref.text(part) for ref in (one, other) for part in parts):
        return ""
    if written[0][0] != written[0][1]:
        return f"with {parts[0]} in only one of the two"
    if one.text(parts[0]) != other.text(parts[0]):
        return ""
    for part, there in zip(parts[1:], written[1:], strict=True):
        if there[0] != there[1]:
            return f"with {part} in only one of the two"
        if one.text(part) != other.text(part):
            return ""
    return f"with the same {parts[0]}" if written[0][0] else f"without a {parts[0]}"


def backend_port(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for block, what in references(mesh):
        service = block.enum("group", "") == "" and block.enum("kind", "Service") == "Service"
        if service and "port" not in block.node.index:
            yield denied(
                block.place("name"),
                f"does not say which port of {what} {block.text('name') or ''!r} is meant",
                "port is missing",
                "add port, with the number of a port of the Service",
            )


def backend_kind(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """Backends that Istio cannot resolve, whatever is in the cluster."""
    for block, what in references(mesh):
        group, kind, name = block.enum("group", ""), block.enum("kind", "Service"), block.text("name")
        if group is None or kind is None:
            continue
        if (group, kind) == ("", "Service"):
            yield from _service_name(block, what, name)
        elif not translated(mesh)[id(block.resource)]:
            continue
        elif group not in _BACKENDS.get(kind, ()):
            yield _foreign_backend(block, what, group, kind)
        elif kind == "Hostname" and block.has("namespace"):
            yield inert(
                block.place("namespace", "key"),
                f"gives {what} {name!r} a namespace, which a Hostname has not; {_FAILS}",
                "a Hostname has no namespace",
                "remove namespace, and write the whole host name",
            )


def _service_name(block: Block, what: str, name: str | None) -> Iterator[Draft]:
    if name and "." in name:
        draft = inert(
            block.place("name"),
            f"names {what} {name!r}, but Services have no dots in their names; {_FAILS}",
            "a host name, not that of a Service",
            "write the name of the Service, and its namespace under namespace",
        )
        yield replace(draft, equivalents=("KIA1402",))


def _foreign_backend(block: Block, what: str, group: str, kind: str) -> Draft:
    named = f"{kind} of {group}" if group else f"{kind} of the core group"
    return inert(
        block.place("kind" if "kind" in block.node.index else "group"),
        f"sends to {what} {block.text('name') or ''!r} of the kind {named}, which Istio does not know;"
        f" {_FAILS}",
        "no backend for Istio",
        f"use one of {', '.join(_BACKENDS)}, with the group of that kind",
    )


def weights(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """Rules whose requests all fail, since no backend has a share of them."""
    for rule in rules(mesh):
        kind = rule.resource.kind
        backends = rule.blocks("backendRefs")
        if length(rule, "backendRefs", 0) != len(backends) or kind == "UDPRoute":
            continue
        if kind in ("HTTPRoute", "GRPCRoute") and _answers(rule):
            continue
        effect = "every request is answered with 500"
        if kind not in ("HTTPRoute", "GRPCRoute"):
            effect = "every connection is refused"
        if backends and all(backend.number("weight") == 0 for backend in backends):
            yield inert(
                backends[0].place("weight"),
                f"gives every backend of a rule the weight 0: {effect}",
                "no backend has a share",
                "give a weight to at least one backend",
            )
        elif not backends and kind in ("HTTPRoute", "GRPCRoute"):
            yield inert(
                rule.place("backendRefs", "key"),
                f"has a rule without backends and without a redirect: {effect}",
                "no backend",
                "add backendRefs, or a filter of the type RequestRedirect",
                severity="warning",
            )


def _answers(rule: Block) -> bool:
    """May a filter answer in place of a backend? Yes also where its type is unknown."""
    if length(rule, "filters", 0) is None:
        return True
    return any(item.text("type") in _ANSWERING for item in rule.blocks("filters"))


def match_count(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for route in routes(mesh):
        kind = route.resource.kind
        items = route.node.get("rules")
        if kind not in ("HTTPRoute", "GRPCRoute") or not isinstance(items, Sequence):
            continue
        absent = 1 if kind == "HTTPRoute" else 0
        count = sum(length(rule, "matches", absent) or 0 for rule in route.blocks("rules"))
        if count > MOST_MATCHES:
            yield denied(
                route.place("rules", "key"),
                f"has {count} matches in all rules, and {MOST_MATCHES} are allowed",
                f"{count} matches",
                "split the route into several; routes of one host name are merged",
            )


def rule_names(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for route in routes(mesh):
        if route.resource.kind != "HTTPRoute":
            continue
        seen: set[str] = set()
        for rule in route.blocks("rules"):
            name = rule.text("name") if "name" in rule.node.index else None
            if name in seen:
                yield denied(
                    rule.place("name"),
                    f"has two rules named {name!r}",
                    "the name is taken",
                    "give each rule a name of its own, or none",
                )
            elif name:
                seen.add(name)


def sessions(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """A cookie that outlives the browser needs an end (experimental channel)."""
    for rule in rules(mesh):
        session = rule.block("sessionPersistence") if "sessionPersistence" in rule.node.index else None
        cookie = session.block("cookieConfig") if session else None
        permanent = cookie is not None and cookie.text("lifetimeType") == "Permanent"
        if session and cookie and permanent and "absoluteTimeout" not in session.node.index:
            yield denied(
                cookie.place("lifetimeType"),
                "keeps sessions by a permanent cookie without an absoluteTimeout",
                "absoluteTimeout is missing",
                "add absoluteTimeout to sessionPersistence, or write lifetimeType: Session",
            )
