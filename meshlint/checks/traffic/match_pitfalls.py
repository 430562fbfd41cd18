"""Which matches of a VirtualService do something else than they seem to say? (spec traffic 5.5)

Istio takes all of this and proxies do what is written; rules of the profile strict tell what that is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshlint.checks.admission.blocks import Block
from meshlint.checks.admission.grammar import LONGEST_REGEX
from meshlint.checks.admission.virtual_service import http_rules
from meshlint.findings import Draft
from meshlint.mesh.delegates import MAP_FIELDS, STRING_FIELDS
from meshlint.mesh.mesh import Mesh
from meshlint.source.nodes import Scalar
from meshlint.source.templates import is_placeholder

Options = Mapping[str, Any]

_SPECIAL: Final = re.compile(r"[\\.^$*+?{}\[\]|()]")
#: escaped characters and classes, in which a dot is meant as it stands
_WRITTEN_OUT: Final = re.compile(r"\\.|\[[^\]]*\]")
_ANY_LETTER: Final = re.compile(r"[A-Za-z0-9-]\.[A-Za-z0-9]")
_AT_END: Final = re.compile(r"(?<!\\)(?:\\\\)*\$$")
#: keys of headers that have a field of their own
_PSEUDO: Final = {":authority": "authority", ":path": "uri", ":method": "method", ":scheme": "scheme"}
_DEFAULT_PORT: Final = re.compile(r":(?:80|443)$")
_DEFAULT_PORTS: Final = frozenset({80, 443})


# -- vs-regex-pitfall -----------------------------------------------------------------------------


def regex(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for rule in http_rules(mesh):
        for match in rule.blocks("match"):
            for name, value in _values(match):
                text = value.text("regex")
                if text and len(text.encode()) <= LONGEST_REGEX:
                    yield from _expression(name, value, text)


def _values(match: Block) -> Iterator[tuple[str, Block]]:
    """The things that are compared in a match, with the name of what they are compared with."""
    for name in STRING_FIELDS:
        value = match.block(name) if name in match.node.index else None
        if value is not None:
            yield name, value
    for name in MAP_FIELDS:
        listed = match.block(name) if name in match.node.index else None
        for key in listed.node.index if listed is not None else ():
            value = listed.block(key) if listed is not None else None
            if value is not None:
                yield f"{name}.{key}", value


def _expression(name: str, value: Block, text: str) -> Iterator[Draft]:
    bare = text.removeprefix("^")
    bare = bare[:-1] if _AT_END.search(bare) else bare
    if name == "uri" and bare and not _SPECIAL.search(bare):
        yield Draft(
            value.place("regex"),
            f"{value.resource.title} matches the path with the regular expression {text}, which has to fit "
            f"all of it and so takes {bare} alone",
            label="nothing that varies",
            help=f"write exact: {bare}, or prefix for all paths below",
            severity="warning",
        )
    elif bare != text and "|" not in text:
        yield Draft(
            value.place("regex"),
            f"{value.resource.title} anchors the regular expression {text}; it always has to fit the whole "
            "value, so ^ and $ say nothing",
            label="anchored anyway",
            help="leave the anchors out; for a part of the value write .* on either side",
        )
    elif name in ("uri", "authority") and (dot := dot_for_any_letter(text)):
        yield Draft(
            value.place("regex"),
            f"{value.resource.title} matches the {'path' if name == 'uri' else name} with the regular "
            f"expression {text}, in which the dot of {dot[0]} stands for any letter",
            label="any letter in place of the dot",
            help=r"write \. for a dot",
        )


def dot_for_any_letter(text: str) -> re.Match[str] | None:
    """A dot between letters of a name in a regular expression that is neither escaped nor in a class."""
    return _ANY_LETTER.search(_WRITTEN_OUT.sub("", text))


# -- vs-match-pitfall -----------------------------------------------------------------------------


def match(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for rule in http_rules(mesh):
        matches = rule.blocks("match")
        for one in matches:
            if not one.node.index.keys() - {"name"}:
                yield _everything(one, len(matches))
            yield from _headers(one)
            yield from _authority(mesh, one)


def _everything(one: Block, number: int) -> Draft:
    others = ", so that the other matches of the rule say nothing" if number > 1 else ""
    return Draft(
        one.resource.place(one.node),
        f"{one.resource.title} has an empty match, which every request meets{others}",
        label="every request",
        help="leave match out where the rule is for all requests, or write what is to be matched",
    )


def _headers(one: Block) -> Iterator[Draft]:
    for field in ("headers", "withoutHeaders"):
        listed = one.block(field) if field in one.node.index else None
        for name, (key, node) in listed.node.index.items() if listed is not None else ():
            if not isinstance(name, str) or is_placeholder(name):
                continue
            place = one.resource.place(key)
            if name in _PSEUDO:
                yield Draft(
                    place,
                    f"{one.resource.title} matches the header {name}, for which matches have the field "
                    f"{_PSEUDO[name]}",
                    label=f"use {_PSEUDO[name]}",
                    help=f"write {_PSEUDO[name]} beside headers",
                )
            elif name != name.lower() and not name.startswith("@"):
                yield Draft(
                    place,
                    f"policy: {one.resource.title} matches the header {name}; the API asks for names in "
                    "lower case, as proxies compare them",
                    label="not in lower case",
                    help=f"write {name.lower()}",
                )
            exact = node.dig("exact")
            if isinstance(exact, Scalar) and exact.value == "":
                yield Draft(
                    one.resource.place(exact),
                    f"{one.resource.title} matches the header {name} with an empty text, which only a header "
                    "without a value has, not an absent one",
                    label="a header without a value",
                    help="leave the condition empty ({}) for any value, or use withoutHeaders for none",
                )


def _authority(mesh: Mesh, one: Block) -> Iterator[Draft]:
    value = one.block("authority") if "authority" in one.node.index else None
    text = value.text("exact") if value is not None else None
    if value is None or not text:
        return
    if _DEFAULT_PORT.search(text):
        yield Draft(
            value.place("exact"),
            f"{one.resource.title} matches the authority {text}: clients leave out the port where it is the "
            "default one, and their requests do not match",
            label="with a port that clients leave out",
            help="match by prefix, or by a regular expression with the port as an option",
        )
    elif ":" not in text and (port := _unusual_port(mesh, one)) is not None:
        yield Draft(
            value.place("exact"),
            f"{one.resource.title} matches the authority {text}, and clients that call port {port} send "
            f"{text}:{port}",
            label="without the port that clients send",
            help="match by prefix, or by a regular expression with the port as an option",
        )


def _unusual_port(mesh: Mesh, one: Block) -> int | None:
    """A port that all callers write, as the hosts have none of the default ports."""
    ports: set[int] = set()
    for route in mesh.routes.of(one.resource):
        binding = route.binding
        if not route.mesh or binding.gateways or binding.unsure_gateways or binding.missing:
            return None
        for host in binding.mesh_hosts:
            services = mesh.registry.by_host(host)
            if not services:
                return None
            ports |= {port.number for service in services for port in service.ports}
    return min(ports) if ports and not ports & _DEFAULT_PORTS else None
