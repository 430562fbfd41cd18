"""Nodes of a text inside a scalar stand where a reader sees them."""

from __future__ import annotations

import pytest

from meshlint.source.embedded import embedded
from meshlint.source.nodes import Mapping, Scalar
from meshlint.source.parse import parse


def inner(text: str, *path: str | int) -> tuple[str, str]:
    """The value at a path of the text under `data.mesh`, and the part of the file that it points to."""
    file = parse("a.yaml", text)
    scalar = file.documents[0].root.dig("data", "mesh")
    assert isinstance(scalar, Scalar)
    read = embedded(file, scalar)
    assert read.problem is None
    node = read.root.dig(*path)
    return node.text, file.text[node.start : node.end]


@pytest.mark.parametrize("header", ["|", "|-", "|+", "|2", "|  # why"])
def test_literal_blocks(header: str) -> None:
    text = f"data:\n  mesh: {header}\n    a: one\n    b:\n      c: two\n"
    assert inner(text, "a") == ("one", "one")
    assert inner(text, "b", "c") == ("two", "two")


def test_blank_lines_and_deeper_first_line() -> None:
    assert inner("data:\n  mesh: |\n\n\n    a: 1\n\n    b: [2, 'x y']\n", "b", 1) == ("x y", "'x y'")


def test_carriage_returns() -> None:
    assert inner("data:\r\n  mesh: |\r\n    a: 1\r\n    b: two\r\n", "b") == ("two", "two")


def test_anchors_are_moved_once() -> None:
    text = "data:\n  mesh: |\n    a: &x {k: one}\n    b: *x\n"
    assert inner(text, "a", "k") == ("one", "one")
    assert inner(text, "b", "k") == ("one", "one")


@pytest.mark.parametrize("scalar", ['"a: one"', "'a: one'", ">\n    a: one", '"a:\\n  one"'])
def test_other_styles_point_to_the_whole_scalar(scalar: str) -> None:
    value, shown = inner(f"data:\n  mesh: {scalar}\n", "a")
    assert value == "one"
    assert shown.strip() == scalar


def test_problems_point_into_the_block() -> None:
    file = parse("a.yaml", "data:\n  mesh: |\n    a: 1\n    b: [2\n    c: 3\n")
    scalar = file.documents[0].root.dig("data", "mesh")
    message, node = embedded(file, scalar).problem
    assert message
    assert file.position(node.start)[0] in (4, 5)
    assert node.end > node.start


def test_an_empty_text_is_nothing() -> None:
    file = parse("a.yaml", 'data:\n  mesh: ""\n')
    read = embedded(file, file.documents[0].root.dig("data", "mesh"))
    assert not isinstance(read.root, Mapping)
    assert read.problem is None


def test_templates_are_no_problem() -> None:
    file = parse("a.yaml", "data:\n  mesh: |\n    {{- if .Values.x }}\n    a: 1\n    {{- end }}\n")
    assert embedded(file, file.documents[0].root.dig("data", "mesh")).templated
