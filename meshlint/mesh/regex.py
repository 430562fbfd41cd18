r"""Does a regular expression of a route match a whole text, as the proxies' engine (RE2) decides?

An automaton is simulated, so that the time is bounded by pattern times text whatever the pattern. What
is read is the part of RE2 that manifests use: literals, ``.``, classes, groups, alternatives, repetitions,
anchors and a leading ``(?i)``. For everything else, and for texts that are not ASCII, the answer is None.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final

from meshlint.records import dataclass

#: steps of a program times characters of a text: about a second
_MOST_WORK: Final = 2_000_000
_MOST_STEPS: Final = 5_000
#: what RE2 allows for one repetition, and for nested ones multiplied
MOST_REPEATS: Final = 1_000
_COUNTED: Final = re.compile(r"\{(0|[1-9][0-9]{0,3})(?:(,)(0|[1-9][0-9]{0,3})?)?\}")
_NAMED: Final = re.compile(r"\?P?<\w+>")
_ASCII: Final = frozenset(map(chr, range(128)))
_WORD: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
_DIGITS: Final = frozenset("0123456789")
_SPACES: Final = frozenset(" \t\n\f\r")
_CLASSES: Final = {
    "d": _DIGITS,
    "w": _WORD,
    "s": _SPACES,
    "D": _ASCII - _DIGITS,
    "W": _ASCII - _WORD,
    "S": _ASCII - _SPACES,
}
_CONTROLS: Final = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "a": "\a"}
_ANCHORS: Final = {"A": "start", "z": "end"}

Emit = Callable[[list["_Step"]], None]


def full_match(pattern: str, text: str) -> bool | None:
    """None: the pattern uses what is not read here, is refused by RE2, or the pair is too large."""
    program = _program(pattern)
    if program is None or not text.isascii() or len(program) * (len(text) + 1) > _MOST_WORK:
        return None
    return _run(program, text)


@dataclass(slots=True)
class _Step:
    """`kind` is one of chars, split, start, end, match; `to` are the steps that may follow."""

    kind: str
    chars: frozenset[str] = frozenset()
    to: tuple[int, ...] = ()


class _UnreadError(Exception):
    """The pattern holds something that is not read here."""


@lru_cache(maxsize=4096)
def _program(pattern: str) -> list[_Step] | None:
    if not pattern.isascii():
        return None
    try:
        emit = _Parser(pattern).whole()
        steps: list[_Step] = []
        emit(steps)
    except (_UnreadError, RecursionError):
        return None
    steps.append(_Step("match"))
    return steps


def _run(steps: list[_Step], text: str) -> bool:
    current = _closure(steps, (0,), 0, len(text))
    for at, char in enumerate(text):
        following = [n for s in current if char in steps[s].chars for n in steps[s].to]
        if not following:
            return False
        current = _closure(steps, following, at + 1, len(text))
    return any(steps[s].kind == "match" for s in current)


def _closure(steps: list[_Step], start: Iterable[int], at: int, end: int) -> list[int]:
    """The steps that consume something, or match, and are reached without consuming."""
    pending, seen, found = list(start), set(), []
    while pending:
        number = pending.pop()
        if number in seen:
            continue
        seen.add(number)
        step = steps[number]
        if step.kind in ("chars", "match"):
            found.append(number)
        elif step.kind == "split" or at == (0 if step.kind == "start" else end):
            pending.extend(step.to)
    return found


class _Parser:
    """A pattern -> functions that append steps; each ends where the next step will stand."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.folded = text.startswith("(?i)")
        self.at = 4 if self.folded else 0

    def whole(self) -> Emit:
        emit = self._alternatives()
        if self.at < len(self.text):
            raise _UnreadError
        return emit

    def _alternatives(self) -> Emit:
        branches = [self._sequence()]
        while self._take("|"):
            branches.append(self._sequence())
        return branches[0] if len(branches) == 1 else _either(branches)

    def _sequence(self) -> Emit:
        parts = []
        while self.at < len(self.text) and self.text[self.at] not in "|)":
            parts.append(self._repeated(self._atom()))
        return _all_of(parts)

    def _repeated(self, atom: Emit) -> Emit:
        char = self.text[self.at : self.at + 1]
        counted = _COUNTED.match(self.text, self.at) if char == "{" else None
        if char and char in "*+?":
            least, most = {"*": (0, None), "+": (1, None), "?": (0, 1)}[char]
            self.at += 1
        elif counted:
            least = int(counted[1])
            most = least if not counted[2] else int(counted[3]) if counted[3] else None
            self.at = counted.end()
        else:
            return atom
        if max(least, most or 0) > MOST_REPEATS or (most is not None and most < least):
            raise _UnreadError
        self._take("?")  # lazy or greedy: the same texts match as a whole
        if self.text[self.at : self.at + 1] in ("*", "+", "?") or _COUNTED.match(self.text, self.at):
            raise _UnreadError
        return _times(atom, least, most)

    def _atom(self) -> Emit:
        char = self.text[self.at]
        self.at += 1
        if char == "(":
            return self._group()
        if char == "[":
            return self._chars(self._class())
        if char == "\\":
            return self._escape()
        if char in "*+?":
            raise _UnreadError
        if char == ".":
            return self._chars(_ASCII - {"\n"})
        if char in "^$":
            return _anchor("start" if char == "^" else "end")
        return self._chars(frozenset(char))

    def _group(self) -> Emit:
        if self._peek("?"):
            named = _NAMED.match(self.text, self.at)
            if named is None and not self.text.startswith("?:", self.at):
                raise _UnreadError
            self.at = named.end() if named else self.at + 2
        emit = self._alternatives()
        if not self._take(")"):
            raise _UnreadError
        return emit

    def _escape(self) -> Emit:
        anchor = _ANCHORS.get(self.text[self.at : self.at + 1])
        if anchor is not None:
            self.at += 1
            return _anchor(anchor)
        return self._chars(self._escaped())

    def _escaped(self) -> frozenset[str]:
        """What stands after a backslash, in or outside of a class."""
        char = self.text[self.at : self.at + 1]
        self.at += 1
        if char in _CLASSES:
            return _CLASSES[char]
        if char in _CONTROLS:
            return frozenset(_CONTROLS[char])
        if not char or char.isalnum():
            raise _UnreadError
        return frozenset(char)

    def _class(self) -> frozenset[str]:
        negated = self._take("^")
        found: set[str] = set()
        first = True
        while first or not self._peek("]"):
            first = False
            if self.at >= len(self.text) or self.text.startswith("[:", self.at):
                raise _UnreadError
            found |= self._range()
        self.at += 1
        if self.folded:
            found |= {c.swapcase() for c in found}
        return _ASCII - found if negated else frozenset(found)

    def _range(self) -> frozenset[str]:
        low = self._member()
        if not self._peek("-") or self.text.startswith("-]", self.at):
            return low
        self.at += 1
        high = self._member()
        if len(low) != 1 or len(high) != 1 or min(high) < min(low):
            raise _UnreadError
        return frozenset(map(chr, range(ord(min(low)), ord(min(high)) + 1)))

    def _member(self) -> frozenset[str]:
        if self.at >= len(self.text):
            raise _UnreadError
        char = self.text[self.at]
        self.at += 1
        return self._escaped() if char == "\\" else frozenset(char)

    def _chars(self, chars: frozenset[str]) -> Emit:
        if self.folded:
            chars = chars | {c.swapcase() for c in chars} if len(chars) <= 1 else chars
        return lambda steps: _append(steps, _Step("chars", chars, (len(steps) + 1,)))

    def _peek(self, text: str) -> bool:
        return self.text.startswith(text, self.at)

    def _take(self, text: str) -> bool:
        found = self._peek(text)
        self.at += len(text) if found else 0
        return found


def _append(steps: list[_Step], step: _Step) -> None:
    if len(steps) >= _MOST_STEPS:
        raise _UnreadError
    steps.append(step)


def _all_of(parts: list[Emit]) -> Emit:
    def emit(steps: list[_Step]) -> None:
        for part in parts:
            part(steps)

    return emit


def _either(branches: list[Emit]) -> Emit:
    def emit(steps: list[_Step]) -> None:
        choice = _Step("split")
        _append(steps, choice)
        starts, leaves = [], []
        for branch in branches:
            starts.append(len(steps))
            branch(steps)
            leave = _Step("split")
            _append(steps, leave)
            leaves.append(leave)
        choice.to = tuple(starts)
        for leave in leaves:
            leave.to = (len(steps),)

    return emit


def _times(atom: Emit, least: int, most: int | None) -> Emit:
    def emit(steps: list[_Step]) -> None:
        for _ in range(least):
            atom(steps)
        if most is None:
            again = _Step("split")
            at = len(steps)
            _append(steps, again)
            atom(steps)
            _append(steps, _Step("split", to=(at,)))
            again.to = (at + 1, len(steps))
            return
        skips = []
        for _ in range(most - least):
            skip = _Step("split", to=(len(steps) + 1,))
            skips.append(skip)
            _append(steps, skip)
            atom(steps)
        for skip in skips:
            skip.to = (*skip.to, len(steps))

    return emit


def _anchor(kind: str) -> Emit:
    return lambda steps: _append(steps, _Step(kind, to=(len(steps) + 1,)))
