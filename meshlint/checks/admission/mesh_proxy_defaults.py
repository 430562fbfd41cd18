"""What in the settings for all proxies does istiod refuse? (spec schemas 3.3 MeshConfig.defaultConfig)"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshlint.checks.admission.blocks import Block
from meshlint.checks.admission.grammar import domain_problem, ip_problem, port_problem
from meshlint.checks.admission.mesh_config import duration, port, refusal, warning
from meshlint.checks.admission.mesh_sources import written
from meshlint.findings import Draft
from meshlint.mesh.mesh import Mesh
from meshlint.resources import Place
from meshlint.source.durations import SECOND, go_duration
from meshlint.source.nodes import Mapping as YamlMapping

Options = Mapping[str, Any]

_NEVER_EMPTY: Final = ("configPath", "binaryPath", "serviceCluster", "discoveryAddress")
_NODE_ADDRESS: Final = "$(HOST_IP)"
_ADDRESS: Final = re.compile(r"(?:\[(?P<v6>[^\[\]]*)\]|(?P<host>[^:\[\]]*)):(?P<port>[^:]*)\Z")
_NUMBER: Final = re.compile(r"[+-]?[0-9]+\Z")
#: field of connectionSettings -> the least that it may be
_LEAST: Final = {
    "listenerPerConnectionBufferLimitBytes": 0,
    "clusterPerConnectionBufferLimitBytes": 0,
    "httpMaxConcurrentStreams": 1,
    "http2InitialStreamWindowSize": 65535,
    "http2InitialConnectionWindowSize": 65535,
    "listenerConnectionLimit": 1,
    "globalDownstreamConnectionLimit": 1,
}
_NOT_NEGATIVE: Final = (
    "httpIdleTimeout",
    "httpMaxConnectionDuration",
    "httpDrainTimeout",
    "httpRequestTimeout",
    "httpRequestHeadersTimeout",
    "httpStreamIdleTimeout",
    "httpMaxStreamDuration",
)
_AUTO_ALLOCATE: Final = "ISTIO_META_DNS_AUTO_ALLOCATE"
_TLS_FILES: Final = ("clientCertificate", "privateKey", "caCertificates", "caCrl")


def check(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for config in written(mesh):
        proxy = config.block("defaultConfig")
        if proxy is not None:
            yield from _plain(proxy)
            yield from _drain(proxy)
            yield from _addresses(proxy)
            yield from _tracing(proxy)
            yield from _private_keys(proxy)
            yield from _connections(proxy)


def _plain(proxy: Block) -> Iterator[Draft]:
    for name in _NEVER_EMPTY:
        if proxy.text(name) == "":
            yield refusal(
                proxy.place(name),
                f" sets {name} to an empty text",
                "empty",
                f"leave {name} out, it has a default",
            )
    for name in ("proxyAdminPort", "statusPort"):
        yield from port(proxy, name)
    policy = proxy.text("controlPlaneAuthPolicy")
    if policy is not None and policy not in ("NONE", "MUTUAL_TLS", "0", "1"):
        yield refusal(
            proxy.place("controlPlaneAuthPolicy"),
            f" sets controlPlaneAuthPolicy to {policy}",
            "unknown",
            "use MUTUAL_TLS or NONE",
        )
    metadata = proxy.block("proxyMetadata")
    if metadata is not None and _AUTO_ALLOCATE in metadata.node.index:
        yield warning(
            metadata.place(_AUTO_ALLOCATE, "key"),
            f" sets {_AUTO_ALLOCATE}, which allocation by istiod has replaced",
            "deprecated",
            "remove it; ServiceEntries get their addresses from istiod",
        )


def _drain(proxy: Block) -> Iterator[Draft]:
    length = duration(proxy, "drainDuration")
    if isinstance(length, Draft):
        yield length
    elif length is not None and length % SECOND:
        yield refusal(
            proxy.place("drainDuration"),
            f" sets drainDuration to {proxy.text('drainDuration')}",
            "no whole number of seconds",
            "round it to seconds",
        )


def _addresses(proxy: Block) -> Iterator[Draft]:
    for name in ("discoveryAddress", "statsdUdpAddress", "envoyMetricsServiceAddress"):
        yield from _address(proxy, name)
    for name in ("envoyMetricsService", "envoyAccessLogService"):
        service = proxy.block(name)
        if service is not None:
            yield from _address(service, "address", of=f" of {name}")


def _address(block: Block, name: str, of: str = "", needed: bool = False) -> Iterator[Draft]:
    text = block.text(name)
    if needed and block.lacks(name):
        yield refusal(block.place(name), f" has no {name}{of}", "missing", "write host:port of the collector")
    problem = address_problem(text) if text else ""
    if problem:
        yield refusal(
            block.place(name), f" sets {name}{of} to {text}, which {problem}", problem, "write host:port"
        )


def address_problem(text: str) -> str:
    """Why a text is no ``host:port``; '' if it is. An IPv6 address stands in brackets."""
    found = _ADDRESS.match(text)
    if found is None:
        return "has no port" if ":" not in text else "is no host:port"
    host = found["host"] if found["v6"] is None else found["v6"]
    if not _NUMBER.match(found["port"]):
        return "has a port that is no number"
    if problem := port_problem(int(found["port"])):
        return f"has a port that {problem}"
    if domain_problem(host) and ip_problem(host):
        return "has a host that is neither a domain name nor an IP address"
    return ""


def _tracing(proxy: Block) -> Iterator[Draft]:
    tracing = proxy.block("tracing")
    if tracing is None:
        return
    for name in ("lightstep", "zipkin", "datadog"):
        collector = tracing.block(name)
        if collector is None:
            continue
        # istiod puts the address of the node in place of this text
        if _NODE_ADDRESS not in _written(collector, "address") or name == "lightstep":
            yield from _address(collector, "address", f" of the {name} collector", needed=True)
        else:
            yield from _node_address(collector, name)
        if name == "lightstep" and collector.lacks("accessToken"):
            yield refusal(
                collector.place("accessToken"),
                " has no accessToken of the lightstep collector",
                "missing",
                "write the token",
            )
    tls = tracing.block("tlsSettings")
    if tls is not None:
        yield from _client_tls(tls)


def _written(block: Block, name: str) -> str:
    return getattr(block.node.get(name), "text", "")


def _node_address(collector: Block, name: str) -> Iterator[Draft]:
    text = _written(collector, "address")
    problem = address_problem(text.replace(_NODE_ADDRESS, "127.0.0.1", 1))
    if problem:
        yield refusal(
            collector.place("address"),
            f" sets address of the {name} collector to {text}, which {problem}",
            problem,
            f"write {_NODE_ADDRESS}:port",
        )


def _client_tls(tls: Block) -> Iterator[Draft]:
    mode = tls.enum("mode", "DISABLE")
    if mode not in ("SIMPLE", "MUTUAL"):
        return
    if tls.true("insecureSkipVerify"):
        names = ("caCertificates", "subjectAltNames", *(("credentialName",) if mode == "SIMPLE" else ()))
        yield from _beside(tls, "insecureSkipVerify", names)
    if tls.has("credentialName"):
        yield from _beside(tls, "credentialName", _TLS_FILES)
    elif mode == "MUTUAL":
        for name in ("clientCertificate", "privateKey"):
            if tls.lacks(name):
                yield refusal(
                    tls.place(name),
                    f" sets up mutual TLS to the tracing collector without {name}",
                    f"{name} is missing",
                    f"set {name}, or use mode SIMPLE",
                )


def _beside(tls: Block, name: str, others: tuple[str, ...]) -> Iterator[Draft]:
    other = next((o for o in others if tls.has(o)), None)
    if other is not None:
        yield refusal(
            tls.place(name, "key"),
            f" sets {name} beside {other} for TLS to the tracing collector",
            f"beside {other}",
            "keep one of the two",
        )


def _private_keys(proxy: Block) -> Iterator[Draft]:
    keys = proxy.block("privateKeyProvider")
    if keys is None:
        return
    names = [name for name in ("cryptomb", "qat") if name in keys.node.index]
    if not names:
        yield refusal(
            keys.place(),
            " has a privateKeyProvider without a provider",
            "names no provider",
            "add cryptomb or qat, or remove privateKeyProvider",
        )
    for name in names:
        provider = keys.block(name)
        text = provider.text("pollDelay") if provider is not None else None
        if provider is not None and (provider.lacks("pollDelay") or (text and go_duration(text) == 0)):
            yield refusal(
                provider.place("pollDelay"),
                f" has a privateKeyProvider {name} without a pollDelay above zero",
                "pollDelay is missing or zero",
                "set pollDelay, such as 10ms",
            )


def _connections(proxy: Block) -> Iterator[Draft]:
    settings = proxy.block("connectionSettings")
    if settings is None or not isinstance(settings.node, YamlMapping):
        return
    for name, least in _LEAST.items():
        number = settings.number(name)
        if number is not None and number < least:
            yield _too_small(settings.place(name), name, str(number), least)
    for name in _NOT_NEGATIVE:
        text = settings.text(name)
        length = go_duration(text) if text else None
        if length is not None and length < 0:
            yield _too_small(settings.place(name), name, text or "", 0)


def _too_small(place: Place, name: str, value: str, least: int) -> Draft:
    return refusal(place, f" sets {name} to {value}", f"below {least}", f"write at least {least}")
