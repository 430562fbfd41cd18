"""Which values has a claim of a token? (spec traffic 5.5; security 5.4)

A claim is named by its steps, as in ``request.auth.claims[a][b]`` and ``@request.auth.claims.a.b``. Where
claims are known, one that is not among them is absent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Mapping as MappingOf
from typing import Any, Final

#: claims by their steps; hashable, as tokens are
Claims = tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]

#: how the headers begin by which a match of a route asks for claims
CLAIMS: Final = "@request.auth.claims"
#: texts that the proxy splits at spaces
_SPLIT: Final = frozenset({("scope",), ("permission",)})
_BRACKETS: Final = re.compile(r"\[([^\]]*)\]")


def claims_of(data: MappingOf[str, Any]) -> Claims:
    """Claims from plain data: texts, lists of texts, and mappings of both."""
    return tuple(_flat(data, ()))


def values_of(claims: Claims, steps: tuple[str, ...]) -> tuple[str, ...]:
    """The values of a claim, any of which may match; none where it is absent."""
    return dict(claims).get(steps, ())


def steps_of(name: str) -> tuple[str, ...]:
    """The claim that a condition or a header of a match names: in brackets or after dots."""
    _, _, rest = name.partition("claims")
    if rest.startswith("["):
        return tuple(_BRACKETS.findall(rest))
    return tuple(rest.removeprefix(".").split("."))


def _flat(
    data: MappingOf[str, Any], above: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    for name, value in data.items():
        steps = (*above, name)
        if isinstance(value, MappingOf):
            yield from _flat(value, steps)
        elif isinstance(value, list):
            yield steps, tuple(map(str, value))
        else:
            yield steps, tuple(str(value).split()) if steps in _SPLIT else (str(value),)
