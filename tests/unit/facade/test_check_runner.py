"""``check`` says where trials would run, and what is in the way."""

from __future__ import annotations

import pytest

from inc_core import Quantization, common
from inc_core.errors import ConfigError, EngineLostError
from inc_core.plugin import Plugins
from inc_core.testing.toy import ToyAccuracy, make_classifier, make_data, toy_plugin
from inc_core.tuning.runner import link


@pytest.fixture
def check():
    def check(runner, metric=ToyAccuracy):
        conf = {"tuning": {"runner": runner}}
        quantizer = Quantization(conf, plugins=Plugins.of(toy_plugin))
        quantizer.model = make_classifier()
        data = make_data(make_classifier(), 16)
        quantizer.calib_dataloader = common.DataLoader(data, batch_size=8)
        quantizer.eval_dataloader = common.DataLoader(data, batch_size=8)
        quantizer.metric = metric
        return quantizer.check()

    return check


def test_inline(check):
    report = check({})
    assert report.runner[0].startswith("in this process, one at a time; one that hangs")
    assert f"trials        {report.runner[0]}" in report.render()


def test_processes_with_what_each_may_use(check):
    report = check({"name": "process", "workers": 2, "memory_limit_mb": 300})
    assert report.runner[0].startswith("in 2 processes on this machine, ")
    assert report.runner[0].endswith("up to 300 MB each")


def test_a_metric_that_cannot_be_sent_is_an_error_before_any_trial(check):
    class Local(ToyAccuracy):
        pass

    with pytest.raises(ConfigError, match=r"Local.*top level of a module"):
        check({"name": "process"}, Local)


def test_no_scheduler_is_an_error_that_names_it(check, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(link, "CONNECT_SECONDS", 0.2)
    with pytest.raises(EngineLostError, match="no Dask scheduler answers at tcp://127"):
        check({"name": "dask", "address": "tcp://127.0.0.1:9"})


def test_a_scheduler_file_that_is_not_there_is_named(check):
    pytest.importorskip("distributed")
    with pytest.raises(EngineLostError, match=r"there is no scheduler file nowhere\.json"):
        check({"name": "dask", "scheduler_file": "nowhere.json"})
