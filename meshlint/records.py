"""`dataclass` as in the standard library, but cheap to define.

The standard decorator compiles up to six functions for each class, about half a millisecond; with
some eighty classes that is a third of a whole run over a small file. This one compiles `__init__` and
shares everything else. It takes the same arguments that meshlint uses, and `field`, `replace`, `fields`
and `asdict` of the standard library work on its classes. Type checkers see the standard decorator.
"""

from __future__ import annotations

from dataclasses import MISSING, Field, FrozenInstanceError, field
from inspect import get_annotations
from operator import attrgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(cls=None, /, *, frozen=False, slots=False, eq=True, repr=True):  # noqa: A002
        """Make a class with typed attributes a record."""
        if cls is None:
            return lambda found: _record(found, frozen, slots, eq, repr)
        return _record(cls, frozen, slots, eq, repr)


def _record(cls: type, frozen: bool, slots: bool, eq: bool, shown: bool) -> type:
    own = {name: _field(cls, name, kind) for name, kind in get_annotations(cls).items()}
    members: dict[str, Any] = {f.name: f for f in own.values()}
    inherited = {name: f for base in reversed(cls.__mro__[1:]) for name, f in _fields_of(base).items()}
    fields = {**inherited, **members}
    names = tuple(name for name, f in fields.items() if f.init)
    added: dict[str, Any] = {
        "__dataclass_fields__": fields,
        "__dataclass_params__": _PARAMETERS,
        "__match_args__": names,
    }
    if "__init__" not in cls.__dict__:
        added["__init__"] = _init(cls, fields, frozen)
    if eq:
        added |= _comparison(tuple(name for name, f in fields.items() if f.compare), frozen)
    if shown and "__repr__" not in cls.__dict__:
        added["__repr__"] = _repr
    if frozen:
        added |= {"__setattr__": _refuse_to_set, "__delattr__": _refuse_to_delete}
    if slots:
        return _with_slots(cls, own, added, frozen)
    for name, f in own.items():
        if f.default is MISSING and name in cls.__dict__:
            delattr(cls, name)
    for name, value in added.items():
        setattr(cls, name, value)
    return cls


def _field(cls: type, name: str, kind: Any) -> Field[Any]:
    default = cls.__dict__.get(name, MISSING)
    found: Field[Any] = default if isinstance(default, Field) else field(default=default)
    if found.default.__class__ in (list, dict, set):
        raise ValueError(f"mutable default for {cls.__name__}.{name}: use default_factory")
    found.name, found.type = name, kind
    found._field_type = _FIELD  # type: ignore[attr-defined]
    return found


def _fields_of(cls: type) -> dict[str, Field[Any]]:
    fields: dict[str, Field[Any]] = cls.__dict__.get("__dataclass_fields__", {})
    return fields


def _init(cls: type, fields: dict[str, Field[Any]], frozen: bool) -> Any:
    known: dict[str, Any] = {"_missing": MISSING, "_set": object.__setattr__}
    parameters, lines = [], []
    for name, f in fields.items():
        value = name
        if f.default_factory is not MISSING:
            known[f"_make_{name}"] = f.default_factory
            value = f"_make_{name}()" + (f" if {name} is _missing else {name}" if f.init else "")
            parameters.append(f"{name}=_missing") if f.init else None
        elif f.default is not MISSING:
            known[f"_default_{name}"] = f.default
            value = name if f.init else f"_default_{name}"
            parameters.append(f"{name}=_default_{name}") if f.init else None
        elif f.init:
            parameters.append(name)
        else:
            continue
        lines.append(f"_set(self, {name!r}, {value})" if frozen else f"self.{name} = {value}")
    if hasattr(cls, "__post_init__"):
        lines.append("self.__post_init__()")
    body = "\n ".join(lines) or "pass"
    exec(f"def __init__(self, {', '.join(parameters)}):\n {body}", known)  # noqa: S102
    made = known["__init__"]
    made.__qualname__ = f"{cls.__qualname__}.__init__"
    return made


def _comparison(names: tuple[str, ...], frozen: bool) -> dict[str, Any]:
    values: Any = attrgetter(*names) if names else lambda _: ()

    def equal(self: object, other: object) -> Any:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return bool(values(self) == values(other))

    def hashed(self: object) -> int:
        return hash(values(self))

    return {"__eq__": equal, "__hash__": hashed if frozen else None}


def _with_slots(cls: type, own: dict[str, Field[Any]], added: dict[str, Any], frozen: bool) -> type:
    """The same class again: slots can only be given to a class that is being made."""
    namespace = {
        k: v for k, v in cls.__dict__.items() if k not in own and k not in ("__dict__", "__weakref__")
    }
    namespace |= added
    namespace["__slots__"] = tuple(own)
    if frozen:
        namespace |= {"__getstate__": _state, "__setstate__": _restore}
    made = type(cls)(cls.__name__, cls.__bases__, namespace)
    made.__qualname__ = cls.__qualname__
    return made


def _repr(self: Any) -> str:
    shown = (f for f in self.__dataclass_fields__.values() if f.repr)
    values = ", ".join(f"{f.name}={getattr(self, f.name)!r}" for f in shown)
    return f"{self.__class__.__qualname__}({values})"


def _refuse_to_set(self: object, name: str, value: object) -> None:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_to_delete(self: object, name: str) -> None:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _state(self: Any) -> list[Any]:
    return [getattr(self, name) for name in self.__dataclass_fields__]


def _restore(self: Any, state: list[Any]) -> None:
    for name, value in zip(self.__dataclass_fields__, state, strict=True):
        object.__setattr__(self, name, value)


def _standard() -> tuple[Any, Any]:
    """What the standard library puts on the fields and classes that it makes."""
    from dataclasses import dataclass as standard

    @standard
    class _Sample:
        """One field, so that there is one to look at."""

        sample: int

    made: Any = _Sample
    return made.__dataclass_fields__["sample"]._field_type, made.__dataclass_params__


_FIELD, _PARAMETERS = _standard()
