"""Inputs -> bytes: what is there to lint? Nothing is parsed, so that a run that was done before is cheap."""

# Trees have 20,000 files, and making Path objects takes longer than opening them:
# ruff: noqa: PTH113, PTH118, PTH123

from __future__ import annotations

import gc
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import field
from pathlib import Path

from meshlint.records import dataclass
from meshlint.source.discover import Found, discover, is_kustomization

#: bytes; a manifest is a few kilobytes, and etcd refuses objects above 1.5 MB
FILE_SIZE_LIMIT = 64 * 1024 * 1024
STDIN = "<stdin>"

_OPERATION = re.compile(
    rb"""^[-\[{ \t]*["']?op["']?[ \t]*:[ \t]*["']?(?:add|replace|remove|move|copy)\b""", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Input:
    """One file as bytes. `named`: the user wrote its name; `chart`: it is a template of a Helm chart."""

    path: str
    data: bytes
    named: bool
    chart: bool


@dataclass(slots=True)
class Inputs:
    """Everything that a run reads, before it is parsed. Files that cannot hold a manifest are left out."""

    files: list[Input] = field(default_factory=list)
    errors: list[tuple[str | None, str]] = field(default_factory=list)

    @property
    def digest(self) -> str:
        """The same for the same files, names and errors: what the result of a run hangs on."""
        from hashlib import blake2b

        hashed = blake2b(digest_size=16)
        for file in self.files:
            hashed.update(f"{file.path}\0{file.named}{file.chart}{len(file.data)}\0".encode())
            hashed.update(file.data)
        hashed.update(repr(self.errors).encode("utf-8", "backslashreplace"))
        return hashed.hexdigest()


def read(
    inputs: Sequence[str],
    *,
    stdin: bytes | None = None,
    exclude: Sequence[str] = (),
    root: Path | None = None,
) -> Inputs:
    """Find and read, in the order of the inputs."""
    found = Inputs()
    with without_garbage_collection():
        if "-" in inputs:
            found.files.append(Input(STDIN, stdin or b"", named=True, chart=False))
        discovery = discover(inputs, exclude=exclude, root=root)
        found.errors.extend(discovery.errors)
        charts = Charts()
        for file in discovery.files:
            _read_file(found, file, charts)
    return found


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


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Trees of nodes have no cycles worth collecting, and looking for them costs a third of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _read_file(inputs: Inputs, found: Found, charts: Charts) -> None:
    try:
        with open(found.path, "rb") as stream:
            # a pipe tells no size; asking every file for the limit would allocate it every time
            size = os.fstat(stream.fileno()).st_size or FILE_SIZE_LIMIT
            data = stream.read(min(size, FILE_SIZE_LIMIT) + 1)
    except OSError as error:
        inputs.errors.append((found.shown, f"cannot be read: {error.strerror}"))
        return
    if len(data) > FILE_SIZE_LIMIT:
        megabytes = FILE_SIZE_LIMIT // (1024 * 1024)
        inputs.errors.append((found.shown, f"is larger than the limit of {megabytes} MiB"))
        return
    file = Input(found.shown, data, found.named, charts.holds(found.path))
    if file.named or is_candidate(file) or _may_be_a_part(data):
        inputs.files.append(file)


def is_candidate(file: Input) -> bool:
    data = file.data
    return _may_hold_manifest(data) or is_kustomization(file.path) or (file.chart and b"{{" in data)


def _may_hold_manifest(data: bytes) -> bool:
    """Neither `kind` nor `apiVersion` in the bytes: no manifest, whatever the syntax. NUL: UTF-16.

    Values for the chart of istiod are no manifest, but say how the mesh is configured.
    """
    return (b"kind" in data and b"apiVersion" in data) or b"\0" in data[:4] or b"meshConfig:" in data


def _may_be_a_part(data: bytes) -> bool:
    """JSON patches and replacements of kustomize: no manifests, but they say what builds change."""
    return b"fieldPaths" in data or (
        b"op" in data and b"path" in data and _OPERATION.search(data) is not None
    )
