"""Settings of every test: nothing outlives one."""

from __future__ import annotations

import gc

import pytest
from hypothesis import HealthCheck, settings

# a loaded machine is slow, which is no fault; and what passes here shall pass elsewhere
settings.register_profile(
    "steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")


def pytest_collection_finish(session):
    gc.freeze()  # what was collected lives to the end, and need not be looked through each time


@pytest.fixture(autouse=True)
def no_user_cache(monkeypatch):
    """Keep measurements of one test from the next, and from the user's own cache."""
    monkeypatch.setenv("INC_CACHE", "0")
