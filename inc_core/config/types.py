"""The configuration as frozen dataclasses; every default of the project stands here, once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from inc_core.quant.constraint import OpConstraint

__all__ = [
    "AccuracyConfig",
    "CalibrationConfig",
    "ComponentConfig",
    "Config",
    "CriterionConfig",
    "DataLoaderConfig",
    "DistillationConfig",
    "EvaluationConfig",
    "ExitPolicyConfig",
    "ModelConfig",
    "PerformanceConfig",
    "PluginsConfig",
    "PrunerConfig",
    "PruningConfig",
    "QuantizationConfig",
    "RunnerConfig",
    "TrainConfig",
    "TuningConfig",
    "WorkspaceConfig",
]

Approach = Literal["static", "dynamic", "auto", "weight_only", "qat"]


@dataclass(frozen=True)
class ComponentConfig:
    """A component by name; its parameters are keywords (a mapping), one value, or ``None``."""

    name: str
    parameters: Any = None


@dataclass(frozen=True)
class DataLoaderConfig:
    """A data loader built from components (``calibration.dataloader`` and the like)."""

    dataset: ComponentConfig
    transforms: tuple[ComponentConfig, ...] = ()
    filter: ComponentConfig | None = None
    # 64 samples keep vector units busy on every model seen, and stay far below a GB of activations
    batch_size: int = 64
    last_batch: Literal["rollover", "discard"] = "rollover"
    shuffle: bool = False


@dataclass(frozen=True)
class TrainConfig:
    """A training, for frameworks whose plugin has a loop of its own; else scripts bring a function.

    ``end_epoch`` of ``None`` is ``start_epoch + epoch``. ``iteration`` limits the batches of an epoch,
    -1 takes all. ``frequency``: epochs between two evaluations, where they are made.
    """

    optimizer: ComponentConfig = field(
        default_factory=lambda: ComponentConfig("SGD", {"learning_rate": 0.001})
    )
    criterion: ComponentConfig = field(default_factory=lambda: ComponentConfig("CrossEntropyLoss"))
    dataloader: DataLoaderConfig | None = None
    epoch: int = 1
    start_epoch: int = 0
    end_epoch: int | None = None
    iteration: int = -1
    frequency: int = 1

    @property
    def epochs(self) -> range:
        """The numbers of the epochs, counted from 0."""
        end = self.start_epoch + self.epoch if self.end_epoch is None else self.end_epoch
        return range(self.start_epoch, end)


@dataclass(frozen=True)
class PrunerConfig:
    """One pruner: which weights it makes how sparse, when, and in which pattern.

    ``target_sparsity`` of ``None`` is ``default_target``, or what an N:M pattern says. Steps count over
    all epochs; they are used where ``end_step`` is stated, else epochs are.
    """

    default_target: ClassVar[float] = 0.97

    prune_type: str = "basic_magnitude"
    parameters: Any = None
    initial_sparsity: float = 0.0
    target_sparsity: float | None = None
    start_epoch: int = 0
    end_epoch: int = 4
    start_step: int = 0
    end_step: int = 0
    update_frequency: int = 1
    update_frequency_on_step: int = 1
    sparsity_decay_type: str = "linear"
    pattern: str = "tile_pattern_1x1"
    prune_domain: str = "local"
    max_sparsity_ratio_per_layer: float = 0.98
    names: tuple[str, ...] = ()
    excluded_names: tuple[str, ...] = ()

    @property
    def counts_steps(self) -> bool:
        """Whether the schedule is in steps, not in epochs."""
        return self.end_step > 0


@dataclass(frozen=True)
class PruningConfig:
    """The ``pruning`` section."""

    train: TrainConfig | None = None
    pruners: tuple[PrunerConfig, ...] = (PrunerConfig(),)


@dataclass(frozen=True)
class DistillationConfig:
    """The ``distillation`` section; the criterion is that of ``train``."""

    train: TrainConfig | None = None


@dataclass(frozen=True)
class ModelConfig:
    """The ``model`` section. An empty ``framework`` means that the plugins are asked."""

    name: str = ""
    framework: str = ""
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class CalibrationConfig:
    """Where ranges come from; each of ``sampling_sizes`` is one choice for the search."""

    sampling_sizes: tuple[int, ...] = (100,)
    dataloader: DataLoaderConfig | None = None


@dataclass(frozen=True)
class QuantizationConfig:
    """The ``quantization`` section.

    ``recipes`` holds switches by name; a missing one means the adaptor's or strategy's default.
    ``op_wise`` keys are regular expressions that must match a whole op name.
    """

    approach: Approach = "static"
    calibration: CalibrationConfig = field(default_factory=CalibrationConfig)
    recipes: Mapping[str, bool] = field(default_factory=dict)
    model_wise: OpConstraint = field(default_factory=OpConstraint)
    optype_wise: Mapping[str, OpConstraint] = field(default_factory=dict)
    op_wise: Mapping[str, OpConstraint] = field(default_factory=dict)
    train: TrainConfig | None = None


@dataclass(frozen=True)
class AccuracyConfig:
    """How accuracy is evaluated; ``iteration`` limits the batches, -1 takes all."""

    metric: ComponentConfig | None = None
    dataloader: DataLoaderConfig | None = None
    postprocess: tuple[ComponentConfig, ...] = ()
    iteration: int = -1


@dataclass(frozen=True)
class PerformanceConfig:
    """How latency is measured; ``iteration`` limits the timed batches, -1 leaves it to the tool."""

    warmup: int = 5
    iteration: int = -1
    cores_per_instance: int | None = None
    num_of_instance: int = 1
    dataloader: DataLoaderConfig | None = None


@dataclass(frozen=True)
class EvaluationConfig:
    """The ``evaluation`` section."""

    accuracy: AccuracyConfig = field(default_factory=AccuracyConfig)
    performance: PerformanceConfig = field(default_factory=PerformanceConfig)


@dataclass(frozen=True)
class CriterionConfig:
    """The accuracy goal; ``higher_is_better`` of ``None`` asks the metric, else true."""

    tolerance: float = 0.01
    relative: bool = True
    higher_is_better: bool | None = None


@dataclass(frozen=True)
class ExitPolicyConfig:
    """When a search ends.

    ``timeout`` in seconds; 0 stops by the strategy's own rule, at the first accepted trial if it has
    none. ``max_trials`` of ``None`` lets the strategy end by itself. ``keep_float_if_slower`` returns
    the float model where the quantized one was measured slower.
    """

    timeout: float = 0.0
    max_trials: int | None = None
    performance_only: bool = False
    on_goal_not_met: Literal["raise", "best_seen"] = "raise"
    keep_float_if_slower: bool = False


@dataclass(frozen=True)
class WorkspaceConfig:
    """Where runs are kept; ``resume`` names another run to take up.

    ``if_busy`` says what happens where another run is active there: an error, or a workspace beside
    it (``path-2``, ``path-3``, ...).
    """

    path: str = "inc_workspace"
    resume: str | None = None
    if_busy: Literal["error", "sibling"] = "error"


@dataclass(frozen=True)
class CacheConfig:
    """What is kept of measurements and results across runs.

    ``size_mb`` in 10^6 bytes bounds the whole cache; beyond it goes what was not used for longest.
    ``directory`` of ``None`` is the environment's ``INC_CACHE_DIR``, else the user's cache folder.
    """

    enabled: bool = True
    size_mb: float = 1000.0
    directory: str | None = None


@dataclass(frozen=True)
class RunnerConfig:
    """Where trials run.

    ``trial_timeout`` in seconds and ``memory_limit_mb`` in 10^6 bytes are limits of each trial;
    ``None`` derives them from the float model's evaluation and from the free memory. ``address`` or
    ``scheduler_file`` says where Dask's scheduler is; after ``reconnect_timeout`` seconds without
    it, or without any worker, ``on_engine_loss`` decides.
    """

    name: Literal["inline", "process", "dask"] = "inline"
    workers: int = 1
    trial_timeout: float | None = None
    memory_limit_mb: float | None = None
    address: str | None = None
    scheduler_file: str | None = None
    reconnect_timeout: float = 300.0
    on_engine_loss: Literal["local", "pause", "fail"] = "local"


@dataclass(frozen=True)
class TuningConfig:
    """The ``tuning`` section; every objective beside accuracy has a weight.

    ``early_stop`` ends an evaluation as soon as the goal is out of reach, where the metric allows.
    ``noise_check`` evaluates the float model twice, on a part of the data or on all of it; what
    differs is noise, and tightens the goal.
    ``speed_gate`` keeps ops float whose quantized kernels do not pay on this machine.
    """

    strategy: ComponentConfig = field(default_factory=lambda: ComponentConfig("frontier"))
    criterion: CriterionConfig = field(default_factory=CriterionConfig)
    objectives: Mapping[str, float] = field(default_factory=lambda: {"performance": 1.0})
    exit_policy: ExitPolicyConfig = field(default_factory=ExitPolicyConfig)
    early_stop: bool = True
    noise_check: Literal["auto", "full", "off"] = "auto"
    speed_gate: bool = True
    random_seed: int = 1978
    runner: RunnerConfig = field(default_factory=RunnerConfig)
    workspace: WorkspaceConfig = field(default_factory=WorkspaceConfig)
    cache: CacheConfig = field(default_factory=CacheConfig)


@dataclass(frozen=True)
class PluginsConfig:
    """``plugins.require``: plugins that must load for this run."""

    require: tuple[str, ...] = ()


@dataclass(frozen=True)
class Config:
    """The whole configuration; ``Config()`` is valid, and asks the plugins for the framework."""

    model: ModelConfig = field(default_factory=ModelConfig)
    device: Literal["cpu", "gpu"] = "cpu"
    quantization: QuantizationConfig = field(default_factory=QuantizationConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    tuning: TuningConfig = field(default_factory=TuningConfig)
    train: TrainConfig | None = None
    pruning: PruningConfig = field(default_factory=PruningConfig)
    distillation: DistillationConfig = field(default_factory=DistillationConfig)
    plugins: PluginsConfig = field(default_factory=PluginsConfig)
