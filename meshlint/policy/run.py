"""Rules x mesh -> findings. A rule that crashes is reported, and the others run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from importlib import import_module
from typing import Any

from meshlint.findings import CONFIDENCES, Draft, Finding, RunError, confidence_of, resolve
from meshlint.policy.rules import Rule, RuleError

Check = Callable[[Any, Mapping[str, Any]], Iterator[Draft]]


def run(
    rules: Iterable[Rule],
    mesh: Any,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    *,
    holds: Callable[[str], bool] | None = None,
    confidences: Collection[str] = CONFIDENCES,
) -> tuple[list[Finding], list[RunError]]:
    """Run the rules over one mesh; `options` are the user's per rule name, over the defaults.

    `holds` says whether the mesh has objects of a kind: rules that name kinds need one of theirs.
    Only findings of the `confidences` are wanted.
    """
    found: list[tuple[Rule, Draft, Finding]] = []
    errors: list[RunError] = []
    rules = tuple(rules)
    for done, rule in enumerate(rules):
        if progress:
            progress(rule.name, done, len(rules))
        if not _may_find(rule, holds, confidences):
            continue
        settings = {**rule.defaults, **((options or {}).get(rule.name, {}))}
        try:
            for draft in check_of(rule)(mesh, settings):
                if confidence_of(draft, rule.info) in confidences:
                    found.append((rule, draft, resolve(draft, rule.info, rule.fix)))  # noqa: PERF401
        except RuleError as error:
            errors.append(RunError(str(error), rule=rule.name))
        except Exception as error:  # a crash in one rule must not stop the others
            errors.append(RunError(f"rule {rule.name} crashed: {_where(error)}", rule=rule.name))
    return _refined(found), errors


def _may_find(rule: Rule, holds: Callable[[str], bool] | None, confidences: Collection[str]) -> bool:
    """Could the rule find anything here that is wanted? Confidences are those of the rule or lower."""
    if holds is not None and rule.kinds and not any(map(holds, rule.kinds)):
        return False
    return not set(CONFIDENCES[CONFIDENCES.index(rule.info.confidence) :]).isdisjoint(confidences)


def check_of(rule: Rule) -> Check:
    """The function that a rule file names: ``mtls.permissive`` is `meshlint.checks.mtls.permissive`."""
    if "builtin" in rule.check:
        return _nothing
    if "cel" in rule.check:
        raise RuleError(f"rule {rule.name}: CEL expressions are not supported by this version of meshlint")
    name = rule.check.get("python", "")
    module, _, function = name.rpartition(".")
    try:
        check: Check = vars(import_module(f"meshlint.checks.{module}"))[function]
    except (ImportError, KeyError) as error:
        raise RuleError(f"rule {rule.name}: there is no check named {name!r}") from error
    return check


def _refined(found: list[tuple[Rule, Draft, Finding]]) -> list[Finding]:
    """Without findings at a node of which a more specific rule says the same better (`refines`)."""
    said = {
        (name, _spot(draft, finding))
        for rule, draft, finding in found
        if rule.refines and finding.confidence != "low"
        for name in rule.refines
    }
    if not said:
        return [finding for _, _, finding in found]
    return [f for rule, draft, f in found if (rule.name, _spot(draft, f)) not in said]


def _spot(draft: Draft, finding: Finding) -> tuple[int, str, int]:
    """The node that a finding is about: its document, the path inside of it, and the line.

    A key and its value are one node. Nodes of YAML that is embedded in a text share the path of that text.
    """
    document = getattr(getattr(draft.place, "resource", None), "document", None)
    return id(document), finding.location.path, finding.location.start_line


def _nothing(mesh: Any, options: Mapping[str, Any]) -> Iterator[Draft]:
    """The pipeline itself speaks for this rule."""
    return iter(())


def _where(error: Exception) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    at = f" at {trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}" if trace else ""
    return f"{type(error).__name__}: {error}{at}"
