"""Which field was meant by one that does not exist? (spec schemas 2.5)

In this order: a name that is removed or invented, with advice; the same word in another spelling; one
slip of the fingers away; the same name elsewhere in the kind ("belongs under"); a close match.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Any

Schema = dict[str, Any]

_CUT_OFF = 0.6
_MANY = 3


def same_word(name: str, known: Iterable[str]) -> str | None:
    """The name in `known` that differs in case, underscores and hyphens only."""
    word = _folded(name)
    return next((other for other in known if _folded(other) == word), None)


def sibling(name: str, known: Iterable[str]) -> str | None:
    """The field beside it that was meant; None where two are as likely."""
    names = list(known)
    same = same_word(name, names)
    if same is not None:
        return same
    word = _folded(name)
    near = [other for other in names if _one_slip(word, _folded(other))]
    if near:
        return near[0] if len(near) == 1 else _closest(name, near)
    return _closest(name, names)


class Homes:
    """Where in a kind is a field of some name? Paths of the parents, the shortest first."""

    def __init__(self, root: Schema, schema: Schema) -> None:
        self._places: dict[str, set[str]] = {}
        for path, name in _fields(root, schema, "", ()):
            self._places.setdefault(_folded(name), set()).add(path)

    def of(self, name: str, path: str) -> list[str]:
        """Those nearest to the place `path` where the field was written."""
        found = self._places.get(_folded(name), ())
        shared = {place: _shared(place.split("."), path.split(".")) for place in found}
        most = max(shared.values(), default=0)
        near = [place for place in found if shared[place] == most]
        return sorted(near, key=lambda place: (place.count("."), place))


def spell_homes(paths: list[str]) -> str:
    shown = ", ".join(path or "the top level" for path in paths[:_MANY])
    return shown + (f" and {len(paths) - _MANY} more places" if len(paths) > _MANY else "")


def _shared(a: list[str], b: list[str]) -> int:
    """How many steps two paths have in common; positions in lists do not count."""
    count = 0
    for one, other in zip(a, b, strict=False):
        if one.partition("[")[0] != other.partition("[")[0]:
            break
        count += 1
    return count


def _closest(name: str, names: list[str]) -> str | None:
    found = get_close_matches(name, names, n=1, cutoff=_CUT_OFF)
    return found[0] if found else None


def _folded(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


def _one_slip(a: str, b: str) -> bool:
    """One letter too much, too few, wrong, or two swapped."""
    if abs(len(a) - len(b)) > 1:
        return False
    start = 0
    while start < min(len(a), len(b)) and a[start] == b[start]:
        start += 1
    rest_a, rest_b = a[start:], b[start:]
    return (
        rest_a[1:] == rest_b[1:]
        or rest_a[1:] == rest_b
        or rest_a == rest_b[1:]
        or (rest_a[:2] == rest_b[1::-1] and rest_a[2:] == rest_b[2:])
    )


def _fields(root: Schema, schema: Any, path: str, followed: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """(path of the parent, name) of all fields; a reference is followed once on the way down."""
    if not isinstance(schema, dict):
        return
    reference = schema.get("$ref")
    if reference is not None:
        if reference not in followed:
            yield from _fields(root, resolve(root, reference), path, (*followed, reference))
        return
    for name, sub in schema.get("properties", {}).items():
        if path or name not in ("metadata", "status"):
            yield path, name
            yield from _fields(root, sub, f"{path}.{name}" if path else name, followed)
    yield from _fields(root, schema.get("items"), f"{path}[]", followed)
    yield from _fields(root, schema.get("additionalProperties"), f"{path}.*", followed)


def resolve(root: Schema, reference: str) -> Schema:
    """The schema that a reference within the same file names."""
    target: Any = root
    for step in reference.removeprefix("#/").split("/"):
        target = target[step.replace("~1", "/").replace("~0", "~")]
    return target  # type: ignore[no-any-return]
