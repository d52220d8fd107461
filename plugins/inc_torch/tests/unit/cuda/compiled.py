"""Run in a process of its own: every kernel compiled for each GPU, without one."""

from __future__ import annotations

import json
import sys
import traceback

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from inc_torch.cuda import int4_kernels, int8_kernels, launch

GPUS = {"sm_80": 80, "sm_90": 90, "sm_100": 100}
SIZES = ("rows", "outputs", "inputs", "padded_outputs", "columns", "stride", "size")
POINTERS = {
    "q": "*i8",
    "scales": "*fp32",
    "zero_points": "*i32",
    "row_scales": "*fp32",
    "row_zero_points": "*i32",
    "matrix": "*i8",
    "column_sums": "*i32",
    "bias": "*fp32",
}
INT4_POINTERS = {"matrix": "*u8", "grid": "*i32"}
INT4_CONSTANTS = {"GROUP": 64, "HALF": 64}


def constants_of(tile, inputs="BLOCK_K"):
    return {"BLOCK_M": tile.m, "BLOCK_N": tile.n, inputs: tile.k}


def variants():
    """Give back name, kernel, types of pointers, constants and options of each."""
    for dtype in ("fp32", "fp16", "bf16"):
        block = {"WHOLE": True, "BLOCK": 1024}
        yield f"rows, {dtype}", int8_kernels.quantize_rows, {"x": f"*{dtype}"}, block, {}
        yield from int4_variants(dtype)
    block = {"WHOLE": False, "BLOCK": 4096}
    pointers = {"x": "*bf16", "q": "*fp8e4nv"}
    yield "float8 rows", int8_kernels.quantize_rows_float8, pointers, block, {}
    for activation in range(5):
        for rows in (64,) if activation else (1, 64, 512, 4096):
            tile = launch.int8_tile(rows, 4096, 4096, 132)
            constants = constants_of(tile) | {"HAS_BIAS": True, "ACTIVATION": activation}
            name = f"int8, activation {activation}, {rows} rows"
            yield name, int8_kernels.int8_linear, {"y": "*bf16"}, constants, tile.options()


def int4_variants(dtype):
    pointers = INT4_POINTERS | {"x": f"*{dtype}", "y": f"*{dtype}"}
    constants = INT4_CONSTANTS | {"BLOCK_B": 1024}
    weight = INT4_POINTERS | {"weight": f"*{dtype}"}
    yield f"int4 made {dtype}", int4_kernels.dequantize, weight, constants, {}
    for rows in (64,) if dtype == "fp32" else (2, 64):
        tile, splits = launch.int4_tile(rows, 4096, 132, 64)
        constants = INT4_CONSTANTS | constants_of(tile, "BLOCK_B")
        constants |= {"HAS_BIAS": True, "UPCAST": False, "SPLITS": splits, "WHOLE": True}
        name = f"int4, {dtype}, {rows} rows"
        yield name, int4_kernels.int4_linear, pointers, constants, tile.options()


def compile_for(kernel, pointers, constants, options, gpu):
    types = (
        dict.fromkeys(SIZES, "i32") | POINTERS | pointers | dict.fromkeys(constants, "constexpr")
    )
    signature = {name: types[name] for name in kernel.arg_names}
    source = ASTSource(kernel, signature=signature, constexprs=constants)
    return triton.compile(source, target=GPUTarget("cuda", GPUS[gpu], 32), options=options).asm


def main():
    found = {}
    for name, *what in variants():
        for gpu in GPUS:
            if gpu == "sm_80" and name.startswith("float8"):
                continue  # it has no float8
            try:
                asm = compile_for(*what, gpu)
                units = [unit for unit in ("mma.sync", "wgmma", "tcgen05") if unit in asm["ptx"]]
                found[f"{name}, {gpu}"] = {"cubin": len(asm["cubin"]), "units": units}
            except Exception:  # noqa: BLE001 - whatever it is, the test shows it
                found[f"{name}, {gpu}"] = {"error": traceback.format_exc(limit=-2)}
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
