"""What a strategy may measure on a simulated model, with noise and at a price."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np

from inc_core.hookspecs.adaptor import LatencyTable
from inc_core.quant.recipe import Recipe
from inc_core.quant.spec import OpConfig, OpKey
from inc_core.testing.simulator.choices import CHOICES
from inc_core.testing.simulator.problem import Array, Problem

__all__ = ["SimulatedMeasurements"]

PROBE_SAMPLES = 64


class SimulatedMeasurements:
    """The ``Measurements`` of one simulated run; each is paid for once.

    Args:
        problem: What is measured. The same problem gives the same noise.

    Attributes:
        units: What was paid so far.
        probes: How many divergences were measured.
        seconds: CPU seconds that the simulation itself took, which are not the strategy's.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.units = 0.0
        self.probes = 0
        self.seconds = 0.0
        self._sensitivity: Mapping[OpKey, Mapping[OpConfig, float]] | None = None
        self._divergences: dict[tuple[bytes, int], float] = {}

    def sensitivity(self) -> Mapping[OpKey, Mapping[OpConfig, float]] | None:
        """Return what quantizing each op alone does, in a scale of its own; hidden parts are not in it."""
        if self.problem.constants.sensitivity == "none":
            return None
        if self._sensitivity is None:
            with self._simulating():
                self.units += self._sweep_units()
                self._sensitivity = self._by_op(self._sensitivities())
        return self._sensitivity

    @contextmanager
    def _simulating(self) -> Iterator[None]:
        start = time.process_time()
        yield
        self.seconds += time.process_time() - start

    def _sweep_units(self) -> float:
        problem = self.problem
        if problem.constants.sensitivity == "sweep":
            return 0.02 * problem.size**0.5
        # the probe of a float choice other than fp32 costs the same
        choices = int(np.isfinite(problem.seconds[:, :-1]).sum())
        return choices * PROBE_SAMPLES / problem.constants.samples

    def _sensitivities(self) -> Array:
        problem = self.problem
        rng = np.random.default_rng([problem.seed, 1])
        shape = problem.factors.shape
        noise = np.exp(
            problem.constants.sensitivity_noise * rng.normal(size=(shape[0], 1))
            + 0.3 * rng.normal(size=shape) * (np.arange(shape[1]) > 0)
        )
        scale = np.exp(rng.normal())
        floor = 1e-6  # a divergence is never negative, even where the accuracy gains
        return np.maximum(np.abs(problem.damage.alone), floor)[:, None] * (
            problem.factors * noise * scale
        )

    def latency(self) -> LatencyTable | None:
        """Return noisy seconds of each op in each choice, and of the conversions."""
        if not self.problem.constants.timer:
            return None
        with self._simulating():
            return self._latencies()

    def _latencies(self) -> LatencyTable:
        problem = self.problem
        rng = np.random.default_rng([problem.seed, 2])
        noise = problem.constants.latency_noise
        seconds = problem.seconds * np.exp(noise * rng.normal(size=problem.seconds.shape))
        between = problem.boundary * np.exp(noise * rng.normal(size=problem.boundary.shape))
        ops = problem.space.capabilities
        pairs = [
            (ops[i], ops[j], cost) for (i, j), cost in zip(problem.edges, between, strict=True)
        ]
        return LatencyTable(
            self._by_op(seconds),
            {(one.op, other.op): float(cost) for one, other, cost in pairs if cost > 0},
        )

    def work(self) -> Mapping[OpKey, float]:
        """Return a rough guess of each op's share of the work."""
        problem = self.problem
        rng = np.random.default_rng([problem.seed, 3])
        work = problem.seconds[:, -1] * np.exp(0.4 * rng.normal(size=problem.size))
        ops = problem.space.capabilities
        return {c.op: float(share) for c, share in zip(ops, work / work.sum(), strict=True)}

    def divergence(self, recipe: Recipe, samples: int) -> float:
        """Return how far the outputs are from float's: the damage, hidden or not, in another scale."""
        with self._simulating():
            return self._divergence(recipe, samples)

    def _divergence(self, recipe: Recipe, samples: int) -> float:
        problem = self.problem
        vector = problem.vector(recipe)
        key = (vector.tobytes(), samples)
        if key not in self._divergences:
            share = min(1.0, samples / problem.constants.samples)
            self.units += share
            self.probes += 1
            loss = max(1e-6, float(np.abs(problem.mean_losses(vector[None])[0])))
            # more samples help until what is left is that divergence is not accuracy
            noise = problem.constants.divergence_noise * max(0.3, (0.02 / share) ** 0.5)
            luck = float(problem.luck(vector[None], salt=5)[0])
            self._divergences[key] = 3.7 * -np.log1p(-min(loss, 99.9) / 100) * np.exp(noise * luck)
        return self._divergences[key]

    def _by_op(self, table: Array) -> dict[OpKey, dict[OpConfig, float]]:
        problem = self.problem
        configs = [CHOICES[name].config for name in problem.choices]
        return {
            capability.op: {
                config: float(value)
                for config, value, offered in zip(configs, row, known, strict=True)
                if offered
            }
            for capability, row, known in zip(
                problem.space.capabilities, table, np.isfinite(problem.seconds), strict=True
            )
        }
