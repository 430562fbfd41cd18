"""The cache gives the report of the same run, and only of the same run."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from meshlint.cache import KEPT, Cache, key_of, user_cache
from meshlint.cached import lint
from meshlint.config import Config, config_from
from meshlint.findings import Linted, Report, RunError
from meshlint.policy.rules import rules_directory

PERMISSIVE = """\
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: cart, namespace: shop}
spec:
  portLevelMtls: {8080: {mode: DISABLE}}
"""


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "peer.yaml").write_text(PERMISSIVE)
    monkeypatch.chdir(folder)
    return folder


def entries(cache: Cache) -> list[str]:
    return sorted(p.name for p in cache.folder.iterdir()) if cache.folder.exists() else []


def test_the_same_run_gives_the_same_report(cache: Cache, tree: Path) -> None:
    first = lint(["."], cache=cache)
    assert len(entries(cache)) == 1
    again = lint(["."], cache=cache)
    assert again.report == first.report
    assert again.report.findings
    assert again.source("peer.yaml") == first.source("peer.yaml") == PERMISSIVE
    assert again.source("other.yaml") is None
    assert len(entries(cache)) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda tree: (tree / "peer.yaml").write_text(PERMISSIVE.replace("DISABLE", "STRICT")),
        lambda tree: (tree / "peer.yaml").rename(tree / "renamed.yaml"),
        lambda tree: (tree / "more.yaml").write_text(PERMISSIVE),
    ],
    ids=["content", "name", "new file"],
)
def test_changed_inputs_are_linted(cache: Cache, tree: Path, change: object) -> None:
    lint(["."], cache=cache)
    change(tree)  # type: ignore[operator]
    assert lint(["."], cache=cache).report == lint(["."]).report
    assert len(entries(cache)) == 2


@pytest.mark.parametrize(
    "config",
    [
        Config(profile="strict"),
        Config(ignore=("mtls",)),
        config_from({"complete": ["shop", "pay"]}),
        config_from({"platform": "kyma"}),
        config_from({"options": {"retry-storm": {"max_attempts": 9}}}),
    ],
)
def test_another_configuration_is_another_run(cache: Cache, tree: Path, config: Config) -> None:
    lint(["."], cache=cache)
    assert lint(["."], config, cache=cache).report == lint(["."], config).report
    assert len(entries(cache)) == 2


def test_report_only_is_part_of_the_run(cache: Cache, tree: Path) -> None:
    lint(["."], cache=cache)
    assert lint(["."], report_only=["other.yaml"], cache=cache).report.findings == []


def test_a_rule_file_of_the_user_counts_by_its_content(cache: Cache, tree: Path) -> None:
    rule = tree / "own-rule.yml"
    built_in = (rules_directory() / "mtls" / "mtls-port-level-needs-selector.yaml").read_text("utf-8")
    text = built_in.replace("name: mtls-port-level-needs-selector", "name: own-rule", 1)
    config = replace(Config(), rule_files=("own-rule.yml",), root=tree)

    def own(linted: Linted) -> str:
        return next(f.severity for f in linted.report.findings if f.rule == "own-rule")

    for severity in ("error", "info"):
        rule.write_text(text.replace("severity: error", f"severity: {severity}", 1))
        assert own(lint(["."], config, cache=cache)) == severity


def test_damaged_and_foreign_entries_are_passed_over(cache: Cache, tree: Path) -> None:
    report = lint(["."], cache=cache).report
    (entry,) = cache.folder.iterdir()
    for damage in (b"", b"{", b"[]", b'{"version": 999}', b"\xff"):
        entry.write_bytes(damage)
        assert lint(["."], cache=cache).report == report


def test_a_folder_that_cannot_be_written_is_no_error(tree: Path) -> None:
    blocked = tree / "blocked"
    blocked.write_text("a file where the folder should be")
    assert lint(["."], cache=Cache(blocked)).report.findings


def test_reports_with_errors_are_not_kept(cache: Cache) -> None:
    cache.put("key", Report(errors=[RunError("broken")]))
    assert entries(cache) == []


def test_only_the_user_may_read_it_and_old_entries_go(cache: Cache) -> None:
    for number in range(KEPT + 5):
        cache.put(f"{number:03}", Report())
        os.utime(cache.folder / f"{number:03}.json", (number, number))
    kept = entries(cache)
    assert len(kept) <= KEPT + 1
    assert "000.json" not in kept
    if os.name == "posix":
        assert stat.S_IMODE((cache.folder / kept[-1]).stat().st_mode) == 0o600
        assert stat.S_IMODE(cache.folder.stat().st_mode) == 0o700


def test_keys_do_not_hang_on_the_process() -> None:
    program = (
        "from meshlint.cache import key_of; from meshlint.config import config_from;"
        "print(key_of('x', [], config_from({'complete': ['a', 'b', 'c', 'd'], 'platform': 'kyma'})))"
    )
    keys = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(keys) == 1
    assert key_of("x", []) != key_of("y", [])


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"MESHLINT_CACHE_DIR": "here"}, Path("here")),
        ({"XDG_CACHE_HOME": "caches"}, Path("caches/meshlint")),
        ({"MESHLINT_CACHE_DIR": ""}, None),
    ],
)
def test_where_it_is(environment: dict[str, str], folder: Path | None) -> None:
    cache = user_cache(environment)
    assert (cache.folder if cache else None) == folder
