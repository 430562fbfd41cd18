"""WasmPlugin and TrafficExtension: the tables of spec schemas 3.3, one case for each row."""

from __future__ import annotations

import pytest

from meshlint.checks.admission.wasm import module_problem
from tests.checks.admission.support import Row, check_row, params, uncovered

COUNTS = {"WasmPlugin": 21, "TrafficExtension": 24}
URL = "url: oci://a/b:1"
WASM = f"wasm: {{{URL}}}"
SHA = "0123456789abcdef" * 4


def attached(first: int, base: str) -> list[Row]:
    """The rows that all policies have: labels and targets."""
    return [
        Row(
            first,
            "invalid-value",
            "/spec/selector/matchLabels/",
            f"{base}\nselector: {{matchLabels: {{'': b}}}}",
            base,
        ),
        Row(
            first + 1,
            "invalid-value",
            "/spec/selector/matchLabels/a",
            f"{base}\nselector: {{matchLabels: {{a: '*'}}}}",
            base,
        ),
        Row(first + 2, "selector-empty", "/spec/selector", f"{base}\nselector: {{}}", base, "warning"),
        Row(
            first + 3,
            "invalid-value",
            "/spec/targetRefs/0/name",
            f"{base}\ntargetRefs: [{{kind: Service, name: ''}}]",
            base,
        ),
        Row(
            first + 4,
            "invalid-value",
            "/spec/targetRefs/0/namespace",
            f"{base}\ntargetRefs: [{{kind: Service, name: a, namespace: b}}]",
            base,
        ),
        Row(
            first + 5,
            "policy-target",
            "/spec/targetRefs/0/kind",
            f"{base}\ntargetRefs: [{{kind: Pod, name: a}}]",
            f"{base}\ntargetRefs: [{{group: gateway.networking.k8s.io, kind: GatewayClass, name: a}}]",
        ),
    ]


def wasm(first: int, at: str, text: str, base: str) -> list[Row]:
    """The rows on a Wasm module; `text` takes its fields."""
    env = f"{at}/vmConfig/env"

    def given(fields: str) -> str:
        return text.replace("@", fields)

    def variables(items: str) -> str:
        return given(f"{URL}, vmConfig: {{env: [{items}]}}")

    rows = [
        ("invalid-value", f"{at}/url", given("url: ''")),
        ("wasm-fields", f"{at}/url", given("url: 'http://a/%zz'")),
        ("wasm-fields", f"{at}/url", given("url: 'a.example:5000/b:1'")),
        ("invalid-value", f"{at}/sha256", given(f"{URL}, sha256: '{SHA[1:]}'")),
        ("invalid-value", f"{at}/sha256", given(f"{URL}, sha256: '{SHA.upper()}'")),
        ("invalid-value", f"{at}/imagePullSecret", given(f"{URL}, imagePullSecret: {'a' * 254}")),
        ("invalid-value", f"{at}/pluginName", given(f"{URL}, pluginName: {'a' * 257}")),
        ("invalid-value", f"{env}/0/name", variables("{name: ''}")),
        ("invalid-value", f"{env}/0/name", variables(f"{{name: {'a' * 257}}}")),
        ("duplicate-list-key", f"{env}/1/name", variables("{name: a}, {name: a}")),
        ("exclusive-fields", f"{env}/0/value", variables("{name: a, valueFrom: HOST, value: b}")),
    ]
    good = variables("{name: a, value: b}, {name: b, valueFrom: HOST}")
    return [
        *(Row(first + n, rule, pointer, bad, good) for n, (rule, pointer, bad) in enumerate(rows)),
        Row(
            first + 13,
            "invalid-value",
            "/spec/match/0/ports/0/number",
            f"{base}\nmatch: [{{ports: [{{number: 65536}}]}}]",
            good,
        ),
    ]


BOTH = "lua: {inlineCode: a}"
TABLES = {
    "WasmPlugin": [
        Row(
            1,
            "exclusive-fields",
            "/spec/targetRefs",
            f"{URL}\nselector: {{matchLabels: {{a: b}}}}\ntargetRefs: [{{kind: Service, name: a}}]",
            URL,
        ),
        *attached(2, URL),
        *wasm(8, "/spec", "{@}", URL),
    ],
    "TrafficExtension": [
        Row(1, "exclusive-fields", "/spec/lua", f"{WASM}\n{BOTH}", WASM),
        Row(1, "required-field", "/spec", "phase: AUTHN", BOTH),
        Row(
            2,
            "exclusive-fields",
            "/spec/targetRefs",
            f"{BOTH}\nselector: {{matchLabels: {{a: b}}}}\ntargetRefs: [{{kind: Service, name: a}}]",
            BOTH,
        ),
        *attached(3, WASM),
        Row(9, "invalid-value", "/spec/lua/inlineCode", "lua: {inlineCode: ''}", BOTH),
        Row(10, "invalid-value", "/spec/lua/inlineCode", f"lua: {{inlineCode: {'a' * 65537}}}", BOTH),
        *wasm(11, "/spec/wasm", "wasm: {@}", WASM),
    ],
}
#: a null may be what a template leaves behind, and nothing is said of it
NOT_DONE = {"WasmPlugin": {19: "null", 20: "null"}, "TrafficExtension": {22: "null", 23: "null"}}


@pytest.mark.parametrize("row", params("WasmPlugin", TABLES["WasmPlugin"]))
def test_wasm_plugin(row: Row) -> None:
    check_row("WasmPlugin", row.rule, row.bad, row.good, row.pointer, row.severity)


@pytest.mark.parametrize("row", params("TrafficExtension", TABLES["TrafficExtension"]))
def test_traffic_extension(row: Row) -> None:
    check_row("TrafficExtension", row.rule, row.bad, row.good, row.pointer, row.severity)


@pytest.mark.parametrize("kind", TABLES)
def test_every_row_is_accounted_for(kind: str) -> None:
    assert uncovered(COUNTS[kind], TABLES[kind], NOT_DONE[kind]) == set()


@pytest.mark.parametrize(
    "url", ["a/b:1", "10.0.0.1:5000/a", "oci://a:1/b@sha256:0", "http://a:b/", "file:///a", "/a"]
)
def test_urls_of_modules(url: str) -> None:
    assert module_problem(url) == ""


@pytest.mark.parametrize("url", ["ftp://a", "localhost:5000/a", "%zz", "a b/c", "http://a/%zz"])
def test_urls_of_no_modules(url: str) -> None:
    assert module_problem(url)
