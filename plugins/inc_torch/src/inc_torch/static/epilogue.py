"""Which activations the oneDNN kernels fuse, and under which names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from inc_torch.static.config import Scale

__all__ = ["NONE", "Epilogue", "epilogue_of"]

aten = torch.ops.aten


@dataclass(frozen=True)
class Epilogue:
    """An elementwise function at the end of a convolution or linear.

    Attributes:
        post: Its name in oneDNN ops.
        arguments: Its numbers there.
        algorithm: Its variant there.
        limits: The interval into which it clamps, where that is all that it does.
        kinds: Whose kernels have it: ``"conv"``, ``"linear"``.
    """

    post: str
    arguments: tuple[float, ...] = ()
    algorithm: str = ""
    limits: tuple[float, float] | None = None
    kinds: frozenset[str] = frozenset({"conv", "linear"})

    def into(self, out: Scale | None) -> Epilogue:
        """Return what is left to do where the result is rounded to ``out``.

        Saturation clamps for nothing: a u8 tensor whose zero point is 0 cannot be negative, so
        ReLU before it needs no instruction.
        """
        if out is None or self.limits is None:
            return self
        slack = out.scale / 2  # half a step: the same integer is nearest
        low, high = self.limits
        return NONE if out.lowest >= low - slack / 2**10 and out.highest <= high + slack else self


NONE = Epilogue("none")
_INFINITY = float("inf")
_LINEAR = frozenset({"linear"})


def _relu(node: fx.Node) -> Epilogue:
    return Epilogue("relu", limits=(0.0, _INFINITY))


def _relu6(node: fx.Node) -> Epilogue:
    return Epilogue("hardtanh", (0.0, 6.0), limits=(0.0, 6.0))


def _hardtanh(node: fx.Node) -> Epilogue:
    low, high = (float(_argument(node, 1 + i, (-1.0, 1.0)[i])) for i in (0, 1))
    return Epilogue("hardtanh", (low, high), limits=(low, high))


def _gelu(node: fx.Node) -> Epilogue:
    algorithm = node.kwargs.get("approximate", _argument(node, 1, "none"))
    return Epilogue("gelu", algorithm=str(algorithm), kinds=_LINEAR)


def _leaky_relu(node: fx.Node) -> Epilogue:
    return Epilogue("leaky_relu", (float(_argument(node, 1, 0.01)),), kinds=_LINEAR)


_TABLE: Mapping[Any, Callable[[fx.Node], Epilogue]] = {
    aten.relu.default: _relu,
    aten.relu6.default: _relu6,
    aten.hardtanh.default: _hardtanh,
    aten.hardswish.default: lambda node: Epilogue("hardswish"),
    aten.silu.default: lambda node: Epilogue("swish"),
    aten.gelu.default: _gelu,
    aten.leaky_relu.default: _leaky_relu,
    aten.tanh.default: lambda node: Epilogue("tanh", kinds=_LINEAR),
}


def epilogue_of(node: fx.Node, kind: str) -> Epilogue | None:
    """Return the epilogue that computes ``node`` at the end of a ``kind``; ``None`` if there is none."""
    make = _TABLE.get(node.target)
    epilogue = make(node) if make else None
    return epilogue if epilogue is not None and kind in epilogue.kinds else None


def _argument(node: fx.Node, position: int, default: Any) -> Any:
    return node.args[position] if len(node.args) > position else default
