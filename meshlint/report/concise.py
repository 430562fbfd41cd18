"""One line per finding: ``file:line:column: severity[rule] message``."""

from __future__ import annotations

from meshlint.findings import Report
from meshlint.report import Sources
from meshlint.report.printable import one_line


def render(report: Report, sources: Sources, *, color: bool = False, root: str = "") -> str:
    return "".join(
        f"{one_line(f.location.file)}:{f.location.start_line}:{f.location.start_column}: "
        f"{f.severity}[{f.rule}] {one_line(f.message)}\n"
        for f in sorted(report.active, key=lambda finding: finding.sort_key)
    )
