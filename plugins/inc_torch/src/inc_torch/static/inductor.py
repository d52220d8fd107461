"""Inductor for the final model: an opt-in, as it compiles for minutes what runs well without."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

__all__ = ["Compiled", "compiled"]


def compiled(model: nn.Module) -> Compiled:
    """Return a module that runs ``model`` compiled by inductor.

    It pays where much of a model stays float beside its integer ops (normalization, attention, activations
    without a fused kernel), and for a model that runs long enough: the first call of each new shape
    compiles, for half a minute up to several. Outputs agree with those of ``model`` to the rounding of
    float32; integer ops are the same kernels.

    Args:
        model: A quantized model in eval mode; it is not changed, and found as ``.model``.

    Raises:
        RuntimeError: By the first call, where no C++ compiler is installed.
    """
    return Compiled(model)


class Compiled(nn.Module):
    """What ``compiled`` returns. Copies, state and exported programs are those of ``model``."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.eval()
        self._forget()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the compiled model; the first call of a shape compiles."""
        if torch.compiler.is_exporting():
            return self.model(*args, **kwargs)
        with torch.no_grad():
            return self._run(*args, **kwargs)

    def _forget(self) -> None:
        # integer weights are packed already, and inductor's own freezing fails on packed ones (torch 2.13)
        run = torch.compile(self.model, fullgraph=True, options={"freezing": False})
        object.__setattr__(self, "_run", run)  # past nn.Module: a copy compiles anew

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_run"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._forget()
