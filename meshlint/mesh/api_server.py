"""Which Services does the API server call? It has no proxy and sends plain TLS (spec security 3.8).

Admission and conversion webhooks and aggregated APIs name the Service that answers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

from meshlint.records import dataclass
from meshlint.resources import Place, Resource
from meshlint.source.nodes import Mapping, Node, int_of, text_of

if TYPE_CHECKING:
    from meshlint.mesh.scope import Scope

_HTTPS = 443


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """The API server calls a port of a Service because `resource` says so at `place`."""

    resource: Resource
    place: Place
    port: int


def calls(scope: Scope) -> dict[tuple[str, str], list[Call]]:
    """Calls by namespace and name of the Service."""
    found: dict[tuple[str, str], list[Call]] = defaultdict(list)
    for resource, node in _references(scope):
        namespace, name = text_of(node.dig("namespace")), text_of(node.dig("name"))
        if isinstance(node, Mapping) and namespace and name:
            place = resource.place(node.get("name"))
            found[namespace, name].append(Call(resource, place, int_of(node.get("port")) or _HTTPS))
    return dict(found)


def _references(scope: Scope) -> Iterator[tuple[Resource, Node]]:
    kinds = ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration")
    for resource in scope.of("admissionregistration.k8s.io", *kinds):
        for webhook in resource.mappings("webhooks"):
            node = webhook.dig("clientConfig", "service")
            if node is not None:
                yield resource, node
    conversion = ("spec", "conversion", "webhook", "clientConfig", "service")
    for group, kind, path in (
        ("apiextensions.k8s.io", "CustomResourceDefinition", conversion),
        ("apiregistration.k8s.io", "APIService", ("spec", "service")),
    ):
        for resource in scope.of(group, kind):
            node = resource.get(*path)
            if node is not None:
                yield resource, node
