"""What the ONNX benchmarks compare: inc through its public adaptor, and ONNX Runtime's own tool."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from inc_core.hookspecs.adaptor import AdaptorContext
from inc_core.quant.calibrator import Calibration, Calibrator
from inc_core.quant.recipe import Recipe
from inc_onnx.adaptor import OnnxAdaptor

Feed = Mapping[str, np.ndarray[Any, Any]]

logging.getLogger().setLevel(logging.ERROR)  # ONNX Runtime's tool warns through the root logger


@dataclass(frozen=True)
class Contender:
    """A model ready to run, and what it is called."""

    name: str
    run: Callable[[Feed], list[np.ndarray[Any, Any]]]


def inc(
    name: str,
    source: Any,
    batches: Sequence[Feed],
    *,
    approach: str,
    framework: str = "onnxruntime",
) -> Contender:
    """Quantize every op with its best config through ``OnnxAdaptor``."""
    adaptor = OnnxAdaptor(AdaptorContext(framework, approach, threads=1))
    session = adaptor_quantize(adaptor, adaptor.load(source), batches).session
    return Contender(name, lambda feed: session.run(None, dict(feed)))


def adaptor_quantize(
    adaptor: OnnxAdaptor,
    model: Any,
    batches: Sequence[Feed],
    algorithms: Collection[str] = ("minmax",),
    *,
    channels: bool = False,
) -> Any:
    """Run the default recipe of an adaptor: the first config of every op.

    ``algorithms`` are the range rules that the one calibration pass must be able to serve;
    ``channels`` asks for statistics per channel too, which rewritten models need.
    """
    capabilities = adaptor.capabilities(model)
    samples = sum(_length(batch) for batch in batches)
    recipe = Recipe({c.op: c.configs[0] for c in capabilities}, calib_samples=samples)
    static = [c for c in capabilities if c.configs[0].mode == "static"]
    keys = dict.fromkeys(key for c in static for key in c.activations)
    if not keys:
        return adaptor.quantize(model, recipe, Calibration.none())
    calibrator = Calibrator(
        lambda inputs, observers: adaptor.observe(model, inputs, observers),
        lambda: iter(batches),
        tuple(keys),
        [samples],
        algorithms,
        tuple(keys) if channels else (),
    )
    return adaptor.quantize(model, recipe, calibrator.calibration(samples))


def float_contender(name: str, path: Path) -> Contender:
    """Run a float model as ONNX Runtime optimizes it by default."""
    return session_contender(name, path)


def session_contender(name: str, path: Path, disabled: Sequence[str] = ()) -> Contender:
    """Run a model file in a session of one thread, without the optimizers named in ``disabled``."""
    ready = session(str(path), disabled)
    return Contender(name, lambda feed: ready.run(None, dict(feed)))


def session(model: str | onnx.ModelProto, disabled: Sequence[str] = ()) -> ort.InferenceSession:
    """Return a session of one thread, of a file or of a model in memory."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    content = model if isinstance(model, str) else model.SerializeToString()
    return ort.InferenceSession(
        content, options, providers=["CPUExecutionProvider"], disabled_optimizers=list(disabled)
    )


def preprocess(path: Path) -> Path:
    """Run ONNX Runtime's ``quant_pre_process``, which its documentation asks for before quantizing."""
    target = path.with_name(f"{path.stem}_preprocessed.onnx")
    quant_pre_process(str(path), str(target), skip_symbolic_shape=True)
    return target


def ort_static(
    path: Path, target: Path, batches: Iterable[Feed], output_format: str, **options: Any
) -> Path:
    """Quantize with ``quantize_static`` at its fastest types: u8 activations, s8 weights per channel."""
    quantize_static(
        str(path),
        str(target),
        Reader(batches),
        quant_format=QuantFormat[output_format],
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        **options,
    )
    return target


def ort_dynamic(path: Path, target: Path) -> Path:
    """Quantize with ``quantize_dynamic``: s8 weights per channel, matrix products by a constant only."""
    quantize_dynamic(
        str(path),
        str(target),
        weight_type=QuantType.QInt8,
        per_channel=True,
        extra_options={"MatMulConstBOnly": True},
    )
    return target


class Reader(CalibrationDataReader):
    """Feeds ONNX Runtime's tool from any iterable of inputs."""

    def __init__(self, batches: Iterable[Feed]) -> None:
        self._batches: Iterator[Feed] = iter(batches)

    def get_next(self) -> dict[str, Any] | None:
        batch = next(self._batches, None)
        return None if batch is None else dict(batch)


def save(proto: onnx.ModelProto, folder: Path, name: str) -> Path:
    """Write a model file."""
    path = folder / f"{name}.onnx"
    onnx.save(proto, str(path))
    return path


def _length(batch: Feed) -> int:
    return len(next(iter(batch.values())))
