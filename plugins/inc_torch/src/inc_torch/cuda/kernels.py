"""Triton kernels of the operators; they read the packed layouts of ``inc_torch.kernels.packing``.

What each computes is the contract of ``inc_torch.kernels.reference``; ``launch`` chooses tiles and calls
them. Set ``TRITON_INTERPRET=1`` before import to run them on CPU tensors, as the tests do.
"""

from __future__ import annotations

import triton
import triton.language as tl

# Adding and taking away 1.5 * 2**23 rounds a float32 below 2**22 half to even; Triton has no such op.
ROUNDER = tl.constexpr(12582912.0)
SMALLEST_SCALE = tl.constexpr(1.1754943508222875e-38)
SQRT_HALF = tl.constexpr(0.7071067811865476)
TANH_SCALE = tl.constexpr(0.7978845608028654)  # sqrt(2 / pi)
TANH_CUBIC = tl.constexpr(0.044715)


@triton.jit
def activate(y, ACTIVATION: tl.constexpr):
    """Apply an ``Activation`` by its number, in float32."""
    if ACTIVATION == 1:
        y = tl.maximum(y, 0.0)
    elif ACTIVATION == 2:
        y = 0.5 * y * (1.0 + tl.erf(y * SQRT_HALF))
    elif ACTIVATION == 3:
        inner = TANH_SCALE * (y + TANH_CUBIC * y * y * y)
        y = y * tl.sigmoid(2.0 * inner)  # (1 + tanh(z)) / 2 is sigmoid(2 z)
    elif ACTIVATION == 4:
        y = y * tl.sigmoid(y)
    return y


@triton.jit
def quantize_rows(x, q, scales, zero_points, columns, BLOCK: tl.constexpr):
    """Quantize one row per program to int8 around 128: ``x = (q - zero_point) * scale``.

    ``x`` floating and ``q`` int8, ``(M, K)``; ``scales`` float32, ``zero_points`` int32, ``(M,)``: of uint8
    minus 128, because matrix units multiply signed integers. A row with NaN or infinity has a NaN scale.
    """
    row = tl.program_id(0).to(tl.int64)
    low = 0.0
    high = 0.0
    broken = 0
    for start in range(0, columns, BLOCK):
        column = start + tl.arange(0, BLOCK)
        values = tl.load(x + row * columns + column, mask=column < columns, other=0.0)
        values = values.to(tl.float32)
        low = tl.minimum(low, tl.min(values, 0))
        high = tl.maximum(high, tl.max(values, 0))
        # NaN and infinity are what does not vanish when taken from itself
        broken = tl.maximum(broken, tl.max((values - values != 0.0).to(tl.int32), 0))
    scale = tl.div_rn(high - low, 255.0)
    usable = (broken == 0) & (scale >= SMALLEST_SCALE)
    safe = tl.where(usable, scale, 1.0)
    inverse = tl.div_rn(1.0, safe)
    zero = tl.where(broken == 0, ((-low * inverse) + ROUNDER) - ROUNDER, 0.0)
    tl.store(scales + row, tl.where(broken == 0, safe, float("nan")))
    tl.store(zero_points + row, zero.to(tl.int32) - 128)
    for start in range(0, columns, BLOCK):
        column = start + tl.arange(0, BLOCK)
        inside = column < columns
        values = tl.load(x + row * columns + column, mask=inside, other=0.0).to(tl.float32)
        steps = tl.where(broken == 0, ((values * inverse) + ROUNDER) - ROUNDER, 0.0) + zero
        steps = tl.minimum(tl.maximum(steps, 0.0), 255.0) - 128.0
        tl.store(q + row * columns + column, steps.to(tl.int8), mask=inside)


@triton.jit
def int8_linear(
    q,
    row_scales,
    row_zero_points,
    packed,
    column_sums,
    scales,
    bias,
    y,
    rows,
    outputs,
    inputs,
    HAS_BIAS: tl.constexpr,
    ACTIVATION: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """``y = activation(q @ weight.T * scales + bias)``: int8 products, int32 sums, float32 epilogue.

    ``q`` and its scales as ``quantize_rows`` gives them; ``packed`` int8 ``(N64 / 64, K4 / 4, 64, 4)``.
    """
    row = (tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)).to(tl.int64)
    output = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    padded_inputs = (inputs + 3) // 4 * 4
    panel = (output // 64).to(tl.int64) * padded_inputs * 64 + (output % 64) * 4
    sums = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.int32)
    for start in range(0, inputs, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        left = tl.load(
            q + row[:, None] * inputs + k[None, :],
            mask=(row[:, None] < rows) & (k[None, :] < inputs),
            other=0,
        )
        right = tl.load(
            packed + panel[None, :] + (k // 4 * 256 + k % 4)[:, None],
            mask=(output[None, :] < outputs) & (k[:, None] < inputs),
            other=0,
        )
        sums = tl.dot(left, right, sums, out_dtype=tl.int32)
    some, wanted = row < rows, output < outputs
    zero = tl.load(row_zero_points + row, mask=some, other=0)
    sums -= zero[:, None] * tl.load(column_sums + output, mask=wanted, other=0)[None, :]
    scale = tl.load(row_scales + row, mask=some, other=0.0)[:, None]
    result = sums.to(tl.float32) * (
        scale * tl.load(scales + output, mask=wanted, other=0.0)[None, :]
    )
    if HAS_BIAS:
        result += tl.load(bias + output, mask=wanted, other=0.0)[None, :]
    result = activate(result, ACTIVATION)
    place = y + row[:, None] * outputs + output[None, :]
    tl.store(place, result.to(y.dtype.element_ty), mask=some[:, None] & wanted[None, :])


@triton.jit
def int4_linear(
    x,
    packed,
    scales,
    zero_points,
    bias,
    y,
    rows,
    outputs,
    inputs,
    padded_inputs,
    padded_outputs,
    GROUP_SIZE: tl.constexpr,
    HAS_ZERO_POINTS: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    UPCAST: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """``y = x @ weight.T + bias`` with 4-bit weights, in the dtype of ``x`` with float32 sums.

    ``packed`` uint8 ``(N64 / 32, K / 8, 32, 4)``; ``scales`` float16 and ``zero_points`` uint8 ``(G, N64)``.
    ``GROUP_SIZE`` is a multiple of ``BLOCK_K``, so that a step has one group. ``UPCAST`` multiplies in
    float32: the interpreter's bfloat16 product is wrong.
    """
    row = (tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)).to(tl.int64)
    output = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    some, wanted = row < rows, output < outputs
    panel = (output // 32).to(tl.int64) * (padded_inputs // 8) * 128 + (output % 32) * 4
    sums = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for start in range(0, inputs, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        left = tl.load(
            x + row[:, None] * inputs + k[None, :],
            mask=some[:, None] & (k[None, :] < inputs),
            other=0.0,
        )
        byte = tl.load(
            packed + panel[None, :] + (k // 8 * 128 + k % 4)[:, None],
            mask=wanted[None, :] & (k[:, None] < inputs),
            other=0,
        ).to(tl.int32)
        codes = (byte >> ((k % 8) // 4 * 4)[:, None]) & 15
        place = (start // GROUP_SIZE) * padded_outputs + output
        scale = tl.load(scales + place, mask=wanted, other=0.0).to(tl.float32)
        if HAS_ZERO_POINTS:
            zero = tl.load(zero_points + place, mask=wanted, other=0).to(tl.float32)
        else:
            zero = tl.full((BLOCK_N,), 8.0, dtype=tl.float32)
        right = (codes.to(tl.float32) - zero[None, :]) * scale[None, :]
        if UPCAST:
            left = left.to(tl.float32)
        sums = tl.dot(left, right.to(left.dtype), sums, input_precision="ieee")
    if HAS_BIAS:
        sums += tl.load(bias + output, mask=wanted, other=0.0)[None, :]
    target = y + row[:, None] * outputs + output[None, :]
    tl.store(target, sums.to(y.dtype.element_ty), mask=some[:, None] & wanted[None, :])
