"""What the plugin offers, and how it recognizes models; without importing a framework."""

from __future__ import annotations

import pytest

from inc_core.testing import PluginSuite
from inc_onnx import plugin


class TestPlugin(PluginSuite):
    plugin = plugin
    frameworks = ("onnx", "onnxruntime")


def test_suffix_content_and_object_are_recognized(residual_model, tmp_path):
    data = residual_model.SerializeToString()
    unnamed = tmp_path / "model.bin"
    unnamed.write_bytes(data)
    by_suffix = plugin.inc_guess_framework(str(tmp_path / "missing.onnx"))
    assert by_suffix.reason == "the suffix is .onnx"
    assert plugin.inc_guess_framework(residual_model).confidence == 1.0
    assert plugin.inc_guess_framework(data).framework == "onnxruntime"
    assert plugin.inc_guess_framework(unnamed).confidence < by_suffix.confidence


@pytest.mark.parametrize("source", [b"", b"PK", 3, "model.pt", None])
def test_other_sources_are_not_ours(source):
    assert plugin.inc_guess_framework(source) is None
