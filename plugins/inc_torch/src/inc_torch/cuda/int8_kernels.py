"""Triton kernels for 8 bits: rows quantized to int8 and to float8, and the int8 product.

They read the layouts of ``inc_torch.cuda.layout``. What each computes is the contract of
``inc_torch.kernels.reference``; ``launch`` chooses tiles and calls them. Set ``TRITON_INTERPRET=1`` before
import to run them on CPU tensors, as the tests do.
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
FLOAT8_MAX = tl.constexpr(448.0)


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
def load_row(x, row, start, columns, BLOCK: tl.constexpr):
    """Load part of a row of ``x`` as float32, zeros beyond its end."""
    column = start + tl.arange(0, BLOCK)
    return tl.load(x + row * columns + column, mask=column < columns, other=0.0).to(tl.float32)


@triton.jit
def widened(values, low, high, broken):
    """Widen ``low`` and ``high`` by a vector; ``broken`` becomes 1 at a NaN or an infinity."""
    low = tl.minimum(low, tl.min(values, 0))
    high = tl.maximum(high, tl.max(values, 0))
    # NaN and infinity are what does not vanish when taken from itself
    broken = tl.maximum(broken, tl.max((values - values != 0.0).to(tl.int32), 0))
    return low, high, broken


@triton.jit
def extent(x, row, columns, WHOLE: tl.constexpr, BLOCK: tl.constexpr):
    """Return the first block of a row, and low, high and broken of all of it."""
    first = load_row(x, row, 0, columns, BLOCK)
    low, high, broken = widened(first, 0.0, 0.0, 0)
    if not WHOLE:
        for start in range(BLOCK, columns, BLOCK):
            values = load_row(x, row, start, columns, BLOCK)
            low, high, broken = widened(values, low, high, broken)
    return first, low, high, broken


@triton.jit
def int8_steps(values, inverse, zero, broken):
    """Round to steps around 128 and saturate, as int8."""
    steps = tl.where(broken == 0, ((values * inverse) + ROUNDER) - ROUNDER, 0.0) + zero
    return (tl.minimum(tl.maximum(steps, 0.0), 255.0) - 128.0).to(tl.int8)


@triton.jit
def quantize_rows(
    x, q, scales, zero_points, columns, stride, WHOLE: tl.constexpr, BLOCK: tl.constexpr
):
    """Quantize one row per program to int8 around 128: ``x = (q - zero_point) * scale``.

    ``x`` floating ``(M, K)``, ``q`` int8 ``(M, stride)``; ``scales`` float32, ``zero_points`` int32,
    ``(M,)``: of uint8 minus 128, because matrix units multiply signed integers. A row with NaN or infinity
    has a NaN scale. ``WHOLE``: a block holds the row, which is read once.
    """
    row = tl.program_id(0).to(tl.int64)
    first, low, high, broken = extent(x, row, columns, WHOLE, BLOCK)
    scale = tl.div_rn(high - low, 255.0)
    usable = (broken == 0) & (scale >= SMALLEST_SCALE)
    safe = tl.where(usable, scale, 1.0)
    inverse = tl.div_rn(1.0, safe)
    zero = tl.where(broken == 0, ((-low * inverse) + ROUNDER) - ROUNDER, 0.0)
    tl.store(scales + row, tl.where(broken == 0, safe, float("nan")))
    tl.store(zero_points + row, zero.to(tl.int32) - 128)
    target = q + row * stride + tl.arange(0, BLOCK)
    left = columns - tl.arange(0, BLOCK)
    tl.store(target, int8_steps(first, inverse, zero, broken), mask=left > 0)
    if not WHOLE:
        for start in range(BLOCK, columns, BLOCK):
            values = load_row(x, row, start, columns, BLOCK)
            steps = int8_steps(values, inverse, zero, broken)
            tl.store(target + start, steps, mask=left > start)


@triton.jit
def quantize_rows_float8(x, q, scales, columns, WHOLE: tl.constexpr, BLOCK: tl.constexpr):
    """Quantize one row per program to float8 e4m3, symmetric; as ``float8.quantize_float8`` does."""
    row = tl.program_id(0).to(tl.int64)
    first, low, high, broken = extent(x, row, columns, WHOLE, BLOCK)
    scale = tl.div_rn(tl.maximum(-low, high), FLOAT8_MAX)
    safe = tl.where((broken == 0) & (scale >= SMALLEST_SCALE), scale, 1.0)
    inverse = tl.div_rn(1.0, safe)
    tl.store(scales + row, tl.where(broken == 0, safe, float("nan")))
    target = q + row * columns + tl.arange(0, BLOCK)
    left = columns - tl.arange(0, BLOCK)
    tl.store(target, float8_of(first, inverse, broken), mask=left > 0)
    if not WHOLE:
        for start in range(BLOCK, columns, BLOCK):
            steps = float8_of(load_row(x, row, start, columns, BLOCK), inverse, broken)
            tl.store(target + start, steps, mask=left > start)


@triton.jit
def float8_of(values, inverse, broken):
    """Scale, saturate and round to e4m3."""
    steps = tl.where(broken == 0, values * inverse, 0.0)
    return tl.minimum(tl.maximum(steps, -FLOAT8_MAX), FLOAT8_MAX).to(tl.float8e4nv)


@triton.jit
def tile_of(program, rows, outputs, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr):
    """Return a program's tile ``(m, n)``: eight tiles of rows share the weights that the cache holds."""
    TOGETHER: tl.constexpr = 8
    tall, wide = tl.cdiv(rows, BLOCK_M), tl.cdiv(outputs, BLOCK_N)
    first = program // (TOGETHER * wide) * TOGETHER
    height = tl.minimum(tall - first, TOGETHER)
    within = program % (TOGETHER * wide)
    return first + within % height, within // height


@triton.jit(do_not_specialize=["rows"])
def int8_linear(
    q,
    row_scales,
    row_zero_points,
    matrix,
    column_sums,
    scales,
    bias,
    y,
    rows,
    outputs,
    stride,
    HAS_BIAS: tl.constexpr,
    ACTIVATION: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """``y = activation(q @ weight.T * scales + bias)``: int8 products, int32 sums, float32 epilogue.

    ``q`` int8 ``(M, stride)`` and its scales as ``quantize_rows`` gives them; ``matrix`` int8
    ``(N64, stride)``, zero beyond the inputs, where ``q`` may hold anything.
    """
    m, n = tile_of(tl.program_id(0), rows, outputs, BLOCK_M, BLOCK_N)
    row = (m * BLOCK_M + tl.arange(0, BLOCK_M)).to(tl.int64)
    output = (n * BLOCK_N + tl.arange(0, BLOCK_N)).to(tl.int64)
    some, wanted = row < rows, output < outputs
    # beyond the last output the first is read again: no mask in the loop, nothing is stored
    left = q + row[:, None] * stride
    right = matrix + tl.where(wanted, output, 0)[None, :] * stride
    k = tl.arange(0, BLOCK_K)
    sums = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.int32)
    for start in range(0, stride, BLOCK_K):
        inside = k < stride - start
        values = tl.load(left + (start + k)[None, :], mask=some[:, None] & inside[None, :], other=0)
        weights = tl.load(right + (start + k)[:, None], mask=inside[:, None], other=0)
        sums = tl.dot(values, weights, sums, out_dtype=tl.int32)
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
