"""The operators of the namespace ``inc``: one schema, one fake kernel and one reference each.

The reference is registered for every device; :mod:`inc_torch.kernels.library` then puts the native kernel
in front of it for CPU tensors.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from inc_torch.kernels import reference


class Activation(enum.IntEnum):
    """What is applied to a linear's output, by the number that the operators take."""

    NONE = 0
    RELU = 1
    GELU = 2  # by erf, torch's default
    GELU_TANH = 3
    SILU = 4


class Compute(enum.IntEnum):
    """In what ``int4_linear`` multiplies, by the number that the operator takes."""

    FP32 = 0
    BF16 = 1  # activations rounded to bf16, sums in float32
    INT8 = 2  # activations quantized per row and group, symmetric; fastest


SCHEMAS = {
    "dynamic_linear": "(Tensor x, Tensor packed, Tensor column_sums, Tensor scales, Tensor? bias, "
    "int out_features, int activation) -> Tensor",
    "static_linear": "(Tensor q_x, float x_scale, int x_zero_point, Tensor packed, Tensor column_sums, "
    "Tensor scales, Tensor? bias, int activation, Tensor? addend, float? out_scale, int out_zero_point) "
    "-> Tensor",
    "int4_linear": "(Tensor x, Tensor packed, Tensor scales, Tensor? zero_points, Tensor? bias, "
    "int in_features, int out_features, int group_size, int compute) -> Tensor",
    "quantize": "(Tensor x, float scale, int zero_point, bool signed) -> Tensor",
    "dequantize": "(Tensor q, float scale, int zero_point) -> Tensor",
    "layer_norm_quantize": "(Tensor x, Tensor? weight, Tensor? bias, float eps, float scale, "
    "int zero_point, bool signed) -> Tensor",
    "layer_norm_and_quantize": "(Tensor x, Tensor? weight, Tensor? bias, float eps, float scale, "
    "int zero_point, bool signed) -> (Tensor, Tensor)",
}


def _linear(x: Tensor, out_features: int) -> Tensor:
    return x.new_empty((*x.shape[:-1], out_features))


def _elementwise(x: Tensor, dtype: torch.dtype) -> Tensor:
    return x.new_empty(x.shape, dtype=dtype).contiguous(memory_format=reference.layout_of(x))


def _quantized_dtype(signed: bool) -> torch.dtype:
    return torch.int8 if signed else torch.uint8


def _fake_dynamic_linear(
    x: Tensor,
    packed: Tensor,
    column_sums: Tensor,
    scales: Tensor,
    bias: Tensor | None,
    out_features: int,
    activation: int,
) -> Tensor:
    return _linear(x, out_features)


def _fake_static_linear(
    q_x: Tensor,
    x_scale: float,
    x_zero_point: int,
    packed: Tensor,
    column_sums: Tensor,
    scales: Tensor,
    bias: Tensor | None,
    activation: int,
    addend: Tensor | None,
    out_scale: float | None,
    out_zero_point: int,
) -> Tensor:
    dtype = torch.float32 if out_scale is None else torch.uint8
    return q_x.new_empty((*q_x.shape[:-1], scales.shape[0]), dtype=dtype)


def _fake_int4_linear(
    x: Tensor,
    packed: Tensor,
    scales: Tensor,
    zero_points: Tensor | None,
    bias: Tensor | None,
    in_features: int,
    out_features: int,
    group_size: int,
    compute: int,
) -> Tensor:
    return _linear(x, out_features)


def _fake_quantize(x: Tensor, scale: float, zero_point: int, signed: bool) -> Tensor:
    return _elementwise(x, _quantized_dtype(signed))


def _fake_dequantize(q: Tensor, scale: float, zero_point: int) -> Tensor:
    return _elementwise(q, torch.float32)


def _fake_layer_norm_quantize(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
    scale: float,
    zero_point: int,
    signed: bool,
) -> Tensor:
    return x.new_empty(x.shape, dtype=_quantized_dtype(signed))


def _fake_layer_norm_and_quantize(x: Tensor, *arguments: Any) -> tuple[Tensor, Tensor]:
    return _fake_layer_norm_quantize(x, *arguments), x.new_empty(x.shape, dtype=torch.float32)


_FAKES: dict[str, Callable[..., Any]] = {
    "dynamic_linear": _fake_dynamic_linear,
    "static_linear": _fake_static_linear,
    "int4_linear": _fake_int4_linear,
    "quantize": _fake_quantize,
    "dequantize": _fake_dequantize,
    "layer_norm_quantize": _fake_layer_norm_quantize,
    "layer_norm_and_quantize": _fake_layer_norm_and_quantize,
}


def register() -> torch.library.Library:
    """Define the operators; they live as long as the returned library does."""
    library = torch.library.Library("inc", "FRAGMENT")
    for name, schema in SCHEMAS.items():
        library.define(name + schema, tags=(torch.Tag.pt2_compliant_tag,))
        library.impl(name, getattr(reference, name), "CompositeExplicitAutograd")
        torch.library.register_fake(f"inc::{name}", _FAKES[name], lib=library)
    return library
