"""Bases and overlays as teams write them: what is found in the sources is true in some build of them.

The trees and what holds in them were compared with what kustomize 5.5 builds.
"""

from __future__ import annotations

import time

import pytest

from meshlint.config import Config
from meshlint.findings import Finding, Location, ResourceRef
from meshlint.lint import lint_loaded, rules_of
from meshlint.mesh.scope import Settings
from meshlint.overlays import said_once, weighed
from meshlint.source.load import load_texts

MODE = """\
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: PERMISSIVE}}
"""
GATEWAY = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: own}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: [web.acme.test]
  - port: {number: 443, name: https, protocol: HTTPS}
    hosts: [web.acme.test]
    tls: {mode: SIMPLE, credentialName: cert}
"""
WEB = """\
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: acme/web, ports: [{containerPort: 8080}]}]}
"""
POLICY = """\
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: web}
spec: {selector: {matchLabels: {app: web}}, rules: [{from: [{source: {namespaces: [shop]}}]}]}
"""
ROUTE = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web}
spec:
  hosts: [web]
  http: [{route: [{destination: {host: web, port: {number: 9999}}}], timeout: 1s}]
"""
PORTS = "vs-destination-port"
NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {name: %s, labels: {istio-injection: %s}}\n"


def tree(base: dict[str, str], **overlays: str) -> dict[str, str]:
    """Overlays of one base: each text is what follows its resources."""
    texts = {f"base/{name}.yaml": text for name, text in base.items()}
    texts["base/kustomization.yaml"] = f"resources: [{', '.join(f'{name}.yaml' for name in base)}]\n"
    for name, text in overlays.items():
        texts[f"{name}/kustomization.yaml"] = f"resources: [../base]\n{text}\n"
    return texts


def found(texts: dict[str, str], *select: str, complete: bool = False, profile: str = "default") -> list[str]:
    config = Config(select=select, settings=Settings(complete=complete), profile=profile)
    report = lint_loaded(load_texts(texts), config, rules_of(config)).report
    assert report.errors == []
    return [f"{f.location.file}:{f.location.start_line} {f.rule} {f.confidence}" for f in report.findings]


def patch(kind: str, *operations: str) -> str:
    return f"patches: [{{target: {{kind: {kind}}}, patch: '[{', '.join(operations)}]'}}]"


STRICT = patch("PeerAuthentication", "{op: replace, path: /spec/mtls/mode, value: STRICT}")
REDIRECT = patch("Gateway", "{op: add, path: /spec/servers/0/tls, value: {httpsRedirect: true}}")
PORT = patch("Service", "{op: add, path: /spec/ports/-, value: {name: http-x, port: 9999}}")
LABEL = "labels: [{pairs: {istio-injection: enabled}}]"


@pytest.mark.parametrize(
    ("rule", "base", "other", "change"),
    [
        ("mtls-permissive", {"a": MODE}, "commonAnnotations: {a: b}", STRICT),
        ("gw-http-no-redirect", {"a": GATEWAY}, "commonAnnotations: {a: b}", REDIRECT),
        (PORTS, {"a": WEB, "b": ROUTE}, "commonAnnotations: {a: b}", PORT),
        (PORTS, {"a": WEB, "b": ROUTE}, "replicas: [{name: web, count: 3}]", "namePrefix: p-"),
        (PORTS, {"a": WEB, "b": ROUTE}, "images: [{name: acme/web, newTag: x}]", "transformers: [t.yaml]"),
    ],
)
@pytest.mark.parametrize("complete", [False, True])
def test_what_an_overlay_changes_is_of_low_confidence(
    rule: str, base: dict[str, str], other: str, change: str, complete: bool
) -> None:
    base = {**base, "ns": NAMESPACE % ("shop", "enabled")}
    for text, surely in ((other, True), (change, False)):
        texts = tree(base, dev="namespace: shop\n", prod=f"namespace: shop\n{text}")
        shown = [line.rpartition(" ")[0] for line in found(texts, rule, complete=complete)]
        every = found(texts, rule, complete=complete, profile="audit")
        assert len(every) == 1, text
        assert bool(shown) is surely, text
        assert every[0].endswith("low") is not surely, text


def test_each_namespace_that_is_built_is_judged() -> None:
    """The pods of dev have proxies, those of prod have none; nobody builds into `default`."""
    base = {"a": WEB, "b": POLICY}
    texts = tree(base, dev="namespace: dev\n", prod="namespace: prod\n")
    texts["infra.yaml"] = NAMESPACE % ("dev", "enabled") + "---\n" + NAMESPACE % ("prod", "enabled")
    assert found(texts, "authz-selector-no-match", complete=True) == []
    texts["infra.yaml"] = NAMESPACE % ("dev", "enabled") + "---\n" + NAMESPACE % ("prod", "disabled")
    assert found(texts, "authz-selector-no-match", complete=True) == [
        "base/b.yaml:4 authz-selector-no-match medium"
    ]


def test_what_holds_in_every_namespace_is_said_once() -> None:
    overlays = {f"o{number}": f"namespace: n{number}\n" for number in range(5)}
    assert found(tree({"a": MODE}, **overlays), "mtls-permissive") == ["base/a.yaml:4 mtls-permissive high"]
    config = Config(select=("mtls-permissive",))
    report = lint_loaded(load_texts(tree({"a": MODE}, **overlays)), config, rules_of(config)).report
    assert report.resources == 1
    assert report.findings[0].resource == ResourceRef(
        "security.istio.io/v1", "PeerAuthentication", "n0", "default"
    )


def test_overlays_of_one_base_do_not_meet() -> None:
    """Gateways choose pods of any namespace, but dev and prod are seldom in one cluster."""
    texts = tree({"a": GATEWAY}, dev="namespace: dev\n", prod="namespace: prod\n")
    assert found(texts, "gw-duplicate-host-port", complete=True) == []


@pytest.mark.parametrize("overlay", ["helmCharts: [{name: x}]", "resources: [../base, 'https://x.test/y']"])
def test_what_builds_fetch_is_not_missing(overlay: str) -> None:
    route = ROUTE.replace("host: web,", "host: api,")
    text = f"namespace: shop\n{overlay}\n"
    for built, complete in ((text, False), ("namespace: shop\n", True)):
        texts = tree({"a": WEB, "b": route})
        texts["prod/kustomization.yaml"] = built if "resources" in built else f"resources: [../base]\n{built}"
        assert bool(found(texts, "vs-destination-missing", complete=True)) is complete


def test_a_suppression_is_of_use_in_whatever_namespace_it_suppresses() -> None:
    text = MODE.replace(
        "{name: default}", "{name: default, annotations: {meshlint.dev/ignore: 'mtls-permissive: old'}}"
    )
    texts = tree({"a": text}, dev="namespace: dev\n", prod="namespace: prod\n")
    config = Config(select=("mtls-permissive", "unused-suppression"))
    report = lint_loaded(load_texts(texts), config, rules_of(config)).report
    assert [(f.rule, f.suppressed is not None) for f in report.findings] == [("mtls-permissive", True)]


def finding(confidence: str = "high", line: int = 1, namespace: str = "dev") -> Finding:
    at = Location("a.yaml", "", line, 1, line, 2)
    about = ResourceRef("v1", "Service", namespace, "web")
    return Finding("rule", "family", "error", confidence, "message", at, resource=about)


def test_a_finding_is_as_sure_as_in_the_least_sure_reading() -> None:
    written = [finding(), finding(line=2), finding("low", line=3)]
    others = [[finding("medium"), finding(line=3)], [finding()]]
    assert [f.confidence for f in weighed(written, others)] == ["medium", "low", "low"]
    assert [f.location.start_line for f in weighed(written, others, ("high", "medium"))] == [1]


def test_repetitions_are_those_of_other_builds_of_one_file() -> None:
    findings = [finding(), finding(), finding(namespace="prod"), finding(line=2, namespace="prod")]
    assert said_once(findings, {"a.yaml"}) == [findings[0], findings[1], findings[3]]
    assert said_once(findings, set()) == findings


ODD = ("1", "null", "[]", "{}", "[1, null, [], {}]", "x", "[x]", "[{patch: []}]", "[{patch: 1, target: x}]",
       "[{patch: '[1, {op: 1, path: []}]', target: {kind: [], name: '(', labelSelector: '=,a in (b)'}}]",
       "[{patch: '[{op: move, from: /a, path: /spec/0/-/x}]'}]", "[{pairs: 1, fields: [1, {path: []}]}]",
       "[{targets: [1, {select: 1, fieldPaths: ['[', a.*.'b', 1]}]}]", "[{name: [], count: {}}]",
       f"[{{patch: '[{{op: add, path: {'/a' * 5000}, value: 1}}]'}}]",
       f"[{{patch: '[{{op: add, path: /spec/ports/{'9' * 5000}, value: 1}}]'}}]")  # fmt: skip
FIELDS = (
    "patches", "patchesJson6902", "patchesStrategicMerge", "replacements", "replicas", "images", "labels",
    "commonLabels", "commonAnnotations", "components", "transformers", "namePrefix", "resources",
)  # fmt: skip


@pytest.mark.parametrize("field", FIELDS)
def test_odd_kustomizations_crash_nothing(field: str) -> None:
    for value in ODD:
        texts = tree({"a": WEB + "---\n" + ROUTE})
        texts["base/kustomization.yaml"] += f"{field}: {value}\n"
        found(texts, profile="audit")


def many(count: int, overlays: int) -> dict[str, str]:
    base = {f"r{n}": WEB.replace("web", f"web{n}") for n in range(count)}
    changes = "\n".join(
        f"- {{target: {{kind: Deployment, name: web{n}}}, "
        "patch: '[{op: add, path: /spec/replicas, value: 3}]'}"
        for n in range(count)
    )
    texts = {
        f"o{n}": f"namespace: n{n}\npatches:\n{changes}\ncommonLabels: {{a: b}}\n" for n in range(overlays)
    }
    return tree(base, **texts)


@pytest.mark.parametrize(("small", "large"), [((100, 1), (400, 1)), ((2, 50), (2, 200))])
def test_the_cost_is_linear(small: tuple[int, int], large: tuple[int, int]) -> None:
    def spent(size: tuple[int, int]) -> float:
        texts = many(*size)
        start = time.process_time()
        found(texts, "vs-destination-port", "service-target-port")
        return time.process_time() - start

    spent(small)
    assert spent(large) < 12 * max(spent(small), 0.05)
