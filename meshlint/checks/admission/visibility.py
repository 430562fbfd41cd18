"""Which `exportTo` lists does Istio's validation refuse? (spec schemas 3.3, traffic 1.2)"""

from __future__ import annotations

from collections.abc import Iterator

from meshlint.checks.admission.blocks import Block, refused
from meshlint.checks.admission.grammar import label_problem
from meshlint.findings import Draft


def export_to(block: Block, nobody: bool = False) -> Iterator[Draft]:
    """The list of a spec; `nobody`: the kind knows ``~``, and that alone."""
    if "exportTo" not in block.node.index:
        return
    entries = list(block.texts("exportTo"))
    own = block.resource.ns if block.resource.namespace_written else ""
    seen: set[str] = set()
    for item, text in entries:
        meant = own if own and text == "." else text
        problem = (
            f"is there twice{'' if meant == text else f', as {own} and as a dot'}" if meant in seen else ""
        )
        problem = problem or entry_problem(text, nobody, alone=len(entries) == 1)
        seen.add(meant)
        if problem:
            yield refused(
                block.resource.place(item),
                f"has the exportTo entry {text!r}, which {problem}",
                problem,
                'export to ".", to "*" alone, or to namespaces by name',
            )


def entry_problem(text: str, nobody: bool, alone: bool) -> str:
    """Why one entry is refused; '' where it is not."""
    if text == "~":
        if not nobody:
            return "is for ServiceEntries only"
        return "" if alone else "means nobody and stands beside others"
    if text == "*":
        return "" if alone else "means everybody and stands beside others"
    return "" if text == "." or not label_problem(text) else "is neither ., * nor a namespace"
