"""A second run takes from the first what it can, and never finds anything else for it."""

from __future__ import annotations

import numpy as np
import pytest

from inc_core import common
from inc_core.testing.toy import make_classifier, make_data
from inc_core.testing.toy.adaptor import ToyAdaptor


@pytest.fixture(autouse=True)
def cache_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("INC_CACHE")
    monkeypatch.setenv("INC_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def calls(monkeypatch):
    """Counts what runs the model for calibration."""
    counts = {"observe": 0}
    observe = ToyAdaptor.observe

    def counted(self, model, batches, observers):
        counts["observe"] += 1
        observe(self, model, batches, observers)

    monkeypatch.setattr(ToyAdaptor, "observe", counted)
    return counts


class TestCalibration:
    def test_a_second_run_with_another_strategy_calibrates_nothing(self, make_quantizer, calls):
        make_quantizer().fit()
        assert calls["observe"] > 0
        calls["observe"] = 0
        make_quantizer(strategy={"name": "random"}).fit()
        assert calls["observe"] == 0

    def test_ranges_are_the_same_from_the_cache(self, make_quantizer):
        model = make_classifier(culprits=(1,))
        first, second = (make_quantizer(model).fit() for _ in range(2))
        assert first.qparams.keys() == second.qparams.keys()
        for name, value in first.qparams.items():
            np.testing.assert_array_equal(value.scale, second.qparams[name].scale)

    @pytest.mark.parametrize("changed", ["one value in the middle", "the model"])
    def test_what_differs_anywhere_is_calibrated_again(self, make_quantizer, calls, changed):
        make_quantizer().fit()
        calls["observe"] = 0
        quantizer = make_quantizer(make_classifier(seed=7) if changed == "the model" else None)
        if changed != "the model":
            data = make_data(make_classifier())
            data.inputs = data.inputs.copy()
            data.inputs[33, 0] += 1e-3
            quantizer.calib_dataloader = common.DataLoader(data, batch_size=16)
        quantizer.fit()
        assert calls["observe"] > 0

    @pytest.mark.parametrize("kind", ["shuffled", "augmented"])
    def test_data_that_are_different_each_time_are_not_kept(self, make_quantizer, calls, kind):
        class Augmented:
            def __init__(self, data):
                self.data, self.rng = data, np.random.default_rng()

            def __getitem__(self, index):
                inputs, label = self.data[index]
                return inputs + self.rng.normal(0, 1e-6, inputs.shape).astype(inputs.dtype), label

            def __len__(self):
                return len(self.data)

        for _ in range(2):
            calls["observe"] = 0
            quantizer = make_quantizer()
            data = make_data(make_classifier())
            quantizer.calib_dataloader = (
                common.DataLoader(data, batch_size=16, shuffle=True)
                if kind == "shuffled"
                else common.DataLoader(Augmented(data), batch_size=16)
            )
            quantizer.fit()
        assert calls["observe"] > 0

    def test_the_cache_can_be_switched_off_and_moved(self, make_quantizer, calls, tmp_path):
        make_quantizer(cache={"enabled": False}).fit()
        assert not (tmp_path / "cache").exists()
        make_quantizer(cache={"directory": str(tmp_path / "elsewhere")}).fit()
        assert (tmp_path / "elsewhere" / "statistics").is_dir()
