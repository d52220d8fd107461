"""The hooks that training loops call; every façade that trains has them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from inc_core.errors import ConfigError, TrainingError, did_you_mean

__all__ = ["SCOPES", "TrainingHooks"]

SCOPES = (
    "on_train_begin",
    "on_epoch_begin",
    "on_step_begin",
    "on_after_compute_loss",
    "on_before_optimizer_step",
    "on_step_end",
    "on_epoch_end",
    "on_train_end",
)


class TrainingHooks:
    """Tells everything that takes part in a training what happens in it.

    In this order: ``on_train_begin``, for each epoch ``on_epoch_begin(epoch)``, for each batch
    ``on_step_begin(batch)``, forward pass, ``on_after_compute_loss(...)``, backward pass,
    ``on_before_optimizer_step()``, the optimizer, ``on_step_end()``; then ``on_epoch_end()``, and at last
    ``on_train_end``. The first and the last are also called by ``fit()``. Who prunes by epochs needs
    no more than the epoch and step hooks. Epochs, and the batches of each, count from 0.
    """

    _listeners: tuple[Any, ...] | None = None
    _registered: dict[str, list[Callable[..., Any]]]

    def register_hook(self, scope: str, hook: Callable[..., Any]) -> None:
        """Have ``hook`` called too, with the arguments of its scope, after the built-in listeners.

        Raises:
            ConfigError: If there is no such scope.
        """
        if scope not in SCOPES:
            raise ConfigError(
                f"no hook {scope!r}.{did_you_mean(scope, SCOPES)} There are: {', '.join(SCOPES)}"
            )
        if "_registered" not in vars(self):
            self._registered = {}
        self._registered.setdefault(scope, []).append(hook)

    def on_train_begin(self) -> None:
        """Tell that the training begins."""
        self._tell("on_train_begin")

    def on_epoch_begin(self, epoch: int) -> None:
        """Tell that an epoch begins."""
        self._tell("on_epoch_begin", epoch)

    def on_step_begin(self, batch_id: int) -> None:
        """Tell that a batch begins."""
        self._tell("on_step_begin", batch_id)

    def on_after_compute_loss(
        self, inputs: Any, student_output: Any, student_loss: Any, teacher_output: Any = None
    ) -> Any:
        """Return the loss to go on with: that of the student, or with a teacher's mixed in.

        Args:
            inputs: The batch, as the model took it.
            student_output: What the model returned.
            student_loss: Its loss by the labels, a native scalar.
            teacher_output: What the teacher returned, if the loop has run it already.
        """
        loss = student_loss
        for listener in self._those_who("on_after_compute_loss"):
            changed = listener(inputs, student_output, loss, teacher_output)
            loss = loss if changed is None else changed
        return loss

    def on_before_optimizer_step(self) -> None:
        """Tell that gradients are there and weights are still the old ones."""
        self._tell("on_before_optimizer_step")

    def on_step_end(self) -> None:
        """Tell that the optimizer has made its step."""
        self._tell("on_step_end")

    def on_epoch_end(self) -> None:
        """Tell that an epoch is over."""
        self._tell("on_epoch_end")

    def on_train_end(self) -> None:
        """Tell that the training is over."""
        self._tell("on_train_end")

    # other names of the same
    def on_batch_begin(self, batch_id: int) -> None:
        """Call ``on_step_begin``."""
        self.on_step_begin(batch_id)

    def on_batch_end(self) -> None:
        """Call ``on_step_end``."""
        self.on_step_end()

    def on_post_grad(self) -> None:
        """Call ``on_before_optimizer_step``."""
        self.on_before_optimizer_step()

    def pre_epoch_begin(self) -> None:
        """Call ``on_train_begin``."""
        self.on_train_begin()

    def post_epoch_end(self) -> None:
        """Call ``on_train_end``."""
        self.on_train_end()

    @contextmanager
    def _training(self, listeners: Sequence[Any]) -> Iterator[None]:
        """Have ``listeners`` told what happens, within a ``with`` block."""
        self._listeners = tuple(listeners)
        try:
            yield
        finally:
            self._listeners = None

    def _tell(self, scope: str, *arguments: Any) -> None:
        for listener in self._those_who(scope):
            listener(*arguments)

    def _those_who(self, scope: str) -> list[Callable[..., Any]]:
        if self._listeners is None:
            raise TrainingError(
                f"{scope}() was called outside of a training: set train_func (or q_func) to a function "
                "that trains the model and calls the hooks, then call fit()."
            )
        own = vars(self).get("_registered", {}).get(scope, [])
        methods = [getattr(listener, scope, None) for listener in self._listeners]
        return [method for method in methods if method is not None] + own
