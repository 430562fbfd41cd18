"""Which resources belong to one mesh, how to find them, and what may exist outside of the input?

All look-ups are dictionary look-ups. Several versions of one object (same group, kind, namespace
and name, spec repositories 4) are *alternatives*: `find` returns all of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshlint.mesh.beside import Beside
from meshlint.records import dataclass

if TYPE_CHECKING:
    from meshlint.resources import Resource

ISTIO_NETWORKING = "networking.istio.io"
ISTIO_SECURITY = "security.istio.io"
ISTIO_TELEMETRY = "telemetry.istio.io"
ISTIO_EXTENSIONS = "extensions.istio.io"
GATEWAY_API = "gateway.networking.k8s.io"
KYMA_GATEWAY = "gateway.kyma-project.io"
ARGO = "argoproj.io"


class Evidence(IntEnum):
    """How sure is it that all objects of a kind in a namespace are in the input?"""

    OPEN = 0  #: nothing says so: absence is unknown
    LIKELY = 1  #: objects of that kind and namespace are there; absence is worth a low confidence
    CLOSED = 2  #: the user said that the input is complete


@dataclass(frozen=True, slots=True)
class Settings:
    """What the user says about a mesh: the part of the configuration that the model reads.

    `complete` True means the input is the whole mesh; a set of namespaces means all of those.
    `mesh_config` is a MeshConfig as plain data, from the configuration file.
    `may_exist` holds (kind, name) pairs seen in templated files; `remainder` is True when templates
    or unbuilt overlays could add anything. `present` names what is in the cluster and not in the input, per
    kind (`beside`). Versions are releases such as ``1.28``, '' for the newest known.
    `upgrade_from` and `upgrade_to` are releases of Istio, both or none.
    """

    platform: str = ""
    complete: bool = False
    complete_namespaces: frozenset[str] = frozenset()
    root_namespace: str = ""
    mesh_config: Mapping[str, Any] | None = None
    production_namespaces: tuple[str, ...] = ()
    public_paths: tuple[str, ...] = ()
    istio_version: str = ""
    gateway_api_version: str = ""
    gateway_api_channel: str = "standard"
    kubernetes_version: str = ""
    upgrade_from: str = ""
    upgrade_to: str = ""
    crds: tuple[Path, ...] = ()
    may_exist: frozenset[tuple[str, str]] = frozenset()
    remainder: bool = False
    present: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(slots=True)
class Scope:
    """One mesh's worth of resources, indexed."""

    resources: tuple[Resource, ...]
    settings: Settings = field(default_factory=Settings)
    kinds: frozenset[str] = field(init=False)
    beside: Beside = field(init=False)
    _kinds: dict[tuple[str, str], list[Resource]] = field(init=False)
    _identities: dict[tuple[str, str, str, str], list[Resource]] = field(init=False)
    _namespaced: dict[tuple[str, str, str], list[Resource]] = field(init=False)
    _inhabited: set[str] = field(init=False)
    _galleries: frozenset[tuple[str, str, str]] | None = field(init=False)

    def __init__(self, resources: Iterable[Resource], settings: Settings | None = None) -> None:
        self.resources = tuple(resources)
        self.settings = settings or Settings()
        self.beside = Beside(self.settings.present)
        kinds: dict[tuple[str, str], list[Resource]] = defaultdict(list)
        identities: dict[tuple[str, str, str, str], list[Resource]] = defaultdict(list)
        namespaced: dict[tuple[str, str, str], list[Resource]] = defaultdict(list)
        inhabited = set()
        for resource in self.resources:
            group, kind, namespace = resource.group, resource.kind, resource.ns
            kinds[group, kind].append(resource)
            identities[group, kind, namespace, resource.name].append(resource)
            namespaced[group, kind, namespace].append(resource)
            inhabited.add(namespace)
        self.kinds = frozenset(kind for _, kind in kinds)
        self._kinds = dict(kinds)
        self._identities = dict(identities)
        self._namespaced = dict(namespaced)
        self._inhabited = inhabited
        self._galleries = None

    def of(self, group: str, *kinds: str) -> list[Resource]:
        """All resources of the kinds of a group (any version), in input order per kind."""
        if len(kinds) == 1:
            return self._kinds.get((group, kinds[0]), [])
        return [r for kind in kinds for r in self._kinds.get((group, kind), ())]

    def within(self, group: str, kind: str, namespace: str) -> list[Resource]:
        """All resources of a kind in a namespace."""
        return self._namespaced.get((group, kind, namespace), [])

    def find(self, group: str, kind: str, namespace: str, name: str) -> list[Resource]:
        """All alternatives of one object; [] if the input has none. Namespace '' if cluster-scoped."""
        return self._identities.get((group, kind, namespace, name), [])

    def alternatives(self, resource: Resource) -> list[Resource]:
        """The other versions of the same object."""
        return [r for r in self._identities.get(resource.key, ()) if r is not resource]

    def in_gallery(self, resource: Resource) -> bool:
        """Do files of its folder hold several versions of some object of its kind?

        Then nobody applies them all: they are variants to choose from, such as steps of a course.
        """
        if self._galleries is None:
            self._galleries = frozenset(self._folders_with_versions())
        return (_folder(resource), resource.group, resource.kind) in self._galleries

    def _folders_with_versions(self) -> Iterator[tuple[str, str, str]]:
        for (group, kind, _, _), versions in self._identities.items():
            if len(versions) > 1:
                files = {version.file.path: _folder(version) for version in versions}
                folders = list(files.values())
                yield from ((folder, group, kind) for folder in folders if folders.count(folder) > 1)

    def evidence(self, group: str, kind: str, namespace: str) -> Evidence:
        """May the absence of an object of this kind and namespace be taken as a fact?"""
        settings = self.settings
        if settings.present and self.beside.may_apply(kind, namespace):
            return Evidence.OPEN
        if settings.complete or namespace in settings.complete_namespaces:
            return Evidence.CLOSED
        if not settings.remainder and (group, kind, namespace) in self._namespaced:
            return Evidence.LIKELY
        return Evidence.OPEN

    def may_exist(self, kind: str, name: str, namespace: str | None = None) -> bool:
        """Could a templated file define such an object, or does the user say that there is one?"""
        settings = self.settings
        if (kind, name) in settings.may_exist:
            return True
        return bool(settings.present) and self.beside.holds(kind, name, namespace)

    def some_may_exist(self, kind: str) -> bool:
        """The same for whatever name."""
        return self.beside.any_of(kind) or any(kind == other for other, _ in self.settings.may_exist)

    def inhabited(self, namespace: str) -> bool:
        """Does any resource of the input live in the namespace?"""
        return namespace in self._inhabited


def _folder(resource: Resource) -> str:
    return resource.file.path.rpartition("/")[0]
