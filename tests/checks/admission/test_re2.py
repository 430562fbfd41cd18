"""What Go's regexp compiles and what it refuses; the verdicts are Go's own."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshlint.checks.admission.re2 import why_not_re2

COMPILES = [
    "", "a|b", "|", "a||b", "()", "(|a)", "(?:a)", "(?i)a", "(?i:a)b", "(?-i)a", "(?i-s:a)", "(?imsU-imsU)a",
    "(?)a", "(?P<name>a)", "(?<name>a)", "(?P<1>a)", "(?P<_>a)", "^$", "^*", r"\b+", r"\A.*\z", r"\B", "a*?",
    "a+?", "a??", "a{2}", "a{2,}", "a{2,3}?", "a{0}", "a{0,}", "a{1000}", "a{,3}", "a{01}", "a{", "{", "}",
    "a}",
    "{,}", "]", "a{2", "(?:a{30}){33}", "(?:a{500}){2}", "(?:a{1000}){0}", "(?:(?:a{1000}){0}){1000}",
    "a*(?i)*", r"a*\Q\E*", r"\Qa.b*\E+", r"\Q(unclosed", r"\Q\\E", r"\d\D\s\S\w\W", r"\pL", r"\PN", r"\p{L}",
    r"\p{^Greek}", r"\P{Han}", r"\p{Any}", r"\p{Letter}", r"\x41", r"\x{41}", r"\x{10FFFF}", r"\0", r"\07",
    r"\123", r"\12", r"\a\f\n\r\t\v", r"\_", r"\-\/\ \.\"", "[abc]", "[^abc]", "[]a]", "[^]a]", "[a-]",
    "[-a]",
    "[a-z-9]", "[--0]", r"[\d-z]", r"[\]]", r"[\-a]", r"[a\pL]", "[[:alpha:]]", "[[:^digit:]x]", "[[:]",
    "[[]",
    "[a[:]", r"[\x{41}-\x5a]", r"[\101-\132]", "[é-ü]", "é*", "a\nb", r"[\n\t]", "[.*+?(){}|^$]",
]  # fmt: skip

REFUSED = [
    "*", "+", "?", "|*", "(*)", "(|+)", "(?i)*", "{2}", "a|{3}", "a**", "a*+", "a++", "a?+", "a{2}{3}",
    "a*??", "a{2}*",
    "(", ")", "(a", "a)", "(()", "(a))", "[", "[a", "[]", "[^]", "[a-", "[z-a]", "[a-\\d]", "[[:word:]-a",
    "[[:foo:]]",
    "a{1001}", "a{2,1}", "a{1001,}", "a{1,1001}", "a{100000000}", "(?:a{500}){3}", "(?:(?:a{20}){20}){20}",
    "(?=a)", "(?!a)", "(?<=a)", "(?<!a)", "(?>a)", "(?#c)", "(?P=n)", "(?P>n)", "(?P<n", "(?P<>a)",
    "(?P<a b>c)",
    "(?<a-b>c)", "(?'n'a)", "(?i", "(?-)", "(?i-)", "(?x)a", "(?i--s)", "(?(1)a|b)", "(?|a)", "(?R)", "(?",
    r"\1", r"\8", r"(a)\1", r"\Z", r"\C", r"\G", r"\K", r"\R", r"\X", r"\h", r"\e", r"\c", r"\u0041", r"\y",
    "\\", "a\\", r"\p", r"\p{", r"\p{L", r"\p{Foo}", r"\pé", r"\P", r"\x", r"\x4", r"\xg0", r"\x{}",
    r"\x{110000}",
    r"\x{zz}", r"\é", r"[\b]", r"[\A]", r"[\Qa\E]", r"[\z]", r"[\p{Foo}]", r"[\1]",
]  # fmt: skip


@pytest.mark.parametrize("pattern", COMPILES)
def test_compiles(pattern: str) -> None:
    assert why_not_re2(pattern) == ""


@pytest.mark.parametrize("pattern", REFUSED)
def test_refused(pattern: str) -> None:
    assert why_not_re2(pattern) != ""


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("^(?!admin).*", "uses look-around, (?!, which RE2 has not"),
        ("(?<=a)b", "uses look-around, (?<=, which RE2 has not"),
        (r"(a)\1", r"uses a back-reference, \1, which RE2 has not"),
        ("a++", "repeats a repetition, +; RE2 has no possessive or stacked quantifiers"),
        ("*.example.com", "has nothing before * that could be repeated"),
        ("a{1001}", "has the repetition {1001}; RE2 wants rising counts up to 1000"),
        ("(?>a)", "uses an atomic group, (?>, which RE2 has not"),
        ("[z-a]", "has a range that runs backwards, z-a"),
        ("(a", "has a ( without its )"),
    ],
)
def test_reason(pattern: str, reason: str) -> None:
    assert why_not_re2(pattern) == reason


@given(st.text())
def test_any_quoted_text_compiles(text: str) -> None:
    assert why_not_re2(re.sub(r"([^\w\s]|_)", lambda m: "\\" + m[0] if m[0].isascii() else m[0], text)) == ""


@given(st.text(alphabet="ab(|)[]{}*+?^$.\\-,:=!<>0129PQEpdxb", max_size=20))
def test_every_text_gets_an_answer(text: str) -> None:
    assert isinstance(why_not_re2(text), str)
