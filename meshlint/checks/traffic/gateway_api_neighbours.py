"""Does a Gateway of the Gateway API get what another one has, and does anybody serve its class?

Spec kiali-validations 3.11 and traffic 1.14. Istio makes pods and a Service for each Gateway, unless
`addresses` names the host of a Service that is there: only Gateways of one Service get in each other's way.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshlint.checks.admission.blocks import spec
from meshlint.checks.traffic.neighbours import together
from meshlint.findings import Draft
from meshlint.mesh.gateways import ISTIO_CLASSES, Gateway, Server, made_by_others
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.scope import GATEWAY_API
from meshlint.records import dataclass
from meshlint.resources import Place, Resource
from meshlint.schema.suggest import sibling
from meshlint.source.nodes import Scalar, string_map, text_of
from meshlint.source.templates import is_placeholder

Options = Mapping[str, Any]


def _gateways(mesh: Mesh) -> Iterator[Gateway]:
    """Gateways that Istio serves, or may."""
    return (g for g in mesh.gateways.all if g.api == "gateway-api" and g.istio is not False)


# -- gateway-api-same-listener --------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Offer:
    """A listener with a hostname; `shared` is the Service that its Gateway borrows, '' if none."""

    gateway: Gateway
    server: Server
    hostname: Scalar
    shared: str

    @property
    def resource(self) -> Resource:
        return self.gateway.resource

    @property
    def place(self) -> Place:
        return self.resource.place(self.hostname)


def same_listener(mesh: Mesh, options: Options) -> Iterator[Draft]:
    groups: dict[tuple[str, int, str], list[_Offer]] = defaultdict(list)
    for gateway in _gateways(mesh):
        shared = _borrowed(mesh, gateway)
        for server in gateway.servers:
            hostname = server.node.get("hostname")
            if isinstance(hostname, Scalar) and hostname.text and not is_placeholder(hostname.text):
                key = (hostname.text, server.port, server.protocol)
                groups[key].append(_Offer(gateway, server, hostname, shared))
    for offers in groups.values():
        yield from _within(mesh, offers)


def _borrowed(mesh: Mesh, gateway: Gateway) -> str:
    """The host of the Service that a Gateway borrows instead of having its own."""
    for address in gateway.resource.mappings("spec", "addresses"):
        value = text_of(address.get("value"))
        if text_of(address.get("type")) == "Hostname" and value and not is_placeholder(value):
            return mesh.registry.resolve(value, gateway.namespace)
    return ""


def _within(mesh: Mesh, offers: list[_Offer]) -> Iterator[Draft]:
    """Of each Gateway one finding, about a neighbour of the same pods where there is one."""
    firsts: dict[str | None, dict[tuple[str, str, str, str], _Offer]] = {}
    for offer in offers:
        for group in {None, offer.shared or None}:
            firsts.setdefault(group, {}).setdefault(offer.resource.key, offer)
    said = set()
    for offer in offers:
        if offer.resource in said:
            continue
        said.add(offer.resource)
        rival = _other(offer, firsts[offer.shared]) if offer.shared else None
        if rival is not None:
            yield _merged(mesh, offer, rival)
            continue
        rival = _other(offer, firsts[None]) if mesh.suspicions else None
        if rival is not None and together(mesh, offer.resource, rival.resource) != "low":
            yield _apart(offer, rival)


def _other(offer: _Offer, firsts: Mapping[tuple[str, str, str, str], _Offer]) -> _Offer | None:
    """The first offer of another Gateway: it is one of the first two."""
    for key, other in firsts.items():
        if key != offer.resource.key:
            return other
    return None


def _what(offer: _Offer) -> str:
    return f"{offer.hostname.text} by {offer.server.protocol} on port {offer.server.port}"


def _merged(mesh: Mesh, offer: _Offer, rival: _Offer) -> Draft:
    return Draft(
        offer.place,
        f"{offer.resource.title} and {rival.resource.title} both listen for {_what(offer)} on the pods of "
        f"{offer.shared}: which of them answers depends on their age",
        label="two Gateways, one listener",
        help="keep the listener in one of them, and let all routes name that one",
        related=(("the same listener", rival.place),),
        severity="warning",
        confidence=together(mesh, offer.resource, rival.resource),
        equivalents=_LISTENER,
    )


def _apart(offer: _Offer, rival: _Offer) -> Draft:
    return Draft(
        offer.place,
        f"policy: {offer.resource.title} and {rival.resource.title} both listen for {_what(offer)}, each on "
        "pods of its own: DNS decides which of them a client reaches",
        label="two Gateways for one name",
        help="serve a name by one Gateway, unless DNS is meant to choose",
        related=(("the same listener", rival.place),),
        confidence="low",
        equivalents=_LISTENER,
    )


_LISTENER: Final = ("KIA1501",)


# -- gateway-api-same-address ---------------------------------------------------------------------


def same_address(mesh: Mesh, options: Options) -> Iterator[Draft]:
    groups: dict[str, dict[tuple[str, str, str, str], list[tuple[Resource, Place]]]] = {}
    for gateway in _gateways(mesh):
        block = None if _shares(gateway.resource) else spec(gateway.resource)
        for address in block.blocks("addresses") if block is not None else ():
            value = address.text("value")
            if value and address.enum("type", "IPAddress") == "IPAddress":
                owners = groups.setdefault(value, {}).setdefault(gateway.resource.key, [])
                if not any(owner is gateway.resource for owner, _ in owners):
                    owners.append((gateway.resource, address.place("value")))
    for value, group in groups.items():
        if len(group) > 1:
            first, second = list(group.values())[:2]
            for owners in group.values():
                for resource, place in owners:
                    other, at = (second if owners is first else first)[0]
                    if together(mesh, resource, other) != "low":
                        yield _same_address(mesh, value, (resource, place), (other, at))


def _shares(gateway: Resource) -> bool:
    """Is the load balancer told to share an address? The Service has the annotations of its Gateway."""
    own = string_map(gateway.get("spec", "infrastructure", "annotations"))
    return any(name in _SHARING for name in (*gateway.annotations, *own))


#: annotations of MetalLB, Cilium and kube-vip
_SHARING: Final = frozenset(
    {
        "metallb.io/allow-shared-ip",
        "metallb.universe.tf/allow-shared-ip",
        "lbipam.cilium.io/sharing-key",
        "io.cilium/lb-ipam-sharing-key",
        "kube-vip.io/loadbalancerSharedIP",
    }
)


def _same_address(mesh: Mesh, value: str, one: tuple[Resource, Place], two: tuple[Resource, Place]) -> Draft:
    (resource, place), (other, at) = one, two
    apart = together(mesh, resource, other)
    return Draft(
        place,
        f"{resource.title} and {other.title} both ask for the address {value}: a load balancer gives it to "
        "one of them, unless it is told to share",
        label="asked for twice",
        help="give each Gateway an address of its own, or put the listeners into one Gateway",
        related=(("the same address", at),),
        confidence="low" if apart else None,
    )


# -- gateway-class-unknown ------------------------------------------------------------------------


def class_unknown(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for gateway in mesh.gateways.all:
        if gateway.api != "gateway-api":
            continue
        block = spec(gateway.resource)
        name = block.text("gatewayClassName") if block is not None else None
        if block is None or not name or name in ISTIO_CLASSES or made_by_others(name):
            continue
        if mesh.scope.find(GATEWAY_API, "GatewayClass", "", name):
            continue
        sure = _class_missing(mesh, name)
        if sure is not None:
            near = sibling(name, sorted(ISTIO_CLASSES | _classes(mesh)))
            yield Draft(
                block.place("gatewayClassName"),
                f"{gateway.resource.title} is of the class {name}, "
                + ("which does not exist" if sure == "high" else "which is not in the given files")
                + ": nobody serves it",
                label=f"did you mean {near}?" if near else "no such GatewayClass",
                help=f"write {near}" if near else "use the class istio, or define the GatewayClass",
                confidence=None if sure == "high" else sure,
            )


_INSTALLERS: Final = ("HelmRelease", "HelmChart", "Application", "ApplicationSet")


def _class_missing(mesh: Mesh, name: str) -> str | None:
    """Controllers bring their classes along, so an installer in the input may bring this one."""
    sure = mesh.absence.of(GATEWAY_API, "GatewayClass", "", name)
    if sure is not None and any(map(mesh.holds, _INSTALLERS)):
        return "low" if sure == "high" else None
    return sure


def _classes(mesh: Mesh) -> set[str]:
    return {resource.name for resource in mesh.scope.of(GATEWAY_API, "GatewayClass")}
