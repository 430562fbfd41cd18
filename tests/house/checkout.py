"""How the house tests get at the checkout: copies of it, and commands run in them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
BIN = Path(sys.executable).parent

#: what an environment of the caller must not decide
_SCRUBBED = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PRE_COMMIT", "NO_COLOR", "FORCE_COLOR", "MAKEFLAGS")


def snapshot(folder: Path) -> Path:
    """Copy what git tracks or would track into `folder`, as it stands in the work tree."""
    if (ROOT / ".git").exists():
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT, capture_output=True, check=True,
        ).stdout.decode()  # fmt: skip
        names = [name for name in listed.split("\0") if name]
    else:
        names = [str(path.relative_to(ROOT)) for path in ROOT.rglob("*") if path.is_file()]
    for name in names:
        source = ROOT / name
        if source.is_file():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    return folder


def environment(**variables: str) -> dict[str, str]:
    """The environment of the tests without what would change results, the checkout's tools first."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in _SCRUBBED and not name.startswith(("GIT_", "GITHUB_", "PYTEST_"))
    }
    identity = {
        "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "Test", "GIT_AUTHOR_EMAIL": "test@example.com",
        "GIT_COMMITTER_NAME": "Test", "GIT_COMMITTER_EMAIL": "test@example.com",
    }  # fmt: skip
    path = f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"
    return kept | identity | {"PATH": path, "MESHLINT_CACHE_DIR": ""} | variables


def run(
    *command: str | Path, cwd: Path, env: Mapping[str, str] | None = None, expect: int | None = 0
) -> subprocess.CompletedProcess[str]:
    """Run a command; fails with its whole output when the exit code is not the expected one."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd, env=dict(env or environment()), capture_output=True, text=True, stdin=subprocess.DEVNULL,
        check=False,
    )  # fmt: skip
    said = f"{' '.join(map(str, command))}\nexit {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert expect is None or done.returncode == expect, said
    return done


def repository(folder: Path) -> Path:
    """A git repository in `folder` with everything in it committed."""
    run("git", "init", "-q", "-b", "main", cwd=folder)
    commit(folder, "start")
    return folder


def commit(folder: Path, message: str) -> None:
    run("git", "add", "-A", cwd=folder)
    run("git", "commit", "-q", "-m", message, cwd=folder)
