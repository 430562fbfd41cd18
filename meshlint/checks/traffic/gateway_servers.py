"""Do the servers of Gateways on the same pods take ports, hosts and certificates from each other?

Spec traffic 5.11. Which Gateway is the older one decides who wins, and manifests do not say that.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from meshlint.checks.admission.server_tls import TERMINATING
from meshlint.checks.traffic.gateway import HTTP
from meshlint.checks.traffic.neighbours import together
from meshlint.findings import Draft
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.server_groups import Bound, rivals
from meshlint.source.nodes import Mapping as YamlMapping
from meshlint.source.nodes import Scalar, text_of, texts
from meshlint.source.templates import is_placeholder

Options = Mapping[str, Any]

_PEERS: Final = ("IST0145", "KIA0301")


# -- gw-duplicate-host-port -----------------------------------------------------------------------


def duplicate_host_port(mesh: Mesh, options: Options) -> Iterator[Draft]:
    said: set[int] = set()
    for group in mesh.server_groups.all:
        for judge, offers in _same_hosts(group):
            for offer, other in rivals(offers):
                if id(offer.item) not in said:
                    said.add(id(offer.item))
                    yield judge(mesh, offer, other)


def _same_hosts(group: Iterable[Bound]) -> Iterator[tuple[Any, list[Bound]]]:
    """Offers of the same host, port and address, with the function that words the finding."""
    written: dict[tuple[int, str, bool, str], list[Bound]] = defaultdict(list)
    names: dict[tuple[int, str, str], dict[str, Bound]] = defaultdict(dict)
    for bound in group:
        for item in texts(bound.server.node.get("hosts")):
            text = item.text
            if is_placeholder(text) or not bound.port:
                continue
            offer = bound.at(item)
            if _kind(bound) != "tcp":
                written[bound.port, bound.bind, _has_tls(bound), text].append(offer)
            if _encrypted(bound):
                names[bound.port, bound.bind, text.rpartition("/")[2]].setdefault(text, offer)
    for (_, _, tls, _), offers in written.items():
        if len(offers) > 1:
            yield (_skipped if tls else _merged), offers
    for spellings in names.values():
        if len(spellings) > 1:
            yield _same_sni, list(spellings.values())


def _has_tls(bound: Bound) -> bool:
    return isinstance(bound.server.node.get("tls"), YamlMapping)


def _encrypted(bound: Bound) -> bool:
    return _has_tls(bound) and bound.server.protocol not in HTTP


def _text(bound: Bound) -> str:
    return bound.item.text if isinstance(bound.item, Scalar) else ""


def _skipped(mesh: Mesh, offer: Bound, other: Bound) -> Draft:
    """Servers with a tls block: the second with a host is left out as a whole."""
    host, same = _text(offer), offer.resource is other.resource
    if _only_redirects(offer, other):
        return _merged(mesh, offer, other)
    if same:
        what = f"offers {host} on port {offer.port} a second time: the whole server is skipped"
    else:
        what = (
            f"offers {host} on port {offer.port} for the same pods as {other.resource.title}: only the "
            "older one is used, and the whole server of the other is skipped"
        )
    sure = None if same else together(mesh, offer.resource, other.resource)
    shared = {key for key, _ in _certificates(offer)} & {key for key, _ in _certificates(other)}
    codes = (*_PEERS, "IST0138") if shared else _PEERS
    return Draft(
        offer.place,
        f"{offer.resource.title} {what}",
        label="the same host and port",
        help="keep the host in one of them" if same else "give each host to one Gateway",
        related=((_where(offer, other), other.place),),
        confidence="low" if sure == "medium" and host.rpartition("/")[2] == "*" else sure,
        equivalents=("KIA0301",) if same else codes,
    )


def _only_redirects(offer: Bound, other: Bound) -> bool:
    """Do both redirect the same hosts to HTTPS? Then it does not matter which one does."""
    if not (offer.server.https_redirect and other.server.https_redirect):
        return False
    return set(offer.server.hosts) == set(other.server.hosts)


def _merged(mesh: Mesh, offer: Bound, other: Bound) -> Draft:
    """Plain HTTP: Istio merges the servers, so this is only what the peers would say."""
    own = " again" if offer.resource is other.resource else f", as {other.resource.title} does"
    return Draft(
        offer.place,
        f"{offer.resource.title} offers {_text(offer)} on port {offer.port}{own}; Istio merges the two, and "
        "the rules of all their VirtualServices are one list",
        label="the same host and port",
        help="keep one Gateway for the host if its VirtualServices belong together",
        related=((_where(offer, other), other.place),),
        severity="info",
        confidence="low",
        equivalents=("KIA0301",) if offer.resource is other.resource else _PEERS,
    )


def _same_sni(mesh: Mesh, offer: Bound, other: Bound) -> Draft:
    """The prefix before the slash tells who may use the host; connections do not carry it."""
    mine, its = _namespace(offer), _namespace(other)
    return Draft(
        offer.place,
        f"{offer.resource.title} offers {_text(offer)} on port {offer.port}, and {other.resource.title} "
        f"offers {_text(other)}: connections for that name end at one of the two, and nothing says at which",
        label="the same name for TLS",
        help="give the name to one server, and list there who may use it",
        related=((_where(offer, other), other.place),),
        severity="warning",
        confidence=None
        if offer.resource is other.resource
        else together(mesh, offer.resource, other.resource),
        equivalents=("KIA0301",) if mine == its or "*" in (mine, its) else (),
    )


def _namespace(bound: Bound) -> str:
    before = _text(bound).rpartition("/")[0]
    return bound.gateway.namespace if before == "." else before or "*"


def _where(bound: Bound, other: Bound) -> str:
    return "first here" if bound.resource is other.resource else "and here"


# -- gw-port-protocol-conflict --------------------------------------------------------------------


def port_protocol_conflict(mesh: Mesh, options: Options) -> Iterator[Draft]:
    said: set[int] = set()
    for group in mesh.server_groups.all:
        ports: dict[tuple[int, str], list[Bound]] = defaultdict(list)
        for bound in group:
            if bound.port and bound.server.protocol and not is_placeholder(bound.server.protocol):
                ports[bound.port, bound.bind].append(bound)
        for bounds in ports.values():
            for bound, other in _conflicts(bounds):
                if id(bound.server) not in said:
                    said.add(id(bound.server))
                    yield _conflict(mesh, bound, other)


def _conflicts(bounds: list[Bound]) -> Iterator[tuple[Bound, Bound]]:
    """Servers that cannot share the port with the kind that most of its servers are of."""
    kinds: dict[str, list[Bound]] = defaultdict(list)
    for bound in bounds:
        kinds[_kind(bound)].append(bound)
    usual = max(kinds, key=lambda kind: len(kinds[kind]))
    for kind, found in kinds.items():
        if kind != usual:
            yield from ((b, o) for b in found for o in kinds[usual][:8] if _compete(b, o))
    if kinds["tcp"]:
        yield from rivals(kinds["tcp"])


def _compete(bound: Bound, other: Bound) -> bool:
    """Are they of different Gateways, or is a plain server followed by another in the same one?"""
    if bound.resource is not other.resource:
        return bound.resource.key != other.resource.key
    first = min(bound, other, key=lambda one: one.server.node.start)
    return _kind(first) != "tls"


def _kind(bound: Bound) -> str:
    """Plain HTTP servers share a port, and so do those with TLS; plain TCP has it alone."""
    if bound.server.protocol in HTTP:
        return "http"
    return "tls" if _has_tls(bound) else "tcp"


def _conflict(mesh: Mesh, bound: Bound, other: Bound) -> Draft:
    same = bound.resource is other.resource
    whose = "another of its servers" if same else other.resource.title
    node = bound.server.node.dig("port", "protocol")
    both = not same and not set(bound.server.hosts).isdisjoint(other.server.hosts)
    return Draft(
        bound.at(node).place if node is not None else bound.place,
        f"{bound.resource.title} speaks {_spoken(bound)} on port {bound.port}, and {whose}, for the same "
        f"pods, {_spoken(other)}: they cannot share the port, and the later server is skipped",
        label=f"not beside {_spoken(other)}",
        help="use another port for one of them",
        related=(("takes the same port", other.place),),
        confidence=None if same else together(mesh, bound.resource, other.resource),
        equivalents=_PEERS if both else (),
    )


def _spoken(bound: Bound) -> str:
    return bound.server.protocol + (" with TLS" if _kind(bound) == "tls" else "")


# -- gw-duplicate-certificate ---------------------------------------------------------------------


def duplicate_certificate(mesh: Mesh, options: Options) -> Iterator[Draft]:
    said: set[int] = set()
    for group in mesh.server_groups.all:
        uses: dict[tuple[int, str, str], list[Bound]] = defaultdict(list)
        for bound in group:
            for key, use in _certificates(bound):
                uses[bound.port, bound.bind, key].append(use)
        for found in uses.values():
            for use, other in _different_hosts(found):
                if id(use.item) not in said:
                    said.add(id(use.item))
                    yield _duplicate(mesh, use, other)


def _certificates(bound: Bound) -> Iterator[tuple[str, Bound]]:
    """The certificates of an HTTPS server that ends TLS: names of Secrets, else the pair of files."""
    tls = bound.server.node.get("tls")
    if not isinstance(tls, YamlMapping) or bound.server.tls_mode not in TERMINATING:
        return
    if bound.server.protocol != "HTTPS":
        return
    names = [tls.get("credentialName"), *texts(tls.get("credentialNames"))]
    for item in names:
        if item is not None and text_of(item) and not is_placeholder(text_of(item)):
            yield f"secret {text_of(item)}", bound.at(item)
    files = [text_of(tls.get(name)) for name in ("serverCertificate", "privateKey")]
    item = tls.get("serverCertificate")
    if item is not None and all(files) and not any(is_placeholder(file) for file in files):
        yield f"files {files}", bound.at(item)


def _different_hosts(uses: list[Bound]) -> Iterator[tuple[Bound, Bound]]:
    """Servers with the certificate that offer other hosts than the first of their rivals."""
    for use, other in rivals(uses):
        if set(use.server.hosts) != set(other.server.hosts):
            yield use, other
            if use.resource is other.resource:
                yield other, use


def _duplicate(mesh: Mesh, use: Bound, other: Bound) -> Draft:
    same = use.resource is other.resource
    mine, its = use.gateway.selector.items(), other.gateway.selector.items()
    whose = "another of its servers" if same else other.resource.title
    return Draft(
        use.place,
        f"{use.resource.title} uses the certificate {_text(use)} on port {use.port}, and so does {whose} "
        "with other hosts: browsers send requests for one host over a connection made for another, and get "
        "404",
        label="shared by servers with different hosts",
        help="put all hosts of the certificate into one server, or use a certificate for each",
        related=(("the same certificate", other.place),),
        confidence=None if same else together(mesh, use.resource, other.resource),
        equivalents=("IST0138",) if not same and mine <= its else (),
    )
