"""Suppressions: what they reach, what they mean, and what is said about those that are of no use."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest

from meshlint.config import Config, PathRules
from meshlint.findings import Draft, Finding
from meshlint.lint import lint_loaded
from meshlint.policy.rules import Rule, load_rules, rule_from
from meshlint.source.load import Loaded
from meshlint.source.parse import parse

#: without `suppressions`, so that most texts here need no reasons
OWN = {
    name: rule for name, rule in load_rules().items() if "builtin" in rule.check and name != "suppressions"
}


def rule(name: str, family: str = "demo", equivalents: tuple[str, ...] = ()) -> Rule:
    """A rule whose check the fixture below provides: it finds every scalar with the name of the rule."""
    return rule_from(
        {
            "name": name, "family": family, "summary": "A word", "severity": "warning", "confidence": "high",
            "profile": "default", "check": {"python": f"demo.{name.replace('-', '_')}"},
            "equivalents": equivalents,
        }
    )  # fmt: skip


RULES = {
    **OWN,
    "first": rule("first", equivalents=("IST0101", "KIA1101")),
    "second": rule("second"),
    "third": rule("third", family="other"),
}


def findings_of(word: str):
    def check(mesh, options):
        for resource in mesh.scope.resources:
            for number, value in enumerate(resource.get("spec", "words") or ()):
                if word in value.text.split():
                    yield Draft(resource.place_at("spec", "words", number), f"{resource.title} says {word}")
            if resource.text("spec", "word") == word:
                yield Draft(resource.place_at("spec", "word"), f"{resource.title} says {word}")

    return check


@pytest.fixture(autouse=True)
def checks(monkeypatch):
    known = {name: findings_of(name) for name in ("first", "second", "third")}
    from meshlint.policy import run

    original = run.check_of
    monkeypatch.setattr(run, "check_of", lambda r: known.get(r.name) or original(r))


def lint(*texts: str, config: Config | None = None, **files: str) -> list[Finding]:
    named = {f"{number}.yaml": text for number, text in enumerate(texts)} | files
    loaded = Loaded([parse(name, dedent(text)) for name, text in named.items()])
    return lint_loaded(loaded, config or Config(), RULES).report.findings


def said(findings: list[Finding]) -> list[str]:
    """``rule@line``, with the kind of its suppression after it."""
    return [
        f"{f.rule}@{f.location.start_line}" + (f" {f.suppressed.kind}" if f.suppressed else "")
        for f in findings
    ]


def thing(body: str, annotations: str = "") -> str:
    head = "apiVersion: demo/v1\nkind: Thing\nmetadata:\n  name: a\n"
    if annotations:
        head += "  annotations:\n" + "".join(
            f"    {line}\n" for line in dedent(annotations).strip().splitlines()
        )
    return head + "spec:\n" + "".join(f"  {line}\n" for line in dedent(body).strip().splitlines())


def test_nothing_is_suppressed_without_a_suppression():
    assert said(lint(thing("word: first"))) == ["first@6"]


def test_comment_on_the_line():
    findings = lint(thing("word: first # meshlint: ignore[first] known and fine"))
    assert said(findings) == ["first@6 comment"]
    suppression = findings[0].suppressed
    assert suppression.reason == "known and fine"
    assert (suppression.location.start_line, suppression.location.start_column) == (6, 34)


@pytest.mark.parametrize(
    ("comment", "reason"),
    [
        ("# meshlint: ignore[first]", ""),
        ("#meshlint:ignore[first] x", "x"),
        ("# meshlint: ignore [ first , second ] x", "x"),
        ("# meshlint: ignore[first] - dashes are fine", "dashes are fine"),
        ("# meshlint: ignore[first]: colons too", "colons too"),
        ("# see below # meshlint: ignore[first] after another comment", "after another comment"),
    ],
)
def test_forms_of_the_comment(comment, reason):
    findings = [f for f in lint(thing(f"word: first {comment}")) if f.rule == "first"]
    assert findings[0].suppressed.reason == reason


def test_comment_reaches_only_its_line():
    body = """
        words: # meshlint: ignore[first] not here
          - first
    """
    assert said(lint(thing(body))) == ["unused-suppression@6", "first@7"]


def test_comment_above_an_entry_reaches_all_of_it():
    body = """
        # meshlint: ignore[first] all of them
        words:
          - first
          - first
        word: first
    """
    assert said(lint(thing(body))) == ["first@8 comment", "first@9 comment", "first@10"]


def test_comment_above_an_item_reaches_the_item():
    body = """
        words:
          # meshlint: ignore[first] this one
          - first
          - first
    """
    assert said(lint(thing(body))) == ["first@8 comment", "first@9"]


def test_comment_above_the_first_entry_of_a_mapping_reaches_that_entry_only():
    text = thing("# meshlint: ignore[first]\nword: first\nwords: [first]")
    assert said(lint(text)) == ["first@7 comment", "first@8"]


def test_comment_above_a_document_reaches_the_document():
    text = (
        "# meshlint: ignore[first] generated\n---\n" + thing("word: first") + "---\n" + thing("word: first")
    )
    assert said(lint(text)) == ["first@8 comment", "first@15"]


def test_stacked_comments_above_a_node():
    body = """
        # meshlint: ignore[first] one
        # about something else

        # meshlint: ignore[second] two
        words: [first, second]
    """
    assert said(lint(thing(body))) == ["first@10 comment", "second@10 comment"]


def test_comment_for_the_file():
    text = (
        "# meshlint: ignore-file[first] vendored\n"
        + thing("word: first")
        + "---\n"
        + thing("words: [first, second]")
    )
    findings = lint(text, thing("word: first"))
    assert said(findings) == ["first@7 comment", "first@14 comment", "second@14", "first@6"]


@pytest.mark.parametrize("name", ["first", "demo", "IST0101", "ist0101", "KIA1101", "*"])
def test_names_families_codes_and_everything(name):
    findings = lint(thing(f"word: first # meshlint: ignore[{name}] x"))
    assert said(findings) == ["first@6 comment"]


def test_a_hash_inside_of_text_is_no_comment():
    body = """
        words: ["first # meshlint: ignore[first]"]
        text: |
          # meshlint: ignore-file[first]
        folded: >-
          x # meshlint: nonsense
        word: first
    """
    assert said(lint(thing(body))) == ["first@6", "first@11"]


def test_the_head_of_a_block_scalar_may_carry_a_comment():
    body = """
        word: |- # meshlint: ignore[first] x
          first
    """
    assert said(lint(thing(body))) == ["first@6 comment"]


def test_a_hash_without_space_before_it_is_no_comment():
    assert said(lint(thing("word: first\nother: a#meshlint:ignore-file[first]"))) == ["first@6"]


def test_windows_line_ends():
    text = thing("# meshlint: ignore[first] x\nword: first").replace("\n", "\r\n")
    findings = lint(text)
    assert said(findings) == ["first@7 comment"]
    assert findings[0].suppressed.reason == "x"


def test_annotation_of_the_object():
    text = thing("word: first", 'meshlint.dev/ignore: "first: agreed with security; second, third: later"')
    findings = lint(text, RELATED)
    assert said(findings) == ["unused-suppression@6", "unused-suppression@6", "first@8 annotation", "first@6"]
    suppression = findings[2].suppressed
    assert suppression.reason == "agreed with security"
    assert (suppression.location.start_line, suppression.location.start_column) == (6, 27)


RELATED = thing("word: first").replace("name: a", "name: b")


def test_annotation_reaches_only_its_object():
    text = thing("word: first", "meshlint.dev/ignore: first") + "---\n" + RELATED
    assert said(lint(text)) == ["first@8 annotation", "first@15"]


def test_annotation_in_a_list():
    items = [thing("word: first", "meshlint.dev/ignore: first"), RELATED]
    indented = "".join("- " + item.replace("\n", "\n  ").rstrip() + "\n" for item in items)
    assert said(lint("apiVersion: v1\nkind: List\nitems:\n" + indented)) == [
        "first@11 annotation",
        "first@17",
    ]


def test_annotation_does_not_reach_another_version_of_the_object():
    text = thing("word: first", "meshlint.dev/ignore: first")
    assert said(lint(text, thing("word: first"))) == ["first@8 annotation", "first@6"]


@pytest.mark.parametrize("together", [True, False])
def test_annotation_reaches_findings_about_the_object_elsewhere(monkeypatch, together):
    """The line that decides may stand in another object."""

    def check(mesh, options):
        cause, victim = mesh.scope.resources
        yield Draft(cause.place_at("spec", "word"), "b suffers", resource=victim)

    from meshlint.policy import run

    monkeypatch.setattr(run, "check_of", lambda r: check if r.name == "first" else run._nothing)
    cause, victim = (
        thing("word: first"),
        RELATED.replace("name: b", "name: b\n  annotations: {meshlint.dev/ignore: first}"),
    )
    findings = lint(cause + "---\n" + victim) if together else lint(cause, victim)
    assert said(findings) == ["first@6 annotation"]


def test_annotation_of_a_pod_template_works():
    text = dedent(
        """
        apiVersion: apps/v1
        kind: Deployment
        metadata: {name: a}
        spec:
          word: first
          template:
            metadata:
              annotations: {meshlint.dev/ignore: "first: here"}
        """
    )
    assert said(lint(text)) == ["first@6 annotation"]


@pytest.mark.parametrize(
    ("annotation", "suppressed"),
    [
        ("galley.istio.io/analyze-suppress: IST0101", True),
        ('galley.istio.io/analyze-suppress: "IST0107, IST0101"', True),
        ('galley.istio.io/analyze-suppress: "*"', True),
        ("galley.istio.io/analyze-suppress: IST0107", False),
        ("galley.istio.io/analyze-suppress: KIA1101", False),
        ("kiali.io/ignore-validations: KIA1101", True),
        ('kiali.io/ignore-validations: ""', True),
        ("kiali.io/ignore-validations: KIA0101", False),
        ("galley.istio.io/analyze-suppress: first", False),
    ],
)
def test_annotations_of_peers_mean_what_the_peer_would_say(annotation, suppressed):
    """They are never called unused or unknown: they are written for another tool."""
    findings = lint(thing("word: first", annotation))
    assert said(findings) == ["first@8 annotation" if suppressed else "first@8"]


def test_annotations_of_peers_do_not_hide_what_the_peer_does_not_know():
    text = thing("words: [second]", 'galley.istio.io/analyze-suppress: "*"')
    assert said(lint(text)) == ["second@8"]


def test_paths_of_the_configuration(tmp_path: Path):
    config = Config(
        paths=(PathRules("legacy/**", ignore=("first",), reason="moves out", line=7),),
        file=".meshlint.yaml",
        root=Path(),
    )
    findings = lint(config=config, **{"legacy/a.yaml": thing("words: [first, second]"), "b.yaml": RELATED})
    assert said(findings) == ["first@6", "first@6 config", "second@6"]
    suppression = findings[1].suppressed
    assert (suppression.reason, suppression.location.file, suppression.location.start_line) == (
        "moves out",
        ".meshlint.yaml",
        7,
    )


def test_paths_may_choose_the_only_rules():
    config = Config(paths=(PathRules("*.yaml", select=("other",)),))
    assert said(lint(thing("words: [first, third]"), config=config)) == ["first@6 config", "third@6"]


def test_unused():
    findings = lint(thing("word: x # meshlint: ignore[first, second] x"))
    assert said(findings) == ["unused-suppression@6", "unused-suppression@6"]
    assert [f.location.start_column for f in findings] == [30, 37]
    assert findings[0].message == "the suppression of first suppresses nothing"


def test_unused_is_only_said_when_the_rule_ran():
    config = Config(ignore=("first",))
    assert said(lint(thing("word: x # meshlint: ignore[first] x"), config=config)) == []


def test_unused_is_not_said_in_a_file_that_does_not_parse():
    assert said(lint(thing("word: x # meshlint: ignore[first] x") + "---\n: : [\n")) == []


def test_unused_can_be_suppressed_itself():
    text = "# meshlint: ignore-file[unused-suppression] generated\n" + thing(
        "word: x # meshlint: ignore[first] x"
    )
    assert said(lint(text)) == ["unused-suppression@7 comment"]


def test_unknown_name():
    findings = lint(thing("word: x # meshlint: ignore[frist] x"))
    assert said(findings) == ["unknown-rule@6"]
    assert findings[0].message == (
        "the suppression names 'frist', but there is no rule or family named 'frist'; did you mean 'first'?"
    )


def test_unknown_code():
    findings = lint(thing("word: x # meshlint: ignore[IST0999] x"))
    assert findings[0].message == "the suppression names 'IST0999', but no rule answers for the code IST0999"


@pytest.mark.parametrize(
    "comment",
    ["# meshlint: disable=first", "# meshlint: ignore first", "# meshlint: ignore-next-line[first]"],
)
def test_comment_that_is_not_understood(comment):
    findings = lint(thing(f"word: first {comment}"))
    assert sorted(said(findings)) == ["first@6", "unknown-rule@6"]
    assert "# meshlint: ignore" in next(f for f in findings if f.rule == "unknown-rule").help


def test_skipped_files_are_not_read():
    loaded = Loaded([parse("a.yaml", thing("word: x # meshlint: ignore[frist]"))])
    loaded.files[0].skipped = "helm-template"
    assert lint_loaded(loaded, Config(), RULES).report.findings == []


def test_low_confidence_findings_count_as_use():
    rules = {**RULES, "first": replace(RULES["first"], info=replace(RULES["first"].info, confidence="low"))}
    loaded = Loaded([parse("a.yaml", thing("word: first # meshlint: ignore[first] x"))])
    assert lint_loaded(loaded, Config(), rules).report.findings == []


def test_suppressions_without_a_reason(monkeypatch):
    monkeypatch.setitem(RULES, "suppressions", load_rules()["suppressions"])
    text = """
        kind: Thing
        apiVersion: demo/v1
        metadata:
          name: a
          annotations:
            meshlint.dev/ignore: "third"
            galley.istio.io/analyze-suppress: IST0101
        spec:
          words:
            - first # meshlint: ignore[first]
            - second # meshlint: ignore[second] a reason
            - first second # meshlint: ignore[first,second]
            - third
    """
    assert [line for line in said(lint(text)) if line.startswith("suppressions")] == [
        "suppressions@7",
        "suppressions@11",
        "suppressions@13",
    ]
