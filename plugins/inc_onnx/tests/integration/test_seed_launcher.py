"""The original API's "typical launcher", as its document prints it: only import and paths changed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[4]

LAUNCHER = """\
# Typical Launcher code
from inc_core.experimental import Quantization, common

import numpy as np

# optional if Neural Compressor built-in dataset could be used as model input in yaml
class dataset(object):
  def __init__(self, *args):
      part, = args
      with np.load("digits.npz") as data:
          self.x, self.y = data["x_" + part].astype("float32") / 16, data["y_" + part]

  def __getitem__(self, idx):
      # return single sample and label tuple without collate. label should be 0 for label-free case
      return self.x[idx], self.y[idx]

  def len(self):
      return len(self.x)

# optional if Neural Compressor built-in metric could be used to do accuracy evaluation on model output in yaml
class custom_metric(object):
    def __init__(self):
        self.hits = self.total = 0

    def update(self, predict, label):
        # metric update per mini-batch
        self.hits += (predict.argmax(1) == label).sum()
        self.total += len(label)

    def result(self):
        # final metric calculation invoked only once after all mini-batch are evaluated
        # return a scalar to neural_compressor for accuracy-driven tuning.
        return self.hits / self.total

quantizer = Quantization("conf.yaml")
quantizer.model = 'digits_cnn.onnx'
# below two lines are optional if Neural Compressor built-in dataset is used as model calibration input in yaml
cal_dl = dataset('train')
quantizer.calib_dataloader = common.DataLoader(cal_dl, batch_size=32)
# below two lines are optional if Neural Compressor built-in dataset is used as model evaluation input in yaml
dl = dataset('test')
quantizer.eval_dataloader = common.DataLoader(dl, batch_size=32)
# optional if Neural Compressor built-in metric could be used to do accuracy evaluation in yaml
quantizer.metric = common.Metric(custom_metric)
q_model = quantizer.fit()
q_model.save('output')
"""

CONF = """\
version: 1.0

model:
  name: digits
  framework: onnxrt_qlinearops

quantization:
  approach: post_training_static_quant
  calibration:
    sampling_size: 50, 100
  model_wise:
    activation:
      algorithm: minmax

tuning:
  accuracy_criterion:
    relative:  0.01
  exit_policy:
    timeout: 0
  random_seed: 9527
"""


def test_the_printed_launcher_runs(tmp_path: Path) -> None:
    for name in ("digits.npz", "digits_cnn.onnx"):
        (tmp_path / name).write_bytes((ROOT / "examples" / "digits" / name).read_bytes())
    (tmp_path / "launcher.py").write_text(LAUNCHER)
    (tmp_path / "conf.yaml").write_text(CONF)
    done = subprocess.run(
        [sys.executable, "launcher.py"],
        cwd=tmp_path,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "output" / "model.onnx").stat().st_size < 200_000
    assert (tmp_path / "conf.yaml").read_text() == CONF
