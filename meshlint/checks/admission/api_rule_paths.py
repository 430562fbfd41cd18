"""Which rules of an APIRule are in the way of each other? (spec schemas 4.2, ecosystem f.4)

A path is compared segment by segment; `{*}` stands for one segment and `{**}` for the rest. The rule
that comes first wins, so what it covers as a whole must not come again with one of its methods.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final

from meshlint.checks.admission.api_rule import failed, rules, specs
from meshlint.checks.admission.blocks import Block
from meshlint.findings import Draft
from meshlint.mesh.mesh import Mesh

Options = Mapping[str, Any]

_ONE: Final = "{*}"
_REST: Final = "{**}"


def operators(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for rule in rules(mesh):
        found = [part for part in (rule.text("path") or "").split("/") if part in (_ONE, _REST)]
        problem = ""
        if found.count(_REST) > 1:
            problem = "has {**} more than once"
        elif _REST in found[:-1]:
            problem = "has another operator after {**}"
        if problem:
            yield failed(
                rule.place("path"),
                f"has a path that {problem}",
                problem,
                "use {**} once, after every {*}",
            )


def conflicts(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for spec in specs(mesh):
        seen: list[tuple[str, frozenset[str], Block]] = []
        for rule in spec.blocks("rules"):
            path = rule.text("path")
            if not path:
                continue
            methods = frozenset(text for _, text in rule.texts("methods"))
            for earlier, taken, other in seen:
                both = sorted(methods & taken)
                if both and covers(earlier, path):
                    yield _conflict(rule, other, ", ".join(both), path, earlier)
                    break
            seen.append((path, methods, rule))


def _conflict(rule: Block, other: Block, methods: str, path: str, earlier: str) -> Draft:
    same = "once more" if path == earlier else f"after {earlier}, which covers it"
    draft = failed(
        rule.place("path"),
        f"has a rule for {methods} on {path} {same}",
        "an earlier rule has it",
        "put the more specific path first, and each path with a method only once",
    )
    return replace(draft, related=(("the earlier rule", other.place("path")),))


@lru_cache(maxsize=4096)
def covers(general: str, special: str) -> bool:
    """Does one path template match everything that the other does?"""
    return _covers(_parts(general), _parts(special))


def _parts(path: str) -> tuple[str, ...]:
    """``/*`` is an old way to write ``/{**}``."""
    return (_REST,) if path == "/*" else tuple(path[1:].split("/"))


def _covers(general: tuple[str, ...], special: tuple[str, ...]) -> bool:
    if not general or not special:
        return not general and not special
    first, rest = general[0], general[1:]
    if first == _REST:
        return any(_covers(rest, special[count:]) for count in range(1, len(special) + 1))
    if special[0] == _REST:
        return False
    fits = special[0] != "" if first == _ONE else special[0] == first
    return fits and _covers(rest, special[1:])
