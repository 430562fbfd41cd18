"""Is a text a duration, and how long is it? Three grammars: Istio, Gateway API, Kyma (spec traffic 2.2).

Istio parses with Go's grammar and then wants whole milliseconds, one at least. The Gateway API uses
GEP-2257. Kyma counts whole seconds. Lengths are integers of nanoseconds.
"""

from __future__ import annotations

import re
from typing import Final

from meshlint.records import dataclass
from meshlint.source.nodes import Node, Scalar
from meshlint.source.templates import is_placeholder

MILLISECOND: Final = 1_000_000
SECOND: Final = 1_000_000_000
_LONGEST: Final = 2**63 - 1
_UNITS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,  # micro sign
    "μs": 1_000,
    "ms": MILLISECOND,
    "s": SECOND,
    "m": 60 * SECOND,
    "h": 3600 * SECOND,
}
_PART: Final = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_GEP_2257: Final = re.compile(r"(?:[0-9]{1,5}(?:h|m|s|ms)){1,4}\Z")


@dataclass(frozen=True, slots=True)
class Duration:
    """What a field says. Exactly one of: a length, a `problem`, or neither where a template decides."""

    nanoseconds: int | None
    problem: str = ""

    @property
    def known(self) -> bool:
        return self.nanoseconds is not None

    @property
    def seconds(self) -> float | None:
        return None if self.nanoseconds is None else self.nanoseconds / SECOND


_TEMPLATE: Final = Duration(None)


def istio_duration(node: Node, zero_allowed: bool = False) -> Duration:
    """A duration of an Istio API. `zero_allowed`: the field takes anything under 1 ms as "disabled"."""
    text = _string(node)
    if isinstance(text, Duration):
        return text
    length = go_duration(text)
    if length is None:
        return Duration(None, _why_not_go(text))
    if zero_allowed and length < MILLISECOND:
        return Duration(max(length, 0))
    if length < MILLISECOND:
        return Duration(None, "is less than 1ms, the shortest that Istio takes")
    if length % MILLISECOND:
        return Duration(None, "is finer than a millisecond")
    return Duration(length)


def gateway_duration(node: Node) -> Duration:
    """A duration of the Gateway API; ``0s`` is legal and means no limit."""
    text = _string(node)
    if isinstance(text, Duration):
        return text
    if not _GEP_2257.match(text):
        return Duration(
            None, "is no Gateway API duration: up to four of h, m, s, ms with up to five digits each"
        )
    return Duration(go_duration(text))


def kyma_seconds(node: Node) -> Duration:
    """The timeout of an APIRule: a whole number of seconds from 1 to 3900."""
    if not isinstance(node, Scalar) or _is_template(node):
        return _TEMPLATE if isinstance(node, Scalar) else Duration(None, "is not a number")
    value = node.value
    if isinstance(value, bool) or not isinstance(value, int):
        return Duration(None, "is not a whole number of seconds")
    if not 1 <= value <= 3900:
        return Duration(None, "is outside of 1 to 3900 seconds")
    return Duration(value * SECOND)


def go_duration(text: str) -> int | None:
    """Nanoseconds of a duration in Go's grammar; None if it is none, or too long for Go."""
    body = text[1:] if text[:1] in ("+", "-") else text
    if body == "0":
        return 0
    total = 0
    at = 0
    while at < len(body):
        part = _PART.match(body, at)
        if part is None:
            return None
        number, unit = part.groups()
        whole, _, rest = number.partition(".")
        length = _UNITS[unit]
        whole, rest = whole.lstrip("0")[:40], rest[:40]  # int() refuses thousands of digits
        total += int(whole or 0) * length + int(rest or 0) * length // 10 ** len(rest)
        at = part.end()
    if not body or total > _LONGEST:
        return None
    return -total if text[0] == "-" else total


def spell(nanoseconds: int) -> str:
    """A length as people write it: 1500 ms is ``1.5s``, 90 s is ``1m30s``."""
    if nanoseconds < SECOND:
        return f"{nanoseconds / MILLISECOND:g}ms"
    minutes, rest = divmod(nanoseconds, 60 * SECOND)
    hours, minutes = divmod(minutes, 60)
    parts = [f"{hours}h" if hours else "", f"{minutes}m" if minutes else ""]
    return "".join(parts) + (f"{rest / SECOND:g}s" if rest else "")


def _string(node: Node) -> str | Duration:
    if not isinstance(node, Scalar):
        return Duration(None, "is not a string")
    if _is_template(node):
        return _TEMPLATE
    text = node.string
    return Duration(None, "is a number without quotes and unit, not a string") if text is None else text


def _is_template(node: Scalar) -> bool:
    return node.value is None or is_placeholder(node.text)


def _why_not_go(text: str) -> str:
    if re.fullmatch(r"[0-9.]+", text):
        return "has no unit"
    if re.search(r"[0-9](?:d|w|y)", text, re.IGNORECASE):
        return "uses a unit that Istio does not know; the longest is h"
    return "is no duration"
