"""``export_onnx``: a traced model, quantized or float, as an ONNX file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from inc_core.errors import MissingFrameworkError, UnsupportedModelError, WorkspaceError
from inc_torch.model import TorchModel
from inc_torch.shapes import with_traced_shapes
from inc_torch.signature import InputInfo, Signature

__all__ = ["export_onnx"]

# what one protobuf message may hold; larger models have their tensors in a file beside
_LARGEST_MESSAGE = 2**31 - 2**20


def export_onnx(model: TorchModel, path: str | Path) -> None:
    """Write a model as ONNX, opset 17.

    Static int8 ops become float ops between ``QuantizeLinear`` and ``DequantizeLinear``: integer weights
    are the same, activations have the same scales and zero points. Ops with dynamic int8 or 8-bit weights
    keep these weights, and compute in float; so does bf16. The batch stays open where it is.

    Args:
        model: A model of this plugin, such as ``q_model.model``.
        path: Of the file; one that is there is replaced once the new one is complete.

    Raises:
        MissingFrameworkError: If the package ``onnx`` is not installed.
        UnsupportedModelError: If the model runs its own code, or an op has no translation; the message
            names all of them.
        WorkspaceError: If the file cannot be written.
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingFrameworkError(
            f"writing ONNX needs the package onnx ({error}). Install it: pip install 'inc-torch[onnx]'"
        ) from error
    proto = _proto(model, onnx)
    if proto.ByteSize() <= _LARGEST_MESSAGE:
        _check(proto, onnx)
    _write(proto, Path(path), onnx)


def _check(proto: Any, onnx: Any) -> None:
    try:
        onnx.checker.check_model(proto)
    except onnx.checker.ValidationError as error:
        raise UnsupportedModelError(f"the model has no valid form in ONNX: {error}") from error


def _proto(model: TorchModel, onnx: Any) -> Any:
    facts = model.facts
    if not facts.traced or facts.signature is None:
        raise UnsupportedModelError(
            "only a traced model can be exported to ONNX; this one runs its own code"
            + (f" ({facts.obstacle})" if facts.obstacle else "")
        )
    from inc_torch.onnx import elementwise, integer, layers, moving, sizes
    from inc_torch.onnx.builder import onnx_type
    from inc_torch.onnx.translation import Translation

    table = {
        **sizes.TABLE, **elementwise.TABLE, **moving.TABLE, **layers.TABLE, **integer.TABLE
    }  # fmt: skip
    signature = facts.signature
    graph = with_traced_shapes(model.graph, signature)
    translation = Translation(graph, table)
    inputs = [
        onnx.helper.make_tensor_value_info(one.name, onnx_type(one.torch_dtype), _shape(one))
        for one in signature.inputs
    ]
    found = translation.run([one.name for one in signature.inputs])
    outputs = []
    nodes = next(node for node in graph.graph.nodes if node.op == "output").args[0]
    for name, value, node in zip(_output_names(signature), found, nodes, strict=True):
        name = translation.build.fresh(name)
        translation.build.rename(value, name)
        traced = node.meta["val"]
        open_shape = [None] * traced.dim()
        outputs.append(
            onnx.helper.make_tensor_value_info(name, onnx_type(traced.dtype), open_shape)
        )
    return translation.build.model(inputs, outputs)


def _shape(info: InputInfo) -> list[int | str]:
    return [
        size if size is not None else ("batch" if place == 0 else f"{info.name}_{place}")
        for place, size in enumerate(info.shape)
    ]


def _output_names(signature: Signature) -> list[str]:
    """Return a name for each output tensor: its path in the nest that the module returns."""
    names = list(_paths(signature.outputs, ""))
    return names if names != [""] else ["output"]


def _paths(nest: Any, path: str) -> Iterator[str]:
    if nest is None:
        yield path
        return
    ((kind, items),) = nest.items()
    if kind == "none":
        return
    pairs = items.items() if kind == "dict" else enumerate(items)
    for key, item in pairs:
        step = str(key) if kind == "dict" or path else f"output_{key}"
        yield from _paths(item, f"{path}.{step}" if path else step)


def _write(proto: Any, path: Path, onnx: Any) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if proto.ByteSize() > _LARGEST_MESSAGE:
            onnx.save(proto, str(path), save_as_external_data=True, location=f"{path.name}.data")
            return
        with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as folder:
            staged = Path(folder) / path.name
            staged.write_bytes(proto.SerializeToString())
            staged.replace(path)
    except OSError as error:
        raise WorkspaceError(f"{path}: cannot be written ({error.strerror})") from error
