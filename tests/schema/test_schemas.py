"""Kinds of a run: bundled ones, definitions among the resources, files that the configuration names."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from meshlint.config import config_from
from meshlint.lint import lint_loaded, rules_of
from meshlint.schema import Schemas, Versions
from meshlint.schema.catalogue import bundled
from meshlint.source.load import load, load_texts
from tests.support import mesh_of

BACKUP = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: backups.example.com}
spec:
  group: example.com
  names: {kind: Backup, plural: backups}
  scope: Namespaced
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          required: [spec]
          properties:
            apiVersion: {type: string}
            kind: {type: string}
            metadata: {type: object}
            spec:
              type: object
              required: [schedule]
              properties:
                schedule: {type: string, minLength: 9}
                keep: {type: integer, format: int32, minimum: 1}
                quota: {x-kubernetes-int-or-string: true, anyOf: [{type: integer}, {type: string}]}
                labels: {type: object, additionalProperties: {type: string}}
                mode: {type: string, enum: [Full, Incremental], nullable: true}
                ratio: {type: number, minimum: 0, exclusiveMinimum: true}
                raw: {type: object, x-kubernetes-preserve-unknown-fields: true}
                targets:
                  type: array
                  x-kubernetes-list-type: map
                  x-kubernetes-list-map-keys: [name]
                  items:
                    type: object
                    required: [name]
                    properties: {name: {type: string}}
                tags: {type: array, x-kubernetes-list-type: set, items: {type: string}}
                template:
                  type: object
                  x-kubernetes-embedded-resource: true
                  properties: {spec: {type: object, x-kubernetes-preserve-unknown-fields: true}}
    - name: v1alpha1
      served: false
      storage: false
      schema:
        openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}
"""

GOOD = """\
apiVersion: example.com/v1
kind: Backup
metadata: {name: good, anything: goes}
spec:
  schedule: "0 3 * * *"
  keep: 3
  quota: 5Gi
  labels: {a: b}
  mode:
  ratio: 0.5
  raw: {any: {thing: 1}}
  targets: [{name: a}, {name: b}]
  tags: [a, b]
  template: {apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {x: 1}}
status: {done: true}
"""

BAD = """\
apiVersion: example.com/v1
kind: Backup
metadata: {name: bad}
spec:
  scedule: 0 3
  keep: 0
  quota: true
  labels: {a: 1}
  mode: full
  ratio: 0
  targets: [{name: a}, {name: a}]
  tags: [a, a]
  template: {apiVersion: v1, kid: Pod}
"""


def found_in(files: dict[str, str], **config: object) -> list[tuple[int, str, str]]:
    loaded = load_texts(files)
    settings = config_from(dict(config))
    report = lint_loaded(loaded, settings, rules_of(settings)).report
    assert report.errors == []
    return [(f.location.start_line, f.rule, f.message) for f in report.active if f.family == "validity"]


def test_a_definition_in_the_tree_validates_its_objects() -> None:
    assert found_in({"crds/backup.yaml": BACKUP, "apps/good.yaml": GOOD}) == []
    found = found_in({"crds/backup.yaml": BACKUP, "apps/bad.yaml": BAD})
    assert [(line, rule) for line, rule, _ in found] == [
        (4, "required-field"),
        (5, "unknown-field"),
        (6, "invalid-value"),
        (7, "wrong-type"),
        (8, "wrong-type"),
        (9, "enum-value"),
        (10, "invalid-value"),
        (11, "duplicate-list-key"),
        (12, "duplicate-list-key"),
        (13, "unknown-field"),
    ]
    messages = [message for _, _, message in found]
    assert messages[1] == "Backup default/bad: spec.scedule is no field of Backup; did you mean schedule?"
    assert messages[4] == "Backup default/bad: spec.labels.a: expected a string, found 1"


def test_versions_of_a_definition() -> None:
    old = GOOD.replace("example.com/v1", "example.com/v1alpha1")
    assert found_in({"crds/backup.yaml": BACKUP, "old.yaml": old}) == [
        (
            1,
            "api-version-not-served",
            "Backup default/good: the definition in crds/backup.yaml"
            " does not serve example.com/v1alpha1 Backup",
        )
    ]


def test_a_definition_in_another_part_of_the_tree_counts_for_little() -> None:
    files = {"demos/one/backup.yaml": BACKUP, "demos/two/bad.yaml": BAD}
    assert found_in(files) == []
    assert found_in(files, profile="audit")


def test_two_definitions_that_disagree_leave_the_shape_open() -> None:
    other = BACKUP.replace("schedule: {type", "scedule: {type")
    assert found_in({"a.yaml": BACKUP, "b.yaml": other, "bad.yaml": BAD}) == []


def test_files_that_the_configuration_names(tmp_path: Path) -> None:
    (tmp_path / "definitions").mkdir()
    (tmp_path / "definitions" / "backup.yaml").write_text(BACKUP)
    (tmp_path / "bad.yaml").write_text(BAD)
    (tmp_path / ".meshlint.yaml").write_text(
        "crds: [definitions/*.yaml, missing/*.json]\nexclude: [definitions/]\n"
    )
    from meshlint.config_file import load_config

    config = load_config(tmp_path / ".meshlint.yaml")
    report = lint_loaded(load([str(tmp_path / "bad.yaml")]), config, rules_of(config)).report
    assert "unknown-field" in {finding.rule for finding in report.active}
    assert [error.message for error in report.errors] == [
        f"{config.origin('crds')}: no file matches 'missing/*.json'"
    ]


@pytest.mark.parametrize("name", ["example.com/backup_v1.json", "any/backup-example-v1.json"])
def test_ready_json_schemas(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir()
    path.write_text(
        '{"type": "object", "properties": {"spec": {"type": "object", "additionalProperties": false,'
        ' "properties": {"schedule": {"type": "string", "nullable": true}}}}}'
    )
    mesh = mesh_of(BAD)
    schemas = Schemas(mesh.scope.resources, crds=[path])
    assert schemas.problems == []
    assert "scedule" in [
        d.message.split()[0].removeprefix("spec.") for d in schemas.defects_of(mesh.scope.resources[0])
    ]


def test_files_that_are_no_definitions_are_said(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{")
    (tmp_path / "b.json").write_text("{}")
    problems = Schemas(crds=[tmp_path / "a.json", tmp_path / "b.json", tmp_path / "c.json"]).problems
    assert len(problems) == 3


def test_a_definition_goes_before_the_bundled_schema() -> None:
    own = BACKUP.replace("example.com", "networking.istio.io").replace("Backup", "Gateway")
    text = "apiVersion: networking.istio.io/v1\nkind: Gateway\nspec: {schedule: 0 3 * * * *}\n"
    mesh = mesh_of(own, text)
    assert mesh.schemas.defects_of(mesh.scope.resources[1]) == []
    assert [d.kind for d in mesh_of(text).schemas.defects()["unknown-field"][0][1:]] == ["unknown-field"]


@pytest.mark.parametrize(
    ("group", "kind", "versions", "served"),
    [
        ("networking.istio.io", "VirtualService", Versions(), ["v1", "v1beta1", "v1alpha3"]),
        ("networking.istio.io", "VirtualService", Versions(istio="1.21"), ["v1beta1", "v1alpha3"]),
        ("extensions.istio.io", "TrafficExtension", Versions(istio="1.29"), []),
        ("gateway.networking.k8s.io", "TCPRoute", Versions(), ["v1"]),
        ("gateway.networking.k8s.io", "TCPRoute", Versions(gateway_api="1.5"), []),
        (
            "gateway.networking.k8s.io",
            "TCPRoute",
            Versions(gateway_api_channel="experimental"),
            ["v1", "v1alpha2"],
        ),
        ("autoscaling", "HorizontalPodAutoscaler", Versions(), ["v2", "v1"]),
        ("autoscaling", "HorizontalPodAutoscaler", Versions(kubernetes="1.25"), ["v2", "v1", "v2beta2"]),
        ("telemetry.istio.io", "Telemetry", Versions(), ["v1", "v1alpha1"]),
    ],
)
def test_served_versions(group: str, kind: str, versions: Versions, served: list[str]) -> None:
    known = bundled(group, kind)
    assert known is not None
    assert [version.name for version in known.served(versions)] == served


def test_a_run_does_not_import_jsonschema(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(BAD + "---\n" + BACKUP)
    code = (
        "import sys; from meshlint.lint import lint; lint(sys.argv[1:]);"
        "sys.exit(int('jsonschema' in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == 0


THREE_APIS = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a}
spec: {host: a, trafficPolicy: {retryBudget: {percent: 20}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: a}
spec: {rules: [{timeouts: {request: 1s}, backendRefs: [{name: a, port: 80}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: a}
spec: {trafficDistribution: PreferClose, ports: [{name: http, port: 80}]}
"""


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ((), []),
        (("--istio-version", "1.26"), [("field-too-new", 4)]),
        (("--istio-version", "1.21.3"), [("api-version-not-served", 1), ("field-too-new", 4)]),
        (("--gateway-api-version", "1.0"), [("field-too-new", 9)]),
        (("--kubernetes-version", "1.28"), [("field-too-new", 14)]),
    ],
)
def test_releases_on_the_command_line(arguments: tuple[str, ...], found: list[tuple[str, int]]) -> None:
    select = ("--select", "field-too-new,api-version-not-served", "--format", "json", "--no-config")
    command = (sys.executable, "-m", "meshlint", "lint", "-", *select, *arguments)
    done = subprocess.run(command, input=THREE_APIS, capture_output=True, text=True, check=False)
    findings = json.loads(done.stdout)["findings"]
    assert [(f["rule"], f["location"]["start"]["line"]) for f in findings] == found


ROUTE = """\
apiVersion: gateway.networking.k8s.io/{version}
kind: TLSRoute
metadata: {{name: passthrough, namespace: shop}}
spec:
  parentRefs: [{{name: edge}}]
  rules:
    - backendRefs: [{{name: cart, port: 8443}}]
    - backendRefs: [{{name: stock, port: 8443}}]
"""


@pytest.mark.parametrize(
    ("version", "found"),
    [
        ("v1", ["hostnames is required", "has 2 items, must have at most 1"]),
        ("v1alpha3", ["hostnames is required", "has 2 items, must have at most 1"]),
        ("v1alpha2", []),
    ],
)
def test_an_older_version_that_asks_for_less(version: str, found: list[str]) -> None:
    schemas = mesh_of(ROUTE.format(version=version)).schemas
    messages = [d.message for defects in schemas.defects().values() for _, d in defects]
    assert sorted(messages) == sorted(found)


def test_what_an_older_version_does_not_know_either() -> None:
    route = ROUTE.format(version="v1alpha2").replace("  rules:", "  hostname: shop.example.com\n  rules:")
    [(_, defect)] = mesh_of(route).schemas.defects()["unknown-field"]
    assert defect.message == "spec.hostname is no field of TLSRoute; did you mean hostnames?"


def test_a_field_that_is_there_already_was_not_meant() -> None:
    pool = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: cart, namespace: shop}
spec:
  hosts: [cart]
  host: [stock]
  http: [{route: [{destination: {host: cart}}]}]
"""
    [(_, defect)] = mesh_of(pool).schemas.defects()["unknown-field"]
    assert "rename" not in (defect.help or "")
    assert "hosts?" not in defect.message
