"""The sessions that models run in."""

from __future__ import annotations

import pytest

from inc_onnx import model
from inc_onnx.model import session_options


@pytest.fixture
def cores(monkeypatch):
    """Let the machine have four cores, of which the process may use some."""

    def use(number):
        monkeypatch.setattr(model.os, "cpu_count", lambda: 4)
        monkeypatch.setattr(model, "usable_cores", lambda: number)

    return use


def test_a_process_held_to_one_core_gets_one_thread(cores):
    cores(1)
    options = session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)


def test_a_process_with_all_cores_leaves_threads_to_the_runtime(cores):
    cores(4)
    assert session_options().intra_op_num_threads == 0


def test_a_stated_number_of_threads_counts(cores):
    cores(1)
    assert session_options(3).intra_op_num_threads == 3
