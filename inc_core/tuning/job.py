"""``TuningJob``: everything that one search needs, resolved; and how a recipe becomes a model."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from inc_core.config.types import CriterionConfig, ExitPolicyConfig
from inc_core.errors import CalibrationError
from inc_core.hookspecs.adaptor import Adaptor, FloatRewrites
from inc_core.hookspecs.objective import Objective
from inc_core.hookspecs.strategy import Strategy
from inc_core.quant.calibrator import Calibration
from inc_core.quant.recipe import Recipe
from inc_core.quant.space import TuningSpace
from inc_core.tuning.cache import Cache
from inc_core.tuning.console import Console
from inc_core.tuning.evaluate import Evaluator
from inc_core.tuning.journal import Journal
from inc_core.tuning.noise import NoiseCheck

if TYPE_CHECKING:
    from inc_core.quant.calibrator import Calibrator
    from inc_core.tuning.results import Results
    from inc_core.tuning.runner.contract import Runner

__all__ = ["Builder", "Prepared", "TuningJob", "WeightedObjective", "build"]

logger = logging.getLogger("inc_core.tuning")


class WeightedObjective(NamedTuple):
    """An objective beside accuracy: its name, what measures it, and its weight."""

    name: str
    objective: Objective
    weight: float = 1.0


class Prepared(NamedTuple):
    """A float model under one option set, and its calibrator (``None`` without data)."""

    model: Any
    calibrator: Calibrator | None


class Builder:
    """Turns recipes into models; rewrites and calibrates once per option set, however many trials.

    Args:
        adaptor: What rewrites and quantizes.
        model: The float model; never changed.
        calibrate: Returns the calibrator of a (rewritten) float model under an option set;
            ``None`` if there is no calibration data.
    """

    def __init__(
        self,
        adaptor: Adaptor,
        model: Any,
        calibrate: Callable[[Any, tuple[str, ...]], Calibrator] | None = None,
    ) -> None:
        self._adaptor = adaptor
        self._model = model
        self._calibrate = calibrate
        self._prepared: dict[tuple[str, ...], Prepared] = {}
        self._kept: tuple[str, Any, Calibration] | None = None

    def prepared(self, options: tuple[str, ...]) -> Prepared:
        """Return the float model and calibrator of an option set, made on first use."""
        if options not in self._prepared:
            model = self._model
            if options and isinstance(self._adaptor, FloatRewrites):
                model = self._adaptor.rewrite(model, options)
            calibrator = None if self._calibrate is None else self._calibrate(model, options)
            self._prepared[options] = Prepared(model, calibrator)
        return self._prepared[options]

    def build(self, recipe: Recipe) -> tuple[Any, Calibration]:
        """Return the native model of a recipe and the calibration it was built from.

        Raises:
            CalibrationError: If static ops need ranges and there is no calibration data.
            QuantizationError: If the adaptor cannot build the recipe.
        """
        if self._kept is not None and self._kept[0] == recipe.fingerprint:
            return self._kept[1:]
        calibration = self.calibration(recipe)
        source = self.prepared(recipe.options)
        return self._adaptor.quantize(source.model, recipe, calibration), calibration

    def calibration(self, recipe: Recipe) -> Calibration:
        """Return the ranges that a recipe is built from; the model runs once per option set.

        Raises:
            CalibrationError: As ``build``.
        """
        return self._calibration(recipe, self.prepared(recipe.options).calibrator)

    def keep(self, recipe: Recipe, model: Any, calibration: Calibration) -> None:
        """Remember one built model, the best so far, so that the end need not build it again."""
        self._kept = (recipe.fingerprint, model, calibration)

    @staticmethod
    def _calibration(recipe: Recipe, calibrator: Calibrator | None) -> Calibration:
        needed = any(config.needs_calibration for config in recipe.ops.values())
        # options such as a bias correction may read channel means of ops that are not static
        if not needed and not (recipe.options and recipe.quantized_ops and calibrator is not None):
            return Calibration.none()
        if calibrator is None:
            raise CalibrationError(
                "the recipe has ops that need calibration, but there is no calibration data. Give a "
                "calibration data loader, or choose an approach without one (dynamic, weight_only)."
            )
        return calibrator.calibration(recipe.calib_samples)


def _ignore_event(name: str, **arguments: Any) -> None:
    """Stand in for ``Plugins.emit`` where nobody listens."""


@dataclass(frozen=True)
class TuningJob:
    """One search, fully resolved: ``tune`` needs nothing else.

    Attributes:
        adaptor: The framework.
        model: The float model, native.
        space: Every recipe that may be proposed.
        strategy: What proposes.
        calibrate: ``(float model, option set) -> Calibrator``; ``None`` without calibration data.
        evaluator: What gives an accuracy; ``None`` without evaluation data.
        criterion: The accuracy goal as configured.
        exit_policy: When the search ends.
        objectives: What is measured beside accuracy.
        sample: One batch of inputs on which objectives are measured; ``None`` measures none.
        probe_inputs: Gives batches of inputs on which outputs are compared; ``None`` compares none.
        cache: Keeps measurements across runs.
        content_key: What they depend on: model, calibration data, configuration, versions; empty
            keeps none of them.
        seed: Of the strategy's random generator.
        early_stop: Whether an evaluation may end where the goal is out of reach.
        noise_check: How it is found out whether an evaluation gives the same twice.
        width: How many recipes a strategy may propose side by side.
        runner: Where trials run; ``None`` in this process.
        results: Evaluations of earlier runs; ``None`` knows none.
        journal: Where outcomes are kept and replayed from.
        emit: Sends an event to the plugins: ``emit(name, **arguments)``.
        say: Takes each line for the console.
        console: Is told what is being done, for the live line.
        clock: Monotonic seconds.
        reference: The float model that the goal is relative to, where it is another than ``model``:
            the one before a training.
        builder: Makes models; shared with whoever builds the final one.
    """

    adaptor: Adaptor
    model: Any
    space: TuningSpace
    strategy: Strategy
    calibrate: Callable[[Any, tuple[str, ...]], Calibrator] | None = None
    evaluator: Evaluator | None = None
    criterion: CriterionConfig = field(default_factory=CriterionConfig)
    exit_policy: ExitPolicyConfig = field(default_factory=ExitPolicyConfig)
    objectives: Sequence[WeightedObjective] = ()
    sample: Any = None
    probe_inputs: Callable[[], Iterable[Any]] | None = None
    cache: Cache = field(default_factory=lambda: Cache(None))
    content_key: Mapping[str, str] = field(default_factory=dict)
    seed: int = 1978
    early_stop: bool = True
    noise_check: NoiseCheck = "auto"
    width: int = 1
    runner: Runner | None = None
    results: Results | None = None
    journal: Journal = field(default_factory=Journal)
    emit: Callable[..., None] = _ignore_event
    say: Callable[[str], None] = logger.info
    console: Console = field(default_factory=partial(Console, live=False))
    clock: Callable[[], float] = time.monotonic
    reference: Any = None
    builder: Builder = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "builder", Builder(self.adaptor, self.model, self.calibrate))

    @property
    def float_model(self) -> Any:
        """The float model that the goal is relative to."""
        return self.model if self.reference is None else self.reference

    @property
    def latencies(self) -> tuple[str, ...]:
        """Names of the objectives that are latencies and count."""
        return tuple(
            name
            for name, objective, weight in self.objectives
            if weight > 0 and getattr(objective, "is_latency", False)
        )

    @property
    def evaluates(self) -> bool:
        """Whether accuracy decides; else there is one conversion and no accuracy."""
        return self.evaluator is not None and not self.exit_policy.performance_only


def build(job: TuningJob, recipe: Recipe) -> Any:
    """Return the native quantized model of a recipe: rewrite, calibrate, quantize.

    Nothing is done twice: rewritten models and calibrations are shared with the trials, and the
    best trial's model was kept.
    """
    return job.builder.build(recipe)[0]
