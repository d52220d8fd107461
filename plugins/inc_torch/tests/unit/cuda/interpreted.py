"""Run in a process of its own: prints each check's error by its name.

With ``TRITON_INTERPRET=1`` the kernels run on CPU tensors, without it on a GPU.
"""

from __future__ import annotations

import json
import os
import sys
import traceback

import torch

from inc_torch.cuda import float8, launch, layout
from inc_torch.kernels import pack_int4_weight, pack_int8_weight, reference

DEVICE = "cpu" if os.environ.get("TRITON_INTERPRET") == "1" else "cuda"
# rows, outputs, inputs: one row, tails in every dimension, several tiles
SHAPES = {
    "one row": (1, 64, 64),
    "one row, tails": (1, 70, 1057),
    "tails": (33, 70, 161),
    "tiles": (130, 131, 300),
    "tiny": (2, 3, 5),
    "many rows": (520, 66, 32),
    "long rows": (3, 2, 20001),
}
ACTIVATIONS = {"none": 0, "relu": 1, "gelu": 2, "gelu tanh": 3, "silu": 4}
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
# of the largest output: what rounding weights to the activations' dtype may cost
INT4_TOLERANCE = {"fp32": 1e-5, "fp16": 2e-3, "bf16": 1e-2}


def rows_of(m, k):
    return torch.randn(m, k) * torch.exp(torch.randn(m, 1))


def there(arguments):
    return [a.to(DEVICE) if isinstance(a, torch.Tensor) else a for a in arguments]


def check_rows(shape, dtype):
    m, _, k = SHAPES[shape]
    x = rows_of(m, k).to(DTYPES[dtype])
    q, scales, zero_points = (found.cpu() for found in launch.quantize_rows(x.to(DEVICE)))
    wanted = reference.quantize_rows(x.float())
    assert torch.equal(q[:, :k].int() + 128, wanted[0])
    assert torch.equal(scales, wanted[1][:, 0])
    assert torch.equal(zero_points + 128, wanted[2][:, 0])


def check_float8_rows(shape, dtype):
    x = rows_of(SHAPES[shape][0], SHAPES[shape][2]).to(DTYPES[dtype])
    x[-1, 0], x[0] = torch.nan, 0.0
    q, scales = (found.cpu() for found in launch.quantize_float8(x.to(DEVICE)))
    wanted = float8.quantize_float8(x)
    torch.testing.assert_close(scales, wanted[1], rtol=0, atol=0, equal_nan=True)
    # the interpreter's rounding loses the carry into the exponent
    wrong = (q.float() - wanted[0].float()).nan_to_num(1.0) != 0
    assert wrong.float().mean() <= (0.03 if DEVICE == "cpu" else 0)


def check_int8(shape, activation, turned):
    m, n, k = SHAPES[shape]
    weight = pack_int8_weight(torch.randint(-128, 128, (n, k), dtype=torch.int8))
    arguments = [
        rows_of(m, k),
        weight.packed,
        weight.column_sums,
        torch.rand(n) * 0.01,
        torch.randn(n) if m > 1 else None,
        n,
        ACTIVATIONS[activation],
    ]
    wanted = reference.dynamic_linear(*arguments)
    if turned:
        arguments[1] = layout.int8_matrix(arguments[1])
    found = launch.dynamic_linear(*there(arguments)).cpu()
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def check_int4(shape, dtype, group_size, symmetric, compute, turned):
    m, n, k = SHAPES[shape]
    groups = 1 if group_size == -1 else -(-k // group_size)
    weight = pack_int4_weight(
        torch.randint(0, 16, (n, k)),
        torch.rand(n, groups) * 0.1,
        None if symmetric else torch.randint(0, 16, (n, groups)),
        group_size,
    )
    arguments = [
        rows_of(m, k).to(DTYPES[dtype]),
        weight.packed,
        weight.scales,
        weight.zero_points,
        torch.randn(n) if m > 1 else None,
        k,
        n,
        weight.group_size,
        compute,
    ]
    wanted = reference.int4_linear(*arguments[:-1], 0)
    if turned:
        arguments[1] = layout.int4_matrix(weight.packed, weight.group_size)
        arguments[2:4] = layout.int4_grid(weight.scales, weight.zero_points), None
    found = launch.int4_linear(*there(arguments)).cpu()
    assert found.dtype == wanted.dtype and found.shape == wanted.shape
    error = (found.float() - wanted.float()).abs().max() / wanted.float().abs().max()
    assert error < INT4_TOLERANCE["bf16" if compute else dtype], float(error)


def check_broken(value):
    x = rows_of(4, 70)
    x[1, 3], x[2] = float(value), 0.0
    weight = pack_int8_weight(torch.randint(-128, 128, (5, 70), dtype=torch.int8))
    arguments = (x, weight.packed, weight.column_sums, torch.ones(5), None, 5, 0)
    y = launch.dynamic_linear(*there(arguments))
    assert y[1].isnan().all() and y[[0, 2, 3]].isfinite().all() and not y[2].any()


def checks():
    for shape in SHAPES:
        if shape not in ("many rows", "long rows"):
            yield from checks_of(shape)
    for dtype in DTYPES:
        yield f"rows, long rows, {dtype}", check_rows, ("long rows", dtype)
        yield f"float8 rows, long rows, {dtype}", check_float8_rows, ("long rows", dtype)
        yield f"int4, many rows, {dtype}", check_int4, ("many rows", dtype, 32, False, 0, True)
    for value in ("nan", "inf", "-inf"):
        yield f"broken, {value}", check_broken, (value,)


def checks_of(shape):
    for dtype in DTYPES:
        yield f"rows, {shape}, {dtype}", check_rows, (shape, dtype)
        yield f"float8 rows, {shape}, {dtype}", check_float8_rows, (shape, dtype)
        for group_size in (32, 64, 96, 128, -1) if "tails" in shape else (32,):
            for symmetric in (False, True) if "tails" in shape else (False,):
                name = f"int4, {shape}, {dtype}, {group_size}, {'sym' if symmetric else 'asym'}"
                yield name, check_int4, (shape, dtype, group_size, symmetric, 0, not symmetric)
    yield f"int4, {shape}, rounded", check_int4, (shape, "fp32", 32, True, 2, True)
    for activation in ACTIVATIONS:
        arguments = (shape, activation, activation != "relu")
        yield f"int8, {shape}, {activation}", check_int8, arguments


def main():
    torch.set_num_threads(1)
    found = {}
    for name, check, arguments in checks():
        torch.manual_seed(0)
        try:
            check(*arguments)
            found[name] = ""
        except Exception:  # noqa: BLE001 - whatever it is, the test shows it
            found[name] = traceback.format_exc(limit=-2)
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
