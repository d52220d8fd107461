"""Writing a checkpoint: one safetensors file and the configuration that readers look for."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from inc_core.errors import ConfigError, UnsupportedModelError, did_you_mean
from inc_torch.formats import compressed_tensors, gptq
from inc_torch.formats.layer import StoredLayer

__all__ = ["FORMATS", "write_checkpoint"]


@dataclass(frozen=True)
class Format:
    """A checkpoint layout: how it describes a model, which tensors it has, where the description lies."""

    describe: Callable[[Mapping[str, StoredLayer], tuple[str, ...]], dict[str, Any]]
    tensors: Callable[[Mapping[str, StoredLayer]], dict[str, Tensor]]
    own_file: str = ""


FORMATS: Mapping[str, Format] = {
    "gptq": Format(gptq.describe, gptq.tensors, "quantize_config.json"),
    "compressed-tensors": Format(compressed_tensors.describe, compressed_tensors.tensors),
}


def write_checkpoint(
    directory: Path,
    layers: Mapping[str, StoredLayer],
    others: Mapping[str, Tensor],
    skipped: tuple[str, ...],
    layout: str,
) -> None:
    """Write ``model.safetensors`` and ``config.json`` with its ``quantization_config``.

    An existing ``config.json`` keeps its other keys: a server needs the model's own there.

    Args:
        directory: Made if it is missing.
        layers: The quantized layers by the path of their module.
        others: Every other parameter and buffer, by its name in the ``state_dict``.
        skipped: Paths of layers of the same kind that stayed float.
        layout: A key of ``FORMATS``.

    Raises:
        ConfigError: If the layout is unknown.
        UnsupportedModelError: If nothing is quantized, or something has no place in the layout.
    """
    if layout not in FORMATS:
        raise ConfigError(
            f"no checkpoint format {layout!r}; known: {', '.join(FORMATS)}."
            f"{did_you_mean(layout, FORMATS)}"
        )
    if not layers:
        raise UnsupportedModelError(
            "no weight of this model is quantized: there is nothing to write"
        )
    chosen = FORMATS[layout]
    description = chosen.describe(layers, skipped)
    tensors = {**others, **chosen.tensors(layers)}
    directory.mkdir(parents=True, exist_ok=True)
    # one storage each: safetensors refuses tensors that share one
    contiguous = {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}
    save_file(contiguous, directory / "model.safetensors", metadata={"format": "pt"})
    path = directory / "config.json"
    config = json.loads(path.read_text("utf-8")) if path.exists() else {}
    config["quantization_config"] = description
    path.write_text(json.dumps(config, indent=2) + "\n", "utf-8")
    if chosen.own_file:
        (directory / chosen.own_file).write_text(json.dumps(description, indent=2) + "\n", "utf-8")
