"""Does a webhook call the injector for a pod, and that of which revision? (spec security 1.3)

The webhooks are those of the input where it has them, else those that Istio's charts install.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Mapping as MappingOf
from typing import TYPE_CHECKING, Any

from meshlint.mesh.facts import Fact, all_of, any_of
from meshlint.mesh.labels import INJECT, NAMESPACE_INJECTION, REVISION
from meshlint.mesh.namespaces import IGNORED_NAMESPACES, label_value
from meshlint.mesh.workloads import RUN_TIME_LABELS, Workload
from meshlint.records import dataclass
from meshlint.resources import Place, Resource
from meshlint.source.nodes import Mapping, Node, Scalar, mappings, text_of, texts
from meshlint.source.templates import is_placeholder

if TYPE_CHECKING:
    from meshlint.mesh.mesh import Mesh


_ABSENT: Fact[str | None] = Fact.of(None, reason="the pod has no such label")
_RUN_TIME: Fact[str | None] = Fact.missing("the platform adds this label at run time")

Lookup = Callable[[str], Fact[str | None]]


@dataclass(frozen=True, slots=True)
class Webhook:
    """One webhook of a MutatingWebhookConfiguration that sends pods to istiod."""

    resource: Resource
    node: Mapping
    revision: str
    namespace_selector: MappingOf[str, Any]
    object_selector: MappingOf[str, Any]
    conditional: bool


class Webhooks:
    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.all = list(_webhooks(mesh))

    def call(self, workload: Workload) -> Fact[str | None]:
        """The revision whose injector is called for the pods; None: no injector is called."""
        if self.all:
            answer = self._written(workload)
            if answer is not None:
                return answer
        return self._standard(workload)

    def _written(self, workload: Workload) -> Fact[str | None] | None:
        """The answer of the webhooks in the input; None if others may decide."""
        read: dict[str, Fact[str | None]] = {}
        doubt: Webhook | None = None
        for hook in self.all:
            chosen = self._selects(hook, workload, read)
            if chosen and not hook.conditional:
                place = hook.resource.place(hook.node)
                return Fact.of(hook.revision, *_deciding(read), place, certain=_all_certain(read))
            if chosen is not False and doubt is None:
                doubt = hook
        if doubt is not None:
            place = doubt.resource.place(doubt.node)
            return Fact.missing("whether the webhook selects the pod is not in the input", place)
        if self.mesh.config.installed or self.mesh.settings.complete:
            places = _deciding(read) or (self.all[0].resource.place(),)
            reason = "no webhook of the input selects the pod"
            return Fact.of(None, *places, certain=_all_certain(read), reason=reason)
        return None

    def _selects(self, hook: Webhook, workload: Workload, read: dict[str, Fact[str | None]]) -> bool | None:
        """Does a webhook select the pods? `read` collects the labels that were looked at."""

        def of_namespace(key: str) -> Fact[str | None]:
            fact = read["namespace " + key] = self.mesh.namespaces.label(workload.namespace, key)
            return fact

        def of_pod(key: str) -> Fact[str | None]:
            fact = read["pod " + key] = pod_label(workload, key)
            return fact

        return all_of(selects(hook.namespace_selector, of_namespace), selects(hook.object_selector, of_pod))

    def _standard(self, workload: Workload) -> Fact[str | None]:
        inject = pod_label(workload, INJECT)
        if inject.is_("false"):
            return inject_none(inject, "the pod says so")
        namespace = workload.namespace
        injection = self.mesh.namespaces.label(namespace, NAMESPACE_INJECTION)
        revision = self.mesh.namespaces.label(namespace, REVISION)
        pinned = pod_label(workload, REVISION)
        if not injection.known:
            return undecided(injection)
        if injection.value is not None:
            return self._by_namespace(injection)
        if not revision.known:
            return undecided(revision)
        if revision.value is not None:
            return self._revision(revision, revision.value)
        certain = injection.certain and revision.certain
        return self._by_pod(workload, inject, pinned, certain)

    def _by_namespace(self, injection: Fact[str | None]) -> Fact[str | None]:
        if injection.value != "enabled":
            return inject_none(injection, f"istio-injection is {injection.value!r}, not 'enabled'")
        return self._default(injection)

    def _by_pod(
        self, workload: Workload, inject: Fact[str | None], pinned: Fact[str | None], certain: bool
    ) -> Fact[str | None]:
        for fact in (inject, pinned):
            if not fact.known:
                return undecided(fact)
        if pinned.value is not None:
            answer = self._revision(pinned, pinned.value)
        elif inject.value == "true":
            answer = self._default(inject)
        elif inject.value is None and workload.namespace not in IGNORED_NAMESPACES and self._automatic:
            return self._default(inject)
        else:
            absent = self.mesh.namespaces.label(workload.namespace, NAMESPACE_INJECTION)
            reason = f"neither the namespace {workload.namespace} nor the pod asks for injection"
            return Fact.of(None, *absent.because, certain=certain, reason=reason, assumptions=("A3",))
        return answer if certain else answer.uncertain()

    @property
    def _automatic(self) -> bool:
        value = self.mesh.config.injector_value("sidecarInjectorWebhook", "enableNamespacesByDefault")
        return value.is_(True)

    def _default(self, because: Fact[str | None]) -> Fact[str | None]:
        default = self.mesh.config.default_revision
        if not default.known:
            return Fact.missing(default.reason, *because.because, *default.because)
        if default.value:
            return Fact.of(
                "default", *because.because, certain=because.certain, assumptions=default.assumptions
            )
        return inject_none(because, "no control plane has the default revision")

    def _revision(self, because: Fact[str | None], name: str) -> Fact[str | None]:
        config = self.mesh.config
        revisions = config.revisions
        if name.startswith("asm-") or (name == "default" and config.has_default):
            return Fact.of(name, *because.because, certain=because.certain)
        if revisions.known and name in revisions.value:
            return Fact.of(name, *because.because, certain=because.certain)
        if name == "" or (config.installed and revisions.known and revisions.certain):
            return inject_none(because, f"there is no revision or tag {name!r}")
        return Fact.missing(f"whether there is a revision {name!r} is not in the input", *because.because)


def _deciding(read: MappingOf[str, Fact[str | None]]) -> tuple[Place, ...]:
    """Where the labels stand that the webhooks looked at."""
    return tuple(place for fact in read.values() if fact.known and fact.value for place in fact.because)


def _all_certain(read: MappingOf[str, Fact[str | None]]) -> bool:
    return all(fact.certain for fact in read.values() if fact.known)


def inject_none(because: Fact[str | None], reason: str) -> Fact[str | None]:
    return Fact.of(None, *because.because, certain=because.certain, reason=reason)


def undecided(fact: Fact[str | None]) -> Fact[str | None]:
    """Passes on that (and why) a fact is unknown or disputed."""
    return Fact(fact.state, None, fact.because, False, fact.reason)


def pod_label(workload: Workload, key: str) -> Fact[str | None]:
    """A label of the pods; unknown where the platform adds it at run time."""
    if key not in workload.labels:
        if not workload.labels and not workload.labels_known:
            return Fact.missing("the labels are a template", workload.pod_place("metadata", "labels"))
        return _RUN_TIME if key in RUN_TIME_LABELS else _ABSENT
    node = workload.label_node(key)
    if not isinstance(node, Scalar):
        return _ABSENT
    return label_value(node, workload.pod_place("metadata", "labels", key, part="pair"))


def selects(selector: MappingOf[str, Any] | None, lookup: Lookup) -> bool | None:
    """Does a LabelSelector (plain data) select an object? An empty one selects everything."""
    labels = (selector or {}).get("matchLabels") or {}
    expressions = (selector or {}).get("matchExpressions") or ()
    return all_of(
        *(_in(lookup(str(key)), [value]) for key, value in labels.items()),
        *(_expression(expression, lookup) for expression in expressions),
    )


def plain_selector(node: Node | None) -> MappingOf[str, Any]:
    """A LabelSelector as plain data; an absent one is empty."""
    plain = node.plain() if node is not None else None
    return plain if isinstance(plain, dict) else {}


def _expression(expression: MappingOf[str, Any], lookup: Lookup) -> bool | None:
    fact = lookup(str(expression.get("key", "")))
    operator, values = expression.get("operator"), expression.get("values") or []
    if operator == "Exists":
        return fact.value is not None if fact.known else None
    if operator == "DoesNotExist":
        return fact.value is None if fact.known else None
    inside = _in(fact, values)
    if operator == "In":
        return inside
    if operator == "NotIn":
        return None if inside is None else not inside
    return None


def _in(fact: Fact[str | None], values: list[Any]) -> bool | None:
    if not fact.known:
        return None
    if any_of(*(is_placeholder(value) for value in values if isinstance(value, str))):
        return None
    return fact.value in values if fact.value is not None else False


def _webhooks(mesh: Mesh) -> Iterator[Webhook]:
    for resource in mesh.scope.of("admissionregistration.k8s.io", "MutatingWebhookConfiguration"):
        for node in resource.mappings("webhooks"):
            if not _injects(node):
                continue
            yield Webhook(
                resource,
                node,
                _revision_of(resource, node),
                plain_selector(node.get("namespaceSelector")),
                plain_selector(node.get("objectSelector")),
                node.get("matchConditions") is not None,
            )


def _injects(node: Mapping) -> bool:
    name = text_of(node.get("name")) or ""
    service = text_of(node.dig("clientConfig", "service", "name")) or ""
    if not name.endswith("istio.io") and not service.startswith("istiod"):
        return False
    return any(
        resource.text in ("pods", "*", "*/*")
        for rule in mappings(node.get("rules"))
        for resource in texts(rule.get("resources"))
    )


def _revision_of(resource: Resource, node: Mapping) -> str:
    service = text_of(node.dig("clientConfig", "service", "name")) or ""
    return resource.labels.get(REVISION) or service.removeprefix("istiod").removeprefix("-") or "default"
