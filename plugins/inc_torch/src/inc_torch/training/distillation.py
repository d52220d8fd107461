"""Knowledge distillation: what a teacher says is mixed into the loss of its student."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from inc_core.config.types import ComponentConfig
from inc_core.errors import ConfigError, TrainingError, did_you_mean
from inc_torch.training.loop import run_model
from inc_torch.training.losses import TEACHER_LOSSES, logits_of, soft_loss

__all__ = ["make_distiller"]

_SOFT = ("KL", "CE", "MSE")
_BETWEEN_LAYERS = {"MSE": functional.mse_loss, "L1": functional.l1_loss, "KL": None}


def make_distiller(student: nn.Module, teacher: nn.Module, criterion: ComponentConfig) -> Any:
    """Return the distiller of a criterion; the teacher is frozen, in evaluation mode.

    Raises:
        ConfigError: If the criterion, or one of its parameters, is unknown.
    """
    kinds: Mapping[str, type[Any]] = dict(zip(TEACHER_LOSSES, (_Logits, _Layers), strict=True))
    if criterion.name not in kinds:
        raise ConfigError(
            f"criterion {criterion.name!r} has no teacher.{did_you_mean(criterion.name, kinds)} "
            f"Those that have: {', '.join(kinds)}"
        )
    teacher.eval()
    for parameter in teacher.parameters():
        parameter.requires_grad_(False)
    try:
        return kinds[criterion.name](student, teacher, **(criterion.parameters or {}))
    except TypeError as error:
        raise ConfigError(f"criterion {criterion.name}: {error}") from error


class _Logits:
    """The weighted sum of the student's own loss and of its distance from the teacher's logits.

    Args:
        student: In training; not looked at.
        teacher: Frozen.
        temperature: Of the probabilities.
        loss_types: Of the own loss, which the training computes, and of the teacher's.
        loss_weights: Of both, together 1.
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module,
        temperature: float = 1.0,
        loss_types: Sequence[str] = ("CE", "KL"),
        loss_weights: Sequence[float] = (0.5, 0.5),
    ) -> None:
        if len(loss_types) != 2 or loss_types[1] not in _SOFT:
            raise ConfigError(
                f"loss_types {list(loss_types)!r}: the student's own loss, then the teacher's, which is "
                f"one of {', '.join(_SOFT)}"
            )
        if len(loss_weights) != 2 or abs(sum(loss_weights) - 1) > 1e-6 or min(loss_weights) < 0:
            raise ConfigError(f"loss_weights {list(loss_weights)!r}: two shares that sum to 1")
        if temperature <= 0:
            raise ConfigError(f"temperature {temperature!r} must be above 0")
        self._teacher = teacher
        self._temperature = float(temperature)
        self._kind = loss_types[1]
        self._weights = tuple(map(float, loss_weights))

    def loss(self, inputs: Any, output: Any, loss: Tensor, teacher_output: Any = None) -> Tensor:
        """Return the weighted sum."""
        own, taught = self._weights
        if not taught:
            return loss
        if teacher_output is None:
            with torch.no_grad():
                teacher_output = run_model(self._teacher, inputs)
        told = logits_of(teacher_output).detach()
        distance = soft_loss(self._kind, logits_of(output), told, self._temperature)
        return own * loss + taught * distance


class _Layers:
    """The distances between outputs of layers of student and teacher, added up.

    Args:
        student: In training.
        teacher: Frozen.
        layer_mappings: Pairs of layer names, student's first; one name where both are called alike.
        loss_types: ``"MSE"``, ``"L1"`` or ``"KL"`` for each pair; MSE if left out.
        loss_weights: For each pair; equal if left out.
        add_origin_loss: Whether the student's own loss is added.
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module,
        layer_mappings: Sequence[Any] = (),
        loss_types: Sequence[str] = (),
        loss_weights: Sequence[float] = (),
        add_origin_loss: bool = False,
    ) -> None:
        self._pairs = [_pair(mapping) for mapping in layer_mappings]
        if not self._pairs:
            raise ConfigError("layer_mappings: name at least one pair of layers")
        count = len(self._pairs)
        self._kinds = list(loss_types) or ["MSE"] * count
        self._weights = [float(w) for w in loss_weights] or [1 / count] * count
        if len(self._kinds) != count or len(self._weights) != count:
            raise ConfigError(
                f"{count} layer_mappings, {len(self._kinds)} loss_types and {len(self._weights)} "
                "loss_weights; write one of each for each pair"
            )
        unknown = [kind for kind in self._kinds if kind not in _BETWEEN_LAYERS]
        if unknown:
            raise ConfigError(
                f"loss_types: {unknown[0]!r} is unknown; known: {', '.join(_BETWEEN_LAYERS)}"
            )
        self._teacher = teacher
        self._adds_own = add_origin_loss
        self._seen: dict[tuple[str, str], Tensor] = {}
        for owner, model, position in (("student", student, 0), ("teacher", teacher, 1)):
            for name in {pair[position] for pair in self._pairs}:
                self._watch(owner, model, name)

    def loss(self, inputs: Any, output: Any, loss: Tensor, teacher_output: Any = None) -> Tensor:
        """Return the sum; the teacher is always run, for its layers' outputs."""
        with torch.no_grad():
            run_model(self._teacher, inputs)
        total = loss if self._adds_own else torch.zeros_like(loss)
        for (ours, theirs), kind, weight in zip(
            self._pairs, self._kinds, self._weights, strict=True
        ):
            found = self._seen["student", ours], self._seen["teacher", theirs]
            if found[0].shape != found[1].shape:
                raise TrainingError(
                    f"layer_mappings: {ours!r} of the student gives {tuple(found[0].shape)}, {theirs!r} "
                    f"of the teacher {tuple(found[1].shape)}; map layers of one shape"
                )
            function = _BETWEEN_LAYERS[kind]
            distance = soft_loss("KL", *found, 1.0) if function is None else function(*found)
            total = total + weight * distance
        return total

    def _watch(self, owner: str, model: nn.Module, name: str) -> None:
        layers = dict(model.named_modules())
        if name not in layers:
            raise ConfigError(
                f"layer_mappings: the {owner} has no layer {name!r}.{did_you_mean(name, layers)}"
            )

        def remember(layer: nn.Module, inputs: Any, output: Any) -> None:
            self._seen[owner, name] = logits_of(output)

        layers[name].register_forward_hook(remember)


def _pair(mapping: Any) -> tuple[str, str]:
    names = [mapping] if isinstance(mapping, str) else list(mapping)
    if len(names) not in (1, 2) or not all(isinstance(name, str) for name in names):
        raise ConfigError(
            f"layer_mappings: {mapping!r} must be one name, or the student's and the teacher's"
        )
    return names[0], names[-1]
