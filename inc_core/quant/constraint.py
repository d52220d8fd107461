"""What a user allows: constraints on tensors and ops, as read from ``model_wise``, ``op_wise``, ..."""

from __future__ import annotations

from dataclasses import dataclass, field

from inc_core.quant.spec import OpConfig, TensorSpec

__all__ = ["OpConstraint", "TensorConstraint"]


@dataclass(frozen=True)
class TensorConstraint:
    """Allowed values per field of a ``TensorSpec``; an empty tuple allows everything.

    ``dtype`` may also name float precisions (``fp32``, ``bf16``, ``fp16``): they allow the op's float modes.
    """

    dtype: tuple[str, ...] = ()
    scheme: tuple[str, ...] = ()
    granularity: tuple[str, ...] = ()
    algorithm: tuple[str, ...] = ()
    group_size: tuple[int, ...] = ()

    def allows(self, spec: TensorSpec) -> bool:
        """Whether every stated field of ``spec`` is among the allowed values."""
        fields = ("dtype", "scheme", "granularity", "algorithm", "group_size")
        return all(
            not getattr(self, name) or getattr(spec, name) in getattr(self, name) for name in fields
        )

    def merged_over(self, base: TensorConstraint) -> TensorConstraint:
        """Return ``base`` with the fields that this constraint states replaced."""
        return TensorConstraint(
            dtype=self.dtype or base.dtype,
            scheme=self.scheme or base.scheme,
            granularity=self.granularity or base.granularity,
            algorithm=self.algorithm or base.algorithm,
            group_size=self.group_size or base.group_size,
        )


@dataclass(frozen=True)
class OpConstraint:
    """What a user allows for an op: constraints on its activations and its weight."""

    activation: TensorConstraint = field(default_factory=TensorConstraint)
    weight: TensorConstraint = field(default_factory=TensorConstraint)

    def allows(self, config: OpConfig) -> bool:
        """Whether a config satisfies the constraint.

        A quantized config must satisfy both parts. A float mode is allowed if no ``dtype`` is
        stated, or if its name is among those of the weight or activation.
        """
        if not config.is_quantized:
            dtypes = self.activation.dtype + self.weight.dtype
            floats = [dtype for dtype in dtypes if dtype in ("fp32", "bf16", "fp16")]
            return not floats or config.mode in floats
        pairs = ((self.activation, config.activation), (self.weight, config.weight))
        return all(spec is None or constraint.allows(spec) for constraint, spec in pairs)

    def merged_over(self, base: OpConstraint) -> OpConstraint:
        """Return ``base`` with the fields that this constraint states replaced."""
        return OpConstraint(
            activation=self.activation.merged_over(base.activation),
            weight=self.weight.merged_over(base.weight),
        )
