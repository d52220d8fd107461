"""How much each op's rounding moves the outputs, from one backward sweep.

The Kullback-Leibler divergence of outputs moved by a small ``d`` is ``d' F d / 2`` with the Fisher matrix
``F``, the covariance of the gradient of ``log p(y)`` over answers ``y`` that the model itself gives. So
one backward pass per answer is enough for all ops: what an op's rounding does to its own result, times the
gradient there, squared, is an estimate of twice what it does to the outputs.

Source: Amari 1998, "Natural gradient works efficiently in learning"; for quantization Dong et al. 2019
(arXiv:1905.03696), which takes the trace of the Hessian instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from inc_core.quant.qparams import QParams, choose_qparams
from inc_core.quant.spec import OpConfig, OpKey, TensorSpec
from inc_core.quant.weights import quantize_weight
from inc_torch.naming import op_key
from inc_torch.static.prepare import attribute

__all__ = ["Sweep"]

# Of answers that are drawn for each batch: the estimate's noise falls with their number.
DRAWS = 4
# The draws are the same in every process.
SEED = 20

_LEAST = 1e-30


class Sweep(fx.Interpreter):
    """Runs a float graph forwards with gradients, and keeps what rounding does to each op.

    Args:
        graph: Normalized, with names.
        wanted: The configs that are asked for, by op.
    """

    def __init__(self, graph: fx.GraphModule, wanted: Mapping[OpKey, Sequence[OpConfig]]) -> None:
        super().__init__(graph)
        self._wanted = wanted
        self._generator = torch.Generator().manual_seed(SEED)
        self._weights: dict[tuple[OpKey, TensorSpec], Tensor] = {}
        self._moved: dict[OpKey, tuple[Tensor, dict[OpConfig, Tensor]]] = {}
        self._total: dict[OpKey, dict[OpConfig, float]] = {
            op: dict.fromkeys(configs, 0.0) for op, configs in wanted.items()
        }
        self._samples = 0

    def add(self, inputs: Sequence[Tensor]) -> None:
        """Add one batch: the fewer samples, the less memory."""
        samples = inputs[0].shape[0]
        with torch.enable_grad():
            outputs = self.run(*(one.clone() for one in inputs))
            floats = [one for one in outputs if one.is_floating_point() and one.requires_grad]
            for output in floats:
                for _ in range(DRAWS):
                    self._backwards(output, samples, len(floats))
        self._moved.clear()
        self._samples += samples

    def scores(self) -> dict[OpKey, dict[OpConfig, float]]:
        """Return the estimated divergence of the outputs, by op and config."""
        count = max(self._samples, 1)
        return {
            op: {config: total / count for config, total in row.items()}
            for op, row in self._total.items()
        }

    def run_node(self, node: fx.Node) -> Any:
        """Run one op; of an op that is asked for, also in each of its configs."""
        result = super().run_node(node)
        op = op_key(node) if node.op == "call_function" else None
        if op not in self._wanted or not isinstance(result, Tensor):
            return result
        if not result.requires_grad:
            result.requires_grad_()
        args, kwargs = self.fetch_args_kwargs_from_env(node)
        with torch.no_grad():
            changes = {
                config: self._rounded(node, config, args, kwargs) - result.detach()
                for config in self._wanted[op]
            }
        self._moved[op] = (result, changes)
        return result

    def _rounded(
        self, node: fx.Node, config: OpConfig, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Tensor:
        """Run an op on rounded operands; static ranges are those of this batch."""
        op, operands = op_key(node), list(args)
        if config.weight is not None:
            operands[1] = self._rounded_weight(node, op, config.weight)
        if config.activation is not None:
            count = len(operands) if config.weight is None else 1
            for i in range(count):
                if isinstance(operands[i], Tensor):
                    operands[i] = _rounded_tensor(operands[i].detach(), config)
        if config.mode == "bf16":
            operands = [one.bfloat16() if isinstance(one, Tensor) else one for one in operands]
        return node.target(*operands, **kwargs).float()

    def _rounded_weight(self, node: fx.Node, op: OpKey, spec: TensorSpec) -> Tensor:
        if (op, spec) not in self._weights:
            weight = attribute(self.module, str(node.args[1].target)).detach()
            plain = TensorSpec(spec.dtype, spec.scheme, spec.granularity, "minmax", spec.group_size)
            integers, qparams = quantize_weight(weight.numpy(), plain, axis=0)
            self._weights[op, spec] = torch.from_numpy(qparams.dequantize(integers))
        return self._weights[op, spec]

    def _backwards(self, output: Tensor, samples: int, outputs: int) -> None:
        results = [result for result, _ in self._moved.values()]
        objective = _log_likelihood(output, self._generator)
        gradients = torch.autograd.grad(objective, results, retain_graph=True, allow_unused=True)
        for (op, (_, changes)), gradient in zip(self._moved.items(), gradients, strict=True):
            if gradient is None:
                continue  # this output does not depend on the op
            for config, change in changes.items():
                moved = (gradient * change).reshape(samples, -1).sum(1)
                score = float((moved**2).sum()) / (2 * DRAWS * outputs)
                self._total[op][config] += score


def _log_likelihood(output: Tensor, generator: torch.Generator) -> Tensor:
    """Return what the model says to an answer of its own, summed over the batch.

    Class scores ``(N, C)`` give a class; other outputs a value near their own, with the error measured
    against their mean square, as ``inc_core.tuning.divergence`` measures it.
    """
    if output.dim() == 2 and output.shape[1] > 1:
        logs = _log_probabilities(output)
        drawn = torch.multinomial(logs.detach().exp(), 1, generator=generator)
        return logs.gather(1, drawn).sum()
    signs = torch.randint(0, 2, output.shape, generator=generator) * 2.0 - 1.0
    power = float(output.detach().square().mean()) * output[0].numel()
    return (output * signs).sum() * (2.0 / max(power, _LEAST)) ** 0.5


def _log_probabilities(output: Tensor) -> Tensor:
    rows = output.detach()
    if float(rows.min()) >= 0 and float((rows.sum(1) - 1).abs().max()) < 1e-3:
        return output.clamp_min(_LEAST).log()
    return torch.log_softmax(output, 1)


def _rounded_tensor(value: Tensor, config: OpConfig) -> Tensor:
    assert config.activation is not None
    spec = TensorSpec(config.activation.dtype, config.activation.scheme)
    if config.mode != "dynamic" or value.dim() < 2:
        return _fake_quantize(value, choose_qparams(float(value.min()), float(value.max()), spec))
    rows = value.reshape(-1, value.shape[-1])
    lo, hi = rows.amin(1).numpy(), rows.amax(1).numpy()
    qparams = choose_qparams(lo, hi, spec, axis=0)
    scale = torch.from_numpy(qparams.scale)[:, None]
    zero = torch.from_numpy(qparams.zero_point)[:, None]
    rounded = (torch.round(rows / scale) + zero).clamp(spec.qmin, spec.qmax)
    return ((rounded - zero) * scale).reshape(value.shape)


def _fake_quantize(value: Tensor, qparams: QParams) -> Tensor:
    scale, zero_point = float(qparams.scale), int(qparams.zero_point)
    return torch.fake_quantize_per_tensor_affine(value, scale, zero_point, 0, 255)
