from __future__ import annotations

import sys

import pytest
from click.testing import CliRunner

from meshlint.cli.main import run
from tests.cli.support import Done


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working directory, at the top of a repository of its own."""
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)
    for name in ("NO_COLOR", "FORCE_COLOR", "CI", "PRE_COMMIT"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def call(folder):
    """Call the command line in this process."""

    def call(*arguments: str, stdin: str | None = None) -> Done:
        with CliRunner().isolation(input=stdin) as (out, err, _):
            code = run(arguments)
            sys.stdout.flush()
            sys.stderr.flush()
        return Done(code, out.getvalue().decode(), err.getvalue().decode())

    return call
