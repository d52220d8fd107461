from __future__ import annotations

import copy
from collections import OrderedDict
from dataclasses import replace

import pytest
import yaml
from cerberus import Validator
from cerberus.schema import DefinitionSchema

from inc_core.config.load import load_config
from inc_core.config.schema import schema
from inc_core.config.types import ComponentConfig, Config, ModelConfig
from inc_core.errors import ConfigError


class DotDict(dict):
    __getattr__ = dict.get


def test_nothing_gives_the_defaults():
    assert load_config(None) == Config()
    assert load_config({}) == Config()


def test_a_path_object_is_read(tmp_path):
    (tmp_path / "conf.yaml").write_text("model: {name: m}\n")
    assert load_config(tmp_path / "conf.yaml").model == ModelConfig(name="m")


def test_a_frozen_config_comes_back_as_it_is():
    config = Config(model=ModelConfig(name="m", inputs=("x",)))
    assert load_config(config) is config


def test_a_frozen_config_keeps_objects_among_parameters():
    marker = object()
    tuning = replace(Config().tuning, strategy=ComponentConfig("mine", {"callback": marker}))
    assert load_config(Config(tuning=tuning)).tuning.strategy.parameters == {"callback": marker}


def test_a_frozen_config_is_checked_too():
    tuning = replace(Config().tuning, random_seed=-1)
    with pytest.raises(ConfigError, match=r"tuning\.random_seed: received -1"):
        load_config(Config(tuning=tuning, device="tpu"))


def test_dict_subclasses_are_read_and_never_modified():
    conf = DotDict(
        model=OrderedDict(name="m", framework="NA"),
        quantization=DotDict(calibration=DotDict(sampling_size="1, 2"), advance={"x": 1}),
    )
    before = copy.deepcopy(conf)
    config = load_config(conf)
    assert config.quantization.calibration.sampling_sizes == (1, 2)
    assert config.model.framework == ""
    assert conf == before
    assert type(conf.quantization.calibration) is DotDict


def test_the_global_yaml_loader_is_left_alone(tmp_path):
    (tmp_path / "conf.yaml").write_text("tuning: {accuracy_criterion: {absolute: 1e-3}}\n")
    config = load_config(tmp_path / "conf.yaml")
    assert config.tuning.criterion.tolerance == 0.001
    assert yaml.safe_load("1e-3") == "1e-3"
    with pytest.raises(yaml.YAMLError):
        yaml.safe_load("!!python/tuple [1]")


def test_merge_keys_and_tuples_are_read(tmp_path):
    (tmp_path / "conf.yaml").write_text(
        "evaluation:\n"
        "  accuracy: {dataloader: &data {batch_size: 2, "
        "dataset: {dummy: {shape: !!python/tuple [1, 2]}}}}\n"
        "  performance: {dataloader: {<<: *data, batch_size: 1}}\n"
    )
    evaluation = load_config(tmp_path / "conf.yaml").evaluation
    assert evaluation.accuracy.dataloader.dataset.parameters == {"shape": (1, 2)}
    assert evaluation.performance.dataloader == replace(
        evaluation.accuracy.dataloader, batch_size=1
    )


@pytest.mark.parametrize("value", [100, "100", [100], "100,", [100, 100], 100.0])
def test_one_sampling_size_in_any_spelling(value):
    config = load_config({"quantization": {"calibration": {"sampling_size": value}}})
    assert config.quantization.calibration.sampling_sizes == (100,)


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("post_training_static_quant", "static"),
        ("post_training_dynamic_quant", "dynamic"),
        ("post_training_auto_quant", "auto"),
        ("quant_aware_training", "qat"),
        ("weight_only", "weight_only"),
    ],
)
def test_approaches_have_old_and_short_names(name, short):
    assert load_config({"quantization": {"approach": name}}).quantization.approach == short


@pytest.mark.parametrize("version", [1, 1.0, "1", "1.0", "1.14", None])
def test_version_one_is_accepted(version):
    assert load_config({"version": version}) == Config()


def test_null_sections_and_values_keep_defaults():
    conf = {
        "model": None,
        "quantization": {"calibration": None, "op_wise": {"a": None}, "recipes": None},
        "evaluation": {"accuracy": {"metric": None, "dataloader": None}, "performance": None},
        "tuning": {"exit_policy": {"timeout": None}, "accuracy_criterion": {"relative": None}},
    }
    config = load_config(conf)
    assert config.tuning == Config().tuning
    assert config.evaluation == Config().evaluation


def test_op_names_may_look_like_numbers():
    weight = {"weight": {"dtype": "fp32"}}
    assert list(load_config({"quantization": {"op_wise": {12: weight}}}).quantization.op_wise) == [
        "12"
    ]


def test_keys_of_component_parameters_stay_numbers():
    conf = {"evaluation": {"accuracy": {"metric": {"mine": {"labels": {0: "cat"}}}}}}
    metric = load_config(conf).evaluation.accuracy.metric
    assert metric.parameters == {"labels": {0: "cat"}}


def test_objectives_without_weights_count_alike():
    conf = {"tuning": {"multi_objectives": {"objective": "performance, modelsize"}}}
    assert load_config(conf).tuning.objectives == {"performance": 1.0, "modelsize": 1.0}


def test_a_strategy_may_be_a_name_alone():
    assert load_config({"tuning": {"strategy": "mse"}}).tuning.strategy == ComponentConfig("mse")


def test_plugins_may_read_recipes_that_the_core_does_not_know():
    conf = {"quantization": {"recipes": {"fold_everything": "on"}}}
    assert load_config(conf).quantization.recipes == {"fold_everything": True}


def test_the_schema_is_one_that_cerberus_takes():
    """It is not checked where documents are, as that takes longer than all else there."""
    checked = Validator(schema()).schema
    assert dict(checked) == DefinitionSchema.expand(schema())
