from __future__ import annotations

import os

import pytest

from inc_core.tuning.runner import limits
from inc_core.tuning.runner.limits import (
    Limits,
    available_bytes,
    resident_bytes,
    thread_environment,
    trial_seconds,
)


class TestTime:
    @pytest.mark.parametrize(
        ("stated", "baseline", "workers", "seconds"),
        [
            pytest.param(None, 1.0, 1, 60.0, id="short evaluation"),
            pytest.param(None, 100.0, 1, 500.0, id="long evaluation"),
            pytest.param(None, 100.0, 3, 1500.0, id="a third of the machine each"),
            pytest.param(7.0, 100.0, 3, 7.0, id="stated"),
        ],
    )
    def test_the_limit_is_stated_or_follows_from_the_float_model(
        self, stated, baseline, workers, seconds
    ):
        assert trial_seconds(stated, baseline, workers) == seconds


class TestMemory:
    def test_what_is_free_is_shared_and_one_alone_has_all_of_it(self, monkeypatch):
        monkeypatch.setattr(limits, "available_bytes", lambda: 1000)
        shared = Limits.of(3, seconds=1)
        assert (shared.memory, shared.memory_alone) == (300, 900)

    def test_a_stated_limit_is_that_of_each_trial(self):
        stated = Limits.of(3, seconds=1, memory_mb=2)
        assert (stated.memory, stated.memory_alone) == (2_000_000, 2_000_000)

    def test_where_nothing_is_known_there_is_no_limit(self, monkeypatch):
        monkeypatch.setattr(limits, "available_bytes", lambda: None)
        assert Limits.of(3, seconds=1).memory is None

    def test_a_container_has_less_than_its_machine(self, monkeypatch, tmp_path):
        (tmp_path / "max").write_text("5000\n")
        (tmp_path / "current").write_text("2000\n")
        monkeypatch.setattr(
            limits, "CGROUPS", ((str(tmp_path / "max"), str(tmp_path / "current")),)
        )
        assert available_bytes() in (3000, None)
        (tmp_path / "max").write_text("max\n")
        assert available_bytes() != 3000

    def test_memory_of_a_process_that_is_gone_is_unknown(self):
        assert resident_bytes(2**22 + 1) is None

    @pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="Linux")  # noqa: PTH110
    def test_memory_of_this_process(self):
        assert 10e6 < resident_bytes(os.getpid()) < 100e9


class TestThreads:
    def test_threads_are_divided(self, monkeypatch):
        monkeypatch.setattr(limits, "_cpu_count", lambda: 8)
        assert [Limits.of(n, seconds=1).threads for n in (1, 2, 3, 16)] == [0, 4, 2, 1]
        assert Limits.of(2, seconds=1, threads=6).threads == 3

    def test_libraries_are_told_unless_the_user_has(self, monkeypatch):
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        monkeypatch.setenv("MKL_NUM_THREADS", "7")
        environment = thread_environment(2)
        assert environment["OMP_NUM_THREADS"] == "2"
        assert "MKL_NUM_THREADS" not in environment
        assert thread_environment(0) == {}
