"""Which token settings of an APIRule does Kyma refuse? (spec schemas 4.2, ecosystem f.4)"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from meshlint.checks.admission.api_rule import failed, rules, specs
from meshlint.checks.admission.blocks import Block
from meshlint.checks.admission.gateway_api import length
from meshlint.checks.admission.urls import scheme_of, url_problem
from meshlint.findings import Draft
from meshlint.mesh.mesh import Mesh

Options = Mapping[str, Any]


def _settings(rule: Block) -> Iterator[tuple[str, Block]]:
    """The blocks with the shape of `jwt`, and what messages call them."""
    index = rule.node.index
    if "jwt" in index and (jwt := rule.block("jwt")):
        yield "jwt", jwt
    if "extAuth" in index and (external := rule.block("extAuth")):
        restrictions = external.block("restrictions")
        if restrictions is not None:
            yield "restrictions", restrictions


def tokens(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """Who may have issued a token, and where it is found."""
    for rule in rules(mesh):
        for name, block in _settings(rule):
            if name == "jwt" and length(block, "authentications", 0) == 0:
                yield failed(
                    block.place("authentications", "key"),
                    "asks for a token without saying whose",
                    "no authentications",
                    "add authentications with issuer and jwksUri",
                )
            for entry in block.blocks("authentications"):
                yield from _issuer(entry)
                yield from _sources(entry)


def _issuer(entry: Block) -> Iterator[Draft]:
    for name in ("issuer", "jwksUri"):
        text = entry.text(name)
        if text is None:
            continue
        problem = "is empty" if not text else _uri_problem(text) if name == "jwksUri" or ":" in text else ""
        if problem:
            yield failed(
                entry.place(name),
                f"has the {name} {text!r}, which {problem}",
                problem,
                "write a URL such as https://issuer.example.com",
            )


def _uri_problem(text: str) -> str:
    problem = url_problem(text, requested=True)
    return problem or ("" if scheme_of(text) else "is no URL with a scheme such as https")


def _sources(entry: Block) -> Iterator[Draft]:
    written = [name for name in ("fromHeaders", "fromParams") if length(entry, name, 0)]
    if len(written) == 2:
        yield failed(
            entry.place("fromParams", "key"),
            "reads a token both from headers and from parameters",
            "fromHeaders is there as well",
            "keep one of the two",
        )
    for name in written:
        count = length(entry, name, 0) or 0
        if count > 1:
            yield failed(
                entry.place(name, "key"),
                f"reads a token from {count} places in {name}",
                f"{count} entries",
                "keep one entry",
            )


def authorizations(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """Lists that are there and ask for nothing."""
    for rule in rules(mesh):
        for _, block in _settings(rule):
            yield from _empty(block, "authorizations")
            for entry in block.blocks("authorizations"):
                yield from _empty(entry, "requiredScopes")
                yield from _empty(entry, "audiences")


def _empty(block: Block, name: str) -> Iterator[Draft]:
    if name in block.node.index and length(block, name, 0) == 0:
        yield failed(
            block.place(name, "key"),
            f"has {name} without an entry",
            "the list is empty",
            f"add an entry, or remove {name}",
        )


def consistency(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """One issuer with one set of keys is asked for its tokens in the same way by all rules."""
    for spec in specs(mesh):
        first: dict[tuple[str, str], tuple[object, Block]] = {}
        for rule in spec.blocks("rules"):
            for entry in (e for _, block in _settings(rule) for e in block.blocks("authentications")):
                issuer, keys = entry.text("issuer"), entry.text("jwksUri")
                if not issuer or not keys:
                    continue
                sources = _plain(entry)
                known, other = first.setdefault((issuer, keys), (sources, entry))
                if known != sources:
                    draft = failed(
                        entry.place("issuer"),
                        f"reads tokens of {issuer} from another place than an earlier rule does",
                        "another fromHeaders or fromParams",
                        "give every entry with this issuer and jwksUri the same fromHeaders and fromParams",
                    )
                    yield replace(draft, related=(("the earlier entry", other.place("issuer")),))


def _plain(entry: Block) -> object:
    nodes = [entry.node.get(name) for name in ("fromHeaders", "fromParams")]
    return [node.plain() if node is not None else [] for node in nodes]
