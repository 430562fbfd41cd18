"""ProxyConfig: the table of spec schemas 3.3, one case for each row."""

from __future__ import annotations

import pytest

from tests.checks.admission.support import Row, check_row, params, uncovered

KIND = "ProxyConfig"
COUNT = 4
LABELS = "/spec/selector/matchLabels"
SELECTED = "selector: {matchLabels: {app: a}}"

ROWS = [
    Row(1, "invalid-value", f"{LABELS}/", "selector: {matchLabels: {'': a}}", SELECTED),
    Row(2, "invalid-value", f"{LABELS}/a*", "selector: {matchLabels: {'a*': a}}", SELECTED),
    Row(3, "selector-empty", "/spec/selector", "selector: {matchLabels: {}}", SELECTED, "warning"),
    Row(4, "invalid-value", "/spec/concurrency", "concurrency: -1", "concurrency: 0"),
]
NOT_DONE: dict[int, str] = {}


@pytest.mark.parametrize("row", params(KIND, ROWS))
def test_row(row: Row) -> None:
    check_row(KIND, row.rule, row.bad, row.good, row.pointer, row.severity)


def test_every_row_is_accounted_for() -> None:
    assert uncovered(COUNT, ROWS, NOT_DONE) == set()
