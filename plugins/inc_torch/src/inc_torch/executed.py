"""Which precision each op runs in, and whose kernel that is."""

from __future__ import annotations

from collections.abc import Mapping

from inc_core.quant.spec import OpConfig, OpKey
from inc_torch.cuda import cuda_status
from inc_torch.kernels import kernel_status

__all__ = ["executed", "kernels_on"]

# of these modes integer weights run by operators of the namespace inc; the rest by torch's own
_OWN_MODES = ("dynamic", "weight_only")


def executed(ops: Mapping[OpKey, OpConfig], device: str) -> Mapping[OpKey, str]:
    """Return the precision of each op; there is no silent fallback, what was asked for runs.

    Args:
        ops: How each op of a quantized model was made.
        device: Where it runs: ``"cpu"`` or ``"gpu"``.
    """
    by_inc = f" by inc's kernels, {kernels_on(device)}"
    return {
        op: config.precision + (by_inc if _is_own(config) else "") for op, config in ops.items()
    }


def kernels_on(device: str) -> str:
    """Say which form of our kernels a device runs: a native instruction set, Triton, or the reference."""
    return cuda_status() if device == "gpu" else str(kernel_status())


def _is_own(config: OpConfig) -> bool:
    weight = config.weight
    return config.mode in _OWN_MODES and weight is not None and weight.dtype.startswith("int")
