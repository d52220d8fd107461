"""Run in a process of its own: every kernel compiled for each GPU, without one."""

from __future__ import annotations

import json
import sys
import traceback

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from inc_torch.cuda import kernels, launch

GPUS = {"sm_80": 80, "sm_90": 90, "sm_100": 100}
SIZES = ("rows", "outputs", "inputs", "padded_inputs", "padded_outputs", "columns")
POINTERS = {
    "q": "*i8",
    "scales": "*fp32",
    "zero_points": "*i32",
    "row_scales": "*fp32",
    "row_zero_points": "*i32",
    "packed": "*i8",
    "column_sums": "*i32",
    "bias": "*fp32",
}


def variants():
    for dtype in ("fp32", "fp16", "bf16"):
        yield f"rows, {dtype}", kernels.quantize_rows, {"x": f"*{dtype}"}, {"BLOCK": 1024}
        for rows in (64,) if dtype == "fp32" else (1, 64):
            tile = launch.int4_tile(rows)._asdict()
            constants = {f"BLOCK_{key.upper()}": size for key, size in tile.items()}
            constants |= {"GROUP_SIZE": 128, "HAS_BIAS": True, "UPCAST": False}
            pointers = {"x": f"*{dtype}", "y": f"*{dtype}", "packed": "*u8", "scales": "*fp16"}
            pointers["zero_points"] = "*u8"
            name = f"int4, {dtype}, {rows} rows"
            yield name, kernels.int4_linear, pointers, constants | {"HAS_ZERO_POINTS": True}
    for activation in range(5):
        for rows in (64,) if activation else (1, 64):
            tile = launch.int8_tile(rows)._asdict()
            constants = {f"BLOCK_{key.upper()}": size for key, size in tile.items()}
            constants |= {"HAS_BIAS": True, "ACTIVATION": activation}
            name = f"int8, activation {activation}, {rows} rows"
            yield name, kernels.int8_linear, {"y": "*bf16"}, constants


def compile_for(kernel, pointers, constants, gpu):
    types = (
        dict.fromkeys(SIZES, "i32") | POINTERS | pointers | dict.fromkeys(constants, "constexpr")
    )
    signature = {name: types[name] for name in kernel.arg_names}
    source = ASTSource(kernel, signature=signature, constexprs=constants)
    return triton.compile(source, target=GPUTarget("cuda", GPUS[gpu], 32)).asm


def main():
    found = {}
    for name, kernel, pointers, constants in variants():
        for gpu in GPUS:
            try:
                asm = compile_for(kernel, pointers, constants, gpu)
                units = [unit for unit in ("mma.sync", "wgmma", "tcgen05") if unit in asm["ptx"]]
                found[f"{name}, {gpu}"] = {"cubin": len(asm["cubin"]), "units": units}
            except Exception:  # noqa: BLE001 - whatever it is, the test shows it
                found[f"{name}, {gpu}"] = {"error": traceback.format_exc(limit=-2)}
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
