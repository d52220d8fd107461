"""What every contender is given: a model, data, a goal; and the watch that counts what it evaluates.

Runs in the environment of each peer: numpy, onnx and onnxruntime of any version are all it needs,
and the folder above on the path.
"""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import assets
import numpy as np

Array = np.ndarray[Any, Any]

RESNET = "resnet50_random"
TRAINED = ("mobilenetv1_mild", "mobilenetv1_spread", "mobilenetv1_hot", assets.TEXT)
NAMES = (*TRAINED, RESNET)

CALIBRATION_SAMPLES = 256
IMAGES = 96  # of ResNet-50: 4 s of one float evaluation
TOLERANCE = 0.01  # relative, of the trained models
# Share of the signal's energy that the outputs may be off: all ops int8 lose some 0.0003.
DIVERGENCE = 0.0002
BATCH = 32  # samples per call, in evaluations and timing
LARGE_BATCH = 8  # of images of 224 x 224


@dataclass(frozen=True)
class Task:
    """One model to be quantized within a goal.

    Attributes:
        name: Of the model.
        path: Its ONNX file.
        calibration: Inputs, the first axis is the sample.
        inputs: Of the evaluation.
        labels: Class indices; or the float outputs where the score is how close one comes to them.
        tolerance: Relative loss of the mean score that is accepted.
        batch: Samples per call, in evaluations and when the final models are timed.
    """

    name: str
    path: Path
    calibration: Array
    inputs: Array
    labels: Array
    tolerance: float
    batch: int

    def scores(self, outputs: Array, at: slice | Array) -> Array:
        """Return the score of each sample, 0 to 1, given the outputs of ``inputs[at]``."""
        labels = self.labels[at]
        if labels.ndim == 1:
            return (outputs.argmax(-1) == labels).astype(np.float64)
        error = ((outputs - labels) ** 2).sum(-1) / (labels**2).sum(-1)
        return np.clip(1.0 - error, 0.0, 1.0).astype(np.float64)


def load(name: str, folder: Path, tolerance: float | None = None) -> Task:
    """Return a task; ``folder`` holds what ``prepare`` made.

    Args:
        name: Of the model.
        folder: Of what is made for the benchmark.
        tolerance: In place of the usual one.
    """
    if name == RESNET:
        with np.load(folder / "resnet50.npz") as data:
            calibration, inputs, labels = data["calibration"], data["inputs"], data["labels"]
        path = folder / "resnet50.onnx"
        goal = DIVERGENCE if tolerance is None else tolerance
        return Task(name, path, calibration, inputs, labels, goal, LARGE_BATCH)
    test = assets.test_set(name)
    calibration = assets.calibration_set(name, CALIBRATION_SAMPLES).inputs
    path = assets.model_path(name)
    goal = TOLERANCE if tolerance is None else tolerance
    return Task(name, path, calibration, test.inputs, test.labels, goal, BATCH)


def prepare(folder: Path) -> None:
    """Write the ResNet-50 of random weights, its inputs, and its float outputs."""
    import models
    import onnx

    path = folder / "resnet50.onnx"
    if (folder / "resnet50.npz").is_file():
        return
    onnx.save(models.resnet50(), path)
    rng = np.random.default_rng(0)
    shape = (3, 224, 224)
    inputs = rng.standard_normal((IMAGES, *shape)).astype(np.float32)
    calibration = rng.standard_normal((CALIBRATION_SAMPLES // 4, *shape)).astype(np.float32)
    labels = np.concatenate([outputs for _, outputs in run(session(path), inputs, LARGE_BATCH)])
    np.savez(folder / "resnet50.npz", calibration=calibration, inputs=inputs, labels=labels)


def session(model: Any) -> Any:
    """Return a session of one thread on a path, bytes, or an ``onnx.ModelProto``."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    source = model.SerializeToString() if hasattr(model, "SerializeToString") else model
    source = str(source) if isinstance(source, Path) else source
    return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def run(ready: Any, inputs: Array, batch: int) -> Iterator[tuple[slice, Array]]:
    """Yield the outputs of ``inputs``, batch by batch."""
    name = ready.get_inputs()[0].name
    for start in range(0, len(inputs), batch):
        at = slice(start, min(start + batch, len(inputs)))
        yield at, ready.run(None, {name: inputs[at]})[0]


@dataclass
class Watch:
    """Counts evaluated samples, and notes every evaluation with its time.

    Attributes:
        task: What is evaluated.
        file: Where its state is written after each evaluation, so that a contender that is stopped
            at its time limit has told how far it was.
        samples: Evaluated so far, those of evaluations that ended early included.
        evaluations: Of each that ended by itself: seconds, CPU seconds, samples and score.
    """

    task: Task
    file: Path
    samples: int = 0
    evaluations: list[dict[str, float]] = field(default_factory=list)
    started: tuple[float, float] = (0.0, 0.0)

    def start(self) -> None:
        """Begin: what was imported and read before does not count."""
        self.started = (time.perf_counter(), cpu_seconds())

    def elapsed(self) -> tuple[float, float]:
        """Return seconds and CPU seconds since the start."""
        return time.perf_counter() - self.started[0], cpu_seconds() - self.started[1]

    def note(self, score: float, samples: int) -> None:
        """Note a finished evaluation."""
        seconds, cpu = self.elapsed()
        self.evaluations.append(
            {"seconds": seconds, "cpu": cpu, "samples": samples, "score": float(score)}
        )
        self.file.write_text(json.dumps(self.to_json()))

    def evaluate(self, model: Any) -> float:
        """Evaluate a model on all samples."""
        scores = np.empty(len(self.task.inputs))
        for at, outputs in run(session(model), self.task.inputs, self.task.batch):
            scores[at] = self.task.scores(outputs, at)
            self.samples += at.stop - at.start
        self.note(float(scores.mean()), len(scores))
        return float(scores.mean())

    def to_json(self) -> dict[str, Any]:
        """Return what was seen: units, the float score, the first evaluation that passed."""
        size = len(self.task.inputs)
        whole = [e for e in self.evaluations if e["samples"] == size]
        found: dict[str, Any] = {"units": self.samples / size, "evaluations": len(whole)}
        if self.evaluations:
            found["last"] = self.evaluations[-1]
        if whole:
            goal = whole[0]["score"] * (1.0 - self.task.tolerance)
            found |= {"baseline": whole[0]["score"], "goal": goal}
            found["accepted"] = next((e for e in whole[1:] if e["score"] >= goal), None)
        return found


def cpu_seconds() -> float:
    """Return the CPU time of this process and of its children that ended."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


Contender = Callable[[Task, Watch, Path], None]
