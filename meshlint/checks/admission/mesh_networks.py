"""Which networks of the mesh does istiod refuse? (spec schemas 3.3 MeshNetworks)

They stand in `data.meshNetworks` of the ConfigMap that holds the mesh configuration, and in
`global.meshNetworks` of the values of the chart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshlint.checks.admission.blocks import Block
from meshlint.checks.admission.grammar import (
    domain_problem,
    ip_problem,
    label_problem,
    port_problem,
    subnet_problem,
)
from meshlint.checks.admission.mesh_sources import title_of
from meshlint.findings import Draft
from meshlint.mesh.mesh import Mesh
from meshlint.resources import Place
from meshlint.source.embedded import embedded
from meshlint.source.nodes import Mapping as YamlMapping
from meshlint.source.nodes import Scalar

Options = Mapping[str, Any]

_RESOLVE: Final = "RESOLVE_HOSTNAME_GATEWAYS"


def check(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for name, network in networks(mesh):
        for endpoints in network.blocks("endpoints"):
            yield from _endpoints(endpoints, name)
        for gateway in network.blocks("gateways"):
            yield from _gateway(mesh, gateway, name)


def networks(mesh: Mesh) -> Iterator[tuple[str, Block]]:
    """Every network that the input defines, with its name."""
    for written in (*_in_config_maps(mesh), *_in_values(mesh)):
        for name in written.node:
            network = written.block(name)
            if network is not None:
                yield name, network


def _in_config_maps(mesh: Mesh) -> Iterator[Block]:
    for source in mesh.config.sources:
        resource = source.resource
        text = resource.get("data", "meshNetworks") if resource and source.kind == "configmap" else None
        if resource is not None and isinstance(text, Scalar):
            read = embedded(resource.file, text)
            if not read.templated and isinstance(read.root, YamlMapping):
                found = Block(resource, read.root).block("networks")
                if found is not None:
                    yield found


def _in_values(mesh: Mesh) -> Iterator[Block]:
    for source in mesh.config.sources:
        for layer in source.values or ():
            if layer.resource is not None and not layer.at and isinstance(layer.node, YamlMapping):
                settings = Block(layer.resource, layer.node).block("global")
                found = settings.block("meshNetworks") if settings is not None else None
                if found is not None:
                    yield found


def _draft(place: Place, network: str, says: str, problem: str, advice: str) -> Draft:
    return Draft(
        place,
        f"{title_of(place.resource)}: the network {network} {says}; istiod refuses all networks",
        label=problem,
        help=advice,
    )


def _endpoints(endpoints: Block, network: str) -> Iterator[Draft]:
    cidr = endpoints.text("fromCidr")
    if cidr is not None and (problem := subnet_problem(cidr)):
        yield _draft(
            endpoints.place("fromCidr"),
            network,
            f"has endpoints from {cidr!r}, which {problem}",
            problem,
            "write an address or a CIDR such as 10.1.0.0/16",
        )
    registry = endpoints.text("fromRegistry")
    if registry is not None and (problem := label_problem(registry)):
        yield _draft(
            endpoints.place("fromRegistry"),
            network,
            f"has endpoints from the registry {registry!r}, which {problem}",
            problem,
            "write the name of the cluster as istiod knows it",
        )


def _gateway(mesh: Mesh, gateway: Block, network: str) -> Iterator[Draft]:
    service = gateway.text("registryServiceName")
    if service is not None and (problem := domain_problem(service)):
        yield _draft(
            gateway.place("registryServiceName"),
            network,
            f"has the gateway service {service!r}, which {problem}",
            problem,
            "write the full host, such as istio-eastwestgateway.istio-system.svc.cluster.local",
        )
    address = gateway.text("address")
    if address is not None and ip_problem(address):
        hosts_resolved = mesh.config.feature(_RESOLVE)
        if domain_problem(address):
            problem = "is neither an IP address nor a domain name"
        else:
            problem = f"is no IP address, and {_RESOLVE} is off" if hosts_resolved.is_("false") else ""
        if problem:
            yield _draft(
                gateway.place("address"),
                network,
                f"has a gateway at {address!r}, which {problem}",
                problem,
                "write the address at which the gateway is reached from outside",
            )
    yield from _port(gateway, network)


def _port(gateway: Block, network: str) -> Iterator[Draft]:
    number = gateway.number("port")
    problem = "is missing" if gateway.lacks("port") else port_problem(number) if number is not None else ""
    if problem:
        yield _draft(
            gateway.place("port"),
            network,
            f"has a gateway whose port {problem}",
            problem,
            "write the port of the gateway, usually 15443",
        )
