"""From configuration and parts to everything a run needs, in one fixed order.

Nothing here depends on the order in which a script set its attributes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

from inc_core.config.types import Config
from inc_core.errors import ConfigError
from inc_core.facade.calibration import make_calibrator
from inc_core.facade.evaluation import evaluator_of
from inc_core.facade.loaders import (
    calib_dataloader_of,
    eval_dataloader_of,
    first_inputs,
    read_batches,
    train_dataloader_of,
)
from inc_core.facade.opened import OpenedModel, open_model, refuse_untrainable
from inc_core.facade.parts import Parts
from inc_core.hookspecs.adaptor import ChannelScaling, FloatRewrites
from inc_core.hookspecs.training import Ranges
from inc_core.plugin import Plugins
from inc_core.quant.calibrator import (
    Calibrator,
    LearnedCalibrator,
    ScaledCalibrator,
    StatisticsStore,
)
from inc_core.quant.extra_observers import with_observers
from inc_core.quant.narrow import narrow
from inc_core.quant.space import TuningSpace
from inc_core.quant.spec import OpCapability, OpConfig
from inc_core.tuning.console import Console
from inc_core.tuning.evaluate import Evaluator

__all__ = ["Session", "TrainingOutcome", "open_session"]

# Model-wide rewrites that a user may switch on or off in quantization.recipes.
REWRITES = ("bias_correction", "cross_layer_equalization")


@dataclass(frozen=True)
class TrainingOutcome:
    """What a quantization-aware training leaves to the search.

    Attributes:
        ranges: Learnt ranges by tensor.
        float_model: The float model before the training, to which the goal is relative.
        facts: What is known of the training, as plain values for ``inc.json``.
    """

    ranges: Ranges
    float_model: Any
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Session:
    """Everything a run needs, resolved.

    ``store`` keeps statistics of an option set's model; ``trained`` is there after a
    quantization-aware training.
    """

    config: Config
    plugins: Plugins
    parts: Parts
    opened: OpenedModel
    space: TuningSpace
    calib_dataloader: Any
    eval_dataloader: Any
    evaluator: Evaluator | None
    console: Console
    store: Callable[[tuple[str, ...]], StatisticsStore | None] | None = None
    train_dataloader: Any = None
    trained: TrainingOutcome | None = None

    def example(self) -> Any:
        """Return the first batch of inputs that there is; ``None`` without data."""
        return first_inputs(self.calib_dataloader, self.eval_dataloader, self.train_dataloader)

    @property
    def has_ranges(self) -> bool:
        """Whether there is calibration data, or learnt ranges."""
        return self.calib_dataloader is not None or self.trained is not None

    def calibrate(self, model: Any, options: tuple[str, ...]) -> Calibrator:
        """Return the calibrator of a (rewritten) float model over the calibration data.

        Where the adaptor knows how a rewrite scales channels, the plain model's pass serves it too.
        """
        adaptor = self.opened.adaptor
        if self.trained is not None:
            base = None if self.calib_dataloader is None else self._plain_calibrator
            return LearnedCalibrator(base, self.trained.ranges)
        if options and () in self.space.option_sets and isinstance(adaptor, ChannelScaling):
            return ScaledCalibrator(self._plain_calibrator, adaptor.channel_factors(model))
        if not options:
            return self._plain_calibrator
        return self.calibrate_over(
            model,
            options,
            self._calib_inputs,
            self.space.calib_samples,
            store=None if self.store is None else self.store(options),
        )

    @cached_property
    def _plain_calibrator(self) -> Calibrator:
        """The plain model's, with statistics per channel if rewritten models will need them."""
        scales = isinstance(self.opened.adaptor, ChannelScaling)
        channels = scales and any(self.space.option_sets)
        return self.calibrate_over(
            self.opened.model,
            (),
            self._calib_inputs,
            self.space.calib_samples,
            needs_channels=channels,
            store=None if self.store is None else self.store(()),
        )

    def calibrate_over(
        self,
        model: Any,
        options: tuple[str, ...],
        batches: Callable[[], Iterable[Any]],
        sizes: Sequence[int],
        *,
        needs_channels: bool = False,
        store: StatisticsStore | None = None,
    ) -> Calibrator:
        """Return the calibrator of a float model over any batches of inputs."""
        return make_calibrator(
            self.opened.adaptor,
            model,
            space=self.space,
            needs_channels=needs_channels or "bias_correction" in options,
            batches=batches,
            sizes=sizes,
            plugins=self.plugins,
            store=store,
        )

    def _calib_inputs(self) -> Iterator[Any]:
        batches = (batch.inputs for batch in read_batches(self.calib_dataloader, "calibration"))
        return self.console.over(batches, "calibrating")


def open_session(
    config: Config, parts: Parts, plugins: Plugins, console: Console | None = None
) -> Session:
    """Resolve configuration and parts; reads no data but one batch for adaptors that trace models.

    Args:
        config: As loaded.
        parts: What the script set.
        plugins: Where components are found.
        console: Where progress is shown; a terminal's live line alone by default.

    Raises:
        ConfigError: If parts are missing or contradict each other.
    """
    plugins.require(config.plugins.require)
    console = console or Console(verbose=False)
    calib = calib_dataloader_of(config, parts, plugins)
    eval_dataloader = eval_dataloader_of(config, parts, plugins)
    train = train_dataloader_of(config.quantization.train or config.train, parts, plugins)
    with console.doing("loading the model"):
        example = partial(first_inputs, calib, eval_dataloader, train)
        opened = open_model(config, parts.model, plugins, example)
    _check_training(config, parts, opened)
    space = _space(config, opened, plugins)
    if calib is None and config.quantization.approach != "qat":  # a training observes too
        space = _without_calibration(space)
    evaluator = evaluator_of(config, parts, plugins, opened.adaptor, eval_dataloader, console)
    return Session(
        config=config,
        plugins=plugins,
        parts=parts,
        opened=opened,
        space=space,
        calib_dataloader=calib,
        eval_dataloader=eval_dataloader,
        evaluator=evaluator,
        console=console,
        train_dataloader=train,
    )


def _check_training(config: Config, parts: Parts, opened: OpenedModel) -> None:
    approach = config.quantization.approach
    if approach == "qat" or parts.q_func is not None:
        refuse_untrainable(opened.framework, opened.adaptor)
    if approach != "qat" and parts.q_func is not None:
        raise ConfigError(
            f"q_func is a training function, but quantization.approach is {approach!r}; write "
            "quant_aware_training, or leave q_func unset"
        )


def _space(config: Config, opened: OpenedModel, plugins: Plugins) -> TuningSpace:
    quantization = config.quantization
    stated = (
        quantization.model_wise,
        *quantization.optype_wise.values(),
        *quantization.op_wise.values(),
    )
    space = narrow(
        with_observers(opened.capabilities, stated, plugins.names("observer")),
        approach=quantization.approach,
        model_wise=quantization.model_wise,
        optype_wise=quantization.optype_wise,
        op_wise=quantization.op_wise,
        recipes=quantization.recipes,
        sizes=quantization.calibration.sampling_sizes,
        option_sets=_option_sets(opened, quantization.recipes),
    )
    if quantization.approach == "qat":
        space = _for_training(space)
    modes = {c.mode for op in opened.capabilities for c in op.configs if c.is_quantized}
    if modes and not space.ops and not any(decision.by == "user" for decision in space.decisions):
        raise ConfigError(
            f"quantization.approach: {quantization.approach} leaves nothing to quantize; for this "
            f"model {opened.framework!r} offers {' and '.join(sorted(modes))}. Change the approach."
        )
    return space


def _for_training(space: TuningSpace) -> TuningSpace:
    """Return the space with one quantized config per op: the one that the training simulates.

    A rewrite would change weights that were trained for their scales.
    """
    unwanted = [name for name in space.option_sets[0] if name in REWRITES]
    if unwanted:
        raise ConfigError(
            f"quantization.recipes.{unwanted[0]}: true rewrites weights, which cannot be combined with "
            "quant_aware_training. Remove the line."
        )
    capabilities = tuple(replace(c, configs=_simulated(c)) for c in space.capabilities)
    return replace(space, capabilities=capabilities, option_sets=((),))


def _simulated(capability: OpCapability) -> tuple[OpConfig, ...]:
    quantized = [config for config in capability.configs if config.is_quantized]
    return (*quantized[:1], *(c for c in capability.configs if not c.is_quantized))


def _option_sets(opened: OpenedModel, recipes: Mapping[str, bool]) -> tuple[tuple[str, ...], ...]:
    """Return the option sets to try: the plain model first, then every rewrite left to us at once.

    One step, not one per rewrite: equalization moves error into biases, which correction repairs.
    """
    adaptor = opened.adaptor
    offered = adaptor.rewrites(opened.model) if isinstance(adaptor, FloatRewrites) else ()
    unavailable = [name for name in REWRITES if recipes.get(name) and name not in offered]
    if unavailable:
        raise ConfigError(
            f"quantization.recipes.{unavailable[0]}: true, but it changes nothing for this model "
            f"(the adaptor offers: {', '.join(offered) or 'none'}). Remove the line."
        )
    always = tuple(name for name in REWRITES if recipes.get(name))
    optional = tuple(name for name in REWRITES if name in offered and name not in recipes)
    return (always, tuple(sorted(always + optional))) if optional else (always,)


def _without_calibration(space: TuningSpace) -> TuningSpace:
    """Return the space without weights that are chosen by looking at inputs.

    Raises:
        ConfigError: If there are static options, or an op has nothing else.
    """
    options = [config for op in space.ops for config in space.options(op)]
    if any(config.mode == "static" for config in options):
        raise ConfigError(
            "static quantization needs calibration data: set quantizer.calib_dataloader, or "
            "quantization.calibration.dataloader in the configuration; or use "
            "quantization.approach: post_training_dynamic_quant, which needs none."
        )
    left = [config for config in options if config.is_quantized and not config.needs_calibration]
    needing = {
        config.weight.algorithm for config in options if config.reads_inputs and config.weight
    }
    if needing and not left:
        raise ConfigError(
            f"weight algorithm {' and '.join(sorted(needing))} needs calibration data: set "
            "quantizer.calib_dataloader, or quantization.calibration.dataloader in the "
            "configuration; or name an algorithm that needs none."
        )
    return space.without_calibration() if needing else space
