"""What may go to a terminal, and how many cells does it take there?"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

#: compiled (and kept by `re`) for the first text that is not plain: that takes longer than most reports
_UNSAFE: Final = "[\x00-\x1f\x7f-\x9f\u2028\u2029\u200b-\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"


def one_line(text: str) -> str:
    """A text from an input for one line of output: no line ends, no control or direction characters.

    A file name or a value must not move the cursor or hide what follows it.
    """
    return text if text.isascii() and text.isprintable() else re.sub(_UNSAFE, _visible, text)


def expand(text: str, tab: int = 4) -> str:
    """Like one_line, for a line of source: tabs become spaces up to the next stop."""
    return one_line(text.expandtabs(tab))


def width(text: str) -> int:
    """Cells on a terminal: two for wide characters, none for combining ones."""
    if text.isascii():
        return len(text)
    return sum(cell(character) for character in text)


def cell(character: str) -> int:
    """Cells of one character."""
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _visible(match: re.Match[str]) -> str:
    character = match[0]
    return " " if character in "\t\n\r\v\f\u2028\u2029" else "\N{REPLACEMENT CHARACTER}"
