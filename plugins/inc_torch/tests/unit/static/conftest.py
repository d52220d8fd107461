"""What a lowered graph must come to: the float graph on fake-quantized operands, calibrated on the spot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, fx

from inc_core.quant.qparams import QParams, choose_qparams
from inc_core.quant.spec import TensorSpec
from inc_core.testing.oracle import fake_quantize
from inc_torch.static import StaticConfig, lower, prepare, tensors_of
from inc_torch.static.fusion import kind_of
from inc_torch.static.lower import _Lowering
from inc_torch.static.pooling import is_global_mean, window_of
from inc_torch.static.prepare import attribute

U8 = TensorSpec("uint8", "asym")
S8 = TensorSpec("int8", "sym", "per_channel")


def export(module: torch.nn.Module, *inputs: Tensor, dynamic: bool = False) -> fx.GraphModule:
    """Return the prepared graph of a module."""
    batch = torch.export.Dim("batch", min=1, max=64)
    shapes = tuple({0: batch} for _ in inputs) if dynamic else None
    program = torch.export.export(module.eval(), inputs, dynamic_shapes=shapes)
    return prepare(program.module())


def ranges(module: fx.GraphModule, *inputs: Tensor) -> dict[str, tuple[float, float]]:
    """Return smallest and largest number of every tensor."""
    found: dict[str, tuple[float, float]] = {}

    class Watch(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            result = super().run_node(n)
            if isinstance(result, Tensor) and n.op != "get_attr":
                found[n.name] = (float(result.min()), float(result.max()))
            return result

    Watch(module).run(*inputs)
    return found


def decide(
    module: fx.GraphModule, *inputs: Tensor, only: Any = None
) -> tuple[dict[str, StaticConfig], dict[str, QParams]]:
    """Quantize every op that can be, or those of which ``only(node)`` is true."""
    nodes = [n for n in module.graph.nodes if kind_of(n) and (only is None or only(n))]
    decisions = {n.name: StaticConfig(weight_qparams(module, n)) for n in nodes}
    found = ranges(module, *inputs)
    names = {name for tensors in tensors_of(module, decisions).values() for name in tensors}
    return decisions, {name: choose_qparams(*found[name], U8) for name in names}


def weight_qparams(module: fx.GraphModule, node: fx.Node) -> QParams | None:
    if kind_of(node) == "add":
        return None
    weight = attribute(module, node.args[1].target).detach().numpy()
    flat = weight.reshape(weight.shape[0], -1)
    return choose_qparams(flat.min(1), flat.max(1), S8, axis=0)


class Oracle(fx.Interpreter):
    """Runs the float graph with every operand of a static op fake-quantized in numpy.

    An addition that a convolution takes in reads that convolution's result unrounded.
    """

    def __init__(
        self,
        module: fx.GraphModule,
        decisions: dict[str, StaticConfig],
        qparams: dict[str, QParams],
    ) -> None:
        super().__init__(module)
        self.lowering = _Lowering(module, decisions, qparams)
        self.decisions = decisions
        self.taken_in = {f.addition: f.other for f in self.lowering.fusions.values() if f.addition}

    def run_node(self, n: fx.Node) -> Any:
        self.node = n
        return super().run_node(n)

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        node, args = self.node, list(args)
        if node.name in self.decisions:
            weight = self.decisions[node.name].weight
            for position in range(1 if weight else 2):
                if node not in self.taken_in or self.taken_in[node] is node.args[position]:
                    args[position] = self._fake(node.args[position], args[position])
            if weight:
                args[1] = torch.from_numpy(fake_quantize(args[1].detach().numpy(), weight))
        elif (is_global_mean(node) or window_of(node)) and self.lowering.is_wanted(node.args[0]):
            args[0] = self._fake(node.args[0], args[0])
        return super().call_function(target, tuple(args), kwargs)

    def _fake(self, node: fx.Node, value: Tensor) -> Tensor:
        scale = self.lowering.scales.get(node)
        assert scale is not None
        qparams = QParams(np.float32(scale.scale), np.int32(scale.zero_point), "uint8")
        return torch.from_numpy(fake_quantize(value.detach().numpy(), qparams))


class Lab:
    """What the tests of this folder share."""

    export = staticmethod(export)
    ranges = staticmethod(ranges)
    decide = staticmethod(decide)
    oracle = Oracle

    def lower(
        self, net: torch.nn.Module, *inputs: Tensor, only: Any = None, dynamic: bool = False
    ) -> fx.GraphModule:
        """Return the lowered graph of a net, calibrated on ``inputs``."""
        module = export(net, *inputs, dynamic=dynamic)
        return lower(module, *decide(module, *inputs, only=only))

    def both(self, net: torch.nn.Module, *inputs: Tensor, only: Any = None) -> tuple[Any, Any]:
        """Return the outputs of the lowered graph, and those of the oracle."""
        module = export(net, *inputs)
        decisions, qparams = decide(module, *inputs, only=only)
        lowered = lower(module, decisions, qparams)
        return lowered(*inputs), Oracle(module, decisions, qparams).run(*inputs)

    def called(self, lowered: fx.GraphModule) -> list[str]:
        """Return the names of the functions that a graph calls, in order."""
        functions = [node.target for node in lowered.graph.nodes if node.op == "call_function"]
        return [getattr(one, "__name__", str(one)).split(".")[0] for one in functions]


@pytest.fixture
def lab() -> Lab:
    return Lab()


@pytest.fixture(autouse=True)
def one_thread_without_gradients() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with torch.no_grad():
        yield
    torch.set_num_threads(threads)
