"""``StaticPlan``: which tensors of a recipe are integers, and with which scale, before any rewriting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from onnx import NodeProto

from inc_core.quant.qparams import QParams, choose_qparams
from inc_core.quant.spec import OpConfig, TensorSpec
from inc_onnx.graph import Graph
from inc_onnx.topology import moved_input, output_tensor, source_tensor, tensor_key

if TYPE_CHECKING:
    from inc_core.quant.calibrator import Calibration

__all__ = ["COMPUTE_TYPES", "StaticPlan", "data_inputs"]

# worth quantizing for their own sake; all others pay only between integer neighbours
COMPUTE_TYPES = frozenset({"Conv", "Gemm", "MatMul"})


class StaticPlan:
    """Decides scales for the static ops of one recipe, on the unchanged float graph.

    Tensors that only move values share the scale of their source; the inputs and the output of a
    ``Concat`` share one where that is exact.

    Args:
        graph: The float graph.
        configs: Config by node name, of the ops that the recipe runs statically.
        calibration: Where ranges come from.
    """

    def __init__(
        self, graph: Graph, configs: Mapping[str, OpConfig], calibration: Calibration
    ) -> None:
        self._graph = graph
        self._calibration = calibration
        self.configs: dict[str, OpConfig] = {}
        self._makers: dict[str, NodeProto] = {}
        self._specs: dict[str, TensorSpec] = {}
        self._shared: dict[str, str] = {}
        self._bounds: dict[str, tuple[str, ...]] = {}
        self._qparams: dict[str, QParams] = {}
        self._choose_live(configs)
        self._choose_specs()

    def is_static(self, node: NodeProto) -> bool:
        """Whether a node is quantized: the recipe says so, and it pays."""
        return node.name in self.configs

    def wants_integer(self, tensor: str) -> bool:
        """Whether a quantized op reads a tensor, directly or moved."""
        for node in self._graph.consumers(tensor):
            if self.is_static(node) and tensor in data_inputs(self._graph, node):
                return True
            if moved_input(self._graph, node) == tensor and any(
                self.wants_integer(output) for output in node.output
            ):
                return True
        return False

    def qparams(self, tensor: str) -> QParams:
        """Return scale and zero point of a tensor, the same for all that share them."""
        leader = self._leader(source_tensor(self._graph, tensor))
        if leader not in self._qparams:
            self._qparams[leader] = self._choose_qparams(leader)
        return self._qparams[leader]

    def _choose_live(self, configs: Mapping[str, OpConfig]) -> None:
        """Keep the static ops that compute, and of the others those with an integer input."""
        for node in self._graph.nodes:
            config = configs.get(node.name)
            if config is None:
                continue
            sources = (source_tensor(self._graph, t) for t in data_inputs(self._graph, node))
            if node.op_type in COMPUTE_TYPES or any(s in self._makers for s in sources):
                self.configs[node.name] = config
                self._makers[output_tensor(self._graph, node)] = node

    def _choose_specs(self) -> None:
        for tensor, maker in self._makers.items():
            self._specs[tensor] = _activation(self.configs[maker.name])
        for node in self._graph.nodes:
            if not self.is_static(node):
                continue
            sources = [source_tensor(self._graph, t) for t in data_inputs(self._graph, node)]
            for source in sources:
                self._specs.setdefault(source, _activation(self.configs[node.name]))
            if node.op_type == "Concat" and self._may_share(sources):
                self._share(sources, node.output[0])

    def _may_share(self, sources: Sequence[str]) -> bool:
        """Whether one scale for all leaves every absorbed activation implied by the integer range.

        A ``Relu`` is implied only if zero is the smallest integer, a ``Clip`` only if its bound is
        the largest too: then all must be bounded in the same way.
        """
        return len({self._bound(source) for source in sources}) == 1

    def _bound(self, tensor: str) -> tuple[str, ...]:
        """Return the activation that bounds a tensor and all that share its scale; empty for none."""
        leader = self._leader(tensor)
        if leader not in self._bounds:
            maker = self._graph.producer(leader)
            is_activation = maker is not None and maker.op_type in ("Relu", "Clip")
            bound = (maker.op_type, *maker.input[1:]) if maker and is_activation else ()
            self._bounds[leader] = bound
        return self._bounds[leader]

    def _share(self, sources: Sequence[str], output: str) -> None:
        bound = self._bound(sources[0])
        leaders = {self._leader(tensor) for tensor in (*sources, output)}
        first = min(leaders)
        for leader in leaders - {first}:
            self._shared[leader] = first
        self._bounds[first] = bound

    def _leader(self, tensor: str) -> str:
        while tensor in self._shared:
            tensor = self._shared[tensor]
        return tensor

    def _choose_qparams(self, leader: str) -> QParams:
        members = [t for t in self._specs if self._leader(t) == leader]
        spec = next(self._specs[tensor] for tensor in members)
        values = self._graph.constant(leader)
        if values is not None and members == [leader]:
            return choose_qparams(values.min(), values.max(), spec)
        keys = [tensor_key(self._graph, t) for t in members if not self._graph.is_constant(t)]
        if len(keys) == 1:
            return self._calibration.qparams(keys[0], spec)
        return self._calibration.merged_qparams(keys, spec)


def data_inputs(graph: Graph, node: NodeProto) -> tuple[str, ...]:
    """Return the inputs of a node that a static config quantizes as activations.

    Weights and biases of ``COMPUTE_TYPES`` are not among them; constants of other ops are.
    """
    if node.op_type in COMPUTE_TYPES:
        inputs = node.input[:2] if node.op_type == "MatMul" else node.input[:1]
        return tuple(name for name in inputs if not graph.is_constant(name))
    return tuple(node.input)


def _activation(config: OpConfig) -> TensorSpec:
    assert config.activation is not None  # every static config of the kernel table has one
    return config.activation
