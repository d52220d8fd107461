"""From ``Config`` back to plain values in the shape of the user's file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from inc_core.config.problem import KeyPath, format_path
from inc_core.config.types import (
    ComponentConfig,
    Config,
    DataLoaderConfig,
    EvaluationConfig,
    PruningConfig,
    QuantizationConfig,
    TrainConfig,
    TuningConfig,
)
from inc_core.quant.constraint import OpConstraint

__all__ = ["as_document", "config_to_dict", "dataloader_document", "differences"]


def config_to_dict(config: Config) -> dict[str, Any]:
    """Return every setting as JSON values; ``load_config`` reads the result back.

    Objects that a script put among component parameters are named by their class or function.
    """
    document: dict[str, Any] = _json_value(as_document(config))
    return document


def differences(a: Config, b: Config) -> tuple[str, ...]:
    """Return the key paths, sorted, in which two configurations differ."""
    left, right = (dict(_flat(config_to_dict(config), ())) for config in (a, b))
    missing = object()
    return tuple(
        sorted(
            format_path(path)
            for path in left.keys() | right.keys()
            if left.get(path, missing) != right.get(path, missing)
        )
    )


def as_document(config: Config) -> dict[str, Any]:
    """Return the configuration in the shape of the user's file, parameters untouched."""
    return {
        "model": dict(vars(config.model)),
        "device": config.device,
        "quantization": _quantization(config.quantization),
        "evaluation": _evaluation(config.evaluation),
        "tuning": _tuning(config.tuning),
        "train": _train(config.train),
        "pruning": _pruning(config.pruning),
        "distillation": {"train": _train(config.distillation.train)},
        "plugins": dict(vars(config.plugins)),
    }


def _train(train: TrainConfig | None) -> dict[str, Any] | None:
    if train is None:
        return None
    return {
        **vars(train),
        "optimizer": _component(train.optimizer),
        "criterion": _component(train.criterion),
        "dataloader": _dataloader(train.dataloader),
    }


def _pruning(section: PruningConfig) -> dict[str, Any]:
    entries = [dict(vars(pruner)) for pruner in section.pruners]
    compression = {**entries[0], "pruners": []} if len(entries) == 1 else {"pruners": entries}
    return {"train": _train(section.train), "approach": {"weight_compression": compression}}


def _quantization(section: QuantizationConfig) -> dict[str, Any]:
    return {
        "approach": section.approach,
        "calibration": {
            "sampling_size": section.calibration.sampling_sizes,
            "dataloader": _dataloader(section.calibration.dataloader),
        },
        "recipes": dict(section.recipes),
        "model_wise": _constraint(section.model_wise),
        "optype_wise": {name: _constraint(item) for name, item in section.optype_wise.items()},
        "op_wise": {name: _constraint(item) for name, item in section.op_wise.items()},
        "train": _train(section.train),
    }


def _constraint(constraint: OpConstraint) -> dict[str, Any]:
    parts = {"activation": constraint.activation, "weight": constraint.weight}
    stated = {
        part: {name: value for name, value in vars(tensor).items() if value}
        for part, tensor in parts.items()
    }
    return {part: fields for part, fields in stated.items() if fields}


def _component(component: ComponentConfig | None) -> dict[str, Any] | None:
    return None if component is None else {component.name: component.parameters}


def dataloader_document(loader: DataLoaderConfig) -> dict[str, Any]:
    """Return a data loader in the shape of the user's file, parameters untouched."""
    return {
        "dataset": _component(loader.dataset),
        "transform": [_component(transform) for transform in loader.transforms],
        "filter": _component(loader.filter),
        "batch_size": loader.batch_size,
        "last_batch": loader.last_batch,
        "shuffle": loader.shuffle,
    }


def _dataloader(loader: DataLoaderConfig | None) -> dict[str, Any] | None:
    return None if loader is None else dataloader_document(loader)


def _evaluation(section: EvaluationConfig) -> dict[str, Any]:
    accuracy, performance = section.accuracy, section.performance
    return {
        "accuracy": {
            "metric": _component(accuracy.metric),
            "dataloader": _dataloader(accuracy.dataloader),
            "postprocess": {"transform": [_component(entry) for entry in accuracy.postprocess]},
            "iteration": accuracy.iteration,
        },
        "performance": {
            "warmup": performance.warmup,
            "iteration": performance.iteration,
            "configs": {
                "cores_per_instance": performance.cores_per_instance,
                "num_of_instance": performance.num_of_instance,
            },
            "dataloader": _dataloader(performance.dataloader),
        },
    }


def _tuning(section: TuningConfig) -> dict[str, Any]:
    goal = section.criterion
    return {
        "strategy": {"name": section.strategy.name, **(section.strategy.parameters or {})},
        "accuracy_criterion": {
            "relative" if goal.relative else "absolute": goal.tolerance,
            "higher_is_better": goal.higher_is_better,
        },
        **_objectives(section.objectives),
        "exit_policy": dict(vars(section.exit_policy)),
        "early_stop": section.early_stop,
        "noise_check": section.noise_check,
        "speed_gate": section.speed_gate,
        "random_seed": section.random_seed,
        "runner": dict(vars(section.runner)),
        "workspace": dict(vars(section.workspace)),
        "cache": dict(vars(section.cache)),
    }


def _objectives(objectives: Mapping[str, float]) -> dict[str, Any]:
    if list(objectives.values()) == [1.0]:
        return {"objective": next(iter(objectives))}
    names, weights = tuple(objectives), tuple(objectives.values())
    return {"multi_objectives": {"objective": names, "weight": weights}}


def _json_value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if hasattr(value, "tolist"):  # arrays and numpy scalars
        return value.tolist()
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}.{named.__qualname__}"


def _flat(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flat(item, (*path, key))
    else:
        yield path, value
