"""``WeightCache``: quantized weights of one float model, made once for all trials of a search."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np

from inc_core.quant.qparams import QParams
from inc_core.quant.spec import TensorSpec
from inc_core.quant.weights import quantize_weight

__all__ = ["QuantizedWeight", "WeightCache"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class QuantizedWeight:
    """An integer weight with its scales; ``q_weight`` has the shape of the float weight."""

    q_weight: Array
    qparams: QParams


class WeightCache:
    """Results that depend only on a weight and a spec; one cache belongs to one float model."""

    def __init__(self) -> None:
        self._entries: dict[Hashable, Any] = {}

    def quantized(
        self, name: str, weight: Array, spec: TensorSpec, axis: int | None
    ) -> QuantizedWeight:
        """Return the weight quantized under ``spec``.

        Args:
            name: Name of the weight in the model, which identifies it.
            weight: Float weight.
            spec: Target dtype, scheme and granularity.
            axis: Dimension of the output channels, read where the spec is per channel.
        """
        quantized: QuantizedWeight = self.once(
            ("quantized", name, spec, axis),
            lambda: QuantizedWeight(*quantize_weight(weight, spec, axis)),
        )
        return quantized

    def once(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Return what ``make`` gave when ``key`` was first asked for."""
        if key not in self._entries:
            self._entries[key] = make()
        return self._entries[key]
