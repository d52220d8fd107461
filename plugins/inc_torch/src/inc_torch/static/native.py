"""Which ops of a packed graph our own kernels run instead of oneDNN and torch: linears and LayerNorm.

The kernel for linears fetches the next weights while it multiplies, so that weights that come from memory
cost no more than cached ones: up to 256 rows it is 1.04 to 2.2 times as fast as oneDNN's with AVX512-VNNI
(``benchmarks/kernels.py --only static``). With AMX, oneDNN multiplies whole tiles, which ours does not. A
LayerNorm that is rounded afterwards is read once.

Linears give oneDNN's bits, but for the last ones of an activation. LayerNorms differ from torch's in their
last bits, so that now and then an integer is off by a step.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx

from inc_torch.kernels.library import kernel_status
from inc_torch.kernels.operators import Activation
from inc_torch.kernels.packing import pack_int8_weight
from inc_torch.processor import multiplies_int8_tiles
from inc_torch.static import ops
from inc_torch.static.graphs import put_constant
from inc_torch.static.prepare import attribute

__all__ = ["rewrite"]

_inc = torch.ops.inc
_layer_norm = torch.ops.aten.layer_norm.default

# by epilogue and its variant
_ACTIVATIONS = {
    ("none", ""): Activation.NONE,
    ("relu", ""): Activation.RELU,
    ("gelu", "none"): Activation.GELU,
    ("gelu", "tanh"): Activation.GELU_TANH,
    ("swish", ""): Activation.SILU,
}
# inputs that one instruction multiplies
_INPUTS_A_STEP = 4


def rewrite(module: fx.GraphModule, node: fx.Node, given: Mapping[str, Any]) -> bool:
    """Put a call of our own kernel in the place of an op, where there is a faster one.

    Args:
        module: The graph that is packed.
        node: A call of ``inc_torch.static.ops``.
        given: Its arguments by name.

    Returns:
        Whether there is; if not, nothing was changed.
    """
    if node.target in (ops.linear, ops.linear_add) and _takes(module, given):
        _rewrite_linear(module, node, given)
        return True
    if node.target is ops.quantize and _is_normalized(given):
        _rewrite_normalization(node, given)
        return True
    return False


def _takes(module: fx.GraphModule, given: Mapping[str, Any]) -> bool:
    inputs = attribute(module, given["q_weight"].target).shape[1]
    return _has_fast_linear() and inputs % _INPUTS_A_STEP == 0 and _activation(given) is not None


def _rewrite_linear(module: fx.GraphModule, node: fx.Node, given: Mapping[str, Any]) -> None:
    weight = pack_int8_weight(attribute(module, given["q_weight"].target))
    with module.graph.inserting_before(node):
        arguments = (
            *(given["q_x"], given["x_scale"], given["x_zero_point"]),
            put_constant(module, f"_packed_{node.name}", weight.packed),
            put_constant(module, f"_column_sums_{node.name}", weight.column_sums),
            *(given["w_scale"], given["bias"], int(_activation(given) or 0), given.get("other")),
            *(given.get("out_scale"), given.get("out_zero_point", 0)),
        )
        new = module.graph.call_function(_inc.static_linear.default, arguments)
    node.replace_all_uses_with(new)
    module.graph.erase_node(node)


def _is_normalized(given: Mapping[str, Any]) -> bool:
    """Whether what is rounded is a LayerNorm over the last dimension."""
    source = given["x"]
    is_plain = source.target is _layer_norm and len(source.args[1]) == 1 and not source.kwargs
    return kernel_status().native and is_plain and not given["channels_last"]


def _rewrite_normalization(node: fx.Node, given: Mapping[str, Any]) -> None:
    """Let one kernel normalize and round; who reads the floats, too, gets them from it."""
    norm, graph = given["x"], node.graph
    x, _, weight, bias, epsilon, *_ = (*norm.args, *(None, None, 1e-5)[len(norm.args) - 2 :])
    others = [user for user in norm.users if user is not node]
    arguments = (x, weight, bias, epsilon, given["scale"], given["zero_point"])
    with graph.inserting_before(norm):
        if not others:
            integers = graph.call_function(layer_norm_quantize, arguments)
        else:
            both = graph.call_function(layer_norm_and_quantize, arguments)
            integers, floats = (graph.call_function(operator.getitem, (both, i)) for i in (0, 1))
            norm.replace_all_uses_with(floats, lambda user: user is not node)
    node.replace_all_uses_with(integers)
    graph.erase_node(node)
    graph.erase_node(norm)


def layer_norm_quantize(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    epsilon: float,
    scale: float,
    zero_point: int,
) -> Tensor:
    """Normalize over the last dimension and round to u8."""
    if torch.compiler.is_compiling():
        return layer_norm_and_quantize(x, weight, bias, epsilon, scale, zero_point)[0]
    return _inc.layer_norm_quantize.default(x, weight, bias, epsilon, scale, zero_point, False)


def layer_norm_and_quantize(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    epsilon: float,
    scale: float,
    zero_point: int,
) -> tuple[Tensor, Tensor]:
    """Return both; compilers get torch's own ops, which they can fuse with others."""
    if torch.compiler.is_compiling():
        y = _layer_norm(x, x.shape[-1:], weight, bias, epsilon)
        return ops.quantize(y, scale, zero_point), y
    return _inc.layer_norm_and_quantize.default(x, weight, bias, epsilon, scale, zero_point, False)


def _activation(given: Mapping[str, Any]) -> Activation | None:
    return _ACTIVATIONS.get((given.get("post", "none"), given.get("algorithm", "")))


def _has_fast_linear() -> bool:
    return kernel_status().isa == "avx512_vnni" and not multiplies_int8_tiles()
