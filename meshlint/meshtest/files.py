"""A file of route tests -> Suite, or what is wrong with it, each complaint with its line.

`schemas/meshtest.schema.json` describes the shape. What it cannot say is checked here: that a request
comes from exactly one place, and that lengths of time are some.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from meshlint.policy.rules import schemas_directory
from meshlint.policy.shape import Mismatch, complaint, complaints
from meshlint.records import dataclass
from meshlint.source.decode import DecodeError, decode
from meshlint.source.discover import shown
from meshlint.source.durations import go_duration
from meshlint.source.files import SourceFile
from meshlint.source.nodes import Mapping, Node, Scalar, mappings, text_of
from meshlint.source.parse import parse

SUFFIXES: Final = (".meshtest.yaml", ".meshtest.yml")
NONE: Final = "none"
UNKNOWN: Final = "unknown"
_TESTS: Final = re.compile(r"^tests:", re.MULTILINE)


class SuiteError(Exception):
    """A file that cannot be run; one message per line, each with file and line."""


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


def is_suite(path: Path, text: str) -> bool:
    """Does a file hold route tests? By its name, or by the key that all of them have."""
    return path.name.endswith(SUFFIXES) or _TESTS.search(text) is not None


def load_suite(path: Path) -> Suite:
    """Read a file of route tests. Raises SuiteError with everything that is wrong with its shape."""
    name = shown(str(path))
    try:
        text, _ = decode(path.read_bytes())
    except (OSError, DecodeError) as error:
        raise SuiteError(f"{name}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    file = parse(name, text)
    wrong = list(complaints(file, schema()))
    root = next((d.root for d in file.documents if d.root is not None), None)
    if not wrong and not isinstance(root, Mapping):
        wrong = [f"{name}: found no test; the key 'tests' has a list of them"]
    if wrong or not isinstance(root, Mapping):
        raise SuiteError("\n".join(wrong))
    wrong = [complaint(file, mismatch) for mismatch in _mistakes(root)]
    if wrong:
        raise SuiteError("\n".join(wrong))
    return Suite(file, tuple(_manifests(root, path)), tuple(_cases(root, file)))


def schema() -> dict[str, Any]:
    """The JSON Schema of files with route tests."""
    text = (schemas_directory() / "meshtest.schema.json").read_text("utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


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
