"""Does the first example of CONTRIBUTING.md work when it is followed word by word?"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.house.checkout import ROOT, environment, run, snapshot
from tests.house.fences import Fence, commands, fences

pytestmark = pytest.mark.slow

PAGE = ROOT / "CONTRIBUTING.md"
FILES = [fence for fence in fences(PAGE) if fence.title]
COMMANDS = [command for fence in fences(PAGE, "console") for command, _ in commands(fence.text)]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout with the files of the page in it."""
    folder = snapshot(tmp_path_factory.mktemp("checkout"))
    for fence in FILES:
        path = folder / fence.title
        assert not path.exists(), f"CONTRIBUTING.md would overwrite {fence.title}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(fence.text)
    return folder


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command as a reader would, with the modules of the copy instead of the checkout."""
    env = environment(PYTHONPATH=str(folder), MYPY_CACHE_DIR=str(folder / ".mypy_cache"))
    return run("bash", "-c", command, cwd=folder, env=env)


@pytest.mark.parametrize("command", COMMANDS)
def test_command(copy: Path, command: str) -> None:
    done = shell(command, copy)
    assert "0 tests" not in done.stdout
    assert "no tests ran" not in done.stdout


def test_the_new_rule_finds_what_it_is_for(copy: Path) -> None:
    (copy / "policy.yaml").write_text(bad_example(FILES[0]))
    env = environment(PYTHONPATH=str(copy))
    done = run(
        "meshlint", "policy.yaml", "--select", "policy-without-owner", "--fail-on", "info",
        "--output", "concise", cwd=copy, env=env, expect=1,
    )  # fmt: skip
    assert done.stdout.startswith("policy.yaml:4:9: ")


def test_the_generated_files_are_up_to_date_afterwards(copy: Path) -> None:
    for tool in sorted((copy / "tools").glob("*.py")):
        shell(f"python {tool}", copy)
        shell(f"python {tool} --check", copy)


def test_the_page_shows_a_rule_and_its_check() -> None:
    assert [Path(fence.title).suffix for fence in FILES] == [".yaml", ".py"]
    assert len(COMMANDS) >= 5


def bad_example(fence: Fence) -> str:
    lines = fence.text.split("    bad: |\n")[1].split("  - name:")[0].splitlines()
    return "\n".join(line[6:].removesuffix(" #!") for line in lines) + "\n"
