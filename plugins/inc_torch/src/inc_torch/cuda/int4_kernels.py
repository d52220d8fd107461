"""Triton kernels for 4-bit weights: for few rows, and a weight made floating again for many.

They read ``layout.int4_matrix``: byte ``j`` of a chunk holds the codes of inputs ``j`` and ``HALF + j``; and
``layout.int4_grid``: scales and zero points, ``(G, N64)``. ``GROUP`` counts bytes of a group.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def inputs_of(byte, HALF: tl.constexpr):
    """Return the input of a byte's low code; its high code's is ``HALF`` further."""
    return byte // HALF * (2 * HALF) + byte % HALF


def _spread(number: int) -> tl.constexpr:
    """Return PTX that sets the codes of two bytes below the bits of a 16-bit number."""
    both = number << 16 | number
    set_below = f"0x000F000F, 0x{both:08X}, 0xEA;"  # 0xEA: (a & b) | c
    return tl.constexpr(
        f"""{{
        .reg .b32 both;
        cvt.u32.u16 both, $2;
        prmt.b32 both, both, 0, 0x4140;
        lop3.b32 $0, both, {set_below}
        shr.b32 both, both, 4;
        lop3.b32 $1, both, {set_below}
        }}"""
    )


BELOW_128 = _spread(0x4300)  # bfloat16
BELOW_1024 = _spread(0x6400)  # float16
REGISTERS = tl.constexpr("=r,=r,h")


@triton.jit
def codes_of(byte, zero, DTYPE: tl.constexpr):
    """Return the low and the high codes of bytes, ``zero`` taken away, in ``DTYPE``, exact.

    The bits of a code, set below those of 128 (bfloat16) or 1024 (float16), are that number plus the code.
    In assembly, two bytes at a time as they lie in registers: an integer operation for each code, where
    converting takes three.
    """
    if tl.bfloat16 == DTYPE:
        low, high = tl.inline_asm_elementwise(
            BELOW_128, REGISTERS, [byte], (tl.bfloat16, tl.bfloat16), True, 2
        )
        offset = (zero + 128.0).to(tl.bfloat16)
    elif tl.float16 == DTYPE:
        low, high = tl.inline_asm_elementwise(
            BELOW_1024, REGISTERS, [byte], (tl.float16, tl.float16), True, 2
        )
        offset = (zero + 1024.0).to(tl.float16)
    else:
        low, high = (byte & 15).to(tl.float32), (byte >> 4).to(tl.float32)
        offset = zero
    return low - offset, high - offset


@triton.jit
def load_grid(grid, place, mask):
    """Load scales and zero points as float32.

    They are one word because only loads of 32 bits or more are sent for steps ahead.
    """
    word = tl.load(grid + place, mask=mask, other=0)
    scale = (word & 0xFFFF).to(tl.int16).to(tl.float16, bitcast=True).to(tl.float32)
    return scale, (word >> 16).to(tl.float32)


@triton.jit(do_not_specialize=["rows"])
def int4_linear(
    x,
    matrix,
    grid,
    bias,
    y,
    rows,
    outputs,
    inputs,
    stride,
    padded_outputs,
    GROUP: tl.constexpr,
    HALF: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    UPCAST: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_B: tl.constexpr,
    SPLITS: tl.constexpr,
    WHOLE: tl.constexpr,
):
    """``y = x @ weight.T + bias`` in the dtype of ``x`` with float32 sums, which are scaled by group.

    ``GROUP`` is a multiple of ``BLOCK_B``, so that a step has one group: codes are multiplied as they are,
    exactly, and only the sums are scaled. The weight is the left operand, which matrix units take from
    registers. With ``SPLITS`` programs along the inputs ``y`` is float32 ``(SPLITS, M, N)``, and
    ``sum_splits`` follows. ``WHOLE``: blocks end where the inputs do. ``UPCAST`` multiplies in float32: the
    interpreter's bfloat16 product is wrong.
    """
    row = (tl.program_id(1) * BLOCK_M + tl.arange(0, BLOCK_M)).to(tl.int64)
    output = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    split = tl.program_id(2)
    some, wanted = row < rows, output < outputs
    right = x + row[None, :] * inputs
    left = matrix + tl.where(wanted, output, 0).to(tl.int64)[:, None] * stride
    byte = tl.arange(0, BLOCK_B)
    DTYPE: tl.constexpr = tl.float32 if UPCAST else x.dtype.element_ty
    sums = tl.zeros((BLOCK_N, BLOCK_M), dtype=tl.float32)
    for start in range(split * BLOCK_B, stride, SPLITS * BLOCK_B):
        place = start + byte
        k = inputs_of(place, HALF)
        if WHOLE:
            low = tl.load(right + k[:, None], mask=some[None, :], other=0.0)
            high = tl.load(right + (k + HALF)[:, None], mask=some[None, :], other=0.0)
            codes = tl.load(left + place[None, :])
        else:
            inside = (k < inputs)[:, None] & some[None, :]
            low = tl.load(right + k[:, None], mask=inside, other=0.0)
            inside = (k + HALF < inputs)[:, None] & some[None, :]
            high = tl.load(right + (k + HALF)[:, None], mask=inside, other=0.0)
            codes = tl.load(left + place[None, :], mask=(place < stride)[None, :], other=0)
        cell = (start // GROUP) * padded_outputs + output
        scale, zero = load_grid(grid, cell, wanted)
        low_codes, high_codes = codes_of(codes, zero[:, None], DTYPE)
        part = tl.dot(low_codes, low.to(DTYPE), input_precision="ieee")
        part = tl.dot(high_codes, high.to(DTYPE), part, input_precision="ieee")
        sums += part * scale[:, None]
    if HAS_BIAS:
        mine = output < tl.where(split == 0, outputs, 0)
        sums += tl.load(bias + output, mask=mine, other=0.0)[:, None]
    target = y + (split * rows + row)[None, :] * outputs + output[:, None]
    tl.store(target, sums.to(y.dtype.element_ty), mask=some[None, :] & wanted[:, None])


@triton.jit
def sum_splits(parts, y, size, SPLITS: tl.constexpr, BLOCK: tl.constexpr):
    """``y = parts.sum(0)``: float32 ``(SPLITS, size)`` to the dtype of ``y``, always in one order."""
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = place < size
    sums = tl.zeros((BLOCK,), dtype=tl.float32)
    for split in tl.static_range(SPLITS):
        sums += tl.load(parts + split * size + place, mask=inside, other=0.0)
    tl.store(y + place, sums.to(y.dtype.element_ty), mask=inside)


@triton.jit
def dequantize(
    matrix,
    grid,
    weight,
    inputs,
    stride,
    padded_outputs,
    GROUP: tl.constexpr,
    HALF: tl.constexpr,
    BLOCK_B: tl.constexpr,
):
    """Write ``BLOCK_B`` bytes of one output as floating ``weight`` ``(N, K)``."""
    output = tl.program_id(0).to(tl.int64)
    place = tl.program_id(1) * BLOCK_B + tl.arange(0, BLOCK_B)
    inside = place < stride
    codes = tl.load(matrix + output * stride + place, mask=inside, other=0)
    cell = place // GROUP * padded_outputs + output
    scale, zero = load_grid(grid, cell, inside)
    k = inputs_of(place, HALF)
    target = weight + output * inputs + k
    dtype: tl.constexpr = weight.dtype.element_ty
    low = ((codes & 15).to(tl.float32) - zero) * scale
    high = ((codes >> 4).to(tl.float32) - zero) * scale
    tl.store(target, low.to(dtype), mask=inside & (k < inputs))
    tl.store(target + HALF, high.to(dtype), mask=inside & (k + HALF < inputs))
