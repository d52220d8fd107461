from __future__ import annotations

import re

import pytest

from inc_core.errors import ConfigError
from inc_core.quant.constraint import OpConstraint, TensorConstraint
from inc_core.quant.narrow import narrow
from inc_core.quant.spec import FP32, OpCapability, OpConfig, OpKey, TensorSpec

BF16 = OpConfig("bf16")
U8, U8_KL = (TensorSpec("uint8", "asym", algorithm=name) for name in ("minmax", "kl"))
PER_CHANNEL, PER_TENSOR = (TensorSpec("int8", "sym", f"per_{g}") for g in ("channel", "tensor"))
INT4 = TensorSpec("int4", "asym", "per_group", group_size=32)
STATICS = tuple(OpConfig("static", a, w) for w in (PER_CHANNEL, PER_TENSOR) for a in (U8, U8_KL))
DYNAMIC = OpConfig("dynamic", U8, PER_CHANNEL)
ADD = OpConfig("static", U8)
WEIGHT_ONLY = OpConfig("weight_only", weight=INT4)


def capability(name, kind, *configs, **fields):
    return OpCapability(OpKey(name, kind), (*configs, FP32), **fields)


CONV1 = capability("conv1", "Conv", *STATICS, first=True)
CONV2 = capability("conv2", "Conv", *STATICS, BF16)
LINEAR = capability("fc", "Linear", *STATICS, DYNAMIC, WEIGHT_ONLY)
LSTM = capability("rnn", "LSTM", DYNAMIC)
PLUS = capability("add", "Add", ADD)
SOFTMAX = capability("softmax", "Softmax", note="its exponentials need float")
MODEL = (CONV1, CONV2, LINEAR, LSTM, PLUS, SOFTMAX)


def allow(part="weight", **fields):
    return OpConstraint(**{part: TensorConstraint(**fields)})


def activation(**fields):
    return allow("activation", **fields)


FLOAT = OpConstraint(TensorConstraint(("fp32",)), TensorConstraint(("fp32",)))


def narrowed(capabilities=MODEL, **options):
    defaults = {
        "approach": "static",
        "model_wise": OpConstraint(),
        "optype_wise": {},
        "op_wise": {},
        "recipes": {},
        "sizes": (100,),
        "option_sets": (),
    }
    return narrow(capabilities, **{**defaults, **options})


def problems_of(**options):
    with pytest.raises(ConfigError) as caught:
        narrowed(**options)
    return caught.value.problems


def reasons(space, capability):
    return [(d.by, d.reason) for d in space.decisions if d.op == capability.op]


@pytest.mark.parametrize(
    "approach, modes",
    [
        ("static", [*["static"] * 4, "fp32"]),
        ("dynamic", ["dynamic", "fp32"]),
        ("auto", [*["static"] * 4, "dynamic", "fp32"]),
        ("weight_only", ["weight_only", "fp32"]),
    ],
)
def test_approach_chooses_the_modes_and_keeps_the_adaptors_order(approach, modes):
    assert [c.mode for c in narrowed(approach=approach).options(LINEAR.op)] == modes


def test_float_modes_stay_under_every_approach():
    assert narrowed(approach="dynamic").options(CONV2.op) == (BF16, FP32)


def test_an_op_without_the_approachs_mode_stays_float_and_says_so():
    space = narrowed()
    assert space.options(LSTM.op) == (FP32,)
    assert reasons(space, LSTM) == [
        ("adaptor", "the approach is static, the adaptor offers only dynamic here")
    ]


def test_the_adaptors_note_becomes_a_decision():
    (decision,) = [d for d in narrowed().decisions if d.op == SOFTMAX.op]
    assert (decision.reason, decision.config) == ("its exponentials need float", FP32)


def test_an_unconstrained_op_has_every_config_and_no_decision():
    space = narrowed()
    assert space.options(CONV1.op) == CONV1.configs
    assert reasons(space, CONV1) == []


def test_model_wise_narrows_every_op_and_leaves_decisions():
    space = narrowed(model_wise=activation(algorithm=("kl", "minmax"), scheme=("asym",)))
    assert space.options(CONV1.op) == CONV1.configs
    space = narrowed(model_wise=allow(granularity=("per_tensor",)))
    for one in (CONV1, CONV2, LINEAR):
        quantized = [c for c in space.options(one.op) if c.is_quantized]
        assert {c.weight.granularity for c in quantized} == {"per_tensor"}
    assert reasons(space, CONV1) == [("user", "3 of 5 ways to run it are left by model_wise")]
    assert space.options(PLUS.op) == PLUS.configs


def test_op_wise_wins_over_optype_wise_and_that_over_model_wise():
    space = narrowed(
        model_wise=allow(granularity=("per_tensor",)),
        optype_wise={"Conv": allow(granularity=("per_channel",))},
        op_wise={"conv2": allow(granularity=("per_tensor",))},
    )
    granularity = [space.options(c.op)[0].weight.granularity for c in (CONV1, CONV2, LINEAR)]
    assert granularity == ["per_channel", "per_tensor", "per_tensor"]


def test_fields_that_a_stronger_constraint_does_not_state_stay_in_force():
    space = narrowed(
        model_wise=activation(algorithm=("kl",)),
        op_wise={"conv1": allow(granularity=("per_tensor",))},
        capabilities=(CONV1, CONV2),
    )
    assert space.options(CONV1.op) == (STATICS[3], FP32)
    assert reasons(space, CONV1) == [
        ("user", "2 of 5 ways to run it are left by model_wise and op_wise['conv1']")
    ]


def test_patterns_match_whole_names_and_later_ones_win():
    space = narrowed(
        op_wise={"conv.*": allow(granularity=("per_tensor",)), "conv[2-9]": FLOAT},
        capabilities=(CONV1, CONV2, capability("my_conv1", "Conv", *STATICS)),
    )
    assert space.options(CONV1.op) == (*STATICS[2:], FP32)
    assert space.options(CONV2.op) == (FP32,)
    assert len(space.options(OpKey("my_conv1", "Conv"))) == 5


@pytest.mark.parametrize(
    "constraint",
    [FLOAT, allow(dtype=("fp32",)), activation(dtype=("fp32",))],
    ids=["both", "weight", "activation"],
)
@pytest.mark.parametrize("one", [CONV1, PLUS], ids=["conv", "add"])
def test_only_float_dtypes_remove_quantization(constraint, one):
    space = narrowed(op_wise={one.op.name: constraint})
    assert space.options(one.op) == (FP32,)
    assert reasons(space, one) == [("user", f"only float is left by op_wise[{one.op.name!r}]")]
    assert one.op not in space.ops


def test_float_activations_do_not_forbid_integer_weights():
    space = narrowed((LINEAR,), approach="weight_only", model_wise=activation(dtype=("fp32",)))
    assert space.options(LINEAR.op) == (WEIGHT_ONLY, FP32)


def test_a_named_float_mode_becomes_the_fallback():
    space = narrowed(op_wise={"conv2": allow(dtype=("int8", "bf16"))})
    assert space.options(CONV2.op) == (*STATICS, BF16)
    assert space.fallback(CONV2.op) == BF16


def test_an_op_without_the_named_float_mode_keeps_its_own():
    space = narrowed(optype_wise={"Conv": allow(dtype=("int8", "bf16"))})
    assert space.fallback(CONV1.op) == FP32


def test_first_op_stays_float_if_the_recipe_says_so():
    space = narrowed(recipes={"first_conv_or_matmul_quantization": False})
    assert space.options(CONV1.op) == (FP32,)
    assert space.options(CONV2.op) == CONV2.configs
    assert reasons(space, CONV1) == [("user", "recipes.first_conv_or_matmul_quantization is false")]
    for value in ({}, {"first_conv_or_matmul_quantization": True}):
        assert narrowed(recipes=value).options(CONV1.op) == CONV1.configs


def grouped(name, *configs, group="pair"):
    return capability(name, "Linear", *configs, group=group)


def test_a_group_goes_float_with_one_of_its_ops():
    pair = (grouped("left", *STATICS), grouped("right", *STATICS))
    space = narrowed((*pair, CONV1), op_wise={"left": FLOAT})
    assert [space.options(one.op) for one in pair] == [(FP32,), (FP32,)]
    assert reasons(space, pair[1]) == [
        ("adaptor", "'left' is float, and both must switch together")
    ]
    assert space.options(CONV1.op) == CONV1.configs


def test_a_group_loses_the_activation_that_one_of_its_ops_lost():
    pair = (grouped("left", *STATICS), grouped("right", *STATICS))
    space = narrowed(pair, op_wise={"left": activation(algorithm=("kl",))})
    for one in pair:
        quantized = [c for c in space.options(one.op) if c.is_quantized]
        assert {c.activation.algorithm for c in quantized} == {"kl"}
    assert reasons(space, pair[1]) == [
        ("adaptor", "what another op of its group cannot do is left out")
    ]


def test_weights_of_a_group_are_narrowed_one_by_one():
    pair = (grouped("left", *STATICS), grouped("right", *STATICS))
    space = narrowed(pair, op_wise={"left": allow(granularity=("per_tensor",))})
    assert space.options(pair[0].op) == (*STATICS[2:], FP32)
    assert space.options(pair[1].op) == pair[1].configs


def test_a_group_in_which_nothing_common_is_left_is_float():
    pair = (grouped("left", *STATICS), grouped("right", *STATICS))
    constraints = {
        "left": activation(algorithm=("kl",)),
        "right": activation(algorithm=("minmax",)),
    }
    space = narrowed(pair, op_wise=constraints)
    assert space.ops == ()
    assert reasons(space, pair[1])[-1] == (
        "adaptor",
        "no choice is left that all ops of its group offer",
    )


def test_calibration_sizes_matter_only_where_data_is_needed():
    assert narrowed(sizes=(50, 100)).calib_samples == (50, 100)
    dynamic = narrowed(approach="dynamic", sizes=(50, 100))
    assert dynamic.calib_samples == (0,)
    corrected = narrowed(approach="dynamic", sizes=(50,), option_sets=[(), ("bias_correction",)])
    assert corrected.calib_samples == (50,)
    assert corrected.option_sets == ((), ("bias_correction",))
    assert narrowed().option_sets == ((),)


def test_an_unknown_op_names_the_closest():
    (problem,) = problems_of(op_wise={"sofmax": FLOAT})
    assert problem == (
        "op_wise['sofmax']: no such op in this model. Did you mean 'softmax'? "
        "(6 ops: conv1, conv2, fc, rnn, add, softmax)"
    )


def test_an_unknown_op_type_lists_the_types():
    (problem,) = problems_of(optype_wise={"Convv": FLOAT})
    assert problem.startswith(
        "optype_wise['Convv']: no op of this type in this model. Did you mean 'Conv'? "
        "(types: Conv, Linear, LSTM, Add, Softmax;"
    )


def test_a_value_that_no_op_offers_lists_what_is_allowed():
    (problem,) = problems_of(model_wise=activation(algorithm=("minmax", "kll")))
    assert problem == (
        "model_wise.activation.algorithm: 'kll' is not offered (6 ops: conv1, conv2, fc, rnn, add, softmax)."
        " Did you mean 'kl'? Allowed: kl, minmax"
    )


def test_a_value_that_only_another_approach_has_is_not_offered():
    (problem,) = problems_of(op_wise={"fc": allow(dtype=("int4",))})
    assert "op_wise['fc'].weight.dtype: 'int4' is not offered (1 op, 'fc')" in problem
    assert problem.endswith("Allowed: fp32, int8")


def test_a_float_op_gives_its_reason():
    (problem,) = problems_of(op_wise={"softmax": allow(dtype=("int8",))})
    assert "(1 op, 'softmax': its exponentials need float). " in problem
    assert problem.endswith("Allowed: fp32")


def test_a_field_that_an_op_does_not_have_cannot_be_chosen():
    (problem,) = problems_of(op_wise={"add": allow(granularity=("per_tensor",))})
    assert problem.endswith("Nothing can be chosen here: remove the line")


def test_values_that_are_offered_only_apart_are_a_problem():
    constraint = OpConstraint(TensorConstraint(algorithm=("kl",)), TensorConstraint(("int4",)))
    linear = capability("fc", "Linear", *STATICS[:2], OpConfig("static", U8, INT4))
    (problem,) = problems_of(capabilities=(linear,), model_wise=constraint)
    assert "model_wise: no op offers these values together" in problem
    assert "Offered are, best first: static, activation uint8/asym/per_tensor/minmax" in problem


def test_every_problem_is_reported_at_once():
    found = problems_of(
        model_wise=allow(scheme=("asym",)),
        optype_wise={"Pool": FLOAT},
        op_wise={"conv9": FLOAT, "fc": allow(dtype=("int3",), granularity=("per_group",))},
    )
    starts = ["model_wise.weight.scheme", "optype_wise['Pool']", "op_wise['conv9']"]
    starts += ["op_wise['fc'].weight.dtype", "op_wise['fc'].weight.granularity"]
    assert [problem.split(":")[0] for problem in found] == starts


def test_a_pattern_that_is_no_regular_expression_is_a_problem():
    (problem,) = problems_of(op_wise={"conv(": FLOAT})
    assert re.match(r"op_wise\['conv\('\]: not a regular expression \(", problem)


def test_a_model_without_any_quantizable_op_takes_every_model_wise_constraint():
    space = narrowed((SOFTMAX,), model_wise=allow(dtype=("int8",)))
    assert space.ops == ()
    assert space.all_float().ops == {SOFTMAX.op: FP32}


GPTQ = OpConfig("weight_only", weight=TensorSpec("int4", algorithm="gptq"), reads_inputs=True)


def test_weights_that_look_at_inputs_need_calibration():
    options = {"approach": "weight_only", "sizes": (100,)}
    assert narrowed((LINEAR,), **options).calib_samples == (0,)
    linear = capability("fc", "Linear", WEIGHT_ONLY, GPTQ)
    space = narrowed((linear,), **options)
    assert space.calib_samples == (100,)
    assert space.without_calibration().options(linear.op) == (WEIGHT_ONLY, FP32)


def test_a_config_that_reads_inputs_survives_json():
    assert OpConfig.from_json(GPTQ.to_json()) == GPTQ
    assert "reads_inputs" not in WEIGHT_ONLY.to_json()
