"""How a row of a table of the specification is tested: manifests, and what the rules of that table say.

A row expects `rule severity`, sorted; rules that no row of its table expects are not asked. `OK` is nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from _pytest.mark import ParameterSet

from meshlint.mesh.scope import Settings
from meshlint.policy.run import run
from meshlint.records import dataclass
from tests.checks.admission.support import rule_named
from tests.support import mesh_of

COMPLETE = Settings(complete=True)
OK: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """`name` is how the table calls the row."""

    name: str
    texts: tuple[str, ...]
    expected: tuple[str, ...] = OK
    settings: Settings | None = None


def row(name: str, *texts: str, says: str = "", settings: Settings | None = None) -> Row:
    """`says` are rules with severities, after commas."""
    return Row(name, texts, tuple(sorted(part.strip() for part in says.split(",") if part)), settings)


#: rules about taste, which are asked only where a row expects them
OPINIONS = frozenset(
    {
        "vs-fault-in-production", "gw-http-no-redirect", "gw-wildcard-host", "deployment-replicas-1",
        "replicas-pdb", "readiness-probe-missing", "dead-object", "experimental-feature",
    }
)  # fmt: skip


def params(rows: Iterable[Row]) -> list[ParameterSet]:
    """Rows as parameters, with their names as ids; each knows the rules of its table."""
    listed = list(rows)
    table = {name for one in listed for name in _rules(one)} - OPINIONS
    return [pytest.param(one, tuple(sorted(table | _rules(one))), id=one.name) for one in listed]


def _rules(one: Row) -> set[str]:
    return {entry.partition(" ")[0] for entry in one.expected}


def said(one: Row, asked: Iterable[str]) -> list[str]:
    """The findings of some rules about the manifests of a row."""
    found, errors = run([rule_named(name) for name in asked], mesh_of(*one.texts, settings=one.settings))
    assert errors == []
    return sorted({f"{finding.rule} {finding.severity}" for finding in found})
