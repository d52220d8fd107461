"""The ledger hears whose kernels run an op."""

from __future__ import annotations

from inc_core.quant.spec import FP32, OpConfig, OpKey, TensorSpec
from inc_torch.cuda import cuda_status
from inc_torch.executed import executed
from inc_torch.kernels import kernel_status

WEIGHT, ACTIVATION = TensorSpec("int8", "sym", "per_channel"), TensorSpec("uint8", "asym")
FLOAT8 = TensorSpec("fp8_e4m3", "sym", "per_channel")
CONFIGS = {
    OpKey("static", "Linear"): OpConfig("static", ACTIVATION, WEIGHT),
    OpKey("dynamic", "Linear"): OpConfig("dynamic", ACTIVATION, WEIGHT),
    OpKey("few_bits", "Linear"): OpConfig(
        "weight_only", None, TensorSpec("int4", "sym", "per_channel")
    ),
    OpKey("float8", "Linear"): OpConfig("dynamic", TensorSpec("fp8_e4m3", "sym"), FLOAT8),
    OpKey("fp32", "Linear"): FP32,
}


def words(device: str) -> dict[str, str]:
    return {op.name: text for op, text in executed(CONFIGS, device).items()}


def test_ops_of_our_kernels_name_them_and_others_do_not():
    own = f" by inc's kernels, {kernel_status()}"
    assert words("cpu") == {
        "static": "int8",
        "dynamic": "int8" + own,
        "few_bits": "int4" + own,
        "float8": CONFIGS[OpKey("float8", "Linear")].precision,
        "fp32": "fp32",
    }


def test_on_a_gpu_the_kernels_are_those_of_the_gpu():
    assert words("gpu")["dynamic"] == f"int8 by inc's kernels, {cuda_status()}"
