"""What do the kustomizations of the input change, and which files are only parts of objects?

Overlays are not built (spec repositories 3). So three things are found out: which files are patches
or data and no objects; in which namespace objects live that name none; and whether what a build
would rename, relabel or fetch leaves the input incomplete.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import field

from meshlint.records import dataclass
from meshlint.source.discover import is_kustomization
from meshlint.source.files import Document, SourceFile
from meshlint.source.nodes import Mapping, Node, Scalar, Sequence, mappings, text_of, texts
from meshlint.source.parse import parse

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
    """`builds` are the namespaces that builds of it, and of those that include it, give its objects."""

    path: str
    root: Mapping
    namespace: str | None
    included: list[_Kustomization] = field(default_factory=list)
    is_root: bool = True
    builds: set[str | None] = field(default_factory=set)

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


def apply(files: list[SourceFile]) -> bool:
    """Mark patches, set default namespaces; True if building would change what references see."""
    found = [kustomization for file in files for kustomization in _kustomizations(file)]
    if not found:
        return False
    by_path = {file.path: file for file in files}
    claims = _connect(found, by_path)
    _mark_parts(found, by_path, set(claims))
    _propagate_namespaces(found)
    patched = frozenset(pair for kustomization in found for pair in _patched(kustomization, by_path))
    for path in claims:
        by_path[path].patched = patched
    settled = [_settle(by_path[path], claiming) for path, claiming in claims.items()]
    known = by_path.keys() | {kustomization.folder for kustomization in found}
    return not all(settled) or any(_transforms(kustomization, known) for kustomization in found)


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
                by_folder[path].is_root = False
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


def _patched(kustomization: _Kustomization, by_path: dict[str, SourceFile]) -> Iterator[tuple[str, str]]:
    """Kind and name of the objects that its patches change; no name where a pattern or labels choose."""
    for name in ("patches", "patchesJson6902"):
        for entry in mappings(kustomization.root.get(name)):
            if kind := text_of(entry.dig("target", "kind")):
                target = text_of(entry.dig("target", "name")) or ""
                yield kind, target if target.replace("-", "").isalnum() else ""
    for entry in mappings(kustomization.root.get("replicas")):
        for kind in ("Deployment", "StatefulSet"):
            yield kind, text_of(entry.get("name")) or ""
    documents = [d for path in _parts(kustomization) if path in by_path for d in by_path[path].documents]
    roots = [document.root for document in documents if document.patch]
    for inline in _inline(kustomization.root):
        roots += [document.root for document in parse(kustomization.path, inline).documents]
    for root in roots:
        if isinstance(root, Mapping):
            yield text_of(root.get("kind")) or "", text_of(root.dig("metadata", "name")) or ""


def _inline(root: Mapping) -> Iterator[str]:
    """Patches that stand in the kustomization itself."""
    for entry in mappings(root.get("patches")):
        yield text_of(entry.get("patch")) or ""
    for item in texts(root.get("patchesStrategicMerge")):
        if "\n" in item.text:
            yield item.text


def mark_strategic_deletes(documents: Iterable[Document]) -> None:
    """A top-level `$patch` is a directive of a strategic merge patch, wherever it stands."""
    for document in documents:
        if isinstance(document.root, Mapping) and any(_is_patch_key(key) for key, _ in document.root.items):
            document.patch = True


def _is_patch_key(key: Node) -> bool:
    return isinstance(key, Scalar) and key.text == "$patch"


def _propagate_namespaces(found: list[_Kustomization]) -> None:
    """Of nested kustomizations the outermost that sets a namespace wins."""
    pending = [kustomization for kustomization in found if kustomization.is_root]
    for kustomization in pending:
        kustomization.builds.add(kustomization.namespace)
    while pending:
        outer = pending.pop()
        for inner in outer.included:
            passed = {inner.namespace if namespace is None else namespace for namespace in outer.builds}
            if not passed <= inner.builds:
                inner.builds |= passed
                pending.append(inner)


def _settle(file: SourceFile, claiming: list[_Kustomization]) -> bool:
    """Give a file its default namespace; False if the namespace of its objects stays open."""
    if len(claiming) == 1:
        file.kustomization = claiming[0].path
    namespaces = set[str | None]().union(*(kustomization.builds for kustomization in claiming))
    if len(namespaces) != 1:
        return False
    namespace = namespaces.pop()
    if namespace is None:
        return True
    file.default_namespace = namespace
    written = {text_of(d.root.dig("metadata", "namespace")) for d in file.documents if d.root is not None}
    return written <= {None, "", namespace}


def _transforms(kustomization: _Kustomization, known: Iterable[str]) -> bool:
    root = kustomization.root
    return any(_is_filled(root.get(name)) for name in _TRANSFORMERS) or any(
        "://" in item.text or kustomization.join(item.text) not in known
        for name in ("resources", "bases")
        for item in texts(root.get(name))
        if "\n" not in item.text
    )


def _is_filled(node: Node | None) -> bool:
    if isinstance(node, Scalar):
        return bool(text_of(node))
    return isinstance(node, Sequence | Mapping) and bool(node.items)
