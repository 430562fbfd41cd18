"""Which revisions and tags does the input define, and which one is the default? (spec security 6.4)"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from meshlint.mesh.facts import Fact
from meshlint.mesh.installations import (
    AMBIENT_PROFILES,
    INSTALL,
    KYMA_OPERATOR,
    SAIL,
    Release,
    Source,
    releases,
)
from meshlint.mesh.labels import REVISION
from meshlint.resources import Place, Resource
from meshlint.source.nodes import Node, text_of, texts
from meshlint.source.templates import is_placeholder

if TYPE_CHECKING:
    from meshlint.mesh.mesh import Mesh

_NEVER = "istio.io/deactivated"


class Revisions:
    def __init__(self, mesh: Mesh, sources: list[Source]) -> None:
        self._mesh = mesh
        self._names: dict[str, Place | None] = {}
        self._tags: dict[str, str] = {}
        self._unknown: list[Place] = []
        self._installed = False
        self._only_operators = True
        self._releases = list(releases(mesh))
        for source in sources:
            self._install(source)
        for resource in mesh.scope.of("admissionregistration.k8s.io", "MutatingWebhookConfiguration"):
            self._webhook(resource)
        for resource in mesh.scope.of(SAIL, "IstioRevisionTag"):
            self._tag(resource.name, text_of(resource.get("spec", "targetRef", "name")), resource.place())
        for resource, release in self._releases:
            self._default_chart(resource, release)

    @property
    def names(self) -> Fact[frozenset[str]]:
        if self._unknown:
            return Fact.missing("the name of a revision is templated or not told", *self._unknown)
        if not self._installed:
            known = frozenset({"default", *self._names})
            return Fact.of(known, certain=False, assumptions=("A2",))
        places = [place for place in self._names.values() if place is not None]
        return Fact.of(frozenset(self._names), *places)

    @property
    def has_default(self) -> Fact[bool]:
        if "default" in self._names:
            place = self._names["default"]
            return Fact.of(True, *([place] if place else []))
        if not self._installed:
            return Fact.of(True, certain=False, assumptions=("A2",))
        if self._unknown or self._only_operators:
            return Fact.missing("the first revision that istioctl installs may become the default one")
        return Fact.of(False)

    @property
    def declares_tags(self) -> bool:
        return any(tag != "default" for tag in self._tags)

    def behind(self, name: str) -> str:
        name = self._tags.get(name, name)
        return "" if name == "default" else name

    def ambient_evidence(self) -> Iterator[Place]:
        scope = self._mesh.scope
        for resource in scope.of("apps", "DaemonSet"):
            if resource.name == "ztunnel":
                yield resource.place()
        for resource in scope.of(SAIL, "ZTunnel", "IstioCNI", "Istio", "IstioRevision"):
            profile = resource.get("spec", "profile")
            if resource.kind == "ZTunnel" or text_of(profile) in AMBIENT_PROFILES:
                yield resource.place(profile)
        for resource in scope.of(INSTALL, "IstioOperator"):
            yield from self._operator_ambient(resource)
        for resource in scope.of(KYMA_OPERATOR, "Istio"):
            enabled = resource.get("spec", "experimental", "enableAmbient")
            if text_of(enabled) == "true":
                yield resource.place(enabled)
        for resource, release in self._releases:
            profile_text = release.text("profile") or release.text("global", "profile")
            enabled_text = release.text("pilot", "env", "PILOT_ENABLE_AMBIENT")
            if release.chart == "ztunnel" or profile_text in AMBIENT_PROFILES or enabled_text == "true":
                yield resource.place(release.node)

    def _operator_ambient(self, resource: Resource) -> Iterator[Place]:
        profile = resource.get("spec", "profile")
        if text_of(profile) in AMBIENT_PROFILES:
            yield resource.place(profile)
        for path in (
            ("components", "ztunnel", "enabled"),
            ("values", "pilot", "env", "PILOT_ENABLE_AMBIENT"),
        ):
            node = resource.get("spec", *path)
            if text_of(node) == "true":
                yield resource.place(node)

    def _install(self, source: Source) -> None:
        place = source.resource.place() if source.resource is not None else None
        if source.installs and not source.assumed:
            self._installed = True
            self._only_operators &= source.kind == "operator"
            if source.revision is None or is_placeholder(source.revision):
                self._unknown += [place] if place else []
            else:
                self._names.setdefault(source.revision or "default", place)
        for layer in source.values or ():
            tags = layer.node.dig("revisionTags") if not layer.at else None
            for tag in texts(tags):
                self._tag(
                    tag.text, source.revision or "", Place(layer.resource, tag) if layer.resource else place
                )

    def _webhook(self, resource: Resource) -> None:
        revision = resource.labels.get(REVISION)
        tag = resource.labels.get("istio.io/tag")
        if (revision is None and tag is None) or all(_deactivated(h) for h in resource.mappings("webhooks")):
            return
        self._only_operators = False
        if tag is not None:
            self._tag(tag, revision, resource.place_at("metadata", "labels", "istio.io/tag"))
        elif revision:
            place = resource.place_at("metadata", "labels", REVISION)
            self._name(revision, place)

    def _default_chart(self, resource: Resource, release: Release) -> None:
        if release.chart == "base":
            revision = release.text("defaultRevision")
            if revision:
                self._only_operators = False
                self._tag("default", revision, resource.place(release.node))

    def _tag(self, tag: str, revision: str | None, place: Place | None) -> None:
        self._name(tag, place)
        if revision is not None and not is_placeholder(revision):
            self._tags.setdefault(tag, revision)

    def _name(self, name: str, place: Place | None) -> None:
        if is_placeholder(name):
            self._unknown += [place] if place else []
        else:
            self._names.setdefault(name, place)


def _deactivated(hook: Node) -> bool:
    for selector in ("namespaceSelector", "objectSelector"):
        expressions = hook.dig(selector, "matchExpressions")
        labels = hook.dig(selector, "matchLabels")
        if labels is not None and labels.dig(_NEVER) is not None:
            return True
        for item in getattr(expressions, "items", ()):
            if text_of(item.dig("key")) == _NEVER:
                return True
    return False
