"""``Parts``: what a script hands to a façade. Setting only stores; a mistyped name is an error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from inc_core.errors import did_you_mean

__all__ = ["Parts"]


class Parts:
    """Everything that a script may set beside the configuration; ``None`` is not set.

    Attributes:
        model: The float model: a path, a native object or ``common.Model``.
        calib_dataloader: An iterable of ``(inputs, labels)`` batches for calibration.
        eval_dataloader: An iterable of ``(inputs, labels)`` batches for evaluation.
        metric: A metric class or instance, or ``common.Metric``; goes before the configuration's.
        postprocess: Called on ``(outputs, labels)`` before the metric; or ``common.Postprocess``.
        q_func: Training function, for quantization-aware training.
        eval_func: Called with the native model, returns its accuracy; goes before metric and loader.
            With a second parameter ``indices`` it returns the score of each of these samples, of
            all of them if ``indices`` is ``None``; bad models are then rejected early.
        objective: An object with ``measure(run)``, in place of the configured objectives.
        strategy: A strategy object, in place of the configured one.
    """

    model: Any
    calib_dataloader: Any
    eval_dataloader: Any
    metric: Any
    postprocess: Any
    q_func: Callable[[Any], Any] | None
    eval_func: Callable[..., Any] | None
    objective: Any
    strategy: Any

    def __init__(self) -> None:
        for name in Parts.__annotations__:
            setattr(self, name, None)

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_") and name not in self._settable():
            raise AttributeError(
                f"{type(self).__name__} has no attribute {name!r}.{did_you_mean(name, self._settable())}"
                f" These can be set: {', '.join(Parts.__annotations__)}"
            )
        super().__setattr__(name, value)

    @classmethod
    def _settable(cls) -> tuple[str, ...]:
        declared = [name for base in cls.__mro__ for name in vars(base).get("__annotations__", ())]
        return tuple(name for name in declared if not name.startswith("_"))
