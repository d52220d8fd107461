from __future__ import annotations

import logging
import os
import shutil

import numpy as np

from inc_core.config.types import CacheConfig
from inc_core.tuning.cache import BLOCK_BYTES, RESERVED_BYTES, Cache, cache_folder, open_cache

KEY = {"model": "m", "samples": 64}


def only_path(cache):
    return next(iter(cache.entries())).path


def test_what_was_put_is_found_by_an_equal_key_alone(tmp_path):
    cache = Cache(tmp_path)
    cache.put("divergence", KEY, b"content")
    again = Cache(tmp_path)
    assert again.get("divergence", dict(reversed(KEY.items()))) == b"content"
    assert again.get("divergence", {**KEY, "samples": 65}) is None
    assert again.get("latency", KEY) is None


def test_json_and_arrays_come_back_as_they_were(tmp_path):
    cache = Cache(tmp_path)
    arrays = [np.arange(6, dtype=np.float32).reshape(2, 3), np.array([1, 2])]
    cache.put_json("latency", KEY, {"a": [1.5, None]})
    cache.put_arrays("float_outputs", KEY, arrays)
    assert cache.get_json("latency", KEY) == {"a": [1.5, None]}
    for made, found in zip(arrays, cache.get_arrays("float_outputs", KEY), strict=True):
        np.testing.assert_array_equal(made, found)
        assert made.dtype == found.dtype


def test_a_damaged_entry_is_a_missing_one_and_is_removed(tmp_path, caplog):
    cache = Cache(tmp_path)
    cache.put("latency", KEY, b"content")
    path = only_path(cache)
    for damage in (path.read_bytes()[:-1], b"", b"x" * 100):
        path.write_bytes(damage)
        with caplog.at_level(logging.WARNING):
            assert cache.get("latency", KEY) is None
        assert "is damaged" in caplog.text
        assert not path.exists()


def test_arrays_that_are_none_are_missing(tmp_path):
    cache = Cache(tmp_path)
    cache.put("float_outputs", KEY, b"no archive")
    assert cache.get_arrays("float_outputs", KEY) is None


def test_the_entries_that_were_not_used_for_longest_go_first(tmp_path):
    cache = Cache(tmp_path, limit_bytes=4 * BLOCK_BYTES)
    for index in range(4):
        cache.put("k", {"index": index}, b"x")
        for age, entry in enumerate(sorted(cache.entries(), key=lambda e: e.used)):
            os.utime(entry.path, (age, age))
    first = {index: cache._path("k", {"index": index}) for index in range(4)}
    for index, path in first.items():
        os.utime(path, (index + 1, index + 1))
    assert cache.get("k", {"index": 0}) == b"x"  # used now: no longer the oldest
    cache.put("k", {"index": 4}, b"x")
    assert [index for index, path in first.items() if path.exists()] == [0, 2, 3]


def test_a_cache_that_cannot_be_written_says_so_once_and_is_as_good_as_none(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    cache = Cache(tmp_path / "file")
    with caplog.at_level(logging.WARNING):
        cache.put("k", KEY, b"x")
        cache.put("k", KEY, b"x")
    assert caplog.text.count("cannot be written") == 1
    assert cache.get("k", KEY) is None
    assert list(cache.entries()) == []


def test_nothing_but_entries_is_left_behind(tmp_path):
    cache = Cache(tmp_path)
    cache.put("k", KEY, b"x")
    assert len(list((tmp_path / "k").iterdir())) == 1
    assert cache.clear() == 1
    assert list(cache.entries()) == []


def test_of_a_disk_that_fills_up_it_leaves_the_rest_to_the_journal(tmp_path, monkeypatch, caplog):
    cache = Cache(tmp_path)
    cache.put("k", KEY, b"x")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=RESERVED_BYTES))
    for _ in range(2):
        cache.put("k", {"model": "another"}, b"x")
    assert len(list(Cache(tmp_path).entries())) == 1
    assert caplog.text.count("too little space is left on the disk); going on without") == 1


class TestPlace:
    def test_the_configuration_decides(self, monkeypatch, tmp_path):
        monkeypatch.delenv("INC_CACHE", raising=False)
        cache = open_cache(CacheConfig(size_mb=2.5, directory=str(tmp_path)))
        assert (cache.folder, cache.limit_bytes) == (tmp_path, 2_500_000)
        assert open_cache(CacheConfig(enabled=False)).folder is None

    def test_it_can_be_switched_off(self, monkeypatch):
        monkeypatch.setenv("INC_CACHE", "0")
        assert open_cache().folder is None

    def test_its_own_variable_wins_over_the_desktop_s(self, monkeypatch, tmp_path):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
        monkeypatch.delenv("INC_CACHE_DIR", raising=False)
        assert cache_folder() == tmp_path / "xdg" / "inc"
        monkeypatch.setenv("INC_CACHE_DIR", str(tmp_path / "own"))
        assert cache_folder() == tmp_path / "own"

    def test_without_variables_it_is_in_the_home_folder(self, monkeypatch, tmp_path):
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        monkeypatch.delenv("INC_CACHE_DIR", raising=False)
        monkeypatch.setenv("HOME", str(tmp_path))
        assert cache_folder() == tmp_path / ".cache" / "inc"
