"""The ways in which a simulated op can run, and what they cost and save relative to int8."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from inc_core.quant.spec import FP32, OpConfig, TensorSpec

__all__ = ["CHOICES", "Choice"]

_INT8 = TensorSpec("int8", granularity="per_channel")
_INT4 = TensorSpec("int4", granularity="per_group", group_size=32)
_UINT8 = TensorSpec("uint8", "asym")


class Choice(NamedTuple):
    """One way to run an op.

    Attributes:
        config: What recipes say.
        damage: Median damage as a multiple of static int8's.
        damage_sigma: Spread over ops, of the logarithm.
        saving: Range of the saved time as a multiple of static int8's.
        offered: Share of the ops that offer it.
    """

    config: OpConfig
    damage: float
    damage_sigma: float
    saving: tuple[float, float]
    offered: float = 1.0


CHOICES: Mapping[str, Choice] = {
    "static": Choice(OpConfig("static", _UINT8, _INT8), 1.0, 0.0, (1.0, 1.0)),
    "dynamic": Choice(OpConfig("dynamic", _UINT8, _INT8), 0.4, 0.5, (0.5, 0.9)),
    "int4": Choice(OpConfig("weight_only", None, _INT4), 3.0, 0.7, (0.8, 1.4), 0.7),
    "bf16": Choice(OpConfig("bf16"), 0.03, 0.4, (0.2, 0.6)),
    "fp32": Choice(FP32, 0.0, 0.0, (0.0, 0.0)),
}
