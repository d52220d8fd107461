from __future__ import annotations

import pytest

from inc_core.quant.constraint import OpConstraint, TensorConstraint
from inc_core.quant.spec import FP32, OpConfig, TensorSpec

U8 = TensorSpec("uint8", "asym")
STATIC = OpConfig("static", U8, TensorSpec("int8", "sym", "per_channel"))


def test_an_empty_constraint_allows_everything():
    assert TensorConstraint().allows(U8)
    assert OpConstraint().allows(STATIC)
    assert OpConstraint().allows(FP32)


@pytest.mark.parametrize(
    "fields, allowed",
    [
        ({"dtype": ("int8", "uint8")}, True),
        ({"dtype": ("int8",)}, False),
        ({"scheme": ("sym",)}, False),
        ({"granularity": ("per_tensor",), "algorithm": ("minmax",)}, True),
        ({"granularity": ("per_tensor",), "algorithm": ("kl",)}, False),
        ({"group_size": (32,)}, False),
    ],
)
def test_every_stated_field_must_be_allowed(fields, allowed):
    assert TensorConstraint(**fields).allows(U8) is allowed


def test_both_parts_of_a_config_must_be_allowed():
    weight = TensorConstraint(granularity=("per_tensor",))
    assert not OpConstraint(weight=weight).allows(STATIC)
    assert OpConstraint(weight=weight).allows(OpConfig("static", U8))


def test_float_modes_are_allowed_unless_others_are_named():
    integers = OpConstraint(weight=TensorConstraint(("int8",)))
    assert integers.allows(FP32)
    bf16 = OpConstraint(weight=TensorConstraint(("int8", "bf16")))
    assert not bf16.allows(FP32)
    assert bf16.allows(OpConfig("bf16"))


def test_merging_replaces_only_what_is_stated():
    base = OpConstraint(TensorConstraint(("uint8",), ("asym",)), TensorConstraint(("int8",)))
    merged = OpConstraint(TensorConstraint(scheme=("sym",))).merged_over(base)
    assert merged == OpConstraint(
        TensorConstraint(("uint8",), ("sym",)), TensorConstraint(("int8",))
    )
