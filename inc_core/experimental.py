"""The original API's import shape: ``from inc_core.experimental import Quantization, common``."""

from __future__ import annotations

from inc_core import common
from inc_core.facade.quantization import Quantization

__all__ = ["Quantization", "common"]
