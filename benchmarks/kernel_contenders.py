"""The same linears by inc's kernels, torch and ONNX Runtime, with weights that are distinct in every layer.

ONNX Runtime shares equal initializers: a benchmark that repeats one weight reads it from the cache and
looks up to 2.6 times too fast. Each contender is a function that runs all layers once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from onnx import TensorProto, helper, numpy_helper

from inc_onnx.kernels.native import library as onnx_library
from inc_onnx.kernels.native import rows as onnx_rows
from inc_onnx.weight_only import pack_int4 as pack_nibbles
from inc_torch import kernels
from inc_torch.kernels import Activation, Compute

Contenders = Mapping[str, Callable[[], object]]
Array = np.ndarray[Any, Any]

FLOAT_RIVALS = ("torch fp32", "torch fp32, prepacked")


def decode(k: int, n: int, group_size: int, rows: int, layers: int) -> Contenders:
    """4-bit weights with zero points: ``layers`` products of ``rows`` activations, one after the other."""
    rng = np.random.default_rng(0)
    groups = k // group_size
    q = rng.integers(0, 16, (layers, n, k), dtype=np.uint8)
    scales = (rng.random((layers, n, groups)) * 0.01 + 1e-3).astype(np.float16).astype(np.float32)
    zeros = rng.integers(4, 12, (layers, n, groups), dtype=np.uint8)
    x = torch.from_numpy(rng.standard_normal((rows, k), dtype=np.float32))
    own = [
        kernels.pack_int4_weight(*map(torch.from_numpy, layer), group_size)
        for layer in zip(q, scales, zeros, strict=True)
    ]
    return {
        **{
            f"inc int4, {compute.name.lower()} activations": _own_int4(own, x, compute)
            for compute in (Compute.INT8, Compute.BF16, Compute.FP32)
        },
        "inc Int4Linear in ORT": _own_in_ort(q, scales, zeros, group_size, x.numpy()),
        "ORT MatMulNBits, level 4": _matmul_nbits(q, scales, zeros, group_size, x.numpy(), 4),
        "ORT MatMulNBits, level 0": _matmul_nbits(q, scales, zeros, group_size, x.numpy(), 0),
        "torch _weight_int4pack_mm": _torch_int4(q, scales, zeros, group_size, x),
    }


def dynamic(k: int, n: int, activation: Activation, rows: int, layers: int) -> Contenders:
    """int8 weights, activations quantized as they come; the static rival's are quantized already."""
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal((n, k), dtype=np.float32) * 0.05 for _ in range(layers)]
    scales = [(np.abs(w).max(1) / 127).astype(np.float32) for w in weights]
    q = [np.rint(w / s[:, None]).astype(np.int8) for w, s in zip(weights, scales, strict=True)]
    bias = torch.from_numpy(rng.standard_normal(n, dtype=np.float32))
    x = torch.from_numpy(rng.standard_normal((rows, k), dtype=np.float32))
    own = [
        (kernels.pack_int8_weight(torch.from_numpy(w)), torch.from_numpy(s))
        for w, s in zip(q, scales, strict=True)
    ]
    gelu = activation == Activation.GELU
    after = torch.nn.functional.gelu if gelu else lambda y: y
    floats = [torch.from_numpy(w) for w in weights[: few(layers)]]
    operator = torch.ops.inc.dynamic_linear.default  # what a quantized model calls
    return {
        "inc dynamic": lambda: [
            operator(x, w.packed, w.column_sums, s, bias, n, int(activation)) for w, s in own
        ],
        "torch fp32": lambda: [after(torch.nn.functional.linear(x, w, bias)) for w in floats],
        "torch fp32, prepacked": _onednn_float(floats, bias, gelu, x),
        "torch.ao dynamic (x86)": _torch_dynamic(weights, scales, bias, after, x),
        "onednn.qlinear, static": _onednn_static(q, scales, bias, gelu, x),
        "ORT DynamicQuantizeMatMul": _ort_dynamic(q, scales, bias.numpy(), gelu, x.numpy()),
    }


def static(k: int, n: int, activation: Activation, rows: int, layers: int) -> Contenders:
    """int8 weights, activations quantized before; rounded to u8 again where there is an activation."""
    rng = np.random.default_rng(0)
    q = rng.integers(-127, 128, (layers, n, k), dtype=np.int8)
    scales, bias = torch.rand(n) * 4e-4, torch.randn(n)
    q_x = torch.from_numpy(rng.integers(0, 256, (rows, k), dtype=np.uint8))
    gelu = activation == Activation.GELU
    own = [kernels.pack_int8_weight(torch.from_numpy(w)) for w in q]
    to = (0.02, 20) if gelu else (None, 0)
    operator = torch.ops.inc.static_linear.default
    packed = [torch.ops.onednn.qlinear_prepack(torch.from_numpy(w), None) for w in q]
    zeros = torch.zeros(n, dtype=torch.int32)
    out = (0.02, 20, torch.uint8) if gelu else (1.0, 0, torch.float32)
    after = ("gelu", [0.0], "none") if gelu else ("none", [0.0], "")
    linear = torch.ops.onednn.qlinear_pointwise.default
    return {
        "inc static": lambda: [
            operator(
                *(q_x, 0.03, 128, w.packed, w.column_sums, scales, bias, int(activation), None),
                *to,
            )
            for w in own
        ],
        "onednn.qlinear": lambda: [
            linear(q_x, 0.03, 128, w, scales, zeros, bias, *out, *after) for w in packed
        ],
    }


def few(layers: int) -> int:
    """How many layers the float rivals have: a quarter takes the same memory."""
    return max(1, layers // 4)


def _onednn_float(
    weights: Sequence[torch.Tensor], bias: torch.Tensor, gelu: bool, x: torch.Tensor
) -> Callable[[], object]:
    """torch's best float path: what inductor makes of a frozen linear."""
    packed = [torch.ops.mkldnn._reorder_linear_weight(w, len(x)) for w in weights]
    after = ("gelu", [], "none") if gelu else ("none", [], "")
    linear = torch.ops.mkldnn._linear_pointwise
    return lambda: [linear(x, w, bias, *after) for w in packed]


def _own_int4(
    weights: Sequence[kernels.Int4Weight], x: torch.Tensor, compute: Compute
) -> Callable[[], object]:
    """The operator that a quantized model calls."""
    operator, number = torch.ops.inc.int4_linear.default, int(compute)
    calls = [(w.packed, w.scales, w.zero_points, None, *w[3:], number) for w in weights]
    return lambda: [operator(x, *arguments) for arguments in calls]


def _torch_int4(
    q: Array, scales: Array, zeros: Array, group_size: int, x: torch.Tensor
) -> Callable[[], object]:
    """torch's layout has the zero in the middle: ``w = (q - 8) * scale + offset``."""
    offsets = (8.0 - zeros.astype(np.float32)) * scales
    qparams = torch.from_numpy(np.stack([scales, offsets], -1)).transpose(1, 2).bfloat16()
    packed = [
        torch.ops.aten._convert_weight_to_int4pack_for_cpu(
            torch.from_numpy(layer.astype(np.int32)), 1
        )
        for layer in q
    ]
    rows = x.bfloat16()
    multiply = torch.ops.aten._weight_int4pack_mm_for_cpu
    layers = [(w, part.contiguous()) for w, part in zip(packed, qparams, strict=True)]
    return lambda: [multiply(rows, w, group_size, part) for w, part in layers]


def _torch_dynamic(
    weights: Sequence[Array],
    scales: Sequence[Array],
    bias: torch.Tensor,
    after: Any,
    x: torch.Tensor,
) -> Callable[[], object]:
    torch.backends.quantized.engine = "x86"
    modules = []
    for weight, scale in zip(weights, scales, strict=True):
        module = torch.ao.nn.quantized.dynamic.Linear(*weight.shape[::-1], dtype=torch.qint8)
        zero_points = torch.zeros(len(scale), dtype=torch.long)
        quantized = torch.quantize_per_channel(
            torch.from_numpy(weight), torch.from_numpy(scale).double(), zero_points, 0, torch.qint8
        )
        module.set_weight_bias(quantized, bias)
        modules.append(module)
    return lambda: [after(module(x)) for module in modules]


def _onednn_static(
    q: Sequence[Array], scales: Sequence[Array], bias: torch.Tensor, gelu: bool, x: torch.Tensor
) -> Callable[[], object]:
    packed = [torch.ops.onednn.qlinear_prepack(torch.from_numpy(w.copy()), None) for w in q]
    scale = float(x.max() - x.min()) / 255
    zero_point = round(-float(x.min()) / scale)
    q_x = torch.quantize_per_tensor(x, scale, zero_point, torch.quint8).int_repr()
    weight_scales = [torch.from_numpy(s) for s in scales]
    weight_zeros = torch.zeros(len(scales[0]), dtype=torch.int32)
    after = ("gelu", [], "none") if gelu else ("none", [], "")
    linear = torch.ops.onednn.qlinear_pointwise
    return lambda: [
        linear(q_x, scale, zero_point, w, s, weight_zeros, bias, 1.0, 0, torch.float32, *after)
        for w, s in zip(packed, weight_scales, strict=True)
    ]


def _matmul_nbits(
    q: Array, scales: Array, zeros: Array, group_size: int, x: Array, level: int
) -> Callable[[], object]:
    layers, n, k = q.shape
    nodes, constants = [], {}
    for i in range(layers):
        constants[f"w{i}"] = pack_nibbles(q[i].reshape(n, k // group_size, group_size))
        constants[f"s{i}"] = scales[i].reshape(-1)
        constants[f"z{i}"] = pack_nibbles(zeros[i]).reshape(-1)
        attributes = {"K": k, "N": n, "bits": 4, "block_size": group_size, "accuracy_level": level}
        inputs = ["x", f"w{i}", f"s{i}", f"z{i}"]
        nodes.append(
            helper.make_node("MatMulNBits", inputs, [f"y{i}"], domain="com.microsoft", **attributes)
        )
    return _session(nodes, constants, x, n)


def _own_in_ort(
    q: Array, scales: Array, zeros: Array, group_size: int, x: Array
) -> Callable[[], object]:
    nodes, constants = [], {}
    for i, layer in enumerate(zip(q, scales, zeros, strict=True)):
        parts = onnx_rows.pack_int4(*layer, group_size)
        names = [f"{part}{i}" for part in ("w", "s", "z")]
        constants.update(zip(names, parts, strict=True))
        attributes = {"out_features": q.shape[1], "group_size": group_size, "compute": 2}
        nodes.append(
            helper.make_node(
                "Int4Linear", ["x", *names], [f"y{i}"], domain=onnx_library.DOMAIN, **attributes
            )
        )
    return _session(nodes, constants, x, q.shape[1])


def _ort_dynamic(
    q: Sequence[Array], scales: Sequence[Array], bias: Array, gelu: bool, x: Array
) -> Callable[[], object]:
    nodes, constants = [], {"bias": bias}
    for i, (weight, scale) in enumerate(zip(q, scales, strict=True)):
        constants[f"w{i}"], constants[f"s{i}"] = np.ascontiguousarray(weight.T), scale
        output = f"h{i}" if gelu else f"y{i}"
        inputs = ["x", f"w{i}", f"s{i}", "", "bias"]
        nodes.append(
            helper.make_node("DynamicQuantizeMatMul", inputs, [output], domain="com.microsoft")
        )
        if gelu:
            nodes.append(helper.make_node("Gelu", [output], [f"y{i}"], domain="com.microsoft"))
    return _session(nodes, constants, x, len(scales[0]))


def _session(
    nodes: Sequence[Any], constants: Mapping[str, Array], x: Array, n: int
) -> Callable[[], object]:
    """A session whose inputs and outputs are bound, so that only its kernels are timed."""
    outputs = [name for node in nodes for name in node.output if name.startswith("y")]
    graph = helper.make_graph(
        nodes,
        "layers",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    domains = ("", "com.microsoft", onnx_library.DOMAIN)
    opsets = [helper.make_opsetid(name, 17 if not name else 1) for name in domains]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    onnx_library.register(options)
    session = ort.InferenceSession(model.SerializeToString(), options)
    binding = session.io_binding()
    binding.bind_cpu_input("x", x)
    results = {name: np.empty((len(x), n), np.float32) for name in outputs}
    for name, result in results.items():
        binding.bind_output(name, "cpu", 0, np.float32, result.shape, result.ctypes.data)
    # the binding keeps addresses, not arrays
    return lambda: (session.run_with_iobinding(binding), x, results)
