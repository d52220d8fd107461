"""Which tensors a space needs ranges of, and the calibrator that gives them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from inc_core.config.types import ComponentConfig
from inc_core.hookspecs.adaptor import Adaptor
from inc_core.plugin import Plugins
from inc_core.quant.calibrator import Calibrator, StatisticsStore
from inc_core.quant.space import TuningSpace
from inc_core.quant.spec import OpConfig, TensorKey

__all__ = ["make_calibrator"]


def make_calibrator(
    adaptor: Adaptor,
    model: Any,
    *,
    space: TuningSpace,
    needs_channels: bool,
    batches: Callable[[], Iterable[Any]],
    sizes: Sequence[int],
    plugins: Plugins,
    store: StatisticsStore | None = None,
) -> Calibrator:
    """Return a calibrator of one float model for every static config of a space.

    Args:
        adaptor: What runs the model.
        model: The float model.
        space: Says which tensors and which algorithms.
        needs_channels: Whether statistics per channel are wanted too, for a model-wide option.
        batches: Gives batches of inputs, afresh on each call.
        sizes: Calibration sizes, in samples, that one pass must serve.
        plugins: Where range rules are found by name.
        store: Keeps statistics across runs.
    """
    statics = list(_static_configs(space))
    keys = tuple({key: None for activations, _ in statics for key in activations})
    algorithms = sorted({config.activation.algorithm for _, config in statics if config.activation})
    return Calibrator(
        observe=lambda inputs, observers: adaptor.observe(model, inputs, observers),
        batches=batches,
        keys=keys,
        sizes=sizes,
        algorithms=algorithms,
        channel_keys=keys if needs_channels else (),
        rules={name: plugins.create("observer", ComponentConfig(name)) for name in algorithms},
        store=store,
    )


def _static_configs(space: TuningSpace) -> Iterator[tuple[tuple[TensorKey, ...], OpConfig]]:
    for op in space.ops:
        capability = space.capability(op)
        for config in capability.configs:
            if config.mode == "static":
                yield capability.activations, config
