"""Bias correction: the mean error that rounded weights cause is taken off the bias.

Source: Nagel et al. 2019 (arXiv:1906.04721), section 4.2.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from inc_core.errors import QuantizationError

__all__ = ["Layout", "bias_correction"]

Array = np.ndarray[Any, Any]

# "oi": output channels first, then input channels of one group, then the kernel (conv, linear);
# "io": a matrix that the input is multiplied with from the left
Layout = Literal["oi", "io"]


def bias_correction(
    weight: Array, dequantized: Array, channel_mean: Array, layout: Layout = "oi"
) -> Array:
    """Return what to add to a bias so that the mean output is that of the float weight.

    Args:
        weight: Float weight. Layout ``"oi"``: shape ``(O, I / groups, ...)`` with any kernel
            dimensions; ``"io"``: shape ``(I, O)``.
        dequantized: What is left of it after quantization, same shape.
        channel_mean: Mean of the op's input per channel, shape ``(I,)``. The number of groups is
            taken from it.
        layout: Order of the weight's dimensions.

    Returns:
        float32, shape ``(O,)``. Padding is taken for the mean of its channel, so at borders the
        correction is as approximate as the mean itself.

    Raises:
        QuantizationError: If the shapes do not belong together.
    """
    if weight.shape != dequantized.shape or weight.ndim < 2 or channel_mean.ndim != 1:
        raise QuantizationError(
            f"bias correction needs a weight and its dequantized form of one shape and a vector of "
            f"means, received {weight.shape}, {dequantized.shape} and {channel_mean.shape}"
        )
    error = weight.astype(np.float64) - dequantized
    if layout == "io":
        error = error.T
    out, inside = error.shape[:2]
    groups, rest = divmod(channel_mean.size, inside)
    if rest or groups == 0 or out % groups:
        raise QuantizationError(
            f"a weight of shape {weight.shape} ({layout}) does not take {channel_mean.size} channels"
        )
    per_channel = error.reshape(groups, out // groups, inside, -1).sum(axis=3)
    means = channel_mean.astype(np.float64).reshape(groups, inside, 1)
    return np.asarray((per_channel @ means).reshape(out), np.float32)
