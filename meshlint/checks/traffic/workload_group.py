"""Can the machines of a WorkloadGroup join the mesh, and be told from those of another one?

Spec kiali-validations 3.12.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from meshlint.checks.admission.blocks import Block, spec
from meshlint.checks.traffic.neighbours import same_namespace
from meshlint.findings import Draft
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.scope import ISTIO_NETWORKING
from meshlint.resources import Resource
from meshlint.source.nodes import string_map, text_of
from meshlint.source.templates import is_placeholder

Options = Mapping[str, Any]


def service_account(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for resource in mesh.scope.of(ISTIO_NETWORKING, "WorkloadGroup"):
        template = _template(resource)
        name = template.text("serviceAccount") if template is not None else None
        sure = mesh.identities.account_missing(resource.ns, name) if name else None
        if template is None or sure is None:
            continue
        if not mesh.holds("ServiceAccount"):
            sure = "low"  # whoever keeps no accounts with the manifests makes them by hand
        what = "does not exist" if sure == "high" else "is not in the given files"
        yield Draft(
            template.place("serviceAccount"),
            f"{resource.title} gives its machines the service account {name}, which {what} in {resource.ns}: "
            "they get no token, and so do not join the mesh",
            label="no such ServiceAccount",
            help="define the ServiceAccount in the namespace of the group, or name one that is there",
            confidence=None if sure == "high" else sure,
        )


def _template(resource: Resource) -> Block | None:
    block = spec(resource)
    return block.block("template") if block is not None else None


def same_labels(mesh: Mesh, options: Options) -> Iterator[Draft]:
    groups: dict[tuple[object, ...], list[Resource]] = defaultdict(list)
    for resource in mesh.scope.of(ISTIO_NETWORKING, "WorkloadGroup"):
        labels = string_map(resource.get("spec", "metadata", "labels"))
        if labels and not any(map(is_placeholder, labels.values())):
            groups[resource.ns, frozenset(labels.items()), _where(resource)].append(resource)
    for group in groups.values():
        if len({resource.name for resource in group}) > 1:
            first = group[0]
            second = next(resource for resource in group if resource.name != first.name)
            for resource in group:
                yield _indistinct(mesh, resource, second if resource.name == first.name else first)


def _where(resource: Resource) -> tuple[str | None, ...]:
    """Machines of one application in several places have equal labels for a reason."""
    return tuple(text_of(resource.get("spec", "template", name)) for name in ("network", "locality"))


def _indistinct(mesh: Mesh, resource: Resource, other: Resource) -> Draft:
    return Draft(
        resource.place_at("spec", "metadata", "labels", part="key"),
        f"policy: {resource.title} and {other.title} give their machines the same labels: services and "
        "policies that select those of one group get those of the other as well",
        label=f"the labels of {other.name}",
        help="add a label that tells the groups apart, such as version",
        related=(("the same labels", other.place_at("spec", "metadata", "labels", part="key")),),
        confidence=same_namespace(mesh, resource, other),
    )
