"""A rule that names kinds has nothing to find where the input holds none of them, so it need not run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from meshlint.config import Config, config_from
from meshlint.examples import cases
from meshlint.lint import mesh_of
from meshlint.mesh.mesh import Mesh
from meshlint.policy.rules import Example, Rule, load_rules
from meshlint.policy.run import check_of, run
from meshlint.source.load import load, load_texts
from tests.support import corpus

RULES = load_rules()
GATED = {name: rule for name, rule in RULES.items() if rule.kinds}
KINDS = sorted({rule.kinds for rule in GATED.values()})
EXAMPLES = Path(__file__).parent.parent.parent / "examples"


def mesh_of_example(example: Example, kind: str) -> Mesh:
    config = replace(config_from(example.config), profile="audit")
    return mesh_of(load_texts(getattr(example, kind)), config)


def without(mesh: Mesh, kinds: tuple[str, ...]) -> Mesh:
    """The same input less all objects of some kinds."""
    left, files = list(mesh.scope.resources), mesh.files
    if "Workload" in kinds:
        pods = {id(workload.resource) for workload in mesh.workloads.all}
        left = [resource for resource in left if id(resource) not in pods]
    if "MeshConfig" in kinds:
        made = {id(source.resource) for source in mesh.config.sources}
        left, files = [resource for resource in left if id(resource) not in made], ()
    return Mesh([resource for resource in left if resource.kind not in kinds], mesh.settings, files)


def findings(rule: Rule, mesh: Mesh, example: Example | None = None) -> list[str]:
    options = {**rule.defaults, **(example.options if example else {})}
    return [draft.message for draft in check_of(rule)(mesh, options)]


@pytest.mark.parametrize("rule", GATED.values(), ids=GATED)
def test_no_example_is_found_without_the_kinds(rule: Rule):
    for example, kind in cases(rule):
        mesh = mesh_of_example(example, kind)
        assert kind != "bad" or any(map(mesh.holds, rule.kinds)), example.name
        assert findings(rule, without(mesh, rule.kinds), example) == [], example.name


@pytest.mark.parametrize("kinds", KINDS, ids="-".join)
def test_nothing_is_found_without_the_kinds(kinds: tuple[str, ...]):
    for folder in (EXAMPLES, corpus()):
        mesh = without(mesh_of(load([str(folder)]), Config()), kinds)
        for rule in GATED.values():
            if rule.kinds == kinds:
                assert findings(rule, mesh) == [], rule.name


def test_rules_that_are_left_out_find_nothing_in_the_examples_of_others():
    for rule in RULES.values():
        for example, kind in cases(rule):
            mesh = mesh_of_example(example, kind)
            for other in GATED.values():
                if not any(map(mesh.holds, other.kinds)):
                    assert findings(other, mesh) == [], (rule.name, example.name, other.name)


def test_a_check_is_not_even_loaded_without_the_kinds():
    rule = replace(RULES["mtls-permissive"], check={"python": "no.such"}, kinds=("PeerAuthentication",))
    mesh = Mesh(())
    assert run([rule], mesh, holds=mesh.holds) == ([], [])
    assert len(run([rule], mesh)[1]) == 1


def test_only_findings_of_the_confidences_that_are_wanted():
    rules = list(RULES.values())
    mesh = mesh_of(load([str(EXAMPLES)]), Config())
    found = run(rules, mesh)[0]
    for wanted in (("high",), ("high", "medium"), ("low",)):
        assert run(rules, mesh, confidences=wanted)[0] == [f for f in found if f.confidence in wanted]
