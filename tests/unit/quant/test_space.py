from __future__ import annotations

from inc_core.quant.space import TuningSpace
from inc_core.quant.spec import FP32, OpCapability, OpConfig, OpKey, TensorSpec

U8 = TensorSpec("uint8", "asym")
STATIC, DYNAMIC, BF16 = OpConfig("static", U8), OpConfig("dynamic", U8), OpConfig("bf16")
A, B, C, D = (OpKey(name, "Linear") for name in "abcd")
SPACE = TuningSpace(
    capabilities=(
        OpCapability(A, (STATIC, DYNAMIC, BF16, FP32), group="pair"),
        OpCapability(B, (DYNAMIC, FP32), group="pair"),
        OpCapability(C, (STATIC, FP32)),
        OpCapability(D, (FP32,), note="float only"),
    ),
    calib_samples=(50, 100),
    option_sets=((), ("bias_correction",)),
)


def test_only_quantizable_ops_are_tuned():
    assert SPACE.ops == (A, B, C)


def test_the_fallback_is_the_best_float_config():
    assert [SPACE.fallback(op) for op in (A, B, D)] == [BF16, FP32, FP32]


def test_ops_of_a_group_switch_together_and_others_alone():
    assert SPACE.group(B) == (A, B)
    assert SPACE.group(C) == (C,)


def test_the_default_takes_the_first_of_everything():
    recipe = SPACE.default()
    assert list(recipe.ops.values()) == [STATIC, DYNAMIC, STATIC, FP32]
    assert (recipe.calib_samples, recipe.options) == (50, ())


def test_all_float_holds_every_fallback():
    assert list(SPACE.all_float().ops.values()) == [BF16, FP32, FP32, FP32]
