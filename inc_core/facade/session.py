"""From configuration and parts to everything a run needs, in one fixed order.

Nothing here depends on the order in which a script set its attributes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from inc_core import common
from inc_core.config.types import ComponentConfig, Config
from inc_core.data.batches import iter_batches
from inc_core.data.build import build_dataloader
from inc_core.errors import ConfigError
from inc_core.facade.calibration import make_calibrator
from inc_core.facade.parts import Parts
from inc_core.hookspecs.adaptor import (
    Adaptor,
    AdaptorContext,
    ChannelScaling,
    ExampleTracing,
    FloatRewrites,
)
from inc_core.plugin import Plugins
from inc_core.plugin.parameters import instantiate
from inc_core.quant.calibrator import Calibrator, ScaledCalibrator, StatisticsStore
from inc_core.quant.extra_observers import with_observers
from inc_core.quant.narrow import narrow
from inc_core.quant.space import TuningSpace
from inc_core.quant.spec import OpCapability
from inc_core.tuning.console import Console
from inc_core.tuning.evaluate import Evaluator, MetricEvaluator
from inc_core.tuning.indexed import function_evaluator

__all__ = ["OpenedModel", "Session", "batch_count", "open_model", "open_session"]

# Model-wide rewrites that a user may switch on or off in quantization.recipes.
REWRITES = ("bias_correction", "cross_layer_equalization")


@dataclass(frozen=True)
class OpenedModel:
    """A float model, loaded by the adaptor of its framework."""

    framework: str
    adaptor: Adaptor
    model: Any
    capabilities: Sequence[OpCapability]


def open_model(
    config: Config,
    source: Any,
    plugins: Plugins,
    example: Callable[[], Any] | None = None,
) -> OpenedModel:
    """Find the framework, import its adaptor, load the model.

    Args:
        config: Says which framework, or leaves it to be guessed.
        source: A path, or a framework's model.
        plugins: Where the adaptor is found.
        example: Gives one batch of inputs; asked only if the adaptor traces models.

    Raises:
        ConfigError: If no model was given.
        UnsupportedModelError: If the framework cannot be guessed, or the model not be loaded.
        ComponentNotFoundError: If no installed plugin offers the framework.
    """
    if isinstance(source, common.Model):
        source = source.root
    if source is None:
        raise ConfigError("no model: set quantizer.model to a path or a framework's model")
    framework = config.model.framework or plugins.guess_framework(source).framework
    context = AdaptorContext(
        framework=framework,
        approach=config.quantization.approach,
        device=config.device,
        inputs=config.model.inputs,
        outputs=config.model.outputs,
        recipes=config.quantization.recipes,
    )
    adaptor: Adaptor = plugins.component("adaptor", framework)(context)
    model = adaptor.load(source)
    if example is not None and isinstance(adaptor, ExampleTracing):
        inputs = example()
        model = model if inputs is None else adaptor.trace(model, inputs)
    return OpenedModel(framework, adaptor, model, tuple(adaptor.capabilities(model)))


@dataclass(frozen=True)
class Session:
    """Everything a run needs, resolved; ``store`` keeps statistics of an option set's model."""

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

    def calibrate(self, model: Any, options: tuple[str, ...]) -> Calibrator:
        """Return the calibrator of a (rewritten) float model over the calibration data.

        Where the adaptor knows how a rewrite scales channels, the plain model's pass serves it too.
        """
        adaptor = self.opened.adaptor
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
        batches = (batch.inputs for batch in iter_batches(self.calib_dataloader))
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
    calib = _calib_dataloader(config, parts, plugins)
    eval_dataloader = _eval_dataloader(config, parts, plugins)
    with console.doing("loading the model"):
        example = partial(_first_inputs, calib, eval_dataloader)
        opened = open_model(config, parts.model, plugins, example)
    _refuse_training(config, parts, opened)
    space = _space(config, opened, plugins)
    if calib is None:
        space = _without_calibration(space)
    evaluator = _evaluator(config, parts, plugins, opened.adaptor, eval_dataloader, console)
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
    )


def _refuse_training(config: Config, parts: Parts, opened: OpenedModel) -> None:
    if config.quantization.approach == "qat" or parts.q_func is not None:
        raise ConfigError(
            f"quantization-aware training (approach quant_aware_training, or q_func) was asked for, "
            f"but the adaptor of {opened.framework!r} cannot train. Use post_training_static_quant "
            "with a calibration dataloader and leave q_func unset."
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
    modes = {c.mode for op in opened.capabilities for c in op.configs if c.is_quantized}
    if modes and not space.ops and not any(decision.by == "user" for decision in space.decisions):
        raise ConfigError(
            f"quantization.approach: {quantization.approach} leaves nothing to quantize; for this "
            f"model {opened.framework!r} offers {' and '.join(sorted(modes))}. Change the approach."
        )
    return space


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


def _calib_dataloader(config: Config, parts: Parts, plugins: Plugins) -> Any:
    built = config.quantization.calibration.dataloader
    if parts.calib_dataloader is None and built is not None:
        return build_dataloader(built, plugins)
    return parts.calib_dataloader


def _eval_dataloader(config: Config, parts: Parts, plugins: Plugins) -> Any:
    built = config.evaluation.accuracy.dataloader
    if parts.eval_dataloader is None and built is not None:
        return build_dataloader(built, plugins)
    return parts.eval_dataloader


def _first_inputs(*loaders: Any) -> Any:
    """Return the first batch of inputs that any loader gives; ``None`` without data."""
    for loader in loaders:
        if loader is not None:
            batch = next(iter(iter_batches(loader)), None)
            if batch is not None:
                return batch.inputs
    return None


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


def _evaluator(
    config: Config,
    parts: Parts,
    plugins: Plugins,
    adaptor: Adaptor,
    loader: Any,
    console: Console,
) -> Evaluator | None:
    """Return what evaluates; ``None`` if nothing can be evaluated."""
    accuracy, tuning = config.evaluation.accuracy, config.tuning
    order_seed = tuning.random_seed if tuning.early_stop else None
    if parts.eval_func is not None:
        return function_evaluator(parts.eval_func, order_seed)
    metric = parts.metric
    if metric is None and accuracy.metric is not None:
        metric = _metric_from(accuracy.metric, plugins)
    if loader is None or metric is None:
        _refuse_half(config, loader, parts.metric)
        return None
    return MetricEvaluator(
        adaptor,
        loader,
        metric,
        _postprocess(config, parts, plugins),
        accuracy.iteration,
        watch=lambda batches: console.over(batches, "evaluating", batch_count(loader)),
        order_seed=order_seed,
    )


def batch_count(loader: Any) -> int | None:
    """Return how many batches a loader has; ``None`` if it does not say."""
    try:
        return len(loader)
    except TypeError:  # an iterable without a length: progress and estimate do without
        return None


def _refuse_half(config: Config, loader: Any, metric_of_script: Any) -> None:
    """A loader without a metric, or the reverse, is a mistake unless only performance is wanted."""
    if config.tuning.exit_policy.performance_only:
        return
    if loader is not None:
        raise ConfigError(
            "there is an evaluation dataloader but no metric: set quantizer.metric, "
            "evaluation.accuracy.metric, or tuning.exit_policy.performance_only: true"
        )
    if metric_of_script is not None or config.evaluation.accuracy.metric is not None:
        raise ConfigError(
            "there is a metric but no evaluation data: set quantizer.eval_dataloader, "
            "evaluation.accuracy.dataloader, or tuning.exit_policy.performance_only: true"
        )


def _metric_from(config: ComponentConfig, plugins: Plugins) -> common.Metric:
    """Return a holder that makes a new metric for each evaluation."""
    return common.Metric(_NamedMetric(plugins, config), name=config.name)


class _NamedMetric:
    """Makes a metric by its name; in another process by its class, without the plugins."""

    def __init__(self, plugins: Plugins, config: ComponentConfig) -> None:
        self._plugins = plugins
        self._config = config

    def __call__(self) -> Any:
        return self._plugins.create("metric", self._config)

    def __reduce__(self) -> tuple[Any, ...]:
        config = self._config
        factory = self._plugins.component("metric", config.name)
        title = f"metric {config.name!r}"
        return partial, (instantiate, factory, title, config.parameters, {})


def _postprocess(config: Config, parts: Parts, plugins: Plugins) -> tuple[Any, ...]:
    if parts.postprocess is not None:
        return (parts.postprocess,)
    accuracy = config.evaluation.accuracy
    return tuple(plugins.create("transform", entry) for entry in accuracy.postprocess)
