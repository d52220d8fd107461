from __future__ import annotations

import pytest

from inc_core.hookspecs.adaptor import LatencyTable
from inc_core.quant.space import TuningSpace
from inc_core.quant.spec import FP32, OpCapability, OpConfig, OpKey, TensorSpec
from inc_core.tuning.gate import narrow_by_speed

STATIC = OpConfig("static", TensorSpec("uint8", "asym"), TensorSpec("int8"))
DYNAMIC = OpConfig("dynamic", TensorSpec("uint8", "asym"), TensorSpec("int8"))
WEIGHT_ONLY = OpConfig("weight_only", None, TensorSpec("int4"))


def key(index):
    return OpKey(f"op{index}", "Conv")


def chain(int8_ms, border_ms, configs=(STATIC, FP32), groups=()):
    """Ops in a row that take 1 ms in float each."""
    groups = groups or [None] * len(int8_ms)
    space = TuningSpace(
        tuple(OpCapability(key(i), configs, group=groups[i]) for i in range(len(int8_ms)))
    )
    seconds = {
        key(i): {c: 1e-3 * (ms if c.is_quantized else 1.0) for c in configs}
        for i, ms in enumerate(int8_ms)
    }
    edges = {(key(i), key(i + 1)): 1e-3 * border_ms for i in range(len(int8_ms) - 1)}
    return space, LatencyTable(seconds, edges)


def kept(space):
    return [int(op.name[2:]) for op in space.ops]


@pytest.mark.parametrize(
    ("int8_ms", "border_ms", "expected"),
    [
        ([0.5, 0.5, 0.5], 0.2, [0, 1, 2]),
        ([2.0, 0.5, 0.5], 0.2, [1, 2]),
        ([0.5, 1.3, 0.5], 0.2, [0, 1, 2]),
        ([0.5, 1.7, 0.5], 0.2, [0, 2]),
        ([1.3, 1.3, 1.3, 0.2], 0.7, [3]),
        ([0.9, 2.0, 0.9], 0.3, []),
        ([0.9, 1.1, 0.9], 0.3, [0, 1, 2]),
    ],
    ids=[
        "all pay",
        "a slow one at the end",
        "a slow one that is cheaper than converting around it",
        "a very slow one in the middle",
        "slow ones together, none of which alone would pay in float",
        "fast ones that do not pay their borders",
        "a gain that outweighs",
    ],
)
def test_patterns_are_judged_with_their_borders(int8_ms, border_ms, expected):
    assert kept(narrow_by_speed(*chain(int8_ms, border_ms))) == expected


def test_every_op_taken_out_has_its_reason_in_numbers():
    space = narrow_by_speed(*chain([2.0, 0.5, 0.5], 0.2))
    (decision,) = space.decisions
    assert (decision.op, decision.by, decision.config) == (key(0), "speed gate", FP32)
    assert "int8 does not pay on this machine: 2 ms, 1 ms in float" in decision.reason
    assert space.options(key(0)) == (FP32,)


def test_losses_within_the_noise_of_a_table_are_left_alone():
    space, table = chain([1.02, 0.5, 0.5, 0.5], 0.0)
    assert narrow_by_speed(space, table) is space


def test_ops_that_were_not_timed_are_left_alone():
    space, table = chain([3.0, 3.0], 0.0)
    partly = LatencyTable({key(0): table.seconds[key(0)]}, {})
    assert kept(narrow_by_speed(space, partly)) == [1]


def test_dynamic_ops_have_no_borders():
    space, table = chain([1.3, 0.5], 5.0, configs=(DYNAMIC, FP32))
    assert kept(narrow_by_speed(space, table)) == [1]


def test_weight_only_is_chosen_for_size_and_stays():
    space, table = chain([2.0, 2.0], 0.0, configs=(WEIGHT_ONLY, FP32))
    assert narrow_by_speed(space, table) is space
    both = narrow_by_speed(*chain([2.0], 0.0, configs=(STATIC, WEIGHT_ONLY, FP32)))
    assert both.options(key(0)) == (WEIGHT_ONLY, FP32)


def test_ops_of_one_group_stay_together():
    space, table = chain([2.0, 0.9, 0.5], 0.0, groups=["g", "g", None])
    assert kept(narrow_by_speed(space, table)) == [2]
