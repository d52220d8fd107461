"""What ``save`` wrote, read by ``inc_core.load`` in a fresh process, whole or damaged."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from models import Encoder, ResidualNet, seeded

import inc_core
from inc_core import Quantization, common
from inc_core.errors import UnsupportedModelError

# the interpreter itself reports every class that an unpickler looks up, whoever calls it
PREDICT = """
import sys
import numpy as np
import inc_core, inc_torch.adaptor, inc_torch.onnx.export, torch.export
import torch._subclasses.fake_tensor, torch.fx.passes.fake_tensor_prop
def refuse(event, arguments):
    if event == "pickle.find_class":
        raise AssertionError(f"unpickled {arguments}")
with np.load("inputs.npz") as arrays:
    inputs = dict(arrays)
sys.addaudithook(refuse)
outputs = inc_core.load("saved").predict(inputs)
np.savez("outputs.npz", *(outputs if isinstance(outputs, tuple) else (outputs,)))
"""

CASES = {
    "static": (ResidualNet, "images"),
    "dynamic": (Encoder, "sentences"),
    "weight_only": (Encoder, "sentences"),
}


class Batches:
    def __init__(self, batches):
        self.rows = [
            ({name: array[i] for name, array in batch.items()}, 0)
            for batch in batches
            for i in range(len(next(iter(batch.values()))))
        ]

    def __getitem__(self, index):
        return self.rows[index]

    def __len__(self):
        return len(self.rows)


@pytest.fixture
def saved(request, tmp_path):
    """Return a saved model of an approach, and one batch for it."""
    factory, data = CASES[request.param]
    batches = request.getfixturevalue(data)
    quantizer = Quantization(
        {
            "quantization": {"approach": request.param, "calibration": {"sampling_size": 16}},
            "tuning": {
                "exit_policy": {"performance_only": True},
                "workspace": {"path": str(tmp_path / "workspace")},
            },
        }
    )
    quantizer.model = seeded(factory)
    quantizer.calib_dataloader = common.DataLoader(Batches(batches), batch_size=8)
    tuned = quantizer.fit()
    assert tuned.recipe.quantized_ops
    tuned.save(tmp_path / "saved")
    return tuned, batches[0]


@pytest.mark.parametrize("saved", CASES, indirect=True)
def test_a_fresh_process_gives_the_same_bits_and_unpickles_nothing(saved, tmp_path):
    tuned, batch = saved
    np.savez(tmp_path / "inputs.npz", **batch)
    done = subprocess.run(
        [sys.executable, "-c", PREDICT], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    expected = tuned.predict(batch)
    expected = expected if isinstance(expected, tuple) else (expected,)
    with np.load(tmp_path / "outputs.npz") as outputs:
        assert len(outputs.files) == len(expected)
        for name, array in zip(outputs.files, expected, strict=True):
            np.testing.assert_array_equal(outputs[name], array)


def damaged(whole):
    """Return what may become of a file."""
    middle = len(whole) // 2
    changed = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    return {"cut": whole[:middle], "changed": changed, "empty": b"", "missing": None}


@pytest.mark.parametrize("saved", ["static"], indirect=True)
def test_a_damaged_file_is_refused_by_its_name(saved, tmp_path):
    folder = tmp_path / "saved"
    files = sorted(folder.iterdir())
    assert len(files) == 7
    for path in files:
        whole = path.read_bytes()
        for damage, content in damaged(whole).items():
            if damage == "changed" and path.name == "inc.json":
                continue  # it holds the others' digests: nothing holds its own
            path.unlink()
            if content is not None:
                path.write_bytes(content)
            with pytest.raises(UnsupportedModelError, match=path.name):
                inc_core.load(folder)
        path.write_bytes(whole)
    inc_core.load(folder)
