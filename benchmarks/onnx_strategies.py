"""What a search costs and finds on real models: ``python benchmarks/onnx_strategies.py``.

Every contender gets the same float model, calibration samples, test set, metric and goal, and gives a
model; the accuracy of that and its speed are measured here, by one code for all: on the whole test set,
and all models of a problem interleaved. Caches are off, so that none profits from another.

* ``units`` are passes over the test set, the float model's not counted; a trial that ends early counts
  by the samples that it saw, probes of outputs by theirs.
* CPU seconds hold everything: the float model's evaluation, calibration, latencies of ops, probes, trials,
  finalists. ``first s``: up to the end of the first evaluation that meets the goal.

A contender is a function ``(problem, most_trials) -> Outcome``, in ``CONTENDERS``. Ours differ in
``tuning.strategy`` alone. Models: those of the assets within 1 % of their accuracy, and ResNet-50 with
random weights, where what is kept is the direction of the output.

Options: ``--tolerance 0.002``: of the trained models, relative; at 1 % most are accepted at once.
``--models NAME ...``, ``--contenders NAME ...``, ``--samples N``, ``--max-trials N``,
``--no-gate``: without the speed gate, which would leave the same slow ops float for everybody.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import assets
import numpy as np
import timing

try:
    import models
    import onnx
    from contenders import session

    from inc_core import Quantization, common
    from inc_core.tuning.journal import read_journal
    from inc_core.tuning.workspace import find_run
except ImportError as error:
    sys.exit(f"skipped: {error}. Install first: pip install . ./plugins/inc_onnx")

ASSETS = ("resnet8", "mobilenetv1_mild", "mobilenetv1_spread", "mobilenetv1_hot", assets.TEXT)
CALIBRATION_SAMPLES = 256
TOLERANCE = 0.01  # relative
SPEED_BATCH = 32
EVALUATION_BATCH = 100

# ResNet-50 at 224 x 224 takes 0.1 s for an image: few have to do
RANDOM_SAMPLES = 64
RANDOM_BATCH = 8
# of the mean cosine to the float outputs; all in int8 loses more
RANDOM_TOLERANCE = 0.0005
MOST_TRIALS = 60


@dataclass(frozen=True)
class Problem:
    """A float model, data, metric and goal.

    Attributes:
        name: For the table.
        proto: The float model.
        calibration: Items ``(input, label)``.
        test: Items ``(input, label)``.
        score: The metric: ``(outputs, labels) -> score of each sample``, 0 to 1; the mean counts.
        tolerance: Relative loss that is allowed.
        batch: Of evaluation and timing.
    """

    name: str
    proto: onnx.ModelProto
    calibration: assets.Dataset
    test: assets.Dataset
    score: Callable[[np.ndarray, np.ndarray], np.ndarray]
    tolerance: float
    batch: int


@dataclass(frozen=True)
class Outcome:
    """What a contender gives, and what it says of itself; ``None`` where it cannot tell.

    Attributes:
        proto: The final model.
        seconds: CPU time of the whole search.
        first_seconds: The same up to the first model that met the goal.
        trials: How many models were evaluated, wholly or in part.
        units: Passes over the test set.
    """

    proto: onnx.ModelProto
    seconds: float
    first_seconds: float | None = None
    trials: int | None = None
    units: float | None = None


Contender = Callable[[Problem, int], Outcome]


class Watch:
    """Notes when the first evaluation ended that met the goal; the float model's is the very first."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.start = time.process_time()
        self.goal: float | None = None
        self.first: float | None = None

    @property
    def seconds(self) -> float:
        """CPU time since the start."""
        return time.process_time() - self.start

    def note(self, score: float, samples: int) -> None:
        """Note the score of a model, on so many samples."""
        if samples < len(self.problem.test):
            return
        if self.goal is None:
            self.goal = score * (1.0 - self.problem.tolerance)
        elif self.first is None and score >= self.goal:
            self.first = self.seconds

    def metric(self) -> type:
        """Return the problem's score as a metric class of inc, under this watch."""
        watch, score = self, self.problem.score

        class Mean:
            """The mean score; those of single samples are known."""

            score_range = (0.0, 1.0)

            def __init__(self) -> None:
                self.total, self.count = 0.0, 0

            def scores(self, predictions: Any, labels: Any) -> np.ndarray:
                return np.asarray(score(np.asarray(predictions), np.asarray(labels)), float)

            def update(self, predictions: Any, labels: Any) -> None:
                found = self.scores(predictions, labels)
                self.total += float(found.sum())
                self.count += len(found)

            def reset(self) -> None:
                self.total, self.count = 0.0, 0

            def result(self) -> float:
                watch.note(self.total / self.count, self.count)
                return self.total / self.count

        return Mean


def ours(name: str, parameters: Mapping[str, Any] | None = None, *, gate: bool = True) -> Contender:
    """Return the contender that is inc with a strategy."""

    def search(problem: Problem, most_trials: int) -> Outcome:
        watch = Watch(problem)
        with tempfile.TemporaryDirectory() as workspace:
            quantizer = Quantization(
                {
                    "model": {"name": problem.name, "framework": "onnxruntime"},
                    "quantization": {"calibration": {"sampling_size": CALIBRATION_SAMPLES}},
                    "tuning": {
                        "strategy": {"name": name, **(parameters or {})},
                        "accuracy_criterion": {"relative": problem.tolerance},
                        "exit_policy": {
                            "timeout": 0,
                            "max_trials": most_trials,
                            "on_goal_not_met": "best_seen",
                        },
                        "speed_gate": gate,
                        "workspace": {"path": workspace},
                    },
                }
            )
            quantizer.model = problem.proto
            quantizer.calib_dataloader = common.DataLoader(
                problem.calibration, batch_size=problem.batch
            )
            quantizer.eval_dataloader = common.DataLoader(problem.test, batch_size=problem.batch)
            quantizer.metric = common.Metric(watch.metric(), "score")
            tuned = quantizer.fit()
            seconds = watch.seconds
            probed = probed_samples(Path(workspace))
        trials = tuned.result.trials
        samples = sum(trial.samples for trial in trials) + probed
        units = samples / len(problem.test)
        return Outcome(tuned.model, seconds, watch.first, len(trials), units)

    return search


def probed_samples(workspace: Path) -> int:
    """Return the samples that went through models to see how far their outputs move."""
    return sum(
        record.fields["samples"]
        for record in read_journal(find_run(workspace) / "journal.jsonl")
        if record.type == "measured" and record.fields["what"] == "divergence"
    )


CONTENDERS: dict[str, Contender] = {
    "basic": ours("basic"),
    "frontier": ours("frontier"),
    "frontier first": ours("frontier", {"effort": "first"}),
    "frontier max": ours("frontier", {"effort": "max"}),
    "mse": ours("mse"),
    "random": ours("random"),
}
NO_GATE = {
    "basic": ours("basic", gate=False),
    "frontier": ours("frontier", gate=False),
    "mse": ours("mse", gate=False),
    "random": ours("random", gate=False),
}
USUAL = ("basic", "frontier", "mse", "random")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = (*ASSETS, "resnet50")
    parser.add_argument("--models", nargs="+", default=list(names), choices=names)
    parser.add_argument("--contenders", nargs="+", default=list(USUAL), choices=list(CONTENDERS))
    parser.add_argument("--tolerance", type=float, default=TOLERANCE, help="of trained models")
    parser.add_argument("--samples", type=int, help="of the test set; all by default")
    parser.add_argument("--max-trials", type=int, default=MOST_TRIALS)
    parser.add_argument("--no-gate", action="store_true")
    arguments = parser.parse_args()
    os.environ["INC_CACHE"] = "0"
    packages = ("onnxruntime", "onnx", "numpy", "inc-core", "inc-onnx")
    timing.print_heading("onnx_strategies", *packages)
    table = NO_GATE if arguments.no_gate else CONTENDERS
    for name in arguments.models:
        problem = (
            random_resnet50()
            if name == "resnet50"
            else trained(name, arguments.samples, arguments.tolerance)
        )
        report(problem, {c: table[c] for c in arguments.contenders}, arguments.max_trials)


def trained(name: str, samples: int | None, tolerance: float = TOLERANCE) -> Problem:
    """Return the problem of one of the assets: top 1 within a relative loss."""
    return Problem(
        name,
        onnx.load(str(assets.model_path(name))),
        assets.calibration_set(name, CALIBRATION_SAMPLES),
        assets.test_set(name, samples),
        lambda outputs, labels: outputs.argmax(-1) == labels,
        tolerance,
        EVALUATION_BATCH,
    )


def random_resnet50() -> Problem:
    """Return ResNet-50 with random weights, to be kept near its own outputs."""
    rng = np.random.default_rng(7)
    proto = models.resnet50()
    images = rng.standard_normal((RANDOM_SAMPLES, 3, 224, 224)).astype(np.float32)
    run = session(proto)
    outputs = np.concatenate(
        [run.run(None, {"input": images[i : i + 8]})[0] for i in range(0, RANDOM_SAMPLES, 8)]
    )
    calibration = rng.standard_normal((16, 3, 224, 224)).astype(np.float32)
    return Problem(
        "resnet50",
        proto,
        assets.Dataset(calibration, np.zeros(len(calibration))),
        assets.Dataset(images, outputs),
        cosines,
        RANDOM_TOLERANCE,
        RANDOM_BATCH,
    )


def cosines(outputs: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the cosine between each sample's outputs and those of the float model, 0 at least."""
    lengths = np.linalg.norm(outputs, axis=1) * np.linalg.norm(wanted, axis=1)
    return np.clip((outputs * wanted).sum(axis=1) / np.maximum(lengths, 1e-12), 0.0, 1.0)


def report(problem: Problem, contenders: Mapping[str, Contender], most_trials: int) -> None:
    found: dict[str, Outcome] = {}
    for name, contender in contenders.items():
        found[name] = contender(problem, most_trials)
        print(f"  {problem.name}: {name} done in {found[name].seconds:.0f} s", flush=True)
    speeds = measured_speeds(problem, found)
    baseline = score(problem, problem.proto)
    rows = [row(problem, name, one, baseline, speeds[name]) for name, one in found.items()]
    title = (
        f"{problem.name}: float {baseline:.4f}, needed {baseline * (1 - problem.tolerance):.4f}, "
        f"{len(problem.test)} samples"
    )
    header = ("contender", "score", "trials", "units", "first s", "CPU s", "speed", "q25-q75")
    timing.print_table(title, header, rows)


def row(
    problem: Problem, name: str, found: Outcome, baseline: float, speed: timing.Timing
) -> tuple[str, ...]:
    reached = score(problem, found.proto)
    met = "" if reached >= baseline * (1 - problem.tolerance) - 1e-9 else " MISSED"
    return (
        name,
        f"{reached:.4f}{met}",
        cell(found.trials, ".0f"),
        cell(found.units, ".2f"),
        cell(found.first_seconds, ".1f"),
        f"{found.seconds:.1f}",
        f"{speed.ratio:.2f}",
        f"{speed.low:.2f}-{speed.high:.2f}",
    )


def cell(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def score(problem: Problem, proto: onnx.ModelProto) -> float:
    """Return the metric of a model on the whole test set, by a plain loop."""
    run, name = session(proto), proto.graph.input[0].name
    total = 0.0
    for start in range(0, len(problem.test), problem.batch):
        inputs = problem.test.inputs[start : start + problem.batch]
        (outputs, *_) = run.run(None, {name: inputs})
        total += float(
            problem.score(outputs, problem.test.labels[start : start + problem.batch]).sum()
        )
    return total / len(problem.test)


def measured_speeds(problem: Problem, found: Mapping[str, Outcome]) -> dict[str, timing.Timing]:
    """Time the float model and every contender's interleaved, in sessions of one thread."""
    count = min(SPEED_BATCH, problem.batch)
    feed = {problem.proto.graph.input[0].name: problem.test.inputs[:count]}
    sessions = {"float": session(problem.proto)}
    sessions |= {name: session(one.proto) for name, one in found.items()}
    calls = {name: (lambda s=s: s.run(None, feed)) for name, s in sessions.items()}
    return timing.interleave(calls, "float", budget_seconds=40)


if __name__ == "__main__":
    main()
