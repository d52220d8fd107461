"""What a module that runs its own code does beside calling its layers, found in one run.

It may write to its buffers while it runs, and its code may read a layer's weight instead of calling the
layer, as the fused forms of ``nn.TransformerEncoderLayer`` do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from inc_core.errors import UnsupportedModelError

__all__ = ["Habits", "StandIn", "habits_of", "stand_in"]

# attributes of tensors that are made of its numbers; all others tell what kind of tensor it is
_NUMBERS = frozenset({"data", "grad", "T", "mT", "H", "mH", "real", "imag"})
_FACTS = frozenset(
    {"dim", "element_size", "get_device", "is_complex", "is_contiguous", "is_floating_point",
     "is_inference", "nelement", "numel", "size", "stride", "type", "__len__"}
)  # fmt: skip
_TENSORS = ("weight", "bias")


@dataclass(frozen=True)
class Habits:
    """What was seen.

    Attributes:
        writes: Parameters and buffers that a run changed, by path.
        reads: Layers whose numbers other code reads.
    """

    writes: frozenset[str] = frozenset()
    reads: frozenset[str] = frozenset()


class StandIn(Tensor):
    """Says shape, dtype and device of a tensor, and tells when its numbers are asked for."""

    told: Callable[[], None]

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not _is_fact(func):
            for one in (*args, *(kwargs or {}).values()):
                if isinstance(one, StandIn):
                    one.told()
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))


def stand_in(name: str, shape: tuple[int, ...], dtype: torch.dtype) -> StandIn:
    """Return what other code sees as the weight of a layer whose weight is integers.

    ``nn.TransformerEncoderLayer`` calls its layers when it sees a tensor that is not torch's own.
    """

    def refuse() -> None:
        raise UnsupportedModelError(
            f"the model's code reads {name!r}, whose layer is quantized: its numbers are integers. Keep "
            "the layer float with an op-wise constraint, or quantize with data, so that it is noticed."
        )

    return _standing(torch.empty((), dtype=dtype).expand(shape), refuse)


def habits_of(
    module: nn.Module,
    layers: Mapping[str, nn.Module],
    replaced: Callable[[Mapping[str, nn.Module]], nn.Module],
    inputs: Mapping[str, Tensor],
) -> Habits:
    """Run one batch and return what the module did; its state is as before then.

    Args:
        module: The user's module, in evaluation mode.
        layers: Those that may be quantized, by path.
        replaced: Returns the module with other layers in their places.
        inputs: One batch, by name.
    """
    reads: set[str] = set()
    watched = {path: _Watched(path, layer, reads) for path, layer in layers.items()}
    before = _state(module)
    kept = {path: tensor.detach().clone() for path, tensor in module.named_buffers()}
    versions = {path: tensor._version for path, tensor in before.items()}
    with torch.no_grad():
        module(**inputs)
        after = _state(module)
        writes = {
            path
            for path, tensor in before.items()
            if after.get(path) is not tensor or tensor._version != versions[path]
        }
        for path in writes & kept.keys():
            owner, _, name = path.rpartition(".")
            before[path].copy_(kept[path])
            setattr(module.get_submodule(owner), name, before[path])
        replaced(watched)(**inputs)
    return Habits(frozenset(writes), frozenset(reads))


def _state(module: nn.Module) -> dict[str, Tensor]:
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


class _Watched(nn.Module):
    """A layer that notes when its numbers are read from outside."""

    def __init__(self, path: str, layer: nn.Module, reads: set[str]) -> None:
        super().__init__()
        self._path, self._reads = path, reads
        # not as a submodule: other code sees a layer without parameters, as it will a quantized one
        self.__dict__["_layer"] = layer

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.__dict__["_layer"](*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.__dict__["_layer"], name)
        if name in _TENSORS and isinstance(value, Tensor):
            return _standing(value.detach(), lambda: self._reads.add(self._path))
        return value


def _standing(tensor: Tensor, told: Callable[[], None]) -> StandIn:
    found = tensor.as_subclass(StandIn)
    found.told = told
    return found


def _is_fact(func: Any) -> bool:
    name = getattr(func, "__name__", "")
    if name == "__get__":
        return getattr(func.__self__, "__name__", "") not in _NUMBERS
    return name in _FACTS
