"""A model that fills more than half of memory can be quantized: nothing keeps a second copy of it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

# glibc would otherwise keep freed blocks for a time, more or fewer of them as threads happen to run
ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": str(1 << 20), "OMP_NUM_THREADS": "1"}

SCRIPT = """
import sys, threading, time
from pathlib import Path
import numpy as np, torch
from torch import nn
from inc_core import Quantization, common
from inc_torch import source

source.LARGEST_COPY = 0.0  # as if every model were large

class Samples:
    def __init__(self, width): self.width = width
    def __len__(self): return 8
    def __getitem__(self, i):
        return np.random.default_rng(i).normal(size=self.width).astype("float32"), i % 4

def fit(width, layers, algorithm):
    layers = [one for _ in range(layers) for one in (nn.Linear(width, width), nn.ReLU())]
    quantizer = Quantization({
        "model": {"framework": "pytorch"},
        "quantization": {
            "approach": "weight_only", "optype_wise": {"Linear": {"weight": {"algorithm": [algorithm]}}}},
        "evaluation": {"accuracy": {"metric": {"topk": 1}}},
        "tuning": {
            "exit_policy": {"performance_only": True},
            "workspace": {"path": f"{sys.argv[1]}/{width}"}},
    })
    quantizer.model = nn.Sequential(*layers, nn.Linear(width, 4)).eval()
    size = sum(p.numel() * 4 for p in quantizer.model.parameters())
    quantizer.calib_dataloader = quantizer.eval_dataloader = common.DataLoader(Samples(width), batch_size=4)
    before = anonymous()
    levels, stop = [before], threading.Event()
    def watch():
        while not stop.wait(0.005): levels.append(anonymous())
    thread = threading.Thread(target=watch)
    thread.start()
    quantizer.fit().save(f"{sys.argv[1]}/out{width}")
    stop.set(); thread.join()
    return (max(levels) - before) / 2**20, size / 2**20

def anonymous():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))

fit(64, 2, sys.argv[2])  # imports, and what every run takes
print(*fit(1024, 64, sys.argv[2]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.parametrize("algorithm", ["minmax", "gptq"])
def test_beside_the_float_model_there_is_no_second_one(algorithm, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path), algorithm],
        env={**os.environ, **ENVIRONMENT, "INC_CACHE_DIR": str(tmp_path / "cache")},
        capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    grown, size = map(float, done.stdout.split()[-2:])
    # the codes and the packed weights are 3/8 of it; beside them one layer is in work
    assert grown < 0.75 * size
