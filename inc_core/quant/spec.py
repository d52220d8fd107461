"""How one tensor and one op are quantized: ``TensorSpec``, ``OpConfig`` and their names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from inc_core.errors import QuantizationError

__all__ = [
    "FLOAT_MODES",
    "FP32",
    "INTEGER_RANGES",
    "QUANTIZED_MODES",
    "Mode",
    "OpCapability",
    "OpConfig",
    "OpKey",
    "TensorKey",
    "TensorSpec",
]

Mode = Literal["static", "dynamic", "weight_only", "bf16", "fp16", "fp32"]
Scheme = Literal["sym", "asym"]
Granularity = Literal["per_tensor", "per_channel", "per_group"]

QUANTIZED_MODES: tuple[str, ...] = ("static", "dynamic", "weight_only")
FLOAT_MODES: tuple[str, ...] = ("bf16", "fp16", "fp32")

INTEGER_RANGES: Mapping[str, tuple[int, int]] = {
    "int8": (-128, 127),
    "uint8": (0, 255),
    # 7 bits stored in int8: processors without VNNI add pairs of products in 16 bits, which 8 bits overflow
    "int7": (-64, 63),
    "int6": (-32, 31),
    "int5": (-16, 15),
    "int4": (-8, 7),
    "uint4": (0, 15),
    "int3": (-4, 3),
    "int2": (-2, 1),
}

_PRECISIONS: Mapping[str, str] = {"uint8": "int8", "int7": "int8", "uint4": "int4"}


class OpKey(NamedTuple):
    """Which op: its unique, stable name in the model and its type in the framework's words."""

    name: str
    type: str


class TensorKey(NamedTuple):
    """Which tensor: the op that produces it (or the model input's name) and the port of that op."""

    op: str
    port: str = ""


@dataclass(frozen=True, order=True)
class TensorSpec:
    """How one tensor is quantized.

    Attributes:
        dtype: A key of ``INTEGER_RANGES``, or a float dtype such as ``"fp8_e4m3"``.
        scheme: ``"sym"`` (zero point fixed) or ``"asym"``.
        granularity: One scale ``"per_tensor"``, ``"per_channel"`` or ``"per_group"`` of ``group_size``.
        algorithm: Name of the observer that chooses the range: ``"minmax"``, ``"percentile"``,
            ``"kl"``, ``"mse"``, or one that a plugin registered.
        group_size: Weights per scale along the input dimension; only with ``"per_group"``.
    """

    dtype: str
    scheme: Scheme = "sym"
    granularity: Granularity = "per_tensor"
    algorithm: str = "minmax"
    group_size: int | None = None

    @property
    def qmin(self) -> int:
        """Smallest integer of the dtype."""
        return self._range()[0]

    @property
    def qmax(self) -> int:
        """Largest integer of the dtype."""
        return self._range()[1]

    def _range(self) -> tuple[int, int]:
        if self.dtype not in INTEGER_RANGES:
            known = ", ".join(INTEGER_RANGES)
            raise QuantizationError(f"{self.dtype!r} is not an integer dtype; known: {known}")
        return INTEGER_RANGES[self.dtype]

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        fields: dict[str, Any] = {
            "dtype": self.dtype,
            "scheme": self.scheme,
            "granularity": self.granularity,
            "algorithm": self.algorithm,
        }
        if self.group_size is not None:
            fields["group_size"] = self.group_size
        return fields

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> TensorSpec:
        """Inverse of ``to_json``."""
        return cls(**fields)

    def __str__(self) -> str:
        group = f"/{self.group_size}" if self.group_size else ""
        return f"{self.dtype}/{self.scheme}/{self.granularity}{group}/{self.algorithm}"


@dataclass(frozen=True)
class OpConfig:
    """One legal way to run an op: a mode, and how its activations and its weight are quantized.

    Attributes:
        mode: How it computes.
        activation: Of its inputs and output, where they are quantized.
        weight: Of its weight, where it is.
        reads_inputs: Whether the weight is chosen with a look at the op's inputs (GPTQ, AWQ).
    """

    mode: Mode
    activation: TensorSpec | None = None
    weight: TensorSpec | None = None
    reads_inputs: bool = False

    @property
    def is_quantized(self) -> bool:
        """Whether integers are stored or computed."""
        return self.mode in QUANTIZED_MODES

    @property
    def needs_calibration(self) -> bool:
        """Whether it cannot be built without calibration data."""
        return self.mode == "static" or self.reads_inputs

    @property
    def precision(self) -> str:
        """Short word for reports: ``"int8"``, ``"int4"``, ... by the weight's width, or the float mode.

        Ops without a weight count by their activation; signed and unsigned are one precision.
        """
        spec = self.weight or self.activation
        if not self.is_quantized or spec is None:
            return self.mode
        return _PRECISIONS.get(spec.dtype, spec.dtype)

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        fields: dict[str, Any] = {"mode": self.mode}
        if self.activation is not None:
            fields["activation"] = self.activation.to_json()
        if self.weight is not None:
            fields["weight"] = self.weight.to_json()
        if self.reads_inputs:
            fields["reads_inputs"] = True
        return fields

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> OpConfig:
        """Inverse of ``to_json``."""
        activation, weight = fields.get("activation"), fields.get("weight")
        return cls(
            mode=fields["mode"],
            activation=None if activation is None else TensorSpec.from_json(activation),
            weight=None if weight is None else TensorSpec.from_json(weight),
            reads_inputs=fields.get("reads_inputs", False),
        )

    def __str__(self) -> str:
        parts: list[str] = [self.mode]
        if self.activation is not None:
            parts.append(f"activation {self.activation}")
        if self.weight is not None:
            parts.append(f"weight {self.weight}")
        return ", ".join(parts)


FP32 = OpConfig("fp32")


@dataclass(frozen=True)
class OpCapability:
    """What an adaptor's kernels can do for one op.

    Attributes:
        op: Which op.
        configs: Every way to run it, best first; the last or only one is a float mode.
        activations: Tensors whose ranges a static config of this op needs.
        group: Ops of one group switch together; ``None`` if the op is alone.
        note: Why only float is offered, in words for the user; empty if quantized is offered.
        first: Whether this is the first conv or matmul after a model input.
    """

    op: OpKey
    configs: tuple[OpConfig, ...]
    activations: tuple[TensorKey, ...] = ()
    group: str | None = None
    note: str = ""
    first: bool = False

    def __post_init__(self) -> None:
        if not any(not config.is_quantized for config in self.configs):
            raise QuantizationError(
                f"{self.op.name!r} offers no float config; every op must offer one"
            )
