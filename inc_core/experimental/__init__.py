"""The original API's import shape: ``from inc_core.experimental import Quantization, common``."""

from __future__ import annotations

from typing import Any

from inc_core import common
from inc_core.facade.distillation import Distillation
from inc_core.facade.pruning import Pruning
from inc_core.facade.quantization import Quantization
from inc_core.facade.scheduler import Scheduler

__all__ = ["Distillation", "Pruning", "Quantization", "Scheduler", "common"]

_BF16 = "allow bf16 under quantization.model_wise of a Quantization"
# What the original has beside these, and what to do in its place.
_NOT_HERE = {
    "Benchmark": "not yet; report() of a tuned model has accuracy, latency and size beside float's",
    "MixedPrecision": _BF16,
    "Graph_Optimization": _BF16,
    "GraphOptimization": _BF16,
    "ModelConversion": "quantization-aware training ends with the integer model itself",
    "NAS": "it is another tool's work",
}


def __getattr__(name: str) -> Any:
    if name in _NOT_HERE:
        # an AttributeError would lose the text on the way out of `from ... import`
        raise ImportError(
            f"{name} of the original is not in inc: {_NOT_HERE[name]}. docs/migrating.md lists the rest"
        )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
