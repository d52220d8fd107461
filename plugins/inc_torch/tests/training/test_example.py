"""``examples/digits/compress.py`` as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import inc_core
from inc_core.config.load import load_config

ROOT = Path(__file__).parents[4]
DIGITS = ROOT / "examples" / "digits"


def test_its_configuration_prunes_what_it_says():
    config = load_config(DIGITS / "compress.yaml")
    (pruner,) = config.pruning.pruners
    assert config.quantization.approach == "qat"
    assert (pruner.target_sparsity, pruner.excluded_names) == (0.7, ("first.*", "last"))


@pytest.mark.slow
def test_it_prunes_and_quantizes_in_one_training_and_saves(tmp_path):
    (tmp_path / "examples").symlink_to(ROOT / "examples")  # its workspace is the test's own
    done = subprocess.run(
        [sys.executable, "examples/digits/compress.py", "out"],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "accuracy goal met" in done.stdout
    loaded = inc_core.load(tmp_path / "out")
    assert loaded.facts["ops"] == {"Conv2d": {"int8": 4}, "Linear": {"int8": 1}}
    weights = [w for w in loaded.adaptor.integer_weights(loaded.model).values() if w.size > 1000]
    zeros = sum(int((w == 0).sum()) for w in weights)
    assert zeros / sum(w.size for w in weights) >= 0.69
    with np.load(DIGITS / "digits.npz") as data:
        images, labels = data["x_test"].astype(np.float32) / 16, data["y_test"]
    with torch.no_grad():
        answers = loaded.model(torch.from_numpy(images)).argmax(1).numpy()
    assert (answers == labels).mean() > 0.97
