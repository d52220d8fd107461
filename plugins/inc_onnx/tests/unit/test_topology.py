"""What only moves values depends on what the installed ONNX Runtime moves as integers."""

from __future__ import annotations

import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from inc_onnx.graph import Graph
from inc_onnx.topology import moved_input


def node_of(op_type, **attributes):
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 2, 2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    node = helper.make_node(op_type, ["x"], ["y"], **attributes)
    model = helper.make_model(helper.make_graph([node], "moves", [x], [y]))
    return Graph(model), model.graph.node[0]


@pytest.mark.parametrize(
    ("version", "moved"), [("1.19.2", None), ("1.20.1", None), ("1.21.0", "x"), ("2.0.0", "x")]
)
def test_depth_to_space_moves_integers_since_1_21(monkeypatch, version, moved):
    monkeypatch.setattr(ort, "__version__", version)
    assert moved_input(*node_of("DepthToSpace", blocksize=2)) == moved


def test_other_ops_do_not_depend_on_it(monkeypatch):
    monkeypatch.setattr(ort, "__version__", "1.19.0")
    assert moved_input(*node_of("Flatten")) == "x"
    assert moved_input(*node_of("Relu")) is None
