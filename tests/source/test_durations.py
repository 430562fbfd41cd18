"""Duration grammars: the table of literals in spec traffic 2.2, and Go's limits."""

from __future__ import annotations

import pytest

from meshlint.source.durations import (
    SECOND,
    Duration,
    gateway_duration,
    go_duration,
    istio_duration,
    kyma_seconds,
    spell,
)
from meshlint.source.nodes import Mapping, Node
from meshlint.source.parse import parse


def node(yaml: str) -> Node:
    root = parse("x.yaml", f"v: {yaml}\n").documents[0].root
    assert isinstance(root, Mapping)
    value = root.get("v")
    assert value is not None
    return value


def verdict(duration: Duration) -> float | str | None:
    return "R" if duration.problem else duration.seconds


@pytest.mark.parametrize(
    ("literal", "istio", "gateway"),
    [
        ('"5s"', 5.0, 5.0),
        ("5", "R", "R"),
        ('"5"', "R", "R"),
        ('"0s"', "R", 0.0),
        ('"0"', "R", "R"),
        ('"1.5s"', 1.5, "R"),
        ('".5s"', 0.5, "R"),
        ('"1m30s"', 90.0, 90.0),
        ('"1ms"', 0.001, 0.001),
        ('"500us"', "R", "R"),
        ('"999us"', "R", "R"),
        ('"1500us"', "R", "R"),
        ('"1s1ns"', "R", "R"),
        ('"-1s"', "R", "R"),
        ('"1d"', "R", "R"),
        ('"1w"', "R", "R"),
        ('"5 s"', "R", "R"),
        ('"1m 30s"', "R", "R"),
        ('"5S"', "R", "R"),
        ('"100000s"', 100000.0, "R"),
        ('"1h"', 3600.0, 3600.0),
        ("[5s]", "R", "R"),
        ("true", "R", "R"),
        ('""', "R", "R"),
        ("${TIMEOUT}", None, None),
        ("~", None, None),
    ],
)
def test_2_2_literals(literal: str, istio: object, gateway: object) -> None:
    assert verdict(istio_duration(node(literal))) == istio
    assert verdict(gateway_duration(node(literal))) == gateway


@pytest.mark.parametrize(
    ("literal", "kyma"),
    [
        ("5", 5.0),
        ('"3900"', "R"),
        ("3900", 3900.0),
        ("1", 1.0),
        ("0", "R"),
        ("5000", "R"),
        ("-1", "R"),
        ("30s", "R"),
        ("1.5", "R"),
        ("true", "R"),
        ("${TIMEOUT}", None),
    ],
)
def test_2_2_kyma(literal: str, kyma: object) -> None:
    assert verdict(kyma_seconds(node(literal))) == kyma


@pytest.mark.parametrize(
    ("literal", "length"), [("0s", 0.0), ("500us", 0.0005), ("1500us", "R"), ("1h", 3600.0)]
)
def test_2_2_tcp_idle_timeout_may_be_zero(literal: str, length: object) -> None:
    assert verdict(istio_duration(node(literal), zero_allowed=True)) == length


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("0", 0),
        ("+5s", 5 * SECOND),
        ("-1.5h", -5400 * SECOND),
        ("5.s", 5 * SECOND),
        (".s", None),
        ("s", None),
        ("", None),
        ("-", None),
        ("1s2", None),
        ("1µs", 1000),
        ("1μs", 1000),
        ("1h1h", 7200 * SECOND),
        ("2562047h47m16s", 9223372036 * SECOND),
        ("2562048h", None),
        ("0.1ns", 0),
        ("١s", None),  # noqa: RUF001
    ],
)
def test_go_durations(text: str, nanoseconds: int | None) -> None:
    assert go_duration(text) == nanoseconds


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (250_000_000, "250ms"),
        (SECOND, "1s"),
        (1_500_000_000, "1.5s"),
        (90 * SECOND, "1m30s"),
        (3600 * SECOND, "1h"),
        (3660 * SECOND, "1h1m"),
    ],
)
def test_spelling(nanoseconds: int, text: str) -> None:
    assert spell(nanoseconds) == text
