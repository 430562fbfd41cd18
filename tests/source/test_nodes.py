"""Types of scalars are those of the Kubernetes decoder (spec security 0.4)."""

from __future__ import annotations

import math

import pytest

from meshlint.source.nodes import Mapping, Scalar, int_of, resolve_plain, string_map, text_of
from meshlint.source.parse import parse

TYPES = [
    # the table of the spec: what is written, what the decoder sees
    ('"true"', "true"),
    ("true", True),
    ("yes", True),
    ("on", True),
    ("off", False),
    ("no", False),
    ("y", "y"),
    ("n", "n"),
    ("Y", "Y"),
    ("N", "N"),
    ("1-22", "1-22"),
    ("1.22", 1.22),
    ("20240101", 20240101),
    ("010", 8),
    ("null", None),
    ("", None),
    # booleans in the three spellings, and no others
    *((word, True) for word in ("True", "TRUE", "Yes", "YES", "On", "ON")),
    *((word, False) for word in ("false", "False", "FALSE", "No", "NO", "Off", "OFF")),
    *((word, word) for word in ("tRUE", "yEs", "oN", "truE", "t", "f")),
    ("~", None),
    ("Null", None),
    ("NULL", None),
    ("nULL", "nULL"),
    # integers
    ("0", 0),
    ("-0", 0),
    ("+1", 1),
    ("-17", -17),
    ("1_000", 1000),
    ("0o17", 15),
    ("0O17", 15),
    ("-010", -8),
    ("00", 0),
    ("0_7", 7),
    ("0x1F", 31),
    ("0X1f", 31),
    ("-0x1F", -31),
    ("0b101", 5),
    ("0b12", "0b12"),
    ("0o8", "0o8"),
    ("0xZZ", "0xZZ"),
    ("9223372036854775807", 2**63 - 1),
    ("18446744073709551615", 2**64 - 1),
    ("18446744073709551616", 18446744073709551616.0),
    ("-9223372036854775808", -(2**63)),
    ("-9223372036854775809", -9223372036854775809.0),
    ("+18446744073709551615", 18446744073709551615.0),
    ("0xFFFFFFFFFFFFFFFFFF", "0xFFFFFFFFFFFFFFFFFF"),
    ("1" * 100, float("1" * 100)),
    ("1" * 6000, "1" * 6000),
    ("0" * 6000 + "1", 1.0),
    # floats
    ("08", 8.0),
    ("1.", 1.0),
    (".5", 0.5),
    ("-.5", -0.5),
    ("1e3", 1000.0),
    ("1E-2", 0.01),
    ("12e03", 12000.0),
    ("1_000.5", 1000.5),
    ("1e400", "1e400"),
    (".inf", math.inf),
    ("+.Inf", math.inf),
    ("-.INF", -math.inf),
    ("inf", "inf"),
    ("nan", "nan"),
    # what only looks like a number
    (".", "."),
    ("+", "+"),
    ("1.2.3", "1.2.3"),
    ("1:30", "1:30"),
    ("190:20:30", "190:20:30"),
    ("2024-01-01", "2024-01-01"),
    ("2001-12-14t21:59:43.10-05:00", "2001-12-14t21:59:43.10-05:00"),
    ("10s", "10s"),
    ("1e", "1e"),
    ("_1", "_1"),
    ("٣", "٣"),
    ("=", "="),
    # quotes and tags
    ("'010'", "010"),
    ('""', ""),
    ("!!str 010", "010"),
    ("!!int '010'", 8),
    ("!!float 3", 3.0),
    ("!!bool 'yes'", True),
    ("!!null ''", None),
    ("! 12", "12"),
    ("!custom 12", "12"),
    ("!!binary aGk=", "aGk="),
]


@pytest.mark.parametrize(("written", "value"), TYPES, ids=[w[:24] or "(empty)" for w, _ in TYPES])
def test_type(written: str, value: object) -> None:
    root = parse("a.yaml", f"key: {written}\n").documents[0].root
    assert isinstance(root, Mapping)
    node = root.get("key")
    assert isinstance(node, Scalar)
    assert node.value == value
    assert type(node.value) is type(value)


def test_not_a_number() -> None:
    for text in (".nan", ".NaN", ".NAN"):
        value = resolve_plain(text)
        assert isinstance(value, float)
        assert math.isnan(value)


def test_a_dash_is_a_string() -> None:
    assert [resolve_plain(text) for text in ("-", "--", "-.", "-x")] == ["-", "--", "-.", "-x"]


def test_accessors() -> None:
    root = (
        parse("a.yaml", "a: 8e1\nb: true\nc: ~\nd: '~'\ne: {x: 1, y: ~, z: [q]}\nf: 80\n").documents[0].root
    )
    assert isinstance(root, Mapping)
    assert [int_of(root.get(key)) for key in "abcdf"] == [80, None, None, None, 80]
    assert [text_of(root.get(key)) for key in "abcd"] == ["8e1", "true", None, "~"]
    assert string_map(root.get("e")) == {"x": "1", "y": ""}
    assert root.dig("e", "z", 0) is not None
    assert root.dig("e", "z", 1) is None
    assert root.dig("e", "z", "q") is None
    assert root.dig("a", "b") is None


def test_merge_keys() -> None:
    text = "a: &a {x: 1, y: 2}\nb: &b {y: 3, z: 4}\nc:\n  <<: [*a, *b]\n  x: 0\nd:\n  <<: *b\n"
    root = parse("a.yaml", text).documents[0].root
    assert isinstance(root, Mapping)
    assert root.dig("c") is not None
    assert root.plain()["c"] == {"x": 0, "y": 2, "z": 4}  # type: ignore[index, call-overload]
    assert root.plain()["d"] == {"y": 3, "z": 4}  # type: ignore[index, call-overload]


def test_of_duplicates_the_last_counts() -> None:
    document = parse("a.yaml", "a: 1\na: 2\n").documents[0]
    assert isinstance(document.root, Mapping)
    assert document.root.plain() == {"a": 2}
    assert len(document.duplicates) == 1
