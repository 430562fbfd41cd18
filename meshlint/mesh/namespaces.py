"""Which labels does each namespace carry? (spec security 1.2)

Labels come from Namespace objects (all definitions of one name together) and from Argo CD's
`managedNamespaceMetadata`. Two definitions with different values are a dispute; a namespace that
the input does not define is unknown, unless the input is the whole mesh.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

from meshlint.mesh.facts import Fact
from meshlint.mesh.labels import NAMESPACE_INJECTION
from meshlint.mesh.scope import ARGO, Evidence
from meshlint.resources import Place, Resource
from meshlint.source.nodes import Mapping, Scalar, text_of
from meshlint.source.templates import is_placeholder

if TYPE_CHECKING:
    from meshlint.mesh.mesh import Mesh

#: namespaces whose pods the injector never touches
IGNORED_NAMESPACES = frozenset({"kube-system", "kube-public", "kube-node-lease", "local-path-storage"})

#: labels of namespaces that the platform itself sets: platform -> namespace -> labels
PLATFORM_LABELS: dict[str, dict[str, dict[str, str]]] = {
    "kyma": {"kyma-system": {NAMESPACE_INJECTION: "enabled"}},
}

_MANAGED_LABELS = ("syncPolicy", "managedNamespaceMetadata", "labels")


class Namespaces:
    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        #: every definition of a namespace, in input order
        self.definitions: dict[str, list[Resource]] = defaultdict(list)
        #: labels of a namespace: where they are written (the resource and the labels mapping)
        self._labels: dict[str, list[tuple[Resource, Mapping]]] = defaultdict(list)
        self._templated: dict[str, Place] = {}
        for resource in mesh.scope.of("", "Namespace"):
            self.definitions[resource.name].append(resource)
            labels = resource.get("metadata", "labels")
            if isinstance(labels, Mapping):
                self._labels[resource.name].append((resource, labels))
            elif isinstance(labels, Scalar) and labels.value is not None:
                self._templated[resource.name] = resource.place(labels)
        for name, resource, labels in _managed(mesh):
            self._labels[name].append((resource, labels))
        self._cache: dict[tuple[str, str], Fact[str | None]] = {}

    def known(self, namespace: str) -> bool:
        """Does the input define the namespace?"""
        return namespace in self.definitions

    def label(self, namespace: str, key: str) -> Fact[str | None]:
        """The value of a label; None is known to be absent. `because` is the value."""
        fact = self._cache.get((namespace, key))
        if fact is None:
            fact = self._cache[namespace, key] = self._label(namespace, key)
        return fact

    def labels(self, namespace: str) -> dict[str, str] | None:
        """All labels for selectors; None where they are not known for sure."""
        if not self.known(namespace) and self._evidence(namespace) is not Evidence.CLOSED:
            return None
        labels = {"kubernetes.io/metadata.name": namespace}
        for _, written in self._labels.get(namespace, ()):
            for key in written:
                fact = self.label(namespace, key)
                if not fact.known:
                    return None
                if fact.value is not None:
                    labels[key] = fact.value
        return labels

    def _label(self, namespace: str, key: str) -> Fact[str | None]:
        if key == "kubernetes.io/metadata.name":
            return Fact.of(namespace, reason="set by the API server")
        if namespace in self._templated:
            return Fact.missing("the labels are a template", self._templated[namespace])
        written = [
            (place, node)
            for resource, labels in self._labels.get(namespace, ())
            for node in [labels.get(key)]
            if node is not None
            for place in [Place(resource, node, "pair", labels.key(key))]
        ]
        if not written:
            return self._absent(namespace, key)
        places = [place for place, _ in written]
        facts = [label_value(node, place) for place, node in written if isinstance(node, Scalar)]
        unusable = [fact for fact in facts if not fact.known]
        if unusable or not facts:
            return unusable[0] if unusable else Fact.missing(f"the label {key} is not a text", *places)
        if len({fact.value for fact in facts}) > 1:
            return Fact.disputed(f"definitions of the namespace {namespace} disagree on {key}", *places)
        everywhere = len(written) >= len(self.definitions.get(namespace, ()))
        return Fact.of(facts[0].value, *places, certain=everywhere)

    def _absent(self, namespace: str, key: str) -> Fact[str | None]:
        platform = PLATFORM_LABELS.get(self._platform, {}).get(namespace, {})
        if key in platform:
            return Fact.of(platform[key], reason=f"set by {self._platform}")
        closed = self._evidence(namespace) is Evidence.CLOSED
        definitions = self.definitions.get(namespace)
        if definitions:
            places = [label_home(r) for r in definitions]
            return Fact.of(None, *places, certain=closed, reason=f"the namespace has no label {key}")
        if closed:
            return Fact.of(None, reason="the namespace is not defined", assumptions=("A7",))
        return Fact.missing(f"the namespace {namespace} is not in the input")

    @property
    def _platform(self) -> str:
        return "kyma" if self.mesh.config.kyma else self.mesh.settings.platform

    def _evidence(self, namespace: str) -> Evidence:
        settings = self.mesh.settings
        closed = settings.complete or namespace in settings.complete_namespaces
        if settings.present and self.mesh.scope.beside.holds("Namespace", namespace):
            return Evidence.OPEN
        return Evidence.CLOSED if closed else Evidence.OPEN


def label_home(resource: Resource) -> Place:
    """Where a label that is missing would go: the key `labels`, or the name where there is none."""
    if resource.mapping("metadata", "labels") is None:
        return resource.place()
    return resource.place_at("metadata", "labels", part="key")


def label_value(node: Scalar, place: Place) -> Fact[str | None]:
    """The text of a label or annotation; unknown where it is templated or where Kubernetes refuses it."""
    value = node.value
    if is_placeholder(node.text):
        return Fact.missing("the value is a template", place)
    if value is None:
        if _filled_by_ytt(node, place):
            return Fact.missing("the value is a template", place)
        return Fact.of("", place)
    if not isinstance(value, str):
        return Fact.missing(f"Kubernetes refuses {node.text}, which is no string", place)
    return Fact.of(value, place)


def _filled_by_ytt(node: Scalar, place: Place) -> bool:
    """Does a comment of ytt after a null stand for the value? (spec repositories 2)"""
    text = place.resource.file.text
    line = text.find("\n", node.end)
    return "#@" in text[node.end : line if line >= 0 else len(text)]


def _managed(mesh: Mesh) -> Iterator[tuple[str, Resource, Mapping]]:
    """Labels that Argo CD gives to the namespace it creates."""
    for kind, path in (("Application", ("spec",)), ("ApplicationSet", ("spec", "template", "spec"))):
        for resource in mesh.scope.of(ARGO, kind):
            labels = resource.mapping(*path, *_MANAGED_LABELS)
            name = text_of(resource.get(*path, "destination", "namespace"))
            if labels is not None and name and not is_placeholder(name):
                yield name, resource, labels
