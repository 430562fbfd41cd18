"""Which rules run, and which of their findings are shown? (profiles, --select, --ignore, severities)"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Protocol

from meshlint.findings import CONFIDENCES, Finding
from meshlint.policy.names import Names
from meshlint.policy.rules import PROFILES, Rule
from meshlint.records import dataclass

OFF = "off"


class Wishes(Protocol):
    """What the configuration says about rules."""

    @property
    def profile(self) -> str: ...
    @property
    def select(self) -> tuple[str, ...]: ...
    @property
    def ignore(self) -> tuple[str, ...]: ...
    @property
    def severity(self) -> Mapping[str, str]: ...


@dataclass(frozen=True, slots=True)
class Selection:
    """`rules` run; `shown` says what becomes of one of their findings."""

    rules: tuple[Rule, ...]
    wishes: Wishes
    known: Names

    @staticmethod
    def of(wishes: Wishes, rules: Mapping[str, Rule], names: Names) -> Selection:
        chosen = tuple(rule for rule in rules.values() if _runs(rule, wishes, names))
        return Selection(chosen, wishes, names)

    @property
    def names(self) -> frozenset[str]:
        return frozenset(rule.name for rule in self.rules)

    @property
    def confidences(self) -> tuple[str, ...]:
        """Those of the findings that are shown: the last profile alone has low ones."""
        return CONFIDENCES if self.wishes.profile == PROFILES[-1] else CONFIDENCES[:-1]

    def shown(self, finding: Finding) -> Finding | None:
        """The finding as it is reported, or None if nobody asked for it."""
        wishes = self.wishes
        if finding.confidence not in self.confidences:
            return None
        if wishes.select and not self._means(wishes.select, finding):
            return None
        if self._means(wishes.ignore, finding):
            return None
        severity = wishes.severity.get(finding.rule)
        return finding if severity is None else replace(finding, severity=severity)

    def _means(self, names: Iterable[str], finding: Finding) -> bool:
        return any(self.known.covers(name, finding) for name in names)


def _runs(rule: Rule, wishes: Wishes, names: Names) -> bool:
    """A rule that is named runs whatever its profile; a family brings those of the profile."""
    if wishes.severity.get(rule.name) == OFF:
        return False
    if rule.name in wishes.ignore or rule.info.family in wishes.ignore:
        return False
    in_profile = PROFILES.index(rule.info.profile) <= PROFILES.index(wishes.profile)
    if not wishes.select:
        return in_profile
    if rule.info.family in wishes.select and in_profile:
        return True
    return any(rule.name in names.meaning(name) for name in wishes.select if name not in names.families)
