"""How does Istio compare a string of a policy with that of a request? (spec security 5.4)"""

from __future__ import annotations

import re
from functools import lru_cache


def matches_string(pattern: str, text: str) -> bool:
    """Exact, `abc*`, `*abc` or `*` for anything that is not empty; other stars are literal."""
    if pattern == "*":
        return text != ""
    if pattern.startswith("*"):
        return text.endswith(pattern[1:])
    if pattern.endswith("*"):
        return text.startswith(pattern[:-1])
    return pattern == text


def glob(pattern: str, text: str) -> bool:
    """Stars anywhere, as namespaces allow them."""
    if "*" not in pattern:
        return pattern == text
    first, *middle, last = pattern.split("*")
    if not text.startswith(first) or len(text) < len(first) + len(last):
        return False
    at, end = len(first), len(text) - len(last)
    for part in middle:
        at = text.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return text.endswith(last)


def matches_template(pattern: str, path: str) -> bool:
    """A path template: `{*}` is one segment, `{**}` any number of them."""
    return _template(pattern).fullmatch(path) is not None


@lru_cache(maxsize=4096)
def _template(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"(\{\*\*?\})", pattern)
    operators = {"{*}": "[^/]+", "{**}": ".*"}
    return re.compile("".join(operators.get(part) or re.escape(part) for part in parts))
