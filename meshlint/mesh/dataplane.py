"""Which proxy stands before a workload, and which ports does it see? (spec security 1.9, 2.2)"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from functools import cached_property
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

from meshlint.mesh.facts import Fact
from meshlint.mesh.injection import TEMPLATES, Injected, proxy_container
from meshlint.mesh.labels import GATEWAY_CLASS, GATEWAY_NAME, MANAGED, PROXY_CONFIG, TRAFFIC
from meshlint.mesh.scope import ISTIO_NETWORKING
from meshlint.mesh.workloads import Workload, matches
from meshlint.resources import Place
from meshlint.source.nodes import Mapping, Scalar, int_of, string_map, text_of, texts
from meshlint.source.parse import parse
from meshlint.source.templates import is_placeholder

if TYPE_CHECKING:
    from meshlint.mesh.mesh import Mesh

PROXY_UID = 1337

_GATEWAY_PODS = frozenset({"ingressgateway", "egressgateway", "eastwestgateway"})
_PROXY_CONTAINERS = frozenset({"istio-proxy", "istio-validation", "istio-init"})
_TUNNEL = 15008
INCLUDE_INBOUND = TRAFFIC + "includeInboundPorts"
EXCLUDE_INBOUND = TRAFFIC + "excludeInboundPorts"
INCLUDE_OUTBOUND = TRAFFIC + "includeOutboundIPRanges"
EXCLUDE_OUTBOUND = TRAFFIC + "excludeOutboundIPRanges"
INTERCEPTION = "sidecar.istio.io/interceptionMode"

#: annotation -> (value of the istiod chart, its default)
_SETTINGS = {
    "includeInboundPorts": ("includeInboundPorts", "*"),
    "excludeInboundPorts": ("excludeInboundPorts", ""),
    "includeOutboundPorts": ("includeOutboundPorts", ""),
    "excludeOutboundPorts": ("excludeOutboundPorts", ""),
    "includeOutboundIPRanges": ("includeIPRanges", "*"),
    "excludeOutboundIPRanges": ("excludeIPRanges", ""),
}


class DataPlane(Enum):
    SIDECAR = "sidecar"
    GATEWAY = "gateway"
    WAYPOINT = "waypoint"
    AMBIENT = "ambient"
    NONE = "none"


class DataPlanes:
    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self._cache: dict[int, Fact[DataPlane]] = {}
        self._among: dict[int, tuple[Sequence[Workload], list[Fact[DataPlane]]]] = {}

    def of(self, workload: Workload) -> Fact[DataPlane]:
        """What carries the traffic of the pods."""
        fact = self._cache.get(id(workload))
        if fact is None:
            fact = self._cache[id(workload)] = self._decide(workload)
        return fact

    def among(self, workloads: Sequence[Workload]) -> list[Fact[DataPlane]]:
        """What carries the traffic of several workloads: the first of each answer, in their order.

        For lists that the model keeps, as those of the registry: what it finds is remembered by the list.
        """
        known = self._among.get(id(workloads))
        if known is None or len(workloads) < 2:
            facts = [self.of(workload) for workload in workloads]
            first = {(f.state, f.value if f.known else None, f.certain): f for f in reversed(facts)}
            distinct = sorted(first.values(), key=facts.index) if len(first) > 1 else list(first.values())
            known = self._among[id(workloads)] = (workloads, distinct)
        return known[1]

    def in_mesh(self, workload: Workload) -> bool | None:
        """Does any part of the mesh carry the traffic of the pods? None is unknown."""
        plane = self.of(workload)
        if plane.known:
            return plane.value is not DataPlane.NONE
        return True if self.mesh.ambient.labelled(workload).is_(True) else None

    def captures(self, workload: Workload, port: int, protocol: str = "TCP") -> Fact[bool]:
        """Does the proxy see connections to a container port? False: nothing of the mesh applies there."""
        plane = self.of(workload)
        if not plane.known:
            return Fact.missing(plane.reason, *plane.because)
        if plane.value is DataPlane.NONE:
            return Fact.of(False, *plane.because, reason="there is no proxy", certain=plane.certain)
        if plane.value in (DataPlane.GATEWAY, DataPlane.WAYPOINT):
            return Fact.of(True, *plane.because, reason="the proxy itself listens")
        if protocol != "TCP":
            return Fact.of(False, reason=f"{protocol} is never captured")
        if plane.value is DataPlane.AMBIENT:
            return self._ambient_captures(workload, plane)
        return self._sidecar_captures(workload, port)

    def captures_outbound(self, workload: Workload, ip: str, port: int) -> Fact[bool]:
        """Does the sidecar see connections that the pods open to an address?"""
        mode = self.interception(workload)
        if not mode.known or mode.value == "NONE":
            return _mode_answer(mode)
        escaped = proxy_identity(workload)
        if escaped and len(escaped) == len(_applications(workload)):
            return Fact.of(
                False, *(place for _, place, _ in escaped), reason="it runs as the proxy's identity"
            )
        if ip in ("127.0.0.1", "::1"):
            return Fact.of(False, reason="local connections are not captured")
        settings = {
            name: self.traffic_setting(workload, name)
            for name in (
                "excludeOutboundPorts", "excludeOutboundIPRanges",
                "includeOutboundPorts", "includeOutboundIPRanges",
            )
        }  # fmt: skip
        for fact in settings.values():
            if not fact.known:
                return Fact.missing(fact.reason, *fact.because)
        return _outbound(settings, ip, port)

    def interception(self, workload: Workload) -> Fact[str]:
        """How traffic is redirected to the sidecar: REDIRECT, TPROXY or NONE."""
        node = workload.annotation_node(INTERCEPTION)
        if isinstance(node, Scalar):
            return _text(node, workload.pod_place("metadata", "annotations", INTERCEPTION, part="pair"))
        written = proxy_config(workload)
        if written is not None and written.get("interceptionMode") is not None:
            place = workload.pod_place("metadata", "annotations", PROXY_CONFIG)
            return Fact.of(text_of(written.get("interceptionMode")) or "REDIRECT", place)
        config = self.mesh.injection.config_of(workload)
        setting = config.setting("defaultConfig", "interceptionMode")
        if not setting.known:
            return setting
        return Fact.of(str(setting.value or "REDIRECT"), *setting.because)

    def traffic_setting(self, workload: Workload, name: str) -> Fact[str]:
        """An annotation such as excludeInboundPorts, else the value of the chart, else the default."""
        key = TRAFFIC + name
        node = workload.annotation_node(key)
        if isinstance(node, Scalar):
            return _text(node, workload.pod_place("metadata", "annotations", key, part="pair"))
        value, default = _SETTINGS[name]
        setting = self.mesh.injection.config_of(workload).injector_value("global", "proxy", value)
        if not setting.known:
            return setting
        written = setting.value
        return Fact.of(default if written is None else str(written), *setting.because)

    def _decide(self, workload: Workload) -> Fact[DataPlane]:
        known = _gateway_pod(workload)
        if known is not None:
            return known
        injected = self.mesh.injection.of(workload)
        if injected.known and injected.value is not None:
            return _injected_plane(injected, injected.value)
        enrolled = self.mesh.ambient.enrolled(workload)
        if not injected.known:
            reason = injected.reason if enrolled.is_(False) else enrolled.reason or injected.reason
            return Fact(injected.state, None, (*injected.because, *enrolled.because), False, reason)
        if enrolled.known and enrolled.value:
            return Fact.of(DataPlane.AMBIENT, *enrolled.because, certain=enrolled.certain)
        if not enrolled.known:
            return Fact(enrolled.state, None, enrolled.because, False, enrolled.reason)
        return Fact.of(
            DataPlane.NONE, *injected.because, *enrolled.because,
            reason=injected.reason, certain=injected.certain and enrolled.certain,
        )  # fmt: skip

    def _ambient_captures(self, workload: Workload, plane: Fact[DataPlane]) -> Fact[bool]:
        key = "ambient.istio.io/bypass-inbound-capture"
        if workload.annotations.get(key) == "true":
            return Fact.of(False, workload.pod_place("metadata", "annotations", key, part="pair"))
        return Fact.of(True, *plane.because, certain=plane.certain)

    def _sidecar_captures(self, workload: Workload, port: int) -> Fact[bool]:
        mode = self.interception(workload)
        if not mode.known:
            return _mode_answer(mode)
        if mode.value == "NONE":
            listens = self.listens_by_sidecar(workload)
            return (
                Fact.missing("a Sidecar resource may listen", *mode.because)
                if listens
                else _mode_answer(mode)
            )
        included = self.traffic_setting(workload, "includeInboundPorts")
        excluded = self.traffic_setting(workload, "excludeInboundPorts")
        for fact in (included, excluded):
            if not fact.known:
                return Fact.missing(fact.reason, *fact.because)
        if port == _TUNNEL:
            return Fact.of(False, reason=f"{_TUNNEL} is the tunnel's own port")
        if included.value.strip() != "*":
            inside = port in _ports(included.value)
            return Fact.of(inside, *included.because, reason="" if inside else "not in includeInboundPorts")
        if port in _ports(excluded.value):
            return Fact.of(False, *excluded.because, reason="in excludeInboundPorts")
        own = port in (15090, 15021, self._status_port(workload))
        return Fact.of(not own, reason="a port of the proxy itself" if own else "")

    def _status_port(self, workload: Workload) -> int:
        written = workload.annotations.get("status.sidecar.istio.io/port", "")
        return int(written) if written.isdigit() else 15020

    def listens_by_sidecar(self, workload: Workload) -> bool:
        """May a Sidecar resource open listeners of its own for the pods, without any redirection?"""
        return any(
            matches(labels, workload.labels) is not False
            for labels in self._listening.get(workload.namespace, ())
        )

    @cached_property
    def _listening(self) -> dict[str, list[dict[str, str]]]:
        """Selectors of the Sidecar resources that open listeners themselves, by namespace."""
        found: dict[str, list[dict[str, str]]] = {}
        for sidecar in self.mesh.scope.of(ISTIO_NETWORKING, "Sidecar"):
            ingress = sidecar.mappings("spec", "ingress")
            if any(text_of(listener.get("captureMode")) == "NONE" for listener in ingress):
                labels = string_map(sidecar.get("spec", "workloadSelector", "labels"))
                found.setdefault(sidecar.ns, []).append(labels)
        return found


def proxy_identity(workload: Workload) -> list[tuple[Mapping, Place, str]]:
    """Application containers that run as the proxy's user or group, whose traffic escapes the proxy.

    Each with the place of the field that says so and that field's name.
    """
    found = []
    pod = workload.pod_spec.get("securityContext") if workload.pod_spec is not None else None
    for container in _applications(workload):
        own = container.get("securityContext")
        for field in ("runAsUser", "runAsGroup"):
            contexts = [context for context in (own, pod) if isinstance(context, Mapping)]
            context = next((c for c in contexts if c.get(field) is not None), None)
            if context is not None and int_of(context.get(field)) == PROXY_UID:
                place = Place(workload.resource, context.get(field) or context, "pair", context.key(field))
                found.append((container, place, field))
                break
    return found


def _applications(workload: Workload) -> list[Mapping]:
    return [c for c in workload.containers if text_of(c.get("name")) not in _PROXY_CONTAINERS]


def _gateway_pod(workload: Workload) -> Fact[DataPlane] | None:
    """Pods that are proxies by themselves: waypoints, gateways of either API, rendered or injected."""
    labels = workload.labels
    if labels.get(GATEWAY_CLASS) == "istio-waypoint" or labels.get(MANAGED) == "istio.io-mesh-controller":
        return Fact.of(DataPlane.WAYPOINT, workload.pod_place("metadata", "labels", part="key"))
    if GATEWAY_NAME in labels:
        return Fact.of(DataPlane.GATEWAY, workload.pod_place("metadata", "labels", GATEWAY_NAME, part="pair"))
    proxy = proxy_container(workload)
    if proxy is not None and any(argument.text == "router" for argument in texts(proxy.get("args"))):
        return Fact.of(DataPlane.GATEWAY, workload.resource.place(proxy))
    if labels.get("istio") in _GATEWAY_PODS and TEMPLATES not in workload.annotations:
        return Fact.of(DataPlane.GATEWAY, workload.pod_place("metadata", "labels", "istio", part="pair"))
    return None


def _injected_plane(injected: Fact[Injected | None], value: Injected) -> Fact[DataPlane]:
    templates = value.templates
    if "gateway" in templates:
        plane = DataPlane.GATEWAY
    elif "sidecar" in templates:
        plane = DataPlane.SIDECAR
    elif "waypoint" in templates:
        plane = DataPlane.WAYPOINT
    else:
        return Fact.missing(f"what the template {', '.join(templates)} makes is unknown", *injected.because)
    return Fact.of(plane, *injected.because, certain=injected.certain, assumptions=injected.assumptions)


def _mode_answer(mode: Fact[str]) -> Fact[bool]:
    if not mode.known:
        return Fact.missing(mode.reason, *mode.because)
    return Fact.of(False, *mode.because, reason="interceptionMode is NONE")


def _outbound(settings: dict[str, Fact[str]], ip: str, port: int) -> Fact[bool]:
    excluded_ports, excluded = settings["excludeOutboundPorts"], settings["excludeOutboundIPRanges"]
    included_ports, included = settings["includeOutboundPorts"], settings["includeOutboundIPRanges"]
    if port in _ports(excluded_ports.value):
        return Fact.of(False, *excluded_ports.because, reason="in excludeOutboundPorts")
    if _within(ip, excluded.value):
        return Fact.of(False, *excluded.because, reason="in excludeOutboundIPRanges")
    if port in _ports(included_ports.value):
        return Fact.of(True, *included_ports.because)
    inside = included.value.strip() == "*" or _within(ip, included.value)
    return Fact.of(inside, *included.because, reason="" if inside else "not in includeOutboundIPRanges")


def _within(ip: str, ranges: str) -> bool:
    address = ip_address(ip)
    for part in ranges.split(","):
        try:
            if part.strip() and address in ip_network(part.strip(), strict=False):
                return True
        except ValueError:
            continue
    return False


def _ports(text: str) -> frozenset[int]:
    return frozenset(int(part) for part in (p.strip() for p in text.split(",")) if part.isdigit())


def _text(node: Scalar, place: Place) -> Fact[str]:
    if is_placeholder(node.text):
        return Fact.missing("the value is a template", place)
    return Fact.of(node.text if node.value is not None else "", place)


def proxy_config(workload: Workload) -> Mapping | None:
    """The ProxyConfig in the annotation of the pods."""
    node = workload.annotation_node(PROXY_CONFIG)
    if not isinstance(node, Scalar) or is_placeholder(node.text):
        return None
    documents = parse(PROXY_CONFIG, node.text).documents
    root = documents[0].root if documents else None
    return root if isinstance(root, Mapping) else None
