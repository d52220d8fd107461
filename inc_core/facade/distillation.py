"""``Distillation``: train a student on what a teacher says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from inc_core.config.types import ComponentConfig, TrainConfig
from inc_core.errors import ConfigError
from inc_core.facade.float_training import FloatTraining
from inc_core.facade.training import Scorer, Training, native_source
from inc_core.hookspecs.training import Distiller, Distills

__all__ = ["DISTILLATION_LOSSES", "Distillation"]

# The criteria that need a teacher; parameters of the first are the reference's defaults.
DISTILLATION_LOSSES = (
    "KnowledgeDistillationLoss",
    "IntermediateLayersKnowledgeDistillationLoss",
)


class Distillation(FloatTraining):
    """Train a student so that it answers as its teacher does, by the section ``distillation``.

    The training function calls ``on_after_compute_loss`` and goes on with the loss it returns::

        distiller = Distillation("conf.yaml")
        distiller.student_model, distiller.teacher_model = student, teacher

        def train(model):
            for epoch in range(3):
                distiller.on_epoch_begin(epoch)
                for x, y in loader:
                    output = model(x)
                    loss = distiller.on_after_compute_loss(x, output, criterion(output, y))
                    loss.backward()
                    ...
                distiller.on_epoch_end()

        distiller.train_func = train
        student = distiller.fit()

    With evaluation data the best epoch's student is returned, judged every ``train.frequency`` epochs.

    Attributes:
        student_model: The same as ``model``.
        teacher_model: A trained model of the same framework; it is not changed.
    """

    aliases: ClassVar[Mapping[str, str]] = {**FloatTraining.aliases, "student_model": "model"}

    teacher_model: Any

    def __call__(self) -> Any:
        """Call ``fit()``."""
        return self.fit()

    def _train_config(self) -> TrainConfig | None:
        return self.config.distillation.train or self.config.train

    def _join(self, training: Training) -> _DistillationListener:
        adaptor = training.adaptor
        if not isinstance(adaptor, Distills):
            raise ConfigError(
                f"the adaptor of {training.adaptor.context.framework!r} has no distillation losses"
            )
        if self.teacher_model is None:
            raise ConfigError("no teacher: set teacher_model to a trained model")
        config = self._train_config()
        criterion = ComponentConfig(DISTILLATION_LOSSES[0])
        if config is not None and config.criterion.name in DISTILLATION_LOSSES:
            criterion = config.criterion
        teacher = training.adaptor.trainable(native_source(self.teacher_model))
        distiller = adaptor.distiller(training.model, teacher, criterion)
        return _DistillationListener(training, distiller, config.frequency if config else 1)


class _DistillationListener:
    """Mixes the teacher's loss in, and keeps the best student where that is watched."""

    def __init__(self, training: Training, distiller: Distiller, frequency: int) -> None:
        self._training = training
        self._distiller = distiller
        self._frequency = frequency
        self._scorer: Scorer | None = None
        self._best: tuple[float, Any] | None = None
        self._epochs = 0

    def watch(self, scorer: Scorer) -> None:
        """Have the student judged after epochs; the best one is kept."""
        self._scorer = scorer

    def on_after_compute_loss(
        self, inputs: Any, output: Any, loss: Any, teacher_output: Any = None
    ) -> Any:
        """Return the combined loss."""
        return self._distiller.loss(inputs, output, loss, teacher_output)

    def on_epoch_end(self) -> None:
        """Judge the student, if it is time to."""
        self._epochs += 1
        if self._scorer is not None and self._epochs % self._frequency == 0:
            adaptor = self._training.adaptor
            student = adaptor.finish_training(adaptor.trainable(self._training.model)).source
            score = self._scorer.score(student)
            if score is not None and self._is_better(score):
                self._best = (score, student)

    def outcome(self) -> dict[str, Any]:
        """Return the best student, if any was judged."""
        return {} if self._best is None else {"model": self._best[1]}

    def _is_better(self, score: float) -> bool:
        if self._best is None:
            return True
        assert self._scorer is not None
        return score > self._best[0] if self._scorer.higher_is_better else score < self._best[0]
