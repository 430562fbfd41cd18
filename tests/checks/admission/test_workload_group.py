"""The rows of the validation table for WorkloadGroups."""

from __future__ import annotations

import pytest

from tests.checks.admission.support import Row, check_row, params, uncovered


def probe(text: str) -> str:
    return f"template: {{serviceAccount: a}}\nprobe: {{{text}}}"


def labelled(text: str) -> str:
    return f"spec:\n  template: {{serviceAccount: a}}\n  metadata: {{labels: {{{text}}}}}"


ROWS = [
    Row(2, "we-labels", "/spec/metadata/labels/a", labelled("a: -b"), labelled("a: b")),
    Row(
        12,
        "wg-probe",
        "/spec/probe/httpGet/httpHeaders/0/name",
        probe("httpGet: {port: 80, httpHeaders: [{name: x_a, value: b}]}"),
        probe("httpGet: {port: 80, httpHeaders: [{name: x-a, value: b}]}"),
    ),
    Row(14, "required-field", "/spec/probe/exec", probe("exec: {}"), probe("exec: {command: ['true']}")),
    Row(
        14,
        "wg-probe",
        "/spec/probe/exec/command",
        probe("exec: {command: []}"),
        probe("exec: {command: ['${X}']}"),
    ),
    Row(15, "wg-probe", "/spec/probe", probe("periodSeconds: 5"), probe("httpGet: {port: 80}")),
    Row(15, "wg-probe", "/spec/probe/grpc", probe("grpc: {port: 80}"), probe("tcpSocket: {port: 80}")),
    Row(1, "required-field", "/spec", "probe: {tcpSocket: {port: 1}}", probe("tcpSocket: {port: 1}")),
    *[
        Row(
            number,
            "invalid-value",
            f"/spec/probe/{name}",
            probe(f"tcpSocket: {{port: 1}}, {name}: -1"),
            probe(f"tcpSocket: {{port: 1}}, {name}: 0"),
        )
        for number, name in (
            (3, "periodSeconds"),
            (4, "initialDelaySeconds"),
            (5, "timeoutSeconds"),
            (6, "successThreshold"),
            (7, "failureThreshold"),
        )
    ],
    Row(
        9,
        "invalid-value",
        "/spec/probe/httpGet/port",
        probe("httpGet: {port: 0}"),
        probe("httpGet: {port: 1}"),
    ),
    Row(
        10,
        "enum-value",
        "/spec/probe/httpGet/scheme",
        probe("httpGet: {port: 1, scheme: ftp}"),
        probe("httpGet: {port: 1, scheme: HTTPS}"),
    ),
    Row(
        13,
        "invalid-value",
        "/spec/probe/tcpSocket/port",
        probe("tcpSocket: {port: 0}"),
        probe("tcpSocket: {port: 1}"),
    ),
]

NULL = "a null may be what a template or an overlay fills in, so nothing is said about it"
NOT_DONE = {8: NULL, 11: NULL}


@pytest.mark.parametrize("row", params("WorkloadGroup", ROWS))
def test_row(row: Row) -> None:
    check_row("WorkloadGroup", row.rule, row.bad, row.good, row.pointer, row.severity)


def test_every_row_is_accounted_for() -> None:
    assert uncovered(15, ROWS, NOT_DONE) == set()
