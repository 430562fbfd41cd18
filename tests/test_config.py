"""The configuration file: what is read, and what is said about what cannot be."""

# ruff: noqa: E501

from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent

import jsonschema
import pytest

from meshlint.config import Config, ConfigError, PathRules, config_from, find_config
from meshlint.config_file import load_config, schema
from meshlint.lint import rules_of
from meshlint.policy.shape import mismatches
from meshlint.source.parse import parse


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(text: str) -> Config:
    Path(".meshlint.yaml").write_text(dedent(text), "utf-8")
    return load_config(Path(".meshlint.yaml"))


def refusal(text: str, names: bool = False) -> str:
    with pytest.raises(ConfigError) as caught:
        rules_of(load(text)) if names else load(text)
    return str(caught.value)


EVERYTHING = """\
profile: strict
select: [mtls, unknown-rule]
ignore:
  - retry-storm
severity:
  mtls-port-level-needs-selector: warning
options:
  retry-storm: {maximum: 3}
paths:
  legacy/**:
    ignore: ["*"]
    reason: moves out in June
  "*.gen.yaml":
    select: [unknown-rule]
rules: [policies/*.yaml]
roots: [mesh, apps]
exclude: [vendor/]
failOn: error
platform: kyma
complete: [shop, pay]
present:
  Secret: [edge/*-tls]
rootNamespace: mesh-root
defaultNamespace: shop
istioVersion: "1.28"
gatewayApiVersion: "1.4"
gatewayApiChannel: experimental
kubernetesVersion: "1.33"
upgradeFrom: "1.27"
upgradeTo: "1.28"
crds: [crds/*.yaml]
meshConfig:
  trustDomain: example.org
productionNamespaces: ["prod-*"]
publicPaths: [/healthz]
"""


def test_everything_is_read():
    config = load(EVERYTHING)
    assert (config.profile, config.fail_on, config.default_namespace) == ("strict", "error", "shop")
    assert config.select == ("mtls", "unknown-rule")
    assert config.ignore == ("retry-storm",)
    assert config.severity == {"mtls-port-level-needs-selector": "warning"}
    assert config.options == {"retry-storm": {"maximum": 3}}
    assert config.paths == (
        PathRules("legacy/**", ignore=("*",), reason="moves out in June", line=10),
        PathRules("*.gen.yaml", select=("unknown-rule",), line=13),
    )
    assert (config.rule_files, config.roots, config.exclude) == (
        ("policies/*.yaml",),
        ("mesh", "apps"),
        ("vendor/",),
    )
    settings = config.settings
    assert (settings.platform, settings.root_namespace, settings.istio_version) == (
        "kyma",
        "mesh-root",
        "1.28",
    )
    assert (settings.complete, settings.complete_namespaces) == (False, frozenset(("shop", "pay")))
    assert settings.present == {"Secret": ("edge/*-tls",)}
    assert (settings.gateway_api_version, settings.gateway_api_channel) == ("1.4", "experimental")
    assert (settings.kubernetes_version, config.crds) == ("1.33", ("crds/*.yaml",))
    assert (settings.upgrade_from, settings.upgrade_to) == ("1.27", "1.28")
    assert settings.mesh_config == {"trustDomain": "example.org"}
    assert (settings.production_namespaces, settings.public_paths) == (("prod-*",), ("/healthz",))


def test_everything_is_every_key_of_the_schema():
    assert {line.split(":")[0] for line in EVERYTHING.splitlines() if line[0].isalpha()} == set(
        schema()["properties"]
    )


def test_defaults_are_those_of_the_schema():
    defaults = {k: v["default"] for k, v in schema()["properties"].items() if "default" in v}
    assert config_from({**defaults, "roots": []}) == Config()


def test_origins():
    config = load("profile: strict\n\nfailOn: error\n")
    assert config.origin("profile") == ".meshlint.yaml:1"
    assert config.origin("failOn") == ".meshlint.yaml:3"
    assert config.origin("select") == "default"
    assert config.override("--profile", "profile", profile="audit").origin("profile") == "--profile"


def test_an_empty_file_says_nothing():
    assert load("# nothing yet\n").profile == "default"


def test_off_needs_no_quotes():
    """YAML 1.1 reads it as a boolean."""
    assert load("severity: {unknown-rule: off}\n").severity == {"unknown-rule": "off"}


def test_complete_may_be_true():
    assert load("complete: true\n").settings.complete is True


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("profil: strict\n", ".meshlint.yaml:1:1: unknown key 'profil'; did you mean 'profile'?"),
        ("present: {secret: [a]}\n", ".meshlint.yaml:1:11: present: unknown key 'secret'; did you mean 'Secret'?"),
        ("zzz: 1\n", ".meshlint.yaml:1:1: unknown key 'zzz'; expected one of profile, select, "),
        ("profile: strickt\n", "1:10: profile: found the string 'strickt', expected one of default, strict, audit; did you mean 'strict'?"),
        ("profile: [strict]\n", "1:10: profile: found a list, expected one of default, strict, audit"),
        ("select: mtls\n", ".meshlint.yaml:1:9: select: found the string 'mtls', expected a list"),
        ("select:\n", "select: found nothing, expected a list"),
        ("select: [1]\n", "1:10: select[0]: found 1, expected a string"),
        ("exclude: ['']\n", "exclude[0]: found the string '', expected at least 1 characters"),
        ("severity:\n  a: high\n", ".meshlint.yaml:2:6: severity.a: found the string 'high', expected one of error, warning, info, off"),
        ("complete: maybe\n", "complete: found the string 'maybe', expected true or false or a list of strings"),
        ("complete: [1]\n", "complete[0]: found 1, expected a string"),
        ("istioVersion: 1.28\n", "istioVersion: found 1.28, expected a string"),
        ("istioVersion: latest\n", "istioVersion: found the string 'latest', expected text like"),
        ("paths:\n  a/**:\n    ignor: []\n", ".meshlint.yaml:3:5: paths.a/**: unknown key 'ignor'; did you mean 'ignore'?"),
        ("- profile\n", ".meshlint.yaml:1:1: found a list, expected a mapping"),
        ("profile: strict\n---\nprofile: audit\n", ".meshlint.yaml:3:1: found a second document, expected only one"),
        ("profile: {\n", ".meshlint.yaml:"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_shape(text, expected):
    assert expected in refusal(text)


def test_all_that_is_wrong_is_said_at_once():
    assert refusal("profil: a\nfailOn: b\n").count("\n") == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("select: [mtlss]\n", ".meshlint.yaml:1:10: select: there is no rule or family named 'mtlss'; did you mean 'mtls'?"),
        ("ignore: [IST9999]\n", ".meshlint.yaml:1:10: ignore: no rule answers for the code IST9999"),
        ("severity: {unknown-rul: error}\n", ".meshlint.yaml:1:12: severity: there is no rule named 'unknown-rul'; did you mean 'unknown-rule'?"),
        ("options: {unknown-rule: {depth: 1}}\n", "options.unknown-rule: unknown key 'depth'"),
        ("options: {zzzzz: {}}\n", "options: there is no rule named 'zzzzz'"),
        ("paths:\n  a/**: {ignore: [nope-nope]}\n", ".meshlint.yaml:2:19: paths.a/**.ignore: there is no rule or family"),
    ],
)  # fmt: skip
def test_names_that_do_not_exist(text, expected):
    assert expected in refusal(text, names=True)


def test_rule_files_that_do_not_exist():
    from meshlint.policy.rules import RuleError

    with pytest.raises(RuleError, match=r"^.meshlint.yaml:1: no rule file matches 'policies/\*.yaml'"):
        rules_of(load("rules: ['policies/*.yaml']\n"))


def test_unreadable_file():
    with pytest.raises(ConfigError, match=r"no\.yaml: cannot be read: No such file"):
        load_config(Path("no.yaml"))


def test_the_nearest_file_counts(folder):
    (folder / ".git").mkdir()
    (folder / "a/b").mkdir(parents=True)
    (folder / ".meshlint.yaml").touch()
    assert find_config(folder / "a/b") == folder / ".meshlint.yaml"
    (folder / "a/.meshlint.yml").touch()
    assert find_config(folder / "a/b") == folder / "a/.meshlint.yml"


def test_the_search_ends_at_the_top_of_the_repository(folder):
    (folder / ".meshlint.yaml").touch()
    (folder / "repo/.git").mkdir(parents=True)
    assert find_config(folder / "repo") is None


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        EVERYTHING,
        "profile: 1",
        "severity: []",
        "severity: {a: true}",
        "complete: [a, 1]",
        "complete: {}",
        "paths: {a: {reason: 1}}",
        "paths: {a: []}",
        "istioVersion: '1'",
        "meshConfig: {a: [1, {b: c}]}",
        "options: {a: 1}",
        "defaultNamespace: ''",
        "roots: [[]]",
    ],
)
def test_our_reading_of_the_schema_is_that_of_jsonschema(text):
    root = parse("config", text).documents[0].root
    validator = jsonschema.Draft202012Validator(schema())
    assert (list(mismatches(root, schema())) == []) == validator.is_valid(root.plain())


def test_the_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(schema())
    for key, value in schema()["properties"].items():
        assert value.get("description"), f"{key} has no description"
    assert json.dumps(schema())
