"""Checks of the family hygiene that look at the text and at identities (catalogue: spec traffic 8.8)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from meshlint.findings import Draft
from meshlint.mesh.mesh import Mesh
from meshlint.resources import Place, Resource, TextPlace, resources_of
from meshlint.source.files import Document
from meshlint.source.nodes import Mapping as MappingNode
from meshlint.source.nodes import Scalar
from meshlint.source.templates import is_placeholder


def yaml_syntax(mesh: Mesh, options: Mapping[str, Any]) -> Iterator[Draft]:
    for file in mesh.files:
        for problem in file.problems:
            if problem.rule == "yaml-syntax":
                yield Draft(
                    TextPlace(file, problem.start, problem.end),
                    f"this document is not read: {problem.message}",
                    label=problem.message,
                    help=problem.help,
                    related=tuple(
                        (label, TextPlace(file, start, end)) for label, start, end in problem.related
                    ),
                )


def duplicate_yaml_key(mesh: Mesh, options: Mapping[str, Any]) -> Iterator[Draft]:
    for file in mesh.files:
        for document in file.documents:
            for mapping in document.duplicates:
                yield from _repeated_keys(document, mapping)


def _repeated_keys(document: Document, mapping: MappingNode) -> Iterator[Draft]:
    resource = _holder(document, mapping)
    if resource is None:
        return
    first: dict[str, Scalar] = {}
    for key, _ in mapping.items:
        if not isinstance(key, Scalar) or key.text == "<<":
            continue
        before = first.setdefault(key.text, key)
        if before is not key:
            yield Draft(
                Place(resource, key),
                f"{resource.title} repeats the key {key.text}: the last value counts for kubectl, "
                "and stricter tools refuse the file",
                label="the same key again",
                help="keep one of them",
                related=(("first written here", Place(resource, before)),),
            )


def _holder(document: Document, mapping: MappingNode) -> Resource | None:
    """The resource of the document that a mapping belongs to."""
    for resource in resources_of(document):
        if resource.root.start <= mapping.start < resource.root.end:
            return resource
    return None


def duplicate_object(mesh: Mesh, options: Mapping[str, Any]) -> Iterator[Draft]:
    versions: dict[tuple[object, ...], list[Resource]] = {}
    for resource in mesh.scope.resources:
        versions.setdefault((resource.key, resource.namespace_written), []).append(resource)
    for same in versions.values():
        name, namespace = same[0].name, same[0].namespace
        if len(same) > 1 and name and not is_placeholder(name) and not is_placeholder(namespace):
            yield from _duplicates(same)


def _duplicates(same: list[Resource]) -> Iterator[Draft]:
    """Each version that has an earlier one beside it, with the nearest of them."""
    first: dict[tuple[str, str], Resource] = {}
    for resource in same:
        seen = [
            (confidence, where, first.setdefault(place, resource))
            for confidence, where, place in _neighbourhoods(resource)
        ]
        for confidence, where, before in seen:
            if before is not resource:
                yield _duplicate(resource, before, where, confidence)
                break


def _neighbourhoods(resource: Resource) -> Iterator[tuple[str, str, tuple[str, str]]]:
    """Where a second version is a mistake, surest first (spec repositories 4)."""
    file = resource.file
    yield "high", "this file", ("file", file.path)
    if file.kustomization is not None:
        yield "high", f"the kustomization {file.kustomization}", ("kustomization", file.kustomization)
    yield "low", "this folder", ("folder", file.path.rpartition("/")[0])


def _duplicate(resource: Resource, before: Resource, where: str, confidence: str) -> Draft:
    happens = "if both are applied, the last replaces the other"
    if confidence == "high":
        happens = "the version that is applied last replaces the other"
    return Draft(
        resource.place(),
        f"{resource.title} is defined twice in {where}: {happens}",
        label="defined again",
        help="keep one, or give one of them another name or namespace",
        related=(("first defined here", before.place()),),
        confidence=confidence,
    )
