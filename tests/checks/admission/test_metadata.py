"""The rows of the validation table that hold for every kind of Istio."""

from __future__ import annotations

import pytest

from tests.checks.admission.support import Row, check_row, uncovered

DRY_RUN = "istio.io/dry-run"
POINTER = "/metadata/annotations/istio.io~1dry-run"


def annotated(annotation: str, value: str = "true", spec: str = "{}") -> str:
    return (
        f"metadata:\n  name: a\n  namespace: shop\n  annotations:\n    {annotation}: '{value}'\n"
        f"spec: {spec}\n"
    )


def policy(value: str, action: str = "ALLOW") -> str:
    return annotated(DRY_RUN, value, f"{{action: {action}}}")


def reserved(number: int, name: str) -> tuple[str, Row]:
    pointer = f"/metadata/annotations/internal.istio.io~1{name}"
    bad, good = annotated(f"internal.istio.io/{name}", "a"), annotated("istio.io/rev", "a")
    return "Gateway", Row(number, "reserved-annotation", pointer, bad, good)


CASES = [
    ("Sidecar", Row(1, "dry-run-annotation", POINTER, annotated(DRY_RUN), annotated("istio.io/rev"))),
    ("WasmPlugin", Row(1, "dry-run-annotation", POINTER, annotated(DRY_RUN, "false"), annotated("a/b"))),
    ("AuthorizationPolicy", Row(2, "dry-run-annotation", POINTER, policy("yes"), policy("T"))),
    ("AuthorizationPolicy", Row(2, "dry-run-annotation", POINTER, policy("", "DENY"), policy("0", "DENY"))),
    ("AuthorizationPolicy", Row(2, "dry-run-annotation", POINTER, policy("on"), policy("${DRY}"))),
    ("AuthorizationPolicy", Row(3, "dry-run-annotation", POINTER, policy("true", "AUDIT"), policy("true"))),
    ("AuthorizationPolicy", Row(3, "dry-run-annotation", POINTER, policy("true", "CUSTOM"), policy("false"))),
    reserved(4, "webhook-always-reject"),
    reserved(5, "parent-namespace"),
    reserved(6, "parents"),
]


@pytest.mark.parametrize(
    ("kind", "row"), [pytest.param(k, row, id=f"metadata-{row.number}-{k}") for k, row in CASES]
)
def test_row(kind: str, row: Row) -> None:
    check_row(kind, row.rule, row.bad, row.good, row.pointer, row.severity)


def test_every_row_is_accounted_for() -> None:
    assert uncovered(6, [row for _, row in CASES]) == set()
