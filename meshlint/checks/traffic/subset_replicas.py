"""Is there a pod in the subset that gets requests? (spec traffic 4.7)

That no pod carries the labels of a subset is another matter, in `destination_rule`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache, partial
from typing import Any, Final

from meshlint.checks.policy_blocks import subset_labels
from meshlint.findings import Draft
from meshlint.mesh.destinations import Reference
from meshlint.mesh.facts import Fact
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.registry import Service
from meshlint.mesh.replicas import Count
from meshlint.mesh.scope import ARGO
from meshlint.source.templates import is_placeholder

Options = Mapping[str, Any]

#: what scales the workloads of others up and down
_SCALERS: Final = (("flagger.app", "Canary"), (ARGO, "Rollout"))


def none_left(mesh: Mesh, options: Options) -> Iterator[Draft]:
    scaled = cache(partial(_scaled, mesh))
    for reference in mesh.destinations.all:
        if not reference.subset or not reference.share or reference.mirror or not reference.state.found:
            continue
        services = reference.state.services
        if not services or any(map(scaled, {service.namespace for service in services})):
            continue
        labels = _labels(mesh, reference)
        if not labels:
            continue
        counts = [mesh.replicas.endpoints(service, labels) for service in services]
        if all(count.known and count.value.most == 0 for count in counts):
            yield _nobody(mesh, reference, services[0], counts[0])


def _labels(mesh: Mesh, reference: Reference) -> dict[str, str]:
    """The labels of a subset, where one rule alone defines it."""
    rules = [
        rule
        for rule in mesh.destination_rules.covering(reference.state.full)
        if mesh.destination_rules.declares(rule, reference.subset or "")
    ]
    labels = subset_labels(rules[0], reference.subset or "") if len(rules) == 1 else {}
    return {} if any(map(is_placeholder, labels.values())) else labels


def _scaled(mesh: Mesh, namespace: str) -> bool:
    """Do the numbers of manifests say nothing: others scale, or templates label pods?"""
    if any(mesh.scope.within(group, kind, namespace) for group, kind in _SCALERS):
        return True
    return not all(w.labels_known for w in mesh.workloads.within(namespace))


def _nobody(mesh: Mesh, reference: Reference, service: Service, counted: Fact[Count]) -> Draft:
    return Draft(
        reference.place("subset"),
        f"{reference.resource.title} sends requests to the subset {reference.subset} of {service.host}, "
        "whose workloads have 0 replicas: these requests fail with 503",
        label="no pod runs in it",
        help="give the subset the weight 0 or leave it out before it is scaled down, or run pods",
        related=tuple(("0 replicas", place) for place in counted.because[:1]),
        confidence=None if mesh.settings.complete else "medium",
    )
