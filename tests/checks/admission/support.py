"""How a row of the validation tables is tested: two documents, one is refused, one is not.

Documents are written as short as they can be: the content of `spec`, or `metadata` and `spec`, or whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from textwrap import indent

import pytest

from meshlint.findings import Finding
from meshlint.mesh.scope import Settings
from meshlint.policy.rules import Rule, load_rule, rules_directory
from meshlint.policy.run import run
from meshlint.source.parse import parse
from tests.support import mesh_of

_GROUPS = {
    "AuthorizationPolicy": "security.istio.io/v1",
    "PeerAuthentication": "security.istio.io/v1",
    "RequestAuthentication": "security.istio.io/v1",
    "Telemetry": "telemetry.istio.io/v1",
    "WasmPlugin": "extensions.istio.io/v1alpha1",
    "TrafficExtension": "extensions.istio.io/v1alpha1",
    "EnvoyFilter": "networking.istio.io/v1alpha3",
    "ProxyConfig": "networking.istio.io/v1beta1",
}
_ISTIO = "networking.istio.io/v1"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table. `pointer` is the JSON pointer of the value or key where the finding stands."""

    number: int
    rule: str
    pointer: str
    bad: str
    good: str
    severity: str | None = None


def params(kind: str, rows: Iterable[Row]) -> list[object]:
    """Rows as parameters of a test, with ids such as ``Gateway-7``."""
    return [pytest.param(row, id=f"{kind}-{row.number}") for row in rows]


def check_row(kind: str, rule: str, bad: str, good: str, pointer: str, severity: str | None = None) -> None:
    """The rule finds something in the bad document, at the pointer, and nothing in the good one."""
    found = findings(kind, rule, bad)
    assert pointer in {finding.location.path for finding in found}, [
        (f.location.path, f.message) for f in found
    ]
    if severity is not None:
        assert severity in {f.severity for f in found if f.location.path == pointer}
    assert [(f.location.path, f.message) for f in findings(kind, rule, good)] == []


def findings(kind: str, rule: str, text: str, settings: Settings | None = None) -> list[Finding]:
    """What one rule says about one document."""
    whole = document(kind, text)
    assert parse("test.yaml", whole).problems == [], f"does not parse:\n{whole}"
    found, errors = run([rule_named(rule)], mesh_of(whole, settings=settings))
    assert errors == []
    return found


def document(kind: str, text: str) -> str:
    """A whole object of the kind around what the text gives of it."""
    lines = text.strip("\n").splitlines()
    written = {line.split(":")[0] for line in lines}
    if "kind" in written:
        return text
    head = f"apiVersion: {_GROUPS.get(kind, _ISTIO)}\nkind: {kind}\n"
    if "metadata" not in written:
        head += "metadata:\n  name: test\n  namespace: shop\n"
    body = "\n".join(lines)
    if not written & {"spec", "metadata"}:
        body = "spec:\n" + indent(body, "  ")
    return head + body + "\n"


def uncovered(count: int, rows: Iterable[Row], *others: Iterable[int]) -> set[int]:
    """The numbers of a table of `count` rows that nothing accounts for, and numbers that it has not."""
    numbers = {row.number for row in rows}.union(*others)
    return numbers ^ set(range(1, count + 1))


@cache
def rule_named(name: str) -> Rule:
    (path,) = rules_directory().glob(f"*/{name}.yaml")
    return load_rule(path)
