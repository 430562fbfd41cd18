"""Does action.yml do what it says, and can nothing that is put in be run?

The steps are run as the runner runs them: expressions resolved in `env` and `with` only, the script
in a file, `bash --noprofile --norc -e -o pipefail`, and the files that GITHUB_OUTPUT and
GITHUB_STEP_SUMMARY name.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.house.checkout import ROOT, environment, snapshot

pytestmark = pytest.mark.slow

ACTION = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
STEPS = ACTION["runs"]["steps"]
EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")

PERMISSIVE = """\
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: api, namespace: pay}
spec:
  selector: {matchLabels: {app: api}}
  mtls:
    mode: PERMISSIVE
"""
STRICT = PERMISSIVE.replace("PERMISSIVE", "STRICT")


@dataclass
class Job:
    """One use of the action in a workspace: what the runner keeps between the steps."""

    workspace: Path
    temp: Path
    action_path: Path
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)
    summary: str = ""
    log: str = ""

    def use(self, **inputs: str) -> int:
        """Run all steps with the inputs; the exit code of the first that fails, or 0."""
        for step in STEPS:
            code = self.step(step, inputs)
            if code:
                return code
        return 0

    def step(self, step: dict[str, Any], inputs: dict[str, str]) -> int:
        script = self.temp / "step.sh"
        script.write_text(step["run"])
        output, summary = self.temp / "output", self.temp / "summary"
        output.write_text("")
        summary.write_text("")
        env = environment(
            RUNNER_TEMP=str(self.temp),
            GITHUB_OUTPUT=str(output),
            GITHUB_STEP_SUMMARY=str(summary),
            GITHUB_ACTIONS="true",
            CI="true",
            **{name: self.resolve(str(value), inputs) for name, value in step["env"].items()},
        )
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", str(script)],
            cwd=self.workspace,
            env=env,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        self.log += done.stdout + done.stderr
        self.summary += summary.read_text()
        if "id" in step:
            lines = [line.partition("=") for line in output.read_text().splitlines()]
            self.outputs[step["id"]] = {name: value for name, _, value in lines}
        return done.returncode

    def resolve(self, text: str, inputs: dict[str, str]) -> str:
        return EXPRESSION.sub(lambda match: self.value(match[1], inputs), text)

    def value(self, expression: str, inputs: dict[str, str]) -> str:
        if expression == "github.action_path":
            return str(self.action_path)
        scope, _, rest = expression.partition(".")
        if scope == "inputs":
            return inputs.get(rest.replace("-", "_"), ACTION["inputs"][rest]["default"])
        step, kind, name = rest.split(".")
        assert (scope, kind) == ("steps", "outputs"), expression
        return self.outputs.get(step, {}).get(name, "")

    @property
    def results(self) -> dict[str, str]:
        """The outputs of the action."""
        return {name: self.resolve(output["value"], {}) for name, output in ACTION["outputs"].items()}


@pytest.fixture(scope="module")
def action(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, dict[str, str]]]:
    """The action checked out beside the workspace, installed once: its path, temp folder, outputs."""
    path = snapshot(tmp_path_factory.mktemp("action"))
    temp = tmp_path_factory.mktemp("runner")
    job = Job(path, temp, path)
    assert job.step(STEPS[0], {}) == 0, job.log
    return path, temp, job.outputs


@pytest.fixture
def job(action: tuple[Path, Path, dict[str, dict[str, str]]], tmp_path: Path) -> Job:
    """A workspace with an installed meshlint; `use` skips the install step."""
    path, _, outputs = action
    workspace, temp = tmp_path / "work space", tmp_path / "temp"
    workspace.mkdir()
    (temp / "meshlint").mkdir(parents=True)
    return Installed(workspace, temp, path, dict(outputs))


class Installed(Job):
    def step(self, step: dict[str, Any], inputs: dict[str, str]) -> int:
        return 0 if step is STEPS[0] else super().step(step, inputs)


def test_install_reports_the_version(action: tuple[Path, Path, dict[str, dict[str, str]]]) -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", action[2]["install"]["version"])


def test_findings_reach_every_output(job: Job) -> None:
    (job.workspace / "peer.yaml").write_text(PERMISSIVE)
    assert job.use() == 1
    results = job.results
    assert results["exit-code"] == "1"
    assert int(results["findings"]) >= 1
    assert int(results["findings"]) >= int(results["errors"]) + int(results["warnings"])
    report = json.loads(Path(results["json-file"]).read_text())
    assert "mtls-permissive" in {f["rule"] for f in report["findings"]}
    sarif = json.loads(Path(results["sarif-file"]).read_text())
    uris = {
        r["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for r in sarif["runs"][0]["results"]
    }
    assert uris == {"peer.yaml"}
    assert "mtls-permissive" in job.summary
    assert re.search(r"^::(warning|error) .*file=peer\.yaml,.*line=7", job.log, re.MULTILINE), job.log


def test_nothing_found_is_success(job: Job) -> None:
    (job.workspace / "peer.yaml").write_text(STRICT)
    assert job.use() == 0, job.log
    assert job.results["exit-code"] == "0"
    assert job.results["findings"] == "0"
    assert json.loads(Path(job.results["sarif-file"]).read_text())["runs"][0]["results"] == []


def test_a_job_that_could_not_be_done_fails_with_2(job: Job) -> None:
    assert job.use(paths="nowhere") == 2
    assert job.results["exit-code"] == "2"


def test_fail_on_never_reports_and_passes(job: Job) -> None:
    (job.workspace / "peer.yaml").write_text(PERMISSIVE)
    assert job.use(fail_on="never") == 0, job.log
    assert int(job.results["findings"]) >= 1


def test_switches_turn_annotations_and_summary_off(job: Job) -> None:
    (job.workspace / "peer.yaml").write_text(PERMISSIVE)
    assert job.use(annotations="false", summary="false") == 1
    assert job.summary == ""
    assert "::warning" not in job.log
    assert "::error" not in job.log
    assert "mtls-permissive" in job.log


def test_sarif_file_is_written_where_asked(job: Job) -> None:
    (job.workspace / "peer.yaml").write_text(PERMISSIVE)
    assert job.use(sarif_file="out put.sarif") == 1
    assert job.results["sarif-file"] == "out put.sarif"
    assert (job.workspace / "out put.sarif").is_file()


def test_arguments_come_one_per_line(job: Job) -> None:
    (job.workspace / "peer.yaml").write_text(PERMISSIVE)
    assert job.use(args="--ignore\nmtls-permissive,mtls\n") == 0, job.log


@pytest.mark.parametrize(
    "name",
    [
        "two words", "$(touch pwned)", "`touch pwned`", "a;touch pwned", "--config=pwned", "-rf", "*",
        "'quote", '"double', "${{ inputs.config }}", "äöü",
    ],
)  # fmt: skip
def test_a_path_is_a_path_and_nothing_else(job: Job, name: str) -> None:
    (job.workspace / name).mkdir()
    (job.workspace / name / "peer.yaml").write_text(PERMISSIVE)
    (job.workspace / "other.yaml").write_text(PERMISSIVE.replace("name: api", "name: other"))
    assert job.use(paths=f"{name}\r\n\n") == 1, job.log
    report = json.loads(Path(job.results["json-file"]).read_text())
    assert {f["location"]["file"] for f in report["findings"]} == {f"{name}/peer.yaml"}
    assert sorted(path.name for path in job.workspace.iterdir()) == sorted([name, "other.yaml"])


def test_several_paths(job: Job) -> None:
    for name in ("one", "two", "three"):
        (job.workspace / name).mkdir()
        (job.workspace / name / "peer.yaml").write_text(PERMISSIVE.replace("name: api", f"name: {name}"))
    assert job.use(paths="one\nthree") == 1
    report = json.loads(Path(job.results["json-file"]).read_text())
    assert {f["location"]["file"] for f in report["findings"]} == {"one/peer.yaml", "three/peer.yaml"}


@pytest.mark.parametrize(
    "name", ["config", "profile", "fail_on", "sarif_file", "args", "annotations", "summary"]
)
def test_no_other_input_is_run_either(job: Job, name: str) -> None:
    (job.workspace / "peer.yaml").write_text(PERMISSIVE)
    job.use(**{name: "x; touch pwned; $(touch pwned) `touch pwned`"})
    assert not list(job.workspace.rglob("pwned"))
    assert not list(job.temp.rglob("pwned"))


def test_a_line_break_cannot_forge_an_output(job: Job) -> None:
    (job.workspace / "peer.yaml").write_text(PERMISSIVE)
    assert job.use(sarif_file="a.sarif\nexit-code=0") == 2
    assert job.results["exit-code"] == ""


@pytest.mark.parametrize(
    "version", ["latest", "0.1", "0.1.0; touch pwned", "--help", "0.1.0\n0.2.0", "https://x/y"]
)
def test_a_version_is_a_version(tmp_path: Path, version: str) -> None:
    job = Job(tmp_path, tmp_path, ROOT)
    assert job.step(STEPS[0], {"version": version}) == 2
    assert "::error" in job.log
    assert not (tmp_path / "meshlint").exists()


def test_python_that_is_too_old_is_said(tmp_path: Path) -> None:
    fake = tmp_path / "bin"
    fake.mkdir()
    for name in ("python3", "python"):
        (fake / name).write_text("#!/bin/sh\nexit 1\n")
        (fake / name).chmod(0o755)
    for name in ("bash", "env"):
        (fake / name).symlink_to(shutil.which(name) or name)
    job = Job(tmp_path, tmp_path, ROOT)
    step = {**STEPS[0], "env": {**STEPS[0]["env"], "PATH": str(fake)}}
    assert job.step(step, {}) == 2
    assert "Python 3.11 or newer is needed" in job.log


def test_no_expression_inside_a_script_and_every_step_names_its_shell() -> None:
    for step in STEPS:
        assert "${{" not in step["run"]
        assert step["shell"] == "bash"
        assert "uses" not in step
    for value in ACTION["inputs"].values():
        assert set(value) == {"description", "default"}
        assert isinstance(value["default"], str)
