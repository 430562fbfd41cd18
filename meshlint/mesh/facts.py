"""Answers that remember why: a value, the nodes that decided it, and what evidence was missing.

Three-valued by construction (spec security 0.2): a Fact is known, unknown or a conflict. Nobody
may read `value` of a fact that is not known; use `known`, `unknown`, `conflict` first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, Generic, TypeVar

from meshlint.records import dataclass

if TYPE_CHECKING:
    from meshlint.resources import Place

T = TypeVar("T")
U = TypeVar("U")


class State(Enum):
    KNOWN = "known"
    UNKNOWN = "unknown"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class Fact(Generic[T]):
    """`because` is the ordered chain of places that decided, winner first.

    `certain` is False when one more plausible object outside the input could flip the value (spec
    security 0.2, monotonicity). `reason` says in words what decided, or which evidence is missing.
    `assumptions` are ids of the ledger (spec security 0.3).
    """

    state: State
    _value: T | None = None
    because: tuple[Place, ...] = ()
    certain: bool = True
    reason: str = ""
    assumptions: tuple[str, ...] = ()

    @staticmethod
    def of(
        value: U,
        *because: Place,
        reason: str = "",
        certain: bool = True,
        assumptions: tuple[str, ...] = (),
    ) -> Fact[U]:
        return Fact(State.KNOWN, value, because, certain, reason, assumptions)

    @staticmethod
    def missing(reason: str, *because: Place) -> Fact[U]:
        """Unknown: `reason` names the missing evidence."""
        return Fact(State.UNKNOWN, None, because, False, reason)

    @staticmethod
    def disputed(reason: str, *because: Place) -> Fact[U]:
        """Two places decide differently and nothing in the input says which one wins."""
        return Fact(State.CONFLICT, None, because, False, reason)

    @property
    def known(self) -> bool:
        return self.state is State.KNOWN

    @property
    def unknown(self) -> bool:
        return self.state is State.UNKNOWN

    @property
    def conflict(self) -> bool:
        return self.state is State.CONFLICT

    @property
    def value(self) -> T:
        if self.state is not State.KNOWN:
            raise ValueError(f"{self.state.value}: {self.reason}")
        return self._value  # type: ignore[return-value]

    def or_else(self, default: T) -> T:
        return self.value if self.known else default

    def is_(self, *values: T) -> bool:
        """Known, and one of the values."""
        return self.state is State.KNOWN and self._value in values

    def uncertain(self, *assumptions: str) -> Fact[T]:
        return replace(self, certain=False, assumptions=(*self.assumptions, *assumptions))


def all_of(*answers: bool | None) -> bool | None:
    """Three-valued AND; None is unknown."""
    return every(answers)


def any_of(*answers: bool | None) -> bool | None:
    """Three-valued OR; None is unknown."""
    return some(answers)


def every(answers: Iterable[bool | None]) -> bool | None:
    """Three-valued AND that stops at the first False."""
    result: bool | None = True
    for answer in answers:
        if answer is False:
            return False
        if answer is None:
            result = None
    return result


def some(answers: Iterable[bool | None]) -> bool | None:
    """Three-valued OR that stops at the first True."""
    result: bool | None = False
    for answer in answers:
        if answer:
            return True
        if answer is None:
            result = None
    return result
