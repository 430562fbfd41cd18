"""What kustomizations change, path by path; the results are those of kustomize 5.5 where all is made."""

from __future__ import annotations

from typing import Any

import pytest

from meshlint.resources import resources_in
from meshlint.source.changes import Reading
from meshlint.source.load import load_texts
from meshlint.source.nodes import Mapping
from meshlint.source.patches import field_path
from meshlint.source.templates import is_placeholder

BASE = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "acme/web:1", ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web}
spec:
  hosts: [web, api]
  http: [{name: a, timeout: 1s, route: [{destination: {host: web}}]}, {name: b}]
"""
DEPLOYMENT = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, "
ROUTES = "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: web}, "


def read(overlay: str, reading: Reading, base: str = "resources: [all.yaml]\n") -> dict[str, Mapping]:
    """The objects by kind; there is another overlay that changes nothing."""
    texts = {"base/kustomization.yaml": base, "base/all.yaml": BASE}
    if overlay:
        texts["dev/kustomization.yaml"] = "resources: [../base]\n"
        texts["prod/kustomization.yaml"] = f"resources: [../base]\n{overlay}\n"
    return {r.kind: r.root for r in resources_in(load_texts(texts).files, reading=reading)}


def shown(value: Any) -> Any:
    """Placeholders as a question mark."""
    if isinstance(value, dict):
        return {key: shown(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shown(item) for item in value]
    return "?" if isinstance(value, str) and is_placeholder(value) else value


def at(root: Mapping | None, *path: str | int) -> Any:
    node = root.dig(*path) if root is not None else None
    return shown(node.plain()) if node is not None else None


def patch(text: str, target: str = "") -> str:
    return f"patches: [{{patch: '{text}'{', target: ' + target if target else ''}}}]"


CONTAINERS = ("spec", "template", "spec", "containers")
CASES: dict[str, tuple[str, str, tuple[str | int, ...], Any, Any]] = {
    "a value": (patch(DEPLOYMENT + "spec: {replicas: 5}}"), "Deployment", ("spec", "replicas"), 5, "?"),
    "a value that is not there": (
        patch("{kind: Deployment, metadata: {name: web, labels: {team: red}}}"),
        "Deployment", ("metadata", "labels"), {"app": "web", "team": "red"}, {"app": "web", "team": "?"},
    ),
    "beside it nothing changes": (
        patch(DEPLOYMENT + "spec: {replicas: 5}}"), "Deployment", ("spec", "selector", "matchLabels"),
        {"app": "web"}, {"app": "web"},
    ),
    "a key that is taken away": (
        patch(DEPLOYMENT + "spec: {replicas: null}}"), "Deployment", ("spec", "replicas"), None, "?"
    ),
    "an item by its merge key": (
        patch(DEPLOYMENT + "spec: {template: {spec: {containers: [{name: web, image: x}]}}}}"),
        "Deployment", CONTAINERS,
        [{"name": "web", "image": "x", "ports": [{"containerPort": 8080}]}],
        [{"name": "web", "image": "?", "ports": [{"containerPort": 8080}]}],
    ),
    "an item that is not there": (
        patch(DEPLOYMENT + "spec: {template: {spec: {containers: [{name: log, image: x}]}}}}"),
        "Deployment", (*CONTAINERS, 1), {"name": "log", "image": "x"}, {"name": "log", "image": "?"},
    ),
    "lists of other kinds are replaced": (
        patch(ROUTES + "spec: {hosts: [x]}}"), "VirtualService", ("spec", "hosts"), ["x"], ["?", "?", "?"]
    ),
    "lists of maps too": (
        patch(ROUTES + "spec: {http: [{name: c}]}}"), "VirtualService", ("spec", "http"),
        [{"name": "c"}],
        [{"name": "?", "timeout": "?", "route": [{"destination": {"host": "?"}}]}, *[{"name": "?"}] * 2],
    ),
    "JSON: replace": (
        patch("[{op: replace, path: /spec/http/0/timeout, value: 9s}]", "{kind: VirtualService}"),
        "VirtualService", ("spec", "http", 0, "timeout"), "9s", "?",
    ),
    "JSON: add a key": (
        patch("[{op: add, path: /spec/http/1/timeout, value: 9s}]", "{kind: VirtualService}"),
        "VirtualService", ("spec", "http", 1), {"name": "b", "timeout": "9s"}, {"name": "b", "timeout": "?"},
    ),
    "JSON: add an item at the end": (
        patch("[{op: add, path: /spec/hosts/-, value: x}]", "{kind: VirtualService}"),
        "VirtualService", ("spec", "hosts"), ["web", "api", "x"], ["web", "api", "?"],
    ),
    "JSON: put in front, and the places of the others move": (
        patch("[{op: add, path: /spec/hosts/0, value: x}]", "{kind: VirtualService}"),
        "VirtualService", ("spec", "hosts"), ["?", "?", "?"], ["?", "?", "?"],
    ),
    "JSON: remove": (
        patch("[{op: remove, path: /spec/http/0/timeout}]", "{kind: VirtualService}"),
        "VirtualService", ("spec", "http", 0, "timeout"), None, "?",
    ),
    "JSON: keys with slashes": (
        patch("[{op: add, path: /metadata/labels/istio.io~1rev, value: x}]", "{kind: Deployment}"),
        "Deployment", ("metadata", "labels"),
        {"app": "web", "istio.io/rev": "x"}, {"app": "web", "istio.io/rev": "?"},
    ),
    "another name": (
        patch("[{op: remove, path: /spec/replicas}]", "{kind: Deployment, name: api}"),
        "Deployment", ("spec", "replicas"), 2, 2,
    ),
    "names that are a pattern": (
        patch("[{op: remove, path: /spec/replicas}]", "{name: api|w.*}"),
        "Deployment", ("spec", "replicas"), None, "?",
    ),
    "labels that differ": (
        patch("[{op: remove, path: /spec/replicas}]", "{labelSelector: app=api}"),
        "Deployment", ("spec", "replicas"), 2, 2,
    ),
    "labels that agree": (
        patch("[{op: remove, path: /spec/replicas}]", "{labelSelector: app=web}"),
        "Deployment", ("spec", "replicas"), None, "?",
    ),
    "replicas": ("replicas: [{name: web, count: 7}]", "Deployment", ("spec", "replicas"), 7, "?"),
    "images": ("images: [{name: acme/web, newTag: x}]", "Deployment", (*CONTAINERS, 0, "image"), "?", "?"),
    "other images": (
        "images: [{name: acme/api, newTag: x}]",
        "Deployment", (*CONTAINERS, 0, "image"), "acme/web:1", "acme/web:1",
    ),
    "replacements": (
        "replacements: [{source: {kind: Service}, targets: [{select: {kind: VirtualService},"
        " fieldPaths: [spec.http.0.route.0.destination.host]}]}]",
        "VirtualService", ("spec", "http", 0, "route", 0, "destination", "host"), "?", "?",
    ),
    "labels of an overlay": (
        "labels: [{pairs: {app: x, env: y}, includeSelectors: true}]",
        "Deployment", ("spec", "template", "metadata", "labels"),
        {"app": "x", "env": "y"}, {"app": "?", "env": "?"},
    ),
    "selectors keep to what the pods have in any case": (
        "labels: [{pairs: {app: x, env: y}, includeSelectors: true}]",
        "Service", ("spec", "selector"), {"app": "x", "env": "y"}, {"app": "?"},
    ),
    "labels without selectors": (
        "labels: [{pairs: {app: x}}]", "Service", ("spec", "selector"), {"app": "web"}, {"app": "web"}
    ),
    "annotations": (
        "commonAnnotations: {a: b}", "Service", ("metadata", "annotations"), {"a": "b"}, {"a": "?"}
    ),
    "deleted": (
        patch(ROUTES + "$patch: delete}"), "VirtualService", ("spec", "hosts"), None, ["?", "?"]
    ),
    "a patch that is no YAML": (
        patch("a: [", "{kind: VirtualService}"), "VirtualService", ("spec", "hosts"), ["?", "?"], ["?", "?"]
    ),
    "a patch that is not in the input": (
        "patches: [{path: p.yaml, target: {kind: Service}}]",
        "Service", ("spec", "selector"), {"app": "?"}, {"app": "?"},
    ),
    "transformers": ("transformers: [t.yaml]", "Service", ("spec", "selector"), {"app": "?"}, {"app": "?"}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_cases(case: str) -> None:
    overlay, kind, path, made, open_ = CASES[case]
    before = at(read("", Reading.WRITTEN)[kind], *path)
    assert at(read(overlay, Reading.WRITTEN)[kind], *path) == before
    assert at(read(overlay, Reading.OPEN)[kind], *path) == open_
    assert at(read(overlay, Reading.MADE).get(kind), *path) == made


def test_what_every_build_adds_is_known() -> None:
    base = "resources: [all.yaml]\ncommonLabels: {team: red}\n"
    for overlay in ("", "namePrefix: x-"):
        objects = read(overlay, Reading.OPEN, base)
        assert at(objects["Service"], "spec", "selector") == {"app": "web", "team": "red"}
        labels = at(objects["Deployment"], "spec", "template", "metadata", "labels")
        assert labels == {"app": "web", "team": "red"}


def test_what_one_of_two_overlays_adds_is_open() -> None:
    texts = {
        "base/kustomization.yaml": "resources: [all.yaml]\n",
        "base/all.yaml": BASE,
        "dev/kustomization.yaml": "resources: [../base]\nnamespace: dev\n",
        "prod/kustomization.yaml": (
            "resources: [../base]\nnamespace: prod\nreplicas: [{name: web, count: 9}]\n"
        ),
    }
    found = [r for r in resources_in(load_texts(texts).files) if r.kind == "Deployment"]
    assert [(r.ns, at(r.root, "spec", "replicas")) for r in found] == [("dev", "?"), ("prod", "?")]
    assert found[0].root is not found[1].root


def test_a_component_changes_what_the_including_overlay_builds() -> None:
    texts = {
        "base/kustomization.yaml": "resources: [all.yaml]\n",
        "base/all.yaml": BASE,
        "part/kustomization.yaml": "kind: Component\nreplicas: [{name: web, count: 9}]\nnamespace: x\n",
    }

    def of(overlay: str) -> tuple[str, Any]:
        files = load_texts({**texts, "prod/kustomization.yaml": overlay}).files
        (found,) = (r for r in resources_in(files) if r.kind == "Deployment")
        return found.ns, at(found.root, "spec", "replicas")

    assert of("resources: [../base]\ncomponents: [../part]\n") == ("x", "?")
    assert of("resources: [../base]\ncomponents: [../part]\nnamespace: y\n") == ("y", "?")
    assert of("resources: [../base]\n") == ("default", 2)


def test_the_parser_keeps_its_tree() -> None:
    texts = {"kustomization.yaml": "resources: [all.yaml]\ncommonLabels: {app: x}\n", "all.yaml": BASE}
    files = load_texts(texts).files
    before = [document.root.plain() for document in files[1].documents if document.root]
    resources_in(files)
    assert [document.root.plain() for document in files[1].documents if document.root] == before


def test_places_and_pointers_are_those_of_the_file() -> None:
    texts = {"kustomization.yaml": "resources: [all.yaml]\ncommonLabels: {app: x}\n", "all.yaml": BASE}
    resource = resources_in(load_texts(texts).files)[0]
    for path in (("spec",), ("spec", "replicas"), ("spec", "selector", "matchLabels", "app")):
        place = resource.place_at(*path)
        assert resource.document.pointer(place.node) == "/" + "/".join(path)
    start, end = resource.place_at("spec", "replicas").offsets
    assert BASE[start:end] == "2"


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("spec.hosts.0", ("spec", "hosts", 0)),
        (r"metadata.annotations.istio\.io/rev", ("metadata", "annotations", "istio.io/rev")),
        ("metadata.labels.[istio.io/rev]", ("metadata", "labels", "istio.io/rev")),
        ("a.*.b", ("a", "*", "b")),
    ],
)
def test_field_paths(text: str, steps: tuple[str | int, ...]) -> None:
    assert field_path(text) == steps


@pytest.mark.parametrize(
    ("line", "name"), [("namePrefix: p-", "${web}"), ("nameSuffix: -s", "${web}"), ("namespace: x", "web")]
)
def test_the_name_of_what_is_renamed_is_open(line: str, name: str) -> None:
    texts = {"kustomization.yaml": f"resources: [all.yaml]\n{line}\n", "all.yaml": BASE}
    files = load_texts(texts).files
    assert {r.name for r in resources_in(files)} == {name}
    assert {r.name for r in resources_in(files, reading=Reading.WRITTEN)} == {"web"}
