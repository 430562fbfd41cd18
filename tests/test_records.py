"""Our records behave as those of the standard library, for all that meshlint uses."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections import defaultdict
from dataclasses import FrozenInstanceError, asdict, field, fields, replace
from typing import Generic, TypeVar

import pytest

from meshlint.records import dataclass

T = TypeVar("T")


def pair_of(make):
    """The same classes, made by one of the two decorators."""

    class Made:
        @make(frozen=True, slots=True)
        class Point(Generic[T]):
            """A doc string."""

            x: T
            y: int = 0
            tags: dict[str, int] = field(default_factory=dict, compare=False, repr=False)

            @property
            def sum(self) -> int:
                return self.y + 1

            @staticmethod
            def origin():
                return 0

        @make(slots=True)
        class Open:
            items: list[int] = field(default_factory=list)
            name: str | None = None

        @make(frozen=True, slots=True, eq=False)
        class Same:
            x: int

        @make(slots=True)
        class Own:
            x: int
            _index: dict[str, list[int]] = field(init=False)

            def __init__(self, x: int) -> None:
                self.x = x
                self._index = defaultdict(list)

        @make
        class Plain:
            x: int = 1

            def __post_init__(self) -> None:
                self.x += 1

        @make(slots=True)
        class Child(Plain):
            z: str = "z"

    return Made


OURS, STANDARD = pair_of(dataclass), pair_of(dataclasses.dataclass)


@pytest.fixture(params=[OURS, STANDARD], ids=["ours", "standard"])
def made(request):
    return request.param


def test_construction(made):
    point = made.Point(1)
    assert (point.x, point.y, point.tags, point.sum, point.origin()) == (1, 0, {}, 1, 0)
    assert made.Point(1).tags is not point.tags
    assert made.Point("a", y=2, tags={"t": 1}).tags == {"t": 1}
    assert made.Open().items == []
    assert made.Own(3)._index["a"] == []
    assert made.Plain().x == 2
    assert (made.Child(4).x, made.Child(4, "y").z) == (5, "y")


@pytest.mark.parametrize("arguments", [(), (1, 2, 3, 4)])
def test_wrong_construction(made, arguments):
    with pytest.raises(TypeError, match="__init__"):
        made.Point(*arguments)


def test_equality_and_hash(made):
    a, b = made.Point(1, 2, {"t": 1}), made.Point(1, 2)
    assert a == b
    assert hash(a) == hash(b)
    assert a != made.Point(1, 3)
    assert a != (1, 2)
    assert made.Open([1]) == made.Open([1])
    assert made.Same(1) != made.Same(1)
    assert len({made.Same(1), made.Same(1)}) == 2
    with pytest.raises(TypeError, match="unhashable"):
        hash(made.Open())


def test_frozen(made):
    point = made.Point(1)
    with pytest.raises(FrozenInstanceError):
        point.x = 2
    with pytest.raises(FrozenInstanceError):
        del point.x
    made.Open().name = "a"


def test_slots(made):
    assert not hasattr(made.Point(1), "__dict__")
    with pytest.raises(AttributeError):
        made.Open().other = 1
    assert made.Point.__slots__ == ("x", "y", "tags")


def test_the_tools_of_the_standard_library_work(made):
    point = made.Point(1, 2)
    assert replace(point, y=5).y == 5
    assert [f.name for f in fields(point)] == ["x", "y", "tags"]
    assert asdict(made.Open([1], "n")) == {"items": [1], "name": "n"}
    assert dataclasses.is_dataclass(made.Point)
    assert copy.copy(point) == point
    assert copy.deepcopy(point) == point


def test_names_and_representation(made):
    assert repr(made.Point(1)).endswith("Made.Point(x=1, y=0)")
    assert made.Point.__doc__ == "A doc string."
    assert made.Point.__name__ == "Point"
    assert made.Point.__match_args__ == ("x", "y", "tags")
    assert made.Point[int].__origin__ is made.Point


def test_pickle():
    from meshlint.findings import Location

    location = Location("a", "", 1, 2, 3, 4)
    assert pickle.loads(pickle.dumps(location)) == location


def test_mutable_defaults_are_refused():
    with pytest.raises(ValueError, match="mutable default"):

        @dataclass(slots=True)
        class Wrong:
            items: list[int] = []  # noqa: RUF012
