"""Which of the rules of VirtualServices takes a request, in the order of the proxies? (spec traffic 1.9, 5.3)

Of one VirtualService the first rule that takes it; a delegate's rules stand where the root delegates. In the
mesh the first VirtualService has the host; at gateways, and for TLS and TCP in the mesh, all of them are one
list, catch-all rules last.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

from meshlint.mesh.delegates import compatible
from meshlint.mesh.facts import Fact, all_of
from meshlint.mesh.hosts import covers
from meshlint.mesh.matches import HttpRequest, Sender, doubt, is_catch_all, meant_for, takes
from meshlint.mesh.routes import MESH, Route
from meshlint.mesh.served import Owner, Pair, Rule, Served, Test, Way, agreed, matches_of, nowhere
from meshlint.resources import Place
from meshlint.source.nodes import Mapping, int_of, string_map, text_of, texts

#: keys of a match that ask for something else than the request
_CLIENT: Final = frozenset({"gateways", "port", "sourceNamespace", "sourceLabels"})


def first_of(
    owner: Owner, request: HttpRequest, context: str, sender: Sender, delegate_open: Test
) -> Fact[Served]:
    """The first rule of one VirtualService that takes the request."""
    found = _walk([(r, [*_pairs(r)]) for r in owner.routes], request, context, sender, delegate_open)
    if found is not None:
        return found
    place = owner.resource.place()
    return Fact.of(nowhere(request, place), place, reason=f"no rule of {owner.resource.title} takes it")


def _walk(
    rules: list[Rule], request: HttpRequest, context: str, sender: Sender, delegate_open: Test
) -> Fact[Served] | None:
    for route, pairs in rules:
        answer, match = _taken(route, pairs, request, context, sender)
        if answer is False:
            continue
        place = route.resource.place(match) if match is not None else route.place()
        if answer is None:
            return Fact.missing(doubt(route, match, request), place)
        if _unordered(route) and _ambiguous(route, [r for r, _ in rules], request):
            return Fact.missing(f"several rules of {route.title} take it", place)
        if route.action != "delegate":
            return Fact.of(Served(Way.RULE, place, request, request.port, route, match), place)
        if delegate_open(route):
            return Fact.missing(f"the delegate of {route.title} is not in the input", place)
    return None


def _unordered(route: Route) -> bool:
    """Is it unknown in which order Kyma puts the rules? Since v2 the first one wins (ecosystem f.4)."""
    return route.api == "APIRule" and route.resource.version == "v1beta1"


def _ambiguous(route: Route, routes: list[Route], request: HttpRequest) -> bool:
    """Does another rule of the object take the request?"""
    others = (r for r in routes if r is not route and r.resource is route.resource)
    return any(takes(r, match, request) is not False for r in others for match in matches_of(r))


def _taken(
    route: Route, pairs: Iterable[Pair], request: HttpRequest, context: str, sender: Sender
) -> tuple[bool | None, Mapping | None]:
    """Does the rule take the request, and by which of its matches? Else the first match that may take it."""
    unsure: list[Mapping | None] = []
    for root, match in pairs:
        static = _meant(route, root, match, context, sender, request.port)
        if static is False:
            continue
        answer = all_of(static, _takes_both(route, root, match, request))
        if answer:
            return True, match if match is not None else root
        if answer is None:
            unsure.append(match if match is not None else root)
    return (None, unsure[0]) if unsure else (False, None)


def _pairs(route: Route) -> Iterator[Pair]:
    """Matches of the root rule with those of the delegate's rule that fit them; without a root, None."""
    for root in matches_of(route.root) if route.root is not None else [None]:
        for match in matches_of(route):
            if root is None or match is None or compatible(root, match):
                yield root, match


def _takes_both(
    route: Route, root: Mapping | None, match: Mapping | None, request: HttpRequest
) -> bool | None:
    if route.protocol != "http":
        return _connection_taken(match, request)
    return all_of(takes(route, root, request), takes(route, match, request))


def _connection_taken(match: Mapping | None, request: HttpRequest) -> bool | None:
    """A rule for TLS or TCP: by SNI; subnets of destinations are not known."""
    if match is None:
        return True
    host = request.authority.rpartition(":")[0] or request.authority
    names = [item.text for item in texts(match.get("sniHosts"))]
    if names and not any(covers(name, host) for name in names):
        return False
    return None if texts(match.get("destinationSubnets")) else True


def _meant(
    route: Route, root: Mapping | None, match: Mapping | None, context: str, sender: Sender, port: int | None
) -> bool | None:
    """Can the pair apply for this client? Where one of both lists gateways, sources do not count."""
    if route.api != "VirtualService" or (_for_all(match) and _for_all(root)):
        return True
    parts = [
        (m, r.ns)
        for m, r in ((match, route.resource), (root, route.root.resource if route.root else None))
        if m is not None and r is not None
    ]
    if route.protocol == "http" and any(texts(m.get("gateways")) for m, _ in parts):
        listed = [(m, ns) for m, ns in parts if texts(m.get("gateways"))]
        ports = [int_of(m.get("port")) for m, _ in parts]
        if any(p and port is not None and p != port for p in ports):
            return False
        return all_of(*(meant_for(m, context, ns, sender, port) for m, ns in listed))
    answers = [meant_for(m, context, ns, sender, port) for m, ns in parts]
    if route.protocol != "http":
        answers += [_from_source(m, sender) for m, _ in parts]
    return all_of(*answers)


def _for_all(match: Mapping | None) -> bool:
    """Does a match say nothing about who the client is, and through what it calls?"""
    return match is None or _CLIENT.isdisjoint(match.index)


def _from_source(match: Mapping, sender: Sender) -> bool | None:
    """In rules for TLS and TCP the source counts beside gateways too."""
    labels = string_map(match.get("sourceLabels"))
    source = text_of(match.get("sourceNamespace"))
    if source and source != sender.namespace:
        return False
    if not labels:
        return True
    return None if sender.labels is None else labels.items() <= sender.labels.items()


def yields(route: Route, sender: Sender, port: int | None) -> bool:
    """May the rule be for this client at all?"""
    return any(_meant(route, root, match, MESH, sender, port) is not False for root, match in _pairs(route))


def visible_first(owners: list[Owner], namespace: str, default: frozenset[str]) -> list[Owner]:
    """Of several owners those that come first: the private ones, then the oldest if ages are written."""
    tiers: dict[int, list[Owner]] = defaultdict(list)
    for owner in owners:
        exports = {item.text for item in texts(owner.resource.get("spec", "exportTo"))} or default
        private = owner.resource.ns == namespace and exports <= {".", namespace}
        named = namespace in exports or "." in exports
        tiers[0 if private else 1 if named and "*" not in exports else 2].append(owner)
    first = tiers[min(tiers)]
    distinct = len({o.resource.key for o in first}) == len(first)
    if len(first) > 1 and distinct and all(o.created for o in first):
        return [min(first, key=lambda o: (o.created, o.resource.name, o.resource.ns))]
    return first


def merged(
    owners: list[Owner],
    request: HttpRequest,
    sender: Sender,
    place: Place,
    delegate_open: Test,
) -> Fact[Served]:
    """One list, in the order of creation, catch-all rules last; what follows one in its object is dropped."""
    ordered = sorted(owners, key=lambda o: (o.created, o.resource.name, o.resource.ns))
    keys = {o.resource.key for o in owners}
    aged = len(keys) == len({id(o.resource) for o in owners}) and all(o.created for o in owners)
    rules = {id(o): _up_to_catch_all(o, o.context, sender, request.port) for o in ordered}
    for last in (False, True):
        answers = []
        for owner in ordered:
            listed = [(r, [p for p in pairs if _catches_all(r, p) is last]) for r, pairs in rules[id(owner)]]
            found = _walk(listed, request, owner.context, sender, delegate_open)
            if found is not None and aged:
                return found
            answers += [found] if found is not None else []
        if answers:
            titles = " and ".join(o.resource.title for o in ordered[:2])
            return agreed(answers, f"rules of {titles} take it, and which is older is not in the input")
    title = owners[0].resource.title if len(owners) == 1 else "the VirtualServices of the host"
    return Fact.of(nowhere(request, owners[0].resource.place()), place, reason=f"no rule of {title} takes it")


def _up_to_catch_all(owner: Owner, context: str, sender: Sender, port: int | None) -> list[Rule]:
    """The rules of a VirtualService as Istio builds them: the first catch-all is the last one."""
    rules: list[Rule] = []
    for route in owner.routes:
        kept: list[Pair] = []
        rules.append((route, kept))
        for pair in _pairs(route):
            kept.append(pair)
            if _catches_all(route, pair) and _meant(route, *pair, context, sender, port):
                return rules
    return rules


def _catches_all(route: Route, pair: Pair) -> bool:
    """Rules that delegate are replaced by those of the delegate."""
    if route.api != "VirtualService" or route.protocol != "http" or route.action == "delegate":
        return False
    return all(is_catch_all(match) for match in pair)
