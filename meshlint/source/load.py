"""Inputs -> files with documents: the whole way from the command line to parsed YAML.

Each step is a module: `discover` finds the files, `read` takes their bytes, `decode` makes text, `parse`
makes documents, `templates` tells what another tool has to render first, `kustomize` what a kustomization
changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path

from meshlint.records import dataclass
from meshlint.source.decode import DecodeError, decode
from meshlint.source.files import SourceFile
from meshlint.source.kustomize import apply as apply_kustomizations
from meshlint.source.kustomize import mark_strategic_deletes
from meshlint.source.parse import parse
from meshlint.source.read import Input, Inputs, is_candidate, read, without_garbage_collection


@dataclass(slots=True)
class Loaded:
    """What the inputs hold.

    `errors` are (file, message) of what could not be read. `may_exist` are (kind, name) pairs that
    templated files may define. `remainder` is True when templates or kustomizations that are not
    built could add, rename or move objects. `unbuilt` are the namespaces into which kustomizations
    build objects that are not in the input, None among them: any.
    """

    files: list[SourceFile] = field(default_factory=list)
    errors: list[tuple[str | None, str]] = field(default_factory=list)
    may_exist: frozenset[tuple[str, str]] = frozenset()
    remainder: bool = False
    unbuilt: frozenset[str | None] = frozenset()


def load(
    inputs: Sequence[str],
    *,
    stdin: bytes | None = None,
    exclude: Sequence[str] = (),
    root: Path | None = None,
) -> Loaded:
    """Read files, folders, globs and `-` (standard input); never raises for what they hold."""
    return parse_all(read(inputs, stdin=stdin, exclude=exclude, root=root))


def parse_all(inputs: Inputs) -> Loaded:
    """The second half of `load`."""
    loaded = Loaded(errors=list(inputs.errors))
    with without_garbage_collection():
        for file in inputs.files:
            _parse(loaded, file)
        _finish(loaded)
    return loaded


def load_texts(texts: Mapping[str, str]) -> Loaded:
    """The same for texts by path, without a disk: examples and tests."""
    loaded = Loaded([parse(path, text) for path, text in texts.items()])
    _finish(loaded)
    return loaded


def _finish(loaded: Loaded) -> None:
    """What one file cannot know: kustomizations, and what templates may add."""
    for file in loaded.files:
        if "$patch" in file.text:
            mark_strategic_deletes(file.documents)
    kustomized = apply_kustomizations(loaded.files)
    loaded.may_exist = frozenset().union(*(file.may_exist for file in loaded.files))
    loaded.unbuilt = kustomized.unbuilt
    loaded.remainder = kustomized.changes or any(file.skipped for file in loaded.files)


def _parse(loaded: Loaded, file: Input) -> None:
    try:
        text, encoding = decode(file.data)
    except DecodeError as error:
        loaded.errors.append((file.path, str(error)))
        return
    parsed = parse(file.path, text, chart=file.chart) if is_candidate(file) else SourceFile(file.path, text)
    parsed.encoding = encoding
    loaded.files.append(parsed)
