"""What does one kustomization change in the objects that it builds? (spec repositories 3)

Strategic merge patches, JSON patches, replicas, images, replacements, labels and annotations become
`Change`s: which objects, which path, which value. Lists of Kubernetes' own kinds are merged by their
merge keys, those of other kinds are replaced (kustomize knows no schema of them). A patch that cannot
be read may change everything of its target.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from meshlint.source.changes import UNKNOWN, Change, Item, Step, Target
from meshlint.source.files import SourceFile
from meshlint.source.nodes import Mapping, Node, Scalar, Sequence, mappings, text_of, texts
from meshlint.source.parse import parse

#: finds a file by a path that the kustomization writes; None: it is not in the input
Find = Callable[[str], SourceFile | None]

_EVERYTHING: Final = Target()
_DIGITS: Final = 9  # of positions in lists

_MERGE_KEYS: Final = {
    "containers": ("name",), "initContainers": ("name",), "ephemeralContainers": ("name",),
    "volumes": ("name",), "env": ("name",), "imagePullSecrets": ("name",), "secrets": ("name",),
    "webhooks": ("name",), "ports": ("containerPort", "port"), "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",), "hostAliases": ("ip",), "topologySpreadConstraints": ("topologyKey",),
}  # fmt: skip
_OWN_GROUPS: Final = frozenset({"", "apps", "batch", "autoscaling", "policy", "extensions"})

_POD_SPECS: Final[tuple[tuple[Step, ...], ...]] = (
    ("spec",),
    ("spec", "template", "spec"),
    ("spec", "jobTemplate", "spec", "template", "spec"),
)
#: kinds of pod templates that kustomize gives labels and annotations
_TEMPLATES: Final[dict[str, tuple[Step, ...]]] = {
    **dict.fromkeys(
        ("Deployment", "ReplicaSet", "ReplicationController", "StatefulSet", "DaemonSet", "Job"),
        ("spec", "template"),
    ),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}
_SELECTORS: Final[dict[str, tuple[Step, ...]]] = {
    "Service": ("spec", "selector"),
    "ReplicationController": ("spec", "selector"),
    **dict.fromkeys(
        ("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet"), ("spec", "selector", "matchLabels")
    ),
}


def changes_of(root: Mapping, path: str, find: Find, *, sure: bool) -> Iterator[Change]:
    """What the kustomization at a path changes; `sure`: in every build of the objects in question."""
    for patch, target in _patches(root, path, find):
        yield from _of_patch(patch, target)
    yield from _counts(root)
    yield from _images(root)
    yield from _replaced(root, path, find)
    yield from _labels(root, sure)
    for key, value in _pairs(root.get("commonAnnotations")):
        for kind, home in (("", ()), *_TEMPLATES.items()):
            yield Change(Target(kind), (*home, "metadata", "annotations", key), value, sure=sure)
    if texts(root.get("transformers")):
        yield Change(_EVERYTHING, (), None, known=False)


# -- patches --------------------------------------------------------------------------------------


def _patches(root: Mapping, path: str, find: Find) -> Iterator[tuple[Node | None, Target | None]]:
    """Each patch with its target; None: the patch names it itself. A patch that is None cannot be read."""
    for name in ("patches", "patchesJson6902"):
        for entry in mappings(root.get(name)):
            target = entry.get("target")
            aim = target_of(target) if isinstance(target, Mapping) else None
            for patch in _read(text_of(entry.get("path")), text_of(entry.get("patch")), path, find):
                yield patch, aim
    for item in texts(root.get("patchesStrategicMerge")):
        inline = item.text if "\n" in item.text else None
        for patch in _read(item.text, inline, path, find):
            yield patch, None


def _read(written: str | None, inline: str | None, path: str, find: Find) -> list[Node | None]:
    """The documents of a patch."""
    file = parse(path, inline) if inline else find(written or "")
    if file is not None and not file.documents and not file.skipped and file.text:
        file = parse(file.path, file.text)
    if file is None or file.skipped or any(problem.rule == "yaml-syntax" for problem in file.problems):
        return [None]
    return [document.root for document in file.documents if document.root is not None]


def target_of(node: Mapping) -> Target:
    """What a `target` or a `select` chooses."""
    labels = []
    for term in (text_of(node.get("labelSelector")) or "").split(","):
        key, equals, value = term.replace("==", "=").partition("=")
        if equals and not key.endswith("!") and "(" not in term:
            labels.append((key.strip(), value.strip()))
    return Target(
        text_of(node.get("kind")) or "",
        text_of(node.get("name")) or "",
        text_of(node.get("group")) or "",
        tuple(labels),
    )


def _of_patch(patch: Node | None, target: Target | None) -> Iterator[Change]:
    if isinstance(patch, Sequence):
        yield from _operations(patch, target or _EVERYTHING)
    elif isinstance(patch, Mapping):
        group, slash, _ = (text_of(patch.get("apiVersion")) or "").partition("/")
        group = group if slash else ""
        own = Target(text_of(patch.get("kind")) or "", text_of(patch.dig("metadata", "name")) or "", group)
        if text_of(patch.get("$patch")) == "delete":
            yield Change(target or own, (), None)
            return
        for steps, value, known in _merged(patch, (), group in _OWN_GROUPS or group.endswith(".k8s.io")):
            yield Change(target or own, steps, value, known)
    else:
        yield Change(target or _EVERYTHING, (), None, known=False)


#: a path, what a patch sets there (None: it takes away what is there), and whether that is all it does
_Part = tuple[tuple[Step, ...], Node | None, bool]


def _merged(node: Mapping, at: tuple[Step, ...], merges: bool) -> Iterator[_Part]:
    """The paths that a strategic merge patch sets."""
    for key, (_, value) in node.index.items():
        if key == "$patch":
            yield at, None, False
        elif key.startswith("$"):
            yield (*at, key.partition("/")[2]), None, False
        elif key in _IDENTITY.get(at, ()):
            continue
        elif isinstance(value, Mapping) and value.index:
            yield from _merged(value, (*at, key), merges)
        elif isinstance(value, Sequence) and merges and (by := _merge_key(key, value)):
            yield from _merged_items(value, (*at, key), by)
        elif isinstance(value, Scalar) and value.value is None:
            yield (*at, key), None, True
        else:
            yield (*at, key), value, True


_IDENTITY: Final[dict[tuple[Step, ...], tuple[str, ...]]] = {
    (): ("apiVersion", "kind"),
    ("metadata",): ("name", "namespace"),
}


def _merge_key(name: str, items: Sequence) -> str | None:
    """The key by which the items of a list are told apart; None where the list is replaced."""
    for key in _MERGE_KEYS.get(name, ()):
        if items.items and all(isinstance(item, Mapping) and text_of(item.get(key)) for item in items.items):
            return key
    return None


def _merged_items(items: Sequence, at: tuple[Step, ...], by: str) -> Iterator[_Part]:
    for item in mappings(items):
        if "$patch" in item.index:
            yield at, None, False
            continue
        home = (*at, Item(by, text_of(item.get(by)) or ""))
        parts = [part for part in _merged(item, home, True) if part[0] != (*home, by)]
        yield from parts or [(home, item, True)]


def _operations(patch: Sequence, target: Target) -> Iterator[Change]:
    """JSON 6902; where an item of a list is put in or taken out, the whole list is open."""
    for operation in mappings(patch):
        name = text_of(operation.get("op"))
        steps = _pointer(text_of(operation.get("path")))
        if name == "test":
            continue
        if name == "move":
            yield _operation(target, _pointer(text_of(operation.get("from"))), "remove", None)
        if name in ("move", "copy"):
            yield Change(target, steps, Scalar(0, 0, UNKNOWN, ""), known=False)
        else:
            yield _operation(target, steps, name, operation.get("value"))


def _operation(target: Target, steps: tuple[Step, ...], name: str | None, value: Node | None) -> Change:
    if steps and name in ("add", "remove") and isinstance(steps[-1], int):
        added = None if name == "remove" or value is None else Sequence(0, 0, [value], True)
        return Change(target, steps[:-1], added, known=False)
    return Change(target, steps, None if name == "remove" else value)


def _pointer(pointer: str | None) -> tuple[Step, ...]:
    steps = [step.replace("~1", "/").replace("~0", "~") for step in (pointer or "").split("/")[1:]]
    return tuple(int(step) if step.isdecimal() and len(step) < _DIGITS else step for step in steps)


# -- the other fields -----------------------------------------------------------------------------


def _counts(root: Mapping) -> Iterator[Change]:
    for entry in mappings(root.get("replicas")):
        for kind in ("Deployment", "StatefulSet", "ReplicaSet", "ReplicationController"):
            target = Target(kind, text_of(entry.get("name")) or "")
            yield Change(target, ("spec", "replicas"), entry.get("count"))


def _images(root: Mapping) -> Iterator[Change]:
    for entry in mappings(root.get("images")):
        item = Item("image", text_of(entry.get("name")) or "", image=True)
        for home in _POD_SPECS:
            for name in ("containers", "initContainers"):
                yield Change(
                    _EVERYTHING, (*home, name, item, "image"), Scalar(0, 0, UNKNOWN, ""), known=False
                )


def _replaced(root: Mapping, path: str, find: Find) -> Iterator[Change]:
    for entry in mappings(root.get("replacements")):
        written = text_of(entry.get("path"))
        for part in [entry] if written is None else _read(written, None, path, find):
            for one in mappings(part) if isinstance(part, Sequence) else [part]:
                yield from _replacement(one)


def _replacement(entry: Node | None) -> Iterator[Change]:
    if not isinstance(entry, Mapping):
        yield Change(_EVERYTHING, (), None, known=False)
        return
    for aim in mappings(entry.get("targets")):
        select = aim.get("select")
        target = target_of(select) if isinstance(select, Mapping) else _EVERYTHING
        creates = text_of(aim.dig("options", "create")) == "true"
        for item in texts(aim.get("fieldPaths")):
            value = Scalar(0, 0, UNKNOWN, "") if creates else None
            yield Change(target, field_path(item.text), value, known=False)


def field_path(text: str) -> tuple[Step, ...]:
    """`spec.containers.[name=web].env.0.value`, with dots that are escaped or stand in brackets."""
    pieces, piece, depth = [], "", 0
    characters = iter(text)
    for character in characters:
        if character == "\\":
            piece += next(characters, "")
        elif character == "." and not depth:
            pieces.append(piece)
            piece = ""
        else:
            depth += (character == "[") - (character == "]")
            piece += character
    return tuple(_field(one) for one in (*pieces, piece))


def _field(piece: str) -> Step:
    if piece.startswith("[") and piece.endswith("]"):
        key, equals, value = piece[1:-1].partition("=")
        return Item(key, value) if equals else piece[1:-1]
    return int(piece) if piece.isdecimal() and len(piece) < _DIGITS else piece


def _labels(root: Mapping, sure: bool) -> Iterator[Change]:
    common = root.get("commonLabels")
    if isinstance(common, Mapping):
        yield from _labelled(common, sure, selectors=True, templates=True)
    for entry in mappings(root.get("labels")):
        pairs = entry.get("pairs")
        selectors = text_of(entry.get("includeSelectors")) == "true"
        templates = selectors or text_of(entry.get("includeTemplates")) == "true"
        if isinstance(pairs, Mapping):
            yield from _labelled(pairs, sure, selectors=selectors, templates=templates)
            yield from _labelled_fields(entry, pairs)


def _labelled(pairs: Mapping, sure: bool, *, selectors: bool, templates: bool) -> Iterator[Change]:
    for key, value in _pairs(pairs):
        yield Change(_EVERYTHING, ("metadata", "labels", key), value, sure=sure, label=True)
        for kind, home in _TEMPLATES.items() if templates else ():
            yield Change(Target(kind), (*home, "metadata", "labels", key), value, sure=sure, label=True)
        for kind, home in _SELECTORS.items() if selectors else ():
            yield Change(Target(kind), (*home, key), value, sure=sure, label=True, selector=not sure)


def _labelled_fields(entry: Mapping, pairs: Mapping) -> Iterator[Change]:
    for place in mappings(entry.get("fields")):
        home = tuple((text_of(place.get("path")) or "").split("/"))
        for key, value in _pairs(pairs):
            yield Change(target_of(place), (*home, key), value)


def _pairs(node: Node | None) -> list[tuple[str, Node]]:
    return [(key, value) for key, (_, value) in node.index.items()] if isinstance(node, Mapping) else []
