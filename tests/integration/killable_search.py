"""A search of 30 trials on a toy model, to be killed: ``killable_search.py WORKSPACE LOG``.

Prints ``ready`` before it opens the workspace, and the winner's recipe at the end. Every evaluation is
a line in ``LOG``.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

from inc_core.config.types import ExitPolicyConfig
from inc_core.hookspecs.adaptor import AdaptorContext
from inc_core.quant.calibrator import Calibrator
from inc_core.quant.space import TuningSpace
from inc_core.strategies.basic import BasicStrategy
from inc_core.testing.toy import ToyAccuracy, make_classifier, make_data
from inc_core.testing.toy.adaptor import ToyAdaptor
from inc_core.tuning.evaluate import MetricEvaluator
from inc_core.tuning.job import TuningJob
from inc_core.tuning.loop import tune
from inc_core.tuning.workspace import open_run

LAYERS = 14
TRIALS = 30
SECONDS = 0.02  # of one evaluation, so that there is a moment to be killed in

adaptor = ToyAdaptor(AdaptorContext("toy"))
model = make_classifier(layers=LAYERS, culprits=(3, 8), spread=100.0)
data = make_data(make_classifier(layers=LAYERS), 64)
space = TuningSpace(
    tuple(
        replace(capability, configs=(capability.configs[0], capability.configs[-1]))
        for capability in adaptor.capabilities(model)
    ),
    calib_samples=(64,),
    option_sets=((), ("cross_layer_equalization",)),
)


def calibrate(source: object, options: tuple[str, ...]) -> Calibrator:
    return Calibrator(
        observe=lambda inputs, observers: adaptor.observe(source, inputs, observers),
        batches=lambda: iter([data.inputs]),
        keys=[key for capability in space.capabilities for key in capability.activations],
        sizes=(64,),
        algorithms=["minmax"],
    )


class SlowEvaluator(MetricEvaluator):
    """Takes its time, and keeps a log."""

    def __init__(self, log: Path) -> None:
        super().__init__(adaptor, [(data.inputs, data.labels)], ToyAccuracy)
        self.log = log

    def evaluate(self, model):
        with self.log.open("a") as file:
            file.write(f"{adaptor.digest(model)}\n")
        time.sleep(SECONDS)
        return super().evaluate(model)


def main(workspace: str, log: str) -> None:
    print("ready", flush=True)
    with open_run(workspace, {"model": adaptor.digest(model)}, seed=1) as journal:
        result = tune(
            TuningJob(
                adaptor=adaptor,
                model=model,
                space=space,
                strategy=BasicStrategy(),
                calibrate=calibrate,
                evaluator=SlowEvaluator(Path(log)),
                exit_policy=ExitPolicyConfig(timeout=3600, max_trials=TRIALS),
                journal=journal,
            )
        )
    assert result.best is not None
    assert len(result.trials) == TRIALS
    print(result.best.number, result.best.recipe.fingerprint)


if __name__ == "__main__":
    main(*sys.argv[1:])
