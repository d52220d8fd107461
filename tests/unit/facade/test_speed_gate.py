from __future__ import annotations

import pytest

from inc_core import Quantization, common, hookimpl
from inc_core.facade import run as facade_run
from inc_core.hookspecs.adaptor import LatencyTable
from inc_core.plugin import Plugins
from inc_core.testing.toy import ToyAccuracy, make_classifier, make_data
from inc_core.testing.toy.adaptor import ToyAdaptor
from inc_core.tuning.speed import Latency, LatencyComparison

SLOW = ("fc1", "fc2")


class SlowInt8(ToyAdaptor):
    """Two neighbours of four layers are three times slower in int8."""

    calls = 0

    def time_ops(self, model, capabilities, sample_inputs, known):
        type(self).calls += 1
        seconds = {
            c.op: {
                config: 1e-3 * ((3.0 if c.op.name in SLOW else 0.5) if config.is_quantized else 1.0)
                for config in c.configs
            }
            for c in capabilities
        }
        return LatencyTable(seconds, {})


class SlowPlugin:
    """Brings that adaptor under the toy framework's name."""

    @hookimpl
    def inc_adaptors(self):
        return {"toy": SlowInt8}


@pytest.fixture
def make(tmp_path):
    SlowInt8.calls = 0

    def quantizer(**tuning):
        model = make_classifier()
        data = make_data(model)
        conf = {
            "model": {"framework": "toy"},
            "tuning": {"workspace": {"path": str(tmp_path / "workspace")}, **tuning},
        }
        made = Quantization(conf, plugins=Plugins.of(SlowPlugin()))
        made.model = model
        made.calib_dataloader = common.DataLoader(data, batch_size=16)
        made.eval_dataloader = common.DataLoader(data, batch_size=64)
        made.metric = ToyAccuracy
        return made

    return quantizer


def quantized(tuned):
    return [op.name for op in tuned.recipe.quantized_ops]


def test_ops_that_are_slower_in_int8_stay_float_and_the_ledger_says_why(make):
    tuned = make().fit()
    assert quantized(tuned) == ["fc0", "fc3"]
    reasons = {d.op.name: d.reason for d in tuned.ledger if d.by == "speed gate"}
    assert set(reasons) == set(SLOW)
    assert "3 ms, 1 ms in float" in reasons["fc1"]


@pytest.mark.parametrize(
    "tuning",
    [{"speed_gate": False, "strategy": "basic"}, {"objective": "modelsize"}],
    ids=["switched off", "size is the aim"],
)
def test_the_gate_stays_open(make, tuning):
    tuned = make(**tuning).fit()
    assert quantized(tuned) == ["fc0", "fc1", "fc2", "fc3"]
    assert SlowInt8.calls == 0


def test_without_the_gate_a_strategy_that_looks_for_speed_may_leave_them_float(make):
    tuned = make(speed_gate=False, strategy="frontier").fit()
    assert quantized(tuned) == ["fc0", "fc3"]
    assert "speed gate" not in {decision.by for decision in tuned.ledger}


def comparison(speedup):
    latency = Latency(1.0, 1.0, 1.0)
    return LatencyComparison(latency, latency, speedup, speedup - 0.1, speedup + 0.1, 10)


@pytest.mark.parametrize(
    ("speedup", "wanted", "kept"),
    [(0.5, True, True), (0.5, False, False), (1.0, True, False), (2.0, True, False)],
    ids=["slower", "slower, not asked for", "about equal", "faster"],
)
def test_float_is_kept_where_int8_was_measured_slower(make, monkeypatch, speedup, wanted, kept):
    monkeypatch.setattr(facade_run, "compare_speed", lambda *_: comparison(speedup))
    tuned = make(exit_policy={"keep_float_if_slower": wanted}).fit()
    assert bool(quantized(tuned)) is not kept
    assert ("slower here: this is the float model" in tuned.report()) is kept
    assert ("SLOWER than the float model" in tuned.report()) is (speedup < 1)
    assert tuned.facts["kept_float"] is kept
