"""One training: who takes part, who runs the loop, and how the model is evaluated around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any, Protocol

from inc_core import common
from inc_core.config.types import Config, TrainConfig
from inc_core.errors import ConfigError, TrainingError
from inc_core.facade.evaluation import evaluator_of
from inc_core.facade.hooks import TrainingHooks
from inc_core.facade.opened import OpenedModel, open_model, refuse_untrainable
from inc_core.hookspecs.adaptor import Adaptor
from inc_core.hookspecs.training import Trainable, TrainingLoop
from inc_core.plugin import Plugins
from inc_core.tuning.console import Console
from inc_core.tuning.evaluate import Evaluator

__all__ = ["Participant", "Scorer", "Training", "native_source", "open_trainable", "run_loop"]


@dataclass(frozen=True)
class Training:
    """A model in training, and what participants may need to know.

    Attributes:
        adaptor: The framework, which is ``Trainable``.
        model: The native model that the loop is given.
        plugins: Where components are found.
        train: The training that the configuration describes, if any.
    """

    adaptor: Any
    model: Any
    plugins: Plugins
    train: TrainConfig | None


class Participant(Protocol):
    """A façade that takes part in a training."""

    def _join(self, training: Training) -> Any:
        """Return a listener, whose methods are named as the hooks that it wants."""

    def _training(self, listeners: Sequence[Any]) -> AbstractContextManager[None]:
        """Have one's own hooks tell ``listeners`` within a ``with`` block."""


def open_trainable(
    config: Config, source: Any, plugins: Plugins, example: Callable[[], Any]
) -> tuple[OpenedModel, Trainable, Any]:
    """Return the loaded float model, its adaptor as ``Trainable``, and a model to train.

    Args:
        config: Says which framework, or leaves it to be guessed.
        source: A path, or a framework's model.
        plugins: Where the adaptor is found.
        example: Gives one batch of inputs, or ``None``.

    Raises:
        ConfigError: If there is no model, or the adaptor cannot train.
        UnsupportedModelError: If the model cannot be loaded or trained.
    """
    opened = open_model(config, source, plugins, example)
    refuse_untrainable(opened.framework, opened.adaptor)
    adaptor: Any = opened.adaptor
    return opened, adaptor, adaptor.trainable(native_source(source))


def native_source(source: Any) -> Any:
    """Return what is inside of a ``common.Model``, or the source itself."""
    return source.root if isinstance(source, common.Model) else source


def run_loop(
    hooks: Any,
    training: Training,
    participants: Sequence[Participant],
    listeners: Sequence[Any],
    train_func: Callable[[Any], Any] | None,
    train_dataloader: Any,
) -> None:
    """Train: by the user's function, else by the adaptor's loop as the configuration says.

    The model is trained in place; what the function returns has no meaning.

    Raises:
        ConfigError: If neither is there, or something that the loop needs.
        TrainingError: If the function returns another model than the one it was given.
    """
    if train_func is not None and not callable(train_func):
        raise ConfigError(
            "train_func (q_func) is a function that trains the model it is called with; received "
            f"{train_func!r} ({type(train_func).__name__})"
        )
    with ExitStack() as stack:
        stack.enter_context(hooks._training(listeners))
        for participant, listener in zip(participants, listeners, strict=True):
            if participant is not hooks:  # its own hooks tell it alone
                stack.enter_context(participant._training((listener,)))
        hooks.on_train_begin()
        if train_func is not None:
            returned = train_func(training.model)
        else:
            returned = None
            _run_configured(hooks, training, train_dataloader)
        hooks.on_train_end()
    if returned is not training.model and type(returned) is type(training.model):
        raise TrainingError(
            "the training function returned another model than the one it was given; train that one, in "
            "place: masks, simulated integers and hooks belong to it"
        )


def _run_configured(hooks: TrainingHooks, training: Training, train_dataloader: Any) -> None:
    config, adaptor = training.train, training.adaptor
    if config is None:
        raise ConfigError(
            "no training: set train_func (q_func) to a function that trains the model it is given, "
            "or describe a training in the section 'train'"
        )
    if not isinstance(adaptor, TrainingLoop):
        raise ConfigError(
            f"the adaptor of {adaptor.context.framework!r} has no training loop of its own: set "
            "train_func (q_func) instead of the section 'train'"
        )
    if train_dataloader is None:
        raise ConfigError(
            "the section 'train' needs data: set train_dataloader, or its key 'dataloader'"
        )
    adaptor.train(training.model, config, train_dataloader, hooks)


class Scorer:
    """Evaluates native models around and in a training.

    Args:
        config: Says metric and data.
        parts: What the script set; goes before.
        plugins: Where components are found.
        adaptor: Loads models for prediction.
        loader: The evaluation data, or ``None``.
        console: Shows how far an evaluation is.
    """

    def __init__(
        self,
        config: Config,
        parts: Any,
        plugins: Plugins,
        adaptor: Adaptor,
        loader: Any,
        console: Console,
    ) -> None:
        self._evaluator = evaluator_of(config, parts, plugins, adaptor, loader, console)
        self._by_function = parts.eval_func is not None
        self._adaptor = adaptor
        self._stated = config.tuning.criterion.higher_is_better

    @property
    def evaluator(self) -> Evaluator | None:
        """What evaluates; ``None`` without evaluation data."""
        return self._evaluator

    @property
    def higher_is_better(self) -> bool:
        """The user's word, else the metric's, else true."""
        stated = self._stated
        if stated is None:
            stated = getattr(self._evaluator, "higher_is_better", None)
        return True if stated is None else bool(stated)

    def score(self, native: Any) -> float | None:
        """Return the accuracy of a float model of the user's type; ``None`` without evaluation data."""
        if self._evaluator is None:
            return None
        model = native if self._by_function else self._adaptor.load(native)
        return self._evaluator.evaluate(model).accuracy
