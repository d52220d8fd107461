"""How each contender is called: its public interface, its defaults, one thread, the same data and goal.

Each writes its final model to ``OUT/model.onnx``. Evaluation goes through the watch everywhere, in
batches of one size, so no contender is charged for slow evaluation code.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tasks import Contender, Task, Watch, session

CALIBRATION_BATCH = 16


def inc(strategy: str, effort: str | None = None) -> Contender:
    """Return the contender that is one of our own strategies."""

    def tune(task: Task, watch: Watch, out: Path) -> None:
        import onnx

        from inc_core import Quantization, common
        from inc_core.tuning.workspace import find_run

        named: dict[str, Any] = {"name": strategy} | ({"effort": effort} if effort else {})
        quantizer = Quantization(
            {
                "model": {"name": task.name, "framework": "onnxruntime"},
                "quantization": {"calibration": {"sampling_size": len(task.calibration)}},
                "tuning": {
                    "strategy": named,
                    "accuracy_criterion": {"relative": task.tolerance},
                    "exit_policy": {"on_goal_not_met": "best_seen"},
                    "workspace": {"path": str(out / "workspace")},
                    # empty: nothing is known of this model or of this machine's kernels
                    "cache": {"directory": str(out / "cache")},
                },
            }
        )
        quantizer.model = str(task.path)
        quantizer.calib_dataloader = common.DataLoader(
            _Items(task.calibration), batch_size=CALIBRATION_BATCH
        )
        quantizer.eval_dataloader = common.DataLoader(_Items(task.inputs), batch_size=task.batch)
        # a metric has labels; were the inputs part of it, they would be part of what a cache looks at
        watch.task = replace(task, inputs=task.inputs[:, :0], calibration=task.calibration[:0])
        quantizer.metric = common.Metric(_metric_of(watch.task, watch), "score")
        watch.start()
        tuned = quantizer.fit()
        watch.samples += _probed(find_run(out / "workspace"))
        onnx.save(tuned.model, out / "model.onnx")

    return tune


class _Items:
    """Inputs with their numbers as labels: the score of a sample needs to know which it is."""

    def __init__(self, inputs: Any) -> None:
        self.inputs = inputs

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.inputs[index], index

    def __len__(self) -> int:
        return len(self.inputs)


def _metric_of(task: Task, watch: Watch) -> type:
    class Score:
        """Mean score; single scores are known, as those of the peers are."""

        score_range = (0.0, 1.0)

        def __init__(self) -> None:
            self.found: list[float] = []

        def scores(self, predictions: Any, numbers: Any) -> Any:
            return _scores_at(task, predictions, numbers)

        def update(self, predictions: Any, numbers: Any) -> None:
            self.found += list(_scores_at(task, predictions, numbers))
            watch.samples += len(numbers)

        def reset(self) -> None:
            self.found = []

        def result(self) -> float:
            mean = float(np.mean(self.found))
            watch.note(mean, len(self.found))
            return mean

    return Score


def _scores_at(task: Task, predictions: Any, numbers: Any) -> Any:
    return task.scores(predictions, np.asarray(numbers))


def _probed(run: Path) -> int:
    """Return the samples that went through models to measure sensitivity: they count as evaluated."""
    from inc_core.tuning.journal import read_journal

    return sum(
        record.fields["samples"]
        for record in read_journal(run / "journal.jsonl")
        if record.type == "measured" and record.fields["what"] == "divergence"
    )


def nncf(*, per_channel: bool) -> Contender:
    """Return NNCF's accuracy control on the ONNX backend, relative drop, one ranking worker.

    By itself it gives the inputs of depthwise convolutions a scale per channel, for which ONNX Runtime has
    no integer kernel; with ``per_channel=False`` activations have one scale per tensor.
    """

    def tune(task: Task, watch: Watch, out: Path) -> None:
        import nncf as peer
        import onnx
        from nncf.quantization import advanced_parameters as advanced

        model = onnx.load(str(task.path))
        name = model.graph.input[0].name

        def validate(candidate: Any, numbers: Iterable[int]) -> tuple[float, list[float]]:
            ready, wanted, found = session(candidate), list(numbers), []
            for start in range(0, len(wanted), task.batch):
                chosen = wanted[start : start + task.batch]
                outputs = ready.run(None, {name: task.inputs[chosen]})[0]
                found += list(_scores_at(task, outputs, chosen))
                watch.samples += len(chosen)
            watch.note(float(np.mean(found)), len(found))
            return float(np.mean(found)), [float(score) for score in found]

        options: dict[str, Any] = {}
        if not per_channel:
            options["advanced_quantization_parameters"] = advanced.AdvancedQuantizationParameters(
                activations_quantization_params=advanced.QuantizationParameters(per_channel=False)
            )
        if task.inputs.ndim == 2:  # token ids
            options["model_type"] = peer.ModelType.TRANSFORMER
        watch.start()
        quantized = peer.quantize_with_accuracy_control(
            model,
            calibration_dataset=peer.Dataset(
                [task.calibration[k : k + 1] for k in range(len(task.calibration))],
                lambda batch: {name: batch},
            ),
            validation_dataset=peer.Dataset(range(len(task.inputs))),
            validation_fn=validate,
            max_drop=task.tolerance,
            drop_type=peer.DropType.RELATIVE,
            subset_size=len(task.calibration),
            advanced_accuracy_restorer_parameters=advanced.AdvancedAccuracyRestorerParameters(
                num_ranking_workers=1
            ),
            **options,
        )
        onnx.save(quantized, str(out / "model.onnx"))

    return tune


class _Loader:
    """Calibration batches as neural-compressor takes them."""

    def __init__(self, inputs: Any, batch_size: int) -> None:
        self.inputs, self.batch_size = inputs, batch_size

    def __iter__(self) -> Any:
        for start in range(0, len(self.inputs), self.batch_size):
            batch = self.inputs[start : start + self.batch_size]
            yield batch, np.zeros(len(batch), np.int64)

    def __len__(self) -> int:
        return -(-len(self.inputs) // self.batch_size)


def nc26(quant_level: Any) -> Contender:
    """Return neural-compressor 2.6: ``basic`` at level 1, its default chain at ``"auto"``."""

    def tune(task: Task, watch: Watch, out: Path) -> None:
        from neural_compressor import PostTrainingQuantConfig, quantization
        from neural_compressor.config import AccuracyCriterion, TuningCriterion

        watch.start()
        found = quantization.fit(
            str(task.path),
            PostTrainingQuantConfig(
                approach="static",
                quant_level=quant_level,
                calibration_sampling_size=[len(task.calibration)],
                accuracy_criterion=AccuracyCriterion(tolerable_loss=task.tolerance),
                tuning_criterion=TuningCriterion(strategy="basic"),
            ),
            calib_dataloader=_Loader(task.calibration, CALIBRATION_BATCH),
            eval_func=watch.evaluate,
        )
        if found is not None:
            found.save(str(out / "model.onnx"))

    return tune


def nc114(task: Task, watch: Watch, out: Path) -> None:
    """neural-compressor 1.14: ``basic``, as its YAML has it."""
    for name in ("bool", "int", "float", "object"):  # it wants a numpy that no longer runs here
        setattr(np, name, getattr(builtins, name))
    from neural_compressor.experimental import Quantization, common

    conf = out / "conf.yaml"
    conf.write_text(
        f"""
model: {{name: {task.name}, framework: onnxrt_qlinearops}}
quantization: {{approach: post_training_static_quant,
                calibration: {{sampling_size: [{len(task.calibration)}]}}}}
tuning: {{strategy: {{name: basic}}, accuracy_criterion: {{relative: {task.tolerance}}},
         exit_policy: {{timeout: 0, max_trials: 100}}, workspace: {{path: {out / "nc"}}}}}
"""
    )
    watch.start()
    quantizer = Quantization(str(conf))
    quantizer.model = common.Model(str(task.path))
    quantizer.calib_dataloader = _Loader(task.calibration, CALIBRATION_BATCH)
    quantizer.eval_func = watch.evaluate
    found = quantizer.fit()
    if found is not None:
        found.save(str(out / "model.onnx"))


CONTENDERS: dict[str, tuple[str, Contender]] = {
    # name: environment, how to call it
    "inc frontier": ("own", inc("frontier")),
    "inc frontier first": ("own", inc("frontier", "first")),
    "inc basic": ("own", inc("basic")),
    "NNCF": ("nncf", nncf(per_channel=True)),
    "NNCF per tensor": ("nncf", nncf(per_channel=False)),
    "neural-compressor 2.6 basic": ("nc26", nc26(1)),
    "neural-compressor 2.6 auto": ("nc26", nc26("auto")),
    "neural-compressor 1.14 basic": ("nc114", nc114),
}
