"""``TorchModel``: what the adaptor hands around, and what the user gets: a ``torch.nn.Module``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from inc_core.quant.spec import OpConfig, OpKey, TensorKey
from inc_torch.forms import fast_form, plain_form
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
    """

    signature: Signature | None = None
    traced: bool = False
    obstacle: str = ""
    ops: Mapping[OpKey, OpConfig] = field(default_factory=dict)
    factors: Mapping[TensorKey, np.ndarray[Any, Any]] = field(default_factory=dict)


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
        self.eval()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run; inputs by position or name, outputs in the nest in which the float module gives them."""
        if not self.facts.traced:
            return self.body(*args, **kwargs)
        rest = [kwargs[name] for name in self._names[len(args) :]]
        outputs = self.body(*args, *rest)
        return outputs[0] if self._nest is None else rebuild(self._nest, outputs)

    def __getattr__(self, name: str) -> Any:
        """Find methods of a model that runs its own code where its user expects them: ``generate``."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            body, facts = self.__dict__.get("_modules", {}).get("body"), self.__dict__.get("facts")
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
            return tuple(self.body(*tensors))
        if not self._names:
            return flatten_outputs(self.body(*tensors))
        return flatten_outputs(self.body(**dict(zip(self._names, tensors, strict=True))))
