"""Lint, unless the same run has been done before: then its report is read from the cache.

A run that is found imports neither the model nor a rule nor the parser: reading the inputs and the
report is all that it does, so nothing of that may be imported before it is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from meshlint.cache import Cache, key_of
from meshlint.config import Config
from meshlint.findings import Linted
from meshlint.source.read import Inputs, read, without_garbage_collection

if TYPE_CHECKING:
    from meshlint.lint import Progress
    from meshlint.policy.rules import Rule


def lint(
    inputs: Sequence[str],
    config: Config | None = None,
    *,
    rules: Callable[[], Mapping[str, Rule]] | None = None,
    stdin: bytes | None = None,
    report_only: Iterable[str] | None = None,
    progress: Progress | None = None,
    cache: Cache | None = None,
) -> Linted:
    """The same as `meshlint.lint.lint`, with a cache; `rules` is called where the cache has no report."""
    config = config or Config()
    only = None if report_only is None else tuple(report_only)
    if progress:
        progress("reading", 0, 1)
    found = read(inputs, stdin=stdin, exclude=config.exclude, root=config.root)
    key = _key(found, config, only) if cache is not None else ""
    known = cache.get(key) if cache is not None else None
    if known is not None:
        return Linted(known, _Texts(found))
    with without_garbage_collection():
        linted = _lint(found, config, rules, only, progress)
        if cache is not None:
            cache.put(key, linted.report)
    return linted


def _lint(
    found: Inputs,
    config: Config,
    rules: Callable[[], Mapping[str, Rule]] | None,
    only: tuple[str, ...] | None,
    progress: Progress | None,
) -> Linted:
    from meshlint.lint import lint_loaded, rules_of
    from meshlint.source.load import parse_all

    known = rules() if rules is not None else rules_of(config)
    return lint_loaded(parse_all(found), config, known, report_only=only, progress=progress)


def _key(found: Inputs, config: Config, only: tuple[str, ...] | None) -> str:
    patterns = (*config.rule_files, *config.crds)
    others = [path for pattern in patterns for path in config.matches(pattern)]
    return key_of(found.digest, others, config, only)


class _Texts:
    """Texts of inputs that were read and not parsed."""

    def __init__(self, found: Inputs) -> None:
        self._data = {file.path: file.data for file in found.files}

    def __call__(self, path: str) -> str | None:
        from meshlint.source.decode import DecodeError, decode

        data = self._data.get(path)
        try:
            return decode(data)[0] if data is not None else None
        except DecodeError:
            return None
