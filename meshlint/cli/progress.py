"""A line on standard error that says how far a long run is; only on a terminal, only after a second."""

from __future__ import annotations

import os
import sys
from threading import Event, Thread
from types import TracebackType
from typing import Self

WIDTH = 24
PATIENCE = 1.0
INTERVAL = 0.1


class Progress:
    """Called with (what is done, how many steps are done, of how many); draws from a thread of its own."""

    def __init__(self) -> None:
        self._state = ("", 0, 1)
        self._finished = Event()
        self._thread = Thread(target=self._draw, daemon=True)

    def __call__(self, step: str, done: int, total: int) -> None:
        self._state = (step, done, total)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._finished.set()
        self._thread.join()

    def _draw(self) -> None:
        if self._finished.wait(PATIENCE):
            return
        while not self._finished.wait(INTERVAL):
            sys.stderr.write(f"\r\x1b[K{line(*self._state)}")
            sys.stderr.flush()
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()


def line(step: str, done: int, total: int) -> str:
    """``[######------] 12/70 mtls-permissive``"""
    filled = WIDTH * done // max(total, 1)
    return f"[{'#' * filled}{'-' * (WIDTH - filled)}] {done}/{total} {step}"


def wanted() -> bool:
    """Is there a person who looks at standard error?"""
    return sys.stderr.isatty() and not os.environ.get("CI") and os.environ.get("TERM") != "dumb"
