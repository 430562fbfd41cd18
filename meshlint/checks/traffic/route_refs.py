"""What do routes of the Gateway API name? Parents and backends with their defaults (spec traffic 1.14)."""

from __future__ import annotations

from typing import Final

from meshlint.checks.admission.blocks import once
from meshlint.findings import Draft
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.scope import GATEWAY_API
from meshlint.records import dataclass
from meshlint.resources import Place, Resource
from meshlint.source.nodes import Mapping as YamlMapping
from meshlint.source.nodes import text_of
from meshlint.source.templates import is_placeholder

ROUTES: Final = ("HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute")
SERVICE_CODES: Final = ("KIA1402",)


@dataclass(frozen=True, slots=True, eq=False)
class Ref:
    """A reference of a route: a parentRef or a backendRef with its defaults."""

    resource: Resource
    node: YamlMapping
    group: str
    kind: str
    namespace: str
    name: str

    @property
    def title(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"

    @property
    def crosses(self) -> bool:
        return self.namespace != self.resource.ns

    def place(self, field: str = "name") -> Place:
        return self.resource.place(self.node.get(field) or self.node.get("name") or self.node)


def reference(resource: Resource, node: YamlMapping, kind: str, group: str) -> Ref | None:
    """A reference; None where a part of it is a template or missing."""
    name = text_of(node.get("name"))
    written = node.get("group")
    parts = (
        text_of(written) or "" if written is not None else group,
        text_of(node.get("kind")) or kind,
        text_of(node.get("namespace")) or resource.ns,
    )
    if not name or any(is_placeholder(text) for text in (name, *parts)):
        return None
    return Ref(resource, node, *parts, name)


@once
def routes(mesh: Mesh) -> list[Resource]:
    return mesh.scope.of(GATEWAY_API, *ROUTES)


@once
def parents(mesh: Mesh) -> dict[Resource, list[Ref]]:
    found: dict[Resource, list[Ref]] = {}
    for resource in routes(mesh):
        refs = (
            reference(resource, n, "Gateway", GATEWAY_API) for n in resource.mappings("spec", "parentRefs")
        )
        found[resource] = [ref for ref in refs if ref is not None]
    return found


def dotted(ref: Ref) -> Draft:
    name, _, rest = ref.name.partition(".")
    namespace = rest.partition(".")[0]
    return Draft(
        ref.place(),
        f"{ref.resource.title} names the Service {ref.name!r}; names of Services have no dots, and the "
        "namespace has a field of its own",
        label="no name of a Service",
        help=f"write name: {name} and namespace: {namespace}",
        equivalents=SERVICE_CODES,
    )
