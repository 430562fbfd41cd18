"""Sidecars: egress hosts, outbound policy, and which of several counts (spec traffic 1.11)."""

from __future__ import annotations

import pytest

from tests.checks.traffic.support import (
    COMPLETE,
    deployment,
    findings,
    paths,
    service,
    service_entry,
    verdicts,
)
from tests.mesh.test_sidecars import sidecar

HOST = "/spec/egress/0/hosts/0"


@pytest.mark.parametrize(
    ("host", "verdict"),
    [
        ("./*", []),
        ("shop/a.shop.svc.cluster.local", []),
        ("*/a.shop.svc.cluster.local", []),
        ("./*.shop.svc.cluster.local", []),
        ("shop/b.shop.svc.cluster.local", [("warning", "high")]),
        ("*/api.example.com", []),
        ("*/www.example.com", []),
        ("*/*.example.com", []),
        ("*/www.example.org", [("warning", "high")]),
        ("pay/a.shop.svc.cluster.local", [("warning", "high")]),
        ("shop/a.shop", [("warning", "high")]),
        ("~prod/b.prod.svc.cluster.local", []),
        ("${NS}/b.shop.svc.cluster.local", []),
    ],
)
def test_1_11_hosts_of_the_registry(host: str, verdict: list[tuple[str, str]]) -> None:
    texts = (
        sidecar(f'"{host}"'),
        service(),
        service_entry("api.example.com"),
        service_entry("*.example.com"),
    )
    assert verdicts("sidecar-egress-host", *texts, settings=COMPLETE) == verdict


def test_a_short_name_is_refused_by_another_rule() -> None:
    assert paths("sidecar-egress-host", sidecar('"shop/b"'), service(), settings=COMPLETE) == []
    assert paths("sidecar-egress-hosts", sidecar('"shop/b"')) == [HOST]


def test_in_an_open_input_nothing_is_missing() -> None:
    assert paths("sidecar-egress-host", sidecar('"pay/b.pay.svc.cluster.local"')) == []
    assert verdicts("sidecar-egress-host", sidecar('"shop/b.shop.svc.cluster.local"'), service()) == [
        ("warning", "low")
    ]


@pytest.mark.parametrize(
    ("policy", "found"), [("{}", True), ("{mode: REGISTRY_ONLY}", False), ("{mode: ALLOW_ANY}", False)]
)
def test_modes(policy: str, found: bool) -> None:
    text = sidecar('"./*"').replace("spec: {", f"spec: {{outboundTrafficPolicy: {policy}, ")
    assert bool(paths("sidecar-mode-empty", text)) is found


def codes(*texts: str) -> list[tuple[str, tuple[str, ...]]]:
    return [(f.confidence, f.equivalents) for f in findings("sidecar-duplicate", *texts)]


def test_two_for_a_namespace() -> None:
    one, two = sidecar('"./*"'), sidecar('"*/*"', name="second")
    assert codes(one, two) == [("high", ("IST0111", "KIA0002"))] * 2
    assert codes(one, one) == []
    assert codes(one, sidecar('"*/*"', "pay", "second")) == []


def test_the_ambient_mesh_reads_none() -> None:
    namespace = (
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {istio.io/dataplane-mode: ambient}}"
    )
    assert codes(sidecar('"./*"'), sidecar('"*/*"', name="second"), namespace) == []


def test_selectors_that_meet() -> None:
    one = sidecar('"./*"', name="one", selector="{app: cart}")
    two = sidecar('"./*"', name="two", selector="{tier: back}")
    assert codes(one, two) == []
    assert (
        codes(one, two, deployment("cart", labels="app: cart, tier: back"))
        == [("high", ("IST0110", "KIA0003"))] * 2
    )
    assert codes(one, two, deployment("cart", "pay", "app: cart, tier: back")) == []


def test_the_same_selector_meets_as_soon_as_there_are_pods() -> None:
    one, two = (sidecar('"./*"', name=name, selector="{app: cart}") for name in ("one", "two"))
    assert codes(one, two) == [("high", ())] * 2


def test_namespaces_that_are_not_written_may_differ() -> None:
    one, two = (sidecar('"./*"', name=name).replace(", namespace: shop", "") for name in ("one", "two"))
    assert codes(one, two) == [("medium", ("IST0111", "KIA0002"))] * 2


def test_pods_of_a_selector() -> None:
    text = sidecar('"./*"', selector="{app: crat}")
    assert paths("sidecar-selector-no-pods", text) == []
    assert verdicts("sidecar-selector-no-pods", text, deployment("cart")) == [("warning", "low")]
    assert verdicts("sidecar-selector-no-pods", text, deployment("cart"), settings=COMPLETE) == [
        ("warning", "high")
    ]
    assert paths("sidecar-selector-no-pods", text, deployment("crat"), settings=COMPLETE) == []
