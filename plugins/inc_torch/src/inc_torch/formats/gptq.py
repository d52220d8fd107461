"""The GPTQ checkpoint layout, which vLLM, transformers, ExLlama and others read.

Per layer: ``qweight`` int32, codes packed along the inputs; ``qzeros`` int32, zero points packed along the
outputs; ``scales`` float16 ``(G, N)``; ``g_idx`` int32 ``(K,)``, the group of each input. In the first
version of the layout stored zero points are one less; where one is 0, the second version is written,
``"checkpoint_format": "gptq_v2"``, which stores them as they are. Widths of 2, 4 and 8 bits have whole
codes per word, 3 bits cross words: 32 codes in 3 words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from inc_core.errors import UnsupportedModelError
from inc_torch.formats.layer import StoredLayer
from inc_torch.formats.words import pack_words, pack_words_across

__all__ = ["describe", "tensors"]

_BITS = (2, 3, 4, 8)
_CODES_PER_BUNDLE = {2: 16, 3: 32, 4: 8, 8: 4}


def describe(layers: Mapping[str, StoredLayer], skipped: tuple[str, ...]) -> dict[str, Any]:
    """Return the ``quantization_config``.

    Raises:
        UnsupportedModelError: If the layers differ in bits or groups, which the layout cannot say.
    """
    kinds = {(one.bits, -1 if one.per_channel else one.group_size) for one in layers.values()}
    if len(kinds) > 1:
        found = ", ".join(f"{bits} bits in groups of {size}" for bits, size in sorted(kinds))
        raise UnsupportedModelError(
            f"a GPTQ checkpoint has one width and one group size, this model has {found}; "
            "write it as compressed-tensors"
        )
    ((bits, group_size),) = kinds
    return {
        "quant_method": "gptq",
        "bits": bits,
        "group_size": group_size,
        "sym": all(one.symmetric for one in layers.values()),
        "desc_act": False,
        "checkpoint_format": "gptq_v2" if _needs_second_version(layers) else "gptq",
        "pack_dtype": "int32",
        # negative patterns: modules that a reader must leave float
        "dynamic": {f"-:^{name.replace('.', chr(92) + '.')}$": {} for name in skipped},
    }


def tensors(layers: Mapping[str, StoredLayer]) -> dict[str, Tensor]:
    """Return the tensors of every layer by their name in the file.

    Raises:
        UnsupportedModelError: If a shape or width has no place in the layout.
    """
    offset = 0 if _needs_second_version(layers) else 1
    found: dict[str, Tensor] = {}
    for name, layer in layers.items():
        _check(name, layer)
        pack = pack_words_across if layer.bits == 3 else pack_words
        group = torch.arange(layer.codes.shape[1]) // layer.group_size
        found[f"{name}.qweight"] = pack(layer.codes, layer.bits).T.contiguous()
        found[f"{name}.qzeros"] = pack(layer.zero_point.T - offset, layer.bits)
        found[f"{name}.scales"] = layer.scale.T.contiguous().half()
        found[f"{name}.g_idx"] = group.to(torch.int32)
        if layer.bias is not None:
            found[f"{name}.bias"] = layer.bias.half()
    return found


def _needs_second_version(layers: Mapping[str, StoredLayer]) -> bool:
    return any(bool((layer.zero_point == 0).any()) for layer in layers.values())


def _check(name: str, layer: StoredLayer) -> None:
    if layer.bits not in _BITS:
        raise UnsupportedModelError(
            f"{name}: a GPTQ checkpoint holds {', '.join(map(str, _BITS))} bits, received {layer.bits}"
        )
    outputs, inputs = layer.codes.shape
    multiple = _CODES_PER_BUNDLE[layer.bits]
    if inputs % multiple or outputs % multiple:
        raise UnsupportedModelError(
            f"{name}: {outputs} outputs of {inputs} inputs; a GPTQ checkpoint of {layer.bits} bits needs "
            f"multiples of {multiple}. Keep this layer float."
        )
