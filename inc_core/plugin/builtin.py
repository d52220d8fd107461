"""What the core itself offers, as a plugin like any other; nothing is imported until it is used."""

from __future__ import annotations

from collections.abc import Mapping

from inc_core.hookspecs._markers import hookimpl

__all__ = [
    "inc_datasets",
    "inc_objectives",
    "inc_observers",
    "inc_pruners",
    "inc_strategies",
    "inc_transforms",
]


@hookimpl
def inc_strategies() -> Mapping[str, str]:
    """Offer the tuning strategies of ``inc_core.strategies``."""
    return {
        "basic": "inc_core.strategies.basic:BasicStrategy",
        "exhaustive": "inc_core.strategies.exhaustive:ExhaustiveStrategy",
        "frontier": "inc_core.strategies.frontier:FrontierStrategy",
        "mse": "inc_core.strategies.mse:MSEStrategy",
        "random": "inc_core.strategies.random_search:RandomStrategy",
    }


@hookimpl
def inc_datasets() -> Mapping[str, str]:
    """Offer the datasets of ``inc_core.data.datasets``."""
    return {
        "dummy": "inc_core.data.datasets:Dummy",
        "dummy_v2": "inc_core.data.datasets:Dummy",
        "npz": "inc_core.data.datasets:Npz",
    }


@hookimpl
def inc_transforms() -> Mapping[str, str]:
    """Offer the transforms of ``inc_core.data.transforms``, by the names of their classes."""
    names = ("Cast", "Compose", "LabelShift", "Normalize", "Rescale", "ToArray", "Transpose")
    return {name: f"inc_core.data.transforms:{name}" for name in names}


@hookimpl
def inc_objectives() -> Mapping[str, str]:
    """Offer the objectives of ``inc_core.objectives``."""
    return {
        "accuracy": "inc_core.objectives:Accuracy",
        "performance": "inc_core.objectives:Performance",
        "footprint": "inc_core.objectives:Footprint",
        "modelsize": "inc_core.objectives:ModelSize",
    }


@hookimpl
def inc_observers() -> Mapping[str, str]:
    """Offer the range rules of ``inc_core.quant.range_rules``."""
    return {
        "minmax": "inc_core.quant.range_rules:MinMax",
        "percentile": "inc_core.quant.range_rules:Percentile",
        "kl": "inc_core.quant.range_rules:KL",
        "mse": "inc_core.quant.range_rules:MSE",
    }


@hookimpl
def inc_pruners() -> Mapping[str, str]:
    """Offer the pruners of ``inc_core.pruning.pruners``, by the names of old files too."""
    return {
        "basic_magnitude": "inc_core.pruning.pruners:Magnitude",
        "magnitude": "inc_core.pruning.pruners:Magnitude",
        "gradient_sensitivity": "inc_core.pruning.pruners:GradientSensitivity",
        "snip": "inc_core.pruning.pruners:GradientSensitivity",
        "snip_momentum": "inc_core.pruning.pruners:SnipMomentum",
        "pattern_lock": "inc_core.pruning.pruners:PatternLock",
    }
