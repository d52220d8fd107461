"""``TorchModel``: what the adaptor hands around, and what the user gets: a ``torch.nn.Module``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from inc_core.errors import DataError
from inc_core.quant.spec import OpConfig, OpKey, TensorKey
from inc_torch.forms import fast_form, plain_form
from inc_torch.habits import Habits, stand_in
from inc_torch.signature import Signature, flatten_outputs, rebuild

__all__ = ["ModelFacts", "TorchModel"]


@dataclass(frozen=True)
class ModelFacts:
    """What is known of a model beside its module; not part of what is computed.

    Attributes:
        signature: What it takes and gives; ``None`` until it saw a batch.
        traced: Whether the body is a graph of torch's operators; else it is the user's own code.
        obstacle: Why it could not be traced, in words for the user.
        ops: How each op runs, by the ops of the float model; empty for a float model.
        factors: By what equalization divided channels, by tensor.
        habits: What it does beside calling its layers, if it runs its own code.
    """

    signature: Signature | None = None
    traced: bool = False
    obstacle: str = ""
    ops: Mapping[OpKey, OpConfig] = field(default_factory=dict)
    factors: Mapping[TensorKey, np.ndarray[Any, Any]] = field(default_factory=dict)
    habits: Habits = field(default_factory=Habits)


class TorchModel(nn.Module):
    """A float or quantized model, called as the user's own module is called.

    Args:
        body: A graph that takes and gives tensors, if ``facts.traced``; else the user's module.
        facts: What is known of it.
    """

    def __init__(self, body: nn.Module, facts: ModelFacts) -> None:
        super().__init__()
        self.body = fast_form(body) if facts.traced else body
        self.facts = facts
        signature = facts.signature
        self._names = tuple(one.name for one in signature.inputs) if signature else ()
        self._nest = signature.outputs if signature else None
        # of the layer in whose place it is, for other code that asks that layer
        self._replaced: dict[str, Any] = {}
        self.eval()

    def stand_for(self, path: str, layer: nn.Module) -> None:
        """Answer as ``layer`` what other code asks of it: its sizes, the dtype of its weight."""
        self._replaced = {k: v for k, v in vars(layer).items() if not k.startswith("_")}
        del self._replaced["training"]
        for name, tensor in layer.named_parameters(recurse=False):
            self._replaced[name] = (f"{path}.{name}", tuple(tensor.shape), tensor.dtype)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run; inputs by position or name, outputs in the nest in which the float module gives them.

        Raises:
            DataError: If a traced model's input has not the shape that was traced; the batch is open.
        """
        if not self.facts.traced:
            return self.body(*args, **kwargs)
        tensors = (*args, *(kwargs[name] for name in self._names[len(args) :]))
        self._check(tensors)
        outputs = self._outputs(tensors)
        return outputs[0] if self._nest is None else rebuild(self._nest, outputs)

    def _outputs(self, tensors: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        is_static = self.body is not plain_form(self.body)
        if is_static and any(one.dim() and one.shape[0] == 0 for one in tensors):
            return self._outputs_of_nothing(tensors)
        return tuple(self.body(*tensors))

    def _outputs_of_nothing(self, tensors: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Return what an empty batch gives: torch's integer ops give it the shape of a matrix.

        Sizes follow from those of one and two samples, on a line.
        """
        runs = []
        for samples in (1, 2):
            filled = [
                one.new_zeros((samples, *one.shape[1:])) if one.shape[:1] == (0,) else one
                for one in tensors
            ]
            runs.append(self.body(*filled))
        shapes = [
            [2 * a - b for a, b in zip(one.shape, two.shape, strict=True)]
            for one, two in zip(*runs, strict=True)
        ]
        if not all(0 in shape for shape in shapes):
            return tuple(self.body(*tensors))  # numbers of no sample, which only the ops can tell
        return tuple(one.new_empty(shape) for one, shape in zip(runs[0], shapes, strict=True))

    def _check(self, tensors: Sequence[torch.Tensor]) -> None:
        """Refuse sizes that were fixed when the model was traced: its graph may hold them as numbers."""
        signature = self.facts.signature
        for info, tensor in zip(signature.inputs if signature else (), tensors, strict=False):
            if not info.accepts(tensor.shape):
                raise DataError(
                    f"input {info.name!r} must have the shape of {info}, received "
                    f"{tuple(tensor.shape)}. The model was traced on sizes like these; for others "
                    "quantize it with data of those sizes."
                )

    def __getattr__(self, name: str) -> Any:
        """Find methods of a model that runs its own code where its user expects them: ``generate``."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            body, facts = self.__dict__.get("_modules", {}).get("body"), self.__dict__.get("facts")
            replaced = self.__dict__.get("_replaced", {})
            if name in replaced:
                value = replaced[name]
                return stand_in(*value) if name in ("weight", "bias") else value
            # not what Python and copy look for: those are questions about this object
            if body is None or facts is None or facts.traced or name.startswith("_"):
                raise
            return getattr(body, name)

    @property
    def graph(self) -> fx.GraphModule:
        """The graph of plain tensors and operators that a traced model runs: what is saved."""
        return plain_form(self.body)

    def flat(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Run on tensors in the order of the signature; return the output tensors in order."""
        if self.facts.traced:
            return self._outputs(tensors)
        if not self._names:
            return flatten_outputs(self.body(*tensors))
        return flatten_outputs(self.body(**dict(zip(self._names, tensors, strict=True))))
