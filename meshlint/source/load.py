"""Inputs -> files with documents: the whole way from the command line to parsed YAML.

Each step is a module: `discover` finds the files, `decode` makes text, `parse` makes documents,
`templates` tells what another tool has to render first, `kustomize` what a kustomization changes.
"""

# Trees have 20,000 files, and making Path objects takes longer than opening them:
# ruff: noqa: PTH113, PTH118, PTH123

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import field
from pathlib import Path

from meshlint.records import dataclass
from meshlint.source.decode import DecodeError, decode
from meshlint.source.discover import Found, discover
from meshlint.source.files import SourceFile
from meshlint.source.kustomize import apply as apply_kustomizations
from meshlint.source.kustomize import is_kustomization, mark_strategic_deletes
from meshlint.source.parse import parse

#: bytes; a manifest is a few kilobytes, and etcd refuses objects above 1.5 MB
FILE_SIZE_LIMIT = 64 * 1024 * 1024
STDIN = "<stdin>"


@dataclass(slots=True)
class Loaded:
    """What the inputs hold.

    `errors` are (file, message) of what could not be read. `may_exist` are (kind, name) pairs that
    templated files may define. `remainder` is True when templates or kustomizations that are not
    built could add, rename or move objects.
    """

    files: list[SourceFile] = field(default_factory=list)
    errors: list[tuple[str | None, str]] = field(default_factory=list)
    may_exist: frozenset[tuple[str, str]] = frozenset()
    remainder: bool = False


def load(
    inputs: Sequence[str],
    *,
    stdin: bytes | None = None,
    exclude: Sequence[str] = (),
    root: Path | None = None,
) -> Loaded:
    """Read files, folders, globs and `-` (standard input); never raises for what they hold."""
    loaded = Loaded()
    with _without_garbage_collection():
        if "-" in inputs:
            _read_bytes(loaded, STDIN, stdin or b"", named=True)
        discovery = discover(inputs, exclude=exclude, root=root)
        loaded.errors.extend(discovery.errors)
        charts = Charts()
        for found in discovery.files:
            _read_file(loaded, found, charts)
        _finish(loaded)
    return loaded


def load_texts(texts: Mapping[str, str]) -> Loaded:
    """The same for texts by path, without a disk: examples and tests."""
    loaded = Loaded([parse(path, text) for path, text in texts.items()])
    _finish(loaded)
    return loaded


class Charts:
    """Which files are templates of a Helm chart? Those below ``templates`` beside a Chart.yaml."""

    def __init__(self) -> None:
        self._known: dict[str, bool] = {}

    def holds(self, path: str) -> bool:
        chart, found, _ = path.replace(os.sep, "/").rpartition("/templates/")
        if not found:
            return False
        if chart not in self._known:
            self._known[chart] = os.path.isfile(os.path.join(chart, "Chart.yaml"))
        return self._known[chart]


def _finish(loaded: Loaded) -> None:
    """What one file cannot know: kustomizations, and what templates may add."""
    for file in loaded.files:
        if "$patch" in file.text:
            mark_strategic_deletes(file.documents)
    changed = apply_kustomizations(loaded.files)
    loaded.may_exist = frozenset().union(*(file.may_exist for file in loaded.files))
    loaded.remainder = changed or any(file.skipped for file in loaded.files)


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Trees of nodes have no cycles worth collecting, and looking for them costs a third of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _read_file(loaded: Loaded, found: Found, charts: Charts) -> None:
    try:
        with open(found.path, "rb") as stream:
            data = stream.read(FILE_SIZE_LIMIT + 1)
    except OSError as error:
        loaded.errors.append((found.shown, f"cannot be read: {error.strerror}"))
        return
    if len(data) > FILE_SIZE_LIMIT:
        megabytes = FILE_SIZE_LIMIT // (1024 * 1024)
        loaded.errors.append((found.shown, f"is larger than the limit of {megabytes} MiB"))
        return
    _read_bytes(loaded, found.shown, data, named=found.named, chart=charts.holds(found.path))


def _read_bytes(loaded: Loaded, path: str, data: bytes, *, named: bool, chart: bool = False) -> None:
    candidate = _may_hold_manifest(data) or is_kustomization(path) or (chart and b"{{" in data)
    if not candidate and not named:
        return
    try:
        text, encoding = decode(data)
    except DecodeError as error:
        loaded.errors.append((path, str(error)))
        return
    file = parse(path, text, chart=chart) if candidate else SourceFile(path, text)
    file.encoding = encoding
    loaded.files.append(file)


def _may_hold_manifest(data: bytes) -> bool:
    """Neither `kind` nor `apiVersion` in the bytes: no manifest, whatever the syntax. NUL: UTF-16.

    Values for the chart of istiod are no manifest, but say how the mesh is configured.
    """
    return (b"kind" in data and b"apiVersion" in data) or b"\0" in data[:4] or b"meshConfig:" in data
