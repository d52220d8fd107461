from __future__ import annotations

import json

import pytest

from inc_core.errors import QuantizationError
from inc_core.quant.spec import FP32, INTEGER_RANGES, OpCapability, OpConfig, OpKey, TensorSpec

GROUPED = TensorSpec("int4", "asym", "per_group", group_size=32)
U8 = TensorSpec("uint8", "asym", algorithm="kl")


@pytest.mark.parametrize("dtype", INTEGER_RANGES)
def test_limits_are_those_of_the_dtype(dtype):
    spec = TensorSpec(dtype)
    assert (spec.qmin, spec.qmax) == INTEGER_RANGES[dtype]


def test_float_dtypes_have_no_integer_limits():
    with pytest.raises(QuantizationError, match="'fp8_e4m3' is not an integer dtype; known: int8"):
        _ = TensorSpec("fp8_e4m3").qmin


@pytest.mark.parametrize(
    "config",
    [FP32, OpConfig("static", U8, TensorSpec("int8")), OpConfig("weight_only", weight=GROUPED)],
    ids=str,
)
def test_configs_survive_json(config):
    assert OpConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_a_capability_without_a_float_config_is_refused():
    with pytest.raises(QuantizationError, match="'conv1' offers no float config"):
        OpCapability(OpKey("conv1", "Conv"), (OpConfig("static", U8),))
