"""What a script hands to a façade. Setting only stores; a mistyped name is an error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from inc_core.errors import did_you_mean

__all__ = ["EvaluationParts", "Parts", "TrainingParts"]


class _Settable:
    """Every annotated attribute of the classes of a façade may be set, and is ``None`` at first."""

    aliases: ClassVar[Mapping[str, str]] = {}

    def __init__(self) -> None:
        for name in self._settable():
            setattr(self, name, None)

    def __setattr__(self, name: str, value: Any) -> None:
        name = self.aliases.get(name, name)
        if not name.startswith("_") and name not in self._settable():
            raise AttributeError(
                f"{type(self).__name__} has no attribute {name!r}.{did_you_mean(name, self._settable())}"
                f" These can be set: {', '.join(self._settable())}"
            )
        super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        if name in type(self).aliases:
            return getattr(self, type(self).aliases[name])
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    @classmethod
    def _settable(cls) -> tuple[str, ...]:
        declared = [
            name for base in reversed(cls.__mro__) for name in vars(base).get("__annotations__", ())
        ]
        return tuple(name for name in declared if not name.startswith("_") and name != "aliases")


class EvaluationParts(_Settable):
    """The model, and what tells how good it is; ``None`` is not set.

    Attributes:
        model: The float model: a path, a native object or ``common.Model``.
        eval_dataloader: An iterable of ``(inputs, labels)`` batches for evaluation.
        metric: A metric class or instance, or ``common.Metric``; goes before the configuration's.
        postprocess: Called on ``(outputs, labels)`` before the metric; or ``common.Postprocess``.
        eval_func: Called with the model, of the framework's own type; returns its accuracy; goes
            before metric and loader.
            With a second parameter ``indices`` it returns the score of each of these samples, of
            all of them if ``indices`` is ``None``; bad models are then rejected early. Attributes of
            the function are listed in docs/plugins.md.
    """

    model: Any
    eval_dataloader: Any
    metric: Any
    postprocess: Any
    eval_func: Callable[..., Any] | None


class Parts(EvaluationParts):
    """What else a script may set for a quantization.

    Attributes:
        calib_dataloader: An iterable of ``(inputs, labels)`` batches for calibration.
        q_func: Training function, for quantization-aware training: called with the model to train.
        train_dataloader: Batches for a training that the configuration describes.
        objective: An object with ``measure(run)``, in place of the configured objectives.
        strategy: A strategy object, in place of the configured one.
    """

    aliases: ClassVar[Mapping[str, str]] = {"train_func": "q_func"}

    calib_dataloader: Any
    q_func: Callable[[Any], Any] | None
    train_dataloader: Any
    objective: Any
    strategy: Any


class TrainingParts(EvaluationParts):
    """What else a script may set for a training.

    Attributes:
        train_func: Training function: called with the model to train, calls the hooks. ``q_func`` and
            ``pruning_func`` are other names of it.
        train_dataloader: Batches for a training that the configuration describes.
    """

    aliases: ClassVar[Mapping[str, str]] = {"q_func": "train_func", "pruning_func": "train_func"}

    train_func: Callable[[Any], Any] | None
    train_dataloader: Any
