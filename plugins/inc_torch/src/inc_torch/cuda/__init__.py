"""The operators on NVIDIA GPUs: Triton kernels for CUDA tensors, beside the reference and native ones.

``register`` puts them before the reference; Triton is imported when the first CUDA tensor arrives. Without
Triton the reference computes the same on the GPU, slower.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

import torch

from inc_torch.cuda import float8

__all__ = ["cuda_status", "register"]

logger = logging.getLogger("inc_core.torch.cuda")

_OPERATORS = ("dynamic_linear", "int4_linear")


def register(library: torch.library.Library) -> None:
    """Let CUDA tensors take the Triton kernels.

    Args:
        library: The namespace ``inc``, with the operators defined.
    """
    float8.define(library)
    for name in _OPERATORS:
        library.impl(name, _Lazy(name), "CUDA")


@cache
def cuda_status() -> str:
    """Say which kernels run the operators on CUDA tensors, for the ledger."""
    if not float8.triton_found():
        return "reference (Triton is not installed: pip install 'inc-torch[cuda]')"
    return "Triton"


class _Lazy:
    """Calls an operator's Triton launch; what Triton needs is imported by the first call."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, *args: Any) -> torch.Tensor:
        if cuda_status() != "Triton":
            _warn_once()
            from inc_torch.kernels import reference

            return getattr(reference, self._name)(*args)
        from inc_torch.cuda import launch

        return getattr(launch, self._name)(*args)


@cache
def _warn_once() -> None:
    logger.warning("operators on CUDA tensors run in plain torch, slower: %s", cuda_status())
