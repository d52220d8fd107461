"""The mutable view of a graph."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from inc_core.errors import UnsupportedModelError
from inc_onnx.graph import Graph, captured, topological_order


def test_editing_leaves_the_source_unchanged(residual_model):
    before = residual_model.SerializeToString(deterministic=True)
    graph = Graph(residual_model)
    relu = next(node for node in graph.nodes if node.op_type == "Relu")
    graph.remove(relu)
    graph.redirect(relu.output[0], relu.input[0])
    graph.set_constant("c0", np.zeros(3, np.float32))
    graph.proto()
    assert residual_model.SerializeToString(deterministic=True) == before


def test_proto_is_sorted_and_drops_unused_initializers(residual_model):
    graph = Graph(residual_model)
    graph.add_constant("unused", np.ones(4, np.float32))
    graph.nodes.reverse()
    proto = graph.proto()
    seen = {i.name for i in proto.graph.input} | {t.name for t in proto.graph.initializer}
    for node in proto.graph.node:
        assert set(node.input) <= seen
        seen.update(node.output)
    assert "unused" not in seen


def test_fresh_names_collide_with_nothing(residual_model):
    graph = Graph(residual_model)
    names = [graph.fresh("t0") for _ in range(3)]
    assert names == ["t0_2", "t0_3", "t0_4"]


def test_producers_and_consumers_follow_edits(residual_model):
    graph = Graph(residual_model)
    add = next(node for node in graph.nodes if node.op_type == "Add")
    skip = add.input[1]
    assert len(graph.consumers(skip)) == 2 and graph.only_consumer(skip) is None
    graph.set_inputs(add, [add.input[0], "x"])
    assert graph.only_consumer(skip) is not None
    assert add in graph.consumers("x")


def test_outer_tensors_of_a_body_count_as_read(net):
    build = net()
    x = build.op("Relu", build.input("x", [4]))
    body = helper.make_graph(
        [helper.make_node("Neg", [x], ["y"])],
        "body",
        [],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    flag = build.input("flag", [], TensorProto.BOOL)
    build.output(build.op("If", flag, then_branch=body, else_branch=body), [4])
    graph = Graph(build.proto())
    assert captured(graph.nodes[-1]) == {x}
    assert graph.only_consumer(x).op_type == "If"


def test_cycle_is_an_unsupported_model_error():
    nodes = [
        helper.make_node("Relu", ["a"], ["b"], name="first"),
        helper.make_node("Relu", ["b"], ["a"], name="second"),
    ]
    with pytest.raises(UnsupportedModelError, match="a cycle at node 'first'"):
        topological_order(nodes)


def test_shapes_tell_dynamic_dimensions(residual_model):
    graph = Graph(residual_model)
    assert graph.shape("x") == (None, 3, 16, 16)
    assert graph.named_shape("x") == ("batch", 3, 16, 16)
    assert graph.shape("nowhere") is None
