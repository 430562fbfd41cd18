"""EnvoyFilter: the table of spec schemas 3.3, one case for each row."""

from __future__ import annotations

import pytest

from tests.checks.admission.support import Row, check_row, findings, params, rule_named, uncovered

KIND = "EnvoyFilter"
COUNT = 24
PATCH = "/spec/configPatches/0"
FILTER = f"{PATCH}/match/listener/filterChain/filter"
MANAGER = "envoy.filters.network.http_connection_manager"
REMOVE = "patch: {operation: REMOVE}"


def patches(text: str) -> str:
    return f"configPatches: [{{{text}}}]"


def matched(apply_to: str, match: str) -> str:
    return patches(f"applyTo: {apply_to}, match: {{{match}}}, {REMOVE}")


def filtered(apply_to: str, text: str) -> str:
    return matched(apply_to, f"listener: {{filterChain: {{filter: {{{text}}}}}}}")


def version(pattern: str) -> str:
    return matched("CLUSTER", f"proxy: {{proxyVersion: '{pattern}'}}")


def added(value: str, operation: str = "INSERT_FIRST") -> str:
    return patches(f"applyTo: HTTP_FILTER, patch: {{operation: {operation}, value: {value}}}")


V2 = "type.googleapis.com/envoy.config.filter.http.lua.v2.Lua"
V3 = "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua"
SELECTED = "configPatches: []\nworkloadSelector: {labels: {app: a}}"

ROWS = [
    Row(2, "ef-selector", "/spec/workloadSelector/labels/", "workloadSelector: {labels: {'': a}}", SELECTED),
    Row(
        3, "ef-selector", "/spec/workloadSelector/labels/*", "workloadSelector: {labels: {'*': a}}", SELECTED
    ),
    Row(4, "selector-empty", "/spec/workloadSelector", "workloadSelector: {}", SELECTED, "warning"),
    Row(5, "wrong-type", PATCH, "configPatches: [a]", patches(f"applyTo: CLUSTER, {REMOVE}")),
    Row(
        6,
        "ef-patch",
        f"{PATCH}/applyTo",
        patches(f"applyTo: INVALID, {REMOVE}"),
        patches(f"applyTo: BOOTSTRAP, {REMOVE}"),
    ),
    Row(
        7, "ef-patch", f"{PATCH}/applyTo", patches("applyTo: CLUSTER"), patches(f"applyTo: CLUSTER, {REMOVE}")
    ),
    Row(
        8,
        "ef-patch",
        f"{PATCH}/patch",
        patches("applyTo: CLUSTER, patch: {value: {}}"),
        patches(f"applyTo: CLUSTER, {REMOVE}"),
    ),
    Row(
        9,
        "ef-patch",
        f"{PATCH}/patch",
        patches("applyTo: CLUSTER, patch: {operation: MERGE}"),
        patches(f"applyTo: CLUSTER, {REMOVE}"),
    ),
    Row(
        10,
        "ef-proxy-version",
        f"{PATCH}/match/proxy/proxyVersion",
        version("a" * 1025),
        version("a" * 1024),
        "warning",
    ),
    Row(
        11,
        "ef-proxy-version",
        f"{PATCH}/match/proxy/proxyVersion",
        version("(?!1.19)"),
        version("^1.19.*"),
        "error",
    ),
    Row(
        12,
        "ef-match",
        f"{PATCH}/match/cluster",
        matched("HTTP_FILTER", "cluster: {name: a}"),
        matched("CLUSTER", "cluster: {name: a}"),
    ),
    Row(
        13,
        "ef-match",
        FILTER,
        filtered("FILTER_CHAIN", "name: a"),
        filtered("NETWORK_FILTER", "name: a"),
        "warning",
    ),
    Row(
        14,
        "ef-match",
        FILTER,
        filtered("HTTP_FILTER", "subFilter: {name: a}"),
        filtered("HTTP_FILTER", f"name: {MANAGER}"),
        "error",
    ),
    Row(
        15,
        "ef-match",
        f"{FILTER}/subFilter",
        filtered("NETWORK_FILTER", f"name: {MANAGER}, subFilter: {{name: a}}"),
        filtered("HTTP_FILTER", f"name: {MANAGER}, subFilter: {{name: a}}"),
    ),
    Row(
        16,
        "ef-match",
        f"{FILTER}/name",
        filtered("HTTP_FILTER", "name: envoy.filters.network.tcp_proxy, subFilter: {name: a}"),
        filtered("HTTP_FILTER", "name: envoy.http_connection_manager, subFilter: {name: a}"),
    ),
    Row(
        17,
        "ef-match",
        f"{FILTER}/subFilter/name",
        filtered("HTTP_FILTER", f"name: {MANAGER}, subFilter: {{name: ''}}"),
        filtered("HTTP_FILTER", f"name: {MANAGER}, subFilter: {{name: a}}"),
    ),
    Row(
        18,
        "envoyfilter-deprecated-name",
        f"{FILTER}/subFilter/name",
        filtered("HTTP_FILTER", f"name: {MANAGER}, subFilter: {{name: envoy.router}}"),
        filtered("HTTP_FILTER", f"name: {MANAGER}, subFilter: {{name: envoy.filters.http.router}}"),
    ),
    Row(
        19,
        "ef-match",
        f"{PATCH}/match/listener",
        matched("HTTP_ROUTE", "listener: {}"),
        matched("HTTP_ROUTE", "routeConfiguration: {}"),
    ),
    Row(
        20,
        "ef-match",
        f"{PATCH}/match/routeConfiguration",
        matched("CLUSTER", "routeConfiguration: {}"),
        matched("CLUSTER", "context: GATEWAY"),
    ),
    Row(
        21,
        "ef-value",
        f"{PATCH}/patch/value/typed_config/@type",
        added(f"{{name: a, typed_config: {{'@type': {V2}}}}}"),
        added(f"{{name: a, typed_config: {{'@type': {V3}}}}}"),
        "error",
    ),
    Row(
        24,
        "ef-value",
        f"{PATCH}/patch/value/name",
        added("{name: a, config: {}}"),
        added("{name: a, config_discovery: {}}"),
        "warning",
    ),
]
NOT_DONE = {
    22: "unknown fields of Envoy's messages: takes their descriptors",
    23: "messages of a frozen version other than 2: takes their descriptors",
}
#: rows without a good document: the finding is there for every object
ALWAYS = {1: "envoyfilter-present"}
PARTLY = {21: "only messages of API version 2 are told; the rest takes the descriptors of Envoy's messages"}


@pytest.mark.parametrize("row", params(KIND, ROWS))
def test_row(row: Row) -> None:
    check_row(KIND, row.rule, row.bad, row.good, row.pointer, row.severity)


def test_every_row_is_accounted_for() -> None:
    assert uncovered(COUNT, ROWS, NOT_DONE, ALWAYS) == set()
    assert PARTLY.keys() <= {row.number for row in ROWS}


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ("ef-patch", patches("applyTo: '${A}', patch: {operation: '${O}'}")),
        ("ef-patch", patches("applyTo: null, patch: null")),
        ("ef-patch", patches("match: {context: WAYPOINT}")),
        ("ef-proxy-version", version("${VERSION}(")),
        ("ef-match", filtered("HTTP_FILTER", "name: '${F}', subFilter: {name: '${S}'}")),
        ("ef-match", filtered("HTTP_FILTER", "name: null")),
        ("ef-match", matched("'${A}'", "cluster: {}")),
        ("ef-match", matched("CLUSTER", "context: WAYPOINT, listener: {}")),
        ("ef-value", added("{name: '${F}'}")),
        ("ef-value", added("{name: a}", "MERGE")),
        ("ef-value", added("null")),
        (
            "ef-value",
            added("{name: a, typed_config: {'@type': t/istio.envoy.config.filter.http.alpn.v2alpha1.F}}"),
        ),
        ("ef-value", patches("applyTo: CLUSTER, patch: {operation: ADD, value: {name: a}}")),
    ],
)
def test_what_is_not_said(rule: str, text: str) -> None:
    assert findings(KIND, rule, text) == []


def test_old_messages_are_found_anywhere_in_a_value() -> None:
    text = added(f"{{name: a, typed_config: {{'@type': {V3}, list: [{{x: {{'@type': {V2}}}}}]}}}}")
    (found,) = findings(KIND, "ef-value", text)
    assert found.location.path == f"{PATCH}/patch/value/typed_config/list/0/x/@type"


def test_every_envoy_filter_is_named_by_the_strict_profile() -> None:
    (found,) = findings(KIND, ALWAYS[1], SELECTED)
    assert (found.location.path, found.severity) == ("/metadata/name", "info")
    assert rule_named(ALWAYS[1]).info.profile == "strict"


def test_names_of_listener_filters() -> None:
    text = matched("LISTENER_FILTER", "listener: {listenerFilter: envoy.listener.tls_inspector}")
    (found,) = findings(KIND, "envoyfilter-deprecated-name", text)
    assert found.help == "write envoy.filters.listener.tls_inspector"
