"""``Recipe``: the choice for every op, as canonical JSON with a fingerprint."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from inc_core.quant.spec import OpConfig, OpKey

__all__ = ["Recipe"]


@dataclass(frozen=True)
class Recipe:
    """The config of every quantizable op, the calibration size and the model-wide options.

    Attributes:
        ops: One config per op, in execution order.
        calib_samples: How many calibration samples the ranges come from.
        options: Sorted names of the model-wide rewrites in force, such as
            ``"bias_correction"`` and ``"cross_layer_equalization"``.
    """

    ops: Mapping[OpKey, OpConfig]
    calib_samples: int = 0
    options: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "ops", dict(self.ops))
        object.__setattr__(self, "options", tuple(sorted(self.options)))

    def with_op(self, op: OpKey, config: OpConfig) -> Recipe:
        """Return this recipe with another config for one op."""
        return self.with_ops({op: config})

    def with_ops(self, configs: Mapping[OpKey, OpConfig]) -> Recipe:
        """Return this recipe with other configs for some ops."""
        unknown = [op.name for op in configs if op not in self.ops]
        if unknown:
            raise KeyError(f"no such op in this recipe: {unknown[0]!r}")
        return replace(self, ops={**self.ops, **configs})

    @property
    def quantized_ops(self) -> tuple[OpKey, ...]:
        """Ops that store or compute integers."""
        return tuple(op for op, config in self.ops.items() if config.is_quantized)

    def precisions(self) -> Counter[str]:
        """Count ops by precision, such as ``{"int8": 20, "fp32": 2}``."""
        return Counter(config.precision for config in self.ops.values())

    def to_json(self) -> dict[str, Any]:
        """Return the recipe as plain values; the order of ops is kept."""
        return {
            "ops": [
                {"name": op.name, "type": op.type, **config.to_json()}
                for op, config in self.ops.items()
            ],
            "calib_samples": self.calib_samples,
            "options": list(self.options),
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Recipe:
        """Inverse of ``to_json``."""
        return cls(
            ops={OpKey(row["name"], row["type"]): OpConfig.from_json(row) for row in fields["ops"]},
            calib_samples=fields["calib_samples"],
            options=tuple(fields["options"]),
        )

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits that two recipes share only if they make the same choices."""
        configs: dict[OpConfig, int] = {}
        ops = [(*op, configs.setdefault(config, len(configs))) for op, config in self.ops.items()]
        choices = [ops, [c.to_json() for c in configs], self.calib_samples, self.options]
        text = json.dumps(choices, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def __hash__(self) -> int:
        return hash(self.fingerprint)
