"""Calibration: one pass over the data, every range and scheme afterwards without data."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np

from inc_core.errors import CalibrationError
from inc_core.quant.batching import batch_length, slice_batch
from inc_core.quant.observers import Observer, TensorStatistics, elements_per_sample
from inc_core.quant.qparams import QParams, choose_qparams
from inc_core.quant.range_rules import BUILTIN_RANGE_RULES, ChoosesRange
from inc_core.quant.snapshots import Snapshot
from inc_core.quant.spec import TensorKey, TensorSpec

__all__ = [
    "Calibration",
    "Calibrator",
    "LearnedCalibrator",
    "ScaledCalibrator",
    "StatisticsStore",
]

logger = logging.getLogger("inc_core.quant")

Observe = Callable[[Iterable[Any], Mapping[TensorKey, Observer]], None]


class Calibration:
    """The ranges that an adaptor asks for while it quantizes.

    Attributes:
        samples: How many samples the ranges come from.
    """

    def __init__(
        self,
        statistics: Mapping[TensorKey, TensorStatistics],
        samples: int,
        rules: Mapping[str, ChoosesRange] | None = None,
        inputs: Callable[[], Iterable[Any]] | None = None,
        learned: Mapping[TensorKey, tuple[float, float]] | None = None,
    ) -> None:
        self.samples = samples
        self._inputs = inputs
        self._learned = dict(learned or {})
        self._statistics = dict(statistics)
        self._rules = {**BUILTIN_RANGE_RULES, **(rules or {})}
        self._used: dict[str, QParams] = {}
        self._ranges: dict[tuple[TensorKey, TensorSpec], tuple[float, float]] = {}

    def __getstate__(self) -> dict[str, Any]:
        # the samples stay where they can be read
        return {**vars(self), "_inputs": None}

    @classmethod
    def none(cls) -> Calibration:
        """Return a calibration without ranges, for recipes without static ops."""
        return cls({}, 0)

    def afresh(self) -> Calibration:
        """Return the same ranges, chosen ones included, with nothing ``used`` yet."""
        other = Calibration(
            self._statistics, self.samples, self._rules, self._inputs, self._learned
        )
        other._ranges = self._ranges
        return other

    def with_learned(self, ranges: Mapping[TensorKey, tuple[float, float]]) -> Calibration:
        """Return the same with ranges that a training has learnt, in place of observed ones."""
        return Calibration(self._statistics, self.samples, self._rules, self._inputs, ranges)

    def with_inputs(self, inputs: Callable[[], Iterable[Any]]) -> Calibration:
        """Return the same ranges, with samples that are read elsewhere.

        Args:
            inputs: Gives batches of inputs, afresh on each call.
        """
        return Calibration(self._statistics, self.samples, self._rules, inputs, self._learned)

    def scaled(self, factors: Mapping[TensorKey, np.ndarray[Any, Any]]) -> Calibration:
        """Return the ranges of a model in which channels of some tensors are divided by factors.

        Args:
            factors: Positive, shape ``(C,)``, by tensor; the other tensors are the same.

        Raises:
            CalibrationError: If statistics per channel of such a tensor were not collected.
        """
        statistics = {
            key: found.scaled(factors[key]) if key in factors else found
            for key, found in self._statistics.items()
        }
        return Calibration(statistics, self.samples, self._rules, self._inputs)

    def inputs(self) -> Iterator[Any]:
        """Yield the calibration samples again, batch by batch, for algorithms that need more than ranges.

        Raises:
            CalibrationError: If there are none.
        """
        if self._inputs is None:
            raise CalibrationError(
                "there are no calibration samples, which a recipe asks for. Give a calibration data "
                "loader."
            )
        yield from self._inputs()

    @property
    def used(self) -> Mapping[str, QParams]:
        """Everything that was asked for, by tensor and spec; saved with the model."""
        return dict(self._used)

    def qparams(self, key: TensorKey, spec: TensorSpec) -> QParams:
        """Return scale and zero point of one tensor.

        Raises:
            CalibrationError: If the tensor was not observed, or ``spec`` is not per tensor.
        """
        return self.merged_qparams((key,), spec)

    def merged_qparams(self, keys: Sequence[TensorKey], spec: TensorSpec) -> QParams:
        """Return one scale and zero point that cover several tensors (Concat, MaxPool).

        Raises:
            CalibrationError: If a tensor was not observed, or ``spec`` is not per tensor.
        """
        if spec.granularity != "per_tensor":
            raise CalibrationError(
                f"activations have one scale per tensor, received {spec} for {_label(keys[0])!r}"
            )
        name = f"{'+'.join(map(_label, keys))}|{spec}"
        if name not in self._used:
            ranges = [self._range(key, spec) for key in keys]
            lo, hi = min(low for low, _ in ranges), max(high for _, high in ranges)
            self._used[name] = choose_qparams(lo, hi, spec)
        return self._used[name]

    def range(self, key: TensorKey, algorithm: str = "minmax") -> tuple[float, float]:
        """Return lower and upper bound of one tensor as an algorithm chooses them for uint8."""
        return self._range(key, TensorSpec("uint8", "asym", algorithm=algorithm))

    def channel_mean(self, key: TensorKey) -> np.ndarray[Any, Any] | None:
        """Return the mean per channel, float32 ``(C,)``; ``None`` if it was not collected."""
        statistics = self._statistics.get(key)
        return None if statistics is None else statistics.channel_mean

    def _range(self, key: TensorKey, spec: TensorSpec) -> tuple[float, float]:
        if key in self._learned:
            return self._learned[key]
        if (key, spec) not in self._ranges:
            self._ranges[key, spec] = self._choose(key, spec)
        return self._ranges[key, spec]

    def _choose(self, key: TensorKey, spec: TensorSpec) -> tuple[float, float]:
        if key not in self._statistics:
            raise CalibrationError(
                f"tensor {_label(key)!r} was not calibrated ({len(self._statistics)} tensors were). "
                "Static ops need calibration data."
            )
        if spec.algorithm not in self._rules:
            raise CalibrationError(
                f"no observer {spec.algorithm!r}; known: {', '.join(self._rules)}"
            )
        statistics = self._statistics[key]
        observed = statistics.unscaled or statistics
        lo, hi = self._rules[spec.algorithm].choose_range(observed, spec)
        if not (np.isfinite(lo) and np.isfinite(hi) and lo <= hi):
            raise CalibrationError(
                f"observer {spec.algorithm!r} chose the range [{lo}, {hi}] for tensor "
                f"{_label(key)!r}; it must be finite and not empty"
            )
        if observed is statistics:
            return float(lo), float(hi)
        # a rescaled tensor: the rule clips the same share of each end as it did of what was observed
        return (
            statistics.lo * (lo / observed.lo if observed.lo else 1.0),
            statistics.hi * (hi / observed.hi if observed.hi else 1.0),
        )


class StatisticsStore(Protocol):
    """Keeps the statistics of one model over one set of data, so that they are collected once."""

    def get(self, question: Mapping[str, Any]) -> Mapping[int, Snapshot] | None:
        """Return what was kept under a question; ``None`` if nothing was."""

    def put(self, question: Mapping[str, Any], snapshots: Mapping[int, Snapshot]) -> None:
        """Keep what was found in the batches that were watched last."""

    def watch(self, batches: Iterable[Any]) -> Iterable[Any]:
        """Return the batches that are about to be observed, and note what they are."""


class Calibrator:
    """Runs the calibration data once and answers for every sampling size and algorithm.

    Args:
        observe: Runs batches of inputs and feeds the observers.
        batches: Gives batches of inputs, afresh on each call.
        keys: Tensors to observe.
        sizes: Sampling sizes that will be asked for.
        algorithms: Range rules that will be asked for; they decide if histograms are collected.
        channel_keys: Tensors whose ranges and means per channel are wanted too.
        rules: Range rules beside the built-in ones.
        store: Keeps statistics beyond this object; with a hit the model does not run at all.
    """

    def __init__(
        self,
        observe: Observe,
        batches: Callable[[], Iterable[Any]],
        keys: Sequence[TensorKey],
        sizes: Sequence[int],
        algorithms: Collection[str],
        channel_keys: Collection[TensorKey] = (),
        rules: Mapping[str, ChoosesRange] | None = None,
        store: StatisticsStore | None = None,
    ) -> None:
        self._observe = observe
        self._batches = batches
        self._keys = tuple(keys)
        self._sizes = tuple(sorted(set(sizes)))
        # as many as the smallest size needs: it is a part of the same pass
        self._elements = elements_per_sample(min(self._sizes, default=1))
        self._rules = {**BUILTIN_RANGE_RULES, **(rules or {})}
        self._needs_values = any(self._rules[name].needs_values for name in algorithms)
        self._channel_keys = frozenset(channel_keys)
        self._store = store
        self._found: dict[int, Calibration] = {}

    def calibration(self, samples: int) -> Calibration:
        """Return the ranges from the first ``samples`` samples; only the first call runs the model.

        With fewer samples in the data than asked for, all of them are used and a warning is logged;
        ``Calibration.samples`` says how many there were.

        Raises:
            CalibrationError: If there is no sample, or a tensor holds NaN or infinite values.
        """
        if not self._found:
            self._found = self._run()
        if samples not in self._found:
            known = ", ".join(map(str, self._sizes))
            raise CalibrationError(f"{samples} samples were not planned; the sizes are {known}")
        return self._found[samples].afresh()

    def _run(self) -> dict[int, Calibration]:
        question = self._question()
        snapshots = None if self._store is None else self._store.get(question)
        if snapshots is None:
            snapshots = self._collect()
            if self._store is not None:
                self._store.put(question, snapshots)
        for size, found in snapshots.items():
            _check_seen(found.samples, size)
        return {
            size: Calibration(
                found.statistics, found.samples, self._rules, partial(self._first, found.samples)
            )
            for size, found in snapshots.items()
        }

    def _question(self) -> dict[str, Any]:
        """Return what statistics depend on beside model and data."""
        return {
            "tensors": [list(key) for key in self._keys],
            "channels": sorted(list(key) for key in self._channel_keys),
            "histograms": self._needs_values and self._elements,
            "sizes": list(self._sizes),
        }

    def _collect(self) -> dict[int, Snapshot]:
        observers = {key: self._observer(key) for key in self._keys}
        batches = self._batches()
        source = _Segments(batches if self._store is None else self._store.watch(batches))
        found = {}
        for size in self._sizes:
            # one call for each size, so that an adaptor which reads ahead stays exact
            if not source.exhausted and observers:
                self._observe(source.until(size), observers)
            elif not source.exhausted:
                deque(source.until(size), maxlen=0)  # no tensor is asked for: count the samples
            if source.seen == 0:
                _check_seen(0, size)
            statistics = {k: o.statistics() for k, o in observers.items() if o.samples}
            found[size] = Snapshot(source.seen, statistics)
        return found

    def _first(self, samples: int) -> Iterator[Any]:
        return _Segments(self._batches()).until(samples)

    def _observer(self, key: TensorKey) -> Observer:
        return Observer(
            needs_values=self._needs_values,
            needs_channels=key in self._channel_keys,
            name=_label(key),
            max_elements=self._elements,
        )


def _check_seen(seen: int, asked: int) -> None:
    if seen == 0:
        raise CalibrationError(
            "the calibration dataloader gave no sample. Check its dataset and filter; a "
            "generator can be used only once, so give an iterable such as common.DataLoader."
        )
    if seen < asked:
        logger.warning(
            "calibration asked for %d samples, the dataloader has %d: all were used", asked, seen
        )


def _label(key: TensorKey) -> str:
    return "/".join(filter(None, key))


class _Segments:
    """Cuts a stream of batches at exact numbers of samples."""

    def __init__(self, batches: Iterable[Any]) -> None:
        self._batches = iter(batches)
        self._rest: Any = None
        self.seen = 0
        self.exhausted = False

    def until(self, samples: int) -> Iterator[Any]:
        """Yield batches until ``samples`` were seen in all, or the data ends."""
        while self.seen < samples:
            batch = self._rest if self._rest is not None else next(self._batches, None)
            if batch is None:
                self.exhausted = True
                return
            length, wanted = batch_length(batch), samples - self.seen
            self._rest = slice_batch(batch, wanted, length) if length > wanted else None
            self.seen += min(length, wanted)
            yield slice_batch(batch, 0, wanted) if length > wanted else batch


class ScaledCalibrator(Calibrator):
    """Answers for a model that differs from another only by factors of channels; runs nothing.

    Args:
        base: The calibrator of the other model, with statistics per channel of the scaled tensors.
        factors: By what each channel is divided, shape ``(C,)``, by tensor.
    """

    def __init__(self, base: Calibrator, factors: Mapping[TensorKey, np.ndarray[Any, Any]]) -> None:
        self._base = base
        self._factors = factors
        self._scaled: dict[int, Calibration] = {}

    def calibration(self, samples: int) -> Calibration:
        """Return the ranges of ``base``, rescaled."""
        if samples not in self._scaled:
            self._scaled[samples] = self._base.calibration(samples).scaled(self._factors)
        return self._scaled[samples].afresh()


class LearnedCalibrator(Calibrator):
    """Answers with the ranges that a training has learnt, and by calibration for the others.

    Args:
        base: The calibrator of the trained model; ``None`` without calibration data.
        ranges: By tensor.
    """

    def __init__(
        self, base: Calibrator | None, ranges: Mapping[TensorKey, tuple[float, float]]
    ) -> None:
        self._base = base
        self._learned = dict(ranges)

    def calibration(self, samples: int) -> Calibration:
        """Return learnt ranges, with those of ``base`` where there are none."""
        known = Calibration.none() if self._base is None else self._base.calibration(samples)
        return known.with_learned(self._learned)
