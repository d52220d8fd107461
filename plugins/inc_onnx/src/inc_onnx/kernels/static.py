"""All static kernels."""

from __future__ import annotations

from inc_onnx.kernels import conv, gemm, memory_bound

__all__ = ["KERNELS"]

KERNELS = (*conv.KERNELS, *gemm.KERNELS, *memory_bound.KERNELS)
