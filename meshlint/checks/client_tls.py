"""Checks of the family mtls on what clients send (catalogue: spec traffic 8.2, 4.1, 4.6)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

from meshlint.findings import Draft
from meshlint.mesh.client_tls import ClientMode, TlsBlock, mode_of, needs_secret
from meshlint.mesh.dataplane import DataPlane
from meshlint.mesh.destination_rules import ELSEWHERE, DestinationRule, policies, port_entry
from meshlint.mesh.facts import Fact
from meshlint.mesh.hosts import HostIndex, is_wild
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.mtls import Level, Mode
from meshlint.mesh.registry import Service, ServicePort
from meshlint.mesh.workloads import Workload
from meshlint.records import dataclass
from meshlint.resources import Place
from meshlint.source.nodes import Mapping as MappingNode
from meshlint.source.nodes import Node, Scalar, Sequence, int_of, is_true, mappings, string_map, text_of
from meshlint.source.templates import is_placeholder

Options = Mapping[str, Any]

#: certificates that the proxy itself uses: MUTUAL with these is mTLS of the mesh
_MESH_CERTIFICATES = ("/etc/certs/", "/var/run/secrets/workload-spiffe-credentials/")
#: the port of gateways that join meshes
_CROSS_NETWORK_PORT = 15443


#: how many clashes of one block are looked for
_ENOUGH = 20


@dataclass(frozen=True, slots=True)
class _Clash:
    """One port of one service whose pods do not take what clients send."""

    service: Service | None
    what: str
    because: tuple[tuple[str, Place], ...]
    confidence: str | None


ClashOf = Callable[[Mesh, Service, ServicePort, Workload, int], "_Clash | None"]


def dr_no_mode(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for block in mesh.client_tls.blocks:
        if block.tls.get("mode") is None:
            yield Draft(
                block.place(),
                f"{block.title} has a tls block without a mode, which means DISABLE: "
                f"clients of {block.rule.host} send plain text",
                label="no mode: plain text",
                help="write the mode: ISTIO_MUTUAL inside of the mesh, SIMPLE or MUTUAL for other servers; "
                "or drop the block",
            )


def dr_disable_vs_strict(mesh: Mesh, options: Options) -> Iterator[Draft]:
    suspects = _Suspects(mesh, _needs_mtls)
    for block in mesh.client_tls.blocks:
        if block.client.is_(ClientMode.PLAIN, ClientMode.TLS_ONEWAY, ClientMode.TLS_CUSTOM) and block.mode:
            clashes = _where(mesh, block, suspects) or _by_name(mesh, block)
            if clashes and not _uses_mesh_certificates(block):
                sends = "plain text" if block.mode == "DISABLE" else "TLS of its own"
                yield _clash_draft(block, clashes, sends, "use ISTIO_MUTUAL, or drop the tls block")


def dr_mutual_vs_disable(mesh: Mesh, options: Options) -> Iterator[Draft]:
    suspects = _Suspects(mesh, _knows_no_mtls)
    for block in mesh.client_tls.blocks:
        if block.client.is_(ClientMode.MTLS):
            clashes = [*_where(mesh, block, suspects), *_external(mesh, block)]
            if clashes:
                help_ = "drop the tls block: clients then use mutual TLS where the server has it"
                yield _clash_draft(block, clashes, "mutual TLS of the mesh", help_)


def _clash_draft(block: TlsBlock, clashes: list[_Clash], sends: str, help_: str) -> Draft:
    first = clashes[0]
    least = "at least " if len(clashes) >= _ENOUGH else ""
    more = f" (and {least}{len(clashes) - 1} more)" if len(clashes) > 1 else ""
    certain = [clash for clash in clashes if clash.confidence is None]
    rank = ("medium", "low")
    confidence = None if certain else min((c.confidence or "" for c in clashes), key=rank.index)
    return Draft(
        block.place(),
        f"{block.title} makes clients send {sends} (mode {block.mode}) to {first.what}{more}: calls fail",
        label=f"clients send {sends}",
        help=help_,
        related=tuple(pair for clash in clashes[:2] for pair in clash.because),
        confidence=confidence,
    )


class _Suspects:
    """Services of which some port would not take what a kind of block sends, for wildcard hosts."""

    def __init__(self, mesh: Mesh, clash_of: ClashOf) -> None:
        self.mesh = mesh
        self.clash_of = clash_of

    def within(self, host: str) -> list[Service]:
        return (self._index if is_wild(host) else self.mesh.registry).within(host)

    def clash(self, service: Service, port: ServicePort, workloads: list[Workload]) -> _Clash | None:
        """The first workload behind a port for which the calls fail."""
        for workload in workloads:
            target = self.mesh.registry.target_port(service, port, workload)
            found = self.clash_of(self.mesh, service, port, workload, target.value) if target.known else None
            if found is not None:
                return found
        return None

    @cached_property
    def _index(self) -> HostIndex[Service]:
        index: HostIndex[Service] = HostIndex()
        for service in self.mesh.registry.services:
            workloads = self.mesh.registry.workloads_of(service)
            if any(self.clash(service, port, workloads) for port in service.ports):
                index.add(service.host, service)
        return index


def _where(mesh: Mesh, block: TlsBlock, suspects: _Suspects) -> list[_Clash]:
    """The clashes of a block, at most one per service port, and not more than anyone reads."""
    found = []
    for service, port in _governed(mesh, block, suspects.within(block.rule.host)):
        clash = suspects.clash(service, port, _endpoints(mesh, service, block))
        if clash is not None:
            found.append(clash)
            if len(found) == _ENOUGH:
                break
    return found


def _needs_mtls(
    mesh: Mesh, service: Service, port: ServicePort, workload: Workload, target: int
) -> _Clash | None:
    plane = mesh.data_planes.of(workload)
    if plane.is_(DataPlane.AMBIENT):
        return None
    mode = mesh.mtls.supposed(workload, target)
    if not mode.is_(Mode.STRICT):
        return None
    return _Clash(
        service,
        f"port {port.number} of {service.resource.title}, where {workload.title} takes mutual TLS only",
        (
            *(("requires mutual TLS", place) for place in mode.because[:1]),
            ("the server", workload.resource.place()),
        ),
        None if plane.known else _trust(mesh, mode),
    )


def _knows_no_mtls(
    mesh: Mesh, service: Service, port: ServicePort, workload: Workload, target: int
) -> _Clash | None:
    plane = mesh.data_planes.of(workload)
    if plane.is_(DataPlane.AMBIENT):
        return None
    mode = mesh.mtls.supposed(workload, target)
    if mode.is_(Mode.DISABLE):
        why, label = "takes plain text only", "turns mutual TLS off"
        confidence = None if plane.known else "medium"
    elif mode.is_(Mode.PLAINTEXT_ONLY):
        why, label = "has no proxy", "keeps the pod out of the mesh"
        if plane.is_(DataPlane.SIDECAR):
            why, label = "has no proxy on that port", "leads the port past the proxy"
        opted_out = mesh.injection.of(workload).certain
        confidence = None if mode.certain else "medium" if opted_out else "low"
    else:
        return None
    return _Clash(
        service,
        f"port {port.number} of {service.resource.title}, where {workload.title} {why}",
        (*((label, place) for place in mode.because[:1]), ("the server", workload.resource.place())),
        confidence,
    )


def _external(mesh: Mesh, block: TlsBlock) -> Iterator[_Clash]:
    services = mesh.registry.within(block.rule.host)
    if not services or not all(s.external and s.kind == "service-entry" for s in services):
        return
    for service in services:
        ports = [port.number for port in service.ports]
        if _CROSS_NETWORK_PORT in ports or any(port.target == _CROSS_NETWORK_PORT for port in service.ports):
            continue
        if mesh.destination_rules.used_by_somebody(block.rule, service.host, service.namespace):
            place = service.resource.place_at("spec", "location")
            what = f"{service.host}, which {service.resource.title} declares outside of the mesh"
            yield _Clash(service, what, (("outside of the mesh", place),), "medium")


def _by_name(mesh: Mesh, block: TlsBlock) -> list[_Clash]:
    """Whole namespaces and the mesh, where no Service of the input is concerned (KIA0207, KIA0208)."""
    if block.port is not None or block.subset is not None or mesh.registry.within(block.rule.host):
        return []
    suffix = mesh.config.domain_suffix
    host = block.rule.host
    if host in (f"*.svc.{suffix}", f"*.{suffix}", "*.local", "*"):
        mode, whom = mesh.mtls.mesh_mode, "the services of the mesh"
    else:
        service, _, rest = host.partition(".")
        namespace = rest.removesuffix(f".svc.{suffix}")
        if service != "*" or not namespace or "." in namespace:
            return []
        mode, whom = mesh.mtls.namespace_mode(namespace), f"the services of the namespace {namespace}"
    if not mode.is_(Mode.STRICT) or not mode.because:
        return []
    related = (("requires mutual TLS", mode.because[0]),)
    return [_Clash(None, f"{whom}, which take mutual TLS only", related, "medium")]


def _trust(mesh: Mesh, mode: Fact[Mode]) -> str:
    """How far a policy shows that its pods are in the mesh, where nothing else does."""
    policy = mesh.mtls.by_resource.get(mode.because[0].resource) if mode.because else None
    return "medium" if policy is not None and policy.level is not Level.MESH else "low"


def _governed(
    mesh: Mesh, block: TlsBlock, services: Iterable[Service]
) -> Iterator[tuple[Service, ServicePort]]:
    """Ports of these services for which some client uses this very block."""
    rule = block.rule
    for service in services:
        if not mesh.destination_rules.used_by_somebody(rule, service.host, service.namespace):
            continue
        if block.subset is not None and not _routed(mesh, service, block.subset):
            continue
        for port in service.ports:
            wanted = port.number == block.port if block.port is not None else None
            if wanted is None:
                wanted = port_entry(block.policy, port.number) is None
            if wanted and not _outvoted(mesh, block, service, port.number):
                yield service, port


def _outvoted(mesh: Mesh, block: TlsBlock, service: Service, port: int) -> bool:
    """Does another rule for the same host say something else, so that age decides?"""
    rules = mesh.destination_rules
    client = block.rule.namespace
    if block.rule not in rules.for_host(client, service, block.rule.selector):
        client = ELSEWHERE
    rivals = [
        rule
        for rule in rules.for_host(client, service, block.rule.selector)
        if rule.resource.key != block.rule.resource.key
    ]
    if not rivals:
        return False
    merged = rules.merged_block("tls", [block.rule, *rivals], port, block.subset)
    return not merged.known or merged.value is not block.tls


def _routed(mesh: Mesh, service: Service, subset: str) -> bool:
    return any(
        destination.subset == subset and service in destination.services
        for route in mesh.routes.to_service(service)
        for destination in route.destinations
    )


def _endpoints(mesh: Mesh, service: Service, block: TlsBlock) -> list[Workload]:
    workloads = mesh.registry.workloads_of(service)
    if block.subset is None:
        return workloads
    subset = next((s for s in block.rule.subsets if text_of(s.get("name")) == block.subset), None)
    labels = string_map(subset.get("labels")) if subset is not None else {}
    return [workload for workload in workloads if labels.items() <= workload.labels.items()]


def _uses_mesh_certificates(block: TlsBlock) -> bool:
    return (text_of(block.tls.get("clientCertificate")) or "").startswith(_MESH_CERTIFICATES)


def dr_port_level_drops_tls(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for rule in mesh.destination_rules.all:
        for _, policy in policies(rule):
            top = policy.get("tls")
            if top is None and rule.traffic_policy is not None:
                top = rule.traffic_policy.get("tls")
            mode = mode_of(top) if isinstance(top, MappingNode) else None
            if top is None or mode is None or not mode.known or mode.value is ClientMode.PLAIN:
                continue
            for entry in mappings(policy.get("portLevelSettings")):
                if entry.get("tls") is None and int_of(entry.dig("port", "number")) is not None:
                    yield _dropped(mesh, rule, entry, top, mode.value)


def _dropped(mesh: Mesh, rule: DestinationRule, entry: MappingNode, top: Node, mode: ClientMode) -> Draft:
    resource = rule.resource
    number = entry.dig("port", "number")
    automatic = mode is ClientMode.MTLS and mesh.config.auto_mtls.or_else(True)
    result = "auto mTLS decides there" if automatic else "clients send plain text there"
    return Draft(
        resource.place(number),
        f"{resource.title}: the entry for port {number.text if isinstance(number, Scalar) else ''} "
        f"has no tls and takes nothing over from the {text_of(top.dig('mode'))} above it; {result}",
        label="this entry replaces the whole policy",
        help="repeat the tls block in the entry",
        related=(("is not used for that port", resource.place(top.dig("mode") or top)),),
    )


def insecure_skip_verify(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for block in mesh.client_tls.blocks:
        if is_true(block.tls.get("insecureSkipVerify")):
            yield Draft(
                block.place("insecureSkipVerify"),
                f"{block.title} turns off the verification of the certificate of {block.rule.host}",
                label="any certificate is accepted",
                help="name the authority in caCertificates and the expected names in subjectAltNames",
            )


def credential_on_sidecar(mesh: Mesh, options: Options) -> Iterator[Draft]:
    behind_gateways = _hosts_behind_gateways(mesh)
    for block in mesh.client_tls.blocks:
        if block.rule.selector or not needs_secret(block.tls) or block.mode not in ("SIMPLE", "MUTUAL"):
            continue
        name = text_of(block.tls.get("credentialName"))
        if is_placeholder(name) or _for_gateways(mesh, block.rule, behind_gateways):
            continue
        planes = {mesh.data_planes.of(w).or_else(DataPlane.NONE) for w in _clients(mesh, block.rule)}
        if planes and planes <= {DataPlane.GATEWAY, DataPlane.WAYPOINT}:
            continue
        yield Draft(
            block.place("credentialName"),
            f"{block.title} takes its certificate from the Secret {name} (credentialName), "
            f"which sidecars do not read: they send plain text to {block.rule.host}",
            label="only gateways read this Secret",
            help="mount the files and name them in the rule, or select the clients with workloadSelector",
            confidence=None if DataPlane.SIDECAR in planes else "medium",
        )


def _clients(mesh: Mesh, rule: DestinationRule) -> list[Workload]:
    return mesh.workloads.within(rule.namespace)


def _for_gateways(mesh: Mesh, rule: DestinationRule, behind_gateways: set[str]) -> bool:
    """Is the rule for a gateway, whose pods do read the Secret?"""
    if rule.namespace == mesh.config.root or rule.host in behind_gateways:
        return True
    return rule.wildcard and any(rule.covers(host) for host in behind_gateways)


def _hosts_behind_gateways(mesh: Mesh) -> set[str]:
    return {
        destination.host
        for route in mesh.routes.all
        if route.binding.gateways or route.binding.missing or route.binding.unsure_gateways
        for destination in route.destinations
    }


def external_san(mesh: Mesh, options: Options) -> Iterator[Draft]:
    old = _before_1_21(mesh.settings.istio_version)
    for block in mesh.client_tls.blocks:
        if block.mode not in ("SIMPLE", "MUTUAL") or not _outside(mesh, block.rule):
            continue
        if _names(block.tls) or _entry_names(mesh, block.rule):
            continue
        said = _unverified(block, old) or _of_any_host(mesh, block)
        if said is not None:
            yield said


def _of_any_host(mesh: Mesh, block: TlsBlock) -> Draft | None:
    """Hosts of a wildcard that are called where they are: the request alone says whose name is expected."""
    if is_true(block.tls.get("insecureSkipVerify")):
        return None
    for service in mesh.registry.covering(block.rule.host):
        resource = service.resource
        resolution = resource.text("spec", "resolution") or "NONE"
        if service.kind == "service-entry" and is_wild(service.host) and resolution == "NONE":
            return Draft(
                block.place(),
                f"{block.title} starts TLS for {block.rule.host} without subjectAltNames, and connections go "
                "to whatever address the client chose: which name the certificate must have is taken from "
                "the request, so anybody with a certificate of his own passes",
                label="no expected name",
                help="list the names that the certificate must hold in subjectAltNames",
                related=(("called where it is", resource.place_at("spec", "resolution", part="pair")),),
                equivalents=(),
                severity="info",
            )
    return None


def _unverified(block: TlsBlock, old: bool) -> Draft | None:
    authority = text_of(block.tls.get("caCertificates")) or text_of(block.tls.get("credentialName"))
    sni = text_of(block.tls.get("sni"))
    if is_true(block.tls.get("insecureSkipVerify")):
        return None
    host = block.rule.host
    codes = () if text_of(block.tls.get("caCertificates")) else (_code(block),)
    draft = Draft(
        block.place(),
        "",
        label="no expected name",
        help="list the names that the certificate must hold in subjectAltNames",
        equivalents=codes,
    )
    if old and not authority:
        text = f"{block.title} does not verify the certificate of {host}: before Istio 1.21 that needs both "
        return replace(draft, message=text + "caCertificates and subjectAltNames", label="not verified")
    if old or (sni and authority):
        text = (
            f"{block.title} accepts any certificate of its authority for {host}: it names no subjectAltNames"
        )
        return replace(draft, message=text)
    if sni:
        text = (
            f"{block.title} sets sni without subjectAltNames, which turns off the check of the name of {host}"
        )
        return replace(draft, message=text)
    if text_of(block.tls.get("caCertificates")):
        text = f"policy: {block.title} trusts an authority of its own for {host} and names no subjectAltNames"
        return replace(draft, message=text, severity="info")
    return None


def _code(block: TlsBlock) -> str:
    return "IST0128" if block.port is None else "IST0129"


def _names(tls: MappingNode) -> bool:
    names = tls.get("subjectAltNames")
    return isinstance(names, Sequence) and bool(names.items)


def _entry_names(mesh: Mesh, rule: DestinationRule) -> bool:
    """Names of a ServiceEntry count where the rule has none."""
    return any(s.resource.get("spec", "subjectAltNames") for s in mesh.registry.covering(rule.host))


def _outside(mesh: Mesh, rule: DestinationRule) -> bool:
    services = mesh.registry.covering(rule.host)
    if services:
        return all(service.external for service in services)
    return "." in rule.host.lstrip("*.") and not rule.host.endswith(f".{mesh.config.domain_suffix}")


def _before_1_21(version: str) -> bool:
    major, _, rest = version.lstrip("v").partition(".")
    minor = rest.partition(".")[0]
    return major == "1" and minor.isdecimal() and int(minor) < 21
