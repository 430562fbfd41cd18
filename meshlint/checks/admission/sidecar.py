"""Which Sidecars does Istio's validation refuse or warn about? (spec schemas 3.3 Sidecar, traffic 1.11)"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshlint.checks.admission import connection_pool, server_tls
from meshlint.checks.admission.blocks import Block, once, refused, spec, warned
from meshlint.checks.admission.gateway import name_problem
from meshlint.checks.admission.grammar import (
    HTTP,
    PROTOCOLS,
    TLS,
    UNIX,
    domain_problem,
    ip_problem,
    label_problem,
    port_problem,
    protocol_problem,
    unix_path_problem,
)
from meshlint.checks.admission.selectors import label_keys
from meshlint.checks.versions import at_least
from meshlint.findings import Draft
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.scope import ISTIO_NETWORKING
from meshlint.source.nodes import Scalar, Sequence

Options = Mapping[str, Any]

#: the release that lets egress hosts leave hosts of single namespaces out
_EXCLUDES: Final = "1.31"
_PARTS: Final = ("egress", "ingress", "outboundTrafficPolicy", "inboundConnectionPool")
_LOCAL: Final = frozenset({"", "127.0.0.1", "0.0.0.0", "::1", "::"})  # noqa: S104
_UNSUPPORTED: Final = ("subjectAltNames", "credentialName", "credentialNames", "tlsCertificates")


@once
def _specs(mesh: Mesh) -> list[Block]:
    return [block for block in map(spec, mesh.scope.of(ISTIO_NETWORKING, "Sidecar")) if block]


@once
def _ingress(mesh: Mesh) -> list[Block]:
    return [listener for block in _specs(mesh) for listener in block.blocks("ingress")]


def selector(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for block in _specs(mesh):
        yield from label_keys(block, "workloadSelector", "labels")


def empty(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for block in _specs(mesh):
        if all(block.lacks(name) for name in _PARTS):
            yield refused(
                block.place(),
                f"has none of {', '.join(_PARTS[:-1])} and {_PARTS[-1]}",
                "sets nothing",
                'say what the workloads may reach, such as egress with hosts ["./*"]',
            )


def ingress_port(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for block in _specs(mesh):
        numbers: set[int] = set()
        for listener in block.blocks("ingress"):
            port = listener.block("port")
            if port is not None:
                yield from _port_words(port)
                yield from _ingress_number(port, numbers)
            bind = listener.text("bind")
            if bind and ip_problem(bind):
                yield refused(
                    listener.place("bind"),
                    f"binds an ingress listener to {bind!r}, which {ip_problem(bind)}",
                    "no IP address",
                    "write an IP address, or leave bind out to listen where the application does",
                )


def _ingress_number(port: Block, numbers: set[int]) -> Iterator[Draft]:
    number = 0 if "number" not in port.node.index else port.number("number")
    if number is None:
        return
    if port_problem(number):
        what = f"on port {number}" if "number" in port.node.index else "without a port number"
        yield refused(
            port.place("number"),
            f"has an ingress listener {what}",
            "no port",
            "write the port of the workload, 1 to 65535",
        )
    elif number in numbers:
        yield refused(
            port.place("number"),
            f"has two ingress listeners on port {number}",
            "listed before",
            "keep one listener for each port",
        )
    numbers.add(number)


def _port_words(port: Block) -> Iterator[Draft]:
    """What ports of ingress and egress listeners share. Rows 7 to 9 and 31 to 33."""
    if (port.number("targetPort") or 0) > 0:
        yield refused(
            port.place("targetPort", "key"),
            "sets targetPort, which listeners of Sidecars do not have",
            "not for listeners",
            "drop it; defaultEndpoint of an ingress listener names the application's port",
        )
    name = port.text("name")
    if name and label_problem(name):
        yield refused(
            port.place("name"),
            f"names a port {name!r}, which {label_problem(name)}",
            "no DNS label",
            "use letters, digits and inner hyphens",
        )
    protocol = port.text("protocol")
    if protocol and protocol_problem(protocol):
        yield refused(
            port.place("protocol"),
            f"gives a port the protocol {protocol!r}, which {protocol_problem(protocol)}",
            "unknown protocol",
            "use one of HTTP, HTTPS, HTTP2, GRPC, GRPC-Web, TCP, TLS, MONGO, REDIS, MYSQL",
        )


def default_endpoint(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for listener in _ingress(mesh):
        written = listener.text("defaultEndpoint")
        problem = _endpoint_problem(written) if written else ""
        if problem:
            yield refused(
                listener.place("defaultEndpoint"),
                f"sends traffic of an ingress listener to {written!r}, which {problem}",
                problem,
                "write 127.0.0.1:<port>, [::1]:<port>, 0.0.0.0:<port>, :<port> or unix:///path",
            )


def _endpoint_problem(written: str) -> str:
    if written.startswith(UNIX):
        return unix_path_problem(written.removeprefix(UNIX))
    host, colon, port = written.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if bracketed:
        host = host[1:-1]
    if not colon or (not bracketed and (":" in host or "[" in host)):
        return "is not of the form host:port"
    if host not in _LOCAL:
        return "is neither the loopback address nor that of all addresses"
    if not (port.isascii() and port.isdigit()) or port_problem(int(port[:6])):
        return "has no port of 1 to 65535"
    return ""


def ingress_tls(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for listener in _ingress(mesh):
        tls = listener.block("tls")
        if tls is None:
            continue
        yield from _tls_of_gateways(tls)
        yield from _tls_on_plain(listener)
        whose = _name(listener)
        if server_tls.mode_of(tls) != "ISTIO_MUTUAL":
            yield from server_tls.certificates(tls, whose, secrets=False)
        yield from server_tls.versions(tls, whose)
        yield from server_tls.ciphers(tls, whose)


def _tls_of_gateways(tls: Block) -> Iterator[Draft]:
    """Rows 17 to 22."""
    for name in _UNSUPPORTED:
        if tls.has(name):
            yield refused(
                tls.place(name, "key"),
                f"sets {name} for an ingress listener, which only gateways support",
                "only for gateways",
                "name the files of the proxy in serverCertificate and privateKey",
            )
    if tls.true("httpsRedirect"):
        yield refused(
            tls.place("httpsRedirect"),
            "sets httpsRedirect for an ingress listener, which only gateways support",
            "only for gateways",
            "drop it",
        )
    mode = server_tls.mode_of(tls)
    if mode in ("ISTIO_MUTUAL", "AUTO_PASSTHROUGH"):
        yield refused(
            tls.place("mode"),
            f"uses the TLS mode {mode} for an ingress listener",
            "not for Sidecars",
            "drop tls to have mutual TLS of the mesh; SIMPLE and MUTUAL are for clients outside of it",
        )


def _tls_on_plain(listener: Block) -> Iterator[Draft]:
    """Row 23."""
    protocol = _protocol(listener)
    if protocol is not None and protocol not in TLS:
        yield refused(
            listener.place("tls", "key"),
            f"sets tls for {_name(listener)}, whose protocol is {protocol.upper() or 'not written'}",
            "needs HTTPS or TLS",
            "write protocol HTTPS or TLS for the port",
        )


def _protocol(listener: Block) -> str | None:
    """The protocol in lower case, '' for none; None where it cannot be judged."""
    port = listener.block("port")
    if port is None:
        return None
    written = (port.text("protocol") or "").lower()
    if not written:
        return "" if port.lacks("protocol") else None
    return written if written in PROTOCOLS else None


def _name(listener: Block) -> str:
    port = listener.block("port")
    number = port.number("number") if port is not None else None
    return "a listener" if number is None else f"port {number}"


def pool(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for block in _specs(mesh):
        inbound = block.block("inboundConnectionPool")
        if inbound is not None:
            yield from _pool(inbound, " for inbound traffic")
        for listener in block.blocks("ingress"):
            own = listener.block("connectionPool")
            if own is not None:
                yield from _pool(own, f" for {_name(listener)}")
                yield from _http_pool(listener, own)


def _pool(block: Block, whose: str) -> Iterator[Draft]:
    yield from connection_pool.empty(block, whose)
    yield from connection_pool.settings(block, whose)


def _http_pool(listener: Block, own: Block) -> Iterator[Draft]:
    """Row 26; a port without a protocol may turn out to carry HTTP."""
    protocol = _protocol(listener)
    if protocol and protocol not in HTTP and own.block("http"):
        yield warned(
            own.place("http", "key"),
            f"sets limits for HTTP on {_name(listener)}, whose protocol is {protocol.upper()}; "
            "they have no effect",
            "no HTTP here",
            "set limits under tcp, or declare the port's HTTP protocol",
        )


def egress_listener(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for block in _specs(mesh):
        listeners = block.blocks("egress")
        yield from _catch_all(listeners)
        numbers: set[int] = set()
        sockets: set[str] = set()
        for listener in listeners:
            port = listener.block("port")
            if port is None:
                continue
            yield from _port_words(port)
            if port.number("number") or not port.lacks("number"):
                yield from _egress_port(listener, port, numbers, sockets)
            else:
                yield from _socket(listener, sockets)


def _catch_all(listeners: list[Block]) -> Iterator[Draft]:
    """Rows 29 and 30: only the last listener may be without a port."""
    bare = [n for n, listener in enumerate(listeners) if "port" not in listener.node.index]
    for position, number in enumerate(bare):
        if position:
            says, label = "has two egress listeners without a port", "a second one"
        elif any("port" in listener.node.index for listener in listeners[number + 1 :]):
            says, label = "has an egress listener without a port before others", "not the last"
        else:
            continue
        yield refused(
            listeners[number].place(),
            says,
            label,
            "keep one listener without a port, as the last: it takes what the others leave",
        )


def _egress_port(listener: Block, port: Block, numbers: set[int], sockets: set[str]) -> Iterator[Draft]:
    number = port.number("number")
    if number is None:
        return
    if number == 0:
        yield from _socket(listener, sockets)
        return
    if port_problem(number):
        yield refused(
            port.place("number"),
            f"has an egress listener on port {number}, which {port_problem(number)}",
            "no port",
            "write a port from 1 to 65535",
        )
    elif number in numbers:
        yield refused(
            port.place("number"),
            f"has two egress listeners on port {number}",
            "listed before",
            "keep one listener for each port",
        )
    numbers.add(number)
    bind = listener.text("bind")
    if bind and ip_problem(bind):
        yield refused(
            listener.place("bind"),
            f"binds the egress listener of port {number} to {bind!r}, which {ip_problem(bind)}",
            "no IP address",
            "write an IP address, or number 0 for a Unix socket",
        )


def _socket(listener: Block, sockets: set[str]) -> Iterator[Draft]:
    """Rows 34, 35 and 38: port 0 means a Unix socket."""
    bind = listener.text("bind")
    if bind is None and not listener.lacks("bind"):
        return
    path = (bind or "").removeprefix(UNIX)
    if not bind or path == bind or unix_path_problem(path):
        yield refused(
            listener.place("bind" if bind else "port", "value" if bind else "key"),
            "has an egress listener on port 0 without a Unix socket in bind",
            "no socket",
            "write a port number, or bind: unix:///path",
        )
        return
    if listener.text("captureMode") == "IPTABLES":
        yield refused(
            listener.place("captureMode"),
            f"captures traffic to the socket {bind} by IPTABLES",
            "not for Unix sockets",
            "write NONE: nothing redirects traffic to a socket",
        )
    if bind in sockets:
        yield refused(
            listener.place("bind"),
            f"has two egress listeners on {bind}",
            "listed before",
            "keep one listener for each socket",
        )
    sockets.add(bind)


def egress_hosts(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for block in _specs(mesh):
        for listener in block.blocks("egress"):
            written = listener.node.get("hosts")
            if not isinstance(written, Sequence):
                continue
            if not written.items:
                yield refused(
                    listener.place("hosts"),
                    "has an egress listener without hosts",
                    "no hosts",
                    'list the hosts, such as "./*", or "~/*" for none',
                )
            yield from _egress_hosts(listener, excludes=at_least(mesh, _EXCLUDES))


def _egress_hosts(listener: Block, excludes: bool) -> Iterator[Draft]:
    seen: dict[str, dict[str, Scalar]] = {}
    for item, written in listener.texts("hosts"):
        place = listener.resource.place(item)
        problem = egress_problem(written) or ("" if excludes else _exclusion_problem(written))
        if problem:
            yield refused(
                place,
                f"lists the egress host {written!r}, which {problem}",
                problem,
                "write namespace/host: ./* for the own namespace, */* for all, "
                "prod/*.prod.svc.cluster.local for some",
            )
            continue
        namespace, _, host = written.partition("/")
        hosts = seen.setdefault(namespace, {})
        wider = next((name for name in (host, "*") if name in hosts), None)
        if wider is not None:
            yield warned(
                place,
                f"lists the egress host {written}, which {namespace}/{wider} covers already",
                "covered already",
                "drop it",
            )
        hosts.setdefault(host, item)
    yield from _beside_everything(listener, seen)
    yield from _excluded_only(listener, seen)


def _excluded_only(listener: Block, seen: dict[str, dict[str, Scalar]]) -> Iterator[Draft]:
    """Exclusions take out of what other entries import; alone they leave nothing, as ``~/*`` says openly."""
    written = listener.node.get("hosts")
    readable = isinstance(written, Sequence) and len(written.items) == sum(map(len, seen.values()))
    if not readable or "*" in seen.get("~", ()) or not all(namespace.startswith("~") for namespace in seen):
        return
    yield Draft(
        listener.place("hosts", "key"),
        f"{listener.resource.title} has an egress listener that leaves hosts out and imports none: its pods "
        "see no service",
        label="imports nothing",
        help='add what is to be imported, such as "*/*"; "~/*" says that it is nothing',
        severity="warning",
        equivalents=(),
    )


def _beside_everything(listener: Block, seen: dict[str, dict[str, Scalar]]) -> Iterator[Draft]:
    """Row 45; hosts that are left out again (``~``) have a meaning beside ``*/*``."""
    everything = seen.get("*", {}).get("*")
    others = [f"{ns}/{next(iter(hosts))}" for ns, hosts in seen.items() if ns != "*" and ns[0] != "~"]
    if everything is not None and others:
        yield warned(
            listener.resource.place(everything),
            f"lists the egress host */* beside {others[0]}: every namespace is imported",
            "imports everything",
            "drop */* to import only what the other hosts name",
        )


def egress_problem(written: str) -> str:
    """Why an egress host is refused; '' where it is not. Rows 42 to 44."""
    namespace, slash, host = written.partition("/")
    if not slash:
        return "has no namespace before a slash"
    if not namespace or not host:
        return "has nothing on one side of the slash"
    named = namespace.removeprefix("~")
    if named not in ("", "*", ".") and label_problem(named):
        return "names a namespace that is neither *, . nor a DNS label"
    return name_problem(host, addresses=False)


def _exclusion_problem(written: str) -> str:
    """Older releases know ``~`` as a whole namespace alone, for listeners that import nothing."""
    namespace, _, host = written.partition("/")
    if not namespace.startswith("~") or (namespace, host) == ("~", "*"):
        return ""
    return f"leaves hosts out, which needs Istio {_EXCLUDES}"


def outbound_policy(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for block in _specs(mesh):
        policy = block.block("outboundTrafficPolicy")
        proxy = policy.block("egressProxy") if policy else None
        if policy and proxy:
            yield from _egress_proxy(policy, proxy)


def _egress_proxy(policy: Block, proxy: Block) -> Iterator[Draft]:
    mode = policy.enum("mode", "REGISTRY_ONLY")
    if mode not in (None, "ALLOW_ANY"):
        yield refused(
            policy.place("egressProxy", "key"),
            f"names an egressProxy in mode {mode}, in which no unknown traffic leaves",
            "only with ALLOW_ANY",
            "write mode: ALLOW_ANY, or drop egressProxy",
        )
    host = proxy.text("host")
    if host is not None and domain_problem(host):
        yield refused(
            proxy.place("host"),
            f"sends unknown traffic to {host!r}, which {domain_problem(host)}",
            "no domain name",
            "name the host of a Service or ServiceEntry",
        )
    subset = proxy.text("subset")
    if subset and label_problem(subset):
        yield refused(
            proxy.place("subset"),
            f"sends unknown traffic to the subset {subset!r}, which {label_problem(subset)}",
            "no DNS label",
            "write the name of a subset of the DestinationRule",
        )
    yield from _egress_proxy_port(proxy)


def _egress_proxy_port(proxy: Block) -> Iterator[Draft]:
    if "port" not in proxy.node.index:
        yield refused(
            proxy.place(),
            "names an egressProxy without a port",
            "port is missing",
            "add port.number",
        )
    port = proxy.block("port")
    number = port.number("number") if port and "number" in port.node.index else 0
    if port and number is not None and port_problem(number):
        yield refused(
            port.place("number"),
            f"sends unknown traffic to port {number}, which {port_problem(number)}",
            "no port",
            "write a port from 1 to 65535",
        )
