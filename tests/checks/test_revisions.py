"""Objects for different revisions of the control plane do not compete (spec security 6.4)."""

from __future__ import annotations

import pytest

from tests.checks.findings import findings

OBJECT = """
apiVersion: %s.istio.io/v1
kind: %s
metadata: {name: %s, namespace: shop, labels: {%s}}
spec: %s
"""
KINDS = {
    "mtls-duplicate-scope": ("security", "PeerAuthentication", "{mtls: {mode: %s}}", "STRICT", "DISABLE"),
    "sidecar-duplicate": ("networking", "Sidecar", "{egress: [{hosts: ['%s/*']}]}", "a", "b"),
    "telemetry-duplicate": ("telemetry", "Telemetry", "{metrics: [{reportingInterval: %s}]}", "1s", "2s"),
    "dr-duplicate-host": (
        "networking", "DestinationRule", "{host: a, trafficPolicy: {tls: {mode: %s}}}", "DISABLE", "SIMPLE",
    ),
    "vs-duplicate-host-mesh": (
        "networking", "VirtualService", "{hosts: [a], http: [{redirect: {uri: %s}}]}", "/a", "/b",
    ),
    "se-port-conflict": (
        "networking", "ServiceEntry", "{hosts: [a.b], ports: [{number: 8, protocol: %s}]}", "HTTP", "TLS",
    ),
    "gw-duplicate-host-port": (
        "networking", "Gateway",
        "{selector: {app: gw}, servers: [{hosts: [a.b], port: {number: 8, name: %s, protocol: HTTP}}]}",
        "a", "b",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("rule", "case"), KINDS.items(), ids=KINDS)
@pytest.mark.parametrize(
    ("first", "second", "found"),
    [("", "", True), ("a", "b", False), ("a", "a", True), ("a", "", True)],
    ids=["no revisions", "two revisions", "one revision", "one for every revision"],
)
def test_competing(
    rule: str, case: tuple[str, str, str, str, str], first: str, second: str, found: bool
) -> None:
    group, kind, text, *values = case
    labels = [f"istio.io/rev: {revision}" if revision else "" for revision in (first, second)]
    objects = [
        OBJECT % (group, kind, name, label, text % value)
        for name, label, value in zip("ab", labels, values, strict=True)
    ]
    assert bool(findings(*objects, rules=(rule,))) is found


INSTALLED = """
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata: {name: istio, namespace: istio-system}
spec: {revision: %s}
"""


@pytest.mark.parametrize(
    ("installed", "label", "confidence"),
    [
        ("canary", "canary", None),
        ("canary", "old", "medium"),
        ("''", "default", None),
        ("''", "canary", "medium"),
        ("'{{ .rev }}'", "old", None),
        ("canary", "'{{ .rev }}'", None),
        ("canary", "asm-managed", None),
        (None, "old", None),
    ],
)
def test_unread(installed: str | None, label: str, confidence: str | None) -> None:
    text = OBJECT % (
        "networking",
        "Sidecar",
        "default",
        f"istio.io/rev: {label}",
        "{egress: [{hosts: ['./*']}]}",
    )
    texts = [text] if installed is None else [text, INSTALLED % installed]
    found = findings(*texts, rules=("config-unread-revision",))
    assert [f.confidence for f in found] == ([confidence] if confidence else [])
    found = findings(*texts, rules=("config-unread-revision",), config={"complete": True})
    assert [f.confidence for f in found] == (["high"] if confidence else [])


RELEASE = """
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: istiod, namespace: istio-system}
spec:
  chart: {spec: {chart: istiod, sourceRef: {kind: HelmRepository, name: istio}}}
  %s
"""


@pytest.mark.parametrize(
    ("values", "number"),
    [("values: {revision: new}", 1), ("valuesFrom: [{kind: ConfigMap, name: istiod}]", 0)],
)
def test_the_revision_of_a_release_may_be_set_elsewhere(values: str, number: int) -> None:
    text = OBJECT % ("networking", "Sidecar", "default", "istio.io/rev: old", "{egress: [{hosts: ['./*']}]}")
    found = findings(text, RELEASE % values, rules=("config-unread-revision",), config={"complete": True})
    assert len(found) == number
