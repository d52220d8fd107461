"""What each choice is expected to lose before any trial but the first."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from inc_core.quant.spec import OpConfig, OpKey
from inc_core.strategies.frontier.beliefs import POWERS, Beliefs, Curve, Member
from inc_core.strategies.frontier.loss import LossModel
from inc_core.strategies.frontier.variables import Column, Variables

__all__ = ["make_beliefs"]

Array: TypeAlias = "np.ndarray[Any, Any]"
Sensitivity: TypeAlias = "Mapping[OpKey, Mapping[OpConfig, float]]"

# Damage of a kind of choice in that of static int8, where nothing is measured.
_USUAL = {"static": 1.0, "dynamic": 0.6, "weight_only": 0.7, "bf16": 0.05, "fp16": 0.01}
_FEWER_BITS = {"int4": 3.0, "int3": 8.0, "int2": 30.0}

DOUBT = 1.0  # of a measured sensitivity, relative
SENSITIVITY_ERROR = 0.7  # of the logarithm of a sensitivity, as an estimate of damage
MOST_REGRESSION = 0.7  # what is measured is worth something, however little it varies
ORDINARY = 2.5  # standard deviations: what is further off is no error of measurement
COMMON = 0.5  # of the mean damage: what a sensitivity may have missed
SMALLEST = 0.05  # linked loss: a first trial that loses nothing still tells no zero


def make_beliefs(
    variables: Variables,
    first: Array,
    value: float,
    target: float,
    sensitivity: Sensitivity | None,
) -> Beliefs:
    """Return what is believed after the first trial.

    Sensitivities come in an unknown scale; the first trial sets it.

    Args:
        variables: The columns.
        first: Selection of the first trial.
        value: Its linked loss.
        target: The allowed linked loss.
        sensitivity: Measured for single ops; ``None`` where nothing can be measured.
    """
    usual = np.array([_usual(column) for column in variables.columns])
    shares = _shares(variables, usual, sensitivity)
    members = []
    for power, probability in POWERS.items():
        curve = Curve(power, target)
        total = float(curve.up(max(value, SMALLEST)))
        model = _model(variables, first, total, shares**power, usual**power)
        members.append(Member(curve, model, math.log(probability)))
    beliefs = Beliefs(members)
    beliefs.observe(first, value)
    return beliefs


def _model(
    variables: Variables, first: Array, total: float, shares: Array, usual: Array
) -> LossModel:
    scale = shares[first].sum() or shares.sum() or 1.0
    means = np.maximum(total * shares / scale, 1e-6)
    groups = max(1, len(variables.groups))
    deviations = DOUBT * (means + COMMON * total * usual / groups)
    return LossModel(means, deviations, variables.owner)


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
    typical = typical or 1.0
    shares = np.where(known, measured, usual * typical)
    shares = np.where(broken, shares, _regressed(shares, usual))
    # what cannot be built alone is worse than all the others together
    return np.where(broken, shares[~broken].sum() + usual * typical, shares)


def _regressed(shares: Array, usual: Array) -> Array:
    """Return sensitivities regressed to their middle, by the part of their spread that is error.

    What looks harmless is on average less harmless than it looks; a search that picks by looks
    would be disappointed every time. Outliers keep their distance.
    """
    logs = np.log(np.maximum(shares / usual, 1e-300))
    middle = float(np.median(logs))
    spread = 1.48 * float(np.median(np.abs(logs - middle)))
    if spread <= 0:
        return shares
    error = min(MOST_REGRESSION, (SENSITIVITY_ERROR / spread) ** 2)
    ordinary = np.clip(logs - middle, -ORDINARY * spread, ORDINARY * spread)
    return np.asarray(usual * np.exp(logs - error * ordinary))


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
