"""Does every command in README.md work, and does it print what the page shows?

The commands run in a copy of the checkout, in the order of the page. A line `...` of the shown output stands
for any lines. A command may exit with 0 or 1; what exits with 2 could not do its job.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.house.checkout import BIN, ROOT, environment, run, snapshot
from tests.house.fences import commands, fences, shows

pytestmark = pytest.mark.slow

README = ROOT / "README.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
#: `make demo` and `make test` set up an environment themselves: see test_make.py
BLOCKS = [
    pytest.param(page, fence.text, id=f"{page.name}:{fence.line}")
    for page in (README, ROOT / "examples" / "README.md")
    for fence in fences(page, "console")
    if "$ make" not in fence.text
]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return snapshot(tmp_path_factory.mktemp("checkout"))


@pytest.mark.parametrize(("page", "block"), BLOCKS)
def test_block(copy: Path, page: Path, block: str) -> None:
    env = environment(PYTHONPATH=str(copy))
    code = 0
    for command, expected in commands(block):
        if command == "echo $?":
            assert expected == f"{code}\n"
            continue
        done = run("bash", "-c", command, cwd=copy, env=env, expect=None)
        code = done.returncode
        assert code in (0, 1), f"{command}\n{done.stdout}{done.stderr}"
        assert shows(expected, done.stdout), f"$ {command}\n{done.stdout}"


def test_the_configuration_that_is_shown_is_valid(tmp_path: Path) -> None:
    (fence,) = (fence for fence in fences(README, "yaml") if fence.title == ".meshlint.yaml")
    (tmp_path / ".meshlint.yaml").write_text(fence.text)
    run(BIN / "meshlint", "config", "show", cwd=tmp_path)


def test_the_hooks_and_inputs_that_are_named_exist() -> None:
    text = README.read_text("utf-8")
    for hook in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text()):
        assert f"| `{hook['id']}` |" in text
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    said = re.search(r"Inputs: (.*?)\. Outputs: (.*?)\. ", text, re.DOTALL)
    assert said
    assert re.findall(r"`([a-z-]+)`", said[1]) == list(action["inputs"])
    assert re.findall(r"`([a-z-]+)`", said[2]) == list(action["outputs"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_anchors_of_the_rules_exist() -> None:
    headings = set(re.findall(r"^## (\S+)$", (ROOT / "docs" / "rules.md").read_text("utf-8"), re.MULTILINE))
    linked = set(re.findall(r"\(docs/rules\.md#([^)]+)\)", README.read_text("utf-8")))
    assert linked
    assert linked == headings
