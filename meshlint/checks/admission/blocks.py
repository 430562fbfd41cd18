"""What is written in one block of an object, and where, for checks that judge the object alone?

A `Block` is a mapping with the way to it. Its answers keep apart what is absent or empty, what is
written, and what a template fills in later: of null and of placeholders nothing is said, and of values
of another type neither (the schema says that).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from typing import NamedTuple, TypeVar
from weakref import WeakKeyDictionary

from meshlint.findings import Draft
from meshlint.mesh.mesh import Mesh
from meshlint.resources import Place, Resource
from meshlint.source.nodes import Mapping, Node, Scalar, Sequence, int_of, is_true
from meshlint.source.templates import is_placeholder

T = TypeVar("T")
REFUSED = ("IST0106",)
WARNED = ("IST0133",)


class Block(NamedTuple):
    """`key` is the key under which the mapping stands; None for the item of a list."""

    resource: Resource
    node: Mapping
    key: Scalar | None = None

    def block(self, name: str) -> Block | None:
        """The mapping under a key."""
        pair = self.node.index.get(name)
        if pair is None or pair[1].__class__ is not Mapping:
            return None
        return Block(self.resource, pair[1], pair[0])

    def blocks(self, name: str) -> list[Block]:
        """The mappings in the list under a key."""
        node = self.node.get(name)
        if not isinstance(node, Sequence):
            return []
        return [Block(self.resource, item) for item in node.items if isinstance(item, Mapping)]

    def has(self, name: str) -> bool:
        """Is there anything under the key but null, an empty text or an empty list?"""
        node = self.node.get(name)
        if node is None or (isinstance(node, Sequence) and not node.items):
            return False
        return not isinstance(node, Scalar) or node.value not in (None, "")

    def lacks(self, name: str) -> bool:
        """Is the key absent or its value empty? A null is neither: a template may fill it."""
        node = self.node.get(name)
        if node is None or (isinstance(node, Sequence) and not node.items):
            return True
        return isinstance(node, Scalar) and node.value == ""

    def text(self, name: str) -> str | None:
        """The string under a key; None where there is none that could be judged."""
        return judged(self.node.get(name))

    def texts(self, name: str) -> Iterator[tuple[Scalar, str]]:
        """The strings of the list under a key that can be judged."""
        node = self.node.get(name)
        if isinstance(node, Sequence):
            for item in node.items:
                text = judged(item)
                if text is not None and isinstance(item, Scalar):
                    yield item, text

    def number(self, name: str) -> int | None:
        """The integer under a key."""
        return int_of(self.node.get(name))

    def real(self, name: str) -> float | None:
        """The number under a key, whole or not."""
        node = self.node.get(name)
        value = node.value if isinstance(node, Scalar) else None
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None

    def true(self, name: str) -> bool:
        """Is the boolean under a key written as true?"""
        return is_true(self.node.get(name))

    def enum(self, name: str, zero: str) -> str | None:
        """The word of an enumeration; `zero` is what an absent one means; None where unknown."""
        return self.text(name) if name in self.node.index else zero

    def place(self, name: str = "", part: str = "value") -> Place:
        """The place of a key's value (or key); without the key, of the block itself."""
        pair = self.node.index.get(name)
        if pair is not None:
            return Place(self.resource, pair[0] if part == "key" else pair[1])
        if self.key is not None:
            return Place(self.resource, self.key)
        items = self.node.items
        return Place(self.resource, items[0][0] if items else self.node)


def once(walk: Callable[[Mesh], T]) -> Callable[[Mesh], T]:
    """Walk each mesh only once: many rules look at the same blocks."""
    known: WeakKeyDictionary[Mesh, T] = WeakKeyDictionary()

    @wraps(walk)
    def remembered(mesh: Mesh) -> T:
        found = known.get(mesh)
        if found is None:
            found = known[mesh] = walk(mesh)
        return found

    return remembered


def spec(resource: Resource) -> Block | None:
    """The spec of a resource."""
    return Block(resource, resource.root).block("spec")


def judged(node: Node | None) -> str | None:
    """The text of a string, or of a number where a string was meant to be; no template."""
    if not isinstance(node, Scalar) or node.value is None or is_placeholder(node.text):
        return None
    return node.text


def refused(place: Place, says: str, label: str, advice: str) -> Draft:
    """Istio refuses the object; `says` goes on after its title."""
    return Draft(
        place,
        f"{place.resource.title} {says}; Istio refuses it",
        label=label,
        help=advice,
        equivalents=REFUSED,
    )


def warned(place: Place, says: str, label: str, advice: str) -> Draft:
    """Istio takes the object and warns, among refusals of the same rule."""
    return Draft(
        place,
        f"{place.resource.title} {says}",
        label=label,
        help=advice,
        severity="warning",
        equivalents=WARNED,
    )
