"""Colours of the terminal report: plain ANSI sequences, or nothing at all."""

from __future__ import annotations

from typing import Final

from meshlint.records import dataclass

_SEVERITIES: Final = {"error": "1;31", "warning": "1;33", "info": "1;36"}


@dataclass(frozen=True, slots=True)
class Paint:
    color: bool

    def severity(self, severity: str, text: str) -> str:
        return self._sequence(_SEVERITIES.get(severity, "1"), text)

    def bold(self, text: str) -> str:
        return self._sequence("1", text)

    def dim(self, text: str) -> str:
        return self._sequence("2", text)

    def blue(self, text: str) -> str:
        return self._sequence("1;34", text)

    def _sequence(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.color and text else text


def paint(color: bool) -> Paint:
    return Paint(color)
