"""Packed weights turned for GPUs hold the same numbers."""

from __future__ import annotations

import pytest
import torch

from inc_core.hookspecs.adaptor import AdaptorContext
from inc_core.quant.calibrator import Calibration
from inc_core.quant.recipe import Recipe
from inc_torch.adaptor import TorchAdaptor
from inc_torch.cuda import layout
from inc_torch.devices import moved
from inc_torch.kernels import pack_int4_weight, pack_int8_weight
from inc_torch.serialize import tensors_of_graph


def test_int8_rows_hold_the_weight():
    q = torch.randint(-128, 128, (70, 45), dtype=torch.int8)
    matrix = layout.int8_matrix(pack_int8_weight(q).packed)
    assert matrix.shape == (128, 48) and matrix.is_contiguous()
    assert torch.equal(matrix[:70, :45], q) and not matrix[:70, 45:].any()
    assert layout.int8_matrix(matrix) is matrix


@pytest.mark.parametrize(
    ("group_size", "half"), [(32, 16), (64, 32), (96, 16), (128, 64), (256, 64)]
)
def test_int4_rows_hold_the_codes_of_a_chunk_side_by_side(group_size, half):
    q = torch.randint(0, 16, (70, 2 * group_size))
    weight = pack_int4_weight(q, torch.rand(70, 2), None, group_size)
    matrix = layout.int4_matrix(weight.packed, group_size)
    assert layout.half_of(group_size) == half
    chunks = matrix[:70].reshape(70, -1, 1, half)
    codes = torch.cat([chunks & 15, chunks >> 4], 2).reshape(70, -1)
    assert torch.equal(codes.long(), q)
    assert layout.int4_matrix(matrix, group_size) is matrix


@pytest.mark.parametrize("symmetric", [False, True])
def test_the_grid_holds_scales_and_zero_points(symmetric):
    zero_points = None if symmetric else torch.randint(0, 16, (70, 3))
    weight = pack_int4_weight(torch.ones(70, 96).long(), torch.rand(70, 3), zero_points, 32)
    grid = layout.int4_grid(weight.scales, weight.zero_points)
    assert torch.equal((grid & 0xFFFF).to(torch.int16).view(torch.float16), weight.scales)
    wanted = torch.full_like(grid, 8) if symmetric else weight.zero_points
    assert torch.equal(grid >> 16, wanted.int())


class Layer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(64, 32)

    def forward(self, x):
        return self.layer(x)


@pytest.mark.parametrize("approach", ["dynamic", "weight_only"])
def test_a_copy_of_a_graph_is_turned_and_the_model_stays(approach):
    inputs = {"x": torch.randn(3, 64).numpy()}
    adaptor = TorchAdaptor(AdaptorContext("pytorch", approach=approach, threads=1))
    model = adaptor.trace(adaptor.load(Layer().eval()), inputs)
    ops = {one.op: one.configs[0] for one in adaptor.capabilities(model)}
    q_model = adaptor.quantize(model, Recipe(ops), Calibration.none())
    before = adaptor.predict(q_model, inputs)
    there = moved(q_model, "cpu").graph
    layout.turn_weights(there)
    (node,) = (n for n in there.graph.nodes if "inc." in str(n.target) and n.op == "call_function")
    turned = tensors_of_graph(there)
    assert turned[str(node.args[1].target)].dim() == 2
    if approach == "weight_only":
        assert turned[str(node.args[2].target)].dtype == torch.int32 and node.args[3] is None
    assert (adaptor.predict(q_model, inputs) == before).all()
