"""Weight algorithms that look at inputs, through the façade, with an adaptor that has such a one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from inc_core import Quantization, hookimpl
from inc_core.data.dataloader import DataLoader
from inc_core.errors import ConfigError
from inc_core.hookspecs.adaptor import Guess
from inc_core.plugin import Plugins
from inc_core.quant.spec import OpConfig, TensorSpec
from inc_core.testing.toy import make_classifier, make_data
from inc_core.testing.toy.adaptor import ToyAdaptor

RTN = OpConfig("weight_only", weight=TensorSpec("int8", granularity="per_channel"))
GPTQ = OpConfig("weight_only", weight=replace(RTN.weight, algorithm="gptq"), reads_inputs=True)


class Adaptor(ToyAdaptor):
    """Notes how many samples it sees when it quantizes."""

    seen: list[int] = []  # noqa: RUF012 - of the class: the façade makes the instance

    def capabilities(self, model):
        return [
            replace(c, configs=(GPTQ, RTN, *(o for o in c.configs if not o.is_quantized)))
            if any(config.is_quantized for config in c.configs)
            else c
            for c in super().capabilities(model)
        ]

    def quantize(self, model, recipe, calibration):
        if any(config.reads_inputs for config in recipe.ops.values()):
            self.seen.append(sum(len(batch) for batch in calibration.inputs()))
        ops = {op: RTN if config == GPTQ else config for op, config in recipe.ops.items()}
        return super().quantize(model, replace(recipe, ops=ops), calibration)


@hookimpl
def inc_adaptors():
    return {"noting": Adaptor}


@hookimpl
def inc_guess_framework(source):
    return Guess("noting", 1.0, "the only one")


class Plugin:
    inc_adaptors = staticmethod(inc_adaptors)
    inc_guess_framework = staticmethod(inc_guess_framework)


@pytest.fixture
def make_quantizer(tmp_path):
    def make(algorithm=None, calibration=True):
        Adaptor.seen.clear()
        model = make_classifier()
        data = make_data(model)
        constraint = {"weight": {"algorithm": algorithm}} if algorithm else {}
        quantizer = Quantization(
            {
                "quantization": {
                    "approach": "weight_only",
                    "calibration": {"sampling_size": 40},
                    "model_wise": constraint,
                },
                "tuning": {"workspace": {"path": str(tmp_path)}},
            },
            plugins=Plugins.of(Plugin()),
        )
        quantizer.model = model
        if calibration:
            quantizer.calib_dataloader = DataLoader(data, batch_size=16)
        return quantizer

    return make


def modes(q_model):
    return {config for config in q_model.recipe.ops.values() if config.is_quantized}


def test_the_adaptor_can_read_the_calibration_samples(make_quantizer):
    assert modes(make_quantizer().fit()) == {GPTQ}
    assert Adaptor.seen == [40]


def test_without_calibration_data_the_others_are_left(make_quantizer):
    assert modes(make_quantizer(calibration=False).fit()) == {RTN}


@pytest.mark.parametrize("word", ["RTN", "rtn", "minmax"])
def test_rounding_to_nearest_has_its_usual_name(make_quantizer, word):
    assert modes(make_quantizer(word).fit()) == {RTN}
    assert not Adaptor.seen


def test_asking_for_one_without_data_is_an_error(make_quantizer):
    with pytest.raises(ConfigError, match="weight algorithm gptq needs calibration data"):
        make_quantizer("GPTQ", calibration=False).fit()
