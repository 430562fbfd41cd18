"""Which rules and matches of a VirtualService can never apply, because an earlier one takes all they match?

Istio's validation warns about some of these with a rough comparison; this follows the sound procedure
of spec traffic 5.3 and says nothing where a request could get through. Rules that delegate cover
nothing: what they take is written in another object.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from meshlint.checks.admission.blocks import Block
from meshlint.checks.admission.virtual_service import PROTOCOLS, specs
from meshlint.findings import Draft
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.routes import gateway_key
from meshlint.source.nodes import Mapping as YamlMapping
from meshlint.source.nodes import Node, Scalar, Sequence, int_of, string_map, text_of, texts

Options = Mapping[str, Any]

_KNOWN: Final = frozenset(
    {
        "name", "uri", "scheme", "method", "authority", "headers", "port", "sourceLabels", "gateways",
        "queryParams", "ignoreUriCase", "withoutHeaders", "sourceNamespace", "statPrefix",
    }
)  # fmt: skip
#: what istioctl says of rules that nothing reaches, and of matches without effect
_AFTER_ALL: Final = ("IST0130",)
_REPEATED: Final = ("IST0130", "IST0131")
_OVERLAP: Final = ("IST0131",)
_ANY: Final = frozenset({".*", "^.*$", "^.*"})
_LITERAL: Final = re.compile(r"\^?((?:[A-Za-z0-9/_:~@!#%&=,;-]|\\[./_-])*)(\.\*)?\$?\Z")
_ESCAPED: Final = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class Pattern:
    """What one string of a request must be. `form` is any, exact, prefix, regex, or '' for unknown."""

    form: str
    text: str = ""
    fold: bool = False


_EVERYTHING: Final = Pattern("any")


@dataclass(frozen=True, slots=True)
class Match:
    """One match of an HTTP rule; `clear` is False where something in it cannot be compared."""

    node: YamlMapping
    clear: bool
    port: int
    gateways: frozenset[str]
    labels: frozenset[tuple[str, str]]
    namespace: str
    strings: tuple[Pattern, ...]
    headers: dict[str, Pattern]
    without: dict[str, Pattern]
    query: dict[str, Pattern]


def unreachable(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for block in specs(mesh):
        for protocol in PROTOCOLS:
            rules = block.blocks(protocol)
            if len(rules) > 1 or any(len(rule.blocks("match")) > 1 for rule in rules):
                yield from _http(block, rules) if protocol == "http" else _streams(block, protocol, rules)


def _http(block: Block, rules: list[Block]) -> Iterator[Draft]:
    earlier = _Earlier()
    for rule in rules:
        matches = _matches(rule)
        dead: list[tuple[Match, Block, Match]] = []
        for match in matches:
            found = earlier.covering(match)
            if found is not None:
                dead.append((match, *found))
        if dead and len(dead) == len(matches):
            yield _dead_rule(block, "http", rule, dead[0][1], _what(dead[0][2]), _codes(dead))
        else:
            for match, other, cover in dead:
                yield _dead_match(block, match.node, other, _what(cover))
        yield from _redundant(block, rule, [m for m in matches if all(m is not d[0] for d in dead)])
        if "delegate" not in rule.node.index:
            for match in matches:
                earlier.add(rule, match)


class _Earlier:
    """The matches of the rules so far by path, so that a long list of rules costs no more per rule."""

    def __init__(self) -> None:
        self._by_path: dict[tuple[str, str], list[tuple[Block, Match]]] = {}
        self._lengths: set[int] = set()

    def add(self, rule: Block, match: Match) -> None:
        if not match.clear:
            return
        uri = match.strings[0]
        key = (uri.form, uri.text)
        if uri.fold or _any_path(uri):
            key = ("any", "")
        elif uri.form == "prefix":
            self._lengths.add(len(uri.text))
        self._by_path.setdefault(key, []).append((rule, match))

    def covering(self, match: Match) -> tuple[Block, Match] | None:
        """The first of them that takes all that a match takes, those of every path before others."""
        uri = match.strings[0]
        keys = [("any", ""), (uri.form, uri.text)]
        keys += [("prefix", uri.text[:length]) for length in self._lengths if length <= len(uri.text)]
        for key in keys:
            for rule, earlier in self._by_path.get(key, ()):
                if covers(earlier, match):
                    return rule, earlier
        return None


def _redundant(block: Block, rule: Block, matches: list[Match]) -> Iterator[Draft]:
    """Matches of one rule that another match of the same rule includes: superfluous, no more."""
    for number, match in enumerate(matches):
        cover = next((m for m in matches[:number] if m.clear and covers(m, match)), None)
        if cover is not None:
            yield _dead_match(block, match.node, rule, _what(cover), same=True)


def _codes(dead: list[tuple[Match, Block, Match]]) -> tuple[str, ...]:
    """Istioctl calls a rule dead after one without matches, or if its matches are written before alike."""
    if any("match" not in other.node.index for _, other, _ in dead):
        return _AFTER_ALL
    alike = all(_identity(match.node) == _identity(cover.node) for match, _, cover in dead)
    return _REPEATED if alike else _OVERLAP


def _dead_rule(
    block: Block, protocol: str, rule: Block, other: Block, what: str, codes: tuple[str, ...]
) -> Draft:
    title = block.resource.title
    return Draft(
        rule.place("match" if "match" in rule.node.index else "", "key"),
        f"{title} has {_article(rule, protocol)} that nothing reaches: an earlier one takes {what}",
        label="never reached",
        help="put the narrower rule first, or remove it",
        related=((f"takes {what}", other.place("match" if "match" in other.node.index else "", "key")),),
        equivalents=codes,
    )


def _article(rule: Block, protocol: str) -> str:
    name = rule.text("name")
    shown = {"http": "HTTP", "tls": "TLS", "tcp": "TCP"}[protocol]
    return f"the {shown} rule {name}" if name else f"a{'n' if protocol == 'http' else ''} {shown} rule"


def _dead_match(block: Block, node: YamlMapping, other: Block, what: str, same: bool = False) -> Draft:
    where = "another match of the same rule" if same else "an earlier rule"
    place = Block(block.resource, node).place()
    return Draft(
        place,
        f"{block.resource.title} has a match without effect: {where} takes {what}",
        label="has no effect",
        help="remove the match" if same else "put the narrower match first, or remove it",
        related=() if same else ((f"takes {what}", other.place("match", "key")),),
        severity="info" if same else None,
        equivalents=_OVERLAP,
    )


def _what(match: Match) -> str:
    uri = match.strings[0]
    shown = {"any": "every path", "prefix": f"all of {uri.text}*", "exact": uri.text}.get(
        uri.form, "the same"
    )
    conditions = len(match.headers) + len(match.without) + len(match.query)
    conditions += sum(1 for pattern in match.strings[1:] if pattern is not _EVERYTHING)
    return f"{shown} under the same conditions" if conditions else shown


def _matches(rule: Block) -> list[Match]:
    written = rule.node.get("match")
    if not isinstance(written, Sequence) or not written.items:
        absent = written is None or isinstance(written, Sequence)
        return [_match(Block(rule.resource, _nothing(rule.node)))] if absent else []
    return [_match(block) for block in rule.blocks("match")]


def _nothing(node: YamlMapping) -> YamlMapping:
    """The match of a rule that has none."""
    return YamlMapping(node.start, node.start, [], True)


def _match(block: Block) -> Match:
    index = block.node.index
    fold = block.true("ignoreUriCase")
    strings = [
        pattern(index[name][1], name == "uri" and fold) if name in index else _EVERYTHING
        for name in ("uri", "scheme", "method", "authority")
    ]
    maps = [_patterns(block, name) for name in ("headers", "withoutHeaders", "queryParams")]
    every = [*strings, *(p for patterns in maps for p in patterns.values())]
    gateways = frozenset(gateway_key(t.text, block.resource.ns) for t in texts(block.node.get("gateways")))
    return Match(
        node=block.node,
        clear=index.keys() <= _KNOWN and all(p.form for p in every) and _scalars(block),
        port=int_of(block.node.get("port")) or 0,
        gateways=gateways,
        labels=frozenset(string_map(block.node.get("sourceLabels")).items()),
        namespace=text_of(block.node.get("sourceNamespace")) or "",
        strings=tuple(strings),
        headers=maps[0],
        without=maps[1],
        query=maps[2],
    )


def _scalars(block: Block) -> bool:
    """Are the fields that are no patterns written as what they are?"""
    index = block.node.index
    shapes = (
        ("gateways", Sequence), ("sourceLabels", YamlMapping), ("headers", YamlMapping),
        ("withoutHeaders", YamlMapping), ("queryParams", YamlMapping), ("sourceNamespace", Scalar),
    )  # fmt: skip
    if any(name in index and not isinstance(index[name][1], shape) for name, shape in shapes):
        return False
    return "port" not in index or block.number("port") is not None


def _patterns(block: Block, name: str) -> dict[str, Pattern]:
    written = block.node.get(name)
    if not isinstance(written, YamlMapping):
        return {}
    if name == "queryParams":
        return {key: pattern(written.get(key)) for key in written.index}
    return {key.lower(): _header(written.get(key)) for key in written.index}


def pattern(node: Node | None, fold: bool = False) -> Pattern:
    """A StringMatch that can be compared; a regex that is a prefix or a literal becomes one."""
    if not isinstance(node, YamlMapping) or len(node.index) != 1:
        return Pattern("")
    ((form, (_, value)),) = node.index.items()
    text = value.string if isinstance(value, Scalar) else None
    if text is None or form not in ("exact", "prefix", "regex"):
        return Pattern("")
    if form != "regex":
        return Pattern(form, text.lower() if fold else text, fold)
    if text in _ANY:
        return _EVERYTHING
    literal = _LITERAL.match(text)
    if literal is None:
        return Pattern("regex", text)
    return Pattern("prefix" if literal.group(2) else "exact", _ESCAPED.sub(r"\1", literal.group(1)))


def _header(node: Node | None) -> Pattern:
    """The pattern of a header, where nothing and a star ask for presence."""
    if isinstance(node, YamlMapping) and (not node.index or text_of(node.get("regex")) == "*"):
        return _EVERYTHING
    return pattern(node)


def covers(outer: Match, inner: Match) -> bool:
    """Does every request that `inner` matches also match `outer`? False where that is not certain."""
    return (
        inner.clear
        and outer.clear
        and outer.port in (0, inner.port)
        and _same_clients(outer, inner)
        and (_any_path(outer.strings[0]) or _includes(outer.strings[0], inner.strings[0]))
        and all(_includes(o, i) for o, i in zip(outer.strings[1:], inner.strings[1:], strict=True))
        and _all_of(outer.headers, inner.headers)
        and outer.without.items() <= inner.without.items()
        and _all_of(outer.query, inner.query)
    )


def _same_clients(outer: Match, inner: Match) -> bool:
    """A match that lists gateways looks at nothing else of the client (spec traffic 1.10)."""
    if outer.gateways:
        return bool(inner.gateways) and inner.gateways <= outer.gateways
    if not outer.labels and not outer.namespace:
        return True
    return not inner.gateways and outer.labels <= inner.labels and outer.namespace in ("", inner.namespace)


def _any_path(uri: Pattern) -> bool:
    return uri.form == "any" or (uri.form == "prefix" and uri.text in ("", "/"))


def _includes(outer: Pattern, inner: Pattern) -> bool:
    if outer.form == "any":
        return True
    if outer.form == "regex" or inner.form in ("regex", "any"):
        return outer == inner
    if inner.fold and not outer.fold:
        return False
    text = inner.text.lower() if outer.fold else inner.text
    if outer.form == "exact":
        return inner.form == "exact" and text == outer.text
    return text.startswith(outer.text)


def _all_of(outer: dict[str, Pattern], inner: dict[str, Pattern]) -> bool:
    return all(name in inner and _includes(wanted, inner[name]) for name, wanted in outer.items())


def _streams(block: Block, protocol: str, rules: list[Block]) -> Iterator[Draft]:
    """TCP and TLS: rules after one without matches, and repeated matches."""
    open_rule: Block | None = None
    seen: dict[str, Block] = {}
    for rule in rules:
        matches = rule.blocks("match")
        if open_rule is not None:
            yield _dead_rule(block, protocol, rule, open_rule, "every connection", _AFTER_ALL)
            continue
        if rule.lacks("match"):
            open_rule = rule if protocol == "tcp" else None
            continue
        keys = [_identity(match.node) for match in matches]
        again = [(match, seen[key]) for match, key in zip(matches, keys, strict=True) if key in seen]
        if again and len(again) == len(matches):
            yield _dead_rule(block, protocol, rule, again[0][1], "the same connections", _REPEATED)
        else:
            for match, other in again:
                yield _dead_match(block, match.node, other, "the same connections", same=other is rule)
        for key in keys:
            seen.setdefault(key, rule)


def _identity(match: YamlMapping) -> str:
    """A match without its name, in one order of keys."""
    plain = match.plain()
    assert isinstance(plain, dict)  # noqa: S101
    return repr(sorted((key, value) for key, value in plain.items() if key != "name"))
