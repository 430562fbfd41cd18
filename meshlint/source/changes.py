"""What stands in an object after changes, and where nobody knows whether they are made?

Overlays are not built (spec repositories 3). In an open reading, what one of them sets at a path of an
object is a placeholder, like `${NAME}` of a template: its value is unknown, and so is what is absent
beside it. A change that is made in every build, such as a label that the kustomization of the object
itself adds, has its value. In the other reading all changes are made, as one overlay with all of them
would. Nothing here touches the trees of the parser: an object gets its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import field, replace
from enum import Enum
from itertools import count
from typing import Final

from meshlint.records import dataclass
from meshlint.source.nodes import NESTING_LIMIT, Mapping, Node, Scalar, Sequence, text_of


class Reading(Enum):
    """How to read what kustomizations change: as if nothing were, as if all were, or as unknown."""

    WRITTEN = "written"
    MADE = "made"
    OPEN = "open"


#: stands for every value that a build may set; `templates.is_placeholder` knows the form
UNKNOWN: Final = "${kustomize}"
_numbers = count()

#: what tells who an object is stays, whatever changes
_IDENTITY: Final = frozenset({"apiVersion", "kind", "name", "namespace"})


@dataclass(frozen=True, slots=True)
class Item:
    """A step into a list: to the items whose `key` has the value, of images without their tags."""

    key: str
    value: str
    image: bool = False

    def chooses(self, item: Node) -> bool:
        written = text_of(item.dig(self.key)) if isinstance(item, Mapping) else None
        if written is None or not self.image:
            return written == self.value
        return written.partition("@")[0] == self.value or _without_tag(written) == self.value


#: a key, a position, an item by one of its values, EVERY item, or END for one item more
Step = str | int | Item
EVERY: Final = "*"
END: Final = "-"


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """Which objects: '' for any kind, name or group; a name or kind may be a pattern.

    `labels` are those that an object must have, as far as the selector is understood.
    """

    kind: str = ""
    name: str = ""
    group: str = ""
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """`value` is what is set at the end of the `steps`, None where something is taken away.

    `known`: that is all there is to it; else it is only known what may be affected.
    `sure`: every build of the object makes it. `label`: labels and selectors of one build get the same
    value. `selector`: of a selector it changes what is there already, and adds to none but an empty one,
    because the pods of the same build get the label too.
    """

    target: Target
    steps: tuple[Step, ...]
    value: Node | None
    known: bool = True
    sure: bool = False
    label: bool = False
    selector: bool = False


@dataclass(slots=True, eq=False)
class Changes:
    """What one kustomization changes. `affixes` are those that its objects may have got before it."""

    exact: dict[tuple[str, str], list[Change]] = field(default_factory=dict)
    patterns: list[Change] = field(default_factory=list)
    affixes: tuple[tuple[str, str], ...] = ()

    def __init__(self, changes: Iterable[Change], affixes: tuple[tuple[str, str], ...] = ()) -> None:
        self.exact = {}
        self.patterns = []
        self.affixes = affixes
        for change in changes:
            target = change.target
            if target.kind and target.name and _is_plain(target.kind) and _is_plain(target.name):
                self.exact.setdefault((target.kind, target.name), []).append(change)
            else:
                self.patterns.append(change)

    def __bool__(self) -> bool:
        return bool(self.exact or self.patterns)

    def of(self, group: str, kind: str, name: str, labels: dict[str, str]) -> Iterator[Change]:
        """The changes of one object."""
        names = (name, *(f"{prefix}{name}{suffix}" for prefix, suffix in self.affixes))
        for candidate in names:
            for change in self.exact.get((kind, candidate), ()):
                if _fits(change.target, group, labels):
                    yield change
        for change in self.patterns:
            target = change.target
            if (
                _like(target.kind, kind)
                and any(_like(target.name, candidate) for candidate in names)
                and _fits(target, group, labels)
            ):
                yield change


def changed(root: Mapping, changes: Iterable[Change], reading: Reading) -> Mapping | None:
    """A tree of its own with the changes, those that are sure first; None where the object is deleted."""
    tree = copied(root)
    if reading is Reading.MADE:
        changes = [replace(change, sure=True) if change.known else change for change in changes]
    for change in sorted(changes, key=lambda change: not change.sure):
        if len(change.steps) > NESTING_LIMIT:
            continue  # the parser lets nothing be as deep
        if change.steps:
            _put(tree, change.steps, change)
        elif change.sure:
            return None
        else:
            _blur_object(tree, change)
    return tree


def copied(root: Mapping) -> Mapping:
    """The same tree with nodes of its own; what an alias shares stays shared."""
    copies: dict[int, Node] = {}

    def copy(node: Node) -> Node:
        if isinstance(node, Scalar):
            return node
        known = copies.get(id(node))
        if known is None:
            if isinstance(node, Mapping):
                index = node.index
                known = Mapping.of_index(
                    node.start, node.end, {k: (p[0], copy(p[1])) for k, p in index.items()}
                )
            else:
                known = Sequence(node.start, node.end, [copy(item) for item in node.items], node.flow)
            copies[id(node)] = known
        return known

    tree = copy(root)
    return tree if isinstance(tree, Mapping) else root


def _put(node: Node, steps: tuple[Step, ...], change: Change) -> None:
    """Make the change below a collection that is there."""
    step, rest = steps[0], steps[1:]
    if isinstance(node, Mapping) and isinstance(step, str):
        child = node.get(step)
        if _may_descend(child, rest):
            _put(child, rest, change)  # type: ignore[arg-type]
        elif change.sure and change.value is None and not rest:
            node.drop(step)
        elif not (change.selector and not change.sure and not rest and child is None and node.index):
            after = _after(child, rest, change, node.start)
            if after is not None:
                _set(node, step, after)
    elif isinstance(node, Sequence):
        chosen = [at for at, item in enumerate(node.items) if _chooses(step, at, item)]
        for at in chosen:
            if _may_descend(node.items[at], rest):
                _put(node.items[at], rest, change)
            else:
                node.items[at] = _after(node.items[at], rest, change, node.start) or node.items[at]
        if not chosen:
            node.items += _added(step, rest, change, node.start)


def _may_descend(child: Node | None, rest: tuple[Step, ...]) -> bool:
    return bool(rest) and isinstance(child, Mapping | Sequence)


def _chooses(step: Step, at: int, item: Node) -> bool:
    if isinstance(step, Item):
        return step.chooses(item)
    return step == EVERY or str(step) == str(at)


def _after(node: Node | None, rest: tuple[Step, ...], change: Change, at: int) -> Node | None:
    """What stands where `node` stood, with the rest of the path below it; None: nothing changes."""
    if not rest:
        return _replaced(node, change, at)
    if isinstance(node, Scalar) and node.value is not None:
        return Scalar(node.start, node.end, _unknown(None, change), "")
    return _made(rest, change, at)


def _made(rest: tuple[Step, ...], change: Change, at: int) -> Node | None:
    """Collections for a path of which nothing is there."""
    if not rest:
        return None if change.value is None else _rehomed(change.value, at, change)
    step = rest[0]
    if isinstance(step, Item | int) or step in (END, EVERY):
        items = _added(step, rest[1:], change, at)
        return Sequence(at, at, items, True) if items else None
    below = _made(rest[1:], change, at)
    return None if below is None else Mapping.of_index(at, at, {step: (Scalar(at, at, step, ""), below)})


def _added(step: Step, rest: tuple[Step, ...], change: Change, at: int) -> list[Node]:
    """The item that a change appends to a list, if it appends one."""
    only_present = step == EVERY or (isinstance(step, Item) and step.image)
    below = None if only_present else _made(rest, change, at)
    if below is None:
        return []
    if isinstance(step, Item) and isinstance(below, Mapping):
        _set(below, step.key, Scalar(at, at, step.value, ""))
    return [below]


def _replaced(node: Node | None, change: Change, at: int) -> Node | None:
    value = change.value
    if node is None or (isinstance(node, Scalar) and node.value is None):
        return None if value is None else _rehomed(value, at, change)
    if change.sure and value is not None:
        return _in_place_of(node, value, change)
    if isinstance(node, Scalar):
        return Scalar(node.start, node.end, _unknown(value, change), "")
    if isinstance(node, Mapping) and (value is None or isinstance(value, Mapping)):
        parts = dict(_blurred_index(node, node.start, change))
        for key, pair in _blurred_index(value, node.start, change) if value is not None else ():
            parts.setdefault(key, pair)
        return Mapping.of_index(node.start, node.end, parts)
    if isinstance(node, Sequence) and (value is None or isinstance(value, Sequence)):
        items = [*node.items, *(value.items if value is not None else ())]
        return Sequence(
            node.start, node.end, [_rehomed(item, node.start, change) for item in items], node.flow
        )
    return Scalar(node.start, node.end, _unknown(None, change), "")


def _in_place_of(node: Node, value: Node, change: Change) -> Node:
    """The value where the node stood; a mapping that adds nothing to that of the node changes nothing."""
    if isinstance(node, Mapping) and isinstance(value, Mapping) and _adds_nothing(node, value):
        return node
    after = _rehomed(value, node.start, change)
    after.start, after.end = node.start, node.end
    return after


def _adds_nothing(node: Mapping, value: Mapping) -> bool:
    pairs = ((node.get(key), item) for key, (_, item) in value.index.items())
    return all(isinstance(item, Scalar) and text_of(old) == item.text for old, item in pairs)


def _blurred_index(node: Mapping, at: int, change: Change) -> Iterator[tuple[str, tuple[Scalar, Node]]]:
    for key, (name, value) in node.index.items():
        yield key, (Scalar(at, at, name.text, name.style), _rehomed(value, at, change))


def _rehomed(node: Node, at: int, change: Change) -> Node:
    """The same structure at another place of the text; its values only where they are sure."""
    if isinstance(node, Scalar):
        if change.sure:
            return Scalar(at, at, node.text, node.style)
        return Scalar(at, at, _unknown(node, change), "")
    if isinstance(node, Mapping):
        pairs = {
            key: (Scalar(at, at, key, ""), _rehomed(value, at, change))
            for key, (_, value) in node.index.items()
            if not key.startswith("$")
        }
        return Mapping.of_index(at, at, pairs)
    return Sequence(at, at, [_rehomed(item, at, change) for item in node.items], True)


def _unknown(value: Node | None, change: Change) -> str:
    """A placeholder; no two are equal, but for labels, so that selectors meet the labels of one build."""
    if change.label and isinstance(value, Scalar) and "$" not in value.text and "}" not in value.text:
        return f"${{{value.text}}}"
    return f"{UNKNOWN[:-1]} {next(_numbers)}}}"


def _blur_object(tree: Mapping, change: Change) -> None:
    """Nothing is known of the object but who it is."""
    for parent in (tree, tree.get("metadata")):
        if isinstance(parent, Mapping):
            for key, (_, value) in list(parent.index.items()):
                if key not in _IDENTITY and not (parent is tree and key == "metadata"):
                    _set(parent, key, _rehomed(value, parent.start, change))


def _set(mapping: Mapping, key: str, value: Node) -> None:
    at = mapping.start
    mapping.put(mapping.key(key) or Scalar(at, at, key, ""), value)


def _without_tag(image: str) -> str:
    name = image.partition("@")[0]
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}{last.partition(':')[0]}"


def _fits(target: Target, group: str, labels: dict[str, str]) -> bool:
    """A label that the manifest does not write may be added by a build."""
    if target.group and target.group != group:
        return False
    return all(labels.get(key, value) == value for key, value in target.labels)


def _is_plain(text: str) -> bool:
    return text.replace("-", "").replace("_", "").isalnum()


def _like(pattern: str, text: str) -> bool:
    """Do a name or kind and a pattern of kustomize agree? Patterns other than stars and `|` fit all."""
    if not pattern:
        return True
    return any(_one_like(part, text) for part in pattern.strip("^$()").split("|"))


def _one_like(pattern: str, text: str) -> bool:
    pieces = pattern.split(".*")
    if not all(_is_plain(piece.replace(".", "")) or not piece for piece in pieces):
        return True
    if len(pieces) == 1:
        return pattern == text
    first, *middle, last = pieces
    if not text.startswith(first) or not text.endswith(last) or len(text) < len(first) + len(last):
        return False
    at = len(first)
    for piece in middle:
        at = text.find(piece, at)
        if at < 0:
            return False
        at += len(piece)
    return at <= len(text) - len(last)
