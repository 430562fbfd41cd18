"""Which actions of an HTTP rule does Istio's validation refuse, and which ones then the proxy?

Redirects, direct responses, rewrites, faults, mirrors, CORS and header operations: spec schemas 3.3
VirtualService, traffic 5.6 to 5.10.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshlint.checks.admission.blocks import WARNED, Block, refused, warned
from meshlint.checks.admission.grammar import header_name_problem, header_value_problem, port_problem
from meshlint.checks.admission.virtual_service import http_rules
from meshlint.findings import Draft
from meshlint.mesh.mesh import Mesh
from meshlint.source.durations import SECOND, istio_duration
from meshlint.source.nodes import Mapping as YamlMapping
from meshlint.source.nodes import Node, Scalar
from meshlint.source.templates import is_placeholder

Options = Mapping[str, Any]

GRPC_STATUSES: Final = frozenset(
    {
        "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
        "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
        "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
    }
)  # fmt: skip
_METHODS: Final = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE", "*"}
)
_REDIRECT_CODES: Final = frozenset({301, 302, 303, 307, 308})
_LARGE_BODY: Final = 100 * 1024
_LARGEST_BODY: Final = 1024 * 1024
_ONE_ORIGIN: Final = ("exact", "prefix", "regex")
_BLANK: Final = re.compile(r"\s")


def _each(mesh: Mesh, name: str) -> Iterator[tuple[Block, Block]]:
    """The HTTP rules that have a block of that name, and the block."""
    for rule in http_rules(mesh):
        if name in rule.node.index and (block := rule.block(name)):
            yield rule, block


def redirect(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for rule, block in _each(mesh, "redirect"):
        yield from _redirect_target(rule, block)
        yield from _redirect_code(block)
        scheme = block.text("scheme")
        if scheme and scheme not in ("http", "https"):
            yield refused(
                block.place("scheme"),
                f"redirects to the scheme {scheme!r}",
                "neither http nor https",
                "write http or https, in lower case",
            )
        port = block.number("port")
        if port is not None and port >= 0 and (problem := port_problem(port)):
            yield refused(
                block.place("port"), f"redirects to port {port}, which {problem}", problem, "write a port"
            )


def _redirect_target(rule: Block, block: Block) -> Iterator[Draft]:
    names = ("uri", "prefixRewrite", "authority", "port", "derivePort", "scheme")
    if all(block.lacks(name) for name in names):
        yield refused(
            block.place(),
            "has a redirect without uri, prefixRewrite, authority, port, derivePort or scheme",
            "redirects to itself",
            "say what is different in the new location",
        )
    if not block.has("prefixRewrite"):
        return
    if block.has("uri"):
        yield refused(
            block.place("prefixRewrite", "key"),
            "has a redirect with uri and prefixRewrite",
            "not beside uri",
            "keep uri to replace the path, or prefixRewrite to replace its matched part",
        )
    for match in rule.blocks("match"):
        uri = match.block("uri")
        if uri and "prefix" not in uri.node.index and any(uri.has(name) for name in ("exact", "regex")):
            yield refused(
                block.place("prefixRewrite", "key"),
                "redirects with prefixRewrite in a rule with a match that has no uri.prefix",
                "needs a matched prefix",
                "match by prefix in every match of the rule, or redirect with uri",
            )
            return


def _redirect_code(block: Block) -> Iterator[Draft]:
    code = block.number("redirectCode")
    if not code or code < 0:
        return
    if not 300 <= code <= 399:
        yield refused(
            block.place("redirectCode"),
            f"redirects with the code {code}",
            "no redirect code",
            "use 301, 302, 303, 307 or 308",
        )
    elif code not in _REDIRECT_CODES:
        yield Draft(
            block.place("redirectCode"),
            f"{block.resource.title} redirects with the code {code}, which Istio accepts but cannot "
            "translate: the route that the proxies get does nothing",
            label="not implemented",
            help="use 301, 302, 303, 307 or 308",
            equivalents=(),
        )


def direct_response(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for _, block in _each(mesh, "directResponse"):
        yield from _status(block, "status", "answers with the status")
        body = block.block("body") if "body" in block.node.index else None
        if body is not None:
            yield from _body(body)


def _status(block: Block, name: str, says: str) -> Iterator[Draft]:
    status = block.number(name)
    if status is None:
        return
    if not 200 <= status <= 600:
        yield refused(
            block.place(name),
            f"{says} {status}",
            "outside of 200 to 599",
            "write a status from 200 to 599",
        )
    elif status == 600:
        yield Draft(
            block.place(name),
            f"{block.resource.title} {says} 600, which Istio accepts but the proxies refuse together with "
            "all routes of the same listener",
            label="proxies refuse 600",
            help="write a status from 200 to 599",
            equivalents=(),
        )


def _body(body: Block) -> Iterator[Draft]:
    for name in ("string", "bytes"):
        text = body.text(name)
        if text is None:
            continue
        size = (
            len(text.encode("utf-8", "replace")) if name == "string" else len(_BLANK.sub("", text)) * 3 // 4
        )
        if size > _LARGEST_BODY:
            yield refused(
                body.place(name, "key"),
                f"answers with a body of {size} bytes",
                "more than 1 MiB",
                "serve it from a service",
            )
        elif size > _LARGE_BODY:
            yield warned(
                body.place(name, "key"),
                f"answers with a body of {size} bytes, which every proxy that has the route keeps in memory",
                "more than 100 KiB",
                "serve it from a service",
            )


def rewrite(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for rule in http_rules(mesh):
        index = rule.node.index
        block = rule.block("rewrite") if "rewrite" in index else None
        if block is not None:
            yield from _rewrite(block)
        if block is not None or "headers" in index:
            yield from _authorities(rule, block)


def _rewrite(block: Block) -> Iterator[Draft]:
    regex = block.block("uriRegexRewrite")
    if all(block.lacks(name) for name in ("uri", "uriRegexRewrite", "authority")):
        yield refused(
            block.place(),
            "has a rewrite without uri, uriRegexRewrite or authority",
            "rewrites nothing",
            "say what to rewrite, or remove it",
        )
    if regex is not None and block.has("uri"):
        yield refused(
            block.place("uriRegexRewrite", "key"),
            "has a rewrite with uri and uriRegexRewrite",
            "not beside uri",
            "keep one of the two",
        )
    for name in ("match", "rewrite") if regex is not None else ():
        if regex is not None and regex.lacks(name):
            yield refused(
                regex.place(name),
                f"has a uriRegexRewrite without {name}",
                f"no {name}",
                "write the pattern in match and its replacement in rewrite",
            )


def _authorities(rule: Block, block: Block | None) -> Iterator[Draft]:
    places = [block.place("authority", "key")] if block is not None and block.has("authority") else []
    headers = rule.block("headers")
    request = headers.block("request") if headers is not None else None
    for operation in ("set", "add"):
        names = request.node.get(operation) if request is not None else None
        for key, _ in names.index.values() if isinstance(names, YamlMapping) else ():
            if key.text.lower() in ("host", ":authority"):
                places.append(rule.resource.place(key))
    if len(places) > 1:
        draft = refused(
            places[1],
            "changes the authority of a request in more than one place of a rule",
            "the authority a second time",
            "keep rewrite.authority, or one header operation",
        )
        yield Draft(
            draft.place, draft.message, draft.label, draft.help, related=(("the first time", places[0]),)
        )


def fault(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for _, block in _each(mesh, "fault"):
        abort, delay = (block.block(name) for name in ("abort", "delay"))
        if block.lacks("abort") and block.lacks("delay"):
            yield refused(
                block.place(),
                "has a fault without abort or delay",
                "no fault",
                "say what to inject, or remove it",
            )
        if abort is not None:
            yield from _abort(abort)
        if delay is not None:
            yield from _percentage(delay, "delays")
            yield from _unsupported(delay, "exponentialDelay", "use fixedDelay")


def _abort(abort: Block) -> Iterator[Draft]:
    yield from _percentage(abort, "aborts")
    yield from _status(abort, "httpStatus", "aborts with the status")
    yield from _unsupported(abort, "http2Error", "use httpStatus or grpcStatus")
    status = abort.text("grpcStatus")
    if status is not None and status not in GRPC_STATUSES:
        yield refused(
            abort.place("grpcStatus"),
            f"aborts with the gRPC status {status!r}",
            "no gRPC status",
            "write its name in upper case, such as UNAVAILABLE",
        )


def _percentage(block: Block, says: str) -> Iterator[Draft]:
    percentage = block.block("percentage")
    value = percentage.real("value") if percentage is not None else None
    if percentage is None or value is None:
        return
    if not 0 <= value <= 100 or 0 < value < 0.0001:
        yield refused(
            percentage.place("value"),
            f"{says} {value:g} per cent of the requests",
            "neither 0 nor from 0.0001 to 100",
            "write a percentage from 0 to 100; half of the requests are 50, not 0.5",
        )


def _unsupported(block: Block, name: str, advice: str) -> Iterator[Draft]:
    if block.has(name):
        yield refused(
            block.place(name, "key"), f"sets {name}, which is not supported", "not supported", advice
        )


def fault_inert(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for _, block in _each(mesh, "fault"):
        abort, delay = (block.block(name) for name in ("abort", "delay"))
        if abort is not None and all(abort.lacks(n) for n in ("httpStatus", "grpcStatus", "http2Error")):
            yield Draft(
                abort.place(),
                f"{block.resource.title} has an abort without httpStatus or grpcStatus: nothing is aborted",
                label="aborts with nothing",
                help="set httpStatus or grpcStatus",
                equivalents=WARNED,
            )
        if delay is not None and all(delay.lacks(n) for n in ("fixedDelay", "exponentialDelay")):
            yield Draft(
                delay.place(),
                f"{block.resource.title} has a delay without fixedDelay, so nothing is delayed",
                label="delays by nothing",
                help="set fixedDelay",
                equivalents=(),
            )
        for found, says in ((abort, "abort"), (delay, "delay")):
            if found is not None and found.lacks("percentage") and found.lacks("percent"):
                yield Draft(
                    found.place(),
                    f"{block.resource.title} has a fault without percentage, which means 0: "
                    f"the {says} never happens",
                    label="no percentage means 0",
                    help="set percentage.value, 100 for every request",
                    equivalents=(),
                )


def mirror(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for rule in http_rules(mesh):
        index = rule.node.index
        for name in ("mirrorPercent", "mirror_percent"):
            if name in index:
                yield from _mirror_percent(rule, name)
        if "mirrorPercentage" in index:
            yield from _mirror_percentage(rule, "mirrorPercentage")
        for block in rule.blocks("mirrors") if "mirrors" in index else ():
            yield from _mirror_percentage(block, "percentage")


def _mirror_percent(rule: Block, name: str) -> Iterator[Draft]:
    percent = rule.number(name)
    if percent is not None and percent > 100:
        yield refused(
            rule.place(name),
            f"mirrors {percent} per cent of the requests",
            "above 100",
            "write mirrorPercentage.value from 0 to 100",
        )


def _mirror_percentage(block: Block, name: str) -> Iterator[Draft]:
    percentage = block.block(name)
    value = percentage.real("value") if percentage is not None else None
    if percentage is not None and value is not None and not 0 <= value <= 100:
        yield refused(
            percentage.place("value"),
            f"mirrors {value:g} per cent of the requests",
            "outside of 0 to 100",
            "write a percentage from 0 to 100",
        )


def cors(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for _, block in _each(mesh, "corsPolicy"):
        for origin in block.blocks("allowOrigins"):
            yield from _origin(origin)
        for item, text in block.texts("allowMethods"):
            if text not in _METHODS:
                yield refused(
                    block.resource.place(item),
                    f"allows the method {text!r} in a corsPolicy",
                    "no HTTP method",
                    "write one method in upper case, or *",
                )
        for name in ("allowHeaders", "exposeHeaders"):
            for item, text in block.texts(name):
                if text != "*" and (problem := header_name_problem(text)):
                    yield refused(
                        block.resource.place(item),
                        f"has {text!r} in corsPolicy.{name}, which {problem}",
                        problem,
                        "write one header name per item, or *",
                    )
        yield from _whole_seconds(block)


def _origin(origin: Block) -> Iterator[Draft]:
    if any(origin.has(name) for name in _ONE_ORIGIN):
        return
    written = [name for name in _ONE_ORIGIN if origin.text(name) == ""]
    if written or not origin.node.items:
        yield refused(
            origin.place(written[0] if written else ""),
            "has an item of corsPolicy.allowOrigins that matches nothing",
            "no origin",
            "write exact, prefix or regex with an origin such as https://example.com",
        )


def _whole_seconds(block: Block) -> Iterator[Draft]:
    node = block.node.get("maxAge")
    length = istio_duration(node).nanoseconds if node is not None else None
    if length and length % SECOND:
        yield refused(
            block.place("maxAge"),
            f"sets corsPolicy.maxAge to {block.text('maxAge')}",
            "not in whole seconds",
            "write whole seconds",
        )


def header_operations(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for rule in http_rules(mesh):
        index = rule.node.index
        for block in (rule, *rule.blocks("route")) if "headers" in index else rule.blocks("route"):
            headers = block.block("headers") if "headers" in block.node.index else None
            for direction in ("request", "response"):
                found = headers.block(direction) if headers is not None else None
                if found is not None:
                    yield from _operations(found, direction)


def _operations(block: Block, direction: str) -> Iterator[Draft]:
    for operation in ("add", "set"):
        written = block.node.get(operation)
        for key, value in written.index.values() if isinstance(written, YamlMapping) else ():
            where = f"headers.{direction}.{operation}"
            yield from _header(block, key, key.text, where, authority=direction == "request")
            yield from _value(block, key, value, where)
    for item, text in block.texts("remove"):
        yield from _header(block, item, text, f"headers.{direction}.remove", authority=False)


def _header(block: Block, node: Scalar, name: str, where: str, authority: bool) -> Iterator[Draft]:
    problem = ""
    if not name:
        problem = "is empty"
    elif name.startswith(":") and not (authority and name.lower() == ":authority"):
        problem = "is a pseudo header"
    elif name.lower() == "host" and not authority:
        problem = "belongs to the proxy"
    if problem:
        yield refused(
            block.resource.place(node),
            f"names the header {name!r} in {where}, which {problem}",
            problem,
            "rewrite the path and the authority with rewrite; other pseudo headers cannot be changed",
        )


def _value(block: Block, key: Scalar, value: Node, where: str) -> Iterator[Draft]:
    if not isinstance(value, Scalar) or is_placeholder(value.text):
        return
    if problem := header_value_problem(value.text):
        yield refused(
            block.resource.place(value),
            f"gives the header {key.text} in {where} a value that {problem}",
            problem,
            "write a per cent sign as %%" if "%" in problem else "write it on one line",
        )
