"""What is wrong with a text that is no YAML, in words that help?

libyaml says what its scanner wanted ("did not find expected key"). Here its messages become: what was
expected, where the surrounding thing begins, and how to go on.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from meshlint.source.files import Problem, SourceFile
from meshlint.source.nodes import NESTING_LIMIT

TOO_DEEP = f"nested more than {NESTING_LIMIT} levels deep"

#: what YAML 1.1 calls printable
_FORBIDDEN = re.compile("[^\x09\x0a\x0d\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def syntax_problem(error: Exception, file: SourceFile, base: int) -> Problem:
    """The Problem for an exception of the parser; `base` is where its text began in the file."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return _character_problem(file, base, str(getattr(error, "reason", "") or error))
    at = min(base + mark.index, len(file.text))
    context = getattr(error, "context_mark", None)
    opened = min(base + context.index, len(file.text)) if context is not None else at
    problem = str(getattr(error, "problem", "") or "")
    for phrase, explain in _EXPLANATIONS:
        if phrase in problem:
            return explain(file, at, opened)
    where = getattr(error, "context", None)
    return _at(file, at, f"{problem} ({where})" if where else problem)


def _character_problem(file: SourceFile, base: int, reason: str) -> Problem:
    found = _FORBIDDEN.search(file.text, base)
    if found is None:
        return _at(file, base, reason)
    code = ord(found.group())
    return _at(
        file,
        found.start(),
        f"the character U+{code:04X} is not allowed in YAML",
        "delete it, or write it as an escape in a double-quoted string",
    )


def _at(file: SourceFile, start: int, message: str, hint: str = "", related: Any = ()) -> Problem:
    end = min(start + 1, len(file.text))
    return Problem("yaml-syntax", message, min(start, end), end, hint, tuple(related))


def _line(file: SourceFile, offset: int) -> int:
    return file.position(offset)[0]


def _tab(file: SourceFile, at: int) -> Problem | None:
    """A tab in the white space that begins the line."""
    start = file.text.rfind("\n", 0, at) + 1
    for offset in range(start, min(at + 1, len(file.text))):
        if file.text[offset] == "\t":
            return _at(file, offset, "a tab indents this line; YAML allows only spaces there", "use spaces")
        if file.text[offset] != " ":
            return None
    return None


def _character(file: SourceFile, at: int, opened: int) -> Problem:
    character = file.text[at : at + 1]
    if character == "\t":
        return _tab(file, at) or _at(file, at, "a tab stands where a value begins", "use spaces")
    return _at(file, at, f"a value cannot begin with {character!r} in YAML", "put the value in quotes")


def _second_colon(file: SourceFile, at: int, opened: int) -> Problem:
    tab = _tab(file, at)
    if tab is not None:
        return tab
    if ": " in file.text[file.text.rfind("\n", 0, at) + 1 : at]:
        return _at(file, at, "a second ': ' in a plain value", "put the value in quotes")
    return _at(
        file,
        at,
        "a key is not allowed here: the line above already has a value, or has no ':'",
        "align the key with its siblings, or end the line above with ':'",
    )


def _expected_key(file: SourceFile, at: int, opened: int) -> Problem:
    tab = _tab(file, at)
    if tab is not None:
        return tab
    before = file.text[file.text.rfind("\n", 0, at) + 1 : at].rstrip()
    if before.endswith(("'", '"')):
        return _at(
            file,
            at,
            f"text follows the closing quote {before[-1]}",
            "put the whole value in quotes; inside single quotes write '' for one quote",
        )
    line, column = file.position(opened)
    return _at(
        file,
        at,
        f"expected a key of the mapping that begins on line {line}, at column {column}",
        "align it with the other keys",
    )


def _expected_item(file: SourceFile, at: int, opened: int) -> Problem:
    tab = _tab(file, at)
    if tab is not None:
        return tab
    line, column = file.position(opened)
    return _at(
        file,
        at,
        f"expected '- ' at column {column}: this stands inside the list that begins on line {line}",
        "indent it deeper if it belongs to the item, less if the list ends here",
    )


def _missing_colon(file: SourceFile, at: int, opened: int) -> Problem:
    return _tab(file, opened) or _at(
        file,
        opened,
        "expected ': ' after this key",
        "write 'key: value'; text over several lines needs '|' or '>', or more indentation than its key",
    )


def _flow(closing: str, what: str) -> Callable[[SourceFile, int, int], Problem]:
    def explain(file: SourceFile, at: int, opened: int) -> Problem:
        line = _line(file, opened)
        return _at(
            file,
            at,
            f"expected ',' or '{closing}' in the {what} that opens on line {line}",
            f"close it with '{closing}', or quote a value that holds one of , [ ] {{ }}",
            related=[("it opens here", opened, opened + 1)],
        )

    return explain


def _open_quote(file: SourceFile, at: int, opened: int) -> Problem:
    quote = file.text[opened : opened + 1] or "quote"
    return _at(
        file,
        opened,
        f"the quote {quote} that opens here is not closed before the document ends",
        "close it on the same line; inside single quotes write '' for one quote",
    )


def _escape(file: SourceFile, at: int, opened: int) -> Problem:
    start = file.text.rfind("\\", opened, at + 2)
    start = start if start >= 0 else at
    return _at(
        file,
        start,
        f"{file.text[start : start + 2]} is no escape of a double-quoted string",
        "use single quotes, or write \\\\ for a backslash",
    )


def _no_value(file: SourceFile, at: int, opened: int) -> Problem:
    found = file.text[at : at + 1]
    what = f"found {found!r}" if found.strip() else "found nothing"
    return _tab(file, at) or _at(file, at, f"expected a value here, {what}", "quote it if it is text")


def _document_start(file: SourceFile, at: int, opened: int) -> Problem:
    return _tab(file, at) or _at(
        file,
        at,
        "expected the end of the document or a line '---' here",
        "put '---' between documents; the keys of one mapping share one indentation",
    )


def _item_place(file: SourceFile, at: int, opened: int) -> Problem:
    return _tab(file, at) or _at(
        file, at, "a list item '- ' is not allowed here", "begin the list on the line below its key"
    )


def _nesting(file: SourceFile, at: int, opened: int) -> Problem:
    return _at(file, at, TOO_DEEP)


def _handle(file: SourceFile, at: int, opened: int) -> Problem:
    return _at(file, at, "this tag begins with a handle that no %TAG line declares", "remove the tag")


def _block_header(file: SourceFile, at: int, opened: int) -> Problem:
    return _at(
        file,
        at,
        "only an indentation digit, '+' or '-' may follow '|' or '>'",
        "begin the text on the next line",
    )


def _block_tab(file: SourceFile, at: int, opened: int) -> Problem:
    return _at(file, at, "a tab indents this line; YAML allows only spaces there", "use spaces")


#: part of libyaml's message -> how to say it; the first that fits counts
_EXPLANATIONS: tuple[tuple[str, Callable[[SourceFile, int, int], Problem]], ...] = (
    ("cannot start any token", _character),
    ("mapping values are not allowed", _second_colon),
    ("did not find expected key", _expected_key),
    ("did not find expected '-' indicator", _expected_item),
    ("could not find expected ':'", _missing_colon),
    ("did not find expected ',' or '}'", _flow("}", "mapping")),
    ("did not find expected ',' or ']'", _flow("]", "list")),
    ("found unexpected end of stream", _open_quote),
    ("found unexpected document indicator", _open_quote),
    ("found unknown escape character", _escape),
    ("found invalid Unicode character escape code", _escape),
    ("did not find expected hexdecimal number", _escape),
    ("did not find expected node content", _no_value),
    ("did not find expected <document start>", _document_start),
    ("block sequence entries are not allowed", _item_place),
    ("exceeded maximum nesting depth", _nesting),
    ("did not find expected comment or line break", _block_header),
    ("found a tab character", _block_tab),
    ("found undefined tag handle", _handle),
)
