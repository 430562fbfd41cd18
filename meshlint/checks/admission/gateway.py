"""Which Gateways does Istio's validation refuse or warn about? (spec schemas 3.3 Gateway, traffic 5.11)"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from meshlint.checks.admission import server_tls
from meshlint.checks.admission.blocks import Block, once, refused, spec
from meshlint.checks.admission.grammar import (
    HTTP,
    PROTOCOLS,
    TLS,
    UNIX,
    ip_problem,
    label_problem,
    port_problem,
    protocol_problem,
    unix_path_problem,
    wildcard_domain_problem,
)
from meshlint.findings import Draft
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.scope import ISTIO_NETWORKING
from meshlint.source.nodes import Sequence
from meshlint.source.templates import is_placeholder

Options = Mapping[str, Any]


def name(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for gateway in mesh.scope.of(ISTIO_NETWORKING, "Gateway"):
        written = gateway.name
        if not written or is_placeholder(written):
            continue
        problem = label_problem(written)
        if problem:
            yield refused(
                gateway.place(),
                f"has a name that {problem}",
                "no DNS label",
                "choose a name of at most 63 letters, digits and inner hyphens, without dots",
            )


def servers(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for gateway in mesh.scope.of(ISTIO_NETWORKING, "Gateway"):
        block = spec(gateway)
        if block is not None and block.lacks("servers"):
            yield refused(
                block.place("servers" if "servers" in block.node.index else "", "key"),
                "has no servers",
                "no servers",
                "list at least one server with its port and hosts",
            )


def port(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for gateway in mesh.scope.of(ISTIO_NETWORKING, "Gateway"):
        names: set[str] = set()
        block = spec(gateway)
        for server in block.blocks("servers") if block else ():
            written = server.block("port")
            if written is not None:
                yield from _port(server, written)
                yield from _port_name(written, names)


def _port(server: Block, port: Block) -> Iterator[Draft]:
    protocol = port.text("protocol")
    if protocol is not None and (problem := protocol_problem(protocol)):
        yield refused(
            port.place("protocol"),
            f"has a server whose protocol {protocol!r} {problem}",
            "unknown protocol",
            "use one of HTTP, HTTPS, HTTP2, GRPC, GRPC-Web, TCP, TLS, MONGO, REDIS, MYSQL",
        )
    number = port.number("number")
    unix = (server.text("bind") or "").startswith(UNIX)
    if number is not None and port_problem(number) and not (number == 0 and unix):
        yield refused(
            port.place("number"),
            f"has a server on port {number}, which {port_problem(number)}",
            "no port",
            "use the port on which the gateway's pods listen, 1 to 65535",
        )
    if (port.number("targetPort") or 0) > 0:
        yield refused(
            port.place("targetPort", "key"),
            "sets targetPort, which servers of gateways do not have",
            "has no effect on gateways",
            "drop it; a Service in front of the gateway maps ports",
        )


def _port_name(port: Block, names: set[str]) -> Iterator[Draft]:
    written = port.text("name")
    if written is None:
        return
    if not written:
        yield refused(
            port.place("name"), "has a port with an empty name", "empty", "name the port, such as https"
        )
    elif written in names:
        yield refused(
            port.place("name"),
            f"has two servers whose port is named {written}",
            "used by another server",
            "give each server's port a name of its own, also where the numbers are equal",
        )
    names.add(written)


def hosts(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for server in _servers(mesh):
        written = server.node.get("hosts")
        if isinstance(written, Sequence) and not written.items:
            yield refused(
                server.place("hosts"),
                "has a server without hosts",
                "no hosts",
                'list the hosts, or "*" for all of them',
            )
        for item, host in server.texts("hosts"):
            problem = host_problem(host)
            if problem:
                yield refused(
                    server.resource.place(item),
                    f"has a server for the host {host!r}, which {problem}",
                    problem,
                    "write a full name such as shop.example.com, *.example.com or *, "
                    "optionally after a namespace and a slash",
                )


def host_problem(written: str) -> str:
    """Why a server's host is refused; '' where it is not. Rows 7 to 11."""
    namespace, slash, host = written.partition("/")
    if not slash:
        host = written
    elif not namespace or not host:
        return "has nothing on one side of the slash"
    elif namespace not in ("*", ".") and label_problem(namespace):
        return "names a namespace before the slash that is neither *, . nor a DNS label"
    return name_problem(host, addresses=True)


def name_problem(host: str, *, addresses: bool) -> str:
    """The part of a host after the slash, as servers of gateways and egress of Sidecars have it."""
    if host == "*":
        return ""
    if "." not in host:
        return "is a short name without a dot"
    if wildcard_domain_problem(host) and not (addresses and not ip_problem(host)):
        return "is neither a domain name nor an IP address" if addresses else "is no domain name"
    if "*" in host and not host.startswith("*."):
        return "has a wildcard that stands for less than whole labels"
    return ""


def bind(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for server in _servers(mesh):
        written = server.text("bind")
        if not written:
            continue
        path = written.removeprefix(UNIX)
        number = server.node.dig("port", "number")
        port = server.block("port")
        if path == written:
            problem = ip_problem(written)
        elif number is not None and port is not None and port.number("number"):
            problem = "is a Unix socket although the port has a number"
        else:
            problem = unix_path_problem(path)
        if problem:
            yield refused(
                server.place("bind"),
                f"binds a server to {written!r}, which {problem}",
                problem,
                "write an IP address, or unix:///path with port number 0",
            )


def tls_fields(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for server in _servers(mesh):
        tls = server.block("tls")
        protocol = _protocol(server)
        if tls is not None:
            yield from server_tls.certificates(tls, _name(server))
        if protocol is None:
            continue
        if tls is None:
            yield from _without_tls(server, protocol)
        else:
            yield from _tls_on_plain(server, tls, protocol)


def _without_tls(server: Block, protocol: str) -> Iterator[Draft]:
    if protocol in TLS and "tls" not in server.node.index:
        yield refused(
            server.place("port", "key"),
            f"has no tls block for {_name(server)} although its protocol is {protocol.upper()}",
            "without tls",
            "add tls with a mode, and credentialName where the gateway ends TLS",
        )


def _tls_on_plain(server: Block, tls: Block, protocol: str) -> Iterator[Draft]:
    if protocol in TLS:
        return
    if protocol not in HTTP:
        what = f"whose protocol {protocol.upper()} has no TLS"
    elif _refused_on_http(tls):
        what = "which speaks plain HTTP and could only redirect to HTTPS"
    else:
        return
    yield refused(
        server.place("tls", "key"),
        f"sets tls for {_name(server)}, {what}",
        f"not for {protocol.upper()}",
        "use protocol HTTPS or TLS for a port that ends TLS; a plain HTTP port takes httpsRedirect alone",
    )


def _refused_on_http(tls: Block) -> bool:
    mode = server_tls.mode_of(tls)
    return mode is not None and (mode not in server_tls.PASSING or server_tls.has_files(tls))


def tls_mode_missing(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for server, tls, written in _ignored_material(mesh):
        if "mode" not in tls.node.index:
            yield Draft(
                tls.place(written, "key"),
                f"{tls.resource.title} names {written} for {_name(server)} but no mode, which means "
                "PASSTHROUGH: the gateway does not decrypt, and the certificate is not used",
                label="not used without a mode",
                help="add mode: SIMPLE, or MUTUAL to ask clients for a certificate",
            )


def tls_inert(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for server, tls, written in _ignored_material(mesh):
        if "mode" in tls.node.index:
            yield Draft(
                tls.place(written, "key"),
                f"{tls.resource.title} names {written} for {_name(server)} in mode "
                f"{server_tls.mode_of(tls)}, where the gateway does not decrypt; it is not used",
                label="not used in this mode",
                help="drop it, or let the gateway end TLS with mode SIMPLE or MUTUAL",
            )
    for server, tls in _tls(mesh):
        protocol = _protocol(server) if tls.true("httpsRedirect") else None
        if protocol in TLS:
            yield Draft(
                tls.place("httpsRedirect"),
                f"{tls.resource.title} redirects to HTTPS on {_name(server)}, whose protocol is "
                f"{(protocol or '').upper()}; only plain HTTP can be redirected",
                label="only for HTTP",
                help="set it on the server of the plain HTTP port",
            )


@once
def _ignored_material(mesh: Mesh) -> list[tuple[Block, Block, str]]:
    """Servers that pass TLS through, and the first field that speaks of certificates. Row 29."""
    found = []
    for server, tls in _tls(mesh):
        if server_tls.mode_of(tls) not in server_tls.PASSING:
            continue
        written = next((name for name in server_tls.MATERIAL if tls.has(name)), None)
        protocol = _protocol(server) if written else None
        if written and protocol and not (protocol in HTTP and _refused_on_http(tls)):
            found.append((server, tls, written))
    return found


def tls_min_version(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for server, tls in _tls(mesh):
        if "minProtocolVersion" in tls.node.index:
            yield from server_tls.versions(tls, _name(server))


def tls_ciphers(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for server, tls in _tls(mesh):
        if "cipherSuites" in tls.node.index:
            yield from server_tls.ciphers(tls, _name(server))


@once
def _servers(mesh: Mesh) -> list[Block]:
    blocks = map(spec, mesh.scope.of(ISTIO_NETWORKING, "Gateway"))
    return [server for block in blocks if block for server in block.blocks("servers")]


@once
def _tls(mesh: Mesh) -> list[tuple[Block, Block]]:
    """Servers with their tls blocks."""
    found = ((server, server.block("tls")) for server in _servers(mesh))
    return [(server, tls) for server, tls in found if tls]


def _protocol(server: Block) -> str | None:
    """The protocol in lower case, where it is a known one."""
    port = server.block("port")
    written = (port.text("protocol") or "").lower() if port is not None else ""
    return written if written in PROTOCOLS else None


def _name(server: Block) -> str:
    port = server.block("port")
    number = port.number("number") if port is not None else None
    return "a server" if number is None else f"port {number}"
