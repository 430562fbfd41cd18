"""Do several VirtualServices claim the same requests? (catalogue: spec traffic 8.5; procedure 1.9)

In the mesh the rules of one VirtualService own a host; at a gateway the rules of all are put together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from meshlint.checks.traffic.neighbours import surest, together
from meshlint.checks.traffic.virtual_service import roots, unconditional
from meshlint.findings import Draft
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.readers import apart
from meshlint.mesh.routes import MESH, applies, gateway_key
from meshlint.records import dataclass
from meshlint.resources import Place, Resource
from meshlint.source.nodes import Mapping as YamlMapping
from meshlint.source.nodes import int_of, mappings, string_map, text_of, texts
from meshlint.source.templates import is_placeholder

Options = Mapping[str, Any]
Guard = tuple[int, str, frozenset[tuple[str, str]]]

#: how many VirtualServices of one host are compared with each
_ENOUGH = 50


@dataclass(frozen=True, slots=True, eq=False)
class _Owner:
    """A VirtualService that is for a host in the mesh: where it says so, for whom, and who sees it."""

    resource: Resource
    place: Place
    guards: frozenset[Guard]
    exports: frozenset[str]
    bucket: bool


def duplicate_host_mesh(mesh: Mesh, options: Options) -> Iterator[Draft]:
    hosts: dict[str, list[_Owner]] = defaultdict(list)
    for resource in roots(mesh):
        gateways = [item.text for item in texts(resource.get("spec", "gateways"))]
        guards = _guards(resource) if not gateways or MESH in gateways else None
        if guards:
            exports = _exports(mesh, resource)
            for full, place in _hosts(mesh, resource).items():
                hosts[full].append(_Owner(resource, place, guards, exports, bool(gateways)))
    for full, owners in hosts.items():
        if len({owner.resource.key for owner in owners}) > 1:
            yield from _contested(mesh, full, owners)


def _contested(mesh: Mesh, full: str, owners: list[_Owner]) -> Iterator[Draft]:
    for owner in owners:
        others = [
            other
            for other in owners[:_ENOUGH]
            if other.resource.key != owner.resource.key and _collide(owner, other)
        ]
        if others:
            nearest = surest(mesh, owner.resource, others, lambda other: other.resource)
            yield replace(
                _contest(full, owner, nearest), confidence=together(mesh, owner.resource, nearest[0].resource)
            )


def _contest(full: str, owner: _Owner, others: list[_Owner]) -> Draft:
    """Kiali counts as one group what writes its gateways alike."""
    other = others[0]
    alike = any(one.bucket is owner.bucket for one in others)
    return Draft(
        owner.place,
        f"{owner.resource.title} and {other.resource.title} both have HTTP rules for {full} in the mesh: "
        "they are not merged, and only those of one are used",
        label="one of several for this host",
        help="put the rules into one VirtualService, or hand parts of it to delegates",
        related=tuple(("the other one", one.place) for one in others[:2]),
        equivalents=("IST0109", "KIA1106") if alike else ("IST0109",),
    )


def _collide(one: _Owner, other: _Owner) -> bool:
    """Is there a client that sees both and that rules of both are for?"""
    if apart(one.resource, other.resource):
        return False
    if "*" not in one.exports and "*" not in other.exports and not one.exports & other.exports:
        return False
    return any(_overlap(a, b) for a in one.guards for b in other.guards)


def _overlap(one: Guard, other: Guard) -> bool:
    if (one[0] and other[0] and one[0] != other[0]) or (one[1] and other[1] and one[1] != other[1]):
        return False
    labels = dict(one[2])
    return all(labels.get(key, value) == value for key, value in other[2])


def _guards(resource: Resource) -> frozenset[Guard]:
    """For which ports and clients of the mesh are the HTTP rules? Empty without any."""
    guards: set[Guard] = set()
    for rule in resource.mappings("spec", "http"):
        matches = mappings(rule.get("match"))
        if not matches:
            guards.add((0, "", frozenset()))
        for match in matches:
            if match.get("gateways") is None:
                labels = frozenset(string_map(match.get("sourceLabels")).items())
                namespace = text_of(match.get("sourceNamespace")) or ""
                guards.add((int_of(match.get("port")) or 0, namespace, labels))
            elif applies(match, MESH, resource.ns):
                guards.add((0, "", frozenset()))
    return frozenset(guards)


def _exports(mesh: Mesh, resource: Resource) -> frozenset[str]:
    written = [item.text for item in texts(resource.get("spec", "exportTo"))]
    names = written or mesh.routes.default_exports
    return frozenset(resource.ns if name == "." else name for name in names)


def _hosts(mesh: Mesh, resource: Resource) -> dict[str, Place]:
    """Full names of the hosts, with the place of the first spelling of each."""
    found: dict[str, Place] = {}
    for item in texts(resource.get("spec", "hosts")):
        if not is_placeholder(item.text):
            found.setdefault(mesh.registry.resolve(item.text, resource.ns), resource.place(item))
    return found


@dataclass(frozen=True, slots=True, eq=False)
class _Claim:
    """A match at a gateway, as one of the VirtualServices of a host has it."""

    resource: Resource
    place: Place
    exports: frozenset[str]


def duplicate_host_gateway(mesh: Mesh, options: Options) -> Iterator[Draft]:
    claims: dict[tuple[str, str], list[Resource]] = defaultdict(list)
    for resource in roots(mesh):
        keys = {gateway_key(i.text, resource.ns) for i in texts(resource.get("spec", "gateways"))} - {MESH}
        for key in sorted(keys):
            for full in _hosts(mesh, resource):
                claims[key, full].append(resource)
    said: set[int] = set()
    for (key, full), resources in claims.items():
        if len({resource.key for resource in resources}) > 1:
            yield from _twice(mesh, key, full, resources, said)


def _twice(mesh: Mesh, key: str, full: str, resources: list[Resource], said: set[int]) -> Iterator[Draft]:
    seen: dict[str, list[_Claim]] = defaultdict(list)
    for resource in resources:
        exports = _exports(mesh, resource)
        for identity, place in _identities(resource, key).items():
            seen[identity].append(_Claim(resource, place, exports))
    for identity, claims in seen.items():
        for claim in claims:
            others = [c for c in claims[:_ENOUGH] if _rivals(claim, c)]
            if others and id(claim.place.node) not in said:
                said.add(id(claim.place.node))
                other, *_ = surest(mesh, claim.resource, others, lambda one: one.resource)
                draft = _claimed(key, full, claim, other, everything=not identity)
                yield replace(draft, confidence=together(mesh, claim.resource, other.resource))


def _claimed(key: str, full: str, claim: _Claim, other: _Claim, everything: bool) -> Draft:
    what = "every request" if everything else "the same requests"
    return Draft(
        claim.place,
        f"{claim.resource.title} and {other.resource.title} both have a rule for {what} to {full} at the "
        f"gateway {key}: only the one of the older object is used",
        label=f"takes {what}",
        help="keep one of the two rules",
        related=(("the other one", other.place),),
    )


def _rivals(one: _Claim, other: _Claim) -> bool:
    if one.resource.key == other.resource.key or apart(one.resource, other.resource):
        return False
    return "*" in one.exports or "*" in other.exports or bool(one.exports & other.exports)


def _identities(resource: Resource, key: str) -> dict[str, Place]:
    """The conditions of each match that counts at a gateway, '' for none, with the place."""
    found: dict[str, Place] = {}
    for rule in resource.mappings("spec", "http"):
        if rule.get("delegate") is not None:
            continue
        matches = mappings(rule.get("match"))
        if not matches:
            found.setdefault("", resource.place_at("", inside=rule))
        for match in matches:
            if applies(match, key, resource.ns):
                identity = "" if unconditional(match) else _identity(match)
                found.setdefault(identity, resource.place_at("uri", part="key", inside=match))
    return found


def _identity(match: YamlMapping) -> str:
    plain = match.plain()
    assert isinstance(plain, dict)  # noqa: S101
    return repr(sorted((name, value) for name, value in plain.items() if name not in ("name", "gateways")))
