"""Which findings did somebody accept, where, and why? (design section 3)"""

from __future__ import annotations

from collections.abc import Iterable

from meshlint.config import Config
from meshlint.findings import Draft, Finding
from meshlint.policy.names import Names
from meshlint.resources import Resource
from meshlint.source.files import SourceFile


class Suppressor:
    def __init__(
        self,
        files: Iterable[SourceFile],
        resources: Iterable[Resource],
        names: Names,
        config: Config,
    ) -> None:
        self.names = names

    def apply(self, findings: list[Finding]) -> list[Finding]:
        return findings

    def unused(self, ran: frozenset[str]) -> list[Draft]:
        return []

    def unknown(self) -> list[Draft]:
        return []
