"""Settings of every test: nothing outlives one."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def no_user_cache(monkeypatch):
    """Keep measurements of one test from the next, and from the user's own cache."""
    monkeypatch.setenv("INC_CACHE", "0")
