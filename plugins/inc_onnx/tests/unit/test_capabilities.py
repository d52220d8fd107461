"""What is offered for which op, and why not."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper


def note(workbench, proto, op_type):
    bench = workbench().load(proto)
    capability = next(c for c in bench.capabilities.values() if c.op.type == op_type)
    assert len(capability.configs) == 1
    return capability.note


def test_per_channel_minmax_comes_first(workbench, residual_model):
    capability = next(iter(workbench().load(residual_model).capabilities.values()))
    best = capability.configs[0]
    assert str(best.activation) == "uint8/asym/per_tensor/minmax"
    assert str(best.weight) == "int8/sym/per_channel/minmax"
    assert capability.first


def test_activations_are_never_signed(workbench, residual_model):
    capabilities = workbench().load(residual_model).capabilities.values()
    dtypes = {k.activation.dtype for c in capabilities for k in c.configs if k.activation}
    assert dtypes == {"uint8"}


def test_seven_bit_weights_come_first_without_vnni(monkeypatch):
    from inc_onnx import processor
    from inc_onnx.kernels import specs

    monkeypatch.setattr(specs, "multiplies_int8_exactly", lambda: False)
    rows = specs.weighted_rows(["Conv"], lambda g, n: None, lambda *a: None)
    assert rows[0].config.weight.dtype == "int7"
    assert {row.config.weight.dtype for row in rows} == {"int7", "int8"}
    assert isinstance(processor.multiplies_int8_exactly(), bool)


def test_activation_of_a_conv_is_observed_behind_its_relu(workbench, residual_model):
    capability = next(iter(workbench().load(residual_model).capabilities.values()))
    assert [key.op for key in capability.activations] == ["x", "relu_1"]


def test_tensor_behind_a_pool_shares_the_key_before_it(workbench, residual_model):
    capabilities = workbench().load(residual_model).capabilities
    depthwise = next(c for name, c in capabilities.items() if name == "conv_8")
    assert depthwise.activations[0].op == "relu_6"


def test_attention_stays_float_and_says_so(workbench, attention_model):
    capabilities = workbench().load(attention_model).capabilities.values()
    products = [c for c in capabilities if c.op.type == "MatMul"]
    assert [len(c.configs) > 1 for c in products].count(False) == 2
    assert {c.note for c in products if c.note} == {
        "products of two activations stay float, so that attention stays fused and fast"
    }
    assert all(
        "transformer" in c.note or "mask" in c.note for c in capabilities if c.op.type == "Add"
    )


def test_mask_of_huge_range_stays_float(workbench, net):
    build = net()
    x = build.conv(build.input("x", ["batch", 3, 16, 16]), 16, 3)
    mask = build.input("mask", ["batch", 1, 16, 16])
    added = build.op("Mul", mask, build.constant(np.float32(-1e9)))
    build.output(build.conv(build.op("Add", x, added), 16, 16), ["batch", 16, 16, 16])
    assert "mask with a huge constant" in note(workbench, build.proto(), "Add")


def test_conv_with_computed_weight_says_so(workbench, net):
    build = net()
    x, w = build.input("x", ["batch", 3, 8, 8]), build.input("w", [4, 3, 3, 3])
    build.output(build.op("Conv", x, w), ["batch", 4, 6, 6])
    assert note(workbench, build.proto(), "Conv") == "its weight is computed, not constant"


def test_bodies_of_control_flow_are_left_alone(workbench, net):
    build = net()
    x = build.conv(build.input("x", ["batch", 3, 8, 8]), 16, 3)
    flag = build.input("flag", [], TensorProto.BOOL)
    branches = {}
    for name, op_type in (("then_branch", "Relu"), ("else_branch", "Neg")):
        node = helper.make_node(op_type, [x], [f"{name}_out"], name=name)
        out = helper.make_tensor_value_info(f"{name}_out", TensorProto.FLOAT, None)
        branches[name] = helper.make_graph([node], name, [], [out])
    build.output(build.op("If", flag, **branches), ["batch", 16, 8, 8])
    assert note(workbench, build.proto(), "If") == "its bodies are left alone"
    bench = workbench().load(build.proto())
    x = np.random.default_rng(0).normal(size=(2, 3, 8, 8)).astype(np.float32)
    batches = [{"x": x, "flag": np.array(True)}]
    recipe = bench.best()
    keys = [k for c in bench.capabilities.values() for k in c.activations]
    from inc_core.quant.observers import Observer

    observers = {key: Observer() for key in keys}
    bench.adaptor.observe(bench.model, batches, observers)
    from inc_core.quant.calibrator import Calibration

    calibration = Calibration({k: o.statistics() for k, o in observers.items()}, 2)
    quantized = bench.adaptor.quantize(bench.model, recipe, calibration)
    assert bench.adaptor.predict(quantized, batches[0]).min() >= 0
    assert "QLinearConv" in bench.executed_types(quantized)


def test_lonely_elementwise_op_says_why_it_stays_float(workbench, net):
    build = net()
    x = build.input("x", ["batch", 8])
    build.output(build.op("Add", x, build.constant(np.ones(8, np.float32))), ["batch", 8])
    assert "no neighbour gives integers" in note(workbench, build.proto(), "Add")
