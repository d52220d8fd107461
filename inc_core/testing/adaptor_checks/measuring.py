"""How the checks calibrate and compare."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from inc_core.hookspecs.adaptor import Adaptor, ExampleTracing
from inc_core.quant.calibrator import Calibration, Calibrator
from inc_core.quant.range_rules import BUILTIN_RANGE_RULES
from inc_core.quant.space import TuningSpace
from inc_core.quant.spec import TensorKey

__all__ = ["activation_keys", "as_tuple", "assert_same_bits", "calibrate", "open_float"]


def open_float(adaptor: Adaptor, source: Any, inputs: Any) -> Any:
    """Return the float model as a run opens it: loaded, and traced if the adaptor traces."""
    model = adaptor.load(source)
    return adaptor.trace(model, inputs) if isinstance(adaptor, ExampleTracing) else model


def calibrate(
    adaptor: Adaptor,
    model: Any,
    space: TuningSpace,
    batches: Sequence[Any],
    *,
    channels: bool = False,
) -> Calibration:
    """Return ranges of everything that a space's static configs need, from all batches.

    Args:
        adaptor: Runs the model.
        model: The float model.
        space: Says which tensors and algorithms.
        batches: Batches of inputs, arrays by input name.
        channels: Collect channel means too, for bias correction.
    """
    keys = activation_keys(space)
    samples = sum(len(next(iter(batch.values()))) for batch in batches)
    configs = [config for op in space.ops for config in space.options(op)]
    algorithms = {c.activation.algorithm for c in configs if c.activation is not None}
    return Calibrator(
        observe=lambda inputs, observers: adaptor.observe(model, inputs, observers),
        batches=lambda: iter(batches),
        keys=keys,
        sizes=(samples,),
        algorithms=sorted(algorithms),
        channel_keys=keys if channels else (),
        rules=BUILTIN_RANGE_RULES,
    ).calibration(samples)


def activation_keys(space: TuningSpace) -> tuple[TensorKey, ...]:
    """Return every tensor whose range a quantizable op needs, each once."""
    return tuple(dict.fromkeys(key for op in space.ops for key in space.capability(op).activations))


def as_tuple(outputs: Any) -> tuple[npt.NDArray[Any], ...]:
    """Return one or several outputs as a tuple of arrays."""
    return tuple(outputs) if isinstance(outputs, (tuple, list)) else (outputs,)


def assert_same_bits(actual: Any, expected: Any) -> None:
    """Assert that arrays agree in number, dtype, shape and every bit."""
    for one, other in zip(as_tuple(actual), as_tuple(expected), strict=True):
        assert one.dtype == other.dtype
        assert one.shape == other.shape
        assert np.ascontiguousarray(one).tobytes() == np.ascontiguousarray(other).tobytes()
