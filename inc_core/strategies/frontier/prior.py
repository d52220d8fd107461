"""What each choice is expected to lose before any trial but the first."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from inc_core.quant.spec import OpConfig, OpKey
from inc_core.strategies.frontier.loss import LossModel
from inc_core.strategies.frontier.variables import Column, Variables

__all__ = ["make_model"]

Array: TypeAlias = "np.ndarray[Any, Any]"
Sensitivity: TypeAlias = "Mapping[OpKey, Mapping[OpConfig, float]]"

# Damage of a kind of choice in that of static int8, where nothing is measured.
_USUAL = {"static": 1.0, "dynamic": 0.6, "weight_only": 0.7, "bf16": 0.05, "fp16": 0.01}
_FEWER_BITS = {"int4": 3.0, "int3": 8.0, "int2": 30.0}

DOUBT = 1.2  # of a measured sensitivity, relative
COMMON = 0.5  # of the mean damage: what a sensitivity may have missed
SMALLEST = 0.05  # linked loss: a first trial that loses nothing still tells no zero


def make_model(
    variables: Variables, first: Array, value: float, sensitivity: Sensitivity | None
) -> LossModel:
    """Return the loss model after the first trial.

    Sensitivities come in an unknown scale; the first trial sets it.

    Args:
        variables: The columns.
        first: Selection of the first trial.
        value: Its linked loss.
        sensitivity: Measured for single ops; ``None`` where nothing can be measured.
    """
    total = max(value, SMALLEST)
    usual = np.array([_usual(column) for column in variables.columns])
    share = _shares(variables, usual, sensitivity)
    scale = share[first].sum() or share.sum() or 1.0
    means = np.maximum(total * share / scale, 1e-6)
    groups = max(1, len(variables.groups))
    deviations = DOUBT * (means + COMMON * total * usual / groups)
    model = LossModel(means, deviations, variables.owner)
    model.observe(first, value)
    return model


def _usual(column: Column) -> float:
    mode, precision = column.kind
    return _USUAL.get(mode, 1.0) * _FEWER_BITS.get(precision, 1.0)


def _shares(variables: Variables, usual: Array, sensitivity: Sensitivity | None) -> Array:
    if not sensitivity:
        return usual
    measured = np.array([_measured(column, sensitivity) for column in variables.columns])
    known = np.isfinite(measured)
    if not known.any():
        return usual
    broken = np.isposinf(measured)
    typical = float(np.median(measured[known] / usual[known])) or float(measured[known].max())
    shares = np.where(known, measured, usual * typical)
    # what cannot be built alone is worse than all the others together
    return np.where(broken, shares[known].sum() + usual * typical, shares)


def _measured(column: Column, sensitivity: Sensitivity) -> float:
    """Return the sensitivity of a column; NaN if it was not measured."""
    values = []
    for op, config in column.configs.items():
        table = sensitivity.get(op, {})
        alike = [
            table[other]
            for other in sorted(table, key=lambda known: known != config)
            if (other.mode, other.precision) == (config.mode, config.precision)
        ]
        values += alike[:1]
    # ops of a group are measured together, so each carries the whole group's value
    return max(values, default=math.nan)
