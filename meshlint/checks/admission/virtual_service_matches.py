"""Which matches of a VirtualService does Istio's validation refuse? (spec schemas 3.3, traffic 5.5)"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from meshlint.checks.admission.blocks import Block, once, refused
from meshlint.checks.admission.grammar import (
    header_name_problem,
    is_claim_header,
    label_key_problem,
    label_problem,
    label_value_problem,
    port_problem,
    regex_problem,
    subnet_problem,
)
from meshlint.checks.admission.virtual_service import http_rules, matches
from meshlint.findings import Draft
from meshlint.mesh.delegates import MAP_FIELDS, STRING_FIELDS
from meshlint.mesh.mesh import Mesh
from meshlint.source.nodes import Mapping as YamlMapping
from meshlint.source.nodes import Scalar
from meshlint.source.templates import is_placeholder

Options = Mapping[str, Any]


@once
def _strings(mesh: Mesh) -> list[tuple[str, Block]]:
    """Every exact, prefix or regex of the HTTP matches, with the field where it stands."""
    http = (match for protocol, match in matches(mesh) if protocol == "http")
    return [found for match in http for found in string_matches(match)]


def values(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for protocol, match in matches(mesh):
        if protocol == "http":
            yield from _names(match)
    for where, value in _strings(mesh):
        if where != "uri" and "prefix" in value.node.index and value.text("prefix") == "":
            yield refused(
                value.place("prefix"),
                f"matches an empty prefix in {where}",
                "empty prefix",
                "write {} to ask for presence" if where == "headers" else "leave the match out",
            )


def _names(match: Block) -> Iterator[Draft]:
    for where in ("headers", "withoutHeaders"):
        names = match.node.index[where][1] if where in match.node.index else None
        for key in names.index.values() if isinstance(names, YamlMapping) else ():
            name = key[0].text
            problem = header_name_problem(name.removeprefix(":"))
            if problem and not is_placeholder(name) and not is_claim_header(name):
                yield refused(
                    match.resource.place(key[0]),
                    f"matches the header {name!r} in {where}, which {problem}",
                    problem,
                    "header names have letters, digits and - . _ only",
                )


def string_matches(match: Block) -> Iterator[tuple[str, Block]]:
    """Every exact, prefix or regex of an HTTP match, with the field where it stands."""
    index = match.node.index
    for where in STRING_FIELDS:
        if where in index and (value := match.block(where)):
            yield where, value
    for where in MAP_FIELDS:
        values = match.block(where) if where in index else None
        for name in values.node.index if values else ():
            if values and (value := values.block(name)):
                yield where, value


def regexes(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for where, value in _strings(mesh):
        if "regex" in value.node.index and (where != "withoutHeaders" or value.text("regex") != "*"):
            yield from _regex(value, "regex", where)
    for rule in http_rules(mesh):
        index = rule.node.index
        if "corsPolicy" in index and (cors := rule.block("corsPolicy")):
            for origin in cors.blocks("allowOrigins"):
                yield from _regex(origin, "regex", "corsPolicy.allowOrigins", filled=True)
        rewrite = rule.block("rewrite") if "rewrite" in index else None
        if rewrite is not None and (found := rewrite.block("uriRegexRewrite")):
            yield from _regex(found, "match", "rewrite.uriRegexRewrite", filled=True)


def _regex(block: Block, name: str, where: str, filled: bool = False) -> Iterator[Draft]:
    """`filled`: that it is empty is said by another rule."""
    text = block.text(name) if name in block.node.index else None
    problem = regex_problem(text) if text is not None and (text or not filled) else ""
    if problem:
        shown = f"the regular expression {text!r}" if text and len(text) <= 80 else "a regular expression"
        yield refused(
            block.place(name),
            f"has {shown} in {where} that {problem}",
            problem,
            "write it in the dialect of RE2, or split it over several matches",
        )


def clients(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for _, match in matches(mesh):
        yield from _client(match)


def _client(match: Block) -> Iterator[Draft]:
    index = match.node.index
    port = match.number("port") if "port" in index else None
    if port and port > 0 and (problem := port_problem(port)):
        yield refused(match.place("port"), f"matches port {port}, which {problem}", problem, "write a port")
    namespace = match.text("sourceNamespace") if "sourceNamespace" in index else None
    if namespace and (problem := label_problem(namespace)):
        yield refused(
            match.place("sourceNamespace"),
            f"matches clients of the namespace {namespace!r}, which {problem}",
            problem,
            "write the name of one namespace",
        )
    if "sourceLabels" in index:
        yield from labels(match, "sourceLabels", "matches clients by")
    if "destinationSubnets" in index:
        yield from _subnets(match)


def _subnets(match: Block) -> Iterator[Draft]:
    for item, text in match.texts("destinationSubnets"):
        if problem := subnet_problem(text):
            yield refused(
                match.resource.place(item),
                f"matches the subnet {text!r}, which {problem}",
                problem,
                "write an address, or address/bits",
            )


def labels(block: Block, name: str, says: str) -> Iterator[Draft]:
    """Keys and values of a map of labels that Kubernetes would not take for labels."""
    written = block.node.get(name)
    for key, value in written.index.values() if isinstance(written, YamlMapping) else ():
        if is_placeholder(key.text):
            continue
        if problem := label_key_problem(key.text):
            yield refused(
                block.resource.place(key),
                f"{says} the label key {key.text!r}, which {problem}",
                problem,
                "write a key that a label can have",
            )
        text = value.text if isinstance(value, Scalar) and value.value is not None else ""
        if not is_placeholder(text) and (problem := label_value_problem(text)):
            yield refused(
                block.resource.place(value),
                f"{says} the label {key.text}={text!r}, whose value {problem}",
                problem,
                "write a value that a label can have; there are no patterns",
            )
