"""Which VirtualServices does Istio's validation refuse for their hosts, gateways or the shape of a rule?

Spec schemas 3.3 VirtualService, traffic 1.2, 5.1 and 5.2. Matches are in `virtual_service_matches`, what
a rule does besides routing in `virtual_service_actions`, unreachable rules in `virtual_service_order`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

from meshlint.checks.admission import visibility
from meshlint.checks.admission.blocks import Block, judged, once, refused, spec, warned
from meshlint.checks.admission.grammar import (
    ip_problem,
    label_problem,
    port_problem,
    wildcard_domain_problem,
)
from meshlint.findings import Draft
from meshlint.mesh.hosts import covers, overlap
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.scope import ISTIO_NETWORKING
from meshlint.source.nodes import Scalar, Sequence

Options = Mapping[str, Any]

PROTOCOLS: Final = ("http", "tls", "tcp")


class Rule(NamedTuple):
    """A rule of any protocol, with the spec and the list that it is in."""

    spec: Block
    protocol: str
    block: Block


@once
def specs(mesh: Mesh) -> list[Block]:
    """The specs of all VirtualServices."""
    found = [spec(resource) for resource in mesh.scope.of(ISTIO_NETWORKING, "VirtualService")]
    return [block for block in found if block is not None]


@once
def rules(mesh: Mesh) -> list[Rule]:
    """The rules of all VirtualServices."""
    return [
        Rule(block, protocol, rule)
        for block in specs(mesh)
        for protocol in PROTOCOLS
        for rule in block.blocks(protocol)
    ]


@once
def http_rules(mesh: Mesh) -> list[Block]:
    """The HTTP rules of all VirtualServices."""
    return [rule.block for rule in rules(mesh) if rule.protocol == "http"]


@once
def matches(mesh: Mesh) -> list[tuple[str, Block]]:
    """The matches of all rules, with their protocol."""
    return [(rule.protocol, match) for rule in rules(mesh) for match in rule.block.blocks("match")]


def destinations(rule: Block) -> Iterator[Block]:
    """What a rule of any protocol names as destination, mirrors included."""
    for route in rule.blocks("route"):
        if found := route.block("destination"):
            yield found
    if "mirror" in rule.node.index and (found := rule.block("mirror")):
        yield found
    for mirror in rule.blocks("mirrors") if "mirrors" in rule.node.index else ():
        if found := mirror.block("destination"):
            yield found


def has_routes(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for block in specs(mesh):
        if all(block.lacks(name) for name in PROTOCOLS):
            yield refused(
                block.place(),
                "has no http, tls or tcp rules",
                "no rules",
                "write at least one rule, or remove the VirtualService",
            )


def delegate(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for block in specs(mesh):
        if not block.lacks("hosts"):
            continue
        for name in ("gateways", "tls", "tcp"):
            if block.has(name):
                yield refused(
                    block.place(name, "key"),
                    f"has {name} but no hosts; without hosts it is a delegate, which has http rules only",
                    "not in a delegate",
                    f"list the hosts, or remove {name} from the delegate",
                )
        for rule in block.blocks("http"):
            if rule.has("delegate"):
                yield refused(
                    rule.place("delegate", "key"),
                    "delegates a rule although it is a delegate itself, because it has no hosts",
                    "delegates do not delegate",
                    "write the routes here; delegation is one level deep",
                )


def hosts(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for block in specs(mesh):
        entries = list(block.texts("hosts"))
        in_mesh = _in_mesh(block)
        sound = True
        for item, text in entries:
            problem = _host_problem(block, text)
            if problem:
                sound = False
                yield refused(
                    block.resource.place(item),
                    f"has the host {text!r}, which {problem}",
                    problem,
                    "write a DNS name, a wildcard such as *.example.com, or an address; no scheme, no port",
                )
            elif text == "*" and in_mesh:
                sound = False
                yield refused(
                    block.resource.place(item),
                    "has the host '*' and applies to sidecars",
                    "every host of the mesh",
                    "bind it to gateways alone, or name the hosts",
                )
        if sound and len(entries) > 1:
            yield from _overlaps(block, entries)


def _in_mesh(block: Block) -> bool:
    """Is it certain that the VirtualService applies to sidecars?"""
    return block.lacks("gateways") or any(text == "mesh" for _, text in block.texts("gateways"))


def _host_problem(block: Block, text: str) -> str:
    if not ip_problem(text):
        return ""
    if text.startswith("outbound_") and not _in_mesh(block) and _matches_sni(block):
        return ""
    return wildcard_domain_problem(text)


def _matches_sni(block: Block) -> bool:
    """Is there a match for SNI, so that hosts may have the form that proxies send to each other?"""
    return any(
        "sniHosts" in match.node.index for rule in block.blocks("tls") for match in rule.blocks("match")
    )


def _overlaps(block: Block, entries: list[tuple[Scalar, str]]) -> Iterator[Draft]:
    wild = [text for _, text in entries if text.startswith("*")]
    seen: set[str] = set()
    for item, text in entries:
        other = text if text in seen else next((w for w in wild if w != text and overlap(w, text)), "")
        seen.add(text)
        if other and not (text in wild and len(text) < len(other)):
            yield refused(
                block.resource.place(item),
                f"lists the host {text!r} "
                + ("twice" if text == other else f"beside {other!r}, which includes it"),
                f"is in {other} too" if other != text else "is there twice",
                "list each host once; a wildcard includes its names",
            )


def gateway_names(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for block, item, text in _gateway_names(mesh):
        problem = _gateway_problem(text)
        if problem:
            draft = refused(
                block.resource.place(item),
                f"names the gateway {text!r}, which {problem}",
                problem,
                "write the name of a Gateway, namespace/name, or mesh",
            )
            yield replace(draft, equivalents=("IST0106", "IST0165")) if _INTERNAL in text else draft


def _gateway_problem(text: str) -> str:
    namespace, slash, name = text.partition("/")
    if not slash:
        problem = wildcard_domain_problem(text)
        return problem or ("is a wildcard" if text.startswith("*") else "")
    if not namespace or not name:
        return "has nothing on one side of the slash"
    if namespace != "." and label_problem(namespace):
        return "has a namespace that is no DNS label"
    return "has a name that is no DNS label" if label_problem(name) else ""


def legacy_gateway_names(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for block, item, text in _gateway_names(mesh):
        if "." not in text or "/" in text or _gateway_problem(text):
            continue
        name, namespace, *_ = text.split(".")
        yield Draft(
            block.resource.place(item),
            f"{block.resource.title} names the gateway {text}, an old form that Istio reads as "
            f"{namespace}/{name}",
            label="old form of a gateway name",
            help=f"write {namespace}/{name}",
        )


#: in the names of the Gateways that Istio makes of those of the Gateway API
_INTERNAL: Final = "~istio-autogenerated-k8s-gateway~"


@once
def _gateway_names(mesh: Mesh) -> list[tuple[Block, Scalar, str]]:
    """Every entry of a list of gateways, of specs and of matches, with its list's block."""
    blocks = [*specs(mesh), *(match for _, match in matches(mesh))]
    return [
        (block, item, text)
        for block in blocks
        if "gateways" in block.node.index
        for item, text in block.texts("gateways")
    ]


#: what a rule does -> what may not stand beside it
_EXCLUDES: Final = (
    ("redirect", ("route", "fault", "rewrite", "directResponse")),
    ("directResponse", ("route", "fault", "rewrite")),
)


def actions(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for block, protocol, rule in rules(mesh):
        if protocol == "http":
            yield from _actions(block, rule)


def _actions(block: Block, rule: Block) -> Iterator[Draft]:
    if rule.has("delegate") and not block.lacks("hosts"):
        yield from _beside(rule, "delegate", ("redirect", "route"))
        return
    for action, others in _EXCLUDES:
        if rule.has(action):
            yield from _beside(rule, action, others)
            break
    else:
        yield from _no_action(rule)
    if rule.has("mirror"):
        yield from _beside(rule, "mirror", ("mirrors",))


def _beside(rule: Block, action: str, others: tuple[str, ...]) -> Iterator[Draft]:
    for other in others:
        if rule.has(other):
            yield refused(
                rule.place(other, "key"),
                f"has a rule with {action} and {other}",
                f"not beside {action}",
                f"keep {action} or {other}, or split the rule in two",
            )


def _no_action(rule: Block) -> Iterator[Draft]:
    if all(rule.lacks(name) for name in ("route", "redirect", "directResponse", "delegate")):
        yield refused(
            rule.place("route" if "route" in rule.node.index else "", "key"),
            "has an HTTP rule without route, redirect or directResponse",
            "goes nowhere",
            "add a route with a destination, a redirect or a directResponse",
        )


def destination(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for rule in rules(mesh):
        for found in destinations(rule.block):
            yield from _destination(found)


def _destination(block: Block) -> Iterator[Draft]:
    host = block.text("host")
    if host is not None:
        problem = "is every host" if host == "*" else wildcard_domain_problem(host)
        if problem:
            yield refused(
                block.place("host"),
                f"routes to the host {host!r}, which {problem}",
                problem,
                "write the name of a service, such as cart or cart.shop.svc.cluster.local, without port",
            )
    subset = block.text("subset") if "subset" in block.node.index else None
    if subset and (problem := label_problem(subset)):
        yield refused(
            block.place("subset"),
            f"routes to the subset {subset!r}, which {problem}",
            problem,
            "write the name of a subset of a DestinationRule",
        )
    port = block.block("port") if "port" in block.node.index else None
    number = port.number("number") if port else None
    if port and number is None and port.lacks("number"):
        number = 0
    if port and number is not None and number >= 0 and (problem := port_problem(number)):
        yield refused(
            port.place("number"),
            f"routes to port {number}, which {problem}",
            problem,
            "write a port of the service, or leave port out if it has one only",
        )


def weights(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for _, _, rule in rules(mesh):
        if "route" in rule.node.index:
            yield from _weights(rule)


def _weights(rule: Block) -> Iterator[Draft]:
    routes = rule.blocks("route")
    numbers = [0 if route.lacks("weight") else route.number("weight") for route in routes]
    for route, number in zip(routes, numbers, strict=True):
        if number is not None and number < 0:
            yield refused(
                route.place("weight"),
                f"gives a destination the weight {number}",
                "less than 0",
                "write 0 for a destination that is to get nothing",
            )
    if len(routes) < 2 or None in numbers:
        return
    if not any(numbers):
        yield refused(
            rule.place("route", "key"),
            f"has {len(routes)} destinations whose weights add up to 0",
            "nobody gets anything",
            "give the destinations weights, such as 90 and 10",
        )
        return
    for route in routes:
        if "weight" not in route.node.index:
            yield Draft(
                route.place(),
                f"{route.resource.title} gives weights to some destinations of a rule but none to "
                f"{_host(route)}, which therefore gets no traffic",
                label="no weight, no traffic",
                help="write the weight, 0 if that is meant",
                severity="warning",
                equivalents=(),
            )


def _host(route: Block) -> str:
    found = route.block("destination")
    return (found.text("host") if found else None) or "one"


def tls_and_tcp(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for _, protocol, rule in rules(mesh):
        if protocol == "http":
            continue
        if protocol == "tls":
            yield from _is_missing(rule, "tls", "match", "match the SNI that the rule is for")
            for match in rule.blocks("match"):
                yield from _is_missing(match, "tls", "sniHosts", "list the SNI hosts that the match is for")
        yield from _is_missing(rule, protocol, "route", "add a route with a destination")


def _is_missing(block: Block, protocol: str, name: str, advice: str) -> Iterator[Draft]:
    """A list that must have an item; whether match and sniHosts are there at all is in the schema."""
    written = block.node.get(name)
    empty = isinstance(written, Sequence) and not written.items
    if empty or (written is None and name == "route"):
        yield refused(
            block.place(name if empty else "", "key"),
            f"has a {protocol} {'match' if name == 'sniHosts' else 'rule'} without {name}",
            f"no {name}",
            advice,
        )


def sni_hosts(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for block in specs(mesh):
        listed = block.node.get("hosts") if "tls" in block.node.index else None
        if not isinstance(listed, Sequence):
            continue
        known = [judged(item) for item in listed.items]
        for rule in block.blocks("tls"):
            for match in rule.blocks("match"):
                for item, text in match.texts("sniHosts"):
                    yield from _sni_host(block, item, text, known)


def _sni_host(block: Block, item: Scalar, text: str, known: list[str | None]) -> Iterator[Draft]:
    place = block.resource.place(item)
    if not ip_problem(text):
        yield warned(
            place,
            f"matches the SNI {text}; SNI has names, and most clients send none for an address",
            "an address is no SNI",
            "match in tcp with destinationSubnets, or by name",
        )
        return
    problem = "" if text.startswith("outbound_") else wildcard_domain_problem(text)
    if problem:
        yield refused(
            place,
            f"matches the SNI {text!r}, which {problem}",
            problem,
            "write a DNS name or a wildcard such as *.example.com",
        )
    elif known and None not in known and not any(covers(host, text) for host in known if host):
        yield refused(
            place,
            f"matches the SNI {text}, which none of its hosts covers",
            "not among the hosts",
            f"add {text} to hosts, or match a name that is there",
        )


def export_to(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for block in specs(mesh):
        yield from visibility.export_to(block)
