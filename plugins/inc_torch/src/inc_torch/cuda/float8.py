"""``inc::float8_linear``: weights and activations in float8 (e4m3), multiplied by ``torch._scaled_mm``.

GPUs of compute capability 8.9 and later multiply float8. Elsewhere, and for sizes that the matrix
product does not take, the same numbers are multiplied in float32.
"""

from __future__ import annotations

import importlib.util
from functools import cache

import torch
from torch import Tensor

from inc_core.errors import QuantizationError

__all__ = ["FLOAT8_MAX", "define", "quantize_float8", "supported", "triton_found"]

SCHEMA = "float8_linear(Tensor x, Tensor weight, Tensor scales, Tensor? bias) -> Tensor"
FLOAT8_MAX = torch.finfo(torch.float8_e4m3fn).max
_FIRST_CAPABILITY = (8, 9)
# the matrix product takes whole tiles of 16 along inputs and outputs
_MULTIPLE = 16
# below it 1 / scale is not finite; such a row is all zero
_SMALLEST_SCALE = torch.finfo(torch.float32).tiny


def define(library: torch.library.Library) -> None:
    """Define the operator in the namespace of ``library``, with its fake kernel."""
    library.define(SCHEMA, tags=(torch.Tag.pt2_compliant_tag,))
    library.impl("float8_linear", reference, "CompositeExplicitAutograd")
    library.impl("float8_linear", _on_cuda, "CUDA")
    torch.library.register_fake(
        "inc::float8_linear",
        lambda x, weight, scales, bias: x.new_empty((*x.shape[:-1], weight.shape[0])),
        lib=library,
    )


def quantize_float8(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Quantize each row of a matrix to float8 e4m3.

    Args:
        rows: Floating ``(M, K)``: activations, or a weight by output.

    Returns:
        float8_e4m3fn ``(M, K)`` and float32 scales ``(M, 1)``; a row with NaN or infinity has a NaN scale.
    """
    values = rows.float()
    scales = values.abs().amax(1, keepdim=True) / FLOAT8_MAX
    finite = torch.isfinite(scales)
    safe = torch.where(finite & (scales >= _SMALLEST_SCALE), scales, 1.0)
    steps = torch.where(finite, values * (1 / safe), 0.0).clamp(-FLOAT8_MAX, FLOAT8_MAX)
    return steps.to(torch.float8_e4m3fn), torch.where(finite, safe, torch.nan)


@cache
def triton_found() -> bool:
    """Whether Triton is installed; it is not imported."""
    return importlib.util.find_spec("triton") is not None


def supported(device: torch.device) -> bool:
    """Whether a device multiplies float8 itself."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= _FIRST_CAPABILITY


def reference(x: Tensor, weight: Tensor, scales: Tensor, bias: Tensor | None) -> Tensor:
    """Multiply the float8 numbers in float32; ``weight`` float8 ``(N, K)``, ``scales`` float32 ``(N,)``."""
    q, row_scales = quantize_float8(_rows(x, weight))
    y = (q.float() @ weight.float().t()) * (row_scales * scales)
    if bias is not None:
        y = y + bias
    return y.reshape(*x.shape[:-1], len(weight)).to(x.dtype)


def scaled_product(x: Tensor, weight: Tensor, scales: Tensor, bias: Tensor | None) -> Tensor:
    """As ``reference``, by the device's own float8 product; the result is rounded to bfloat16."""
    q, row_scales = _quantized(_rows(x, weight))
    y = torch._scaled_mm(
        q,
        weight.t(),
        scale_a=row_scales,
        scale_b=scales[None, :].contiguous(),
        bias=None if bias is None else bias.bfloat16(),
        out_dtype=torch.bfloat16,
    )
    return y.reshape(*x.shape[:-1], len(weight)).to(x.dtype)


def _on_cuda(x: Tensor, weight: Tensor, scales: Tensor, bias: Tensor | None) -> Tensor:
    whole = not any(size % _MULTIPLE for size in weight.shape)
    chosen = scaled_product if whole and supported(x.device) else reference
    return chosen(x, weight, scales, bias)


def _quantized(rows: Tensor) -> tuple[Tensor, Tensor]:
    if rows.device.type != "cuda" or not triton_found():
        return quantize_float8(rows)
    from inc_torch.cuda import launch

    return launch.quantize_float8(rows.contiguous())


def _rows(x: Tensor, weight: Tensor) -> Tensor:
    if x.shape[-1] != weight.shape[1]:
        raise QuantizationError(
            f"the weight takes activations of shape (..., {weight.shape[1]}), received {tuple(x.shape)}"
        )
    return x.reshape(-1, x.shape[-1])
