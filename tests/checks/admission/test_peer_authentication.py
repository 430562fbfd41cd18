"""PeerAuthentication: the table of spec schemas 3.3, one case for each row."""

from __future__ import annotations

import pytest

from tests.checks.admission.support import Row, check_row, params, uncovered

KIND = "PeerAuthentication"
COUNT = 6
SELECTOR = "selector: {matchLabels: {a: b}}"
PORT = "portLevelMtls: {8080: {mode: DISABLE}}"

ROWS = [
    Row(1, "mtls-port-level-needs-selector", "/spec/portLevelMtls", PORT, f"{SELECTOR}\n{PORT}"),
    Row(2, "invalid-value", "/spec/portLevelMtls", f"{SELECTOR}\nportLevelMtls: {{}}", f"{SELECTOR}\n{PORT}"),
    Row(
        3,
        "invalid-value",
        "/spec/portLevelMtls/65536",
        f"{SELECTOR}\nportLevelMtls: {{65536: {{}}}}",
        f"{SELECTOR}\n{PORT}",
    ),
    Row(4, "invalid-value", "/spec/selector/matchLabels/", "selector: {matchLabels: {'': b}}", SELECTOR),
    Row(5, "invalid-value", "/spec/selector/matchLabels/a", "selector: {matchLabels: {a: '*'}}", SELECTOR),
    Row(6, "selector-empty", "/spec/selector", "selector: {}", SELECTOR, "warning"),
]


@pytest.mark.parametrize("row", params(KIND, ROWS))
def test_row(row: Row) -> None:
    check_row(KIND, row.rule, row.bad, row.good, row.pointer, row.severity)


def test_every_row_is_accounted_for() -> None:
    assert uncovered(COUNT, ROWS) == set()
