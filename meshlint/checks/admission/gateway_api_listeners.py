"""Which Gateways and ListenerSets of the Gateway API are refused? (spec schemas 4.1, traffic 7.5)"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshlint.checks.admission.blocks import Block
from meshlint.checks.admission.gateway_api import SPOKEN, denied, inert, length, listener_owners
from meshlint.checks.admission.grammar import label_key_problem
from meshlint.findings import Draft
from meshlint.mesh.gateways import Gateway
from meshlint.mesh.mesh import Mesh
from meshlint.source.nodes import Mapping as YamlMapping
from meshlint.source.templates import is_placeholder

Options = Mapping[str, Any]

_PLAIN: Final = frozenset({"HTTP", "TCP", "UDP"})
_NAMELESS: Final = frozenset({"TCP", "UDP"})
_OPERATORS: Final = frozenset({"In", "NotIn", "Exists", "DoesNotExist"})


def tls(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for owner in listener_owners(mesh):
        for listener in owner.blocks("listeners"):
            yield from _tls(listener)


def _tls(listener: Block) -> Iterator[Draft]:
    protocol = listener.text("protocol")
    block = listener.block("tls") if "tls" in listener.node.index else None
    if block is None:
        if protocol == "TLS" and "tls" not in listener.node.index:
            yield denied(
                listener.place("protocol"),
                "has a listener of the protocol TLS without tls",
                "tls is missing",
                "add tls with mode: Terminate and certificateRefs, or with mode: Passthrough",
            )
        return
    if protocol in _PLAIN:
        yield denied(
            listener.place("tls", "key"),
            f"has tls in a listener of the protocol {protocol}",
            f"the protocol is {protocol}",
            f"remove tls, or write protocol: {'HTTPS' if protocol == 'HTTP' else 'TLS'}",
        )
        return
    mode = block.enum("mode", "Terminate")
    if protocol == "HTTPS" and mode == "Passthrough":
        yield denied(
            block.place("mode"),
            "passes TLS through in a listener of the protocol HTTPS",
            "needs protocol TLS",
            "write protocol: TLS, or mode: Terminate with certificateRefs",
        )
    if mode == "Terminate" and not _certified(block):
        yield denied(
            block.place(),
            "terminates TLS without a certificate",
            "neither certificateRefs nor options",
            "add certificateRefs with the name of a Secret",
        )


def _certified(block: Block) -> bool:
    options = block.node.get("options")
    if isinstance(options, YamlMapping):
        return bool(options.items) or length(block, "certificateRefs", 0) != 0
    return options is not None or length(block, "certificateRefs", 0) != 0


def combinations(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """A host name where the protocol knows none, and two listeners that cannot be told apart."""
    for owner in listener_owners(mesh):
        seen: dict[tuple[int, str, str | None], Block] = {}
        for listener in owner.blocks("listeners"):
            protocol, hostname = listener.text("protocol"), listener.text("hostname")
            if protocol in _NAMELESS and hostname:
                yield denied(
                    listener.place("hostname", "key"),
                    f"has a hostname in a listener of the protocol {protocol}",
                    f"{protocol} has no host names",
                    "remove hostname",
                )
            port = listener.number("port")
            if port is None or protocol is None or (hostname is None and "hostname" in listener.node.index):
                continue
            other = seen.setdefault((port, protocol, hostname), listener)
            if other is not listener:
                yield _indistinct(listener, other, f"{protocol} on port {port}", hostname)


def _indistinct(listener: Block, other: Block, what: str, hostname: str | None) -> Draft:
    names = f"{listener.text('name') or ''!r} and {other.text('name') or ''!r}"
    where = f"{what} for {hostname}" if hostname else f"{what} without a hostname"
    return denied(
        listener.place("hostname" if hostname else "port"),
        f"has the listeners {names} both with {where}",
        "the same port, protocol and hostname",
        "give the listeners different host names or ports, or remove one",
    )


def addresses(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for owner in listener_owners(mesh):
        seen = set()
        for address in owner.blocks("addresses") if "addresses" in owner.node.index else ():
            kind, value = address.enum("type", "IPAddress"), address.text("value")
            if kind not in ("IPAddress", "Hostname") or not value:
                continue
            if (kind, value) in seen:
                yield denied(
                    address.place("value"),
                    f"has the address {value} twice",
                    "is in the list already",
                    "remove it",
                )
            seen.add((kind, value))


def infrastructure(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """Keys of labels and annotations that the resources of a gateway get; their values are in the schema."""
    for owner in listener_owners(mesh):
        block = owner.block("infrastructure") if "infrastructure" in owner.node.index else None
        for name in ("labels", "annotations") if block else ():
            written = block.node.get(name) if block else None
            for key, _ in written.index.values() if isinstance(written, YamlMapping) else ():
                if not is_placeholder(key.text) and (problem := label_key_problem(key.text)):
                    yield denied(
                        owner.resource.place(key),
                        f"gives the gateway the {name.removesuffix('s')} key {key.text!r}, which {problem}",
                        problem,
                        "write a name, or a DNS prefix, a slash and a name",
                    )


def allowed_routes(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """Selectors of namespaces that are missing, not looked at, or wrong."""
    for owner in listener_owners(mesh):
        for listener in owner.blocks("listeners"):
            allowed = listener.block("allowedRoutes")
            if allowed is not None and (namespaces := allowed.block("namespaces")):
                yield from _namespaces(namespaces, "Same", "routes")
        admitted = owner.block("allowedListeners")
        if admitted is not None and (namespaces := admitted.block("namespaces")):
            yield from _namespaces(namespaces, "None", "ListenerSets")


def _namespaces(block: Block, default: str, what: str) -> Iterator[Draft]:
    origin = block.enum("from", default)
    if origin == "Selector" and "selector" not in block.node.index:
        yield inert(
            block.place("from"),
            f"admits {what} by a selector of namespaces that it does not have",
            "selector is missing",
            "add selector, or write from: All or from: Same",
        )
    elif origin is not None and origin != "Selector" and block.has("selector"):
        yield inert(
            block.place("selector", "key"),
            f"selects the namespaces whose {what} it admits, but from is {origin}: the selector is not read",
            f"from is {origin}",
            "write from: Selector, or remove selector",
            severity="warning",
        )
    selector = block.block("selector") if origin == "Selector" else None
    for expression in selector.blocks("matchExpressions") if selector else ():
        operator = expression.text("operator")
        if operator is not None and operator not in _OPERATORS:
            yield inert(
                expression.place("operator"),
                f"selects namespaces by the operator {operator!r}, which selectors do not have",
                "no operator",
                f"write one of {', '.join(sorted(_OPERATORS))}",
            )
        elif operator is not None:
            yield from _operands(expression, operator)


def _operands(expression: Block, operator: str) -> Iterator[Draft]:
    count = length(expression, "values", 0)
    wanted = operator in ("In", "NotIn")
    if count is not None and wanted != bool(count):
        says = "without values" if wanted else "with values"
        yield inert(
            expression.place("values" if count else "operator"),
            f"selects namespaces by the operator {operator} {says}: the selector is not valid",
            "values are missing" if wanted else f"{operator} takes no values",
            "add values" if wanted else "remove values",
        )


def unsupported(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """What an Istio gateway refuses after the API server has taken it."""
    for gateway in mesh.gateways.all:
        if gateway.api == "gateway-api" and gateway.istio:
            for server in gateway.servers:
                listener = Block(gateway.resource, server.node)
                yield from _protocol(gateway, listener)
                yield from _certificates(listener)


def _protocol(gateway: Gateway, listener: Block) -> Iterator[Draft]:
    protocol = listener.text("protocol")
    if protocol is None or protocol in SPOKEN:
        return
    upper = protocol.upper()
    advice = f"write {upper}" if upper in SPOKEN else "use HTTP, HTTPS, TLS or TCP"
    yield inert(
        listener.place("protocol"),
        f"has a listener of the protocol {protocol}, which gateways of the class {gateway.class_name} do not"
        " speak; Istio does not program it",
        "not a protocol of Istio's gateways",
        advice,
    )


def _certificates(listener: Block) -> Iterator[Draft]:
    tls = listener.block("tls")
    for reference in tls.blocks("certificateRefs") if tls else ():
        group, kind = reference.enum("group", ""), reference.enum("kind", "Secret")
        if group is not None and kind is not None and (group, kind) != ("", "Secret"):
            yield inert(
                reference.place("kind" if "kind" in reference.node.index else "group"),
                f"takes a certificate from the {kind} {reference.text('name') or ''!r}"
                f" of {group or 'the core group'}; Istio reads Secrets only",
                "no Secret",
                "name a Secret of the type kubernetes.io/tls",
            )
