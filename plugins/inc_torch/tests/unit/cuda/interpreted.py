"""Run in a process of its own with ``TRITON_INTERPRET=1``: prints each check's error by its name."""

from __future__ import annotations

import json
import sys
import traceback

import torch

from inc_torch.cuda import launch
from inc_torch.kernels import pack_int4_weight, pack_int8_weight, reference

# rows, outputs, inputs: one row, tails in every dimension, several tiles
SHAPES = {
    "one row": (1, 64, 64),
    "tails": (33, 70, 161),
    "tiles": (130, 131, 300),
    "tiny": (2, 3, 5),
}
ACTIVATIONS = {"none": 0, "relu": 1, "gelu": 2, "gelu tanh": 3, "silu": 4}
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
# of the largest output: what rounding weights to the activations' dtype may cost
INT4_TOLERANCE = {"fp32": 1e-5, "fp16": 2e-3, "bf16": 1e-2}


def rows_of(m, k):
    return torch.randn(m, k) * torch.exp(torch.randn(m, 1))


def check_rows(shape, dtype):
    x = rows_of(SHAPES[shape][0], SHAPES[shape][2]).to(DTYPES[dtype])
    q, scales, zero_points = launch.quantize_rows(x)
    wanted = reference.quantize_rows(x.float())
    assert torch.equal(q.int() + 128, wanted[0])
    assert torch.equal(scales, wanted[1][:, 0])
    assert torch.equal(zero_points + 128, wanted[2][:, 0])


def check_int8(shape, activation):
    m, n, k = SHAPES[shape]
    weight = pack_int8_weight(torch.randint(-128, 128, (n, k), dtype=torch.int8))
    arguments = (
        rows_of(m, k),
        weight.packed,
        weight.column_sums,
        torch.rand(n) * 0.01,
        torch.randn(n) if m > 1 else None,
        n,
        ACTIVATIONS[activation],
    )
    found, wanted = launch.dynamic_linear(*arguments), reference.dynamic_linear(*arguments)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def check_int4(shape, dtype, group_size, symmetric):
    m, n, k = SHAPES[shape]
    groups = 1 if group_size == -1 else -(-k // group_size)
    weight = pack_int4_weight(
        torch.randint(0, 16, (n, k)),
        torch.rand(n, groups) * 0.1,
        None if symmetric else torch.randint(0, 16, (n, groups)),
        group_size,
    )
    arguments = (
        rows_of(m, k).to(DTYPES[dtype]),
        weight.packed,
        weight.scales,
        weight.zero_points,
        torch.randn(n) if m > 1 else None,
        k,
        n,
        weight.group_size,
        0,
    )
    found, wanted = launch.int4_linear(*arguments), reference.int4_linear(*arguments)
    assert found.dtype == wanted.dtype
    error = (found.float() - wanted.float()).abs().max() / wanted.float().abs().max()
    assert error < INT4_TOLERANCE[dtype], float(error)


def check_broken(value):
    x = rows_of(4, 70)
    x[1, 3], x[2] = float(value), 0.0
    weight = pack_int8_weight(torch.randint(-128, 128, (5, 70), dtype=torch.int8))
    y = launch.dynamic_linear(x, weight.packed, weight.column_sums, torch.ones(5), None, 5, 0)
    assert y[1].isnan().all() and y[[0, 2, 3]].isfinite().all() and not y[2].any()


def checks():
    for shape in SHAPES:
        for dtype in DTYPES:
            yield f"rows, {shape}, {dtype}", check_rows, (shape, dtype)
            for group_size in (32, 64, -1) if shape == "tails" else (32,):
                for symmetric in (False, True) if shape == "tails" else (False,):
                    name = f"int4, {shape}, {dtype}, {group_size}, {'sym' if symmetric else 'asym'}"
                    yield name, check_int4, (shape, dtype, group_size, symmetric)
        for activation in ACTIVATIONS:
            yield f"int8, {shape}, {activation}", check_int8, (shape, activation)
    for value in ("nan", "inf", "-inf"):
        yield f"broken, {value}", check_broken, (value,)


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
