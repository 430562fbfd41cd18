"""Does a text parse as an expression of the Common Expression Language? (spec schemas 3.3 Telemetry 23)

Syntax alone, as cel-go's parser takes it: neither the names of attributes nor types are looked at.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_NESTING: Final = 200
_RESERVED_WORDS: Final = (
    "as break const continue else for function if import let loop package namespace return var void while"
)
_RESERVED: Final = frozenset(_RESERVED_WORDS.split())
_ESCAPE: Final = r"\\(?:[abfnrtv\"'\\?`]|[xX][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-3][0-7]{2})"
_TOKEN: Final = re.compile(
    rf"""(?P<space>[\t\r\n\f ]+|//[^\n]*)
      | (?P<literal>
            [bB]?[rR](?:\"\"\".*?\"\"\"|'''.*?'''|"[^"\n\r]*"|'[^'\n\r]*')
          | [bB]?(?:\"\"\"(?:{_ESCAPE}|[^\\])*?\"\"\"|'''(?:{_ESCAPE}|[^\\])*?'''
                  |"(?:{_ESCAPE}|[^\\"\n\r])*"|'(?:{_ESCAPE}|[^\\'\n\r])*')
          | (?:[0-9]+\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+|\.[0-9]+(?:[eE][+-]?[0-9]+)?)
          | 0x[0-9a-fA-F]+[uU]? | [0-9]+[uU]?)
      | (?P<name>[_a-zA-Z][_a-zA-Z0-9]*)
      | (?P<quoted>`[a-zA-Z0-9_.\-/ ]+`)
      | (?P<sign>==|!=|<=|>=|&&|\|\||[-+*/%!<>?:.,()\[\]{{}}])
    """,
    re.VERBOSE | re.DOTALL,
)
#: operators from the loosest to the tightest
_BINARY: Final = (("||",), ("&&",), ("==", "!=", "<", "<=", ">", ">=", "in"), ("+", "-"), ("*", "/", "%"))
_LEVEL_OF: Final = {sign: level for level, signs in enumerate(_BINARY) for sign in signs}


class _SyntaxError(Exception):
    """The expression does not parse; the message is the reason."""


@lru_cache(maxsize=1024)
def cel_problem(text: str) -> str:
    """Why the expression does not parse, as the end of a sentence; '' if it does."""
    try:
        parser = _Parser(list(_tokens(text)))
        parser.expression()
        parser.end()
    except _SyntaxError as error:
        return str(error)
    return ""


def _tokens(text: str) -> list[tuple[str, str]]:
    found = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise _SyntaxError(f"has an unexpected {_start(text[at:])}")
        if match.lastgroup != "space":
            found.append((str(match.lastgroup), match.group()))
        at = match.end()
    return found


def _start(text: str) -> str:
    if text[0] in "\"'":
        return "text whose quote is not closed, or with an unknown escape"
    return f"character {text[0]}"


class _Parser:
    """Recursive descent over the tokens; it keeps nothing, for only the verdict counts."""

    __slots__ = ("at", "depth", "tokens")

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self.tokens = tokens
        self.at = 0
        self.depth = 0

    def expression(self) -> None:
        self.depth += 1
        if self.depth > _NESTING:
            raise _SyntaxError("is nested too deeply")
        self._binary(0)
        if self._take("?"):
            self._binary(0)
            self._want(":")
            self.expression()
        self.depth -= 1

    def end(self) -> None:
        if self.at < len(self.tokens):
            raise _SyntaxError(f"has an unexpected {self._shown()}")

    def _binary(self, level: int) -> None:
        self._unary()
        while _LEVEL_OF.get(self._sign(), -1) >= level:
            self.at += 1
            self._unary()

    def _unary(self) -> None:
        for sign in ("!", "-"):
            if self._take(sign):
                while self._take(sign):
                    pass
                break
        self._member()

    def _member(self) -> None:
        self._primary()
        while True:
            if self._take("."):
                self._field()
                if self._take("("):
                    self._list(")")
            elif self._take("["):
                self.expression()
                self._want("]")
            elif self._sign() == "{" and self._is_type():
                self.at += 1
                self._fields()
            else:
                return

    def _is_type(self) -> bool:
        """Does the brace follow a name, as in ``Message{field: 1}``?"""
        return self.tokens[self.at - 1][0] == "name" and self.tokens[self.at - 1][1] not in (
            "true",
            "false",
            "null",
        )

    def _primary(self) -> None:
        kind, text = self._peek()
        if kind == "literal":
            self.at += 1
        elif text == "(":
            self.at += 1
            self.expression()
            self._want(")")
        elif text == "[":
            self.at += 1
            self._list("]")
        elif text == "{":
            self.at += 1
            self._entries()
        elif text == "." or kind == "name":
            self._take(".")
            self._name()
            if self._take("("):
                start = self.at
                self._list(")")
                if text == "has":
                    self._has(start)
        else:
            raise _SyntaxError(f"has an unexpected {self._shown()}")

    def _has(self, start: int) -> None:
        """The macro asks for a field, ``has(a.b)``; what ends otherwise is none."""
        ending = self.tokens[start : self.at - 1][-2:]
        if len(ending) < 2 or ending[0][1] != "." or ending[1][0] not in ("name", "quoted"):
            raise _SyntaxError("calls has() with something that is no field")

    def _name(self) -> None:
        kind, text = self._peek()
        if kind != "name" or text == "in":
            raise _SyntaxError(f"has an unexpected {self._shown()}")
        if text in _RESERVED:
            raise _SyntaxError(f"uses the reserved word {text}")
        self.at += 1

    def _field(self) -> None:
        kind, text = self._peek()
        if kind not in ("name", "quoted") or text in ("in", "true", "false", "null"):
            raise _SyntaxError(f"has an unexpected {self._shown()}")
        self.at += 1

    def _list(self, closing: str) -> None:
        while not self._take(closing):
            self.expression()
            if not self._take(","):
                self._want(closing)
                return
            if closing == ")" and self._sign() == ")":
                raise _SyntaxError("has an unexpected )")

    def _entries(self) -> None:
        while not self._take("}"):
            self.expression()
            self._want(":")
            self.expression()
            if not self._take(","):
                self._want("}")
                return

    def _fields(self) -> None:
        while not self._take("}"):
            self._field()
            self._want(":")
            self.expression()
            if not self._take(","):
                self._want("}")
                return

    def _peek(self) -> tuple[str, str]:
        return self.tokens[self.at] if self.at < len(self.tokens) else ("", "")

    def _sign(self) -> str:
        kind, text = self._peek()
        return text if kind == "sign" or text == "in" else ""

    def _take(self, sign: str) -> bool:
        if self._sign() == sign:
            self.at += 1
            return True
        return False

    def _want(self, sign: str) -> None:
        if not self._take(sign):
            raise _SyntaxError(f"has an unexpected {self._shown()} where {sign} is due")

    def _shown(self) -> str:
        _, text = self._peek()
        return text or "end"
