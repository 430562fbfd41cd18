"""A tree of N documents, made from real manifests "repeated under other names".

Each copy of the sources lives in namespaces of its own: `shop` becomes `shop-0001` where it is a
namespace, in metadata and in host names. Objects of `istio-system` stay as they are, once. Templates,
broken files and kustomizations are left out.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

from meshlint.resources import Resource, resources_of
from meshlint.source.discover import is_kustomization
from meshlint.source.files import SourceFile
from meshlint.source.load import load

ROOT = "istio-system"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("documents", type=int)
    given = parser.parse_args()
    written = 0
    for path, text, documents in copies(given.source):
        if written >= given.documents:
            break
        target = given.target / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8", newline="")
        written += documents
    print(written)


def copies(source: Path) -> Iterator[tuple[str, str, int]]:
    """Path, text and number of documents of each file of each copy, without an end."""
    files = [file for file in load([str(source)]).files if _is_usable(file)]
    if not files:
        raise SystemExit(f"no manifests in {source}")
    templates = [(_Template(file), Path(file.path)) for file in files]
    copy = 0
    while True:
        for template, path in templates:
            if copy == 0 or not template.is_root:
                name = "/".join(part for part in path.parts if part != "..")
                yield f"copy-{copy:04}/{name}", template.render(copy), template.documents
        copy += 1


def _is_usable(file: SourceFile) -> bool:
    usable = bool(file.documents) and not file.skipped and not file.problems
    return usable and not is_kustomization(file.path)


class _Template:
    """A file with the places where a namespace stands or belongs."""

    def __init__(self, file: SourceFile) -> None:
        self.text = file.text
        self.documents = len(file.documents)
        resources = [r for d in file.documents for r in resources_of(d)]
        self.is_root = any(r.ns == ROOT for r in resources)
        edits = {edit for r in resources if r.ns != ROOT for edit in _edits(r, file.text)}
        self.edits = sorted(edits)

    def render(self, copy: int) -> str:
        parts = []
        at = 0
        for start, end, before, namespace, behind in self.edits:
            if start >= at:
                parts.append(f"{self.text[at:start]}{before}{namespace}-{copy:04}{behind}")
                at = end
        parts.append(self.text[at:])
        return _HOST.sub(lambda host: f".{host.group(1)}-{copy:04}.svc", "".join(parts))


_HOST = re.compile(r"\.(?!istio-system\b)([a-z][a-z0-9-]*)\.svc\b")


def _edits(resource: Resource, text: str) -> Iterator[tuple[int, int, str, str, str]]:
    """(start, end, what stands before the namespace, the namespace, what stands behind)."""
    metadata = resource.metadata
    if metadata is None or not resource.name:
        return
    key, name = metadata.key("name"), metadata.get("name")
    if key is None or name is None:
        return
    written = metadata.get("namespace")
    if resource.kind == "Namespace":
        yield name.start, name.end, "", resource.name, ""
    elif resource.namespace is not None and written is not None:
        yield written.start, written.end, "", resource.ns, ""
    elif resource.namespace is not None:
        indent = key.start - (text.rfind("\n", 0, key.start) + 1)
        behind = ", " if metadata.flow else "\n" + " " * indent
        yield key.start, key.start, "namespace: ", resource.ns, behind


if __name__ == "__main__":
    main()
