"""Losses by the names and parameters of configurations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from inc_core.config.types import ComponentConfig
from inc_core.errors import ConfigError, did_you_mean

__all__ = ["TEACHER_LOSSES", "logits_of", "make_loss", "soft_loss"]

Loss = Callable[[Any, Any], Tensor]

# Losses that a teacher adds to; the student's own part is the cross entropy.
TEACHER_LOSSES = ("KnowledgeDistillationLoss", "IntermediateLayersKnowledgeDistillationLoss")
_CLASSIFICATION = ("CrossEntropyLoss", "SparseCategoricalCrossentropy")
_KNOWN = (*_CLASSIFICATION, "MSELoss", "L1Loss", *TEACHER_LOSSES)
_REDUCTIONS = ("mean", "sum")
# The smallest probability of which a logarithm is taken.
_SMALLEST = 1e-12


def make_loss(config: ComponentConfig) -> Loss:
    """Return ``loss(outputs, labels)`` of a criterion.

    Raises:
        ConfigError: If the criterion or a parameter is unknown.
    """
    if config.name not in _KNOWN:
        raise ConfigError(
            f"criterion {config.name!r} is unknown.{did_you_mean(config.name, _KNOWN)} "
            f"Known: {', '.join(_KNOWN)}"
        )
    if config.name in TEACHER_LOSSES:  # its parameters are about the teacher
        return _cross_entropy("mean", from_logits=True)
    stated = dict(config.parameters or {})
    reduction = stated.pop("reduction", "mean")
    from_logits = stated.pop("from_logits", True) if config.name in _CLASSIFICATION else True
    if stated or reduction not in _REDUCTIONS:
        raise ConfigError(
            f"criterion {config.name} with {config.parameters!r}: it has the parameter 'reduction' "
            f"({' or '.join(_REDUCTIONS)}), and for classes 'from_logits'"
        )
    if config.name in _CLASSIFICATION:
        return _cross_entropy(reduction, from_logits=bool(from_logits))
    function = functional.mse_loss if config.name == "MSELoss" else functional.l1_loss
    return lambda outputs, labels: function(
        logits_of(outputs), torch.as_tensor(labels).to(logits_of(outputs)), reduction=reduction
    )


def soft_loss(kind: str, outputs: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return how far a student's logits are from its teacher's, ``(batch, ..., classes)`` both.

    Args:
        kind: ``"KL"`` or ``"CE"`` between probabilities at a temperature, or ``"MSE"`` of logits.
        outputs: Of the student.
        teacher: Of the teacher.
        temperature: Above 1 softens the probabilities; the loss keeps its size, by the square of it.

    Source: Hinton et al. 2015 (arXiv:1503.02531), section 2.
    """
    if kind == "MSE":
        return functional.mse_loss(outputs, teacher)
    student = functional.log_softmax(outputs / temperature, dim=-1)
    target = functional.softmax(teacher / temperature, dim=-1)
    loss = -(target * student).sum(dim=-1).mean()
    if kind == "KL":
        loss = loss + (target * target.clamp_min(_SMALLEST).log()).sum(dim=-1).mean()
    return loss * temperature**2


def _cross_entropy(reduction: str, *, from_logits: bool) -> Loss:
    def loss(outputs: Any, labels: Any) -> Tensor:
        logits = logits_of(outputs)
        if not from_logits:
            logits = logits.clamp_min(_SMALLEST).log()
        classes = logits.movedim(-1, 1) if logits.dim() == 3 else logits
        return functional.cross_entropy(
            classes, torch.as_tensor(labels).long(), reduction=reduction
        )

    return loss


def logits_of(outputs: Any) -> Tensor:
    """Return the logits of a model: its output, the first of several, or ``logits`` among named ones."""
    if isinstance(outputs, Mapping):
        outputs = outputs["logits"] if "logits" in outputs else next(iter(outputs.values()))
    elif isinstance(outputs, (tuple, list)):
        outputs = outputs[0]
    assert isinstance(outputs, Tensor)
    return outputs
