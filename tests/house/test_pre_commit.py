"""Do the hooks of .pre-commit-hooks.yaml work under the real pre-commit, its traps included?

(spec ecosystem d.1: deleted files trigger no hook, untracked files stay in place, names come in chunks)
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.house.checkout import BIN, commit, environment, repository, run, snapshot

pytestmark = pytest.mark.slow

PEER = """\
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata:
  name: NAME
  namespace: pay
spec:
  selector:
    matchLabels:
      app: NAME
  mtls:
    mode: MODE
"""
FINDING = "mtls-permissive"


def permissive(name: str) -> str:
    return PEER.replace("NAME", name).replace("MODE", "PERMISSIVE")


def strict(name: str) -> str:
    return PEER.replace("NAME", name).replace("MODE", "STRICT")


@dataclass
class Project:
    """A repository that uses one of the hooks."""

    folder: Path
    hooks: Path
    cache: Path

    def use(self, hook: str, *options: str) -> None:
        lines = [
            "repos:",
            f"  - repo: {self.hooks}",
            "    rev: v0.0.1",
            "    hooks:",
            f"      - id: {hook}",
            *(f"        {option}" for option in options),
        ]
        self.write(".pre-commit-config.yaml", "\n".join(lines) + "\n")
        commit(self.folder, f"use {hook}")

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def stage(self, **files: str) -> None:
        for name, text in files.items():
            self.write(f"{name}.yaml", text)
            run("git", "add", f"{name}.yaml", cwd=self.folder)

    def pre_commit(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        env = environment(PRE_COMMIT_HOME=str(self.cache), PRE_COMMIT_COLOR="never")
        return run(
            BIN / "python", "-m", "pre_commit", "run", "--verbose", *arguments,
            cwd=self.folder, env=env, expect=None,
        )  # fmt: skip


@pytest.fixture(scope="module")
def hooks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This checkout as a hook repository, as it stands in the work tree."""
    folder = repository(snapshot(tmp_path_factory.mktemp("hooks")))
    run("git", "tag", "v0.0.1", cwd=folder)
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pre-commit keeps the environment that it builds once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def project(hooks: Path, cache: Path, tmp_path: Path) -> Project:
    project = Project(tmp_path, hooks, cache)
    project.write("root.yaml", ROOT_POLICY)
    repository(tmp_path)
    return project


ROOT_POLICY = """\
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata:
  name: default
  namespace: istio-system
spec:
  mtls:
    mode: STRICT
"""


def said(done: subprocess.CompletedProcess[str]) -> str:
    return done.stdout + done.stderr


def found_in(done: subprocess.CompletedProcess[str]) -> set[str]:
    """The files that the permissive finding is shown in."""
    return set(re.findall(rf"{FINDING}\].*\n *--> ([^:\n]+):", said(done)))


def test_a_finding_fails_the_commit(project: Project) -> None:
    project.use("meshlint")
    project.stage(api=permissive("api"))
    done = project.pre_commit()
    assert done.returncode == 1, said(done)
    assert found_in(done) == {"api.yaml"}, said(done)


def test_a_good_commit_passes(project: Project) -> None:
    project.use("meshlint")
    project.stage(api=strict("api"))
    done = project.pre_commit()
    assert done.returncode == 0, said(done)
    assert "Passed" in done.stdout


def test_the_whole_repository_is_read_whatever_is_staged(project: Project) -> None:
    project.write("old.yaml", permissive("old"))
    commit(project.folder, "an old sin")
    project.use("meshlint")
    project.stage(api=strict("api"))
    done = project.pre_commit()
    assert done.returncode == 1, said(done)
    assert found_in(done) == {"old.yaml"}, said(done)


def test_options_can_be_given(project: Project) -> None:
    project.use("meshlint", "args: [--ignore, mtls]")
    project.stage(api=permissive("api"))
    done = project.pre_commit()
    assert done.returncode == 0, said(done)


ROUTE = """\
apiVersion: v1
kind: Service
metadata: {name: api, namespace: pay}
spec: {ports: [{name: http, port: 80}]}
"""
ROUTE_TEST = """\
tests:
  - name: by name
    request: {host: api, source: {namespace: pay}}
    expect: {destination: "api:PORT"}
"""


@pytest.mark.parametrize(("port", "code"), [("80", 0), ("81", 1)])
def test_route_tests(project: Project, port: str, code: int) -> None:
    project.use("meshlint-test")
    project.stage(api=ROUTE)
    project.write("api.meshtest.yaml", ROUTE_TEST.replace("PORT", port))
    run("git", "add", ".", cwd=project.folder)
    done = project.pre_commit()
    assert done.returncode == code, said(done)
    assert ("FAIL by name" in said(done)) is bool(code), said(done)


def test_other_files_do_not_start_it(project: Project) -> None:
    project.use("meshlint")
    project.write("notes.txt", "nothing")
    run("git", "add", "notes.txt", cwd=project.folder)
    assert "no files to check" in said(project.pre_commit())


@pytest.mark.parametrize("hook", ["meshlint", "meshlint-changed", "meshlint-always"])
def test_an_untracked_file_does_not_fail_the_commit(project: Project, hook: str) -> None:
    project.use(hook)
    project.write("scratch.yaml", permissive("scratch"))
    project.stage(api=strict("api"))
    done = project.pre_commit()
    assert done.returncode == 0, said(done)


@pytest.mark.parametrize("hook", ["meshlint", "meshlint-changed", "meshlint-always"])
def test_an_untracked_file_does_not_mask_a_finding(project: Project, hook: str) -> None:
    """The policy that would require the token stands in a file that will not be in the commit."""
    project.use(hook)
    project.write(".meshlint.yaml", "complete: true\n")
    project.write("authn.yaml", AUTHENTICATION)
    run("git", "add", ".meshlint.yaml", "authn.yaml", cwd=project.folder)
    masked = project.pre_commit()
    assert masked.returncode == 1, said(masked)
    assert "jwt-missing-authz" in said(masked)
    project.write("authz.yaml", AUTHORIZATION)
    still = project.pre_commit()
    assert still.returncode == 1, said(still)
    assert "jwt-missing-authz" in said(still)
    run("git", "add", "authz.yaml", cwd=project.folder)
    cured = project.pre_commit()
    assert "jwt-missing-authz" not in said(cured)


def test_an_unstaged_edit_does_not_count(project: Project) -> None:
    project.use("meshlint")
    project.stage(api=permissive("api"))
    project.write("api.yaml", strict("api"))
    done = project.pre_commit()
    assert done.returncode == 1, said(done)
    assert found_in(done) == {"api.yaml"}


def test_a_commit_that_only_deletes_is_seen_by_meshlint_always_alone(project: Project) -> None:
    project.write(".meshlint.yaml", "complete: true\n")
    project.write("authn.yaml", AUTHENTICATION)
    project.write("authz.yaml", AUTHORIZATION)
    commit(project.folder, "requests need a token")
    project.use("meshlint")
    run("git", "rm", "-q", "authz.yaml", cwd=project.folder)
    assert "no files to check" in said(project.pre_commit())
    run("git", "reset", "-q", "--hard", cwd=project.folder)
    project.use("meshlint-always")
    run("git", "rm", "-q", "authz.yaml", cwd=project.folder)
    done = project.pre_commit()
    assert done.returncode == 1, said(done)
    assert "jwt-missing-authz" in said(done)


def test_changed_shows_only_what_touches_the_commit(project: Project) -> None:
    project.write("old.yaml", permissive("old"))
    commit(project.folder, "an old sin")
    project.use("meshlint-changed")
    project.stage(api=permissive("api"))
    done = project.pre_commit()
    assert done.returncode == 1, said(done)
    assert found_in(done) == {"api.yaml"}, said(done)


def test_changed_reads_the_whole_repository(project: Project) -> None:
    """The policy that requires the token is in a file that is not part of the commit."""
    project.write(".meshlint.yaml", "complete: true\n")
    project.write("authz.yaml", AUTHORIZATION)
    commit(project.folder, "requests need a token")
    project.use("meshlint-changed")
    project.stage(authn=AUTHENTICATION)
    done = project.pre_commit()
    assert "jwt-missing-authz" not in said(done)


def test_changed_in_chunks_shows_every_file_once(project: Project) -> None:
    """So many long names that pre-commit has to call the hook several times."""
    project.use("meshlint-changed")
    folder = "manifests/" + "long-folder-name-" * 10
    names = [f"{folder}/policy-number-{number:04}.yaml" for number in range(700)]
    for number, name in enumerate(names):
        project.write(name, permissive(f"p{number}") if number % 100 == 0 else strict(f"p{number}"))
    run("git", "add", "-A", cwd=project.folder)
    done = project.pre_commit()
    assert done.returncode == 1, said(done)
    assert found_in(done) == {name for number, name in enumerate(names) if number % 100 == 0}
    assert said(done).count(f"[{FINDING}]") == 7


AUTHENTICATION = """\
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata:
  name: api
  namespace: pay
spec:
  selector:
    matchLabels:
      app: api
  jwtRules:
    - issuer: https://login.example.com/
      jwksUri: https://login.example.com/jwks.json
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: api
  namespace: pay
spec:
  selector:
    matchLabels:
      app: api
  template:
    metadata:
      labels:
        app: api
        version: v1
        sidecar.istio.io/inject: "true"
    spec:
      containers:
        - name: api
          image: registry.example.com/pay/api:1.0.0
          ports:
            - containerPort: 8080
"""
AUTHORIZATION = """\
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata:
  name: api
  namespace: pay
spec:
  selector:
    matchLabels:
      app: api
  action: ALLOW
  rules:
    - from:
        - source:
            requestPrincipals: ["*"]
"""
