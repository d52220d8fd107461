from __future__ import annotations

import json
from dataclasses import replace

import numpy as np

from inc_core.config.dump import config_to_dict, differences
from inc_core.config.load import load_config
from inc_core.config.types import ComponentConfig, Config

FULL = {
    "model": {"name": "m", "framework": "toy", "inputs": ["x"]},
    "device": "gpu",
    "quantization": {
        "approach": "auto",
        "calibration": {
            "sampling_size": [10, 20],
            "dataloader": {
                "dataset": {"dummy": {"shape": [4, 2]}},
                "transform": [{"Cast": "float32"}, {"Cast": "float16"}],
                "filter": {"LabelBalance": {"size": 1}},
            },
        },
        "recipes": {"bias_correction": True},
        "model_wise": {"weight": {"granularity": "per_group", "group_size": 32}},
        "op_wise": {"fc.*": {"activation": {"dtype": "fp32"}}},
        "train": {"epoch": 2},
    },
    "evaluation": {
        "accuracy": {"metric": "Accuracy", "postprocess": {"transform": {"LabelShift": 1}}},
        "performance": {"configs": {"num_of_instance": 2}},
    },
    "tuning": {
        "strategy": {"name": "mse", "depth": 2},
        "accuracy_criterion": {"absolute": 0.5, "higher_is_better": False},
        "multi_objectives": {"objective": ["performance", "modelsize"], "weight": [2, 1]},
    },
    "plugins": {"require": ["toy"]},
}


def test_the_dict_is_json_and_loads_back():
    for config in (Config(), load_config(FULL)):
        assert load_config(json.loads(json.dumps(config_to_dict(config)))) == config


def test_objects_among_parameters_are_named_by_class_or_function():
    parameters = {"f": len, "array": np.arange(2), "scalar": np.float32(0.5), "o": Config()}
    tuning = replace(Config().tuning, strategy=ComponentConfig("s", parameters))
    assert config_to_dict(Config(tuning=tuning))["tuning"]["strategy"] == {
        "name": "s",
        "f": "builtins.len",
        "array": [0, 1],
        "scalar": 0.5,
        "o": "inc_core.config.types.Config",
    }


def test_equal_configurations_do_not_differ():
    assert differences(load_config(FULL), load_config(FULL)) == ()


def test_differences_are_key_paths_of_the_file():
    a = load_config({"tuning": {"random_seed": 1, "accuracy_criterion": {"absolute": 1}}})
    b = load_config({"quantization": {"op_wise": {"c.*": {"weight": {"dtype": "fp32"}}}}})
    assert differences(a, b) == (
        "quantization.op_wise",
        "quantization.op_wise['c.*'].weight.dtype",
        "tuning.accuracy_criterion.absolute",
        "tuning.accuracy_criterion.relative",
        "tuning.random_seed",
    )
