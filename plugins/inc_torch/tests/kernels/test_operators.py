"""The operators as torch sees them: checked, exported, compiled, saved, threaded; with either kernels."""

from __future__ import annotations

import copy
import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from problems import activations, int4_weight, int8_weight, relative_error
from torch import nn

from inc_core.native import ISAS
from inc_torch import kernels
from inc_torch.kernels import reference
from inc_torch.kernels.operators import SCHEMAS


def arguments(dtype: torch.dtype = torch.float32, with_bias: bool = True) -> dict[str, tuple]:
    """One call of each operator."""
    x = activations(5, 96).to(dtype)
    q_x = kernels.quantize(x, 0.05, 100)
    q, scales, bias = int8_weight(40, 96)
    int8 = kernels.pack_int8_weight(q)
    int4, _ = int4_weight(40, 96, 64, symmetric=not with_bias)
    bias = bias if with_bias else None
    norm = (torch.rand(96), torch.randn(96)) if with_bias else (None, None)
    return {
        "dynamic_linear": (x, int8.packed, int8.column_sums, scales, bias, 40, 2),
        "static_linear": (
            *(q_x, 0.05, 100, int8.packed, int8.column_sums, scales, bias, 2),
            *((activations(5, 40).to(dtype), None, 0) if with_bias else (None, 0.05, 30)),
        ),
        "int4_linear": (x, int4.packed, int4.scales, int4.zero_points, bias, 96, 40, 64, 2),
        "quantize": (x, 0.05, 100, False),
        "dequantize": (torch.arange(200).to(torch.uint8), 0.05, 100),
        "layer_norm_quantize": (x, *norm, 1e-5, 0.05, 3, True),
        "layer_norm_and_quantize": (x, *norm, 1e-5, 0.05, 3, True),
    }


class Network(nn.Module):
    """A linear of each kind, with the buffers that a quantized module has."""

    def __init__(self) -> None:
        super().__init__()
        q, scales, bias = int8_weight(64, 96)
        int8 = kernels.pack_int8_weight(q)
        int4, _ = int4_weight(40, 64, 32, False)
        for name, tensor in {
            "packed": int8.packed,
            "column_sums": int8.column_sums,
            "scales": scales,
            "bias": bias,
            "packed4": int4.packed,
            "scales4": int4.scales,
            "zero_points4": int4.zero_points,
        }.items():
            self.register_buffer(name, tensor)

    def forward(self, x):
        y = torch.ops.inc.dynamic_linear(
            x, self.packed, self.column_sums, self.scales, self.bias, 64, 1
        )
        y = torch.ops.inc.int4_linear(
            y * 0.01, self.packed4, self.scales4, self.zero_points4, None, 64, 40, 32, 2
        )
        return torch.ops.inc.dequantize(torch.ops.inc.quantize(y, 0.1, 128, False), 0.1, 128)


@pytest.mark.parametrize("with_bias", [True, False], ids=["bias", "none"])
@pytest.mark.parametrize("name", SCHEMAS)
def test_opcheck_accepts_every_operator(name, with_bias):
    torch.library.opcheck(
        getattr(torch.ops.inc, name).default, arguments(with_bias=with_bias)[name]
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", SCHEMAS)
def test_native_and_reference_agree(name, dtype):
    for with_bias in (True, False):
        values = arguments(dtype, with_bias)[name]
        results = getattr(torch.ops.inc, name)(*values), getattr(reference, name)(*values)
        several = isinstance(results[0], tuple)
        for native, expected in zip(*results, strict=True) if several else [results]:
            assert_agree(native, expected, 1e-6 if dtype == torch.float32 else 3e-3)


def assert_agree(native, expected, tolerance):
    assert native.dtype == expected.dtype
    assert native.shape == expected.shape
    if native.is_floating_point():
        assert relative_error(native, expected) < tolerance
    else:
        # a sum in another order may round the other way where it lies half-way
        assert int((native.int() - expected.int()).abs().max()) <= 1


@pytest.mark.parametrize("signed", [True, False], ids=["int8", "uint8"])
def test_quantize_gives_the_integers_of_the_reference(signed):
    x = torch.cat([activations(4099), torch.tensor([torch.nan, torch.inf, -torch.inf, 1e38])])
    assert torch.equal(
        torch.ops.inc.quantize(x, 0.037, 7, signed), reference.quantize(x, 0.037, 7, signed)
    )


def test_quantize_keeps_channels_last_and_makes_the_rest_contiguous():
    x = activations(2, 3, 5, 7).to(memory_format=torch.channels_last)
    for function in (torch.ops.inc.quantize, reference.quantize):
        q = function(x, 0.05, 100, False)
        assert q.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(q, function(x.contiguous(), 0.05, 100, False))
        assert function(x.permute(3, 1, 0, 2), 0.05, 100, False).is_contiguous()
    torch.library.opcheck(torch.ops.inc.quantize.default, (x, 0.05, 100, False))
    torch.library.opcheck(torch.ops.inc.quantize.default, (x[:, :, ::2], 0.05, 100, False))
    q = torch.ops.inc.quantize(x, 0.05, 100, False)
    torch.library.opcheck(torch.ops.inc.dequantize.default, (q, 0.05, 100))


def test_export_keeps_a_dynamic_batch_and_survives_a_file(tmp_path):
    model, x = Network().eval(), activations(3, 96)
    program = torch.export.export(
        model, (x,), dynamic_shapes=({0: torch.export.Dim("batch", min=1)},)
    )
    torch.export.save(program, tmp_path / "model.pt2")
    loaded = torch.export.load(tmp_path / "model.pt2").module()
    for batch in (1, 3, 17):
        x = activations(batch, 96)
        assert torch.equal(loaded(x), model(x))


def test_compiling_the_full_graph_changes_no_result():
    model, x = Network().eval(), activations(6, 96)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(x), model(x))


@pytest.mark.slow
def test_inductor_compiles_the_full_graph():
    model, x = Network().eval(), activations(6, 96)
    torch.testing.assert_close(torch.compile(model, fullgraph=True)(x), model(x))


def test_modules_copy_and_restore_through_their_state(tmp_path):
    model, x = Network().eval(), activations(4, 96)
    assert torch.equal(copy.deepcopy(model)(x), model(x))
    torch.save(model.state_dict(), tmp_path / "state.pt")
    other = Network().eval()
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert torch.equal(other(x), model(x))


def test_a_module_cast_to_bf16_still_runs():
    model, x = Network().eval(), activations(4, 96)
    assert relative_error(model.to(torch.bfloat16)(x.bfloat16()), Network().eval()(x)) < 0.05


@pytest.mark.parametrize("rows", [1, 5, 64, 400])
def test_threads_change_no_bit(rows):
    x = activations(rows, 512)
    q, scales, bias = int8_weight(4096, 512)
    int8 = kernels.pack_int8_weight(q)
    int4, _ = int4_weight(4096, 512, 32, False)

    def results():
        return [
            kernels.dynamic_linear(x, int8, scales, bias),
            torch.ops.inc.static_linear(
                *(kernels.quantize(x, 0.05, 100), 0.05, 100, int8.packed, int8.column_sums),
                *(scales, bias, 2, None, 0.05, 30),
            ),
            kernels.int4_linear(x, int4),
            kernels.quantize(x.repeat(9, 9), 0.05, 100),
            kernels.layer_norm_quantize(x.repeat(50, 1), None, None, 1e-5, 0.05, 3),
        ]

    alone = results()
    for threads in (2, 5):
        torch.set_num_threads(threads)
        for one, several in zip(alone, results(), strict=True):
            assert torch.equal(one, several)


@pytest.mark.skipif(
    not kernels.kernel_status().native, reason="the reference leaves checks to torch"
)
@pytest.mark.parametrize(
    ("name", "position", "value", "message"),
    [
        ("dynamic_linear", 1, torch.zeros(3, dtype=torch.int8), "do not fit"),
        ("dynamic_linear", 4, torch.zeros(3), "bias"),
        ("dynamic_linear", 6, 9, "activation"),
        ("static_linear", 0, torch.zeros(2, 96), "uint8"),
        ("static_linear", 0, torch.zeros(2, 95, dtype=torch.uint8), "multiple of 4"),
        ("static_linear", 3, torch.zeros(3, dtype=torch.int8), "do not fit"),
        ("static_linear", 6, torch.zeros(3), "bias"),
        ("static_linear", 7, 9, "activation"),
        ("static_linear", 8, torch.zeros(3), "added"),
        ("int4_linear", 0, torch.zeros(2, 95), "in_features"),
        ("int4_linear", 2, torch.zeros(3), "do not fit"),
        ("int4_linear", 7, 20, "multiple of 32"),
        ("int4_linear", 8, 3, "compute"),
        ("quantize", 1, 0.0, "scale"),
        ("dequantize", 0, torch.zeros(3), "uint8 or int8"),
        ("layer_norm_quantize", 1, torch.zeros(3), "last dimension"),
    ],
)
def test_native_kernels_refuse_what_does_not_fit(name, position, value, message):
    values = list(arguments()[name])
    values[position] = value
    for _ in range(3):  # and leave torch usable
        with pytest.raises(RuntimeError, match=message):
            getattr(torch.ops.inc, name)(*values)
    getattr(torch.ops.inc, name)(*arguments()[name])


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_no_call_leaks_whether_it_succeeds_or_fails():
    x = activations(256, 96)
    good, bad = arguments()["dynamic_linear"], list(arguments()["dynamic_linear"])
    bad[4] = torch.zeros(7)

    def call(times):
        for _ in range(times):
            torch.ops.inc.dynamic_linear(x, *good[1:])
            if kernels.kernel_status().native:
                with pytest.raises(RuntimeError):
                    torch.ops.inc.dynamic_linear(x, *bad[1:])

    call(20)
    before = resident_mb()
    call(1000)  # a leaked result is 40 KB, a leaked argument 96 KB
    assert resident_mb() - before < 20


@pytest.mark.parametrize("choice", ["reference", "native", *ISAS])
def test_the_environment_chooses_the_kernels(choice):
    if choice != "reference" and not kernels.library.LIBRARY.exists():
        pytest.skip("the native library was not built here")
    code = "import inc_torch.kernels as k; s = k.kernel_status(); print(s, s.reason, sep=', ')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "INC_KERNELS": choice},
        capture_output=True,
        text=True,
    )
    if choice in ISAS and choice not in supported_isas():
        assert f"cannot be met: this CPU has no {choice}" in done.stderr
        return
    expected = {"reference": "reference, INC_KERNELS=reference"}
    if choice == "native":
        expected[choice] = f"native {supported_isas()[-1]}, best of this CPU"
    assert done.stdout.strip() == expected.get(choice, f"native {choice}, INC_KERNELS")


def supported_isas() -> list[str]:
    native = ctypes.CDLL(str(kernels.library.LIBRARY))
    return [isa for number, isa in enumerate(ISAS) if native.inc_isa_supported(number)]


def test_under_ci_the_native_kernels_are_there():
    if os.environ.get("INC_REQUIRE_NATIVE", "") in ("", "0") or os.environ.get("INC_KERNELS"):
        pytest.skip("only where INC_REQUIRE_NATIVE demands them")
    assert kernels.kernel_status().native
