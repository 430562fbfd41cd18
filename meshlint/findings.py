"""What a check says (Draft) and what a report prints (Finding).

A Draft names symbolic places; `resolve` turns it into a Finding, which is plain data: it can be
written as JSON and read back, and reports need nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any, Final

from meshlint.records import dataclass

if TYPE_CHECKING:
    from meshlint.resources import Place, Resource, TextPlace
    from meshlint.source.files import SourceFile

SEVERITIES: Final = ("error", "warning", "info")
CONFIDENCES: Final = ("high", "medium", "low")


@dataclass(frozen=True, slots=True)
class Draft:
    """One defect as a check sees it. `place` decides the primary span, `label` is shown under it.

    `confidence` may only lower that of the rule; `equivalents` (peers' codes for this very finding)
    and `severity` replace those of the rule where given.
    """

    place: Place | TextPlace
    message: str
    label: str = ""
    help: str = ""
    related: tuple[tuple[str, Place | TextPlace], ...] = ()
    resource: Resource | None = None
    confidence: str | None = None
    severity: str | None = None
    equivalents: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Location:
    """A span of a file: 1-based lines and columns (characters), `end_column` exclusive.

    `path` is the JSON pointer of the node inside its document, '' where there is none.
    """

    file: str
    path: str
    start_line: int
    start_column: int
    end_line: int
    end_column: int


@dataclass(frozen=True, slots=True)
class Related:
    label: str
    location: Location


@dataclass(frozen=True, slots=True)
class ResourceRef:
    """Whom a finding is about; `namespace` None for cluster-scoped kinds."""

    api_version: str
    kind: str
    namespace: str | None
    name: str

    @property
    def title(self) -> str:
        """How reports call it: ``Deployment shop/cart``."""
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Suppression:
    """Why a finding is not counted: `kind` is comment, annotation, config or baseline."""

    kind: str
    reason: str
    location: Location | None = None


@dataclass(frozen=True, slots=True)
class Fix:
    safety: str
    title: str


@dataclass(frozen=True, slots=True)
class Finding:
    rule: str
    family: str
    severity: str
    confidence: str
    message: str
    location: Location
    label: str = ""
    help: str = ""
    resource: ResourceRef | None = None
    related: tuple[Related, ...] = ()
    equivalents: tuple[str, ...] = ()
    fix: Fix | None = None
    suppressed: Suppression | None = None

    @property
    def sort_key(self) -> tuple[Any, ...]:
        at = self.location
        return (at.file, at.start_line, at.start_column, self.rule, self.message)


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that was recognised and left out; `reason` is a word such as ``helm-template``."""

    file: str
    reason: str


@dataclass(frozen=True, slots=True)
class RunError:
    """Something that kept a part of the job from being done: unreadable input, a crashed rule."""

    message: str
    file: str | None = None
    rule: str | None = None


@dataclass(frozen=True, slots=True)
class RuleInfo:
    """What a report tells about a rule."""

    name: str
    family: str
    summary: str
    severity: str
    confidence: str
    profile: str
    why: str = ""
    equivalents: tuple[str, ...] = ()
    controls: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    fixable: bool = False


@dataclass(slots=True)
class Report:
    """The result of a run: everything that any output format needs."""

    findings: list[Finding] = field(default_factory=list)
    errors: list[RunError] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    files: int = 0
    documents: int = 0
    resources: int = 0
    rules: dict[str, RuleInfo] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)

    @property
    def active(self) -> list[Finding]:
        """Findings that are not suppressed."""
        return [f for f in self.findings if f.suppressed is None]

    def count(self, severity: str) -> int:
        return sum(1 for f in self.findings if f.suppressed is None and f.severity == severity)

    @property
    def suppressed(self) -> int:
        return sum(1 for f in self.findings if f.suppressed is not None)


@dataclass(slots=True)
class Linted:
    """The report, and `source`: the text of an input by its path, for reports that show it."""

    report: Report
    source: Callable[[str], str | None]


def resolve(draft: Draft, rule: RuleInfo, fix: Fix | None = None) -> Finding:
    """Turn symbolic places into lines and columns."""
    resource: Resource | None = draft.resource or getattr(draft.place, "resource", None)
    return Finding(
        rule=rule.name,
        family=rule.family,
        severity=draft.severity or rule.severity,
        confidence=confidence_of(draft, rule),
        message=draft.message,
        location=locate(draft.place),
        label=draft.label,
        help=draft.help,
        resource=reference(resource) if resource is not None else None,
        related=tuple(Related(label, locate(place)) for label, place in draft.related),
        equivalents=rule.equivalents if draft.equivalents is None else draft.equivalents,
        fix=fix,
    )


def confidence_of(draft: Draft, rule: RuleInfo) -> str:
    """That of the rule, unless the draft lowers it."""
    if draft.confidence is None:
        return rule.confidence
    return max(rule.confidence, draft.confidence, key=CONFIDENCES.index)


def reference(resource: Resource) -> ResourceRef:
    return ResourceRef(resource.api_version, resource.kind, resource.namespace, resource.name)


def locate(place: Place | TextPlace) -> Location:
    """The span of a place; block scalars and collections end where their last content ends."""
    from meshlint.resources import TextPlace

    if isinstance(place, TextPlace):
        return span(place.file, place.start, place.end)
    resource = place.resource
    start, end = place.offsets
    return span(resource.file, start, end, resource.document.pointer(place.node))


def span(file: SourceFile, start: int, end: int, path: str = "") -> Location:
    """Offsets -> Location; trailing white space is not part of a span, and a span is never empty."""
    text = file.text
    while end > start + 1 and text[end - 1] in " \t\r\n":
        end -= 1
    end = max(end, start + 1)
    start_line, start_column = file.position(start)
    end_line, end_column = file.position(end)
    if end_line > start_line and end_column == 1:
        end_line -= 1
        end_column = len(file.line(end_line)) + 1
    return Location(file.path, path, start_line, start_column, end_line, max(end_column, 1))


def suppress(finding: Finding, suppression: Suppression) -> Finding:
    return replace(finding, suppressed=suppression)
