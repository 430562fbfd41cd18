"""Which matches of HTTPRoutes and GRPCRoutes are refused? (spec schemas 4.1, traffic 7.5)

Paths and names of gRPC methods are checked by the API server. Regular expressions are not: Istio hands
them on as they are, and the proxy refuses the whole list of routes with one that it cannot compile.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from meshlint.checks.admission.blocks import Block, once
from meshlint.checks.admission.gateway_api import denied, inert, routes, rules, translated
from meshlint.checks.admission.re2 import why_not_re2
from meshlint.findings import Draft
from meshlint.mesh.hosts import is_ip
from meshlint.mesh.mesh import Mesh

Options = Mapping[str, Any]

_IN_PATH: Final = re.compile(r"(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2})+\Z")
#: what a path must not have inside of it, and what not at its end
_INSIDE: Final = ("//", "/./", "/../", "%2f", "%2F", "#")
_AT_END: Final = ("/..", "/.")
_GRPC_SERVICE: Final = re.compile(r"\.?[a-z_][a-z_0-9]*(?:\.[a-z_][a-z_0-9]*)*\Z", re.IGNORECASE | re.ASCII)
_GRPC_METHOD: Final = re.compile(r"[A-Za-z_][A-Za-z_0-9]*\Z")


@once
def _matches(mesh: Mesh) -> list[Block]:
    return [match for rule in rules(mesh) for match in rule.blocks("matches")]


def paths(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for match in _matches(mesh):
        if match.resource.kind != "HTTPRoute" or (path := match.block("path")) is None:
            continue
        kind, text = path.enum("type", "PathPrefix"), path.enum("value", "/")
        if kind not in ("Exact", "PathPrefix") or text is None:
            continue
        problem = path_problem(text)
        if problem:
            yield denied(
                path.place("value"),
                f"matches the path {text!r}, which {problem}",
                problem,
                "write a plain absolute path; patterns need the type RegularExpression",
            )


def path_problem(text: str) -> str:
    """Why a path of the types Exact and PathPrefix is refused, as the end of a sentence."""
    if not text.startswith("/"):
        return "does not begin with a slash" if text else "is empty"
    for part in _INSIDE:
        if part in text:
            return f"has {part} in it"
    for part in _AT_END:
        if text.endswith(part):
            return f"ends with {part}"
    return "" if _IN_PATH.match(text) else "has characters that no path has"


def grpc_method(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for match in _matches(mesh):
        if match.resource.kind != "GRPCRoute" or (method := match.block("method")) is None:
            continue
        if "service" not in method.node.index and "method" not in method.node.index:
            yield denied(
                match.place("method", "key"),
                "matches a method without naming it or its service",
                "neither service nor method",
                "add service, method or both, or leave method out to match every call",
            )
        if method.enum("type", "Exact") != "Exact":
            continue
        for name, pattern in (("service", _GRPC_SERVICE), ("method", _GRPC_METHOD)):
            text = method.text(name) if name in method.node.index else None
            if text is not None and not pattern.match(text):
                yield denied(
                    method.place(name),
                    f"matches the {name} {text!r}, which is no name that gRPC takes",
                    f"no name of a {name}",
                    "write letters, digits and _ (a service has dots between), or type RegularExpression",
                )


def regexes(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """The proxy refuses them; the API server and Istio do not look."""
    for match in _matches(mesh):
        for where, block, name in _patterns(match):
            text = block.text(name) if block.text("type") == "RegularExpression" else None
            istio = translated(mesh)[id(match.resource)]
            if text and istio is not False and (problem := why_not_re2(text)):
                shown = f"{text!r}" if len(text) <= 80 else "a regular expression"
                says = f"matches {where} with {shown}, which {problem}; Istio passes it on as it is"
                draft = inert(
                    block.place(name),
                    f"{says}, and the proxy refuses the routes that contain it",
                    problem,
                    "write it in the dialect of RE2, or split it over several matches",
                )
                yield draft if istio else replace(draft, confidence="medium")


def _patterns(match: Block) -> Iterator[tuple[str, Block, str]]:
    index = match.node.index
    if "path" in index and (path := match.block("path")):
        yield "a path", path, "value"
    for name, where in (("headers", "a header"), ("queryParams", "a query parameter")):
        for item in match.blocks(name) if name in index else ():
            yield where, item, "value"
    if "method" in index and (method := match.block("method")):
        yield "a method", method, "service"
        yield "a method", method, "method"


def tls_hostnames(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """Addresses are no server names; v1alpha2 does not ask."""
    for route in routes(mesh):
        if route.resource.kind == "TLSRoute" and route.resource.version != "v1alpha2":
            for item, text in route.texts("hostnames"):
                if is_ip(text):
                    yield denied(
                        route.resource.place(item),
                        f"has the address {text} among its hostnames, and clients send names only",
                        "an IP address",
                        "write the host name that clients ask for",
                    )
