"""The other commands, and what all of them have in common."""

# ruff: noqa: E501

from __future__ import annotations

import json
import subprocess
import sys
import time
from textwrap import dedent

import pytest

from meshlint import __version__
from meshlint.cli.main import COMMANDS
from meshlint.config_file import schema
from meshlint.policy.rules import load_rules
from tests.cli.support import BAD, REPOSITORY, RULE, environment, meshlint, write


def test_version(call, folder):
    expected = f"meshlint {__version__}\n"
    assert call("--version").out == expected
    assert meshlint("--version", cwd=folder).out == expected


def test_version_imports_next_to_nothing(folder):
    script = "import sys; before = set(sys.modules); sys.argv[1:] = ['--version']\n" \
        "from meshlint.__main__ import main\nmain()\nprint(sorted(set(sys.modules) - before))"  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, capture_output=True, env=environment(), check=True
    )
    assert done.stdout.decode().splitlines()[1] == "['__future__', 'meshlint', 'meshlint.__main__']"


def test_a_run_imports_no_heavy_package(folder):
    write(folder, a=BAD)
    script = (
        "import os, sys\n"
        "from meshlint.cli.main import run\n"
        "run(['.', '--quiet', '--format', 'concise'])\n"
        "heavy = {'jsonschema', 'ruamel', 'rich', 'asyncio', 'importlib.metadata', 'unittest', 'http'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, capture_output=True, env=environment(), check=True
    )
    assert done.stdout.decode().splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS), ("config", "show")])
def test_help(call, command):
    done = call(*command, "--help")
    assert done.code == 0
    assert done.out.startswith(f"Usage: {' '.join(('meshlint', *command))}")
    assert call(*command, "-h").out == done.out


def test_help_lists_the_commands(call):
    out = call("--help").out
    assert all(f"  {name} " in out for name in COMMANDS)


class TestRules:
    def test_table(self, call):
        out = call("rules", "--family", "hygiene").out
        assert "unused-suppression" in out
        assert RULE not in out

    def test_json(self, call):
        rules = json.loads(call("rules", "--format", "json").out)
        assert {rule["name"] for rule in rules} == set(load_rules())
        assert set(rules[0]) == {
            "name", "family", "summary", "severity", "confidence", "profile", "equivalents", "controls", "fixable",
        }  # fmt: skip

    def test_profile(self, call):
        rules = json.loads(call("rules", "--profile", "default", "--format", "json").out)
        assert {rule["profile"] for rule in rules} == {"default"}

    def test_unknown_family(self, call):
        done = call("rules", "--family", "mtsl")
        assert (done.code, "did you mean 'mtls'?" in done.err) == (2, True)


class TestExplain:
    def test_page(self, call):
        assert call("explain", "unknown-rule").out == dedent(
            """\
            warning[unknown-rule]: Suppression that names no rule, or is not understood

              A suppression with a misspelt name, or written in a form that meshlint does not read, silently does
              nothing. Whoever wrote it believes that a finding is accepted, with a reason on record; in truth the
              finding is still reported, or another tool's syntax was meant. Names of rules, names of families and
              the codes of istioctl and Kiali are known.

              family: hygiene   profile: default   confidence: high

            Bad: misspelt rule
                apiVersion: security.istio.io/v1
                kind: PeerAuthentication
                metadata:
                  name: default
                  namespace: shop
                spec:
              >   # meshlint: ignore[mtls-port-level-need-selector] a selector follows
                  mtls:
                    mode: STRICT

            Bad: comment without brackets
                apiVersion: security.istio.io/v1
                kind: PeerAuthentication
                metadata:
                  name: default
                  namespace: shop
                spec:
                  mtls:
              >     mode: STRICT # meshlint: disable mtls-permissive

            Good: a rule that exists
                # meshlint: ignore-file[mtls-port-level-needs-selector] generated
                apiVersion: security.istio.io/v1
                kind: PeerAuthentication
                metadata:
                  name: default
                  namespace: shop
                spec:
                  portLevelMtls:
                    8080:
                      mode: STRICT

            Accept a finding
              # meshlint: ignore[unknown-rule] why this is fine here
            """
        )

    @pytest.mark.parametrize("name", load_rules())
    def test_every_rule_has_a_page(self, call, name):
        done = call("explain", name)
        assert done.code == 0
        assert f"[{name}]: " in done.out
        assert "Bad: " in done.out

    def test_options(self, call):
        out = call("explain", "timeout-too-long").out
        assert "seconds (integer, default 60)" in out
        assert "options: {timeout-too-long: {seconds: 60}}" in out

    def test_codes_of_peers(self, call):
        code = next(rule.info.equivalents[0] for rule in load_rules().values() if rule.info.equivalents)
        expected = [name for name, rule in load_rules().items() if code in rule.info.equivalents]
        out = call("explain", code.lower()).out
        assert all(f"[{name}]: " in out for name in expected)

    def test_unknown(self, call):
        done = call("explain", "mtls-permisive")
        assert done.code == 2
        assert done.err == (
            "meshlint: error: there is no rule or family named 'mtls-permisive'; did you mean 'mtls-permissive'?\n"
        )


MINE = f"""\
name: our-own
summary: Our own words for it
family: ours
severity: info
confidence: high
profile: default
since: 1.0.0
why: |
  Because that is what we agreed upon in the platform team.
check: {{python: mtls.port_level_needs_selector}}
examples:
  - name: ports
    bad: |
{"".join("      " + line + chr(10) for line in BAD.replace("portLevelMtls:", "portLevelMtls: #!").splitlines())}\
  - name: no ports
    good: "kind: a"
"""


class TestTest:
    def test_a_rule_file_that_passes(self, call, folder):
        write(folder, our_own=MINE)
        done = call("test", "our_own.yaml")
        assert (done.code, done.out) == (0, "1 rule passes, 2 examples\n")

    def test_a_rule_file_that_fails(self, call, folder):
        write(folder, rules__our_own=MINE.replace("mode: STRICT", "mode: STRICT #!", 1).replace(": #!", ":"))
        done = call("test", "rules")
        assert done.code == 1
        assert done.out.splitlines() == [
            "FAIL our-own, bad example 'ports': manifest.yaml:8: expected a finding here",
            "FAIL our-own, bad example 'ports': manifest.yaml:9: found, but not marked with #!: "
            "PeerAuthentication shop/default sets portLevelMtls without a selector, which Istio refuses",
            "1 of 1 rules fail, 2 examples",
        ]

    def test_a_rule_file_with_a_wrong_shape(self, call, folder):
        write(folder, our_own=MINE.replace("severity: info", "severity: low"))
        done = call("test", "our_own.yaml")
        assert done.code == 2
        assert done.err.startswith("meshlint: error: our_own.yaml:4:11: severity: found the string 'low'")

    def test_a_rule_file_that_is_not_there(self, call):
        done = call("test", "no.yaml")
        assert (done.code, done.err) == (
            2,
            "meshlint: error: no.yaml: no such file or folder\n",
        )


class TestConfigShow:
    def test_where_values_come_from(self, call, folder):
        (folder / ".meshlint.yaml").write_text(
            "profile: strict\ncomplete: [shop]\nseverity: {unknown-rule: off}\n"
        )
        lines = call("config", "show", "--platform", "kyma", "--exclude", "gen/").out.splitlines()
        assert [" ".join(line.split()) for line in lines if not line.endswith("# default")] == [
            "# .meshlint.yaml",
            'profile: "strict" # .meshlint.yaml:1',
            'severity: {"unknown-rule": "off"} # .meshlint.yaml:3',
            'exclude: ["gen/"] # --exclude',
            'platform: "kyma" # --platform',
            'complete: ["shop"] # .meshlint.yaml:2',
        ]

    def test_it_shows_every_key(self, call):
        values = json.loads(call("config", "show", "--format", "json").out)["values"]
        assert list(values) == sorted(values, key=list(schema()["properties"]).index)
        assert set(values) == set(schema()["properties"])

    def test_what_it_shows_is_a_configuration_file(self, call, folder):
        out = call("config", "show", "--profile", "audit").out
        (folder / ".meshlint.yaml").write_text(out)
        again = json.loads(call("config", "show", "--format", "json").out)
        assert again["values"]["profile"] == {"value": "audit", "from": ".meshlint.yaml:2"}

    def test_a_wrong_configuration(self, call, folder):
        (folder / ".meshlint.yaml").write_text("ignore: [unknown-rul]\n")
        done = call("config", "show")
        assert done.code == 2
        assert "did you mean 'unknown-rule'?" in done.err


class TestInspect:
    WORKLOAD = dedent(
        """\
        apiVersion: v1
        kind: Namespace
        metadata:
          name: shop
          labels:
            istio-injection: enabled
        ---
        apiVersion: apps/v1
        kind: Deployment
        metadata: {name: cart, namespace: shop}
        spec:
          template:
            metadata: {labels: {app: cart}}
            spec: {containers: [{name: c, image: c, ports: [{containerPort: 8080}]}]}
        ---
        apiVersion: security.istio.io/v1
        kind: PeerAuthentication
        metadata: {name: cart, namespace: shop}
        spec:
          selector: {matchLabels: {app: cart}}
          mtls: {mode: STRICT}
        ---
        apiVersion: networking.istio.io/v1
        kind: VirtualService
        metadata: {name: cart, namespace: shop}
        spec:
          hosts: [cart]
          http:
            - timeout: 3s
              route: [{destination: {host: cart}}]
        """
    )

    def test_text(self, call, folder):
        write(folder, a=self.WORKLOAD)
        done = call("inspect", "--complete")
        assert done.code == 0
        assert "Deployment shop/cart   a.yaml:10\n" in done.out
        assert "  data plane     sidecar " in done.out
        assert "  mTLS 8080      STRICT " in done.out
        assert "a.yaml:21" in done.out
        assert "  timeout        3s                                  a.yaml:29\n" in done.out
        assert done.out.splitlines()[-1].startswith("1 workloads, 1 routes; ")

    def test_json(self, call, folder):
        write(folder, a=self.WORKLOAD)
        document = json.loads(call("inspect", "--format", "json").out)
        (workload,) = document["workloads"]
        assert workload["resource"] == {
            "apiVersion": "apps/v1", "kind": "Deployment", "namespace": "shop", "name": "cart",
        }  # fmt: skip
        assert workload["data_plane"]["because"] == [{"file": "a.yaml", "line": 6, "column": 5}]
        assert workload["ports"][0]["port"] == 8080
        assert workload["ports"][0]["mtls"]["value"] == "STRICT"
        assert document["routes"][0]["timeout"]["value"] == "3s"

    def test_what_the_input_does_not_show_is_unknown(self, call, folder):
        text = self.WORKLOAD[self.WORKLOAD.index("---") + 4 :]
        write(folder, a=text)
        plane = json.loads(call("inspect", "--format", "json").out)["workloads"][0]["data_plane"]
        assert (plane["state"], plane["value"]) == ("unknown", None)
        assert "namespace" in plane["reason"].lower()

    def test_namespace(self, call, folder):
        write(folder, a=self.WORKLOAD)
        document = json.loads(call("inspect", "-n", "other", "--format", "json").out)
        assert (document["workloads"], document["routes"]) == ([], [])

    def test_nothing_to_inspect(self, call, folder):
        done = call("inspect")
        assert (done.code, done.err) == (2, "meshlint: error: no manifest found in the current folder\n")


def test_the_progress_line():
    from meshlint.cli.progress import line

    assert line("reading", 0, 1) == f"[{'-' * 24}] 0/1 reading"
    assert line("mtls-disabled", 35, 70) == f"[{'#' * 12}{'-' * 12}] 35/70 mtls-disabled"


def test_progress_waits_a_second(monkeypatch, capsys):
    from meshlint.cli import progress

    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    monkeypatch.setattr(progress, "INTERVAL", 0.01)
    with progress.Progress() as report:
        report("mtls-disabled", 1, 2)
        time.sleep(0.1)
    err = capsys.readouterr().err
    assert "1/2 mtls-disabled" in err
    assert err.endswith("\r\x1b[K")
    with progress.Progress():
        pass
    assert (REPOSITORY / "rules").is_dir()
