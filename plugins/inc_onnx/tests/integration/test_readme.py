"""What a newcomer copies from the README works."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("inc_metrics")

ROOT = Path(__file__).parents[4]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    return tmp_path


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_example_runs_as_printed(checkout):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (checkout / "example.py").write_text(blocks[0])
    printed = run(checkout, "example.py")
    assert re.search(r"\[\d \d\]", printed)
    assert (checkout / "out" / "digits-int8" / "ledger.json").is_file()


def test_an_evaluation_of_ones_own_runs_as_printed(checkout):
    """With the example around it, whose data it evaluates on."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    example, fit, rest = blocks[0].partition("q_model = ")
    data = 'images, labels = Digits("test").x, Digits("test").y\n'
    hand_over = "quantizer.eval_func = evaluate\nquantizer.eval_dataloader = None\n"
    script = "import onnxruntime\n" + example + data + blocks[1] + hand_over + fit + rest
    (checkout / "example.py").write_text(script)
    assert re.search(r"\[\d \d\]", run(checkout, "example.py"))


def test_the_shell_commands_run_as_printed(checkout):
    model = "examples/digits/digits_cnn.onnx"
    conf = "examples/digits/conf.yaml"
    inc = ("-m", "inc_core")
    run(checkout, *inc, "init", "--model", model, "-o", "conf.yaml")
    run(checkout, *inc, "check", conf, "--model", model)
    run(checkout, *inc, "quantize", conf, "--model", model, "-o", "out/")
    run(checkout, *inc, "verify", "out/")
    run(checkout, *inc, "plugins")
    assert "accuracy goal met" in run(checkout, *inc, "report", "out/")
    run(checkout, *inc, "export", "out/", "int8.onnx")
    assert (checkout / "int8.onnx").is_file()
