"""The rows of the validation table for WorkloadEntries."""

from __future__ import annotations

import pytest

from tests.checks.admission.support import Row, check_row, params, uncovered

ROWS = [
    Row(2, "we-address", "/spec/network", "network: a", "network: a\naddress: 10.0.0.1", "warning"),
    Row(5, "we-address", "/spec/address", "address: 10.0.0.1:80", "address: a.com"),
    Row(5, "we-address", "/spec/address", "address: 10.0.0.0/8", "address: unix:///a/b"),
    Row(
        8, "we-labels", "/spec/labels/a", "address: a.com\nlabels: {a: b/c}", "address: a.com\nlabels: {a: b}"
    ),
    Row(1, "required-field", "/spec", "labels: {a: b}", "network: a"),
    Row(3, "invalid-value", "/spec/address", "address: unix://a/b", "address: unix:///a/b"),
    Row(3, "invalid-value", "/spec/address", "address: unix:///a/", "address: unix://@a"),
    Row(
        4,
        "exclusive-fields",
        "/spec/ports",
        "address: unix:///a\nports: {a: 1}",
        "address: a.b\nports: {a: 1}",
    ),
    Row(
        6,
        "invalid-value",
        "/spec/ports/a_b",
        "address: a.b\nports: {a_b: 1}",
        "address: a.b\nports: {a-b: 1}",
    ),
    Row(
        7, "invalid-value", "/spec/ports/a", "address: a.b\nports: {a: 0}", "address: a.b\nports: {a: 65535}"
    ),
]


@pytest.mark.parametrize("row", params("WorkloadEntry", ROWS))
def test_row(row: Row) -> None:
    check_row("WorkloadEntry", row.rule, row.bad, row.good, row.pointer, row.severity)


def test_every_row_is_accounted_for() -> None:
    assert uncovered(8, ROWS) == set()
