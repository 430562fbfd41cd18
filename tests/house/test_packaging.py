"""Does the package work where nothing but the package is?"""

from __future__ import annotations

import json
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.house.checkout import BIN, ROOT, environment, run, snapshot

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist, and the wheel that is built from the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    source = snapshot(tmp_path_factory.mktemp("source"))
    run(BIN / "python", "-m", "build", "--outdir", folder, source, cwd=source)
    return folder


@pytest.fixture(scope="module")
def installed(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the commands of an empty environment with only the wheel installed."""
    venv = tmp_path_factory.mktemp("empty") / "venv"
    run(BIN / "python", "-m", "venv", venv, cwd=dist)
    run(venv / "bin" / "python", "-m", "pip", "install", "-q", next(dist.glob("*.whl")), cwd=dist)
    return venv / "bin"


def files_below(folder: str) -> set[str]:
    return {str(path.relative_to(ROOT)) for path in (ROOT / folder).rglob("*") if path.is_file()}


def test_the_wheel_holds_rules_and_schemas_and_nothing_of_the_workshop(dist: Path) -> None:
    with zipfile.ZipFile(next(dist.glob("*.whl"))) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    data = {name.removeprefix("meshlint/data/") for name in names if name.startswith("meshlint/data/")}
    assert data == files_below("rules") | files_below("schemas")
    code = {name for name in names if not name.startswith("meshlint/data/")}
    assert code == {name for name in files_below("meshlint") if "__pycache__" not in name}


def test_the_sdist_holds_what_a_build_needs_and_no_more(dist: Path) -> None:
    with tarfile.open(next(dist.glob("*.tar.gz"))) as sdist:
        tops = {name.split("/")[1] for name in sdist.getnames()}
    expected = {"meshlint", "rules", "schemas", "README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml"}
    assert tops - {".gitignore", "PKG-INFO"} == expected


def test_the_metadata_needs_only_the_run_time_dependencies(installed: Path, tmp_path: Path) -> None:
    script = "import json; from importlib.metadata import requires; print(json.dumps(requires('meshlint')))"
    required = json.loads(run(installed / "python", "-c", script, cwd=tmp_path).stdout)
    always = {line.split(">")[0] for line in required if "extra ==" not in line}
    assert always == {"click", "pyyaml"}


def test_the_installed_package_finds_what_the_checkout_finds(installed: Path, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    env = environment(PATH="/usr/bin:/bin")
    there = run(
        installed / "meshlint", "examples", "--output", "json", cwd=tmp_path, env=env, expect=1
    ).stdout
    here = run(BIN / "meshlint", "examples", "--output", "json", cwd=ROOT, expect=1).stdout
    assert json.loads(there) == json.loads(here)


def test_the_other_commands_work_from_the_package(installed: Path, tmp_path: Path) -> None:
    version = run(installed / "meshlint", "--version", cwd=tmp_path).stdout
    assert version.startswith("meshlint 0.")
    assert "mtls-permissive" in run(installed / "meshlint", "rules", cwd=tmp_path).stdout
    assert "plain" in run(installed / "meshlint", "explain", "mtls-permissive", cwd=tmp_path).stdout
