"""What evaluates the models of a run: the user's function, or a metric over data."""

from __future__ import annotations

from functools import partial
from typing import Any

from inc_core import common
from inc_core.config.types import ComponentConfig, Config
from inc_core.data.spans import batch_total
from inc_core.errors import ConfigError
from inc_core.facade.parts import EvaluationParts
from inc_core.hookspecs.adaptor import Adaptor, Presents
from inc_core.plugin import Plugins
from inc_core.plugin.parameters import instantiate
from inc_core.tuning.console import Console
from inc_core.tuning.evaluate import Evaluator, MetricEvaluator
from inc_core.tuning.indexed import function_evaluator

__all__ = ["evaluator_of"]


def evaluator_of(
    config: Config,
    parts: EvaluationParts,
    plugins: Plugins,
    adaptor: Adaptor,
    loader: Any,
    console: Console,
) -> Evaluator | None:
    """Return what evaluates; ``None`` if nothing can be evaluated."""
    accuracy, tuning = config.evaluation.accuracy, config.tuning
    order_seed = tuning.random_seed if tuning.early_stop else None
    if parts.eval_func is not None:
        present = adaptor.present if isinstance(adaptor, Presents) else None
        return function_evaluator(parts.eval_func, order_seed, present)
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
        watch=lambda batches: console.over(batches, "evaluating", batch_total(loader)),
        order_seed=order_seed,
    )


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


def _postprocess(config: Config, parts: EvaluationParts, plugins: Plugins) -> tuple[Any, ...]:
    if parts.postprocess is not None:
        return (parts.postprocess,)
    accuracy = config.evaluation.accuracy
    return tuple(plugins.create("transform", entry) for entry in accuracy.postprocess)
