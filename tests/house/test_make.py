"""Do `make demo` and `make test` work from a copy that has no environment yet?"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.house.checkout import ROOT, environment, run, snapshot

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return snapshot(tmp_path_factory.mktemp("fresh clone"))


def test_demo_sets_itself_up_and_shows_findings(copy: Path) -> None:
    done = run("make", "demo", cwd=copy)
    assert "pip install" in done.stdout
    assert "mtls-permissive" in done.stdout
    assert "exit code 1" in done.stdout


def test_the_second_demo_finds_all_ready(copy: Path) -> None:
    done = run("make", "demo", cwd=copy)
    assert "pip install" not in done.stdout
    assert "mtls-permissive" in done.stdout


def test_a_changed_dependency_list_installs_again(copy: Path) -> None:
    os.utime(copy / "pyproject.toml")
    assert "tools/setup" in run("make", "-n", "demo", cwd=copy).stdout


def test_the_demo_fails_when_the_linter_could_not_do_its_job(copy: Path) -> None:
    (copy / "examples" / ".meshlint.yaml").write_text("profile: nonsense\n")
    done = run("make", "-o", ".venv/.ready", "demo", cwd=copy, expect=2)
    assert "meshlint exited with 2" in done.stderr


def test_test_runs_all_tests_in_parallel(copy: Path) -> None:
    assert "-m pytest -n auto" in run("make", "-n", "test", cwd=copy).stdout


def test_without_python_the_message_says_what_to_install(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("sh", "rm", "echo"):
        (tools / name).symlink_to(shutil.which(name) or name)
    done = run(
        ROOT / "tools" / "setup", ".venv", ".", cwd=tmp_path, env=environment(PATH=str(tools)), expect=1
    )
    assert "Python 3.11 or newer is needed" in done.stderr
    assert "apt-get install python3" in done.stderr


def test_without_ensurepip_and_pip_the_message_says_what_to_install(tmp_path: Path) -> None:
    """A Debian python3 without python3-venv: a stand-in that knows no module."""
    fake = tmp_path / "bin"
    fake.mkdir()
    (fake / "python3").write_text('#!/bin/sh\ncase "$2" in *version_info*) exit 0;; esac\nexit 1\n')
    (fake / "python3").chmod(0o755)
    env = environment(PATH=f"{fake}:/usr/bin:/bin")
    done = run(ROOT / "tools" / "setup", ".venv", ".", cwd=tmp_path, env=env, expect=1)
    assert "apt-get install python3-venv" in done.stderr
