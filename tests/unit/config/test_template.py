from __future__ import annotations

import re
from dataclasses import replace

import pytest
import yaml

from inc_core.config.load import load_config
from inc_core.config.template import render_template
from inc_core.config.types import Config, ModelConfig
from inc_core.errors import ConfigError


def test_the_template_loads_as_the_defaults(tmp_path):
    text = render_template("m", "toy", "static", ["Linear"], ["x", "y"])
    (tmp_path / "conf.yaml").write_text(text)
    model = ModelConfig(name="m", framework="toy", inputs=("x", "y"))
    assert load_config(tmp_path / "conf.yaml") == Config(model=model)


@pytest.mark.parametrize("approach", ["post_training_dynamic_quant", "dynamic"])
def test_the_template_states_the_approach(approach):
    config = load_config(yaml.safe_load(render_template("m", "", approach)))
    assert config.quantization == replace(Config().quantization, approach="dynamic")


def test_an_unknown_approach_is_refused():
    with pytest.raises(ConfigError, match="Did you mean 'static'"):
        render_template("m", "toy", "statik")


def test_op_types_are_listed():
    text = render_template("m", "toy", "static", ["Linear", "Relu"])
    assert "# op types of this model: Linear, Relu\n  #optype_wise: {Linear: " in text


def test_every_example_loads_once_its_comment_sign_is_gone():
    text = render_template("m", "toy", "static", ["Linear"])
    active = re.sub(r"^( *)#(?! \S)", r"\1", text, flags=re.MULTILINE)
    config = load_config(yaml.safe_load(active))
    assert config.quantization.calibration.dataloader is not None
    assert config.evaluation.accuracy.metric is not None
    assert config.tuning.workspace.resume is not None
    assert list(config.quantization.optype_wise) == ["Linear"]


def test_lines_are_short_enough_to_read():
    text = render_template("m", "toy", "static")
    assert max(len(line) for line in text.splitlines()) <= 100
