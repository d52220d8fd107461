"""Whether a recipe lies in a space; the loop refuses what does not."""

from __future__ import annotations

from inc_core.quant.recipe import Recipe
from inc_core.quant.space import TuningSpace

__all__ = ["outside_of"]


def outside_of(space: TuningSpace, recipe: Recipe) -> str:
    """Return why a recipe is not in the space, in words, or an empty string if it is."""
    expected = {capability.op for capability in space.capabilities}
    if set(recipe.ops) != expected:
        odd = sorted(set(recipe.ops) ^ expected)[0]
        return f"op {odd.name!r} is only in one of them"
    if recipe.calib_samples not in space.calib_samples:
        return f"calib_samples {recipe.calib_samples} is not one of {space.calib_samples}"
    if recipe.options not in {tuple(sorted(options)) for options in space.option_sets}:
        return f"options {recipe.options} are not one of {space.option_sets}"
    groups: dict[str, set[bool]] = {}
    for capability in space.capabilities:
        config = recipe.ops[capability.op]
        if config not in capability.configs:
            return f"{capability.op.name!r} cannot run as {config}"
        # members without a quantized option have no say in their group
        if capability.group and any(c.is_quantized for c in capability.configs):
            groups.setdefault(capability.group, set()).add(config.is_quantized)
    split = [group for group, states in groups.items() if len(states) > 1]
    return f"group {split[0]!r} is quantized only in part" if split else ""
