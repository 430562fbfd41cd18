"""Which rules does a name mean: the name of a rule, of a family, or the code of a peer (IST0102, KIA0201)?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Protocol

from meshlint.findings import Finding, RuleInfo


class HasInfo(Protocol):
    @property
    def info(self) -> RuleInfo: ...


class Names:
    """All names that users may write where a rule is meant."""

    def __init__(self, rules: Mapping[str, HasInfo]) -> None:
        self.rules = frozenset(rules)
        families: dict[str, set[str]] = defaultdict(set)
        codes: dict[str, set[str]] = defaultdict(set)
        for name, rule in rules.items():
            families[rule.info.family].add(name)
            for code in rule.info.equivalents:
                codes[code].add(name)
        self.families = {family: frozenset(names) for family, names in families.items()}
        self.codes = {code: frozenset(names) for code, names in codes.items()}

    def meaning(self, name: str) -> frozenset[str]:
        """The names of the rules that are meant; empty if the name is unknown."""
        if name in self.rules:
            return frozenset((name,))
        return self.families.get(name) or self.codes.get(name.upper()) or frozenset()

    def covers(self, name: str, finding: Finding) -> bool:
        """Does the name mean this finding? A peer's code means only what the peer says under it."""
        if name == finding.rule or name in (finding.family, "*"):
            return True
        return name.upper() in finding.equivalents

    def suggestion(self, name: str) -> str | None:
        """The known name that comes closest."""
        return closest(name, (*self.rules, *self.families, *self.codes))

    def complaint(self, name: str) -> str:
        """What to say about a name that means nothing."""
        if _is_code(name):
            return f"no rule answers for the code {name}"
        near = self.suggestion(name)
        return f"there is no rule or family named {name!r}" + (f"; did you mean {near!r}?" if near else "")


def closest(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate that a mistyped word most likely meant."""
    from difflib import get_close_matches

    found = get_close_matches(word, sorted(candidates), n=1, cutoff=0.6)
    return found[0] if found else None


def _is_code(name: str) -> bool:
    return name[:3].upper() in ("IST", "KIA") and name[3:].isdigit()
