"""What quantized arithmetic must come to, in plain numpy: the reference of conformance tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from inc_core.quant.qparams import QParams

__all__ = ["fake_quantize", "fake_quantized_linear", "snr_db"]

Array = npt.NDArray[Any]


def fake_quantize(array: Array, qparams: QParams) -> Array:
    """Quantize and dequantize: what is left of a float32 array of any shape, same shape."""
    return qparams.dequantize(qparams.quantize(array))


def fake_quantized_linear(
    x: Array, weight: Array, bias: Array, input_qparams: QParams | None, weight_qparams: QParams
) -> Array:
    """Compute ``x @ weight.T + bias`` in float64 on rounded operands.

    Args:
        x: Float32 ``(batch, in)``.
        weight: Float32 ``(out, in)``.
        bias: Float32 ``(out,)``.
        input_qparams: Of ``x``, per tensor; ``None`` for weight-only ops.
        weight_qparams: Of ``weight``.

    Returns:
        Float64 ``(batch, out)``: exact but for the rounding of the operands.
    """
    rounded = x if input_qparams is None else fake_quantize(x, input_qparams)
    product = rounded.astype(np.float64) @ fake_quantize(weight, weight_qparams).T.astype(
        np.float64
    )
    return np.asarray(product + bias)


def snr_db(reference: Any, actual: Any) -> float:
    """Return the signal-to-noise ratio of ``actual`` in dB; the worst over several outputs.

    Args:
        reference: An array, or a tuple of arrays, such as ``Adaptor.predict`` returns.
        actual: The same nest, compared with it.

    Returns:
        ``10 log10(mean(reference^2) / mean((reference - actual)^2))``; infinite for equal arrays,
        ``-inf`` where shapes differ or ``actual`` is not finite.
    """
    if isinstance(reference, (tuple, list)):
        return min(snr_db(one, other) for one, other in zip(reference, actual, strict=True))
    signal = np.asarray(reference, dtype=np.float64)
    other = np.asarray(actual, dtype=np.float64)
    if signal.shape != other.shape or not np.isfinite(other).all():
        return float("-inf")
    noise = float(np.mean((signal - other) ** 2))
    power = float(np.mean(signal**2))
    if noise == 0:
        return float("inf")
    return float(10 * np.log10(power / noise)) if power > 0 else float("-inf")
