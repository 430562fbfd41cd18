"""Do the examples of a rule show what they claim? (`meshlint test`, tests/test_examples.py)

A bad example is found on exactly the lines that end in `#!`; a good or fixed one is not found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from meshlint.config import config_from
from meshlint.findings import Finding, RunError
from meshlint.lint import lint_loaded, mesh_of
from meshlint.policy.rules import Example, Rule
from meshlint.policy.run import run
from meshlint.source.load import load_texts

MARK = "#!"
KINDS = ("bad", "good", "fixed")


def cases(rule: Rule) -> Iterator[tuple[Example, str]]:
    """Every example of a rule, once for each kind of manifests that it holds."""
    for example in rule.examples:
        for kind in KINDS:
            if getattr(example, kind) is not None:
                yield example, kind


def failures(rule: Rule, example: Example, kind: str, rules: Mapping[str, Rule]) -> list[str]:
    """What is wrong with one example; `rules` are all rules, for rules about suppressions."""
    files: dict[str, str] = getattr(example, kind)
    findings, errors = findings_of(rule, example, files, rules)
    found = {(f.location.file, f.location.start_line): f for f in findings}
    marked = set(_marked(files))
    wrong = [error.message for error in errors]
    wrong += [f"{file}:{line}: expected a finding here" for file, line in sorted(marked - found.keys())]
    for file, line in sorted(found.keys() - marked):
        wrong.append(f"{file}:{line}: found, but not marked with {MARK}: {found[file, line].message}")
    if kind == "bad" and not marked:
        wrong.append(f"a bad example marks at least one line with {MARK}")
    return wrong


def findings_of(
    rule: Rule, example: Example, files: dict[str, str], rules: Mapping[str, Rule]
) -> tuple[list[Finding], list[RunError]]:
    """What a rule finds in the files of one of its examples, in profile audit."""
    loaded = load_texts(files)
    config = replace(config_from(example.config), profile="audit", options={rule.name: example.options})
    if "builtin" not in rule.check:
        mesh = mesh_of(loaded, config)
        return run([rule], mesh, config.options, holds=mesh.holds)
    report = lint_loaded(loaded, config, rules).report
    return [f for f in report.active if f.rule == rule.name], []


def shape_failures(rule: Rule) -> list[str]:
    """What every rule owes its readers."""
    kinds = {kind for _, kind in cases(rule)}
    return [f"a {kind} example is missing" for kind in ("bad", "good") if kind not in kinds]


def _marked(files: dict[str, str]) -> Iterator[tuple[str, int]]:
    for name, text in files.items():
        for number, line in enumerate(text.splitlines(), 1):
            if line.rstrip().endswith(MARK):
                yield name, number
