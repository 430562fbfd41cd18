"""Does a pod get a sidecar, and which line decides it? (spec security 1)

Four stages as in Istio: a webhook calls the injector (`webhooks`), the injector decides, templates are
chosen, and an annotation that the injector refuses keeps the pod from being created.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from meshlint.mesh.annotations import VALIDATED, refusal
from meshlint.mesh.facts import Fact
from meshlint.mesh.labels import INJECT, REVISION, STATUS
from meshlint.mesh.namespaces import IGNORED_NAMESPACES, label_value
from meshlint.mesh.webhooks import Webhooks, pod_label, selects, undecided
from meshlint.mesh.workloads import Workload
from meshlint.records import dataclass
from meshlint.resources import Place
from meshlint.source.nodes import Mapping, Scalar, text_of, texts
from meshlint.source.templates import is_placeholder

if TYPE_CHECKING:
    from meshlint.mesh.mesh import Mesh
    from meshlint.mesh.meshconfig import MeshConfig

PROXY = "istio-proxy"
TEMPLATES = "inject.istio.io/templates"
NATIVE = "sidecar.istio.io/nativeSidecar"

_BUILT_IN_TEMPLATES = frozenset(
    {"sidecar", "gateway", "grpc-agent", "grpc-simple", "waypoint", "kube-gateway", "agentgateway"}
    | {"agentgateway-waypoint"}
)
_MAISTRA = ("ServiceMeshControlPlane", "ServiceMeshMemberRoll", "ServiceMeshMember")
_DECIDING_LABELS = frozenset({INJECT, REVISION})
_CHECKED_ANNOTATIONS = VALIDATED | {TEMPLATES}
_DECIDING_ANNOTATIONS = _CHECKED_ANNOTATIONS | {INJECT, STATUS}


@dataclass(frozen=True, slots=True)
class Injected:
    """A pod that gets a proxy: by which revision's injector, with which templates.

    `manual` means that the manifest holds the proxy already (`istioctl kube-inject`).
    """

    revision: str
    templates: tuple[str, ...]
    manual: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the pod cannot be created."""

    place: Place
    key: str
    value: str
    expected: str


class Injection:
    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.webhooks = Webhooks(mesh)
        self._cache: dict[int, Fact[Injected | None]] = {}
        self._by_namespace: dict[str, Fact[Injected | None]] = {}

    def of(self, workload: Workload) -> Fact[Injected | None]:
        """How the pods are injected; None: they are not. A refused pod is unknown, see `refusals`."""
        fact = self._cache.get(id(workload))
        if fact is None:
            decide = self._ordinary if self._is_ordinary(workload) else self._decide
            fact = self._cache[id(workload)] = decide(workload)
        return fact

    def config_of(self, workload: Workload) -> MeshConfig:
        """The configuration of the control plane that the pods belong to."""
        injected = self.of(workload)
        if injected.known and injected.value is not None and injected.value.revision:
            return self.mesh.config.of_revision(injected.value.revision)
        return self.mesh.config

    def refusals(self, workload: Workload) -> list[Refusal]:
        """Values in the pod template that the API server or the injector refuses."""
        found = []
        for key in sorted(workload.labels.keys() & _DECIDING_LABELS):
            node = workload.label_node(key)
            if isinstance(node, Scalar) and _refused_type(node):
                place = workload.pod_place("metadata", "labels", key)
                found.append(Refusal(place, key, node.text, "a string, so put it in quotes"))
        for key in sorted(workload.annotations.keys() & _CHECKED_ANNOTATIONS):
            node = workload.annotation_node(key)
            if not isinstance(node, Scalar) or is_placeholder(node.text) or node.string is None:
                continue
            expected = self._unknown_template(node.text) if key == TEMPLATES else refusal(key, node.text)
            if expected is not None:
                place = workload.pod_place("metadata", "annotations", key)
                found.append(Refusal(place, key, node.text, expected))
        return found

    def native_sidecar(self, workload: Workload) -> Fact[bool]:
        """Is the proxy an init container that keeps running? Unknown where the kubelet decides."""
        node = workload.annotation_node(NATIVE)
        if isinstance(node, Scalar) and not is_placeholder(node.text):
            place = workload.pod_place("metadata", "annotations", NATIVE, part="pair")
            return Fact.of(node.text != "false", place)
        flag = self.mesh.config.feature("ENABLE_NATIVE_SIDECARS")
        if flag.is_("true", "false"):
            return Fact.of(flag.value == "true", *flag.because)
        if self.mesh.config.kyma:
            return Fact.of(True, reason="Kyma switches native sidecars on")
        version = _minor(self.mesh.settings.istio_version)
        if version is not None and version < 27:
            return Fact.of(False, reason=f"Istio 1.{version} uses native sidecars only on demand")
        return Fact.missing("native sidecars depend on the version of the nodes")

    def _is_ordinary(self, workload: Workload) -> bool:
        """Does nothing but the namespace decide about the pod?"""
        return (
            workload.labels.keys().isdisjoint(_DECIDING_LABELS)
            and workload.annotations.keys().isdisjoint(_DECIDING_ANNOTATIONS)
            and not workload.host_network
            and not self._selective
            and (bool(workload.labels) or workload.labels_known)
        )

    @cached_property
    def by_annotation(self) -> bool:
        """Is the mesh an OpenShift Service Mesh 2, where an annotation asks for the sidecar?"""
        return bool(self.mesh.scope.of("maistra.io", *_MAISTRA))

    @cached_property
    def _selective(self) -> bool:
        """May other labels of a pod decide?"""
        names = ("neverInjectSelector", "alwaysInjectSelector")
        values = [self.mesh.config.injector_value("sidecarInjectorWebhook", name) for name in names]
        return bool(self.webhooks.all) or any(not value.known or value.value for value in values)

    def _ordinary(self, workload: Workload) -> Fact[Injected | None]:
        fact = self._by_namespace.get(workload.namespace)
        if fact is None:
            fact = self._by_namespace[workload.namespace] = self._decide(workload)
        return fact

    def _decide(self, workload: Workload) -> Fact[Injected | None]:
        manual = manual_proxy(workload)
        if manual is not None:
            place = workload.resource.place(manual)
            return Fact.of(Injected("", ("sidecar",), manual=True), place, reason="the manifest has a proxy")
        never = self._never(workload)
        if never is not None:
            return never
        if self.by_annotation:
            return Fact.missing("OpenShift Service Mesh 2 injects by membership and annotation")
        call = self.webhooks.call(workload)
        if not call.known:
            return Fact(call.state, None, call.because, False, call.reason)
        if call.value is None:
            return Fact.of(
                None, *call.because, reason=call.reason, certain=call.certain, assumptions=call.assumptions
            )
        return self._injector(workload, call)

    def _never(self, workload: Workload) -> Fact[Injected | None] | None:
        """What keeps a pod from being injected whatever its namespace says."""
        inject = pod_label(workload, INJECT)
        if inject.is_("false"):
            return Fact.of(None, *inject.because, reason="the pod opts out")
        if workload.host_network:
            place = workload.pod_place("spec", "hostNetwork", part="pair")
            return Fact.of(None, place, reason="pods on the host network are never injected")
        if workload.namespace in IGNORED_NAMESPACES:
            place = workload.resource.place_at("metadata", "namespace")
            return Fact.of(None, place, reason=f"the injector ignores {workload.namespace}")
        return None if inject.known else Fact(inject.state, None, inject.because, False, inject.reason)

    def _injector(self, workload: Workload, call: Fact[str | None]) -> Fact[Injected | None]:
        config = self.mesh.config.of_revision(call.value or "default")
        wish = self._wish(workload, config)
        if not wish.known:
            return Fact(wish.state, None, wish.because, False, wish.reason)
        policy = config.injector_value("global", "proxy", "autoInject")
        if not policy.known:
            return Fact.missing(policy.reason, *policy.because)
        enabled = policy.value in (None, "enabled")
        if wish.value == "no" or not (enabled or (policy.value == "disabled" and wish.value == "yes")):
            because = wish.because if wish.value == "no" else policy.because
            return Fact.of(None, *because, reason=wish.reason or "the injector's policy is off")
        refused = self.refusals(workload)
        if refused:
            first = refused[0]
            return Fact.missing(f"refused: {first.key} is {first.value!r}", first.place)
        return self._templates(workload, call, config)

    def _wish(self, workload: Workload, config: MeshConfig) -> Fact[str]:
        """`yes`, `no` or `default`: what the pod and the injector's selectors ask for."""
        label, annotation = pod_label(workload, INJECT), _annotation(workload, INJECT)
        chosen = annotation if label.known and label.value is None else label
        if not chosen.known:
            return Fact(chosen.state, None, chosen.because, False, chosen.reason)
        if chosen.value in ("true", "false"):
            yes = chosen.value == "true"
            return Fact.of("yes" if yes else "no", *chosen.because, reason="" if yes else "the pod opts out")
        for name, wish in (("neverInjectSelector", "no"), ("alwaysInjectSelector", "yes")):
            selectors = config.injector_value("sidecarInjectorWebhook", name)
            if selectors.known and _any_selects(selectors.value, workload):
                return Fact.of(wish, *selectors.because, reason=f"a {name} matches" if wish == "no" else "")
        return Fact.of("default")

    def _templates(
        self, workload: Workload, call: Fact[str | None], config: MeshConfig
    ) -> Fact[Injected | None]:
        node = workload.annotation_node(TEMPLATES)
        if isinstance(node, Scalar):
            if is_placeholder(node.text):
                place = workload.pod_place("metadata", "annotations", TEMPLATES)
                return Fact.missing("the templates are a template", place)
            names = tuple(name.strip() for name in node.text.split(","))
        else:
            names = _default_templates(config)
        revision = call.value or "default"
        return Fact.of(
            Injected(revision, names), *call.because, certain=call.certain, assumptions=call.assumptions
        )

    @cached_property
    def _custom_templates(self) -> frozenset[str] | None:
        """Names of the templates that the installation adds; None where there is no installation."""
        if not self.mesh.config.installed:
            return None
        templates = self.mesh.config.injector_value("sidecarInjectorWebhook", "templates")
        if not templates.known:
            return None
        return frozenset(templates.value) if isinstance(templates.value, dict) else frozenset()

    def _unknown_template(self, value: str) -> str | None:
        for name in value.split(","):
            if not name.strip():
                return "names of injection templates"
            custom = self._custom_templates
            if name.strip() not in _BUILT_IN_TEMPLATES and custom is not None and name.strip() not in custom:
                return "names of injection templates, such as sidecar or gateway"
        return None


def proxy_container(workload: Workload) -> Mapping | None:
    """The container or init container named istio-proxy."""
    for container in (*workload.app_containers, *workload.init_containers):
        if text_of(container.get("name")) == PROXY:
            return container
    return None


def manual_proxy(workload: Workload) -> Mapping | None:
    """The proxy that `istioctl kube-inject` wrote into the manifest."""
    if STATUS not in workload.annotations:
        return None
    container = proxy_container(workload)
    if container is None:
        return None
    arguments = {argument.text for argument in texts(container.get("args"))}
    return container if {"proxy", "sidecar"} <= arguments else None


def _default_templates(config: MeshConfig) -> tuple[str, ...]:
    names = config.injector_value("sidecarInjectorWebhook", "defaultTemplates")
    written = names.value if names.known else None
    return tuple(str(name) for name in written) if isinstance(written, list) and written else ("sidecar",)


def _annotation(workload: Workload, key: str) -> Fact[str | None]:
    node = workload.annotation_node(key)
    if not isinstance(node, Scalar):
        return Fact.of(None)
    return undecided_or(label_value(node, workload.pod_place("metadata", "annotations", key, part="pair")))


def undecided_or(fact: Fact[str | None]) -> Fact[str | None]:
    return fact if fact.known else undecided(fact)


def _any_selects(selectors: Any, workload: Workload) -> bool:
    items: Iterable[Any] = selectors if isinstance(selectors, list) else ()
    return any(
        isinstance(item, dict) and item and selects(item, lambda key: pod_label(workload, key)) is True
        for item in items
    )


def _refused_type(node: Scalar) -> bool:
    value = node.value
    return value is not None and not isinstance(value, str) and not is_placeholder(node.text)


def _minor(version: str) -> int | None:
    parts = version.removeprefix("v").split(".")
    return int(parts[1]) if len(parts) > 1 and parts[0] == "1" and parts[1].isdigit() else None
