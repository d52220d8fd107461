"""Trials as plain values for the journal: a recipe as its difference to another, checked by digest."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, get_args

from inc_core.hookspecs.strategy import Forecast
from inc_core.quant.recipe import Recipe
from inc_core.quant.spec import OpConfig, OpKey
from inc_core.tuning.trial import Status, Trial

__all__ = ["RecipePacker", "pack_base", "pack_trial", "unpack_base", "unpack_trial"]


def pack_base(recipe: Recipe) -> dict[str, Any]:
    """Return a whole recipe as plain values, each distinct config once."""
    index: dict[OpConfig, int] = {}
    ops = [
        [op.name, op.type, index.setdefault(config, len(index))]
        for op, config in recipe.ops.items()
    ]
    return {
        "configs": [config.to_json() for config in index],
        "ops": ops,
        "calib_samples": recipe.calib_samples,
        "options": list(recipe.options),
        "fingerprint": recipe.fingerprint,
    }


def unpack_base(fields: Mapping[str, Any]) -> Recipe:
    """Inverse of ``pack_base``.

    Raises:
        ValueError: If the recipe is not the one that was packed; other values raise what they will.
    """
    configs = [OpConfig.from_json(config) for config in fields["configs"]]
    recipe = Recipe(
        ops={OpKey(name, type): configs[k] for name, type, k in fields["ops"]},
        calib_samples=fields["calib_samples"],
        options=tuple(fields["options"]),
    )
    return _checked(recipe, fields["fingerprint"])


class RecipePacker:
    """Packs recipes of one model as what they change in a base recipe: small and quick at any size.

    Args:
        base: What recipes are held against, such as the space's default.
    """

    def __init__(self, base: Recipe) -> None:
        self.base = base
        self._ops = list(base.ops)
        self._configs = list(base.ops.values())

    def pack(self, recipe: Recipe) -> dict[str, Any]:
        """Return a recipe as plain values: for each config the numbers of the ops that it changes.

        One of other ops, or of another order of ops, is packed whole.
        """
        if list(recipe.ops) != self._ops:
            return {"whole": pack_base(recipe)}
        changes: dict[OpConfig, list[int]] = {}
        previous, numbers = None, list[int]()
        for number, (config, base) in enumerate(
            zip(recipe.ops.values(), self._configs, strict=True)
        ):
            if config is base or config == base:
                continue
            if config is not previous:  # neighbours mostly share one; hashing it costs more
                previous, numbers = config, changes.setdefault(config, [])
            numbers.append(number)
        return {
            "base": self.base.fingerprint,
            "changes": [[config.to_json(), ops] for config, ops in changes.items()],
            "calib_samples": recipe.calib_samples,
            "options": list(recipe.options),
        }

    def unpack(self, fields: Mapping[str, Any], fingerprint: str) -> Recipe:
        """Inverse of ``pack``.

        Raises:
            ValueError: If the result has another fingerprint; other values raise what they will.
        """
        if "whole" in fields:
            return _checked(unpack_base(fields["whole"]), fingerprint)
        ops = dict(self.base.ops)
        for config, numbers in fields["changes"]:
            changed = (self._ops[number] for number in numbers)
            ops.update(dict.fromkeys(changed, OpConfig.from_json(config)))
        recipe = Recipe(ops, fields["calib_samples"], tuple(fields["options"]))
        return _checked(recipe, fingerprint)


def pack_trial(trial: Trial, packer: RecipePacker) -> dict[str, Any]:
    """Return a trial as plain values."""
    return {
        **vars(trial),
        "objectives": dict(trial.objectives),
        "forecast": trial.forecast and dict(vars(trial.forecast)),
        "recipe": packer.pack(trial.recipe),
    }


def unpack_trial(fields: Mapping[str, Any], recipe: Recipe) -> Trial:
    """Inverse of ``pack_trial``, given the recipe.

    Raises:
        ValueError: If the fields are not those of a trial.
    """
    try:
        forecast = fields.get("forecast")  # older journals have none
        trial = Trial(**{**fields, "recipe": recipe, "forecast": forecast and Forecast(**forecast)})
        sound = (
            isinstance(trial.number, int)
            and (trial.accuracy is None or math.isfinite(trial.accuracy))
            and trial.status in get_args(Status)
            and all(map(math.isfinite, trial.objectives.values()))
            and math.isfinite(trial.seconds + trial.eval_seconds + trial.samples)
        )
    except (TypeError, AttributeError) as error:  # missing, unknown, or of another type
        raise ValueError(f"these are not the fields of a trial: {error}") from error
    if not sound:
        raise ValueError("these are not the values of a trial")
    return trial


def _checked(recipe: Recipe, fingerprint: str) -> Recipe:
    if recipe.fingerprint != fingerprint:
        raise ValueError(f"the recipe's fingerprint is {recipe.fingerprint}, not {fingerprint}")
    return recipe
