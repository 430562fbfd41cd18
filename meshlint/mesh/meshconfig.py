"""What does the mesh configuration say, and where was it read? (spec security 7)

Facts about a field are resolved as in spec security 7.4: sources that state a field must agree; where
they do not, that field alone is disputed. `of_revision` narrows everything to one control plane.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from meshlint.mesh.facts import Fact
from meshlint.mesh.installations import Layer, Source, from_settings, is_kyma, sources_of
from meshlint.mesh.revisions import Revisions
from meshlint.records import dataclass
from meshlint.resources import Place
from meshlint.source.nodes import Mapping, Node, Scalar, text_of
from meshlint.source.templates import is_placeholder

if TYPE_CHECKING:
    from meshlint.mesh.mesh import Mesh

#: Providers that every mesh has, with the field that makes them (spec security 7.2).
BUILT_IN_PROVIDERS: Final = {
    "prometheus": "prometheus",
    "stackdriver": "stackdriver",
    "envoy": "envoyFileAccessLog",
}
#: Defaults of fields that rules ask for; an unset field counts as stated with these (spec security 7.2).
DEFAULTS: Final[dict[tuple[str, ...], Any]] = {
    ("rootNamespace",): "istio-system",
    ("trustDomain",): "cluster.local",
    ("enableAutoMtls",): True,
    ("outboundTrafficPolicy", "mode"): "ALLOW_ANY",
    ("inboundTrafficPolicy", "mode"): "PASSTHROUGH",
    ("pathNormalization", "normalization"): "DEFAULT",
    ("defaultConfig", "holdApplicationUntilProxyStarts"): False,
    ("defaultConfig", "interceptionMode"): "REDIRECT",
}


@dataclass(frozen=True, slots=True, eq=False)
class _Vote:
    """What one source says about a field; `places` stand for the layers that said it."""

    source: Source
    stated: bool
    value: Any = None
    places: tuple[Place, ...] = ()
    templated: bool = False


class MeshConfig:
    """The configuration of all control planes of the input, or of one revision of them."""

    def __init__(self, mesh: Mesh, sources: list[Source] | None = None) -> None:
        self.mesh = mesh
        #: everything that was found, most rendered first
        self.sources: list[Source] = sources_of(mesh) if sources is None else sources
        self._own = from_settings(mesh)
        self._facts: dict[tuple[str, tuple[str, ...]], Fact[Any]] = {}
        self._features: dict[str, Fact[str | None]] = {}
        self._by_revision: dict[str, MeshConfig] = {}

    # -- which control planes -----------------------------------------------------------------

    @cached_property
    def kyma(self) -> bool:
        return is_kyma(self.mesh)

    @cached_property
    def installed(self) -> bool:
        """Is a control plane part of the input?"""
        return any(s.installs and not s.assumed for s in self.sources)

    @cached_property
    def _revisions(self) -> Revisions:
        return Revisions(self.mesh, self.sources)

    @property
    def revisions(self) -> Fact[frozenset[str]]:
        """Names that a revision label may use: revisions and tags, 'default' for the unnamed one."""
        return self._revisions.names

    @property
    def declares_tags(self) -> bool:
        """Are revision tags part of the input, rather than made on the command line?"""
        return self._revisions.declares_tags

    @property
    def default_revision(self) -> Fact[bool]:
        """Does anything answer for `istio-injection: enabled`?"""
        return self._revisions.has_default

    @property
    def has_default(self) -> bool:
        """`default_revision` as a plain answer; True where the input does not tell (assumption A2)."""
        return self.default_revision.or_else(True)

    def revision_of(self, name: str) -> str:
        """The revision behind a tag ('' for the default one); a name that is no tag is itself."""
        return self._revisions.behind(name)

    def of_revision(self, name: str) -> MeshConfig:
        """The configuration that one control plane reads; `name` is a revision or a tag."""
        revision = self.revision_of(name)
        if revision not in self._by_revision:
            own = [s for s in self.sources if _may_be(s.revision, revision)]
            self._by_revision[revision] = self if own == self.sources else MeshConfig(self.mesh, own)
        return self._by_revision[revision]

    @cached_property
    def ambient_evidence(self) -> tuple[Place, ...]:
        """Objects and settings that show an ambient installation (spec security 2.1)."""
        return tuple(self._revisions.ambient_evidence())

    # -- fields of the mesh configuration --------------------------------------------------------

    def setting(self, *path: str) -> Fact[Any]:
        """Plain data of a field of MeshConfig; None if it is unset everywhere."""
        return self._fact("mesh", path, "A4")

    def injector_value(self, *path: str) -> Fact[Any]:
        """Plain data of a value of the istiod chart, such as global.proxy.autoInject; None if unset."""
        return self._fact("values", path, "A3")

    def feature(self, name: str) -> Fact[str | None]:
        """The text of an environment variable of istiod; None if it is unset (spec security 7.6)."""
        if name not in self._features:
            self._features[name] = self._feature(name)
        return self._features[name]

    def _feature(self, name: str) -> Fact[str | None]:
        found = self._fact("env", (name,), "A8")
        if not found.known:
            return found
        if found.value is None:
            if any(s.compatibility for s in self.sources):
                return Fact.missing(f"a compatibility version may change {name}")
            ambient = name == "PILOT_ENABLE_AMBIENT" and any("ambient" in s.profile for s in self.sources)
            return Fact.of("true", reason="profile ambient") if ambient else found
        value = found.value
        if isinstance(value, dict):
            return Fact.missing(f"{name} is read from another object", *found.because)
        text = str(value).lower() if isinstance(value, bool) else str(value)
        return Fact.of(text, *found.because, certain=found.certain)

    @cached_property
    def root_namespace(self) -> Fact[str]:
        stated = self.mesh.settings.root_namespace
        if stated:
            return Fact.of(stated, reason="the configuration file")
        field = self.setting("rootNamespace")
        if not field.known or isinstance(field.value, str):
            return field
        return self._installed_in()

    @cached_property
    def root(self) -> str:
        """The root namespace, or the assumed one."""
        return self.root_namespace.or_else("istio-system")

    @cached_property
    def trust_domain(self) -> Fact[str]:
        return self._typed(self.setting("trustDomain"), str, "cluster.local")

    @cached_property
    def trust_domain_aliases(self) -> Fact[list[str]]:
        return self._typed(self.setting("trustDomainAliases"), list, [])

    @cached_property
    def auto_mtls(self) -> Fact[bool]:
        return self._typed(self.setting("enableAutoMtls"), bool, True)

    @cached_property
    def domain_suffix(self) -> str:
        """The DNS domain of the cluster."""
        found = self.injector_value("global", "proxy", "clusterDomain")
        return found.value if found.known and isinstance(found.value, str) else "cluster.local"

    @cached_property
    def extension_providers(self) -> Fact[dict[str, str]]:
        """Name of a provider -> the field that makes it (`envoyExtAuthzHttp`), built-in ones included.

        Of sources that differ, all providers count. An absent name is a fact only if this is certain.
        """
        providers = dict(BUILT_IN_PROVIDERS)
        places: list[Place] = []
        certain = self._complete("mesh")
        own = [self._own] if self._own is not None else []
        for source in (*own, *self._speaking("mesh")):
            if self._broken(source):
                return Fact.missing(self._broken(source), *_whole(source))
            for layer, node in _entries(source):
                name = text_of(node.get("name"))
                if name is None or is_placeholder(name):
                    certain = False
                    continue
                providers[name] = next((key for key in node if key != "name"), "")
                places += [Place(layer.resource, node)] if layer.resource else []
        return Fact.of(providers, *places, certain=certain, assumptions=() if certain else ("A4",))

    @cached_property
    def problems(self) -> list[tuple[str, Place]]:
        """What istiod would refuse in the mesh configuration; each with its place."""
        from meshlint.mesh.meshconfig_validity import problems_of

        found = []
        for source in self.sources:
            if source.resource is not None:
                found += [(text, Place(source.resource, node)) for text, node in source.problems]
                found += problems_of(source)
        return found

    # -- resolution -----------------------------------------------------------------------------

    def _fact(self, tree: str, path: tuple[str, ...], assumption: str) -> Fact[Any]:
        key = (tree, path)
        if key not in self._facts:
            self._facts[key] = self._resolve(tree, path, assumption)
        return self._facts[key]

    def _resolve(self, tree: str, path: tuple[str, ...], assumption: str) -> Fact[Any]:
        if self._own is not None and tree == "mesh":
            own = _vote(self._own, tree, path)
            if own.stated:
                return Fact.of(own.value, reason="the configuration file")
        speaking = self._speaking(tree)
        broken = next((s for s in speaking if tree == "mesh" and self._broken(s)), None)
        if broken is not None:
            return Fact.missing(self._broken(broken), *_whole(broken))
        votes = [_vote(source, tree, path) for source in speaking]
        stated = [vote for vote in votes if vote.stated]
        places = tuple(place for vote in stated for place in vote.places)
        name = ".".join(path)
        if any(vote.templated for vote in stated):
            return Fact.missing(f"{name} is templated", *places)
        if not stated:
            certain = self._complete(tree)
            return Fact.of(None, certain=certain, assumptions=() if certain else (assumption,))
        decided = _decide(name, DEFAULTS.get(path), votes, stated, places)
        return decided.uncertain(assumption) if decided.known and not decided.certain else decided

    def _speaking(self, tree: str) -> list[Source]:
        return [s for s in self.sources if getattr(s, tree) is not None]

    def _broken(self, source: Source) -> str:
        if source.broken or source.resource is None:
            return source.broken
        here = source.resource
        bad = next((text for text, place in self.problems if place.resource is here), "")
        return f"{source.title} is not valid: {bad}" if bad else ""

    def _complete(self, tree: str) -> bool:
        """Would a field that no source states really be unset?"""
        if tree == "mesh" and self._own is not None:
            return True
        speaking = [s for s in self._speaking(tree) if s.installs or s.kind == "injector"]
        return bool(speaking) and not any(s.partial for s in self._speaking(tree))

    def _installed_in(self) -> Fact[str]:
        """The namespace of the control plane is the root namespace where no field names another."""
        homes = [s for s in self.sources if s.namespace and s.kind != "injector"]
        names = {s.namespace or "" for s in homes}
        places = tuple(s.resource.place() for s in homes if s.resource is not None)
        if not names:
            return Fact.of("istio-system", certain=False, assumptions=("A1",))
        if any(is_placeholder(name) for name in names):
            return Fact.missing("the namespace of the control plane is templated", *places)
        if len(names) > 1:
            return Fact.disputed(f"control planes in several namespaces: {_listed(names)}", *places)
        certain = any(s.installs and not s.assumed for s in homes)
        return Fact.of(names.pop(), *places, certain=certain, assumptions=() if certain else ("A1",))

    @staticmethod
    def _typed(found: Fact[Any], kind: type, default: Any) -> Fact[Any]:
        if not found.known or isinstance(found.value, kind):
            return found
        if found.value is None:
            return Fact.of(default, certain=found.certain, assumptions=found.assumptions)
        return Fact.missing("the value has the wrong type", *found.because)


def _may_be(revision: str | None, wanted: str) -> bool:
    return revision is None or revision == wanted or is_placeholder(revision)


def _decide(
    name: str, default: Any, votes: list[_Vote], stated: list[_Vote], places: tuple[Place, ...]
) -> Fact[Any]:
    value = stated[0].value
    if any(vote.value != value for vote in stated):
        who = _listed({vote.source.title for vote in stated})
        if all(vote.source.kind == "values" for vote in stated):
            return Fact.missing(f"{name} differs between the values files {who}", *places)
        return Fact.disputed(f"{name} is set differently by {who}", *places)
    # an object of the same kind that leaves the field out has the default
    kinds = {vote.source.kind for vote in stated} - {"values"}
    silent = [vote.source for vote in votes if not vote.stated and vote.source.kind in kinds]
    if silent and value != default:
        return Fact.disputed(
            f"{name} is set by {stated[0].source.title} and not by {silent[0].title}", *places
        )
    return Fact.of(value, *places, certain=any(not vote.source.assumed for vote in stated))


def _vote(source: Source, tree: str, path: tuple[str, ...]) -> _Vote:
    values: list[Any] = []
    places: list[Place] = []
    templated = False
    for layer in getattr(source, tree) or ():
        found = _look(layer, path)
        if found is None:
            continue
        node, nested = found
        if node is not None and layer.resource is not None:
            places.append(Place(layer.resource, node))
        if isinstance(node, Scalar) and is_placeholder(node.text):
            templated = True
        value: Any = node.plain()
        for step in reversed(nested):
            value = {step: value}
        values.append(value)
        if not isinstance(value, dict):
            break
    if not values:
        return _Vote(source, False)
    return _Vote(source, True, _merged(values), tuple(places), templated)


def _look(layer: Layer, path: tuple[str, ...]) -> tuple[Node, tuple[str, ...]] | None:
    """The node that a layer has for a path; the second part is what lies between path and node."""
    depth = len(layer.at)
    if layer.at[: len(path)] == path and depth > len(path):
        return layer.node, layer.at[len(path) :]
    if path[:depth] != layer.at:
        return None
    node: Node | None = layer.node
    for step in path[depth:]:
        if isinstance(node, Scalar) and is_placeholder(node.text):
            return node, ()
        node = node.dig(step) if node is not None else None
    if node is None or (isinstance(node, Scalar) and node.value is None):
        return None
    return node, ()


def _merged(values: list[Any]) -> Any:
    """Mappings are merged key by key, the first value wins; anything else replaces."""
    first = values[0]
    if not isinstance(first, dict):
        return first
    result: dict[str, Any] = {}
    for value in reversed([v for v in values if isinstance(v, dict)]):
        result = _overlay(result, value)
    return result


def _overlay(base: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in top.items():
        old = merged.get(key)
        merged[key] = _overlay(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _entries(source: Source) -> Iterator[tuple[Layer, Mapping]]:
    for layer in source.mesh or ():
        found = _look(layer, ("extensionProviders",))
        for node in getattr(found[0], "items", ()) if found else ():
            if isinstance(node, Mapping):
                yield layer, node


def _whole(source: Source) -> tuple[Place, ...]:
    return (source.resource.place(),) if source.resource is not None else ()


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names))
