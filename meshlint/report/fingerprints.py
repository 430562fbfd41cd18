"""How does a code-scanning service recognise a finding after lines have moved?

Two ways: the hash of the line and of what follows it, which GitHub's upload action computes too (spec
ecosystem d.3), and a fingerprint of our own that does not look at the text at all.
"""

from __future__ import annotations

from collections import Counter
from hashlib import sha256
from typing import Final

from meshlint.findings import Finding

_WINDOW: Final = 100
_BASE: Final = 37
_MASK: Final = (1 << 64) - 1
_END: Final = "\uffff"


def line_hashes(text: str, lines: set[int]) -> dict[int, str]:
    """``hash:occurrence`` of each wanted 1-based line.

    The hash is a polynomial over the first 100 UTF-16 units from the start of the line on, without
    blanks, line ends as LF, one end mark after the last unit, then zeros.
    """
    units = _units(text.replace("\r\n", "\n").replace("\r", "\n").replace(" ", "").replace("\t", "")) + _END
    seen: Counter[str] = Counter()
    found: dict[int, str] = {}
    start, number, last = 0, 1, max(lines, default=0)
    while start < len(units) and number <= last:
        window = units[start : start + _WINDOW]
        seen[window] += 1
        if number in lines:
            found[number] = f"{_hash(window):x}:{seen[window]}"
        end = units.find("\n", start)
        if end < 0:
            break
        start, number = end + 1, number + 1
    return found


def content_fingerprint(finding: Finding) -> str:
    """Hash of rule, resource and path of the node: stable when lines, files or other objects move."""
    about = finding.resource
    identity = (about.kind, about.namespace or "", about.name) if about else (finding.location.file,)
    parts = (finding.rule, *identity, finding.location.path)
    return sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _hash(window: str) -> int:
    value = 0
    for unit in window:
        value = (value * _BASE + ord(unit)) & _MASK
    return (value * pow(_BASE, _WINDOW - len(window), 1 << 64)) & _MASK


def _units(text: str) -> str:
    """The text with characters beyond the basic plane as two surrogates."""
    if text.isascii() or max(text) <= "\uffff":
        return text
    data = text.encode("utf-16-be", "surrogatepass")
    return "".join(chr(int.from_bytes(data[at : at + 2], "big")) for at in range(0, len(data), 2))
