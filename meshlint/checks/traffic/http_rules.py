"""Which HTTP rules of a VirtualService do something else than they seem to say?

Catalogue: spec traffic 8.5; facts 5.2, 5.5, 5.6, 5.7 and 5.9. What Istio refuses is in `checks/admission`.
"""

from __future__ import annotations

import re
import sys
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from itertools import chain, islice
from typing import Any, Final

from meshlint.checks.admission.blocks import Block
from meshlint.checks.admission.virtual_service import http_rules, rules, specs
from meshlint.checks.admission.virtual_service import weights as refused_weights
from meshlint.checks.admission.virtual_service_actions import redirect as refused_redirects
from meshlint.checks.traffic import inert
from meshlint.checks.traffic.match_pitfalls import dot_for_any_letter
from meshlint.findings import Draft
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.scope import GATEWAY_API
from meshlint.resources import Place, Resource
from meshlint.source.nodes import Mapping as YamlMapping
from meshlint.source.nodes import Scalar, Sequence, is_true, mappings, text_of, texts

Options = Mapping[str, Any]

_REQUEST_CONDITIONS: Final = ("method", "authority", "headers", "queryParams", "withoutHeaders", "scheme")
#: what makes a redirect lead to another place than the path alone
_ELSEWHERE: Final = ("authority", "port", "derivePort", "scheme")
_TEXTS: Final = ("uri", "method", "scheme", "authority")
_CLIENT_CONDITIONS: Final = ("sourceLabels", "sourceNamespace")
#: an origin that no list of one's own can mean
_PROBE: Final = "https://a.invalid"
_SCHEMES: Final = ("https://", "http://")
#: a star after the scheme with no dot behind it: evil-example.com is in https://.*example.com
_NO_BOUNDARY: Final = re.compile(r"^\^?https?\??://\(?(?:\.\*|\.\+)\)?[A-Za-z0-9]")
_QUESTION_MARK: Final = re.compile(r"(?<!\\)(?:\\\\)*(?:\\\?|\[\?\])(?![*?{])")
#: sums of weights up to this are ratios, such as 3 to 1
_RATIO: Final = 20


def prefix_boundary(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for block in specs(mesh):
        seen: set[tuple[str, str]] = set()
        found = [(rule, match) for rule in block.blocks("http") for match in rule.blocks("match")]
        paths = _Paths([path for _, match in found if (path := _path(match)) is not None])
        everything = any(rule.lacks("match") for rule in block.blocks("http"))
        for rule, match in found:
            path = _path(match)
            if path is None:
                continue
            draft = _double_slash(rule, match, path, seen) or _boundary(match, path, paths, everything)
            if draft is not None:
                yield draft
            seen.add(path)


def _path(match: Block) -> tuple[str, str] | None:
    """Form and text of the uri of a match."""
    uri = match.block("uri") if "uri" in match.node.index else None
    for form in ("exact", "prefix", "regex"):
        if uri is not None and (text := uri.text(form)):
            return form, text
    return None


def _double_slash(
    rule: Block, match: Block, path: tuple[str, str], seen: set[tuple[str, str]]
) -> Draft | None:
    """A prefix and a rewrite that do not end alike."""
    rewrite = rule.block("rewrite") if "rewrite" in rule.node.index else None
    target = rewrite.text("uri") if rewrite is not None else None
    form, prefix = path
    uri = match.block("uri")
    if form != "prefix" or rewrite is None or uri is None or not target or prefix == "/":
        return None
    if prefix.endswith("/") is target.endswith("/"):
        return None
    if not prefix.endswith("/") and ("prefix", f"{prefix}/") in seen:
        return None
    request = f"{prefix}/x" if not prefix.endswith("/") else f"{prefix}x"
    result = target + request[len(prefix) :]
    return Draft(
        uri.place("prefix"),
        f"{match.resource.title} rewrites the prefix {prefix} to {target}: {request} becomes {result}",
        label="ends without a slash" if not prefix.endswith("/") else "ends with a slash",
        help="match the prefix with a slash at its end first and without it second, and rewrite both to "
        f"{target.rstrip('/') or ''}/"
        if not prefix.endswith("/")
        else f"rewrite to {target}/",
        related=(("the rewrite", rewrite.place("uri")),),
        severity="warning",
    )


def _boundary(match: Block, path: tuple[str, str], paths: _Paths, everything: bool) -> Draft | None:
    form, text = path
    uri = match.block("uri")
    if form != "prefix" or uri is None or text == "/":
        return None
    if text.endswith("/"):
        bare = text.rstrip("/")
        known = bare.startswith("/.well-known")  # paths of protocols, which always go on
        if everything or not bare or known or paths.may_take(bare):
            return None
        return Draft(
            uri.place("prefix"),
            f"{match.resource.title} matches the prefix {text}, which {bare} does not have, and no other "
            f"match of it takes {bare}",
            label=f"not {bare} itself",
            help=f"add a match for the exact path {bare}",
        )
    sibling = paths.going_on(text)
    if sibling is None:
        return None
    return Draft(
        uri.place("prefix"),
        f"{match.resource.title} matches the prefix {text}, which {sibling} has too: a prefix is compared as "
        "text, not by segments of the path",
        label="no boundary",
        help=f"match {text}/ by prefix and {text} exactly",
    )


class _Paths:
    """The paths of all matches of a VirtualService, found by how they begin."""

    def __init__(self, paths: list[tuple[str, str]]) -> None:
        self._regex = any(form == "regex" for form, _ in paths)
        self._exact = {text for form, text in paths if form == "exact"}
        self._prefixes = {text for form, text in paths if form == "prefix"}
        self._lengths = sorted({len(text) for text in self._prefixes})
        texts = dict.fromkeys(text for form, text in paths if form != "regex")
        self._sorted = sorted((text, place) for place, text in enumerate(texts))

    def may_take(self, path: str) -> bool:
        """Does one of them match the path, or may it?"""
        if self._regex or path in self._exact:
            return True
        return any(path[:length] in self._prefixes for length in self._lengths if length <= len(path))

    def going_on(self, prefix: str) -> str | None:
        """The first of the paths that have the prefix, but within a segment."""
        first: tuple[int, str] | None = None
        for text, place in islice(self._sorted, bisect_right(self._sorted, (prefix, sys.maxsize)), None):
            if not text.startswith(prefix):
                break
            if text[len(prefix)] not in "/?" and (first is None or place < first[0]):
                first = (place, text)
        return None if first is None else first[1]


def _may_match(pattern: tuple[str, str], path: str) -> bool:
    form, text = pattern
    if form == "regex":
        return True
    return text == path if form == "exact" else path.startswith(text)


def rewrite_regex(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for rule in http_rules(mesh):
        rewrite = rule.block("rewrite") if "rewrite" in rule.node.index else None
        if rewrite is None or not rewrite.has("uri"):
            continue
        for match in rule.blocks("match"):
            uri = match.block("uri")
            if uri is not None and uri.has("regex"):
                yield Draft(
                    rewrite.place("uri"),
                    f"{rule.resource.title} rewrites uri in a rule that matches by regular expression: there "
                    f"is no prefix to replace, so every request gets the path {rewrite.text('uri') or ''}",
                    label="replaces the whole path",
                    help="write uriRegexRewrite with groups for what is to stay",
                    related=(("the regular expression", uri.place("regex")),),
                )
                break


def redirect(mesh: Mesh, options: Options) -> Iterator[Draft]:
    return chain(refused_redirects(mesh, options), _loops(mesh), inert.redirects(mesh))


def _loops(mesh: Mesh) -> Iterator[Draft]:
    """Redirects to a path that the rule takes, on the same host, and no earlier rule."""
    for block in specs(mesh):
        earlier: list[Block] = []
        for rule in block.blocks("http"):
            found = rule.block("redirect") if "redirect" in rule.node.index else None
            target = found.text("uri") if found is not None else None
            if found is not None and target and all(found.lacks(name) for name in _ELSEWHERE):
                match = next((m for m in rule.blocks("match") if _certainly_takes(m, target)), None)
                if match is not None and not any(_may_take(one, target) for one in earlier):
                    yield _loop(found, match, target)
            earlier.append(rule)


def _certainly_takes(match: Block, target: str) -> bool:
    path = _path(match)
    if path is None or path[0] == "regex" or any(not match.lacks(name) for name in _REQUEST_CONDITIONS):
        return False
    return _may_match(path, target)


def _may_take(rule: Block, target: str) -> bool:
    if "match" not in rule.node.index:
        return True
    paths = [_path(match) for match in rule.blocks("match")]
    return any(path is None or _may_match(path, target) for path in paths)


def _loop(redirected: Block, match: Block, target: str) -> Draft:
    return Draft(
        redirected.place("uri"),
        f"{redirected.resource.title} redirects to {target}, which the same rule takes: a client that "
        "follows comes back without end",
        label="leads back here",
        help="redirect to another path, or change the authority or the scheme",
        related=(("takes it", match.place("uri", "key")),),
        severity="warning",
        equivalents=(),
    )


def fault_in_production(mesh: Mesh, options: Options) -> Iterator[Draft]:
    patterns = mesh.settings.production_namespaces
    for rule in http_rules(mesh):
        fault = rule.block("fault") if "fault" in rule.node.index else None
        effects = list(_effects(fault)) if fault is not None else []
        if fault is None or not effects:
            continue
        production = any(fnmatchcase(rule.resource.ns, pattern) for pattern in patterns)
        if patterns and not production:
            continue
        scoped = _scoped(rule)
        if scoped and not production:
            continue
        who = "requests that match" if scoped else "requests"
        where = f" of the production namespace {rule.resource.ns}" if production else ""
        yield Draft(
            fault.place(),
            f"{rule.resource.title}{where} injects a fault: {' and '.join(effects)} of the {who}",
            label="injected on purpose",
            help="remove the fault when the test is over"
            if production
            else "name your production namespaces with productionNamespaces in the configuration",
            severity=None if production and not scoped else "info",
            confidence=None if production else "low",
        )


def _effects(fault: Block) -> Iterator[str]:
    """What a fault does, with the share of requests."""
    delay = fault.block("delay")
    if delay is not None and delay.has("fixedDelay") and (share := _share(delay)):
        yield f"a delay of {delay.text('fixedDelay') or 'some time'} for {share}"
    abort = fault.block("abort")
    status = abort and (abort.text("httpStatus") or abort.text("grpcStatus"))
    if abort is not None and status and (share := _share(abort)):
        yield f"the status {status} for {share}"


def _share(block: Block) -> str:
    """The share of requests that a fault is for; '' for none or unknown."""
    percentage = block.block("percentage")
    value = percentage.real("value") if percentage is not None else block.real("percent")
    return f"{value:g} %" if value is not None and value > 0 else ""


def _scoped(rule: Block) -> bool:
    """Is a rule for requests or clients that are marked, not for everybody?"""
    matches = rule.blocks("match")
    names = ("headers", "queryParams", *_CLIENT_CONDITIONS)
    return bool(matches) and all(any(match.has(name) for name in names) for match in matches)


def mirror_inert(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for rule in http_rules(mesh):
        index = rule.node.index
        mirrors = "mirror" in index or "mirrors" in index
        if mirrors and not rule.lacks("mirror" if "mirror" in index else "mirrors"):
            yield from _mirror_of_answers(rule)
        if "mirrorPercentage" in index and not mirrors:
            yield _inert(
                rule, "mirrorPercentage", "has a share of requests to mirror but no mirror", "no mirror"
            )
        elif _is_zero(rule.block("mirrorPercentage")):
            yield _inert(rule, "mirrorPercentage", "mirrors 0 per cent of the requests", "mirrors nothing")
        for entry in rule.blocks("mirrors") if "mirrors" in index else ():
            if _is_zero(entry.block("percentage")):
                yield _inert(entry, "percentage", "mirrors 0 per cent of the requests", "mirrors nothing")


def _mirror_of_answers(rule: Block) -> Iterator[Draft]:
    for action, says in (("redirect", "only redirects"), ("directResponse", "answers by itself")):
        if isinstance(rule.node.get(action), YamlMapping):
            name = "mirror" if "mirror" in rule.node.index else "mirrors"
            yield Draft(
                rule.place(name, "key"),
                f"{rule.resource.title} mirrors on a rule that {says}: nothing is mirrored",
                label="has no effect",
                help="remove it, or mirror on a rule with a route",
            )


def _is_zero(percentage: Block | None) -> bool:
    return percentage is not None and percentage.real("value") == 0


def _inert(block: Block, name: str, says: str, label: str) -> Draft:
    return Draft(
        block.place(name, "key"),
        f"{block.resource.title} {says}: nothing is mirrored",
        label=label,
        help="write the share of requests that are to be mirrored, or remove both",
    )


def weights(mesh: Mesh, options: Options) -> Iterator[Draft]:
    return chain(refused_weights(mesh, options), _doubtful_weights(mesh))


def _doubtful_weights(mesh: Mesh) -> Iterator[Draft]:
    for _, _, rule in rules(mesh):
        routes = rule.blocks("route") if "route" in rule.node.index else []
        if len(routes) == 1:
            weight = routes[0].number("weight")
            if weight is not None and 1 <= weight <= 99:
                yield _doubt(
                    routes[0], "weight", f"gives its only destination the weight {weight}, and it gets all",
                    "has no effect", "remove the weight, or add the other destinations", "KIA1104",
                )  # fmt: skip
        elif routes:
            yield from _twice(mesh, routes)
            yield from _sum(rule, routes)


def _twice(mesh: Mesh, routes: list[Block]) -> Iterator[Draft]:
    """Destinations that a rule lists more than once."""
    seen: dict[tuple[str, ...], list[Block]] = {}
    for route in routes:
        target = route.block("destination")
        host = target.text("host") if target is not None else None
        if target is None or not host:
            continue
        port = target.block("port")
        full = mesh.registry.resolve(host, route.resource.ns)
        key = (full, target.text("subset") or "", (port.text("number") if port else "") or "")
        seen.setdefault(key, []).append(target)
    for targets in seen.values():
        for target in targets if len(targets) > 1 else ():
            yield _doubt(
                target, "host", f"lists the destination {target.text('host')} more than once in a rule; its "
                "weights add up", "listed twice", "list it once, or name different subsets", "KIA1105",
            )  # fmt: skip


def _sum(rule: Block, routes: list[Block]) -> Iterator[Draft]:
    """Weights that look like percentages and are none."""
    numbers = [route.number("weight") for route in routes]
    written = [number for number in numbers if number is not None]
    total = sum(written)
    if len(written) < len(routes) or min(written) < 0 or total in (0, 100) or total <= _RATIO:
        return
    if len(set(written)) > 1:
        shares = ", ".join(f"{number} of {total}" for number in written)
        yield _doubt(
            rule, "route", f"has weights that add up to {total}, not 100; they count as {shares}",
            f"add up to {total}", "write weights that add up to 100", "", "key",
        )  # fmt: skip


def _doubt(
    block: Block, name: str, says: str, label: str, advice: str, code: str, part: str = "value"
) -> Draft:
    return Draft(
        block.place(name, part),
        f"{block.resource.title} {says}",
        label=label,
        help=advice,
        severity="info",
        equivalents=(code,) if code else (),
    )


def cors_wildcard_credentials(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for rule in http_rules(mesh):
        cors = rule.block("corsPolicy") if "corsPolicy" in rule.node.index else None
        if cors is None or not cors.true("allowCredentials"):
            continue
        for origin in cors.blocks("allowOrigins"):
            yield from _origin(cors, origin)
        for item in texts(cors.node.get("allowOrigin")):
            if item.text == "*":
                yield _anybody(cors.resource, item, cors.place("allowCredentials"))
    yield from _gateway_api_cors(mesh)


def _origin(cors: Block, origin: Block) -> Iterator[Draft]:
    credentials = cors.place("allowCredentials")
    for form in ("exact", "prefix", "regex"):
        text = origin.text(form)
        node = origin.node.get(form)
        if text is None or not isinstance(node, Scalar):
            continue
        if _anyone(form, text):
            yield _anybody(cors.resource, node, credentials)
        elif form == "regex" and _NO_BOUNDARY.match(text):
            yield _loose(
                cors.resource.place(node),
                credentials,
                text,
                "can end in the same way",
                "no dot in front of the domain",
                r"write https://([a-z0-9-]+\.)?example\.com, with a dot before the domain",
            )
        elif form == "regex" and dot_for_any_letter(text):
            yield _loose(
                cors.resource.place(node),
                credentials,
                text,
                "can have another letter where the dot is",
                "a dot stands for any letter",
                r"write \. for a dot, or exact for one origin",
            )


def _loose(place: Place, credentials: Place, text: str, how: str, label: str, advice: str) -> Draft:
    return Draft(
        place,
        f"{place.resource.title} lets origins that match {text} send requests with credentials, and a "
        f"name of another owner {how}",
        label=label,
        help=advice,
        related=(("with credentials", credentials),),
        severity="warning",
    )


def _anyone(form: str, text: str) -> bool:
    if form == "exact":
        return text == "*"
    if form == "prefix":
        return any(scheme.startswith(text) for scheme in _SCHEMES)
    try:
        return re.fullmatch(text, _PROBE) is not None
    except re.error:
        return False


def _anybody(resource: Resource, node: Scalar, credentials: Place) -> Draft:
    return Draft(
        resource.place(node),
        f"{resource.title} lets every origin send requests with credentials: any site that a user visits may "
        "act with the user's cookies and read the answers",
        label="every origin",
        help="list the origins that may, or set allowCredentials to false",
        related=(("with credentials", credentials),),
    )


def _gateway_api_cors(mesh: Mesh) -> Iterator[Draft]:
    for route in mesh.scope.of(GATEWAY_API, "HTTPRoute"):
        for rule in route.mappings("spec", "rules"):
            filters = [*mappings(rule.get("filters"))]
            for backend in mappings(rule.get("backendRefs")):
                filters += mappings(backend.get("filters"))
            for one in filters:
                yield from _cors_filter(route, one)


def _cors_filter(route: Resource, one: YamlMapping) -> Iterator[Draft]:
    cors = one.get("cors")
    if not isinstance(cors, YamlMapping) or text_of(one.get("type")) != "CORS":
        return
    credentials, origins = cors.get("allowCredentials"), cors.get("allowOrigins")
    if is_true(credentials) and isinstance(origins, Sequence):
        for item in texts(origins):
            if item.text in ("*", "https://*", "http://*"):
                yield _anybody(route, item, route.place(credentials))


def match_inert(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for rule in http_rules(mesh):
        for match in rule.blocks("match"):
            for name in _TEXTS:
                value = match.block(name) if name in match.node.index else None
                if value is not None and (found := _never(name, value)):
                    yield _nothing_matches(match, value, *found)
            uri = match.block("uri") if "ignoreUriCase" in match.node.index else None
            if uri is not None and match.true("ignoreUriCase") and uri.has("regex"):
                yield Draft(
                    match.place("ignoreUriCase"),
                    f"{match.resource.title} sets ignoreUriCase beside a regular expression, where it "
                    "has no effect",
                    label="no effect",
                    help="start the expression with (?i)",
                    severity="info",
                )


def _never(name: str, value: Block) -> tuple[str, str, str] | None:
    """Form and text that no request has, and why."""
    for form in ("exact", "prefix"):
        text = value.text(form)
        if text is None:
            continue
        if not text:
            return (form, text, "is never empty") if form == "exact" else None
        if name == "method" and text != text.upper():
            return form, text, "is in upper case"
        if name == "uri" and text != "*" and not text.startswith("/"):
            return form, text, "starts with a slash"
        if name == "uri" and "?" in text:
            return form, text, "is compared without the query"
    expression = value.text("regex") if name == "uri" else None
    if expression and _with_query(expression):
        return "regex", expression, "is compared without the query"
    return None


def _with_query(expression: str) -> bool:
    """Does a regular expression want a question mark, outside of groups, choices and repetitions?"""
    if "|" in expression:
        return False
    found = _QUESTION_MARK.search(expression)
    return found is not None and expression.count("(", 0, found.start()) == expression.count(
        ")", 0, found.start()
    )


def _nothing_matches(match: Block, value: Block, form: str, text: str, why: str) -> Draft:
    what = {"uri": "path", "authority": "authority", "method": "method", "scheme": "scheme"}
    name = value.key.text if value.key is not None else ""
    return Draft(
        value.place(form),
        f"{match.resource.title} matches the {name} {text!r}: the {what.get(name, name)} of a request {why}, "
        "so the match never applies",
        label="no request has it",
        help="use queryParams for the query" if "?" in text else "write the value as requests have it",
    )
