from __future__ import annotations

import argparse

import pytest

from inc_core.commands.cache import add_arguments, run
from inc_core.tuning.cache import Cache


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("INC_CACHE_DIR", str(tmp_path))
    cache = Cache(tmp_path)
    cache.put("latency", {"n": 1}, b"x" * 68)
    cache.put("latency", {"n": 2}, b"x" * 68)
    cache.put("divergence", {"n": 1}, b"x" * 68)
    return tmp_path


def inc_cache(*arguments):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return run(parser.parse_args(arguments))


def test_entries_are_shown_by_kind_with_their_sizes(folder):
    outcome = inc_cache()
    assert outcome.content["kinds"] == {
        "divergence": {"entries": 1, "bytes": 100},
        "latency": {"entries": 2, "bytes": 200},
    }
    assert "latency" in outcome.text
    assert f"{folder}: 0.0 MB of at most 1000.0 MB" in outcome.text


def test_clear_removes_all_of_them(folder):
    assert f"removed 3 entries, 0.0 MB, from {folder}" in inc_cache("clear").text
    assert f"{folder}: empty" in inc_cache("show").text
