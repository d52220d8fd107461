"""From a validated document, in the user's shape, to the frozen ``Config``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from inc_core.config.types import (
    AccuracyConfig,
    CacheConfig,
    CalibrationConfig,
    Config,
    CriterionConfig,
    DataLoaderConfig,
    DistillationConfig,
    EvaluationConfig,
    ExitPolicyConfig,
    ModelConfig,
    PerformanceConfig,
    PluginsConfig,
    PrunerConfig,
    PruningConfig,
    QuantizationConfig,
    RunnerConfig,
    TrainConfig,
    TuningConfig,
    WorkspaceConfig,
)
from inc_core.quant.constraint import OpConstraint, TensorConstraint

__all__ = ["build_config"]

Section = Mapping[str, Any]

# In op_wise, the default of every op that no other key names: the same as model_wise.
_DEFAULT_OP = "default_qconfig"


def build_config(document: Section) -> Config:
    """Return the configuration; what the document does not state keeps its default."""
    return Config(
        model=ModelConfig(**_stated(_section(document, "model"))),
        quantization=_quantization(_section(document, "quantization")),
        evaluation=_evaluation(_section(document, "evaluation")),
        tuning=_tuning(_section(document, "tuning")),
        train=_train(_section(document, "train")),
        pruning=_pruning(_section(document, "pruning")),
        distillation=DistillationConfig(
            _train(_section(_section(document, "distillation"), "train"))
        ),
        plugins=PluginsConfig(**_stated(_section(document, "plugins"))),
        **_stated(document, "device"),
    )


def _section(document: Section, name: str) -> Section:
    return document.get(name) or {}


def _stated(section: Section, *names: str) -> dict[str, Any]:
    """Return the keys (all, or the named ones) that are stated: not ``None``."""
    return {name: section[name] for name in names or section if section.get(name) is not None}


def _quantization(section: Section) -> QuantizationConfig:
    calibration = _section(section, "calibration")
    sizes = calibration.get("sampling_size") or CalibrationConfig.sampling_sizes
    op_wise = {
        name: _op_constraint(constraint or {})
        for name, constraint in _section(section, "op_wise").items()
    }
    default = op_wise.pop(_DEFAULT_OP, OpConstraint())
    return QuantizationConfig(
        calibration=CalibrationConfig(sizes, _dataloader(_section(calibration, "dataloader"))),
        recipes=_recipes(_section(section, "recipes")),
        model_wise=default.merged_over(_op_constraint(_section(section, "model_wise"))),
        optype_wise={
            name: _op_constraint(constraint or {})
            for name, constraint in _section(section, "optype_wise").items()
        },
        op_wise=op_wise,
        train=_train(_section(section, "train")),
        **_stated(section, "approach"),
    )


def _train(section: Section) -> TrainConfig | None:
    if not section:
        return None
    fields = _stated(section)
    loader = _dataloader(fields.pop("dataloader", {}))
    return TrainConfig(dataloader=loader, **fields)


def _pruning(section: Section) -> PruningConfig:
    approach = _section(section, "approach")
    common = _section(approach, "weight_compression")
    shared = {**_stated(common), "pruners": None}
    entries: Sequence[Section] = common.get("pruners") or ({},)
    pruners = tuple(_pruner({**shared, **_stated(entry)}) for entry in entries)
    return PruningConfig(_train(_section(section, "train")), pruners)


def _pruner(fields: dict[str, Any]) -> PrunerConfig:
    """Return one pruner; its own fields, zeros too, went before those of all pruners."""
    fields.pop("pruners", None)
    excluded = fields.pop("excluded_names", ()) + fields.pop("extra_excluded_names", ())
    if fields.pop("method", None) == "per_channel":
        fields.setdefault("prune_domain", "channel")
    return PrunerConfig(excluded_names=excluded, **fields)


def _recipes(section: Section) -> dict[str, bool]:
    recipes = _stated(section)
    old = recipes.pop("fast_bias_correction", None)
    return recipes if old is None else {"bias_correction": old, **recipes}


def _op_constraint(section: Section) -> OpConstraint:
    return OpConstraint(
        activation=TensorConstraint(**_stated(_section(section, "activation"))),
        weight=TensorConstraint(**_stated(_section(section, "weight"))),
    )


def _dataloader(section: Section) -> DataLoaderConfig | None:
    if not section:
        return None
    fields = _stated(section)
    transforms = fields.pop("transform", ())
    return DataLoaderConfig(transforms=transforms, **fields)


def _evaluation(section: Section) -> EvaluationConfig:
    accuracy, performance = _section(section, "accuracy"), _section(section, "performance")
    return EvaluationConfig(
        accuracy=AccuracyConfig(
            dataloader=_dataloader(_section(accuracy, "dataloader")),
            postprocess=_section(accuracy, "postprocess").get("transform") or (),
            **_stated(accuracy, "metric", "iteration"),
        ),
        performance=PerformanceConfig(
            dataloader=_dataloader(_section(performance, "dataloader")),
            **_stated(performance, "warmup", "iteration"),
            **_stated(_section(performance, "configs")),
        ),
    )


def _tuning(section: Section) -> TuningConfig:
    criterion = _section(section, "accuracy_criterion")
    fields = _stated(criterion, "higher_is_better")
    for kind in ("relative", "absolute"):
        if criterion.get(kind) is not None:
            fields.update(tolerance=criterion[kind], relative=kind == "relative")
    return TuningConfig(
        criterion=CriterionConfig(**fields),
        exit_policy=ExitPolicyConfig(**_stated(_section(section, "exit_policy"))),
        runner=RunnerConfig(**_stated(_section(section, "runner"))),
        workspace=WorkspaceConfig(**_stated(_section(section, "workspace"))),
        cache=CacheConfig(**_stated(_section(section, "cache"))),
        **_objectives(section),
        **_stated(section, "strategy", "early_stop", "noise_check", "speed_gate", "random_seed"),
    )


def _objectives(section: Section) -> dict[str, Any]:
    if section.get("objective") is not None:
        return {"objectives": {section["objective"]: 1.0}}
    several = _section(section, "multi_objectives")
    names = several.get("objective")
    if not names:
        return {}
    weights = several.get("weight") or (1.0,) * len(names)
    return {"objectives": dict(zip(names, weights, strict=True))}
