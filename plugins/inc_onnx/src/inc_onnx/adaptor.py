"""``OnnxAdaptor``: ONNX Runtime behind inc's adaptor contract."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, numpy_helper

from inc_core.errors import DataError, QuantizationError, did_you_mean
from inc_core.hookspecs.adaptor import Adaptor, AdaptorContext, LatencyTable
from inc_core.quant.recipe import Recipe
from inc_core.quant.spec import OpCapability, OpKey, TensorKey
from inc_onnx.capabilities import capabilities, find_kernel
from inc_onnx.digest import model_digest
from inc_onnx.executed import executed, remember_ops
from inc_onnx.inputs import feed, input_infos
from inc_onnx.kernels.native.library import isa, wanted
from inc_onnx.kernels.table import kernel_table
from inc_onnx.model import OnnxModel, whole_proto, write_model
from inc_onnx.observe import observe
from inc_onnx.optimer import OpClock
from inc_onnx.plan import StaticPlan
from inc_onnx.prepare import prepare
from inc_onnx.rewrite import EQUALIZATION, applicable, equalize
from inc_onnx.source import read_model
from inc_onnx.writer import GraphWriter, OutputFormat

if TYPE_CHECKING:
    from inc_core.quant.calibrator import Calibration
    from inc_core.quant.observers import Observer

__all__ = ["OnnxAdaptor"]

_FILE = "model.onnx"
_QOPERATOR_NAMES = ("onnxrt_qlinearops", "onnxrt_qoperator")
_INTEGER_TYPES = (TensorProto.INT8, TensorProto.UINT8, TensorProto.INT4, TensorProto.UINT4)


class OnnxAdaptor(Adaptor):
    """Quantizes ONNX models for ONNX Runtime on a CPU; models are ``OnnxModel``.

    The framework name chooses the form of the output: ``onnxruntime`` and ``onnxrt_qdq`` write float
    ops between Q/DQ pairs, ``onnxrt_qoperator`` and ``onnxrt_qlinearops`` write quantized ops,
    ``onnxrt_integerops`` quantizes dynamically.
    """

    def __init__(self, context: AdaptorContext) -> None:
        super().__init__(context)
        self._table = kernel_table(context)

    def load(self, source: Any) -> OnnxModel:
        """Return the prepared float model; see ``inc_onnx.prepare``."""
        proto, folder = read_model(source)
        model = prepare(proto, folder, threads=self.context.threads)
        self._check_names(model)
        return model

    def capabilities(self, model: OnnxModel) -> Sequence[OpCapability]:
        """Return what the kernel table offers for each op."""
        return capabilities(model.graph, self._table, model.obstacle)

    def predict(self, model: OnnxModel, inputs: Any) -> Any:
        """Run one batch; float64 inputs become float32 and integers what the model takes."""
        session = model.session
        arrays = feed(input_infos(session), inputs, self.context.inputs)
        try:
            outputs = session.run(list(self.context.outputs) or None, arrays)
        except Exception as error:
            expected = "; ".join(str(info) for info in input_infos(session))
            raise DataError(
                f"the model cannot run this batch: {error}. It takes {expected}"
            ) from error
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def observe(
        self, model: OnnxModel, batches: Iterable[Any], observers: Mapping[TensorKey, Observer]
    ) -> None:
        """Run batches with taps; ranges are reduced inside the session."""
        observe(model, batches, observers, self.context)

    def quantize(self, model: OnnxModel, recipe: Recipe, calibration: Calibration) -> OnnxModel:
        """Return the model that runs ``recipe``; weights are quantized once for all recipes."""
        graph = model.graph
        nodes = {node.name: node for node in graph.nodes}
        unknown = [op.name for op in recipe.ops if op.name not in nodes]
        if unknown:
            hint = did_you_mean(unknown[0], nodes)
            raise QuantizationError(
                f"the recipe names the op {unknown[0]!r}, which is not there.{hint}"
            )
        configs = {op.name: c for op, c in recipe.ops.items() if c.mode != "fp32"}
        static = {name: config for name, config in configs.items() if config.mode == "static"}
        if not configs:
            return OnnxModel(model.proto, model.folder, threads=model.threads)
        plan = StaticPlan(graph, static, calibration)
        writer = GraphWriter(
            graph,
            model.new_graph(),
            output_format=self._format,
            weights=model.weights,
            plan=plan,
            options=recipe.options,
        )
        for node in list(writer.graph.nodes):
            config = configs.get(node.name)
            if config is None or (config.mode == "static" and not plan.is_static(node)):
                writer.move(node)
                continue
            kernel = find_kernel(graph, nodes[node.name], config, self._table)
            if kernel is None:
                raise QuantizationError(f"{node.name!r} ({node.op_type}) cannot run as {config}")
            kernel.emit(writer, node, config, calibration)
        return OnnxModel(
            remember_ops(writer.finish(), recipe.ops), model.folder, threads=model.threads
        )

    def save(self, model: OnnxModel, directory: Path) -> None:
        """Write ``model.onnx``, and ``model.onnx.data`` beside it where it is large."""
        write_model(model.proto, model.folder, directory, _FILE)

    def restore(self, directory: Path) -> OnnxModel:
        """Read what ``save`` wrote; nothing is prepared again."""
        proto, folder = read_model(directory / _FILE)
        return OnnxModel(proto, folder, threads=self.context.threads)

    def present(self, model: OnnxModel) -> onnx.ModelProto:
        """Return the ``ModelProto``; weights lie inside where one message (2 GB) can hold them."""
        return whole_proto(model)

    def export_formats(self) -> Mapping[str, str]:
        """Return the one format: what is saved, as a file of its own."""
        return {"onnx": "the ONNX file alone; beyond 2 GB with a .data file beside it"}

    def export(self, model: OnnxModel, path: Path, format: str) -> None:
        """Write the ONNX file."""
        write_model(model.proto, model.folder, path.parent, path.name)

    def digest(self, model: OnnxModel) -> str:
        """Hash graph and weights; external data by its files' content."""
        return model_digest(model.proto, model.folder)

    def versions(self) -> Mapping[str, str]:
        """Return the versions of ONNX and ONNX Runtime, and which kernels of ours are used, if any."""
        own = {"native kernels": isa()} if wanted(self.context.recipes) else {}
        return {"onnx": onnx.__version__, "onnxruntime": ort.__version__, **own}

    def rewrites(self, model: OnnxModel) -> Sequence[str]:
        """Return the model-wide options that change anything."""
        static = any(kernel.config.mode == "static" for kernel in self._table)
        return applicable(model.graph) if static and not model.obstacle else ()

    def rewrite(self, model: OnnxModel, options: Sequence[str]) -> OnnxModel:
        """Apply cross-layer equalization if it is named."""
        return equalize(model) if EQUALIZATION in options else model

    def channel_factors(self, model: OnnxModel) -> Mapping[TensorKey, np.ndarray[Any, Any]]:
        """Return by what equalization divided the channels of a rewritten model's tensors."""
        return model.channel_factors

    def executed(self, model: OnnxModel) -> Mapping[OpKey, str]:
        """Return the precision of each op in the graph that the session runs."""
        ops = tuple(capability.op for capability in self.capabilities(model))
        return executed(model, ops)

    def time_ops(
        self,
        model: OnnxModel,
        capabilities: Sequence[OpCapability],
        sample_inputs: Any,
        known: MutableMapping[str, Sequence[float]],
    ) -> LatencyTable:
        """Return the seconds of each op in each kind of config, from micro-models."""
        clock = OpClock(model, self._table, self.context, self._format, known)
        return clock.table(capabilities, sample_inputs)

    def integer_weights(self, model: OnnxModel) -> Mapping[str, np.ndarray[Any, Any]]:
        """Return the stored integer weights; scales, zero points and biases are not among them."""
        return {
            tensor.name: numpy_helper.to_array(tensor, base_dir=str(model.folder or ""))
            for tensor in model.proto.graph.initializer
            if tensor.data_type in _INTEGER_TYPES and len(tensor.dims) > 1
        }

    @property
    def _format(self) -> OutputFormat:
        return "qoperator" if self.context.framework in _QOPERATOR_NAMES else "qdq"

    def _check_names(self, model: OnnxModel) -> None:
        for given, known, what in (
            (self.context.inputs, model.graph.inputs, "input"),
            (self.context.outputs, model.graph.outputs, "output"),
        ):
            for name in given:
                if name not in known:
                    raise DataError(
                        f"the model has no {what} {name!r}.{did_you_mean(name, known)} "
                        f"It has: {', '.join(known)}"
                    )
