"""Keys of old files that have no effect here: they are taken away with a warning, not an error."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from inc_core.config.problem import KeyPath, Lines, format_path, line_of

__all__ = ["HISTORIC", "without_historic"]

logger = logging.getLogger("inc_core.config")

_ONE_PROCESS = "accuracy is evaluated in one process, with every core"
_ONE_MACHINE = "data is not sharded over machines"
_SIGOPT = "the sigopt service is gone"
_NOT_HERE = "not used by Quantization"
_LAYERS = "every weight of a conv or matmul can be pruned; choose with names"
_NO_ENVIRONMENT = "inc never changes the process environment; set the variable outside"

# Key paths, "*" for anything, and why they have no effect. Values false and null do not warn.
HISTORIC: Mapping[str, str] = {
    "auto_distillation": _NOT_HERE,
    "nas": _NOT_HERE,
    "graph_optimization": f"{_NOT_HERE}; allow bf16 or fp16 under quantization.model_wise",
    "mixed_precision": f"{_NOT_HERE}; allow bf16 or fp16 under quantization.model_wise",
    "model_conversion": _NOT_HERE,
    "quantization.advance": "write quantization.recipes.bias_correction",
    "quantization.recipes.weight_correction": "per-channel scales serve the same end",
    "quantization.recipes.scale_propagation_*": (
        "ops that only move values share the scale of their input wherever that is exact"
    ),
    "quantization.*.weight.bit": "the dtype says how many bits there are",
    "quantization.*.activation.bit": "the dtype says how many bits there are",
    "quantization.*.weight.compute_dtype": "the kernel decides what it computes in",
    "quantization.*.activation.compute_dtype": "the kernel decides what it computes in",
    "quantization.calibration.dataloader.distributed": _ONE_MACHINE,
    "evaluation.*.dataloader.distributed": _ONE_MACHINE,
    "evaluation.accuracy.configs": _ONE_PROCESS,
    "evaluation.accuracy.multi_metrics": (
        "one metric decides; name it in evaluation.accuracy.metric, else no accuracy is checked"
    ),
    "evaluation.performance.postprocess": "latency is measured without post-processing",
    "evaluation.performance.configs.kmp_*": _NO_ENVIRONMENT,
    "evaluation.performance.configs.*_num_of_threads": "write cores_per_instance",
    **{
        f"{section}.{key}": reason
        for section in ("train", "quantization.train", "pruning.train", "distillation.train")
        for key, reason in {
            "hostfile": _ONE_MACHINE,
            "dataloader.distributed": _ONE_MACHINE,
            "execution_mode": "the framework's plugin trains as it does best",
            "postprocess": "losses are computed on what the model returns",
        }.items()
    },
    "pruning.approach.*.prune_layer_type": _LAYERS,
    "tuning.strategy.sigopt_*": _SIGOPT,
    "tuning.multi_objectives.higher_is_better": "each objective knows its direction",
    "tuning.tensorboard": "tensors are not dumped",
    "tuning.diagnosis": "tensors are not dumped",
}

# one section under the names of frameworks, read as the section without
_OLD_SECTION = "pruning.approach.weight_compression_*"


def without_historic(content: Mapping[str, Any], lines: Lines) -> dict[str, Any]:
    """Return ``content`` without the keys of ``HISTORIC``; log one warning for each."""
    return _strip(content, (), lines)


def _strip(content: Mapping[str, Any], path: KeyPath, lines: Lines) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, value in content.items():
        here = (*path, key)
        reason = _reason(here)
        if fnmatchcase(".".join(map(str, here)), _OLD_SECTION):
            key = str(key).rpartition("_")[0]
        if reason is None:
            kept[key] = _strip(value, here, lines) if isinstance(value, Mapping) else value
        elif value is not None and value is not False:
            line = line_of(here, lines)
            place = f" (line {line})" if line else ""
            logger.warning("%s%s has no effect: %s", format_path(here), place, reason)
    return kept


def _reason(path: KeyPath) -> str | None:
    text = ".".join(map(str, path))
    for pattern, reason in HISTORIC.items():
        if fnmatchcase(text, pattern):
            return reason
    return None
