"""Speed of our int8 models against ONNX Runtime's own tool: ``python benchmarks/onnx_speed.py``.

All variants of a model are timed interleaved in one process with one thread. ONNX Runtime's tool runs at
the settings that were fastest for each kind of model. Models have random, distinct weights
(``models.py``), so this says nothing of accuracy; the last column only shows that outputs are
alike (99.9: equal).

Options: ``--models resnet50 mobilenetv2 bert bert_open_batch``, ``--quick`` (fewer rounds, BERT with
4 layers).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx

try:
    import contenders
    import models
except ImportError as error:
    sys.exit(
        f"skipped: {error}. Install inc-core and inc-onnx first: pip install . ./plugins/inc_onnx"
    )
import timing
from contenders import Contender, Feed

GOALS = {"resnet50": 1.0, "mobilenetv2": 1.05, "bert": 1.15}
# with an open batch the runtime misses half of its own fusions, to its advantage; no goal was set
OPEN_BATCH = "bert_open_batch"
# no rival, as no setting of the tool: shows how much of the gain is this one fusion avoided
BY_HAND = "(ORT dynamic, SkipLayerNormFusion off)"


def main() -> None:
    names = [*GOALS, OPEN_BATCH]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=names, choices=names)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, smaller BERT")
    arguments = parser.parse_args()
    timing.print_heading("onnx_speed", "onnxruntime", "onnx", "numpy", "inc-onnx")
    rounds = 5 if arguments.quick else 11
    for name in arguments.models:
        if name in ("bert", OPEN_BATCH):
            measure_bert(4 if arguments.quick else 12, rounds, batch=int(name == "bert"))
        else:
            build = {"resnet50": models.resnet50, "mobilenetv2": models.mobilenetv2}[name]
            batch_sizes = (1, 32) if name == "resnet50" else (1,)
            measure_cnn(name, build(), batch_sizes, rounds)


def measure_cnn(name: str, proto: onnx.ModelProto, batch_sizes: Sequence[int], rounds: int) -> None:
    rng = np.random.default_rng(1)

    def images(count: int) -> Feed:
        return {"input": rng.standard_normal((count, 3, 224, 224), np.float32)}

    calibration = [images(1) for _ in range(8)]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        path = contenders.save(proto, folder, name)
        ready = contenders.preprocess(path)
        rivals = [
            ort_variant(f"ORT static {form}", ready, folder, calibration, form)
            for form in ("QDQ", "QOperator")
        ]
        variants = [contenders.float_contender("ORT float", path), *rivals]
        for framework in ("onnxrt_qdq", "onnxrt_qoperator"):
            variants.append(
                contenders.inc(
                    f"inc static {framework}",
                    proto,
                    calibration,
                    approach="static",
                    framework=framework,
                )
            )
        for batch in batch_sizes:
            report(f"{name}, batch {batch}", variants, images(batch), GOALS[name], rounds)


def measure_bert(layers: int, rounds: int, *, batch: int) -> None:
    rng = np.random.default_rng(1)
    proto = models.bert(layers, batch=batch)
    calibration = [models.bert_inputs(1, rng) for _ in range(4)]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        path = contenders.save(proto, folder, "bert")
        ready = contenders.preprocess(path)
        dynamic = contenders.ort_dynamic(ready, folder / "dynamic.onnx")
        variants = [
            contenders.float_contender("ORT float", path),
            contenders.session_contender("ORT dynamic", dynamic),
            contenders.session_contender(BY_HAND, dynamic, ["SkipLayerNormFusion"]),
        ]
        only_products = {
            "op_types_to_quantize": ["MatMul", "Gemm"],
            "extra_options": {"MatMulConstBOnly": True},
        }
        for suffix, options in (("", {}), (" products only", only_products)):
            for form in ("QDQ", "QOperator"):
                name = f"ORT static {form}{suffix}"
                variants.append(ort_variant(name, ready, folder, calibration, form, **options))
        for approach in ("dynamic", "static"):
            variants.append(
                contenders.inc(f"inc {approach}", proto, calibration, approach=approach)
            )
        feed = models.bert_inputs(1, rng)
        title = f"bert, {layers} layers, sequence 128, batch 1{'' if batch else ' (left open)'}"
        report(title, variants, feed, GOALS["bert"] if batch else None, rounds)


def ort_variant(
    name: str,
    path: Path,
    folder: Path,
    calibration: Sequence[Feed],
    form: str,
    **options: object,
) -> Contender:
    target = folder / f"{name.replace(' ', '_')}.onnx"
    contenders.ort_static(path, target, calibration, form, **options)
    return contenders.session_contender(name, target)


def report(
    title: str, variants: Sequence[Contender], feed: Feed, goal: float | None, rounds: int
) -> None:
    outputs = {variant.name: variant.run(feed)[0] for variant in variants}
    calls: Mapping[str, Callable[[], object]] = {
        variant.name: (lambda variant=variant: variant.run(feed)) for variant in variants
    }
    times = timing.interleave(calls, "ORT float", rounds=rounds)
    rows = []
    for name, t in times.items():
        error = min(snr_db(outputs["ORT float"], outputs[name]), 99.9)
        spread = f"{t.low:.2f}-{t.high:.2f}"
        rows.append((name, f"{t.milliseconds:.2f}", f"{t.ratio:.2f}", spread, f"{error:.1f}"))
    timing.print_table(title, ("variant", "ms", "x", "q25-q75", "SNR dB"), rows)
    rival = max((n for n in times if n.startswith("ORT ")), key=lambda n: times[n].ratio)
    ours = max((n for n in times if n.startswith("inc ")), key=lambda n: times[n].ratio)
    ratio = timing.faster_by(times[ours], times[rival])
    line = f"  {ours!r} is {ratio:.2f} times as fast as {rival!r}"
    if goal is not None:
        line += f"; goal {goal:.2f}: {'met' if ratio >= goal else 'MISSED'}"
    print(line)


def snr_db(reference: np.ndarray, output: np.ndarray) -> float:
    error = float(((output - reference) ** 2).mean())
    return 10 * float(np.log10((reference**2).mean() / max(error, 1e-30)))


if __name__ == "__main__":
    main()
