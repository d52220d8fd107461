from __future__ import annotations

from inc_core.quant.constraint import OpConstraint, TensorConstraint
from inc_core.quant.extra_observers import with_observers
from inc_core.quant.spec import FP32, OpCapability, OpConfig, OpKey, TensorSpec

STATIC = OpConfig("static", TensorSpec("uint8", "asym"), TensorSpec("int8"))
DYNAMIC = OpConfig("dynamic", TensorSpec("uint8", "asym"), TensorSpec("int8"))
CAPABILITY = OpCapability(OpKey("a", "Linear"), (STATIC, DYNAMIC, FP32))


def constraint(algorithm: str) -> OpConstraint:
    return OpConstraint(activation=TensorConstraint(algorithm=(algorithm,)))


def test_a_registered_observer_that_is_named_is_offered_after_the_static_configs():
    (found,) = with_observers([CAPABILITY], [constraint("shrink")], {"shrink", "minmax"})
    assert [str(config.mode) for config in found.configs] == ["static", "static", "dynamic", "fp32"]
    assert found.configs[1].activation.algorithm == "shrink"


def test_an_unregistered_or_known_name_changes_nothing():
    for algorithm in ("unknown", "minmax"):
        assert with_observers([CAPABILITY], [constraint(algorithm)], {"minmax"}) == (CAPABILITY,)
