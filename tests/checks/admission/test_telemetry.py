"""Telemetry: the table of spec schemas 3.3, one case or more for each row."""

from __future__ import annotations

import pytest

from tests.checks.admission.support import Row, check_row, params, uncovered

KIND = "Telemetry"
COUNT = 23
TRACING = "/spec/tracing/0"
METRICS = "/spec/metrics/0"
TAGS = f"{METRICS}/overrides/0/tagOverrides"


def tracing(text: str) -> str:
    return f"tracing: [{{{text}}}]"


def tag(text: str) -> str:
    return tracing(f"customTags: {{{text}}}")


def override(text: str) -> str:
    return f"metrics: [{{overrides: [{{{text}}}]}}]"


def overridden(text: str) -> str:
    return override(f"tagOverrides: {{{text}}}")


def filtered(expression: str) -> str:
    return f"accessLogging: [{{filter: {{expression: '{expression}'}}}}]"


FILTER = "/spec/accessLogging/0/filter/expression"
GOOD_TAG = tag("a: {literal: {value: b}}")
ROWS = [
    Row(
        1,
        "exclusive-fields",
        "/spec/targetRefs",
        "selector: {matchLabels: {a: b}}\ntargetRefs: [{kind: Service, name: a}]",
        "selector: {matchLabels: {a: b}}",
    ),
    Row(
        2,
        "invalid-value",
        "/spec/selector/matchLabels/",
        "selector: {matchLabels: {'': b}}",
        "selector: {matchLabels: {a: b}}",
    ),
    Row(
        3,
        "invalid-value",
        "/spec/selector/matchLabels/a",
        "selector: {matchLabels: {a: '*b'}}",
        "selector: {matchLabels: {a: b}}",
    ),
    Row(4, "selector-empty", "/spec/selector", "selector: {}", "selector: {matchLabels: {a: b}}", "warning"),
    Row(
        5,
        "invalid-value",
        "/spec/targetRef/name",
        "targetRef: {kind: Service, name: ''}",
        "targetRef: {kind: Service, name: a}",
    ),
    Row(
        6,
        "invalid-value",
        "/spec/targetRef/namespace",
        "targetRef: {kind: Service, name: a, namespace: b}",
        "targetRef: {kind: Service, name: a}",
    ),
    Row(
        7,
        "policy-target",
        "/spec/targetRef/group",
        "targetRef: {group: apps, kind: Service, name: a}",
        "targetRef: {group: '', kind: Service, name: a}",
    ),
    Row(
        8,
        "invalid-value",
        f"{METRICS}/providers/0/name",
        "metrics: [{providers: [{name: ''}]}]",
        "metrics: [{providers: [{name: a}]}]",
    ),
    Row(
        8,
        "required-field",
        "/spec/accessLogging/0/providers/0",
        "accessLogging: [{providers: [{}]}]",
        "accessLogging: [{providers: [{name: a}]}]",
    ),
    Row(
        10, "telemetry-tags", f"{TAGS}/", overridden("'': {value: a}"), overridden("a: {value: a}"), "warning"
    ),
    Row(12, "telemetry-tags", f"{TAGS}/a", overridden("a: {}"), overridden("a: {operation: REMOVE}")),
    Row(
        12,
        "telemetry-tags",
        f"{TAGS}/a/value",
        overridden("a: {value: ''}"),
        overridden("a: {value: '${A}'}"),
    ),
    Row(
        12,
        "required-field",
        f"{TAGS}/a",
        overridden("a: {operation: UPSERT}"),
        overridden("a: {operation: UPSERT, value: a}"),
    ),
    Row(
        13,
        "exclusive-fields",
        f"{TAGS}/a/value",
        overridden("a: {operation: REMOVE, value: a}"),
        overridden("a: {operation: REMOVE}"),
    ),
    Row(
        14,
        "invalid-value",
        f"{METRICS}/overrides/0/match/customMetric",
        override("match: {customMetric: ''}"),
        override("match: {customMetric: a}"),
    ),
    Row(15, "telemetry-multiple-providers", "/spec/tracing", "tracing: [{}, {}]", "tracing: [{}]", "warning"),
    Row(
        16,
        "telemetry-multiple-providers",
        f"{TRACING}/providers",
        tracing("providers: [{name: a}, {name: b}]"),
        tracing("providers: [{name: a}]"),
        "warning",
    ),
    Row(
        17,
        "invalid-value",
        f"{TRACING}/randomSamplingPercentage",
        tracing("randomSamplingPercentage: 100.5"),
        tracing("randomSamplingPercentage: 100.0"),
    ),
    Row(
        17,
        "invalid-value",
        f"{TRACING}/randomSamplingPercentage",
        tracing("randomSamplingPercentage: -1"),
        tracing("randomSamplingPercentage: 0"),
    ),
    Row(18, "telemetry-tags", f"{TRACING}/customTags/", tag("'': {literal: {value: b}}"), GOOD_TAG),
    Row(
        20,
        "invalid-value",
        f"{TRACING}/customTags/a/literal/value",
        tag("a: {literal: {value: ''}}"),
        GOOD_TAG,
    ),
    Row(
        21,
        "invalid-value",
        f"{TRACING}/customTags/a/header/name",
        tag("a: {header: {name: ''}}"),
        tag("a: {header: {name: b}}"),
    ),
    Row(
        22,
        "invalid-value",
        f"{TRACING}/customTags/a/environment/name",
        tag("a: {environment: {name: ''}}"),
        tag("a: {environment: {name: b}}"),
    ),
    Row(23, "telemetry-filter", FILTER, filtered("response.code >="), filtered("response.code >= 400")),
    Row(23, "telemetry-filter", FILTER, filtered(""), filtered("has(request.headers)")),
    Row(23, "telemetry-filter", FILTER, filtered("a and b"), filtered("${FILTER}")),
]
#: a null may be what a template leaves behind, and nothing is said of it
NOT_DONE = {9: "null", 11: "null", 19: "null"}


@pytest.mark.parametrize("row", params(KIND, ROWS))
def test_row(row: Row) -> None:
    check_row(KIND, row.rule, row.bad, row.good, row.pointer, row.severity)


def test_every_row_is_accounted_for() -> None:
    assert uncovered(COUNT, ROWS, NOT_DONE) == set()
