"""How often did each rule and each family speak? (the table of ``--statistics``)"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from meshlint.findings import SEVERITIES, Report


def statistics(report: Report) -> str:
    """Counts per rule, most severe and most frequent first, then per family."""
    active = report.active
    rules = Counter((f.severity, f.rule, f.family) for f in active)
    families = Counter(f.family for f in active)
    rows = [
        (str(count), severity, rule, family)
        for (severity, rule, family), count in sorted(
            rules.items(), key=lambda item: (SEVERITIES.index(item[0][0]), -item[1], item[0][1])
        )
    ]
    totals = [(str(count), family) for family, count in sorted(families.items(), key=lambda i: (-i[1], i[0]))]
    return _table(("count", "severity", "rule", "family"), rows) + "\n" + _table(("count", "family"), totals)


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = []
    for row in [head, *rows]:
        cells = [row[0].rjust(widths[0]), *(c.ljust(w) for c, w in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip() + "\n")
    return "".join(lines)
