"""What do the kustomizations of the input change, and which files are only parts of objects?

Overlays are not built (spec repositories 3). So three things are found out: which files are patches
or data and no objects; in which namespace objects live that name none; and whether what a build
would rename, relabel or fetch leaves the input incomplete.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from meshlint.source.files import Document, SourceFile
from meshlint.source.nodes import Mapping, Node, Scalar, Sequence, mappings, text_of, texts

NAMES = frozenset(("kustomization.yaml", "kustomization.yml", "Kustomization"))
GROUP = "kustomize.config.k8s.io"

#: fields that change names, namespaces, labels, ports or hosts, or bring objects from elsewhere
_TRANSFORMERS = (
    "namePrefix", "nameSuffix", "commonLabels", "labels", "patches", "patchesStrategicMerge",
    "patchesJson6902", "replacements", "vars", "components", "helmCharts", "helmChartInflationGenerator",
    "transformers", "generators",
)  # fmt: skip
_LISTS_OF_OBJECTS = ("resources", "bases", "components")
_LISTS_OF_OTHER_FILES = (
    "patchesStrategicMerge", "transformers", "generators", "validators", "configurations", "crds",
)  # fmt: skip


@dataclass(slots=True, eq=False)
class _Kustomization:
    path: str
    root: Mapping
    namespace: str | None
    parents: list[_Kustomization] = field(default_factory=list)

    @property
    def folder(self) -> str:
        return posixpath.dirname(self.path)

    def paths(self, *names: str) -> Iterator[str]:
        """The paths that lists of the kustomization name, relative to the working directory."""
        for name in names:
            for item in texts(self.root.get(name)):
                if "\n" not in item.text and "://" not in item.text:
                    yield self.join(item.text)

    def join(self, path: str) -> str:
        return posixpath.normpath(posixpath.join(self.folder, path))


def apply(files: list[SourceFile]) -> bool:
    """Mark patches, set default namespaces; True if building would change what references see."""
    found = {file.path: k for file in files for k in _kustomizations(file)}
    if not found:
        return False
    by_path = {file.path: file for file in files}
    by_folder = {k.folder: k for k in found.values()}
    claims: dict[str, list[_Kustomization]] = {}
    for kustomization in found.values():
        for path in kustomization.paths(*_LISTS_OF_OBJECTS):
            if path in by_path:
                claims.setdefault(path, []).append(kustomization)
            elif path in by_folder:
                by_folder[path].parents.append(kustomization)
    _mark_parts(found.values(), by_path, set(claims))
    settled = [_settle(by_path[path], claiming) for path, claiming in claims.items()]
    reach = by_path.keys() | by_folder.keys()
    return not all(settled) or any(_transforms(k, reach) for k in found.values())


def is_kustomization(path: str) -> bool:
    return posixpath.basename(path) in NAMES


def _kustomizations(file: SourceFile) -> Iterator[_Kustomization]:
    if is_kustomization(file.path):
        for document in file.documents[:1]:
            if isinstance(document.root, Mapping):
                yield _Kustomization(file.path, document.root, text_of(document.root.get("namespace")))


def _mark_parts(found: Iterable[_Kustomization], by_path: dict[str, SourceFile], claimed: set[str]) -> None:
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
            path = text_of(entry.get("path"))
            if path:
                yield kustomization.join(path)
    for name in ("configMapGenerator", "secretGenerator"):
        for entry in mappings(kustomization.root.get(name)):
            for data in (*texts(entry.get("files")), *texts(entry.get("envs"))):
                yield kustomization.join(data.text.rpartition("=")[2])
    for chart in mappings(kustomization.root.get("helmCharts")):
        values = text_of(chart.get("valuesFile"))
        if values:
            yield kustomization.join(values)
    schema = text_of(kustomization.root.dig("openapi", "path"))
    if schema:
        yield kustomization.join(schema)


def mark_strategic_deletes(documents: Iterable[Document]) -> None:
    """A top-level `$patch` is a directive of a strategic merge patch, wherever it stands."""
    for document in documents:
        if isinstance(document.root, Mapping) and any(_is_patch_key(key) for key, _ in document.root.items):
            document.patch = True


def _is_patch_key(key: Node) -> bool:
    return isinstance(key, Scalar) and key.text == "$patch"


def _settle(file: SourceFile, claiming: list[_Kustomization]) -> bool:
    """Give a file its default namespace; False if the namespace of its objects stays open."""
    if len(claiming) == 1:
        file.kustomization = claiming[0].path
    namespaces = set().union(*(_namespaces(k, frozenset()) for k in claiming))
    if len(namespaces) != 1:
        return False
    namespace = namespaces.pop()
    if namespace is None:
        return True
    file.default_namespace = namespace
    written = {text_of(d.root.dig("metadata", "namespace")) for d in file.documents if d.root is not None}
    return written <= {None, "", namespace}


def _namespaces(kustomization: _Kustomization, below: frozenset[str]) -> set[str | None]:
    """The namespaces that builds give its objects: of nested kustomizations the outermost wins."""
    if kustomization.path in below:
        return set()
    if not kustomization.parents:
        return {kustomization.namespace}
    passed = below | {kustomization.path}
    outer = set().union(*(_namespaces(parent, passed) for parent in kustomization.parents))
    return {kustomization.namespace if namespace is None else namespace for namespace in outer}


def _transforms(kustomization: _Kustomization, reach: Iterable[str]) -> bool:
    root = kustomization.root
    return any(_is_filled(root.get(name)) for name in _TRANSFORMERS) or any(
        "://" in item.text or kustomization.join(item.text) not in reach
        for name in ("resources", "bases")
        for item in texts(root.get(name))
        if "\n" not in item.text
    )


def _is_filled(node: Node | None) -> bool:
    if isinstance(node, Scalar):
        return bool(text_of(node))
    return isinstance(node, Sequence | Mapping) and bool(node.items)
