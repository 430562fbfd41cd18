"""How sure is it that no pods carry the labels of a selector? (spec repositories 3, 5 and 9)

Pods of gateways that an installation brings along, those that operators make, and labels that are added
at run time are never missing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from meshlint.mesh.labels import GATEWAY_NAME, MANAGED, REVISION
from meshlint.mesh.scope import ISTIO_NETWORKING
from meshlint.mesh.workloads import RUN_TIME_LABELS
from meshlint.schema.catalogue import bundled
from meshlint.source.nodes import string_map
from meshlint.source.templates import is_placeholder

if TYPE_CHECKING:
    from meshlint.mesh.mesh import Mesh
    from meshlint.resources import Resource

#: labels that tell Istio's own pods
_OWN = frozenset({"istio", REVISION, GATEWAY_NAME, MANAGED})
_OWN_APPS = ("istio", "ztunnel", "gateway")
_FOREIGN = frozenset({"serving.knative.dev/service", "serving.knative.dev/revision", "cnpg.io/cluster"})

#: labels with these prefixes are for people, whatever APIs there are
_COMMON = frozenset({"app.kubernetes.io", "helm.sh", "k8s.io", "kubernetes.io"})

_MAKERS = ("Deployment", "StatefulSet", "DaemonSet", "Pod", "Rollout", "Job", "CronJob", "ReplicaSet")

_gateway_pods: WeakKeyDictionary[Mesh, frozenset[tuple[str, str]]] = WeakKeyDictionary()
_operators: WeakKeyDictionary[Mesh, frozenset[str]] = WeakKeyDictionary()
_machines: WeakKeyDictionary[Mesh, dict[str, frozenset[tuple[str, str]]]] = WeakKeyDictionary()
_placeholders: WeakKeyDictionary[Mesh, dict[str, frozenset[str]]] = WeakKeyDictionary()


def nothing_selected(mesh: Mesh, selector: Mapping[str, str], namespace: str | None) -> str | None:
    """'high', 'low', or None where the pods may exist; namespace None stands for all of them."""
    if not selector or mesh.workloads.matching(selector, namespace):
        return None
    if made_elsewhere(mesh, selector) or _templated(mesh, selector, namespace):
        return None
    if machines_may_have(mesh, selector, namespace):
        return None
    settings = mesh.settings
    if settings.complete or (namespace is not None and namespace in settings.complete_namespaces):
        return "high"
    visible = mesh.workloads.all if namespace is None else mesh.workloads.within(namespace)
    return "low" if visible and not settings.remainder else None


def made_elsewhere(mesh: Mesh, selector: Mapping[str, str]) -> bool:
    """Does a selector name pods that installations or controllers bring along?"""
    for key, value in selector.items():
        if key in _OWN or key in _FOREIGN or key in RUN_TIME_LABELS:
            return True
        if is_placeholder(key) or is_placeholder(value):
            return True
        if key in ("app", "app.kubernetes.io/name") and any(word in value for word in _OWN_APPS):
            return True
        if _of_operator(mesh, key):
            return True
    return not _gateway_labels(mesh).isdisjoint(selector.items())


def machines_may_have(mesh: Mesh, selector: Mapping[str, str], namespace: str | None) -> bool:
    """Are there WorkloadEntries or WorkloadGroups with every one of the labels?"""
    machines = _labels_of_machines(mesh)
    homes = machines.values() if namespace is None else [machines.get(namespace, frozenset())]
    return bool(selector) and any(selector.items() <= pairs for pairs in homes)


def machine_labels(resource: Resource) -> dict[str, str]:
    """The labels of a WorkloadEntry, or those that a WorkloadGroup gives to the machines that join it."""
    if resource.kind == "WorkloadGroup":
        return {**string_map(resource.get("spec", "metadata", "labels")),
                **string_map(resource.get("spec", "template", "labels"))}  # fmt: skip
    return {**resource.labels, **string_map(resource.get("spec", "labels"))}


def _labels_of_machines(mesh: Mesh) -> dict[str, frozenset[tuple[str, str]]]:
    found = _machines.get(mesh)
    if found is None:
        pairs: dict[str, set[tuple[str, str]]] = defaultdict(set)
        for resource in mesh.scope.of(ISTIO_NETWORKING, "WorkloadEntry", "WorkloadGroup"):
            pairs[resource.ns].update(machine_labels(resource).items())
        found = _machines[mesh] = {name: frozenset(own) for name, own in pairs.items()}
    return found


def brought_along(mesh: Mesh, selector: Mapping[str, str]) -> bool:
    """As `made_elsewhere`, for labels alone that nobody else would use."""
    return any(
        key in _OWN
        or key in _FOREIGN
        or _of_operator(mesh, key)
        or (key in ("app", "app.kubernetes.io/name") and value.startswith(("istio", "ztunnel")))
        for key, value in selector.items()
    )


def _of_operator(mesh: Mesh, key: str) -> bool:
    """Does an operator label pods so, whose API the input uses? strimzi.io/cluster and kafka.strimzi.io."""
    domain, slash, _ = key.partition("/")
    return bool(slash) and domain not in _COMMON and domain in _domains(mesh)


def _domains(mesh: Mesh) -> frozenset[str]:
    """The groups of the APIs of operators, and the domains that these belong to."""
    found = _operators.get(mesh)
    if found is None:
        kinds = {(r.group, r.kind) for r in mesh.scope.resources if "." in r.group}
        groups = {group for group, kind in kinds if bundled(group, kind) is None}
        parents = {group.partition(".")[2] for group in groups}
        found = _operators[mesh] = frozenset(d for d in groups | parents if "." in d)
    return found


def _gateway_labels(mesh: Mesh) -> frozenset[tuple[str, str]]:
    """The labels by which Gateways choose their pods, which installations bring along."""
    found = _gateway_pods.get(mesh)
    if found is None:
        pairs = (pair for gateway in mesh.gateways.all for pair in gateway.selector.items())
        found = _gateway_pods[mesh] = frozenset(pairs)
    return found


def _templated(mesh: Mesh, selector: Mapping[str, str], namespace: str | None) -> bool:
    """Could a templated file make the pods, or a pod template whose labels are not all known?"""
    if any(mesh.scope.may_exist(kind, value) for value in selector.values() for kind in _MAKERS):
        return True
    if mesh.scope.beside.may_apply("Pod", namespace):
        return True
    open_keys = _open_keys(mesh)
    homes = open_keys.values() if namespace is None else [open_keys.get(namespace, frozenset())]
    return any("*" in keys or not keys.isdisjoint(selector) for keys in homes)


def _open_keys(mesh: Mesh) -> dict[str, frozenset[str]]:
    """Per namespace, the labels of pod templates whose values are placeholders; ``*`` for all labels."""
    found = _placeholders.get(mesh)
    if found is None:
        keys: dict[str, set[str]] = defaultdict(set)
        for workload in mesh.workloads.all:
            if not workload.labels_known:
                keys[workload.namespace].add("*")
            for key, value in workload.labels.items():
                if is_placeholder(value):
                    keys[workload.namespace].add(key)
        found = _placeholders[mesh] = {name: frozenset(own) for name, own in keys.items()}
    return found
