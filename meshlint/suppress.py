"""Which findings did somebody accept, where, and why? (design section 3)

Four ways to say so: a comment on a line, above a node or for a file; the annotation
`meshlint.dev/ignore` of an object; the annotations of istioctl and Kiali (spec istioctl-analyze 1,
kiali-validations 2), which mean only what those tools would have said; and `paths` of the
configuration. Suppressed findings stay in the report.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from typing import Final

from meshlint.config import Config, PathRules
from meshlint.findings import Draft, Finding, Location, ResourceRef, Suppression, reference, span
from meshlint.mesh.workloads import POD_TEMPLATES
from meshlint.policy.names import Names, closest
from meshlint.records import dataclass
from meshlint.resources import Resource, TextPlace
from meshlint.source.discover import Excluded
from meshlint.source.files import SourceFile
from meshlint.source.nodes import Mapping, Node, Scalar, Sequence

ANNOTATION: Final = "meshlint.dev/ignore"
ISTIOCTL: Final = "galley.istio.io/analyze-suppress"
KIALI: Final = "kiali.io/ignore-validations"

#: rules about suppressions speak after all others, so a suppression of theirs cannot be judged
OWN_RULES: Final = frozenset(("unused-suppression", "unknown-rule", "suppressions"))

_MARK = "meshlint:"
_COMMENT = re.compile(r"#[ \t]*meshlint:[ \t]*(?P<words>[^\r\n]*)")
_WORDS = re.compile(
    r"(?P<verb>ignore-file|ignore)[ \t]*\[(?P<names>[^\]]*)\][ \t]*(?:[-:—]+[ \t]*)?(?P<reason>.*)"
)
_NAME = re.compile(r"[^,\s]+")
_NOTHING_TO_SUPPRESS = re.compile(r"[ \t]*(?:#.*|---.*|%.*)?\r?$")

EVERYWHERE = 1 << 60


@dataclass(slots=True, eq=False)
class Entry:
    """One name of one suppression: `start` to `end` is where it is written.

    It holds for the findings that begin in the lines `first` to `last` of its file, and, from an
    annotation, for those about its object (`about`) that begin in no version of that object.
    """

    kind: str
    name: str
    reason: str
    file: SourceFile
    start: int
    end: int
    first: int
    last: int
    about: Resource | None = None
    #: for the annotations of peers: the prefix of the codes that they can mean
    peer: str = ""
    used: bool = False


@dataclass(frozen=True, slots=True)
class Misread:
    """A comment that speaks to meshlint and is not understood."""

    place: TextPlace
    message: str
    help: str


class Suppressor:
    """All suppressions of a run. `apply` marks findings, and remembers which suppression was of use."""

    def __init__(
        self, files: Iterable[SourceFile], resources: Iterable[Resource], names: Names, config: Config
    ) -> None:
        self.names = names
        self.config = config
        self.misread: list[Misread] = []
        self.entries: list[Entry] = []
        resources = list(resources)
        marked = {file for file in files if not file.skipped and _speaks(file.text)}
        for file in marked:
            self._read_comments(file)
        if marked:
            for resource in resources:
                if resource.file in marked:
                    self.entries.extend(_annotations(resource))
        self._by_file: dict[str, list[Entry]] = defaultdict(list)
        self._by_object: dict[ResourceRef, list[Entry]] = defaultdict(list)
        for entry in self.entries:
            self._by_file[entry.file.path].append(entry)
            if entry.about is not None:
                self._by_object[reference(entry.about)].append(entry)
        self._versions = _extents(resources, self._by_object)
        self._paths = [(rules, Excluded((rules.pattern,), config.root)) for rules in config.paths]
        self._path_rules: dict[str, list[PathRules]] = {}

    def apply(self, findings: Iterable[Finding]) -> list[Finding]:
        """The findings, those that are suppressed with the reason."""
        if not self.entries and not self._paths:
            return list(findings)
        return [self._judged(finding) for finding in findings]

    def unused(self, ran: frozenset[str]) -> Iterator[Draft]:
        """Suppressions of meshlint's own that suppressed nothing, though the rules they name ran."""
        for entry in self.entries:
            meant = self.names.meaning(entry.name)
            judged = meant and meant <= ran and not meant & OWN_RULES
            if entry.used or entry.peer or not judged or _broken(entry.file):
                continue
            yield Draft(
                TextPlace(entry.file, entry.start, entry.end),
                f"the suppression of {entry.name} suppresses nothing",
                label=f"no finding of {entry.name} here",
                help=_HELP_UNUSED.get(entry.kind, ""),
            )

    def unexplained(self) -> Iterator[Draft]:
        """Suppressions of meshlint's own that suppress something and do not say why, one per line."""
        seen = set()
        for entry in self.entries:
            line = (entry.file.path, entry.file.position(entry.start)[0])
            if not entry.used or entry.peer or entry.reason or line in seen:
                continue
            seen.add(line)
            yield Draft(
                TextPlace(entry.file, entry.start, entry.end),
                f"policy: the suppression of {entry.name} gives no reason",
                label="no reason",
                help=_HELP_UNEXPLAINED.get(entry.kind, ""),
            )

    def unknown(self) -> Iterator[Draft]:
        """Suppressions that name no rule, and comments that are not understood."""
        for entry in self.entries:
            if not entry.peer and entry.name != "*" and not self.names.meaning(entry.name):
                near = self.names.suggestion(entry.name)
                yield Draft(
                    TextPlace(entry.file, entry.start, entry.end),
                    f"the suppression names {entry.name!r}, but {self.names.complaint(entry.name)}",
                    label="no such rule",
                    help=f"write {near}" if near else "`meshlint rules` lists the rules",
                )
        for misread in self.misread:
            yield Draft(misread.place, misread.message, label="not understood", help=misread.help)

    def _judged(self, finding: Finding) -> Finding:
        if finding.suppressed is not None:
            return finding
        entries = [entry for entry in self._entries_for(finding) if self._means(entry, finding)]
        for entry in entries:
            entry.used = True
        if entries:
            first = entries[0]
            at = span(first.file, first.start, first.end)
            return replace(finding, suppressed=Suppression(first.kind, first.reason, at))
        return self._judged_by_path(finding)

    def _entries_for(self, finding: Finding) -> Iterator[Entry]:
        line = finding.location.start_line
        for entry in self._by_file.get(finding.location.file, ()):
            if entry.first <= line <= entry.last:
                yield entry
        about = finding.resource
        if about is None or about not in self._by_object:
            return
        path = finding.location.file
        if not any(at == path and first <= line <= last for at, first, last in self._versions[about]):
            yield from self._by_object[about]

    def _means(self, entry: Entry, finding: Finding) -> bool:
        if entry.peer:
            codes = [code for code in finding.equivalents if code.startswith(entry.peer)]
            return bool(codes) if entry.name == "*" else entry.name.upper() in codes
        return self.names.covers(entry.name, finding)

    def _judged_by_path(self, finding: Finding) -> Finding:
        for rules in self._rules_of_path(finding.location.file):
            ignored = any(self.names.covers(name, finding) for name in rules.ignore)
            chosen = not rules.select or any(self.names.covers(name, finding) for name in rules.select)
            if ignored or not chosen:
                at = (
                    Location(self.config.file or "", "", rules.line, 1, rules.line, 1) if rules.line else None
                )
                return replace(finding, suppressed=Suppression("config", rules.reason, at))
        return finding

    def _rules_of_path(self, path: str) -> list[PathRules]:
        if not self._paths:
            return []
        known = self._path_rules.get(path)
        if known is None:
            known = self._path_rules[path] = [rules for rules, matches in self._paths if matches(path)]
        return known

    def _read_comments(self, file: SourceFile) -> None:
        if _MARK not in file.text:
            return
        scalars = _Scalars(file)
        for match in _COMMENT.finditer(file.text):
            if _begins_comment(file.text, match.start()) and not scalars.hold(match.start()):
                self._read_comment(file, match)

    def _read_comment(self, file: SourceFile, match: re.Match[str]) -> None:
        words = _WORDS.match(file.text, match.start("words"), match.end("words"))
        if words is None:
            self.misread.append(_misread(file, match))
            return
        first, last = _reach(file, match.start(), words["verb"])
        for name in _NAME.finditer(file.text, words.start("names"), words.end("names")):
            self.entries.append(
                Entry(
                    "comment", name[0], words["reason"].strip(), file, name.start(), name.end(), first, last
                )
            )


_HELP_UNUSED: Final = {
    "comment": "remove the comment, or put it on the line of the finding or above its node",
    "annotation": "remove it from the annotation",
}

_HELP_UNEXPLAINED: Final = {
    "comment": "write the reason behind the bracket: `# meshlint: ignore[rule-name] reason`",
    "annotation": 'write the reason behind the name: "rule-name: reason"',
}


def _speaks(text: str) -> bool:
    return _MARK in text or ANNOTATION in text or ISTIOCTL in text or KIALI in text


def _broken(file: SourceFile) -> bool:
    """Documents that could not be read have no findings, so nothing can be said to be unused."""
    return any(problem.rule == "yaml-syntax" for problem in file.problems)


def _begins_comment(text: str, offset: int) -> bool:
    return offset == 0 or text[offset - 1] in " \t\r\n"


class _Scalars:
    """The quoted and block scalars of a file: a `#` inside of one begins no comment."""

    def __init__(self, file: SourceFile) -> None:
        self.spans: list[tuple[int, int]] = []
        for document in file.documents:
            if document.root is not None:
                self._collect(document.root, file.text)

    def hold(self, offset: int) -> bool:
        return any(start <= offset < end for start, end in self.spans)

    def _collect(self, root: Node, text: str) -> None:
        stack: list[Node] = [root]
        while stack:
            node = stack.pop()
            if isinstance(node, Scalar):
                if _MARK in node.text:
                    header = text.find("\n", node.start) if node.style in ("|", ">") else node.start
                    self.spans.append((header, node.end))
            elif isinstance(node, Mapping):
                for pair in node.items:
                    stack.extend(pair)
            else:
                stack.extend(node.items)


def _misread(file: SourceFile, match: re.Match[str]) -> Misread:
    place = TextPlace(file, match.start(), match.end())
    verb = match["words"].split("[")[0].split()
    near = closest(verb[0], ("ignore", "ignore-file")) if verb else None
    example = f"# meshlint: {near or 'ignore'}[rule-name] reason"
    return Misread(place, f"this comment is not understood: {match[0].strip()!r}", f"write it as `{example}`")


def _reach(file: SourceFile, offset: int, verb: str) -> tuple[int, int]:
    """The lines that a comment speaks about."""
    if verb == "ignore-file":
        return 1, EVERYWHERE
    line, column = file.position(offset)
    if file.line(line)[: column - 1].strip():
        return line, line
    target = _next_line(file, line)
    return _extent(file, target) if target else (line, line)


def _next_line(file: SourceFile, line: int) -> int | None:
    """The next line with content."""
    for number in range(line + 1, len(file.line_starts) + 1):
        if not _NOTHING_TO_SUPPRESS.match(file.line(number)):
            return number
    return None


def _extent(file: SourceFile, line: int) -> tuple[int, int]:
    """First and last line of what starts on a line: a document, an entry of a mapping, an item of a list."""
    start = file.line_starts[line - 1]
    stop = start + len(file.line(line))
    for document in file.documents:
        if document.root is not None and document.root.start < stop and start < document.root.end:
            bounds = _starting(document.root, start, stop)
            if bounds is not None:
                return line, _last_line(file, *bounds)
    return line, line


def _starting(root: Node, start: int, stop: int) -> tuple[int, int] | None:
    """The outermost whole, entry or item that starts between two offsets."""
    if root.start >= start:
        return root.start, root.end
    node: Node | None = root
    while node is not None:
        inner: Node | None = None
        for first, last, below in _parts(node):
            if start <= first < stop:
                return first, last
            if first < start < last:
                inner = below
        node = inner
    return None


def _parts(node: Node) -> Iterator[tuple[int, int, Node]]:
    if isinstance(node, Mapping):
        for key, value in node.items:
            yield key.start, max(key.end, value.end), value
    elif isinstance(node, Sequence):
        for item in node.items:
            yield item.start, item.end, item


def _last_line(file: SourceFile, start: int, end: int) -> int:
    text = file.text
    while end > start and text[end - 1] in " \t\r\n":
        end -= 1
    return file.position(max(end - 1, start))[0]


def _extents(
    resources: Iterable[Resource], wanted: Collection[ResourceRef]
) -> dict[ResourceRef, list[tuple[str, int, int]]]:
    """File, first and last line of every version of some objects."""
    found: dict[ResourceRef, list[tuple[str, int, int]]] = defaultdict(list)
    for resource in resources if wanted else ():
        about = reference(resource)
        if about in wanted:
            found[about].append((resource.file.path, *_lines(resource)))
    return found


def _lines(resource: Resource) -> tuple[int, int]:
    file, root = resource.file, resource.root
    return file.position(root.start)[0], _last_line(file, root.start, root.end)


def _annotations(resource: Resource) -> Iterator[Entry]:
    """The suppressions in the annotations of an object and of its pod template."""
    holders: list[Node | None] = [resource.metadata]
    template = POD_TEMPLATES.get((resource.group, resource.kind))
    if template:
        holders.append(resource.get(*template, "metadata"))
    for holder in holders:
        annotations = holder.get("annotations") if isinstance(holder, Mapping) else None
        if isinstance(annotations, Mapping):
            for key, read in _READERS.items():
                value = annotations.get(key)
                if isinstance(value, Scalar):
                    yield from _entries(resource, value, read)


def _entries(resource: Resource, value: Scalar, read: _Reader) -> Iterator[Entry]:
    file = resource.file
    first, last = _lines(resource)
    at = value.start
    for name, reason, peer in read(value.text):
        found = file.text.find(name, at, value.end)
        start, end = (found, found + len(name)) if found >= 0 else (value.start, value.end)
        at = end if found >= 0 else at
        yield Entry("annotation", name, reason, file, start, end, first, last, resource, peer)


_Reader = Callable[[str], Iterator[tuple[str, str, str]]]


def _own(text: str) -> Iterator[tuple[str, str, str]]:
    """``rule-name: reason; other, third: reason``"""
    for part in text.split(";"):
        names, _, reason = part.partition(":")
        for name in _NAME.findall(names):
            yield name, reason.strip(), ""


def _istioctl(text: str) -> Iterator[tuple[str, str, str]]:
    for code in _NAME.findall(text):
        yield code, f"annotation {ISTIOCTL}", "IST"


def _kiali(text: str) -> Iterator[tuple[str, str, str]]:
    for code in _NAME.findall(text) or ["*"]:
        yield code, f"annotation {KIALI}", "KIA"


_READERS: Final[dict[str, _Reader]] = {ANNOTATION: _own, ISTIOCTL: _istioctl, KIALI: _kiali}
