from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inc_core import Quantization, common
from inc_core.plugin import Plugins
from inc_core.testing.toy import ToyAccuracy, ToyModel, make_classifier, make_data, toy_plugin


@pytest.fixture(autouse=True)
def short_comparisons(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time each final model a few times: how fast toy models are is nobody's question."""
    monkeypatch.setattr("inc_core.tuning.speed.MAX_ROUNDS", 10)


@pytest.fixture
def plugins() -> Plugins:
    return Plugins.of(toy_plugin)


@pytest.fixture
def make_quantizer(plugins: Plugins, tmp_path: Path) -> Callable[..., Quantization]:
    def make(model: ToyModel | None = None, /, **tuning: Any) -> Quantization:
        model = make_classifier() if model is None else model
        data = make_data(model)
        conf = {"tuning": {"workspace": {"path": str(tmp_path / "workspace")}, **tuning}}
        quantizer = Quantization(conf, plugins=plugins)
        quantizer.model = model
        quantizer.calib_dataloader = common.DataLoader(data, batch_size=16)
        quantizer.eval_dataloader = common.DataLoader(data, batch_size=64)
        quantizer.metric = ToyAccuracy
        return quantizer

    return make
