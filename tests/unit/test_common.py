"""The holders that scripts build."""

from __future__ import annotations

import pytest

from inc_core import common
from inc_core.errors import ConfigError


class Shift:
    def __init__(self, amount=1):
        self.amount = amount

    def __call__(self, sample):
        return sample[0], sample[1] - self.amount


def test_model_holds_root_and_keywords():
    model = common.Model("model.pb", inputs=["x"])
    assert model.root == "model.pb"
    assert model.kwargs == {"inputs": ["x"]}


class TestMetric:
    def test_it_holds_class_name_and_parameters(self):
        holder = common.Metric(Shift, "shifted", amount=3)
        assert (holder.metric_cls, holder.name, holder.kwargs) == (Shift, "shifted", {"amount": 3})

    def test_it_holds_an_instance(self):
        instance = object()
        assert common.Metric(instance).metric_cls is instance

    def test_parameters_for_an_instance_are_refused(self):
        with pytest.raises(
            ConfigError, match=r"\['k'\] are parameters of a class, but a ready object"
        ):
            common.Metric(object(), k=1)


class TestPostprocess:
    @pytest.mark.parametrize(
        "made",
        [
            lambda: common.Postprocess(Shift, "shift", amount=2),
            lambda: common.Postprocess(Shift(2)),
            lambda: common.Postprocess(lambda sample: (sample[0], sample[1] - 2)),
        ],
        ids=["class", "instance", "function"],
    )
    def test_it_is_called_with_outputs_and_labels(self, made):
        assert made()(("outputs", 5)) == ("outputs", 3)

    def test_wrong_parameters_are_refused(self):
        with pytest.raises(ConfigError, match=r"cannot be made with {'step': 2}: .*unexpected"):
            common.Postprocess(Shift, step=2)

    def test_parameters_for_an_instance_are_refused(self):
        with pytest.raises(ConfigError, match=r"\['amount'\] are parameters of a class"):
            common.Postprocess(Shift(), amount=2)

    def test_what_cannot_be_called_is_refused(self):
        with pytest.raises(ConfigError, match=r"called with \(outputs, labels\); int cannot be"):
            common.Postprocess(3)
