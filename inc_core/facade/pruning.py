"""``Pruning``: make weights zero while a model is trained."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from inc_core.config.types import TrainConfig
from inc_core.errors import ConfigError
from inc_core.facade.float_training import FloatTraining
from inc_core.facade.training import Training
from inc_core.hookspecs.training import WeightAccess
from inc_core.pruning.report import SparsityReport
from inc_core.pruning.run import PruningRun
from inc_core.trained_model import TrainedModel

__all__ = ["Pruning"]


class Pruning(FloatTraining):
    """Prune a model in training to a target sparsity, by the section ``pruning``.

    The training function calls the hooks of this object (see ``TrainingHooks``)::

        prune = Pruning("conf.yaml")

        def train(model):
            for epoch in range(5):
                prune.on_epoch_begin(epoch)
                for step, (x, y) in enumerate(loader):
                    prune.on_step_begin(step)
                    ...
                    optimizer.step()
                    prune.on_step_end()
                prune.on_epoch_end()

        prune.model = model
        prune.q_func = train
        prune.eval_func = evaluate
        pruned = prune.fit()
        pruned.save("out")

    or everything in one call: ``Pruning(conf)(model, pruning_func=train, eval_func=evaluate)``. Instead
    of a function, ``pruning.train`` may describe the training.
    """

    _run: PruningRun | None = None

    def __call__(
        self,
        model: Any = None,
        train_dataloader: Any = None,
        pruning_func: Callable[[Any], Any] | None = None,
        eval_dataloader: Any = None,
        eval_func: Callable[..., Any] | None = None,
    ) -> TrainedModel:
        """Set what is given, then ``fit()``."""
        given = {
            "model": model,
            "train_dataloader": train_dataloader,
            "train_func": pruning_func,
            "eval_dataloader": eval_dataloader,
            "eval_func": eval_func,
        }
        for name, value in given.items():
            if value is not None:
                setattr(self, name, value)
        return self.fit()

    def sparsity(self) -> SparsityReport:
        """Return how sparse the model is: now, within a training function, or at the end of it.

        Raises:
            ConfigError: If no training has begun.
        """
        if self._run is None:
            raise ConfigError("sparsity() needs a training: call fit() first")
        return self._run.report()

    def _train_config(self) -> TrainConfig | None:
        return self.config.pruning.train or self.config.train

    def _join(self, training: Training) -> _PruningListener:
        if not isinstance(training.adaptor, WeightAccess):
            raise ConfigError(
                f"the adaptor of {training.adaptor.context.framework!r} does not let weights be read "
                "and written, so it cannot prune"
            )
        self._run = PruningRun(
            training.adaptor,
            training.model,
            self.config.pruning,
            partial(training.plugins.create, "pruner"),
        )
        return _PruningListener(self._run)


class _PruningListener:
    """Passes the hooks to the run, and says at the end what came of it."""

    def __init__(self, run: PruningRun) -> None:
        self._run = run
        self.on_epoch_begin = run.on_epoch_begin
        self.on_step_begin = run.on_step_begin
        self.on_before_optimizer_step = run.on_before_optimizer_step
        self.on_step_end = run.on_step_end
        self.on_epoch_end = run.on_epoch_end

    def outcome(self) -> dict[str, Any]:
        """Return sparsity, masks, and whether every schedule came to its end."""
        report = self._run.finish()
        return {"sparsity": report, "masks": self._run.masks, "complete": self._run.finished}
