"""A file of route tests -> Suite, or what is wrong with it, each complaint with its line.

`schemas/meshtest.schema.json` describes the shape. What it cannot say is checked here: that a request
comes from exactly one place, and that lengths of time are some.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from meshlint.policy.rules import schemas_directory
from meshlint.policy.shape import Mismatch, mismatches
from meshlint.records import dataclass
from meshlint.source.decode import DecodeError, decode
from meshlint.source.discover import shown
from meshlint.source.durations import go_duration
from meshlint.source.files import Document, SourceFile
from meshlint.source.nodes import Mapping, Node, Scalar, mappings, text_of
from meshlint.source.parse import parse

SUFFIXES: Final = (".meshtest.yaml", ".meshtest.yml")
NONE: Final = "none"
UNKNOWN: Final = "unknown"
_TESTS: Final = re.compile(r"^tests:", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Complaint:
    """What is wrong with a file of route tests, and where; `line` is 0 where it is the file itself."""

    file: str
    message: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        at = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{at}: {self.message}"


class SuiteError(Exception):
    """A file that cannot be run, with everything that is wrong with it."""

    def __init__(self, complaints: Iterable[Complaint]) -> None:
        self.complaints = tuple(complaints)
        super().__init__("\n".join(map(str, self.complaints)))


@dataclass(frozen=True, slots=True)
class Case:
    """One test. `expect` is the mapping of that key, `plain` the same as data; `line` is that of its name."""

    name: str
    line: int
    request: dict[str, Any]
    expect: Mapping
    plain: dict[str, Any]
    node: Mapping


@dataclass(frozen=True, slots=True)
class Suite:
    """`manifests` are paths that can be opened from the working directory."""

    file: SourceFile
    manifests: tuple[str, ...]
    cases: tuple[Case, ...]

    def line(self, node: Node) -> int:
        return self.file.position(node.start)[0]

    def complaint(self, node: Node | None, message: str) -> Complaint:
        """About a node, or about the file."""
        line, column = self.file.position(node.start) if node is not None else (0, 0)
        return Complaint(self.file.path, message, line, column)

    @property
    def stated(self) -> Node | None:
        """Where the file says what its manifests are."""
        root = next((d.root for d in self.file.documents if d.root is not None), None)
        return root.dig("manifests") if root is not None else None


def is_suite(path: str, text: str) -> bool:
    """Does a file that somebody names hold route tests? By its name, or by the key that all of them have."""
    return path.endswith(SUFFIXES) or _TESTS.search(text) is not None


def load_suite(path: Path) -> Suite:
    """Read a file of route tests. Raises SuiteError with everything that is wrong with its shape."""
    name = shown(str(path))
    try:
        text, _ = decode(path.read_bytes())
    except (OSError, DecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SuiteError([Complaint(name, f"cannot be read: {reason}")]) from error
    file = parse(name, text)
    wrong = list(_wrong(file))
    root = next((d.root for d in file.documents if d.root is not None), None)
    if not wrong and not isinstance(root, Mapping):
        wrong = [Complaint(name, "found no test; the key 'tests' has a list of them")]
    if not wrong and isinstance(root, Mapping):
        wrong = [_complaint(file, m.node.start, m) for m in _mistakes(root)]
    if wrong or not isinstance(root, Mapping):
        raise SuiteError(wrong)
    return Suite(file, tuple(_manifests(root, path)), tuple(_cases(root, file)))


def schema() -> dict[str, Any]:
    """The JSON Schema of files with route tests."""
    text = (schemas_directory() / "meshtest.schema.json").read_text("utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def _wrong(file: SourceFile) -> Iterator[Complaint]:
    """What is wrong with the text and with its shape."""
    for problem in file.problems:
        yield Complaint(file.path, problem.message, *file.position(problem.start))
    if file.problems:
        return
    if file.skipped:
        yield Complaint(file.path, f"found a template ({file.skipped}), expected plain YAML")
        return
    documents = [document for document in file.documents if document.root is not None]
    for document in documents[1:]:
        root = document.root
        at = root.start if root is not None else document.start
        yield Complaint(file.path, "found a second document, expected only one", *file.position(at))
    for document in documents[:1]:
        yield from _repeated(file, document)
        if document.root is not None:
            for mismatch in mismatches(document.root, schema()):
                yield _complaint(file, mismatch.node.start, mismatch)


def _repeated(file: SourceFile, document: Document) -> Iterator[Complaint]:
    """Keys that stand twice in a mapping: one of both would be lost."""
    for mapping in document.duplicates:
        seen: set[str] = set()
        for key, _ in mapping.items:
            text = key.text if isinstance(key, Scalar) else ""
            if text in seen:
                yield Complaint(file.path, f"found the key {text!r} twice", *file.position(key.start))
            seen.add(text)


def _complaint(file: SourceFile, offset: int, mismatch: Mismatch) -> Complaint:
    at = f"{mismatch.path}: " if mismatch.path else ""
    return Complaint(file.path, at + mismatch.message, *file.position(offset))


def _manifests(root: Mapping, path: Path) -> Iterator[str]:
    node = root.get("manifests")
    written = node.plain() if node is not None else ["."]
    for item in written if isinstance(written, list) else ():
        yield str(path.parent / str(item))


def _cases(root: Mapping, file: SourceFile) -> Iterator[Case]:
    for node in mappings(root.get("tests")):
        request, expect = node.get("request"), node.get("expect")
        name = node.get("name")
        if isinstance(request, Mapping) and isinstance(expect, Mapping) and isinstance(name, Scalar):
            sent, wanted = request.plain(), expect.plain()
            if isinstance(sent, dict) and isinstance(wanted, dict):
                line = file.position(name.start)[0]
                yield Case(name.text, line, sent, expect, wanted, request)


def _mistakes(root: Mapping) -> Iterator[Mismatch]:
    for number, test in enumerate(mappings(root.get("tests"))):
        path = f"tests[{number}]"
        request, expect = test.get("request"), test.get("expect")
        if isinstance(request, Mapping):
            yield from _request_mistakes(request, f"{path}.request")
        if isinstance(expect, Mapping):
            yield from _expect_mistakes(expect, f"{path}.expect")


def _request_mistakes(request: Mapping, path: str) -> Iterator[Mismatch]:
    both = [key for key in ("gateway", "source") if request.get(key) is not None]
    if len(both) != 1:
        found = "both 'gateway' and 'source'" if both else "neither 'gateway' nor 'source'"
        yield Mismatch(request, path, f"found {found}, expected one of them: where the request comes from")


def _expect_mistakes(expect: Mapping, path: str) -> Iterator[Mismatch]:
    if not len(expect):
        yield Mismatch(expect, path, "found nothing that is expected")
    if expect.get("destination") is not None and expect.get("destinations") is not None:
        yield Mismatch(expect, path, "found both 'destination' and 'destinations', expected one of them")
    for steps in (("timeout",), ("retries", "perTryTimeout"), ("fault", "delay")):
        node = expect.dig(*steps)
        text = text_of(node)
        if node is None or (len(steps) == 1 and text in (NONE, UNKNOWN)):
            continue
        if go_duration(text or "") is None:
            where = ".".join((path, *steps))
            yield Mismatch(node, where, f"found {text!r}, expected a length of time such as 10s")
