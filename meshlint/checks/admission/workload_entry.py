"""Which WorkloadEntries does Istio's validation refuse or warn about? (spec schemas 3.3)

Unix addresses, an address missing without a network, and the names and numbers of ports are in the
schema of the CRD.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from meshlint.checks.admission.blocks import Block, refused, spec, warned
from meshlint.checks.admission.grammar import UNIX, domain_problem, ip_problem
from meshlint.checks.admission.virtual_service_matches import labels as label_map
from meshlint.findings import Draft
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.scope import ISTIO_NETWORKING

Options = Mapping[str, Any]


def address(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for resource in mesh.scope.of(ISTIO_NETWORKING, "WorkloadEntry"):
        block = spec(resource)
        if block is not None:
            yield from address_of(block)


def address_of(block: Block, only_ip: bool = False) -> Iterator[Draft]:
    """The address of an entry, or of an endpoint; `only_ip` for static resolution."""
    if block.lacks("address"):
        if block.has("network"):
            yield warned(
                block.place("network", "key"),
                f"has no address in the network {block.text('network')}: only its gateway can reach it",
                "no address",
                "write the address of the workload, unless the gateway of the network is meant",
            )
        return
    written = block.text("address")
    if written is None or written.startswith(UNIX) or not ip_problem(written):
        return
    problem = "is no IP address, as static resolution wants" if only_ip else domain_problem(written)
    if problem:
        yield refused(
            block.place("address"),
            f"has the address {written!r}, which {problem}",
            problem,
            "write an IP address, or resolve names with resolution: DNS"
            if only_ip
            else "write an IP address or a DNS name, without port",
        )


def labels(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for resource in mesh.scope.of(ISTIO_NETWORKING, "WorkloadEntry"):
        block = spec(resource)
        if block is not None and "labels" in block.node.index:
            yield from label_map(block, "labels", "has")
    for resource in mesh.scope.of(ISTIO_NETWORKING, "WorkloadGroup"):
        block = spec(resource)
        metadata = block.block("metadata") if block is not None else None
        if metadata is not None and "labels" in metadata.node.index:
            yield from label_map(metadata, "labels", "gives its entries")
