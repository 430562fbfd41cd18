"""Do Gateways find their Secrets where the pods are not in the input? (spec traffic 5.11, repositories 9)

The ingress gateway is seldom in a tree: an installation brings it, into a namespace of its own. Who puts the
Secret beside the Gateway then puts it where no proxy looks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from meshlint.findings import Draft
from meshlint.mesh.exposure import INGRESS_SELECTOR
from meshlint.mesh.gateways import Gateway
from meshlint.mesh.mesh import Mesh
from meshlint.source.nodes import Scalar

_HOMES: Final = ("istio-system", "istio-ingress")


def put_elsewhere(mesh: Mesh, gateway: Gateway, port: int, item: Scalar) -> Iterator[Draft]:
    """The Secret of an ingress gateway whose pods are not in the input is where they are not either."""
    name = item.text
    if not mesh.suspicions or gateway.selector != INGRESS_SELECTOR:
        return
    if any(mesh.secrets.exists(home, name) for home in (mesh.config.root, *_HOMES)):
        return
    found = mesh.secrets.elsewhere(name)
    if not found or not all(r.namespace_written and _has_no_gateway(mesh, r.ns) for r in found):
        return
    yield Draft(
        gateway.resource.place(item),
        f"{gateway.resource.title} takes its certificate for port {port} from the Secret {name} of the "
        f"namespace of its pods, usually {mesh.config.root}, and it is in {found[0].ns} only: the port has "
        "no certificate, and TLS connections fail",
        label="not where the pods are",
        help="put the Secret into the namespace of the gateway's pods, wherever the Gateway is",
        related=tuple((f"in {other.ns}", other.place()) for other in found[:2]),
        confidence="low",
        equivalents=("IST0101",),
    )


def _has_no_gateway(mesh: Mesh, namespace: str) -> bool:
    """Are the pods of a namespace in the input, and nothing says that a gateway runs there?"""
    named = any(word in namespace for word in ("ingress", "gateway", "istio"))
    return (
        bool(mesh.workloads.within(namespace)) and not named and not mesh.existence.installed_into(namespace)
    )
