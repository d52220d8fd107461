"""The ``pack-quantized`` layout of compressed-tensors, which vLLM and transformers read.

Per layer: ``weight_packed`` int32 ``(N, ceil(K / codes per word))``; ``weight_scale`` ``(N, G)``;
``weight_zero_point`` int32, packed along the outputs, where zero points vary; ``weight_shape`` int64.
Codes are signed integers plus half their range. Each width and group size is a group of the configuration
with its layers by name, so that mixed models can be said.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from inc_core.errors import UnsupportedModelError
from inc_torch.formats.layer import StoredLayer
from inc_torch.formats.words import pack_words

__all__ = ["describe", "tensors"]

_BITS = (4, 8)


def describe(layers: Mapping[str, StoredLayer], skipped: tuple[str, ...]) -> dict[str, Any]:
    """Return the ``quantization_config``."""
    kinds: dict[tuple[int, int, bool], list[str]] = {}
    for name, layer in layers.items():
        size = 0 if layer.per_channel else layer.group_size
        kinds.setdefault((layer.bits, size, layer.symmetric), []).append(name)
    groups = {
        f"group_{index}": {
            "targets": names,
            "weights": {
                "num_bits": bits,
                "type": "int",
                "symmetric": symmetric,
                "strategy": "group" if group_size else "channel",
                "group_size": group_size or None,
                "dynamic": False,
            },
            "input_activations": None,
            "output_activations": None,
        }
        for index, ((bits, group_size, symmetric), names) in enumerate(kinds.items())
    }
    return {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "quantization_status": "compressed",
        "config_groups": groups,
        "ignore": list(skipped),
    }


def tensors(layers: Mapping[str, StoredLayer]) -> dict[str, Tensor]:
    """Return the tensors of every layer by their name in the file.

    Raises:
        UnsupportedModelError: If a width has no place in the layout.
    """
    found: dict[str, Tensor] = {}
    for name, layer in layers.items():
        if layer.bits not in _BITS:
            raise UnsupportedModelError(
                f"{name}: compressed-tensors packs {' and '.join(map(str, _BITS))} bits, received "
                f"{layer.bits}; write a GPTQ checkpoint, which holds 2 and 3 bits too"
            )
        found[f"{name}.weight_packed"] = pack_words(layer.codes, layer.bits)
        found[f"{name}.weight_scale"] = layer.scale.half().contiguous()
        found[f"{name}.weight_shape"] = torch.tensor(layer.codes.shape, dtype=torch.int64)
        if not layer.symmetric:
            packed = pack_words(layer.zero_point.T, layer.bits).T.contiguous()
            found[f"{name}.weight_zero_point"] = packed
        if layer.bias is not None:
            found[f"{name}.bias"] = layer.bias.half()
    return found
