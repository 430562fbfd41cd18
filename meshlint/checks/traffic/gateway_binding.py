"""Do the gateways that VirtualServices name exist, serve their hosts, and see them? (spec traffic 1.8)"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from meshlint.checks.admission.blocks import once
from meshlint.checks.admission.grammar import label_problem
from meshlint.findings import Draft
from meshlint.mesh.delegates import exported_to, is_delegate
from meshlint.mesh.destinations import Reference
from meshlint.mesh.gateways import Gateway
from meshlint.mesh.hosts import HostIndex, intersect, is_ip, is_wild, overlap
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.routes import MESH, gateway_key
from meshlint.mesh.scope import ISTIO_NETWORKING
from meshlint.records import dataclass
from meshlint.resources import Place, Resource
from meshlint.source.nodes import Scalar, mappings, texts
from meshlint.source.templates import is_placeholder

Options = Mapping[str, Any]

#: where a gateway is named -> the peers' codes for one that is missing
_MISSING_CODES: Final = {
    "spec": ("IST0101", "IST0132", "KIA1102"),
    "http": ("KIA1102",),
    "tls": (),
    "tcp": (),
}


@dataclass(frozen=True, slots=True, eq=False)
class _Named:
    """An entry of a list of gateways. `where` is spec, http, tls or tcp."""

    resource: Resource
    item: Scalar
    where: str
    namespace: str
    name: str
    found: tuple[Gateway, ...]

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"


@once
def _named(mesh: Mesh) -> dict[Resource, list[_Named]]:
    """The gateways that each VirtualService names; those of matches only where `spec` has them not."""
    found: dict[Resource, list[_Named]] = {}
    for resource in mesh.scope.of(ISTIO_NETWORKING, "VirtualService"):
        own = list(_entries(mesh, resource, "spec", texts(resource.get("spec", "gateways"))))
        keys = {named.key for named in own}
        for where in ("http", "tls", "tcp"):
            for rule in resource.mappings("spec", where):
                for match in mappings(rule.get("match")):
                    listed = texts(match.get("gateways"))
                    own += (
                        named for named in _entries(mesh, resource, where, listed) if named.key not in keys
                    )
        if own:
            found[resource] = own
    return found


def _entries(mesh: Mesh, resource: Resource, where: str, listed: Iterable[Scalar]) -> Iterator[_Named]:
    """Entries that mean a gateway; malformed ones are another rule's."""
    for item in listed:
        text = item.text
        if text == MESH or text.startswith("*") or is_placeholder(text):
            continue
        namespace, _, name = gateway_key(text, resource.ns).partition("/")
        if not label_problem(namespace) and not label_problem(name):
            gateways = tuple(mesh.gateways.find(namespace, name))
            yield _Named(resource, item, where, namespace, name, gateways)


# -- vs-gateway-missing ---------------------------------------------------------------------------


def missing(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for resource, entries in _named(mesh).items():
        for named in entries:
            if named.found:
                continue
            sure = mesh.absence.of(ISTIO_NETWORKING, "Gateway", named.namespace, named.name)
            meant = _meant(mesh, named) if sure != "high" else []
            if sure is None and not meant:
                continue
            yield _missing(resource, named, meant, "medium" if meant else sure)


def _missing(resource: Resource, named: _Named, meant: list[Gateway], sure: str | None) -> Draft:
    what = "does not exist" if sure == "high" else "is not in the given files"
    advice = f"name a Gateway that exists, or create {named.key}"
    if meant:
        advice = f"write {meant[0].namespace}/{meant[0].name}"
    return Draft(
        resource.place(named.item),
        f"{resource.title} names the gateway {named.key}, which {what}: no request reaches it there",
        label="no such Gateway",
        help=advice,
        related=tuple(("of that name in another namespace", gateway.resource.place()) for gateway in meant),
        confidence=None if sure == "high" else sure,
        equivalents=_MISSING_CODES[named.where],
    )


def _meant(mesh: Mesh, named: _Named) -> list[Gateway]:
    """A Gateway of another namespace that has the bare name and was made for these very hosts."""
    resource = named.resource
    scope = mesh.scope
    if "/" in named.item.text or not resource.namespace_written or scope.settings.remainder:
        return []
    if scope.may_exist("Gateway", named.name, named.namespace):
        return []
    hosts = [mesh.registry.resolve(item.text, resource.ns) for item in texts(resource.get("spec", "hosts"))]
    return [
        gateway
        for other in mesh.absence.elsewhere(ISTIO_NETWORKING, "Gateway", named.name)
        if other.namespace_written
        for gateway in mesh.gateways.find(other.ns, other.name, "istio")
        if gateway.resource is other and _made_for(gateway, resource.ns, hosts)
    ][:1]


def _made_for(gateway: Gateway, namespace: str, hosts: list[str]) -> bool:
    """Does it offer a host of the list by name, not only by a bare star?"""
    offered = [
        host
        for server in gateway.servers
        for admitted, host in server.hosts
        if admitted in ("*", namespace) and host != "*"
    ]
    return bool(intersect(offered, hosts))


# -- vs-gateway-host-mismatch ---------------------------------------------------------------------


def host_mismatch(mesh: Mesh, options: Options) -> Iterator[Draft]:
    unclear = {gateway for gateway in mesh.gateways.all if _unclear(gateway)}
    for resource, entries in _named(mesh).items():
        written = texts(resource.get("spec", "hosts"))
        if is_delegate(resource) or not written or any(is_placeholder(item.text) for item in written):
            continue
        hosts = [mesh.registry.resolve(item.text, resource.ns) for item in written]
        own = [named for named in entries if named.where == "spec"]
        served = {named: _served(named, hosts, unclear) for named in own}
        for named in own:
            if served[named] == []:
                yield _mismatch(named, hosts, any(served[other] for other in own if other is not named))
        if None not in served.values() and any(served.values()) and not _in_mesh(resource):
            yield from _unserved(mesh, resource, written, hosts, served)


def _served(named: _Named, hosts: list[str], unclear: set[Gateway]) -> list[str] | None:
    """Hosts that the gateway, in any of its versions, serves; None where that is not known."""
    if not named.found or not unclear.isdisjoint(named.found):
        return None
    namespace = named.resource.ns
    return [host for gateway in named.found for host in gateway.offers.hosts(namespace, hosts)]


def _unclear(gateway: Gateway) -> bool:
    """Has it no hosts to compare, or some that a template fills in?"""
    hosts = [host for server in gateway.servers for _, host in server.hosts]
    return not hosts or any(not host or is_placeholder(host) for host in hosts)


def _in_mesh(resource: Resource) -> bool:
    return any(item.text == MESH for item in texts(resource.get("spec", "gateways")))


def _mismatch(named: _Named, hosts: list[str], served_elsewhere: bool) -> Draft:
    resource, gateway = named.resource, named.found[0]
    offered = [pair for server in gateway.servers for pair in server.hosts]
    closed = intersect([host for _, host in offered], hosts)
    if closed:
        namespaces = sorted({admitted for admitted, _ in offered})
        why = f"admits VirtualServices of {', '.join(namespaces)} only"
        advice = f"let a server of the Gateway offer {resource.ns}/{closed[0]}"
    else:
        why = f"serves {_listed([host for _, host in offered])} only"
        advice = "name a Gateway that serves one of the hosts, or add a host to its servers"
    return Draft(
        resource.place(named.item),
        f"{resource.title} is for {_listed(hosts)}, and the gateway {named.key} {why}: "
        "requests that arrive there do not find it",
        label="serves none of the hosts",
        help=advice,
        related=tuple(
            (f"its {'listeners' if g.api == 'gateway-api' else 'servers'}", _servers_place(g))
            for g in named.found[:2]
        ),
        severity="warning" if served_elsewhere else None,
    )


def _servers_place(gateway: Gateway) -> Place:
    resource = gateway.resource
    for path in (("spec", "servers", 0, "hosts"), ("spec", "listeners", 0, "hostname")):
        node = resource.get(*path)
        if node is not None:
            return resource.place(node)
    return resource.place()


def _listed(hosts: list[str]) -> str:
    unique = list(dict.fromkeys(hosts))
    return ", ".join(unique[:3]) + (f" and {len(unique) - 3} more" if len(unique) > 3 else "")


def _unserved(
    mesh: Mesh,
    resource: Resource,
    written: list[Scalar],
    hosts: list[str],
    served: dict[_Named, list[str] | None],
) -> Iterator[Draft]:
    """Single hosts that no gateway serves, or under a name that nobody outside of the cluster uses."""
    reached: HostIndex[str] = HostIndex()
    for other in {host for found in served.values() for host in found or ()}:
        reached.add(other, other)
    for item, host in zip(written, hosts, strict=True):
        if not reached.overlapping(host):
            yield Draft(
                resource.place(item),
                f"{resource.title} lists the host {item.text}, which none of its gateways serves",
                label="served by none of the gateways",
                help="add it to the hosts of a server, or drop it",
                severity="warning",
                equivalents=(),
            )
        elif _is_short(item.text) and not _offers_names_of_the_cluster(served, host):
            yield Draft(
                resource.place(item),
                f"{resource.title} lists the host {item.text} for gateways only; Istio reads it as "
                f"{host}, a name that clients outside of the cluster do not send",
                label=f"means {host}",
                help="write the name that clients use, or * for all of them",
                severity="warning",
                confidence="medium",
                equivalents=(),
            )


def _is_short(host: str) -> bool:
    return "." not in host and not is_wild(host) and not is_ip(host)


def _offers_names_of_the_cluster(served: dict[_Named, list[str] | None], host: str) -> bool:
    return any(
        offered != "*" and overlap(offered, host)
        for named in served
        for gateway in named.found
        for server in gateway.servers
        for _, offered in server.hosts
    )


# -- vs-gateway-invisible -------------------------------------------------------------------------


def invisible(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for resource, entries in _named(mesh).items():
        default = mesh.routes.default_exports
        written = [item.text for item in texts(resource.get("spec", "exportTo"))]
        if exported_to(resource, "", default) or any(map(is_placeholder, written)):
            continue
        hosts = [mesh.registry.resolve(i.text, resource.ns) for i in texts(resource.get("spec", "hosts"))]
        for named in entries:
            pods = [
                workload
                for gateway in named.found
                if gateway.api == "istio" and gateway.offers.hosts(resource.ns, hosts)
                for workload in mesh.gateways.workloads_of(gateway)
            ]
            if (
                named.where != "spec"
                or not pods
                or any(exported_to(resource, w.namespace, default) for w in pods)
            ):
                continue
            homes = sorted({workload.namespace for workload in pods})
            to = ", ".join(written or [f"{item} by default" for item in sorted(default)])
            yield Draft(
                resource.place_at("spec", "exportTo") if written else resource.place_at("metadata", "name"),
                f"{resource.title} is exported to {to}, and the pods "
                f"of the gateway {named.key} are in {', '.join(homes)}: they do not see it",
                label="hidden from the gateway",
                help=f"add {homes[0]} to exportTo",
                related=(
                    ("the gateway that it names", resource.place(named.item)),
                    ("its pods", pods[0].resource.place()),
                ),
                confidence=None if mesh.settings.complete else "medium",
            )


# -- vs-ingress-subset-inert ----------------------------------------------------------------------


def ingress_subset_inert(mesh: Mesh, options: Options) -> Iterator[Draft]:
    splits: dict[str, list[Reference]] = defaultdict(list)
    plain = []
    for reference in mesh.destinations.all:
        if reference.protocol != "http" or reference.mirror or not reference.share:
            continue
        if reference.subset is None:
            plain.append(reference)
        elif reference.state.full in reference.mesh_hosts:
            splits[reference.state.full].append(reference)
    for reference in plain:
        others = _others(splits.get(reference.state.full, ()), reference)
        if others and _at_a_gateway(reference):
            other = others[0].resource
            yield Draft(
                reference.place("host"),
                f"{reference.resource.title} sends requests of a gateway to {reference.host} without a "
                f"subset: what {other.title} says about its subsets is for callers inside of the mesh only",
                label="all pods of the service",
                help=f"name the subset here too, or add the gateway and its host to {other.title}",
                related=tuple((f"subset {o.subset} here", o.place("subset")) for o in others),
            )


def _others(splits: Iterable[Reference], reference: Reference) -> list[Reference]:
    """Up to three destinations with a subset in another VirtualService."""
    found: list[Reference] = []
    for other in splits:
        if other.resource.key != reference.resource.key:
            found.append(other)
            if len(found) == 3:
                break
    return found


def _at_a_gateway(reference: Reference) -> bool:
    return any(
        route.binding.gateways or route.binding.unsure_gateways or route.binding.missing
        for route in reference.routes
    )
