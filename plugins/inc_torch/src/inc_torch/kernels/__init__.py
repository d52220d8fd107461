"""Quantized operators of the namespace ``inc``: native where the library was built, else plain torch.

Each operator exists once, as ``torch.ops.inc.<name>``, with one schema, a fake kernel (so that
``torch.export`` and ``torch.compile(fullgraph=True)`` accept it) and a reference in plain torch ops. The
native library replaces the reference for CPU tensors; a saved or exported program runs with either.

===================  ===========================================================================
file                 holds
===================  ===========================================================================
``packing``          the layouts of packed weights, and the way back
``reference``        what each operator computes, in plain torch ops: the oracle and the fallback
``operators``        schemas, fake kernels, registration
``functions``        the same operators as functions of packed weights, with checked arguments
``library``          finds and loads the native library; ``INC_KERNELS``
===================  ===========================================================================

``INC_KERNELS=reference`` takes the reference, ``native`` demands the library, and the name of an
instruction set (``scalar``, ``avx2``, ``avx512_vnni``) demands the library on that one.
"""

from inc_torch.kernels.functions import (
    dequantize,
    dynamic_linear,
    int4_linear,
    layer_norm_quantize,
    quantize,
)
from inc_torch.kernels.library import KernelStatus, kernel_status
from inc_torch.kernels.operators import Activation, Compute
from inc_torch.kernels.packing import (
    Int4Weight,
    Int8Weight,
    pack_int4_weight,
    pack_int8_weight,
    unpack_int4_weight,
    unpack_int8_weight,
)

__all__ = [
    "Activation",
    "Compute",
    "Int4Weight",
    "Int8Weight",
    "KernelStatus",
    "dequantize",
    "dynamic_linear",
    "int4_linear",
    "kernel_status",
    "layer_norm_quantize",
    "pack_int4_weight",
    "pack_int8_weight",
    "quantize",
    "unpack_int4_weight",
    "unpack_int8_weight",
]
