"""A metric that breaks its process on demand, and a search with it; imported by trial processes."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from inc_core import Quantization, common
from inc_core.plugin import Plugins
from inc_core.testing.toy import ToyAccuracy, make_classifier, make_data, toy_plugin

LAYERS = 4
BATCH = 64


def meet(folder):
    """Wait until two evaluations are here at the same time."""
    Path(folder, f"here-{os.getpid()}").touch()
    end = time.monotonic() + 60
    while len(list(Path(folder).glob("here-*"))) < 2 and time.monotonic() < end:
        time.sleep(0.01)


def greedy(samples):
    """Take 8 MB for each sample, for long if that is too much."""
    held = np.ones(samples * 1_000_000)
    if samples > BATCH // 2:
        time.sleep(300)
    del held


def kill_parent(folder):
    """End the process that started this one; with it ends this one."""
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(300)


def latch(folder):
    """Say that the trial is running, and wait until it may end."""
    Path(folder, "reached").touch()
    end = time.monotonic() + 120
    while not Path(folder, "released").exists() and time.monotonic() < end:
        time.sleep(0.01)


FAULTS = {
    "abort": lambda folder: os.abort(),
    "kill": lambda folder: os.kill(os.getpid(), signal.SIGKILL),
    "exit": lambda folder: os._exit(3),
    "hang": lambda folder: time.sleep(300),
    "hog": lambda folder: (np.ones(40_000_000), time.sleep(300)),  # 320 MB
    "meet": meet,
    "kill_parent": kill_parent,
    "latch": latch,
}


class Faulty(ToyAccuracy):
    """Counts evaluations in other processes than this; ``faults`` says in which one what happens.

    ``faults`` names a fault by the number of the evaluation, from 1; 0 is for every one.
    """

    def __init__(self, folder, faults):
        super().__init__()
        self.folder, self.faults, self.home = str(folder), faults, os.getpid()

    def __getstate__(self):
        return dict(vars(self))

    def update(self, predictions, labels):
        super().update(predictions, labels)
        if os.getpid() == self.home:
            return
        with Path(self.folder, "evaluations").open("a") as file:
            file.write(f"{os.getpid()}\n")
        count = len(evaluations(self.folder))
        fault = self.faults.get(count, self.faults.get(0))
        if fault == "greedy":
            greedy(len(predictions))
        elif fault is not None:
            FAULTS[fault](self.folder)


def evaluations(folder):
    """Return the process ids of all evaluations in other processes, in order."""
    path = Path(folder, "evaluations")
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def make_quantizer(folder, runner, faults=(), culprits=(1,), **tuning):
    """Return a quantizer for a toy model, with a workspace of its own in ``folder``."""
    tuning = {
        "strategy": "basic",
        "workspace": {"path": str(Path(folder, f"workspace-{time.monotonic_ns()}"))},
        "runner": runner,
        **tuning,
    }
    quantizer = Quantization({"tuning": tuning}, plugins=Plugins.of(toy_plugin))
    quantizer.model = make_classifier(layers=LAYERS, culprits=culprits, spread=100.0)
    data = make_data(make_classifier(layers=LAYERS), 64)
    quantizer.calib_dataloader = common.DataLoader(data, batch_size=16)
    quantizer.eval_dataloader = common.DataLoader(data, batch_size=BATCH)
    quantizer.metric = Faulty(folder, dict(faults))
    return quantizer


if __name__ == "__main__":
    main_folder, main_workers, main_fault = sys.argv[1:]
    result = (
        make_quantizer(
            main_folder, {"name": "process", "workers": int(main_workers)}, {0: main_fault}
        )
        .fit()
        .result
    )
    print(result.stopped_by, len(result.trials))
