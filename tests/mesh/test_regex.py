"""Matching like RE2: against Python's own engine where both mean the same, and what is not read."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshlint.mesh.regex import full_match

MATCHES = [
    ("/api", "/api", True),
    ("/api", "/api/", False),
    ("/.*", "/anything/at/all", True),
    (".*", "", True),
    ("^/a$", "/a", True),
    (r"\A/a\z", "/a", True),
    ("/a|/b", "/b", True),
    ("/a|/b", "/a/b", False),
    (r"/v[0-9]+/(users|orders)(/[^/]+)?", "/v12/orders/7", True),
    (r"/v[0-9]+/(users|orders)(/[^/]+)?", "/v12/orders/7/8", False),
    ("(?i)/ABC[x-z]", "/abcY", True),
    ("/abc", "/ABC", False),
    (r"/\d{2,3}", "/1234", False),
    (r"/\d{2,}", "/1234", True),
    (r"/\d{2}", "/12", True),
    ("/(?:a|b){2}", "/ba", True),
    ("/(?P<id>[a-f]+)?", "/cafe", True),
    ("/a+?b", "/aab", True),
    (r"a\.b", "a.b", True),
    (r"a\.b", "axb", False),
    ("[^a]", "b", True),
    ("[]a]", "]", True),
    ("[a-]", "-", True),
    (r"[\w.]+", "a.b_c", True),
    ("a{x", "a{x", True),
    ("x$y", "xy", False),
    ("", "", True),
    ("()*", "", True),
    ("(a*)*b", "aab", True),
]


@pytest.mark.parametrize(("pattern", "text", "expected"), MATCHES)
def test_match(pattern, text, expected):
    assert full_match(pattern, text) is expected


@pytest.mark.parametrize(
    "pattern",
    [
        "(?=a)b", "(?!a)b", r"(a)\1", "a++", "a**", "*a", "(a", "a)", "[a", "[b-a]", r"\bword\b", r"\pL",
        "[[:alpha:]]", "(?s).", "a{1001}", "a{3,2}", "ä", r"a\Z", "((a{1000}){1000}){1000}",
        "(" * 3000 + ")" * 3000,
    ],
)  # fmt: skip
def test_what_is_not_read_is_unknown(pattern):
    assert full_match(pattern, "a") is None


def test_a_text_that_is_not_ascii_is_unknown():
    assert full_match(".*", "ä") is None


def test_no_pattern_takes_exponential_time():
    assert full_match("(a*)*(a*)*(a|a)*b", "a" * 2000) is False
    assert full_match("(a?){500}a{500}", "a" * 500) is True
    assert full_match("(a?){900}a{900}", "a" * 3000) is None


_LEAF = st.sampled_from(["a", "b", ".", "[ab]", "[^a]", r"\w", r"\.", "/"])
_TREE = st.recursive(
    _LEAF,
    lambda inner: st.one_of(
        st.builds("".join, st.lists(inner, min_size=1, max_size=3)),
        st.builds("({}|{})".format, inner, inner),
        st.builds("({}){}".format, inner, st.sampled_from(["*", "+", "?", "{2}", "{1,2}"])),
    ),
    max_leaves=6,
)


@given(_TREE, st.text("ab./", max_size=6))
def test_it_agrees_with_another_engine(pattern, text):
    assert full_match(pattern, text) is (re.fullmatch(pattern, text) is not None)
