"""All static kernels."""

from __future__ import annotations

from inc_onnx import batched_static
from inc_onnx.kernels import conv, gemm, memory_bound

__all__ = ["KERNELS"]

# the first row that fits a node serves it: batched products before those in Q/DQ form
KERNELS = (*conv.KERNELS, *batched_static.KERNELS, *gemm.KERNELS, *memory_bound.KERNELS)
