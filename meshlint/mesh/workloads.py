"""Which pods does the input make, with which labels, ports and containers? (spec security 1.1)

A Workload is a pod template together with the object that holds it. An Argo Rollout that borrows the
template of another object adds no workload of its own where that object is one; a PodTemplate
becomes a workload by being borrowed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from collections.abc import Mapping as MappingOf
from functools import cached_property

from meshlint.mesh.scope import ARGO, Scope
from meshlint.records import dataclass
from meshlint.resources import Place, Resource
from meshlint.source.nodes import Mapping, Node, Scalar, int_of, is_true, mappings, string_map, text_of

#: (group, kind) -> path of the object that has the pod's `metadata` and `spec`
POD_TEMPLATES: dict[tuple[str, str], tuple[str, ...]] = {
    ("", "Pod"): (),
    ("apps", "Deployment"): ("spec", "template"),
    ("apps", "ReplicaSet"): ("spec", "template"),
    ("apps", "StatefulSet"): ("spec", "template"),
    ("apps", "DaemonSet"): ("spec", "template"),
    ("extensions", "Deployment"): ("spec", "template"),
    ("extensions", "DaemonSet"): ("spec", "template"),
    ("extensions", "ReplicaSet"): ("spec", "template"),
    ("", "ReplicationController"): ("spec", "template"),
    ("batch", "Job"): ("spec", "template"),
    ("batch", "CronJob"): ("spec", "jobTemplate", "spec", "template"),
    ("apps.openshift.io", "DeploymentConfig"): ("spec", "template"),
    (ARGO, "Rollout"): ("spec", "template"),
    ("serving.knative.dev", "Service"): ("spec", "template"),
    ("serving.knative.dev", "Configuration"): ("spec", "template"),
}

#: labels that the platform adds at run time (spec security 0.5)
RUN_TIME_LABELS = frozenset(
    {
        "pod-template-hash",
        "statefulset.kubernetes.io/pod-name",
        "controller-revision-hash",
        "batch.kubernetes.io/job-name",
        "apps.kubernetes.io/pod-index",
        "service.istio.io/canonical-name",
        "service.istio.io/canonical-revision",
        "security.istio.io/tlsMode",
    }
)

#: values of the labels that tell Istio's own components
_CONTROL_PLANE = frozenset(
    {"istiod", "pilot", "ztunnel", "istio-cni-node", "istio-cni", "istio-operator", "sidecar-injector"}
)


@dataclass(frozen=True, slots=True)
class ContainerPort:
    """A declared port of a container; `node` is the entry of `ports`."""

    number: int
    name: str
    protocol: str
    node: Mapping


class Workload:
    """A pod template: `resource` holds it, `template` is the node with the pod's metadata and spec.

    `path` leads from the resource to the template.
    """

    def __init__(self, resource: Resource, template: Mapping, path: tuple[str, ...] = ()) -> None:
        self.resource = resource
        self.template = template
        self.path = path
        self.namespace = resource.ns
        self.name = resource.name
        self.kind = resource.kind
        metadata = template.get("metadata")
        self.pod_metadata = metadata if isinstance(metadata, Mapping) else None
        spec = template.get("spec")
        self.pod_spec = spec if isinstance(spec, Mapping) else None

    @property
    def title(self) -> str:
        return self.resource.title

    @cached_property
    def labels(self) -> dict[str, str]:
        """Labels of the pods, as written in the template."""
        return string_map(self.pod_metadata.get("labels")) if self.pod_metadata else {}

    @cached_property
    def labels_known(self) -> bool:
        """False where a template stands for all labels of the pods."""
        node = self.pod_metadata.get("labels") if self.pod_metadata else None
        return not isinstance(node, Scalar) or node.value is None

    @cached_property
    def annotations(self) -> dict[str, str]:
        return string_map(self.pod_metadata.get("annotations")) if self.pod_metadata else {}

    def pod_place(self, *path: str | int, part: str = "value") -> Place:
        """The place at a path of the pod template, or of the deepest part of it that exists."""
        return self.resource.place_at(*self.path, *path, part=part)

    @property
    def partial(self) -> bool:
        """Without containers it is a patch of another manifest, not a whole pod template."""
        return not self.app_containers

    @cached_property
    def control_plane(self) -> bool:
        """Is it a part of Istio itself: istiod, the CNI agent, ztunnel, the operator?"""
        labels = self.labels
        return (
            labels.get("istio") in _CONTROL_PLANE
            or labels.get("app") in _CONTROL_PLANE
            or labels.get("k8s-app") in _CONTROL_PLANE
            or labels.get("app.kubernetes.io/name") in _CONTROL_PLANE
        )

    def label_node(self, key: str) -> Node | None:
        return self.pod_metadata.dig("labels", key) if self.pod_metadata else None

    def annotation_node(self, key: str) -> Node | None:
        return self.pod_metadata.dig("annotations", key) if self.pod_metadata else None

    @cached_property
    def containers(self) -> list[Mapping]:
        """Containers, then init containers that keep running (restartPolicy Always)."""
        return [*self.app_containers, *(
            c for c in self.init_containers if text_of(c.get("restartPolicy")) == "Always"
        )]  # fmt: skip

    @cached_property
    def app_containers(self) -> list[Mapping]:
        return mappings(self.pod_spec.get("containers")) if self.pod_spec else []

    @cached_property
    def init_containers(self) -> list[Mapping]:
        return mappings(self.pod_spec.get("initContainers")) if self.pod_spec else []

    @cached_property
    def ports(self) -> list[ContainerPort]:
        found = []
        for container in self.containers:
            for port in mappings(container.get("ports")):
                number = int_of(port.get("containerPort"))
                if number is not None:
                    name = text_of(port.get("name")) or ""
                    protocol = text_of(port.get("protocol")) or "TCP"
                    found.append(ContainerPort(number, name, protocol, port))
        return found

    def port_named(self, name: str) -> ContainerPort | None:
        return next((port for port in self.ports if port.name == name), None)

    @cached_property
    def host_network(self) -> bool:
        return is_true(self.pod_spec.get("hostNetwork") if self.pod_spec else None)

    @cached_property
    def service_account(self) -> str:
        """Name of the service account of the pods; `default` where none is named."""
        spec = self.pod_spec
        name = (
            text_of(spec.get("serviceAccountName")) or text_of(spec.get("serviceAccount")) if spec else None
        )
        return name or "default"

    def __repr__(self) -> str:
        return f"<Workload {self.title}>"


class Workloads:
    """All workloads of a scope, found by namespace and by labels without scanning."""

    def __init__(self, scope: Scope) -> None:
        self.all: list[Workload] = list(_workloads(scope))
        self._by_namespace: dict[str, list[Workload]] = defaultdict(list)
        self._by_label: dict[tuple[str, str], list[Workload]] = defaultdict(list)
        self._by_namespace_label: dict[tuple[str, str, str], list[Workload]] = defaultdict(list)
        for workload in self.all:
            self._by_namespace[workload.namespace].append(workload)
            for pair in workload.labels.items():
                self._by_label[pair].append(workload)
                self._by_namespace_label[(workload.namespace, *pair)].append(workload)

    def within(self, namespace: str) -> list[Workload]:
        return self._by_namespace.get(namespace, [])

    def matching(self, labels: MappingOf[str, str], namespace: str | None = None) -> list[Workload]:
        """Workloads whose pods carry all the labels; empty labels match all. None = all namespaces."""
        if not labels:
            return self.all if namespace is None else self.within(namespace)
        candidates: list[Workload] | None = None
        for key, value in labels.items():
            if namespace is None:
                posting = self._by_label.get((key, value), [])
            else:
                posting = self._by_namespace_label.get((namespace, key, value), [])
            if candidates is None or len(posting) < len(candidates):
                candidates = posting
        wanted = labels.items()
        return [w for w in candidates or [] if wanted <= w.labels.items()]


def matches(selector: MappingOf[str, str], labels: MappingOf[str, str]) -> bool | None:
    """Does matchLabels select these labels? None if that hangs on a label added at run time."""
    unknown = False
    for key, value in selector.items():
        if key in labels:
            if labels[key] != value:
                return False
        elif key in RUN_TIME_LABELS:
            unknown = True
        else:
            return False
    return None if unknown else True


def _workloads(scope: Scope) -> Iterable[Workload]:
    for resource in scope.resources:
        path = POD_TEMPLATES.get((resource.group, resource.kind))
        if path is None:
            continue
        template = resource.root.dig(*path)
        if isinstance(template, Mapping):
            yield Workload(resource, template, path)
    borrowed: set[int] = set()
    for rollout in scope.of(ARGO, "Rollout"):
        for source in _borrowed_from(rollout, scope):
            template = source.root.get("template")
            if isinstance(template, Mapping) and id(source) not in borrowed:
                borrowed.add(id(source))
                yield Workload(source, template, ("template",))


def _borrowed_from(rollout: Resource, scope: Scope) -> list[Resource]:
    """The PodTemplates that a Rollout names; a Deployment or ReplicaSet is a workload already."""
    reference = rollout.mapping("spec", "workloadRef")
    if reference is None or text_of(reference.get("kind")) != "PodTemplate":
        return []
    return scope.find("", "PodTemplate", rollout.ns, text_of(reference.get("name")) or "")
