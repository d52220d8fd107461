"""From the static ops of a recipe to a model in training that rounds where the kernels will."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from inc_core.hookspecs.training import Ranges, SimulatedOp
from inc_core.quant.spec import OpKey, TensorKey
from inc_torch.training.fake_quant import FakeQuantize
from inc_torch.training.layers import QUANTIZABLE, fold_norm, simulate, stop_simulating

__all__ = ["Simulation", "prepare", "simulation_of"]

_HOLDER = "inc_simulation"


def prepare(
    model: nn.Module, ops: Mapping[OpKey, SimulatedOp], ranges: Ranges, *, learned: bool = True
) -> None:
    """Make a model round, in place, what the static ops of a recipe will hold in integers.

    Ops are found by the path of the layer that they are named after. Of a tensor between ops, what
    reads it rounds it; the outputs of layers are rounded for the additions that read them, and only
    observed where nothing in integers reads them.

    Args:
        model: The user's module.
        ops: Static ops.
        ranges: To start from.
        learned: Whether gradients move ranges.
    """
    model.__dict__[_HOLDER] = Simulation(model, ops, ranges, learned=learned)


def simulation_of(model: nn.Module) -> Simulation | None:
    """Return what ``prepare`` made of a model; ``None`` if nothing."""
    found = model.__dict__.get(_HOLDER)
    return found if isinstance(found, Simulation) else None


class Simulation:
    """The quantizers of one model, by tensor, and the hooks that apply them."""

    def __init__(
        self,
        model: nn.Module,
        ops: Mapping[OpKey, SimulatedOp],
        ranges: Ranges,
        *,
        learned: bool,
    ) -> None:
        self._model = model
        self._layers = {name: layer for name, layer in model.named_modules() if name}
        self._read = _read_by(ops)
        self.quantizers: dict[TensorKey, FakeQuantize] = {}
        self._handles: list[Any] = []
        for op in ops.values():
            spec = op.config.activation
            for key in op.activations:
                if spec is not None and key not in self.quantizers:
                    self.quantizers[key] = FakeQuantize(
                        spec, ranges.get(key), learned=learned, simulates=key in self._read
                    )
        self._simulate_layers(ops)
        self._norms = _NormFinder(model, [self._layers[n] for n in self._simulated])
        self._tap_outputs()

    @property
    def ranges(self) -> dict[TensorKey, tuple[float, float]]:
        """The range of each tensor that was seen."""
        found = {key: quantizer.range for key, quantizer in self.quantizers.items()}
        return {key: known for key, known in found.items() if known is not None}

    def end(self) -> None:
        """Give the model back as it was, with the weights that were learnt."""
        for handle in self._handles:
            handle.remove()
        self._norms.end()
        stop_simulating(self._model)
        for layer in self._layers.values():
            layer._modules.pop(_OUTPUT, None)
        self._model.__dict__.pop(_HOLDER, None)

    def _simulate_layers(self, ops: Mapping[OpKey, SimulatedOp]) -> None:
        self._simulated: list[str] = []
        for op, simulated in ops.items():
            layer, weight = self._layers.get(op.name), simulated.config.weight
            if type(layer) in QUANTIZABLE and layer is not None and weight is not None:
                simulate(layer, self.quantizers[simulated.activations[0]], weight)
                self._simulated.append(op.name)

    def _tap_outputs(self) -> None:
        """Have tensors rounded or observed that no simulated layer reads."""
        held = {id(module) for module in self._model.modules()}
        for key, quantizer in self.quantizers.items():
            layer = self._layers.get(key.op)
            read_by_layers = id(quantizer) in held
            if layer is None or (read_by_layers and not self._read[key]):
                continue  # the layers that read it round it
            if not read_by_layers:
                # a part of the layer, for optimizers; a container such as Sequential would call it
                layer.add_module(_OUTPUT, quantizer)
            self._handles.append(layer.register_forward_hook(_Tap(self, quantizer)))

    @property
    def searching(self) -> bool:
        """Whether the first forward pass, which finds batch norms, is not over."""
        return self._norms.searching

    def norm_behind(self, layer: nn.Module) -> nn.Module | None:
        """Return the batch norm that takes the output of a simulated conv, if there is one."""
        norm = layer.__dict__.get("inc_norm")
        return norm if isinstance(norm, nn.Module) else None


_OUTPUT = "inc_output"


def _read_by(ops: Mapping[OpKey, SimulatedOp]) -> dict[TensorKey, bool]:
    """Return the tensors that static ops read, and whether an op without weight is among these."""
    read: dict[TensorKey, bool] = {}
    for op in ops.values():
        adds = op.config.weight is None
        for key in op.activations[: 2 if adds else 1]:
            read[key] = read.get(key, False) or adds
    return read


class _Tap:
    """Rounds or observes what a layer gives: with a batch norm behind it, what that one gives."""

    def __init__(self, simulation: Simulation, quantizer: FakeQuantize) -> None:
        self._simulation = simulation
        self._quantizer = quantizer
        self._moved = False

    def __call__(self, layer: nn.Module, inputs: Any, output: Any) -> Any:
        if not isinstance(output, Tensor) or self._simulation.searching:
            return None  # another tensor than the conv's own would hide the norm behind it
        norm = self._simulation.norm_behind(layer)
        if norm is None:
            return self._quantizer(output)
        if not self._moved:  # the kernel gives what the norm gives: from now on it is tapped
            self._moved = True
            self._simulation._handles.append(norm.register_forward_hook(_NormTap(self._quantizer)))
        return None


class _NormTap:
    def __init__(self, quantizer: FakeQuantize) -> None:
        self._quantizer = quantizer

    def __call__(self, layer: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        rounded: Tensor = self._quantizer(output)
        return rounded


class _NormFinder:
    """Finds in the first forward pass which batch norm takes the output of which conv.

    Seen at run time, it is right for models that nothing can trace.
    """

    def __init__(self, model: nn.Module, convs: list[nn.Module]) -> None:
        self._outputs: dict[int, tuple[nn.Module, Tensor]] = {}
        self._handles = [conv.register_forward_hook(self._remember) for conv in convs]
        norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        self._handles += [norm.register_forward_pre_hook(self._pair) for norm in norms]
        self._handles.append(model.register_forward_hook(self._done))

    @property
    def searching(self) -> bool:
        """Whether it is still looking."""
        return bool(self._handles)

    def end(self) -> None:
        """Stop looking."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self._outputs = {}

    def _remember(self, layer: nn.Module, inputs: Any, output: Tensor) -> None:
        self._outputs[id(output)] = (layer, output)  # held, so that no other tensor gets its id

    def _pair(self, norm: nn.Module, inputs: tuple[Any, ...]) -> None:
        found = self._outputs.get(id(inputs[0])) if inputs else None
        if found is not None and not isinstance(found[0], nn.Linear):
            fold_norm(found[0], norm)

    def _done(self, model: nn.Module, inputs: Any, output: Any) -> None:
        self.end()
