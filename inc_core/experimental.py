"""The original API's import shape: ``from inc_core.experimental import Quantization, common``."""

from __future__ import annotations

from inc_core import common
from inc_core.facade.distillation import Distillation
from inc_core.facade.pruning import Pruning
from inc_core.facade.quantization import Quantization
from inc_core.facade.scheduler import Scheduler

__all__ = ["Distillation", "Pruning", "Quantization", "Scheduler", "common"]
