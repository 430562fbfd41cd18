"""Which settings of routes and DestinationRules stand where no proxy reads them?

Facts: spec traffic 5.1 (redirects and direct responses), 5.8, 5.9 and 4.1 (ports of DestinationRules). A rule
that shadows another, or that is for the wrong protocol, is in `virtual_service`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from meshlint.checks.admission.blocks import Block
from meshlint.checks.admission.virtual_service import http_rules
from meshlint.findings import Draft
from meshlint.mesh.destination_rules import DestinationRule, policies
from meshlint.mesh.gateways import Server
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.registry import Service
from meshlint.mesh.routes import Route
from meshlint.resources import Place
from meshlint.source.nodes import Mapping as YamlMapping
from meshlint.source.nodes import Sequence, int_of, mappings, text_of

Options = Mapping[str, Any]

_ANSWERS = {"redirect": "only redirects", "direct-response": "answers by itself"}


def retries(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """Retries of rules that send nothing to a service."""
    for route in mesh.routes.all:
        name = "retries" if route.api == "VirtualService" else "retry"
        why = _ANSWERS.get(route.action) if route.api in ("VirtualService", "HTTPRoute") else None
        if why and isinstance(route.node.get(name), YamlMapping):
            yield Draft(
                route.place(name, part="key"),
                f"{route.title} sets {name} on a rule that {why}: there is no request to repeat",
                label="has no effect",
                help="remove it",
            )


def origins(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """CORS policies that let nobody in."""
    for rule in http_rules(mesh):
        cors = rule.block("corsPolicy") if "corsPolicy" in rule.node.index else None
        if cors is not None and _nobody(cors, "allowOrigins") and _nobody(cors, "allowOrigin"):
            yield Draft(
                rule.place("corsPolicy", "key"),
                f"{rule.resource.title} has a corsPolicy without allowOrigins: no origin may, and the proxy "
                "adds no header for browsers",
                label="no origins",
                help="list the origins in allowOrigins, or remove the corsPolicy",
            )


def _nobody(cors: Block, name: str) -> bool:
    node = cors.node.index.get(name)
    return node is None or (isinstance(node[1], Sequence) and not node[1].items)


# -- ports of DestinationRules ----------------------------------------------------------------------------


def ports(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """Entries of portLevelSettings for ports that the service does not have."""
    for rule in mesh.destination_rules.all:
        services = [] if rule.wildcard else mesh.registry.by_host(rule.host)
        if not services or not all(s.ports and s.kind != "external-name" for s in services):
            continue
        for subset, policy in policies(rule):
            for entry in mappings(policy.get("portLevelSettings")):
                number = int_of(entry.dig("port", "number"))
                if number and all(service.port(number) is None for service in services):
                    yield _unknown_port(rule, subset, entry, number, services)


def _unknown_port(
    rule: DestinationRule, subset: str | None, entry: YamlMapping, number: int, services: list[Service]
) -> Draft:
    service = services[0]
    listed = ", ".join(str(port.number) for port in service.ports)
    whose = f"of subset {subset} " if subset else ""
    leads = next((port for port in service.ports if port.target == number), None)
    advice = f"write {leads.number}" if leads else "write a port of the service, or remove the entry"
    return Draft(
        rule.resource.place_at("port", "number", inside=entry),
        f"{rule.resource.title} has settings {whose}for port {number}, which {rule.host} does not have "
        f"(it has {listed}): no traffic uses them",
        label=f"the target of port {leads.number}" if leads else "not a port of the service",
        help=f"{advice}; portLevelSettings are for ports of the service, not for those of its pods",
        related=(("the service", service.resource.place_at("spec", "ports", part="key")),),
    )


# -- redirects to HTTPS -------------------------------------------------------------------------------------


def redirects(mesh: Mesh) -> Iterator[Draft]:
    """Redirects to HTTPS at gateways whose plain servers do that already."""
    for route in mesh.routes.all:
        binding = route.binding
        if route.api != "VirtualService" or route.action != "redirect" or route.root is not None:
            continue
        if binding.mesh_hosts or binding.missing or binding.unsure_gateways or not binding.gateways:
            continue
        servers = [s for g in binding.gateways for s in g.offers.servers(route.resource.ns, route.hosts)]
        place = _all_redirect(route, servers)
        if place is not None:
            yield Draft(
                route.place("redirect", part="key"),
                f"{route.title} redirects to https, and the gateway does that before a rule is asked",
                label="never used",
                help="remove the rule, or httpsRedirect of the server",
                related=(("redirects already", place),),
                severity="info",
                equivalents=(),
            )


def _all_redirect(route: Route, servers: list[Server]) -> Place | None:
    """Where the first of the servers redirects, if all do and the rule does no more than that."""
    redirect = route.node.get("redirect")
    only_scheme = isinstance(redirect, YamlMapping) and text_of(redirect.get("scheme")) == "https"
    if not only_scheme or not servers or not all(server.https_redirect for server in servers):
        return None
    gateway = next(g for g in route.binding.gateways if servers[0] in g.servers)
    return gateway.resource.place_at("tls", "httpsRedirect", inside=servers[0].node)
