"""Has this very run been done before? Reports of earlier runs, found by everything they hang on.

The key is a digest of the inputs' bytes and names, the configuration, the rules and the installed code, so
there is nothing to invalidate. Entries are JSON in the user's cache folder: never in the linted tree,
and never anything that could be run. A cache that cannot be read or written is no cache, and no error.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from meshlint.report.cacheable import from_data, to_data

if TYPE_CHECKING:
    from meshlint.findings import Report

#: entries that are kept, the most recently used ones
KEPT: Final = 64
PACKAGE: Final = Path(__file__).parent


class Cache:
    """A folder with one file per report."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, key: str) -> Report | None:
        """The report of a run with this key, if one is there and whole."""
        path = self.folder / f"{key}.json"
        try:
            data = json.loads(path.read_bytes())
            report = from_data(data) if isinstance(data, dict) else None
            os.utime(path)
        except (OSError, ValueError):
            return None
        return report

    def put(self, key: str, report: Report) -> None:
        """Keep a report. One with errors is not kept: the reason may be gone next time."""
        if report.errors:
            return
        draft = self.folder / f"{key}.{os.getpid()}.tmp"
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(draft, "x", encoding="utf-8", opener=_private) as stream:
                json.dump(to_data(report), stream, ensure_ascii=True, separators=(",", ":"))
            draft.replace(self.folder / f"{key}.json")
            self._prune()
        except OSError:
            with suppress(OSError):
                draft.unlink()

    def _prune(self) -> None:
        entries = [entry for entry in os.scandir(self.folder) if entry.is_file()]
        if len(entries) > KEPT:
            entries.sort(key=lambda entry: entry.stat().st_mtime)
            for entry in entries[: len(entries) - KEPT]:
                Path(entry.path).unlink(missing_ok=True)


def user_cache(environment: Mapping[str, str] | None = None) -> Cache | None:
    """The cache of this user: in MESHLINT_CACHE_DIR ('' for none), else where the platform keeps caches."""
    known = os.environ if environment is None else environment
    chosen = known.get("MESHLINT_CACHE_DIR")
    if chosen is not None:
        return Cache(Path(chosen)) if chosen else None
    if known.get("XDG_CACHE_HOME"):
        return Cache(Path(known["XDG_CACHE_HOME"]) / "meshlint")
    try:
        home = Path.home()
    except RuntimeError:
        return None
    if sys.platform == "win32":
        return Cache(Path(known.get("LOCALAPPDATA") or home) / "meshlint" / "cache")
    if sys.platform == "darwin":
        return Cache(home / "Library" / "Caches" / "meshlint")
    return Cache(home / ".cache" / "meshlint")


def key_of(inputs: str, others: Iterable[Path], *settings: Any) -> str:
    """A digest of the inputs' digest, of other files by content, of plain settings, and of the code."""
    hashed = blake2b(inputs.encode(), digest_size=20)
    for path in others:
        hashed.update(b"\0" + os.fsencode(path) + b"\0")
        try:
            hashed.update(path.read_bytes())
        except OSError as error:
            hashed.update(repr(error).encode())
    for part in (*settings, _code(), sys.version):
        for text in _canonical(part):
            hashed.update(text.encode("utf-8", "backslashreplace") + b"\0")
    return hashed.hexdigest()


def _code() -> list[str]:
    """What tells one state of the code, the rules and the schemas from another."""
    roots = [PACKAGE]
    if not (PACKAGE / "data").is_dir():
        roots += [PACKAGE.parent / "rules", PACKAGE.parent / "schemas"]
    return sorted(stamp for root in roots for stamp in _stamps(str(root)))


def _stamps(folder: str) -> Iterator[str]:
    for entry in os.scandir(folder):
        if entry.is_dir():
            if entry.name != "__pycache__":
                yield from _stamps(entry.path)
        else:
            status = entry.stat()
            yield f"{entry.path} {status.st_size} {status.st_mtime_ns}"


def _canonical(value: Any) -> Iterator[str]:
    """Text that is the same in each process for equal values: records, mappings and sets in order."""
    if is_dataclass(value) and not isinstance(value, type):
        yield type(value).__name__
        for field in fields(value):
            if field.compare:
                yield field.name
                yield from _canonical(getattr(value, field.name))
    elif isinstance(value, Mapping):
        yield "{"
        for name in sorted(value, key=str):
            yield str(name)
            yield from _canonical(value[name])
        yield "}"
    elif isinstance(value, (set, frozenset)):
        yield repr(sorted(map(repr, value)))
    elif isinstance(value, (list, tuple)):
        yield "["
        for item in value:
            yield from _canonical(item)
        yield "]"
    else:
        yield repr(value)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
