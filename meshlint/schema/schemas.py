"""All kinds of one run, and what is wrong with its resources."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from meshlint.schema import crd
from meshlint.schema.catalogue import Kind, Version, Versions, bundled, schema_file
from meshlint.schema.compile import Compiler, Target
from meshlint.schema.defects import Defect
from meshlint.schema.suggest import Homes, sibling, spell_homes
from meshlint.source.nodes import Mapping, Node, Sequence

if TYPE_CHECKING:
    from meshlint.resources import Resource
    from meshlint.schema.keywords import Check

Schema = dict[str, Any]
Steps = tuple[str | int, ...]


_DEFINITION_FOLDERS: Final = frozenset(
    (
        "crd",
        "crds",
        "crd-base",
        "definitions",
        "customresourcedefinitions",
        "base",
        "bases",
        "config",
        "schemas",
    )
)


class Schemas:
    """`crds` are files that the configuration names; `problems` says which of them are of no use.

    A definition among the resources, or in those files, goes before the bundled schema of its kind.
    """

    def __init__(
        self, resources: Iterable[Resource] = (), versions: Versions | None = None, crds: Iterable[Path] = ()
    ) -> None:
        self.resources = tuple(resources)
        self.versions = versions or Versions()
        own, self.problems = crd.read(crds)
        for resource in self.resources:
            if resource.kind == "CustomResourceDefinition":
                own += crd.definitions_in(resource.root, resource.file.path)
        self._own = crd.merged(own)
        self._kinds: dict[tuple[str, str], Kind | None] = {}
        self._checks: dict[tuple[str, str, str], Check | None] = {}
        self._compilers: dict[str, Compiler] = {}
        self._served: dict[tuple[str, str, str], bool | None] = {}
        self._homes: dict[tuple[str, str, str], Homes] = {}
        self._defects: dict[str, list[tuple[Resource, Defect]]] | None = None

    def kind(self, group: str, kind: str) -> Kind | None:
        """A kind, the user's definition before the bundled one; None if nobody knows it."""
        key = group, kind
        if key not in self._kinds:
            self._kinds[key] = self._user_kind(group, kind) or bundled(group, kind)
        return self._kinds[key]

    def version(self, resource: Resource) -> Version | None:
        """The version that a resource is written in; None if its kind or that version is not known."""
        kind = self.kind(resource.group, resource.kind)
        return kind.versions.get(resource.version) if kind is not None else None

    def serves(self, resource: Resource) -> bool | None:
        """Does the target release serve the version of a resource? None if its kind is not known."""
        key = resource.group, resource.kind, resource.version
        if key not in self._served:
            kind, version = self.kind(resource.group, resource.kind), self.version(resource)
            served = kind is not None and version is not None and kind.serves(version, self.versions)
            self._served[key] = served if kind is not None else None
        return self._served[key]

    def schema_of(self, resource: Resource) -> Schema | None:
        """The JSON Schema that holds for a resource. References are relative to `root_of` it."""
        kind, version = self.kind(resource.group, resource.kind), self.version(resource)
        if kind is None or version is None or version.schema is None:
            return None
        if version.definition:
            return {"$ref": f"#/$defs/{version.definition}"}
        return version.schema or schema_file(kind.file)

    def root_of(self, resource: Resource) -> Schema:
        """Where references of `schema_of` start."""
        kind, schema = self.kind(resource.group, resource.kind), self.schema_of(resource)
        return schema_file(kind.file) if kind is not None and kind.file else schema or {}

    def is_distant(self, resource: Resource) -> bool:
        """Does the definition of its kind stand in another part of the tree?

        It may belong to another cluster or another release then. Folders that only hold definitions
        count as the folder above them.
        """
        kind = self.kind(resource.group, resource.kind)
        if kind is None or kind.origin != "crd" or kind.named:
            return False
        folder = kind.source.split("/")[:-1]
        while folder and folder[-1].lower() in _DEFINITION_FOLDERS:
            folder.pop()
        return resource.file.path.split("/")[: len(folder)] != folder

    def defects(self) -> dict[str, list[tuple[Resource, Defect]]]:
        """Every defect of every resource, by its kind; computed once."""
        if self._defects is None:
            self._defects = defaultdict(list)
            for resource in self.resources:
                for defect in self.defects_of(resource):
                    self._defects[defect.kind].append((resource, defect))
        return self._defects

    def defects_of(self, resource: Resource) -> list[Defect]:
        """What is wrong with one resource, in the order of its text."""
        key = resource.group, resource.kind, resource.version
        check = self._checks[key] if key in self._checks else self._compiled(resource, key)
        if check is None:
            return []
        out: list[Defect] = []
        check(resource.root, out)
        if not out:
            return out
        finished = [self._worded(resource, d) if d.kind == "unknown-field" else d for d in out]
        return sorted(finished, key=lambda defect: defect.node.start)

    def _user_kind(self, group: str, kind: str) -> Kind | None:
        word = kind.lower()
        flat = f"{group.partition('.')[0]}.*"
        return self._own.get((group, word)) or self._own.get((flat, word))

    def _compiled(self, resource: Resource, key: tuple[str, str, str]) -> Check | None:
        schema, kind = self.schema_of(resource), self.kind(resource.group, resource.kind)
        check = None
        if schema is not None and kind is not None:
            target = self.versions.target(kind.origin)
            if kind.channel == "experimental":
                target = replace(target, experimental=True)
            check = self._compiler(kind, self.root_of(resource), target).check(schema)
        self._checks[key] = check
        return check

    def _compiler(self, kind: Kind, root: Schema, target: Target) -> Compiler:
        """One for all kinds of a file, so that what they share is compiled once."""
        if not kind.file:
            return Compiler(root, target)
        if kind.file not in self._compilers:
            self._compilers[kind.file] = Compiler(root, target)
        return self._compilers[kind.file]

    def _worded(self, resource: Resource, defect: Defect) -> Defect:
        """The words for an unknown field: what was meant, or where it belongs."""
        name = defect.name
        steps = steps_to(resource.root, defect.node)
        path, beside = spelled(steps), resource.root.dig(*steps[:-1])
        written = beside.index if isinstance(beside, Mapping) else {}  # what is there already was not meant
        gone = schema_file("removed.json").get(resource.kind, {}).get(name)
        near = sibling(name, (other for other in defect.siblings if other not in written))
        homes = [] if near else self._homes_of(resource).of(name, path)
        start = f"{path} is no field of {resource.kind}"
        worded = replace(defect, severity="warning" if self._in_metadata(resource, defect) else None)
        if gone is not None:
            return replace(worded, message=f"{start}: {gone}", label="does not exist", name="")
        if near is not None:
            hint = f"did you mean {near}?"
            return replace(
                worded, message=f"{start}; {hint}", label=hint, help=f"rename it to {near}", name=near
            )
        if homes:
            hint = f"it belongs under {spell_homes(homes)}"
            return replace(worded, message=f"{start}; {hint}", label=hint, help=f"move it: {hint}", name="")
        advice = _fields_of(defect.siblings)
        return replace(worded, message=start, label="does not exist", help=advice, name="")

    def _homes_of(self, resource: Resource) -> Homes:
        key = resource.group, resource.kind, resource.version
        if key not in self._homes:
            schema = self.schema_of(resource) or {}
            self._homes[key] = Homes(self.root_of(resource), schema)
        return self._homes[key]

    def _in_metadata(self, resource: Resource, defect: Defect) -> bool:
        metadata = resource.metadata
        return metadata is not None and metadata.key(defect.name) is defect.node


def mesh_config_defects(node: Node) -> list[Defect]:
    """What is wrong with a MeshConfig. Its schema is open: only known fields are judged."""
    out: list[Defect] = []
    _mesh_config()(node, out)
    return out


@cache
def _mesh_config() -> Check:
    schema = schema_file("istio/mesh/MeshConfig.json")
    return Compiler(schema).check(schema)


def steps_to(root: Node, wanted: Node) -> Steps:
    """The way from a tree to one of its nodes, or to the value whose key it is."""
    stack: list[tuple[Node, Steps]] = [(root, ())]
    while stack:
        node, steps = stack.pop()
        if node is wanted:
            return steps
        if isinstance(node, Mapping):
            for name, (key, value) in node.index.items():
                if key is wanted:
                    return (*steps, name)
                stack.append((value, (*steps, name)))
        elif isinstance(node, Sequence):
            stack.extend((item, (*steps, number)) for number, item in enumerate(node.items))
    return ()


def spelled(steps: Steps) -> str:
    """``spec.http[0].timeout``"""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    return text.removeprefix(".")


def _fields_of(siblings: tuple[str, ...]) -> str:
    shown = ", ".join(siblings[:12]) + (", ..." if len(siblings) > 12 else "")
    return f"the fields here are {shown}" if shown else "nothing can be set here"
