"""Names and guesses, without importing torch."""

from __future__ import annotations

import subprocess
import sys
import zipfile

import pytest
import torch

from inc_torch.plugin import inc_adaptors, inc_guess_framework


def test_both_names_are_one_adaptor():
    assert set(inc_adaptors()) == {"pytorch", "pytorch_fx"}
    assert len(set(inc_adaptors().values())) == 1


def test_a_module_is_certain():
    guess = inc_guess_framework(torch.nn.Linear(2, 2))
    assert guess.framework == "pytorch"
    assert guess.confidence == 1.0


def test_an_exported_program_is_certain():
    program = torch.export.export(torch.nn.Linear(2, 2), (torch.ones(1, 2),))
    assert inc_guess_framework(program).confidence == 1.0


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".pt2"])
def test_a_suffix_is_enough_without_the_file(suffix):
    assert inc_guess_framework(f"absent{suffix}").framework == "pytorch"


def test_an_archive_of_torch_is_recognized_by_content(tmp_path):
    torch.save({"a": torch.ones(1)}, tmp_path / "weights.bin")
    assert "archive" in inc_guess_framework(tmp_path / "weights.bin").reason


def test_another_archive_is_no_ones(tmp_path):
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme.txt", "")
    assert inc_guess_framework(tmp_path / "other.zip") is None


@pytest.mark.parametrize("source", ["model.onnx", object(), None, b"\x08\x07"])
def test_foreign_sources_are_no_opinion(source):
    assert inc_guess_framework(source) is None


def test_the_plugin_imports_no_torch():
    code = (
        "import sys; from inc_torch.plugin import inc_guess_framework as guess;"
        "guess(object()); guess('x.pt'); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
