"""How sparse each weight is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

__all__ = ["SparsityReport", "WeightSparsity", "report_sparsity"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class WeightSparsity:
    """One weight: its elements, how many are zero, and how large the values are."""

    name: str
    shape: tuple[int, ...]
    size: int
    zeros: int
    deviation: float
    mean: float
    mean_magnitude: float

    @property
    def sparsity(self) -> float:
        """Share of zeros, 0 to 1."""
        return self.zeros / self.size if self.size else 0.0


@dataclass(frozen=True)
class SparsityReport:
    """The weights that can be pruned, in execution order."""

    rows: tuple[WeightSparsity, ...]

    @property
    def sparsity(self) -> float:
        """Share of zeros of all weights together."""
        size = sum(row.size for row in self.rows)
        return sum(row.zeros for row in self.rows) / size if size else 0.0

    def of(self, names: Sequence[str]) -> SparsityReport:
        """Return the report of some weights."""
        return SparsityReport(tuple(row for row in self.rows if row.name in set(names)))

    def render(self) -> str:
        """Return the report as a table."""
        width = max([len(row.name) for row in self.rows] + [len("weight")])
        head = f"{'weight':<{width}}  {'shape':<16}{'elements':>10}{'zeros':>10}{'sparsity':>10}"
        lines = [f"{head}{'std':>10}{'mean':>10}{'|mean|':>10}"]
        for row in self.rows:
            shape = "x".join(map(str, row.shape))
            lines.append(
                f"{row.name:<{width}}  {shape:<16}{row.size:>10}{row.zeros:>10}{row.sparsity:>10.2%}"
                f"{row.deviation:>10.4f}{row.mean:>10.4f}{row.mean_magnitude:>10.4f}"
            )
        size, zeros = sum(r.size for r in self.rows), sum(r.zeros for r in self.rows)
        lines.append(f"{'total':<{width}}  {'':<16}{size:>10}{zeros:>10}{self.sparsity:>10.2%}")
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain values."""
        rows = [{**asdict(row), "shape": list(row.shape)} for row in self.rows]
        return {"sparsity": self.sparsity, "weights": rows}


def report_sparsity(weights: Mapping[str, Array]) -> SparsityReport:
    """Return the report of some weights; only what is exactly zero counts."""
    return SparsityReport(tuple(_row(name, np.asarray(w)) for name, w in weights.items()))


def _row(name: str, weight: Array) -> WeightSparsity:
    return WeightSparsity(
        name=name,
        shape=tuple(weight.shape),
        size=int(weight.size),
        zeros=int((weight == 0).sum()),
        deviation=float(weight.std()),
        mean=float(weight.mean()),
        mean_magnitude=float(np.abs(weight).mean()),
    )
