"""Inputs of the command line -> files to read.

Files, folders (recursive, sorted; hidden folders, node_modules and virtual environments left out)
and globs. Each real file comes once. Under pre-commit the files of a folder are those of git's index
(spec ecosystem d.1): a scratch file that nobody committed must neither fail nor mask a finding.
"""

# Trees have 20,000 files, and making Path objects takes longer than the rest of the walk:
# ruff: noqa: PTH100, PTH110, PTH112, PTH113, PTH116, PTH118, PTH119, PTH206, PTH207

from __future__ import annotations

import glob
import os
import posixpath
import re
import stat
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import field
from pathlib import Path

from meshlint.records import dataclass

SUFFIXES = (".yaml", ".yml", ".json")
KUSTOMIZATIONS = frozenset(("kustomization.yaml", "kustomization.yml", "Kustomization"))
_LEFT_OUT = frozenset(("node_modules", "__pycache__", "__MACOSX"))
_MAGIC = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class Found:
    """A file to read. `shown` is relative to the working directory; `named` if the user wrote its name."""

    path: str
    shown: str
    named: bool


@dataclass(slots=True)
class Discovery:
    files: list[Found] = field(default_factory=list)
    errors: list[tuple[str | None, str]] = field(default_factory=list)
    #: how reports show the folders met so far
    folders: dict[str, str] = field(default_factory=dict)


def discover(inputs: Sequence[str], *, exclude: Sequence[str] = (), root: Path | None = None) -> Discovery:
    """All files of the inputs, in the order of the inputs, folders sorted; `-` is left to the caller."""
    found = Discovery()
    seen: set[tuple[int, int]] = set()
    excluded = Excluded(exclude, root)
    for given in inputs:
        if given != "-":
            _input(given, excluded, found, seen)
    return found


def shown(path: str) -> str:
    """A path as reports show it: relative to the working directory where it can be, with slashes."""
    try:
        relative = os.path.relpath(path)
    except ValueError:  # another drive
        relative = path
    return os.fsencode(relative).decode("utf-8", "replace").replace(os.sep, "/")


def is_kustomization(path: str) -> bool:
    """Is this the file in which kustomize says what to build? Paths are as `shown` gives them."""
    return posixpath.basename(path) in KUSTOMIZATIONS


class Excluded:
    """Patterns as in .gitignore, relative to a root; the last pattern that matches decides."""

    def __init__(self, patterns: Sequence[str], root: Path | None) -> None:
        self.root = os.path.abspath(root or ".")
        self.rules = [rule for rule in map(_rule, patterns) if rule is not None]

    def __call__(self, path: str, folder: bool = False) -> bool:
        if not self.rules:
            return False
        relative = os.path.relpath(os.path.abspath(path), self.root).replace(os.sep, "/")
        if relative.startswith("../"):
            return False
        parts = relative.split("/")
        whole = range(1, len(parts) + 1)
        return any(self._verdict("/".join(parts[:n]), folder or n < len(parts)) for n in whole)

    def _verdict(self, relative: str, folder: bool) -> bool:
        verdict = False
        for pattern, negated, only_folders in self.rules:
            if (folder or not only_folders) and pattern.match(relative):
                verdict = not negated
        return verdict


def _rule(pattern: str) -> tuple[re.Pattern[str], bool, bool] | None:
    text = pattern.strip()
    if not text or text.startswith("#"):
        return None
    negated = text.startswith("!")
    text = text.removeprefix("!").removeprefix("./")
    only_folders = text.endswith("/")
    text = text.rstrip("/")
    anchored = "/" in text
    expression = _glob_expression(text.lstrip("/"))
    return re.compile(expression if anchored else f"(?:.*/)?{expression}"), negated, only_folders


_PIECES = re.compile(r"^\*\*/|/\*\*$|/\*\*/|\*+|\?|\[[^\]]+\]|[^*?\[/]+|.")


def _glob_expression(text: str) -> str:
    parts = []
    for piece in _PIECES.findall(text):
        if piece == "**/":
            parts.append("(?:.*/)?")
        elif piece == "/**":
            parts.append("/.*")
        elif piece == "/**/":
            parts.append("/(?:.*/)?")
        elif piece[0] == "*":
            parts.append("[^/]*" if text != "**" else ".*")
        elif piece == "?":
            parts.append("[^/]")
        elif piece[0] == "[" and len(piece) > 1:
            parts.append("[" + piece[1:-1].replace("\\", "\\\\").replace("!", "^", piece[1] == "!") + "]")
        else:
            parts.append(re.escape(piece))
    return "".join(parts) + r"\Z"


def _input(given: str, excluded: Excluded, found: Discovery, seen: set[tuple[int, int]]) -> None:
    if os.path.isdir(given):
        paths, named = _folder(given, excluded, found), False
    elif os.path.exists(given):
        paths, named = iter((given,)), True
    elif _MAGIC.search(given):
        paths, named = _glob(given, excluded, found), False
    else:
        found.errors.append((shown(given), "no such file or folder"))
        return
    for path in paths:
        _add(path, named, excluded, found, seen)


def _add(path: str, named: bool, excluded: Excluded, found: Discovery, seen: set[tuple[int, int]]) -> None:
    if excluded(path):
        return
    try:
        status = os.stat(path)
    except OSError as error:
        if named:
            found.errors.append((shown(path), f"cannot be read: {error.strerror}"))
        return
    if not named and not stat.S_ISREG(status.st_mode):
        return
    identity = (status.st_dev, status.st_ino)
    if identity not in seen:
        seen.add(identity)
        found.files.append(Found(path, _shown_in(path, found.folders), named))


def _shown_in(path: str, folders: dict[str, str]) -> str:
    """The same as `shown`, which is slow, asked once per folder."""
    folder, name = os.path.split(path)
    if folder not in folders:
        folders[folder] = shown(folder) if folder else "."
    prefix = folders[folder]
    if name.isascii():
        return name if prefix == "." else f"{prefix}/{name}"
    return shown(path)


def _glob(pattern: str, excluded: Excluded, found: Discovery) -> Iterator[str]:
    matches = sorted(glob.glob(pattern, recursive=True))
    if not matches:
        found.errors.append((pattern, "no file matches this pattern"))
    for path in matches:
        if os.path.isdir(path):
            if not pattern.endswith("**"):
                yield from _folder(path, excluded, found)
        elif (_is_wanted(path) or not pattern.endswith("*")) and not _left_out(path, pattern):
            yield path


def _folder(folder: str, excluded: Excluded, found: Discovery) -> Iterator[str]:
    if os.environ.get("PRE_COMMIT") == "1":
        indexed = _index(folder)
        if indexed is not None:
            return iter(indexed)
    return _walk(folder, excluded, found, Tree(folder))


class Tree:
    """Which links to folders does a walk follow? Each once, and none that leaves the tree."""

    def __init__(self, folder: str) -> None:
        self._entered = {os.path.realpath(folder)}
        self._roots = tuple(os.path.join(os.path.realpath(root), "") for root in (folder, "."))

    def enters(self, link: str) -> bool:
        real = os.path.realpath(link)
        if real in self._entered or not real.startswith(self._roots):
            return False
        self._entered.add(real)
        return True


def _walk(folder: str, excluded: Excluded, found: Discovery, tree: Tree) -> Iterator[str]:
    """Files of a folder, depth first, sorted by name."""
    try:
        with os.scandir(folder) as entries:
            listing = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        found.errors.append((shown(folder), f"cannot be read: {error.strerror}"))
        return
    if any(entry.name == "pyvenv.cfg" for entry in listing):
        return
    for entry in listing:
        name = entry.name
        if _is_folder(entry):
            if name.startswith(".") or name in _LEFT_OUT or excluded(entry.path, folder=True):
                continue
            if not entry.is_symlink() or tree.enters(entry.path):
                yield from _walk(entry.path, excluded, found, tree)
        elif _is_wanted(name):
            yield entry.path


def _is_wanted(name: str) -> bool:
    return name.endswith(SUFFIXES) or os.path.basename(name) == "Kustomization"


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _index(folder: str) -> list[str] | None:
    """The files that git's index has below a folder; None where there is no repository."""
    try:
        listed = subprocess.run(
            ["git", "-c", "core.fsmonitor=false", "ls-files", "-z", "--", "."],  # noqa: S607
            cwd=folder, capture_output=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return None
    names = sorted(os.fsdecode(name) for name in listed.stdout.split(b"\0") if name)
    paths = (os.path.join(folder, name) for name in names if _is_wanted(name) and not _hidden(name))
    return [path for path in paths if os.path.isfile(path)]


def _left_out(path: str, pattern: str) -> bool:
    """Did ``**`` lead into a folder that nobody names?"""
    return any(part in _LEFT_OUT and part not in pattern for part in path.split(os.sep))


def _hidden(name: str) -> bool:
    folders = name.split("/")[:-1]
    return any(part.startswith(".") or part in _LEFT_OUT for part in folders)
