"""The pipeline as a function: from paths to a report."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from meshlint.config import Config, PathRules
from meshlint.findings import Draft
from meshlint.lint import lint, rules_of
from meshlint.policy import run as policy_run
from meshlint.policy.rules import RuleError

BAD = dedent(
    """\
    apiVersion: security.istio.io/v1
    kind: PeerAuthentication
    metadata: {name: default, namespace: shop}
    spec:
      portLevelMtls:
        8080: {mode: STRICT}
    """
)
GOOD = BAD[: BAD.index("  portLevel")] + "  mtls: {mode: STRICT}\n"
RULE = "mtls-port-level-needs-selector"
ONLY = Config(select=(RULE,))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PRE_COMMIT", raising=False)
    return tmp_path


def write(**files: str) -> None:
    for name, text in files.items():
        path = Path(name.replace("__", "/") + ".yaml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


def found(*inputs: str, config: Config = ONLY, **more):
    report = lint(inputs or (".",), config, **more).report
    return [f"{f.location.file}:{f.location.start_line} {f.rule}" for f in report.findings]


def test_counts_and_order():
    write(b=BAD, a__x=BAD + "---\n" + GOOD)
    report = lint(["."], ONLY).report
    assert [f.location.file for f in report.findings] == ["a/x.yaml", "b.yaml"]
    assert (report.files, report.documents, report.resources) == (2, 3, 3)
    assert list(report.rules) == [RULE]


def test_standard_input():
    assert found("-", stdin=BAD.encode()) == [f"<stdin>:5 {RULE}"]


def test_what_cannot_be_read_is_an_error():
    report = lint(["nowhere"], ONLY).report
    assert [(e.file, e.message) for e in report.errors] == [("nowhere", "no such file or folder")]


def test_the_text_of_an_input_can_be_had():
    write(a=BAD)
    linted = lint(["a.yaml"], ONLY)
    assert linted.source("a.yaml") == BAD
    assert linted.source("b.yaml") is None


def test_excluded_files():
    write(a=BAD, vendor__b=BAD)
    assert found(config=Config(select=(RULE,), exclude=("vendor/",))) == [f"a.yaml:5 {RULE}"]


def test_default_namespace():
    write(a=BAD.replace(", namespace: shop", ""))
    config = Config(select=(RULE,), default_namespace="pay")
    assert lint(["."], config).report.findings[0].resource.namespace == "pay"


def test_report_only_keeps_findings_that_touch_the_files():
    write(a=BAD, b=BAD, c__d=BAD)
    assert found(report_only=["b.yaml"]) == [f"b.yaml:5 {RULE}"]
    assert found(report_only=["c"]) == [f"c/d.yaml:5 {RULE}"]
    assert found(report_only=["gone.yaml"]) == []


def test_report_only_counts_related_places(monkeypatch):
    def check(mesh, options):
        first, second = mesh.scope.resources
        yield Draft(first.place(), "they conflict", related=(("here", second.place()),))

    original = policy_run.check_of
    monkeypatch.setattr(policy_run, "check_of", lambda r: check if r.name == RULE else original(r))
    write(a=GOOD, b=GOOD)
    assert found(report_only=["b.yaml"]) == [f"a.yaml:3 {RULE}"]


def test_a_crashed_rule_is_an_error_and_the_others_run(monkeypatch):
    def crash(mesh, options):
        raise ValueError("boom")

    original = policy_run.check_of
    monkeypatch.setattr(policy_run, "check_of", lambda r: crash if r.name == "mtls-disabled" else original(r))
    write(a=BAD)
    report = lint(["."], Config(select=(RULE, "mtls-disabled"))).report
    assert [f.rule for f in report.findings] == [RULE]
    assert report.errors[0].rule == "mtls-disabled"
    assert report.errors[0].message.startswith("rule mtls-disabled crashed: ValueError: boom at ")


def test_progress():
    steps = []
    write(a=BAD)
    lint(["."], ONLY, progress=lambda *step: steps.append(step))
    assert steps == [("reading", 0, 1), (RULE, 0, 1)]


MINE = """\
name: our-own
summary: Our own words for it
family: ours
severity: info
confidence: high
profile: default
since: 1.0.0
why: |
  Because that is what we agreed upon in the platform team.
check: {python: mtls.port_level_needs_selector}
examples:
  - name: one
    good: "a: 1"
"""


def test_rules_of_the_user():
    write(a=BAD, policies__our_own=MINE)
    config = Config(rule_files=("policies/*.yaml",), select=("our-own",))
    assert found("a.yaml", config=config) == ["a.yaml:5 our-own"]


def test_a_rule_of_the_user_cannot_take_a_name():
    write(policies__x=MINE.replace("our-own", RULE))
    with pytest.raises(RuleError, match=rf"policies/x.yaml: there is a rule named '{RULE}' already"):
        rules_of(Config(rule_files=("policies/*.yaml",)))


def test_paths_are_relative_to_the_folder_of_the_configuration(folder, monkeypatch):
    write(sub__legacy__a=BAD)
    monkeypatch.chdir(folder / "sub")
    paths = (PathRules("sub/legacy/**", ignore=(RULE,), reason="old"),)
    report = lint(["."], Config(select=(RULE,), paths=paths, root=folder)).report
    assert [f.suppressed.reason for f in report.findings] == ["old"]


GATEWAY = dedent(
    """\
    apiVersion: networking.istio.io/v1
    kind: Gateway
    metadata: {name: public, namespace: istio-ingress}
    spec:
      selector: {istio: ingress}
      servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*/*.acme.test"]}]
    """
)
ROUTE = dedent(
    """\
    apiVersion: networking.istio.io/v1
    kind: VirtualService
    metadata: {name: web}
    spec:
      hosts: [web.example.test]
      gateways: [istio-ingress/public]
      http: [{route: [{destination: {host: web}}]}]
    """
)
WEB = dedent(
    """\
    apiVersion: v1
    kind: Service
    metadata: {name: web}
    spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
    ---
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: web}
    spec:
      replicas: 2
      selector: {matchLabels: {app: web}}
      template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: web}]}}
    ---
    apiVersion: networking.istio.io/v1
    kind: DestinationRule
    metadata: {name: web}
    spec: {host: web, trafficPolicy: {outlierDetection: {consecutive5xxErrors: 7}}}
    """
)
PATCHED = Config(select=("vs-gateway-host-mismatch", "outlier-cannot-eject"))
MISMATCH, REPLICAS = "base/route.yaml:6 vs-gateway-host-mismatch", "base/web.yaml:17 outlier-cannot-eject"


@pytest.mark.parametrize(
    ("overlay", "left"),
    [
        ("", [MISMATCH, REPLICAS]),
        ("patches: [{path: hosts.yaml}]", [REPLICAS]),
        ("patches: [{path: hosts.yaml, target: {kind: VirtualService, name: web}}]", [REPLICAS]),
        ("patches: [{path: hosts.yaml, target: {kind: VirtualService, name: w.*}}]", [REPLICAS]),
        (
            "patches: [{patch: '{kind: VirtualService, metadata: {name: web}, spec: {hosts: [x]}}'}]",
            [REPLICAS],
        ),
        ("patches: [{patch: '{kind: VirtualService, metadata: {name: web}}'}]", [MISMATCH, REPLICAS]),
        ("patches: [{patch: 'a: [', target: {kind: VirtualService}}]", [REPLICAS]),
        ("patches: [{path: missing.yaml, target: {kind: VirtualService}}]", [REPLICAS]),
        ("replicas: [{name: web, count: 20}]", [MISMATCH]),
        ("patches: [{patch: '[]', target: {kind: Deployment}}]", [MISMATCH, REPLICAS]),
        (
            "patches: [{patch: '[{op: remove, path: /spec/replicas}]', target: {kind: Deployment}}]",
            [MISMATCH],
        ),
    ],
)
def test_what_kustomize_patches_is_open(overlay, left):
    hosts = ROUTE.partition("  gateways")[0].replace("example", "acme")
    write(infra__gateway=GATEWAY, base__route=ROUTE, base__web=WEB, prod__hosts=hosts)
    resources = "resources: [route.yaml, web.yaml]\n"
    write(base__kustomization=resources, prod__kustomization=f"resources: [../base]\n{overlay}\n")
    if not overlay:
        Path("prod/hosts.yaml").unlink()
    assert found(config=PATCHED) == left


@pytest.mark.parametrize("patches", ["", "patches: [{path: labels.yaml}]"])
def test_labels_of_a_namespace_that_kustomize_patches_are_open(patches):
    home = "apiVersion: v1\nkind: Namespace\nmetadata: {name: default"
    write(base__all=home + "}\n---\n" + WEB, base__kustomization="resources: [all.yaml]\n")
    write(prod__kustomization=f"resources: [../base]\n{patches}\n")
    if patches:
        write(prod__labels=home + ", labels: {istio-injection: enabled}}\n")
    write(
        other="apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {istio-injection: enabled}}\n"
    )
    findings = lint(["."], Config(select=("injection-missing",), profile="audit")).report.findings
    assert [finding.confidence for finding in findings] == ["low" if patches else "medium"]


@pytest.mark.parametrize(
    ("rule", "text", "replaced"),
    [
        (
            "mtls-permissive",
            "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n"
            "metadata: {name: open, namespace: shop}\n"
            "spec: {mtls: {mode: PERMISSIVE}}\n",
            "PERMISSIVE",
        ),
        (
            "gw-http-no-redirect",
            "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: open, namespace: shop}\n"
            "spec: {selector: {istio: ingressgateway}, servers: "
            '[{port: {number: 80, name: http, protocol: HTTP}, hosts: ["a.example.com"]}]}\n',
            "a.example.com",
        ),
    ],
)
def test_what_an_overlay_replaces_is_not_judged_as_written(rule, text, replaced):
    config = Config(select=(rule,))
    write(base__open=text, base__kustomization="resources: [open.yaml]\n")
    write(prod__kustomization="resources: [../base]\n")
    assert [line.split()[-1] for line in found(config=config)] == [rule]
    write(prod__kustomization="resources: [../base]\npatches: [{path: change.yaml}]\n")
    write(prod__change=text.replace(replaced, "STRICT" if replaced.isupper() else "b.example.com"))
    assert found(config=config) == []
