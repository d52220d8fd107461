"""A training whose result is a float model: what ``Pruning`` and ``Distillation`` share."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inc_core.config.load import load_config
from inc_core.config.types import Config, TrainConfig
from inc_core.data.batches import slice_batch
from inc_core.facade.hooks import TrainingHooks
from inc_core.facade.loaders import eval_dataloader_of, first_inputs, train_dataloader_of
from inc_core.facade.parts import TrainingParts
from inc_core.facade.run import SAMPLE_SIZE
from inc_core.facade.training import Participant, Scorer, Training, open_trainable, run_loop
from inc_core.plugin import Plugins, get_plugins
from inc_core.trained_model import TrainedModel
from inc_core.tuning.console import Console

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FloatTraining", "train_float"]


class FloatTraining(TrainingHooks, TrainingParts):
    """Holds configuration and parts; ``fit()`` trains and returns a ``TrainedModel``.

    Args:
        conf_fname_or_obj: A YAML path, a mapping, a ``Config``, or ``None`` for the defaults.
        plugins: Where components are found; the installed plugins by default.
        verbose: Print the report to standard error.
    """

    config: Config
    verbose: bool

    def __init__(
        self,
        conf_fname_or_obj: str | Path | Mapping[str, Any] | Config | None = None,
        *,
        plugins: Plugins | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__()
        self.config = load_config(conf_fname_or_obj)
        self.verbose = verbose
        self._plugins = plugins

    def fit(self) -> TrainedModel:
        """Train and return the trained model; never ``None``. What was given is not changed.

        Raises:
            ConfigError: If something that the run needs is missing or wrong.
            IncError: The other errors of ``inc_core.errors``; nothing is swallowed.
        """
        result = train_float(self, self.config, self, (self,), self._train_config())
        if self.verbose:
            print(result.report(), file=sys.stderr)
        return result

    def _train_config(self) -> TrainConfig | None:
        raise NotImplementedError

    def _join(self, training: Training) -> Any:
        raise NotImplementedError


def train_float(
    hooks: Any,
    config: Config,
    parts: TrainingParts,
    participants: Sequence[Participant],
    train: TrainConfig | None,
) -> TrainedModel:
    """Train a float model with everybody who takes part.

    Args:
        hooks: The façade whose hooks the user's function calls.
        config: Of the model and the evaluation.
        parts: What the script set.
        participants: Who listens, in this order.
        train: The training that the configuration describes, if any.
    """
    plugins = hooks._plugins or get_plugins()
    plugins.require(config.plugins.require)
    data = train_dataloader_of(train, parts, plugins)
    eval_data = eval_dataloader_of(config, parts, plugins)
    example = partial(first_inputs, data, eval_data)
    opened, adaptor, model = open_trainable(config, parts.model, plugins, example)
    training = Training(adaptor, model, plugins, train)
    listeners = [participant._join(training) for participant in participants]
    scorer = Scorer(config, parts, plugins, opened.adaptor, eval_data, Console(verbose=False))
    baseline = scorer.score(adaptor.finish_training(adaptor.trainable(model)).source)
    if len(listeners) == 1 and hasattr(listeners[0], "watch"):
        # beside pruning the best is the one that is pruned, not the one before
        listeners[0].watch(scorer)
    run_loop(hooks, training, participants, listeners, parts.train_func, data)
    facts: dict[str, Any] = {}
    for listener in listeners:
        facts.update(listener.outcome())
    native = facts.pop("model", None)
    if native is None:
        native = adaptor.finish_training(model).source
    return TrainedModel(
        model=native,
        adaptor=opened.adaptor,
        baseline=baseline,
        accuracy=scorer.score(native),
        sample=_sample(example()),
        plugins=plugins,
        **facts,
    )


def _sample(inputs: Any) -> Any:
    """Return a few inputs, to verify a saved model with; ``None`` without data."""
    return None if inputs is None else slice_batch(inputs, 0, SAMPLE_SIZE)
