"""Linears on packed weights, callable eagerly and inside ``torch.compile``.

Inductor of torch 2.13 refuses ``onednn.qlinear_pointwise`` unless the packed weight is a frozen constant. In
compiled code the same op is therefore called through an operator of our own, which inductor leaves alone.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["linear", "linear_add"]

_qlinear = torch.ops.onednn.qlinear_pointwise


def linear(*arguments: Any) -> Tensor:
    """Call ``onednn.qlinear_pointwise`` with its own arguments."""
    if torch.compiler.is_compiling():
        return torch.ops.inc.packed_linear(*arguments)
    return _qlinear.default(*arguments)


def linear_add(*arguments: Any) -> Tensor:
    """Call ``onednn.qlinear_pointwise.binary`` with its own arguments."""
    if torch.compiler.is_compiling():
        return torch.ops.inc.packed_linear_add(*arguments)
    return _qlinear.binary(*arguments)


def _define(library: torch.library.Library, name: str, op: Any) -> None:
    schema = str(op._schema)
    library.define(name + schema[schema.index("(") :])
    for key in ("CPU", "MkldnnCPU"):  # packed tensors are of the second kind
        library.impl(name, op, key)

    def shape(q_x: Tensor, *arguments: Any) -> Tensor:
        dtype = next(one for one in arguments if isinstance(one, torch.dtype))
        packed = arguments[2]
        return q_x.new_empty((*q_x.shape[:-1], packed.shape[1]), dtype=dtype)

    torch.library.register_fake(f"inc::{name}", shape, lib=library)


# the fragment must live as long as its operators
_LIBRARY = torch.library.Library("inc", "FRAGMENT")
_define(_LIBRARY, "packed_linear", _qlinear.default)
_define(_LIBRARY, "packed_linear_add", _qlinear.binary)
