"""What holds for all tests: none reads or fills the cache of the user who runs them."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("MESHLINT_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "cache"))
