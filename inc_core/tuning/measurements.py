"""What a strategy may measure beside trials: each answer is journaled, cached, and so paid once."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from inc_core.hookspecs.adaptor import LatencyTable, Sensitivity
from inc_core.quant.batching import batch_length, slice_batch
from inc_core.quant.recipe import Recipe
from inc_core.quant.space import TuningSpace
from inc_core.quant.spec import OpConfig, OpKey
from inc_core.tuning.latency import measure_latency
from inc_core.tuning.probes import Probes
from inc_core.tuning.trial_run import describe_error

if TYPE_CHECKING:
    from inc_core.tuning.job import TuningJob
    from inc_core.tuning.trial import Baseline

__all__ = ["JobMeasurements", "kinds", "samples_of_evaluation", "sweep_samples"]

logger = logging.getLogger("inc_core.tuning")

# Per probe of the sweep: the ranks of ops hardly change with more samples, and with fewer than 16
# they begin to (one sample then decides).
MOST_SAMPLES = 64
LEAST_SAMPLES = 16
# The sweep may see as many samples as half an evaluation; beyond that every probe gets fewer.
SWEEP_UNITS = 0.5
# With few samples to evaluate even 16 a probe would cost more than the trials that they save.
MOST_UNITS = 2.0
FEWEST_SAMPLES = 4
# Samples that an adaptor's own sweep holds at once.
SWEEP_BATCH = 16


class JobMeasurements:
    """The ``Measurements`` of one search.

    Args:
        job: What is measured, where it is journaled and cached.
        evaluated_samples: Samples of one evaluation, against which the sweep's cost is weighed; 0
            if that is unknown.
    """

    def __init__(self, job: TuningJob, evaluated_samples: int = 0) -> None:
        self._job = job
        self._evaluated_samples = evaluated_samples
        self._probes: Probes | None = None
        self._known: dict[tuple[str, int], float] = {}
        for fields in job.journal.of("measured"):
            if fields["what"] == "divergence":
                self._known[fields["fingerprint"], fields["samples"]] = _number(fields["value"])

    def sensitivity(self) -> Mapping[OpKey, Mapping[OpConfig, float]] | None:
        """Return the divergence of each op (with its group) alone in each kind of config."""
        swept = self._swept()
        if swept is not None:
            return swept
        space = self._job.space
        probes = list(_probes(space))
        samples = sweep_samples(len(probes), self._evaluated_samples)
        found: dict[OpKey, dict[OpConfig, float]] = {}
        watched = self._job.console.over(probes, "sensitivity", len(probes), "probes")
        for number, (ops, recipe) in enumerate(watched, 1):
            value = self.divergence(recipe, samples)
            if value is None:
                return None
            for op in ops:
                found.setdefault(op, {})[recipe.ops[op]] = value
            if number % 20 == 0:
                self._job.say(f"sensitivity: {number} of {len(probes)} probes")
        return found

    def _swept(self) -> Mapping[OpKey, Mapping[OpConfig, float]] | None:
        """Return the adaptor's own estimate for all ops, made once per run; ``None`` without one."""
        job = self._job
        for fields in job.journal.of("measured"):
            if fields["what"] == "sweep":
                return _from_rows(fields["rows"])
        adaptor = job.adaptor
        if job.probe_inputs is None or not isinstance(adaptor, Sensitivity):
            return None
        wanted = {op: kinds(job.space, op) for op in job.space.ops}
        try:
            found = adaptor.sensitivity(job.model, wanted, _few(job.probe_inputs()))
        except Exception as error:  # noqa: BLE001 - a sweep saves probes; without it they are made
            logger.warning("no sweep for sensitivity: %s", describe_error(error))
            return None
        if found is not None:
            rows = [
                [*op, config.to_json(), value]
                for op, row in found.items()
                for config, value in row.items()
            ]
            job.journal.append("measured", what="sweep", rows=rows)
        return found

    def latency(self) -> LatencyTable | None:
        """Return the adaptor's table, measured once per run; ``None`` where speed is not the aim."""
        job = self._job
        if job.objectives and not job.latencies:
            return None  # a slow op may be small, and small is what is asked for
        with job.console.doing("timing single ops"):
            return measure_latency(
                job.adaptor,
                job.model,
                job.space.capabilities,
                job.sample,
                journal=job.journal,
                cache=job.cache,
            )

    def work(self) -> Mapping[OpKey, float]:
        """Return the float seconds of each op if they are known; else nothing is."""
        table = self.latency()
        if table is None:
            return {}
        floats = {op: self._job.space.fallback(op) for op in self._job.space.ops}
        known = {op: table.seconds.get(op, {}).get(config) for op, config in floats.items()}
        return {op: seconds for op, seconds in known.items() if seconds is not None}

    def divergence(self, recipe: Recipe, samples: int) -> float | None:
        """Return how far the outputs of a recipe are from the float ones; ``inf`` if it fails."""
        if self._evaluated_samples:  # one probe costs no more than the evaluations that it saves
            most = int(MOST_UNITS * self._evaluated_samples)
            samples = min(samples, max(FEWEST_SAMPLES, most))
        key = (recipe.fingerprint, samples)
        if key not in self._known:
            value = self._measured(recipe, samples)
            if value is None:
                return None
            self._known[key] = value
            self._job.journal.append(
                "measured",
                what="divergence",
                fingerprint=key[0],
                samples=samples,
                value=_plain(value),
            )
        return self._known[key]

    def _measured(self, recipe: Recipe, samples: int) -> float | None:
        job = self._job
        if job.probe_inputs is None:
            return None
        if self._probes is None:
            self._probes = Probes(
                job.adaptor, job.model, job.probe_inputs, job.cache, job.content_key
            )
        probes = self._probes
        if probes.samples == 0:
            return None
        key = {
            **job.content_key,
            "inputs": probes.identity,
            "recipe": recipe.fingerprint,
            "samples": min(samples, probes.samples),
        }
        # without a key of its own an entry would be found by problems that are not this one
        known = job.cache.get_json("divergence", key) if job.content_key else None
        if known is not None:
            return _number(known["value"])
        value = self._measure(probes, recipe, samples)
        if job.content_key:
            job.cache.put_json("divergence", key, {"value": _plain(value)})
        return value

    def _measure(self, probes: Probes, recipe: Recipe, samples: int) -> float:
        try:
            with self._job.console.doing("comparing outputs"):
                model, _ = self._job.builder.build(recipe)
                return probes.divergence(model, samples)
        except Exception as error:  # noqa: BLE001 - as in a trial: what breaks is the outcome
            logger.warning("a recipe could not be probed: %s", describe_error(error))
            return math.inf


def samples_of_evaluation(job: TuningJob, baseline: Baseline) -> int:
    """Return how many samples an evaluation takes, or what it costs in samples; 0 if unknown.

    An opaque ``eval_func`` does not say what it sees: its time is counted in samples of the float
    model, in whole powers of two, as the clock must not decide what is probed.
    """
    latency = next((baseline.objectives.get(name) for name in job.latencies), None)
    if baseline.samples or not latency or job.sample is None:
        return baseline.samples
    worth = baseline.seconds / latency * batch_length(job.sample)
    return 1 << int(math.log2(max(1.0, worth)))


def sweep_samples(probes: int, evaluated_samples: int) -> int:
    """Return the samples of one probe of a sweep, so that the sweep stays a part of an evaluation."""
    if not evaluated_samples or not probes:
        return MOST_SAMPLES
    affordable = int(SWEEP_UNITS * evaluated_samples / probes)
    limit = int(MOST_UNITS * evaluated_samples / probes)
    least = max(FEWEST_SAMPLES, min(LEAST_SAMPLES, limit))
    return max(least, min(MOST_SAMPLES, affordable))


def kinds(space: TuningSpace, op: OpKey) -> tuple[OpConfig, ...]:
    """Return the best quantized config of each mode and precision that an op offers."""
    first: dict[tuple[str, ...], OpConfig] = {}
    for config in space.options(op):
        if config.is_quantized:
            activation = "" if config.activation is None else config.activation.dtype
            first.setdefault((config.mode, config.precision, activation), config)
    return tuple(first.values())


def _probes(space: TuningSpace) -> Iterator[tuple[tuple[OpKey, ...], Recipe]]:
    """Yield, for each group and kind, the ops and the recipe in which they alone are quantized."""
    base = space.all_float()
    done: set[OpKey] = set()
    for op in space.ops:
        if op in done:
            continue
        group = space.group(op)
        done.update(group)
        for config in kinds(space, op):
            ops = tuple(other for other in group if config in space.options(other))
            yield ops, base.with_ops(dict.fromkeys(ops, config))


def _few(batches: Iterable[Any]) -> Iterator[Any]:
    """Yield the first samples in small steps: a sweep holds what all ops give for one of them."""
    left = MOST_SAMPLES
    for inputs in batches:
        length = min(batch_length(inputs), left)
        for start in range(0, length, SWEEP_BATCH):
            yield slice_batch(inputs, start, min(start + SWEEP_BATCH, length))
        left -= length
        if left <= 0:
            return


def _from_rows(rows: Iterable[Any]) -> dict[OpKey, dict[OpConfig, float]]:
    found: dict[OpKey, dict[OpConfig, float]] = {}
    for name, kind, config, value in rows:
        found.setdefault(OpKey(name, kind), {})[OpConfig.from_json(config)] = value
    return found


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None  # JSON has no infinity


def _number(value: Any) -> float:
    return math.inf if value is None else float(value)
