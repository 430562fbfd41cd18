"""The index of the built-in rules says what their files say."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace

import pytest

from meshlint.policy.index import INDEX, build_index, built_in_rules
from meshlint.policy.rules import load_rules, rules_directory


@pytest.fixture
def rules(tmp_path):
    folder = tmp_path / "rules"
    shutil.copytree(rules_directory() / "hygiene", folder / "hygiene")
    index = folder / INDEX
    index.write_text(build_index(folder), "utf-8")
    for path in folder.rglob("*"):
        os.utime(path, (1000, 1000))
    os.utime(index, (2000, 2000))
    return folder


def test_the_index_says_what_the_files_say():
    written = {name: replace(rule, examples=()) for name, rule in load_rules().items()}
    assert {name: replace(rule, examples=()) for name, rule in built_in_rules().items()} == written


def test_a_fresh_index_is_used(rules):
    index = rules / INDEX
    index.write_text(
        index.read_text("utf-8").replace("Suppression that suppresses nothing", "From the index")
    )
    os.utime(index, (2000, 2000))
    assert built_in_rules(rules)["unused-suppression"].info.summary == "From the index"


def test_a_file_that_changed_is_read_itself(rules):
    path = rules / "hygiene/unused-suppression.yaml"
    path.write_text(path.read_text("utf-8").replace("Suppression that suppresses nothing", "From the file"))
    assert built_in_rules(rules)["unused-suppression"].info.summary == "From the file"


def test_new_and_removed_files(rules):
    (rules / "hygiene/unused-suppression.yaml").unlink()
    text = (rules / "hygiene/unknown-rule.yaml").read_text("utf-8")
    (rules / "hygiene/another.yaml").write_text(text.replace("name: unknown-rule", "name: another"))
    found = built_in_rules(rules)
    assert "unused-suppression" not in found
    assert {"unknown-rule", "another"} <= found.keys()


@pytest.mark.parametrize("text", [None, "", "{", json.dumps({"other": 1})])
def test_without_a_usable_index_all_files_are_read(rules, text):
    if text is None:
        (rules / INDEX).unlink()
    else:
        (rules / INDEX).write_text(text)
    assert "unused-suppression" in built_in_rules(rules)
