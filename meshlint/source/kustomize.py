"""What do the kustomizations of the input change, and which files are only parts of objects?

Overlays are not built (spec repositories 3). So four things are found out: which files are patches
or data and no objects; in which namespaces builds put the objects of a file; what builds change in
them (`patches`, `changes`); and where builds add or rename objects that nobody here sees.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import field

from meshlint.records import dataclass
from meshlint.source.changes import Changes
from meshlint.source.discover import is_kustomization
from meshlint.source.files import Document, SourceFile
from meshlint.source.nodes import Mapping, Node, Scalar, Sequence, mappings, text_of, texts
from meshlint.source.patches import changes_of

#: fields that change names, namespaces, labels, ports or hosts, or bring objects from elsewhere
_TRANSFORMERS = (
    "namePrefix", "nameSuffix", "commonLabels", "labels", "patches", "patchesStrategicMerge",
    "patchesJson6902", "replacements", "vars", "components", "helmCharts", "helmChartInflationGenerator",
    "transformers", "generators",
)  # fmt: skip
#: those that bring objects that are not in the input
_GENERATORS = ("helmCharts", "helmChartInflationGenerator", "generators")
_RENAMERS = ("namePrefix", "nameSuffix", "transformers")
_LISTS_OF_OBJECTS = ("resources", "bases", "components")
_LISTS_OF_OTHER_FILES = (
    "patchesStrategicMerge", "transformers", "generators", "validators", "configurations", "crds",
)  # fmt: skip


@dataclass(slots=True, eq=False)
class _Kustomization:
    """`builds` are the namespaces that builds of it, and of those that include it, give its objects.

    `components` are those of `included` that change its own objects. `changes` are kept by whether they
    are sure.
    """

    path: str
    root: Mapping
    namespace: str | None
    included: list[_Kustomization] = field(default_factory=list)
    components: list[_Kustomization] = field(default_factory=list)
    including: list[_Kustomization] = field(default_factory=list)
    builds: set[str | None] = field(default_factory=set)
    changes: dict[bool, Changes] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        return posixpath.normpath(posixpath.dirname(self.path))

    def paths(self, *names: str) -> Iterator[str]:
        """The paths that lists of the kustomization name, relative to the working directory."""
        for name in names:
            for item in texts(self.root.get(name)):
                if "\n" not in item.text and "://" not in item.text:
                    yield self.join(item.text)

    def join(self, path: str) -> str:
        return posixpath.normpath(posixpath.join(self.folder, path))


@dataclass(frozen=True, slots=True)
class Kustomized:
    """`changes`: building would change what references see. `unbuilt` are the namespaces into which builds
    put objects that are not in the input; None among them stands for any.
    """

    changes: bool = False
    unbuilt: frozenset[str | None] = frozenset()


def apply(files: list[SourceFile]) -> Kustomized:
    """Mark patches; tell each file in which namespaces its objects live and what changes them."""
    found = [kustomization for file in files for kustomization in _kustomizations(file)]
    if not found:
        return Kustomized()
    by_path = {file.path: file for file in files}
    claims = _connect(found, by_path)
    _mark_parts(found, by_path, set(claims))
    _propagate_namespaces(found)
    reaches = _Reaches(by_path, found)
    for path, claiming in claims.items():
        _settle(by_path[path], claiming, reaches)
    known = by_path.keys() | {kustomization.folder for kustomization in found}
    return Kustomized(
        any(_transforms(kustomization, known) for kustomization in found),
        frozenset().union(*(k.builds for k in found if _brings(k, known))),
    )


def _kustomizations(file: SourceFile) -> Iterator[_Kustomization]:
    if is_kustomization(file.path) and file.documents:
        root = file.documents[0].root
        if isinstance(root, Mapping):
            for secret in mappings(root.get("secretGenerator")):
                file.may_exist.add(("Secret", text_of(secret.get("name")) or ""))
            yield _Kustomization(file.path, root, text_of(root.get("namespace")) or None)


def _connect(found: list[_Kustomization], by_path: dict[str, SourceFile]) -> dict[str, list[_Kustomization]]:
    """Link kustomizations to those they include; the result tells who lists each file."""
    by_folder = {kustomization.folder: kustomization for kustomization in found}
    claims: dict[str, list[_Kustomization]] = {}
    for kustomization in found:
        for path in kustomization.paths(*_LISTS_OF_OBJECTS):
            if path in by_path:
                claims.setdefault(path, []).append(kustomization)
            elif path in by_folder:
                kustomization.included.append(by_folder[path])
                by_folder[path].including.append(kustomization)
        for path in kustomization.paths("components"):
            if path in by_folder:
                kustomization.components.append(by_folder[path])
    return claims


def _mark_parts(found: list[_Kustomization], by_path: dict[str, SourceFile], claimed: set[str]) -> None:
    """Patches and data that a kustomization names are parts; a file that it also lists is an object."""
    for kustomization in found:
        for path in _parts(kustomization):
            if path in by_path and path not in claimed:
                for document in by_path[path].documents:
                    document.patch = True


def _parts(kustomization: _Kustomization) -> Iterator[str]:
    yield from kustomization.paths(*_LISTS_OF_OTHER_FILES)
    for name in ("patches", "patchesJson6902", "replacements"):
        for entry in mappings(kustomization.root.get(name)):
            yield kustomization.join(text_of(entry.get("path")) or ".")
    for name in ("configMapGenerator", "secretGenerator"):
        for entry in mappings(kustomization.root.get(name)):
            for data in (*texts(entry.get("files")), *texts(entry.get("envs"))):
                yield kustomization.join(data.text.rpartition("=")[2])
    for chart in mappings(kustomization.root.get("helmCharts")):
        yield kustomization.join(text_of(chart.get("valuesFile")) or ".")
    yield kustomization.join(text_of(kustomization.root.dig("openapi", "path")) or ".")


def mark_strategic_deletes(documents: Iterable[Document]) -> None:
    """A top-level `$patch` is a directive of a strategic merge patch, wherever it stands."""
    for document in documents:
        if isinstance(document.root, Mapping) and any(_is_patch_key(key) for key, _ in document.root.items):
            document.patch = True


def _is_patch_key(key: Node) -> bool:
    return isinstance(key, Scalar) and key.text == "$patch"


def _propagate_namespaces(found: list[_Kustomization]) -> None:
    """Of nested kustomizations the outermost that sets a namespace wins."""
    pending = [kustomization for kustomization in found if not kustomization.including]
    pending = pending or found[:1]  # they include each other in a circle
    for kustomization in pending:
        kustomization.builds.add(_own_namespace(kustomization))
    while pending:
        outer = pending.pop()
        for inner in outer.included:
            own = _own_namespace(inner)
            passed = {own if namespace is None else namespace for namespace in outer.builds}
            if not passed <= inner.builds:
                inner.builds |= passed
                pending.append(inner)


def _own_namespace(kustomization: _Kustomization) -> str | None:
    """Its own, or else that of the last of its components that has one."""
    if kustomization.namespace:
        return kustomization.namespace
    return next((c.namespace for c in reversed(kustomization.components) if c.namespace), None)


def _settle(file: SourceFile, claiming: list[_Kustomization], reaches: _Reaches) -> None:
    """Tell a file where its objects live and what changes them."""
    if len(claiming) == 1:
        file.kustomization = claiming[0].path
    namespaces = set[str | None]().union(*(kustomization.builds for kustomization in claiming))
    file.builds = tuple(sorted(namespaces, key=lambda namespace: namespace or "")) or (None,)
    reach = reaches.of(claiming)
    file.renamed = reach.renames
    file.changes = reach.changes


@dataclass(frozen=True, slots=True)
class _Reach:
    """What builds do to the objects of some kustomizations, the nearest first."""

    changes: tuple[Changes, ...]
    renames: bool


class _Reaches:
    def __init__(self, by_path: dict[str, SourceFile], found: list[_Kustomization]) -> None:
        self._by_path = by_path
        self._known: dict[frozenset[str], _Reach] = {}
        self._renaming = any(_renames(kustomization) for kustomization in found)

    def of(self, claiming: list[_Kustomization]) -> _Reach:
        key = frozenset(kustomization.path for kustomization in claiming)
        reach = self._known.get(key)
        if reach is None:
            above = list(self._above(claiming))
            changes = [self._changes(kustomization, sure) for kustomization, sure in above]
            renames = self._renaming and any(_renames(kustomization) for kustomization, _ in above)
            reach = self._known[key] = _Reach(tuple(one for one in changes if one), renames)
        return reach

    def _above(self, claiming: list[_Kustomization]) -> Iterator[tuple[_Kustomization, bool]]:
        """Those that build the objects, with their components; sure as long as there is only one way up."""
        level, sure, seen = claiming, True, set[str]()
        while level:
            level = [k for k in {k.path: k for k in level}.values() if k.path not in seen]
            sure = sure and len(level) == 1
            seen.update(k.path for k in level)
            for kustomization in level:
                yield kustomization, sure
                for component in _components(kustomization):
                    if component.path not in seen:
                        yield component, sure
            level = [outer for kustomization in level for outer in kustomization.including]

    def _changes(self, kustomization: _Kustomization, sure: bool) -> Changes:
        changes = kustomization.changes.get(sure)
        if changes is None:

            def find(path: str) -> SourceFile | None:
                return self._by_path.get(kustomization.join(path))

            made = changes_of(kustomization.root, kustomization.path, find, sure=sure)
            affixes = _affixes(kustomization) if self._renaming else ()
            changes = kustomization.changes[sure] = Changes(made, affixes)
        return changes


def _components(kustomization: _Kustomization) -> Iterator[_Kustomization]:
    """Its components and theirs, each once."""
    pending, seen = list(kustomization.components), {kustomization.path}
    while pending:
        component = pending.pop()
        if component.path not in seen:
            seen.add(component.path)
            yield component
            pending += component.components


def _affixes(kustomization: _Kustomization) -> tuple[tuple[str, str], ...]:
    """Prefixes and suffixes that the kustomizations inside of it give, and that its patches may write."""
    pending, seen = list(kustomization.included), {kustomization.path}
    found = set()
    while pending:
        inner = pending.pop()
        if inner.path not in seen:
            seen.add(inner.path)
            pending += inner.included
            if _renames(inner):
                prefix, suffix = inner.root.get("namePrefix"), inner.root.get("nameSuffix")
                found.add((text_of(prefix) or "", text_of(suffix) or ""))
    return tuple(sorted(found))


def _renames(kustomization: _Kustomization) -> bool:
    return any(_is_filled(kustomization.root.get(name)) for name in _RENAMERS)


def _transforms(kustomization: _Kustomization, known: Iterable[str]) -> bool:
    root = kustomization.root
    return any(_is_filled(root.get(name)) for name in _TRANSFORMERS) or _brings(kustomization, known)


def _brings(kustomization: _Kustomization, known: Iterable[str]) -> bool:
    """Does it build objects that are not in the input?"""
    root = kustomization.root
    return any(_is_filled(root.get(name)) for name in _GENERATORS) or any(
        "://" in item.text or kustomization.join(item.text) not in known
        for name in _LISTS_OF_OBJECTS
        for item in texts(root.get(name))
        if "\n" not in item.text
    )


def _is_filled(node: Node | None) -> bool:
    if isinstance(node, Scalar):
        return bool(text_of(node))
    return isinstance(node, Sequence | Mapping) and bool(node.items)
