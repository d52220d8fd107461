"""The model of a run: its framework found, its adaptor imported, loaded and traced."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from inc_core import common
from inc_core.config.schema import RECIPES
from inc_core.config.types import Config
from inc_core.errors import ConfigError
from inc_core.hookspecs.adaptor import Adaptor, AdaptorContext, ExampleTracing
from inc_core.hookspecs.training import Trainable
from inc_core.plugin import Plugins
from inc_core.quant.spec import OpCapability

__all__ = ["OpenedModel", "load_traced", "open_model", "refuse_untrainable"]

logger = logging.getLogger("inc_core.facade")


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
        if source.kwargs:
            logger.warning("common.Model: %s has no effect", ", ".join(sorted(source.kwargs)))
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
    kind: type[Adaptor] = plugins.component("adaptor", framework)
    _check_context(kind, context)
    adaptor = kind(context)
    model = load_traced(adaptor, source, example)
    return OpenedModel(framework, adaptor, model, tuple(adaptor.capabilities(model)))


def _check_context(kind: type[Adaptor], context: AdaptorContext) -> None:
    """Refuse a device that the adaptor does not know; warn of switches that nobody reads."""
    if context.device not in kind.devices:
        raise ConfigError(
            f"device: {context.device}, but models of {context.framework!r} run on "
            f"{' or '.join(kind.devices)} here. Change the line."
        )
    known = (*RECIPES, *kind.switches)
    for name in context.recipes:
        if name not in known:
            logger.warning(
                "quantization.recipes.%s has no effect: neither inc nor the adaptor of %r knows such "
                "a switch. Known: %s", name, context.framework, ", ".join(known),
            )  # fmt: skip


def load_traced(adaptor: Adaptor, source: Any, example: Callable[[], Any] | None) -> Any:
    """Return the loaded model, traced with an example if the adaptor traces and there is one."""
    model = adaptor.load(source)
    if example is None or not isinstance(adaptor, ExampleTracing):
        return model
    inputs = example()
    return model if inputs is None else adaptor.trace(model, inputs)


def refuse_untrainable(framework: str, adaptor: Adaptor) -> None:
    """Make sure that an adaptor can train.

    Raises:
        ConfigError: If it cannot.
    """
    if not isinstance(adaptor, Trainable):
        raise ConfigError(
            "a training was asked for (quant_aware_training, q_func, pruning or distillation), but the "
            f"adaptor of {framework!r} cannot train. Use post_training_static_quant with a "
            "calibration dataloader and leave q_func unset, or a framework that can be trained."
        )
