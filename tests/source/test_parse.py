from __future__ import annotations

import json
import math
import string
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from meshlint.source.files import SourceFile
from meshlint.source.nodes import NESTING_LIMIT, Mapping, Node, Scalar, Sequence
from meshlint.source.parse import EXPANSION_LIMIT, parse, pieces


def plains(file: SourceFile) -> list[Any]:
    return [d.root.plain() if d.root is not None else None for d in file.documents]


def problem(text: str) -> tuple[int, int, str]:
    """Line, column and message of the only problem of a text."""
    file = parse("a.yaml", text)
    assert len(file.problems) == 1
    found = file.problems[0]
    assert found.rule == "yaml-syntax"
    assert 0 <= found.start <= found.end <= len(text)
    return (*file.position(found.start), found.message)


BROKEN = [
    ("tab", "a:\n\tb: 1\n", 2, 1, "a tab indents this line"),
    ("tab below a value", "a: 1\n\tb: 2\n", 2, 1, "a tab indents this line"),
    ("tab after spaces", "a:\n  b: 1\n  \tc: 1\n", 3, 3, "a tab indents this line"),
    ("tab in a block scalar", "a: |\n\tx\n", 2, 1, "a tab indents this line"),
    ("second colon", "a: b: c\n", 1, 5, "a second ': ' in a plain value"),
    ("deeper than the line above", "a: 1\n  b: 2\n", 2, 4, "the line above already has a value"),
    ("no colon above", "spec\n  b: 2\n", 2, 4, "or has no ':'"),
    (
        "between two indentations",
        "a:\n  b: 1\n c: 2\n",
        3,
        2,
        "expected a key of the mapping that begins on line 1",
    ),
    ("text after a quote", "a: 'it's'\n", 1, 8, "text follows the closing quote '"),
    ("unterminated quote", "a: 1\nb: 'x\nc: 1\n", 2, 4, "the quote ' that opens here is not closed"),
    ("unterminated double quote", 'a: "x\nc: 1\n', 1, 4, 'the quote " that opens here is not closed'),
    ("unclosed list", "a: [1, 2\nb: 3\n", 2, 2, "expected ',' or ']' in the list that opens on line 1"),
    ("unclosed mapping", "a: {x: 1\n", 2, 1, "expected ',' or '}' in the mapping that opens on line 1"),
    ("unknown escape", 'a: "\\d"\n', 1, 5, "\\d is no escape"),
    ("at sign", "a: @x\n", 1, 4, "a value cannot begin with '@'"),
    ("backtick", "a: `x`\n", 1, 4, "a value cannot begin with '`'"),
    ("list beside key", "a: - b\n", 1, 4, "a list item '- ' is not allowed here"),
    ("key in a list", "- a\nb: 1\n", 2, 1, "expected '- ' at column 1"),
    ("block header", "a: |foo\n  x\n", 1, 5, "may follow '|' or '>'"),
    ("NUL", "a: \0\n", 1, 4, "the character U+0000 is not allowed"),
    ("half a surrogate pair", "a: \ud800\n", 1, 4, "the character U+D800 is not allowed"),
    ("unknown alias", "a: *x\n", 1, 4, "the alias *x has no anchor before it"),
    ("alias to itself", "a: &x [*x]\n", 1, 8, "the alias *x refers to itself"),
    ("anchor of another document", "a: &x 1\n---\nb: *x\n", 3, 4, "the alias *x has no anchor"),
    ("unknown tag handle", "a: !x!y b\n", 1, 4, "no %TAG line declares"),
    ("junk after the document", "a: 1\n...\nb: 2\n", 3, 1, "expected the end of the document"),
]


@pytest.mark.parametrize(
    ("text", "line", "column", "message"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN]
)
def test_broken_documents_are_explained(text: str, line: int, column: int, message: str) -> None:
    found = problem(text)
    assert found[:2] == (line, column)
    assert message in found[2]


@pytest.mark.parametrize("broken", [case[1] for case in BROKEN if "---" not in case[1]])
def test_a_broken_document_costs_only_itself(broken: str) -> None:
    file = parse("a.yaml", f"a: 1\n---\n{broken}---\nb: 2\n---\nc: &x [1]\nd: *x\n")
    assert plains(file) == [{"a": 1}, {"b": 2}, {"c": [1], "d": [1]}]
    assert len(file.problems) == 1


def test_offsets_after_a_broken_document() -> None:
    text = "a: 'ü\n---\nb: ü\nc: &x {d: 1}\n"
    file = parse("a.yaml", text)
    root = file.documents[0].root
    assert isinstance(root, Mapping)
    assert [text[n.start : n.end] for n in (root.get("b"), root.get("c")) if n] == ["ü", "{d: 1}"]
    assert (file.documents[0].start, file.documents[0].end) == (text.index("---"), len(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("# only a comment\n", []),
        ("---\n", [None]),
        ("---\n# comment\n---\na: 1\n", [None, {"a": 1}]),
        ("--- # comment\na: 1\n...\n---\nb: 2\n...\n", [{"a": 1}, {"b": 2}]),
        ("%YAML 1.1\n---\na: 1\n...\n%YAML 1.1\n---\nb: 2\n", [{"a": 1}, {"b": 2}]),
        ("a: 1\r\nb:\r\n  - c\r\n---\r\nd: 2\r\n", [{"a": 1, "b": ["c"]}, {"d": 2}]),
        ("a: |\n  ---\n  x\n", [{"a": "---\nx\n"}]),
        ("--- |\n x\n--- 'y'\n", ["x\n", "y"]),
        ("? [a, b]\n: c\n", [{}]),
        ('{"a":\t[1,\n\t2]}\n', [{"a": [1, 2]}]),
        ('{"a": "\\ud83d\\ude00"}', [{"a": "😀"}]),
        ('{"a": 1}\n{"b": 2} [true, null, -1.5e3]', [{"a": 1}, {"b": 2}, [True, None, -1500.0]]),
        ('{"' + "k" * 2000 + '": 1}', [{"k" * 2000: 1}]),
        ("a: 1\n\ufeff", [{"a": 1}]),
    ],
)
def test_documents(text: str, expected: list[Any]) -> None:
    file = parse("a.yaml", text)
    if not text.endswith("\ufeff"):
        assert file.problems == []
        assert plains(file) == expected


def test_bounds_of_documents() -> None:
    text = "# top\na: 1\n--- # second\nb: 2\n...\n%YAML 1.1\n---\nc: 3\n"
    file = parse("a.yaml", text)
    assert [text[d.start : d.end] for d in file.documents] == [text[a:b] for a, b in pieces(text)]
    assert "".join(text[d.start : d.end] for d in file.documents) == text


def test_aliases_stand_where_they_are_written() -> None:
    text = "a: &x\n  b: 1\nc: *x\nd: &y v\ne: *y\nf: !t &z [1]\ng: &w\n"
    root = parse("a.yaml", text).documents[0].root
    assert isinstance(root, Mapping)
    spans = {key: text[n.start : n.end].strip() for key in "acdefg" if (n := root.get(key)) is not None}
    assert spans == {"a": "b: 1", "c": "*x", "d": "v", "e": "*y", "f": "[1]", "g": ""}
    assert root.dig("c", "b") is root.dig("a", "b")


def test_an_anchor_may_be_defined_again() -> None:
    assert plains(parse("a.yaml", "a: &x 1\nb: *x\nc: &x 2\nd: *x\n")) == [{"a": 1, "b": 1, "c": 2, "d": 2}]


class TestHostile:
    def test_alias_bomb(self) -> None:
        lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
        lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
        assert "aliases expand to more than" in problem("\n".join(lines))[2]

    def test_many_small_bombs_share_one_budget(self) -> None:
        bomb = "a: &a [" + "x, " * 99 + "x]\nb: [" + "*a, " * 99 + "*a]\n---\n"
        file = parse("a.yaml", bomb * 100)
        assert sum(100 * 100 for _ in file.documents) <= 2 * EXPANSION_LIMIT

    def test_depth_through_aliases(self) -> None:
        lines = ["a0: &a0 [x]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 5000))]
        assert "nested more than" in problem("\n".join(lines))[2]

    def test_chain_of_merges(self) -> None:
        lines = ["a0: &a0 {k: v}", *(f"a{n}: &a{n} {{<<: *a{n - 1}}}" for n in range(1, 5000))]
        assert "nested more than" in problem("\n".join(lines))[2]

    @pytest.mark.parametrize(
        "text",
        [
            "[" * 10_000,
            "{a: " * 10_000,
            "- " * 10_000 + "x",
            "? " * 10_000 + "x",
            "\n".join(" " * n + "a:" for n in range(1500)),
            "[" * 999 + "]" * 999,
            "&x " + "[" * 999 + "]" * 999,
            '{"a":' * 999 + "1" + "}" * 999,
            "[" * 100_000,
        ],
        ids=["brackets", "braces", "dashes", "questions", "blocks", "closed", "anchored", "json", "100,000"],
    )
    def test_deep_nesting(self, text: str) -> None:
        assert "nested more than" in problem(text)[2]

    def test_nesting_up_to_the_limit_is_read(self) -> None:
        depth = NESTING_LIMIT
        for prefix in ("", "&x "):
            file = parse("a.yaml", prefix + "[" * depth + "]" * depth)
            assert file.problems == []
            assert plains(file)[0] is not None

    def test_many_broken_documents_take_linear_time(self) -> None:
        file = parse("a.yaml", "a: 'x\n---\n" * 20_000)
        assert len(file.problems) == 20_000

    def test_huge_integer(self) -> None:
        assert plains(parse("a.yaml", "a: " + "9" * 100_000)) == [{"a": "9" * 100_000}]


# -- properties -------------------------------------------------------------------------------------

WORDS = st.sampled_from(
    [
        "yes",
        "no",
        "on",
        "y",
        "null",
        "~",
        "010",
        "0x1F",
        "1e3",
        ".5",
        "1_000",
        "2024-01-01",
        "1:30",
        "- a",
        "a: b",
    ]
)
#: PyYAML's emitter writes these as they are and its own parser reads them back as line ends
LINE_ENDS = "\x85\u2028\u2029"
TEXTS = st.one_of(
    WORDS,
    st.text(st.characters(codec="utf-8", exclude_characters=LINE_ENDS), max_size=20).filter(
        lambda text: not any(marker in text for marker in ("{{", "{%", "<%"))
    ),
)
SCALARS = st.one_of(
    TEXTS, st.booleans(), st.none(), st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False)
)
DATA = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.text(string.ascii_letters, min_size=2), inner, max_size=4),
    ),
    max_leaves=20,
)


def same(left: Any, right: Any) -> bool:
    if isinstance(left, float) and isinstance(right, int | float) and not isinstance(right, bool):
        return math.isclose(left, right, rel_tol=1e-12)
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return type(left) is type(right) and bool(left == right)


@given(DATA)
def test_what_safe_dump_writes_reads_back(data: Any) -> None:
    # SafeDumper quotes what YAML 1.1 resolves; go-yaml resolves more words of digits and signs
    text = yaml.dump(data, Dumper=yaml.SafeDumper, allow_unicode=True, default_style=None)
    file = parse("a.yaml", text)
    assert file.problems == []
    assert same(go_like(data), plains(file)[0])


def go_like(data: Any) -> Any:
    """What the decoder makes of the plain spelling that SafeDumper chose."""
    if isinstance(data, dict):
        return {key: go_like(value) for key, value in data.items()}
    if isinstance(data, list):
        return [go_like(value) for value in data]
    if isinstance(data, str):
        dumped = yaml.safe_dump(data, allow_unicode=True, width=10_000)
        if dumped.startswith(data) and dumped[len(data) :].startswith("\n"):
            from meshlint.source.nodes import resolve_plain

            return resolve_plain(data)
    return data


@given(DATA, st.booleans(), st.sampled_from([None, 2, "\t"]))
def test_what_json_writes_reads_back(data: Any, ascii_only: bool, indent: int | str | None) -> None:
    try:
        text = json.dumps(data, ensure_ascii=ascii_only, indent=indent, allow_nan=False)
    except ValueError:  # infinity is no JSON
        return
    file = parse("a.json", text)
    if not any(character in text for character in "\x7f") and not _forbidden(text):
        assert file.problems == []
        assert same(data, plains(file)[0])


def _forbidden(text: str) -> bool:
    """Characters that JSON allows and YAML does not, or folds."""
    return any(
        "\x7f" <= c <= "\x9f" or c in "\xa0\u2028\u2029\ufeff" or "\ufffe" <= c <= "\uffff" for c in text
    )


@given(DATA)
def test_offsets_give_back_the_value(data: Any) -> None:
    text = yaml.safe_dump({"key": data}, allow_unicode=True)
    for scalar in _scalars(parse("a.yaml", text).documents[0].root):
        if scalar.style in ("|", ">") or "\n" in text[scalar.start : scalar.end]:
            continue
        again = parse("b.yaml", text[scalar.start : scalar.end]).documents
        assert [d.root.plain() if d.root else None for d in again] == [scalar.plain()]


def _scalars(node: Node | None) -> list[Scalar]:
    if isinstance(node, Scalar):
        return [node]
    if isinstance(node, Sequence):
        return [scalar for item in node.items for scalar in _scalars(item)]
    if isinstance(node, Mapping):
        return [scalar for pair in node.items for item in pair for scalar in _scalars(item)]
    return []


@given(st.lists(DATA, min_size=1, max_size=4))
def test_concatenated_documents(data: list[Any]) -> None:
    single = [yaml.safe_dump(item, allow_unicode=True) for item in data]
    file = parse("a.yaml", "".join("---\n" + text for text in single))
    expected = [plain for text in single for plain in plains(parse("a.yaml", "---\n" + text))]
    assert all(map(same, plains(file), expected))
    assert len(file.documents) == len(expected)


YAML_LIKE = st.text("-:?[]{},&*!|>'\"%@`#.~ab01<\\=/ \t\n\r\0\x85\u2028\ufeff", max_size=60)


@given(st.one_of(st.text(st.characters(), max_size=60), YAML_LIKE))
@settings(max_examples=500)
def test_no_text_raises(text: str) -> None:
    file = parse("a.yaml", text)
    for document in file.documents:
        assert 0 <= document.start <= document.end <= len(text)
        if document.root is not None:
            document.root.plain()
            for scalar in _scalars(document.root):
                assert 0 <= scalar.start <= scalar.end <= len(text)
    for found in file.problems:
        assert 0 <= found.start <= found.end <= len(text)


PARTS = [
    *("a: 1\n", "---\n", "...\n", "&a ", "*a ", "- ", "{{ x }}\n", "{% if %}\n", "'", "[", "]", "k: &a\n"),
    *("<<: *a\n", "  ", "!!int 1\n", "# c\n", "%YAML 1.1\n", "%TAG ! x\n", "|\n", "#@ x\n", "kind: A\n"),
]


@given(st.lists(st.sampled_from(PARTS), max_size=25))
@settings(max_examples=500)
def test_no_sequence_of_yaml_parts_raises(parts: list[str]) -> None:
    text = "".join(parts)
    for document in parse("a.yaml", text).documents:
        if document.root is not None:
            document.root.plain()


BLOCKS = ["a: 1\n", "b:\n- 1\n- x: y\n", "'q': \"w\"\n", "c: |\n  text\n", "d: {e: [f, g]}\n"]


@given(st.lists(st.sampled_from(BLOCKS), unique=True, min_size=1))
def test_both_ways_of_parsing_agree(parts: list[str]) -> None:
    """Texts with an anchor take the other way."""
    plain, anchored = parse("a.yaml", "".join(parts)), parse("a.yaml", "".join(parts) + "z: &z\n")
    left, right = plain.documents[0].root, anchored.documents[0].root
    assert isinstance(left, Mapping)
    assert isinstance(right, Mapping)
    assert _shape(left) == _shape(right)[: len(_shape(left))]


def _shape(node: Node) -> list[tuple[Any, ...]]:
    if isinstance(node, Scalar):
        return [(node.start, node.end, node.text, node.style, node.tag)]
    if isinstance(node, Sequence):
        return [part for item in node.items for part in [(item.start, item.end), *_shape(item)]]
    return [part for pair in node.items for item in pair for part in [(item.start, item.end), *_shape(item)]]


POINTERS = """a: &x
  b: [1, {c: d}]
  e/f:
    g~h: ""
    empty:
    last: &y {z: 1}
i: *x
j:
- *y
- {<<: *y, k: [l]}
? [m]
: n
"""


def test_pointers() -> None:
    document = parse("a.yaml", POINTERS).documents[0]
    root = document.root
    assert isinstance(root, Mapping)
    found = {document.pointer(node) for node in _nodes(root)}
    assert {"", "/a", "/a/b/1/c", "/a/e~1f/g~0h", "/a/e~1f/empty", "/a/e~1f/last/z", "/i", "/j/0"} <= found
    assert {"/j/1/k/0", "/j/1/<<"} <= found
    assert document.pointer(root.key("a") or root) == "/a"
    assert document.pointer(root.dig("j", 1, "k") or root) == "/j/1/k"
    assert document.pointer(root.dig("a", "e/f", "empty") or root) == "/a/e~1f/empty"


def _nodes(node: Node) -> list[Node]:
    if isinstance(node, Scalar):
        return [node]
    children = node.items if isinstance(node, Sequence) else [value for _, value in node.items]
    return [node, *(inner for child in children for inner in _nodes(child))]


@given(DATA)
def test_every_node_has_its_own_pointer(data: Any) -> None:
    document = parse("a.yaml", yaml.safe_dump({"key": data})).documents[0]
    assert document.root is not None
    pointers = [document.pointer(node) for node in _nodes(document.root)]
    assert len(set(pointers)) == len(pointers)
