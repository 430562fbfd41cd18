"""What do clients of a service send, and does it fit what its pods accept? (spec security 3.5, 3.6)

Clients are pods with a sidecar, or gateways. What an ambient pod receives through its tunnel is not
judged: a DestinationRule does not configure that hop.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Mapping as MappingOf
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING

from meshlint.mesh.destination_rules import DestinationRule, policies, port_entry
from meshlint.mesh.facts import Fact
from meshlint.mesh.mtls import Mode
from meshlint.mesh.registry import HTTP_LIKE
from meshlint.records import dataclass
from meshlint.resources import Place
from meshlint.source.nodes import Mapping, Node, int_of, mappings, text_of
from meshlint.source.templates import is_placeholder

if TYPE_CHECKING:
    from meshlint.mesh.mesh import Mesh
    from meshlint.mesh.registry import Service
    from meshlint.mesh.workloads import Workload


class ClientMode(Enum):
    PLAIN = "PLAIN"
    MTLS = "MTLS"  #: mutual TLS of the mesh, whatever the endpoint is
    AUTO = "AUTO"  #: per endpoint: mutual TLS where it has a proxy, else plain text
    TLS_ONEWAY = "TLS_ONEWAY"
    TLS_CUSTOM = "TLS_CUSTOM"


class Verdict(Enum):
    OK = "ok"
    UNENCRYPTED = "ok, unencrypted"
    APP_TLS = "ok only if the application itself terminates TLS"
    BROKEN = "broken"


_MODES = {
    "DISABLE": ClientMode.PLAIN,
    "SIMPLE": ClientMode.TLS_ONEWAY,
    "MUTUAL": ClientMode.TLS_CUSTOM,
    "ISTIO_MUTUAL": ClientMode.MTLS,
}
_CUSTOM = (ClientMode.TLS_ONEWAY, ClientMode.TLS_CUSTOM)
_MATRIX = {
    (ClientMode.PLAIN, Mode.STRICT): Verdict.BROKEN,
    (ClientMode.PLAIN, Mode.PERMISSIVE): Verdict.UNENCRYPTED,
    (ClientMode.PLAIN, Mode.DISABLE): Verdict.UNENCRYPTED,
    (ClientMode.PLAIN, Mode.PLAINTEXT_ONLY): Verdict.UNENCRYPTED,
    (ClientMode.MTLS, Mode.STRICT): Verdict.OK,
    (ClientMode.MTLS, Mode.PERMISSIVE): Verdict.OK,
    (ClientMode.MTLS, Mode.DISABLE): Verdict.BROKEN,
    (ClientMode.MTLS, Mode.PLAINTEXT_ONLY): Verdict.BROKEN,
    (ClientMode.AUTO, Mode.STRICT): Verdict.OK,
    (ClientMode.AUTO, Mode.PERMISSIVE): Verdict.OK,
    (ClientMode.AUTO, Mode.DISABLE): Verdict.UNENCRYPTED,
    (ClientMode.AUTO, Mode.PLAINTEXT_ONLY): Verdict.UNENCRYPTED,
    **{(mode, Mode.STRICT): Verdict.BROKEN for mode in _CUSTOM},
    **{(mode, Mode.PERMISSIVE): Verdict.APP_TLS for mode in _CUSTOM},
    **{(mode, Mode.DISABLE): Verdict.APP_TLS for mode in _CUSTOM},
    **{(mode, Mode.PLAINTEXT_ONLY): Verdict.APP_TLS for mode in _CUSTOM},
}


def verdict(
    client: ClientMode, server: Mode, *, protocol: str = "", bypassed: bool = False
) -> Verdict | None:
    """A cell of the compatibility matrix; None for servers that it is not about (gateways).

    `bypassed` says that the endpoint has a proxy, but that the port is not led through it.
    """
    if bypassed and client is ClientMode.AUTO and server is Mode.PLAINTEXT_ONLY:
        return Verdict.BROKEN
    if client in _CUSTOM and server is Mode.PERMISSIVE and protocol in HTTP_LIKE:
        return Verdict.BROKEN
    return _MATRIX.get((client, server))


@dataclass(frozen=True, slots=True, eq=False)
class TlsBlock:
    """A `tls` block of a DestinationRule; `holder` is the policy or the port-level entry around it.

    `subset` None is the policy of the rule itself; `port` is that of a port-level entry (-1: none named).
    """

    rule: DestinationRule
    subset: str | None
    policy: Mapping
    holder: Mapping
    tls: Mapping
    port: int | None

    @property
    def title(self) -> str:
        return self.rule.resource.title

    @property
    def mode(self) -> str:
        return text_of(self.tls.get("mode")) or ""

    @property
    def client(self) -> Fact[ClientMode]:
        return mode_of(self.tls)

    def place(self, field: str = "mode") -> Place:
        """The value of a field, or the key `tls` where it is absent."""
        node = self.tls.get(field) or self.holder.key("tls")
        return self.rule.resource.place(node)


class ClientTls:
    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh

    @cached_property
    def blocks(self) -> list[TlsBlock]:
        """Every tls block of every DestinationRule."""
        return list(_blocks(self.mesh.destination_rules.all))

    def mode(
        self,
        client_namespace: str,
        service: Service,
        port: int,
        subset: str | None = None,
        labels: MappingOf[str, str] | None = None,
        *,
        gateway: bool = False,
    ) -> Fact[ClientMode]:
        """What clients of a namespace send to a service port; `labels` are those of the client's pods."""
        rules = self.mesh.destination_rules.for_host(client_namespace, service, labels)
        block = self.mesh.destination_rules.merged_block("tls", rules, port, subset)
        if not block.known:
            return Fact(block.state, None, block.because, False, block.reason)
        written = block.value
        if isinstance(written, Mapping):
            return mode_of(written, block.because, _honours_credentials(rules, gateway))
        return self._lost(rules, port) or self._automatic(service, port, rules, subset)

    def outcome(
        self,
        client_namespace: str,
        service: Service,
        port: int,
        workload: Workload,
        subset: str | None = None,
        labels: MappingOf[str, str] | None = None,
    ) -> Fact[Verdict]:
        """Does a call from a sidecar of the namespace to one workload behind a service port work?"""
        client = self.mode(client_namespace, service, port, subset, labels)
        if not client.known:
            return Fact(client.state, None, client.because, False, client.reason)
        return self.reaches(client, service, port, workload)

    def reaches(
        self, client: Fact[ClientMode], service: Service, port: int, workload: Workload
    ) -> Fact[Verdict]:
        """The matrix for one workload behind a service port and a known mode of the client."""
        from meshlint.mesh.dataplane import DataPlane

        target = self.mesh.registry.target_port(service, port, workload)
        if not target.known:
            return Fact.missing(target.reason, *target.because)
        server = self.mesh.mtls.mode(workload, target.value)
        if not server.known:
            return Fact(server.state, None, server.because, False, server.reason)
        plane = self.mesh.data_planes.of(workload)
        sends = self._to_endpoint(client.value, workload)
        if plane.is_(DataPlane.AMBIENT) and sends is not ClientMode.AUTO:
            return Fact.missing("the endpoint is reached through the tunnel of an ambient mesh")
        bypassed = (
            server.value is Mode.PLAINTEXT_ONLY
            and plane.is_(DataPlane.SIDECAR)
            and not self.mesh.mtls.configured(workload, target.value).is_(Mode.DISABLE)
        )
        entry = service.port(port)
        result = verdict(sends, server.value, protocol=entry.protocol if entry else "", bypassed=bypassed)
        because = (*client.because, *server.because)
        if result is None:
            return Fact.missing("the listeners of a gateway are not a matter of mTLS policies", *because)
        return Fact.of(
            result, *because, certain=client.certain and server.certain, reason=sends.value.lower()
        )

    @staticmethod
    def _to_endpoint(client: ClientMode, workload: Workload) -> ClientMode:
        """Clients that decide per endpoint look at a label, which the pod template may set itself."""
        if client is ClientMode.AUTO and workload.labels.get(_TLS_MODE_LABEL, "istio") != "istio":
            return ClientMode.PLAIN
        return client

    def _lost(self, rules: list[DestinationRule], port: int) -> Fact[ClientMode] | None:
        """A port-level entry without tls: auto mTLS, while endpoints still see the top-level mode."""
        rule = next((rule for rule in rules if rule.traffic_policy is not None), None)
        if rule is None or port_entry(rule.traffic_policy, port) is None:
            return None
        top = rule.traffic_policy.get("tls") if rule.traffic_policy is not None else None
        if not isinstance(top, Mapping):
            return None
        mode = mode_of(top, (rule.resource.place(top),))
        if mode.known and mode.value is not ClientMode.MTLS:
            return Fact.of(ClientMode.PLAIN, *mode.because, reason="the port-level entry has no tls")
        return None

    def _automatic(
        self, service: Service, port: int, rules: list[DestinationRule], subset: str | None
    ) -> Fact[ClientMode]:
        if service.external:
            return Fact.of(
                ClientMode.PLAIN, service.resource.place(), reason="outside of the mesh", certain=False
            )
        auto = self.mesh.config.auto_mtls
        if not auto.known:
            return Fact.missing(auto.reason, *auto.because)
        if not auto.value:
            return Fact.of(ClientMode.PLAIN, *auto.because, reason="enableAutoMtls is off", certain=False)
        above = self.mesh.mtls.namespace_mode(service.namespace)
        if above.is_(Mode.DISABLE):
            return Fact.of(
                ClientMode.PLAIN, *above.because, reason="mTLS is off in its namespace", certain=False
            )
        balancer = self.mesh.destination_rules.merged_block("loadBalancer", rules, port, subset)
        simple = balancer.value.dig("simple") if balancer.known and balancer.value is not None else None
        if service.kind == "headless" or text_of(simple) == "PASSTHROUGH":
            return self._original_destination(service)
        return Fact.of(ClientMode.AUTO, reason="auto mTLS", certain=False)

    def _original_destination(self, service: Service) -> Fact[ClientMode]:
        """Without load balancing one mode serves all endpoints: mutual TLS only if each has a proxy."""
        workloads = self.mesh.registry.workloads_of(service)
        answers = [self.mesh.data_planes.in_mesh(workload) for workload in workloads]
        outside = next((w for w, inside in zip(workloads, answers, strict=True) if inside is False), None)
        if outside is not None:
            return Fact.of(ClientMode.PLAIN, outside.resource.place(), reason="an endpoint has no proxy")
        if answers and all(answers):
            return Fact.of(ClientMode.MTLS, reason="all endpoints have a proxy", certain=False)
        return Fact.missing(f"the endpoints of {service.host} are not in the input")


_TLS_MODE_LABEL = "security.istio.io/tlsMode"


def mode_of(tls: Node, because: tuple[Place, ...] = (), credentials: bool = True) -> Fact[ClientMode]:
    """The client mode that a `tls` block sets; without `credentials` the client cannot read secrets."""
    if not isinstance(tls, Mapping):
        return Fact.missing("the tls block is no mapping", *because)
    text = text_of(tls.get("mode"))
    if text is None:
        return Fact.of(ClientMode.PLAIN, *because, reason="tls without a mode is DISABLE")
    mode = _MODES.get(text)
    if mode is None:
        reason = "the mode is a template" if is_placeholder(text) else f"{text} is no mode"
        return Fact.missing(reason, *because)
    if mode in _CUSTOM and not credentials and needs_secret(tls):
        return Fact.of(ClientMode.PLAIN, *because, reason="a sidecar does not read credentialName")
    return Fact.of(mode, *because, reason=text)


def needs_secret(tls: Mapping) -> bool:
    """Does the block name a Secret that only gateways fetch?"""
    name = text_of(tls.get("credentialName"))
    return bool(name) and not str(name).startswith("configmap://")


def _honours_credentials(rules: list[DestinationRule], gateway: bool) -> bool:
    return gateway or any(rule.selector for rule in rules)


def _blocks(rules: Iterable[DestinationRule]) -> Iterator[TlsBlock]:
    for rule in rules:
        for subset, policy in policies(rule):
            tls = policy.get("tls")
            if isinstance(tls, Mapping):
                yield TlsBlock(rule, subset, policy, policy, tls, None)
            for entry in mappings(policy.get("portLevelSettings")):
                tls = entry.get("tls")
                if isinstance(tls, Mapping):
                    number = int_of(entry.dig("port", "number"))
                    yield TlsBlock(rule, subset, policy, entry, tls, number if number is not None else -1)
