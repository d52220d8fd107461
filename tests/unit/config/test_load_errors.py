from __future__ import annotations

import re

import pytest

from inc_core.config.load import load_config
from inc_core.errors import ConfigError


@pytest.fixture
def problems_of(tmp_path):
    """Load a text that must be refused; return the problems."""

    def _problems(text):
        path = tmp_path / "conf.yaml"
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError) as caught:
            load_config(path)
        assert str(path) in str(caught.value)
        return list(caught.value.problems)

    return _problems


def problem_of(conf):
    with pytest.raises(ConfigError) as caught:
        load_config(conf)
    [problem] = caught.value.problems
    return problem


def test_all_problems_come_at_once_in_the_order_of_the_file(problems_of):
    problems = problems_of(
        "model:\n"
        "  name: m\n"
        "  framwork: x\n"
        "tuning:\n"
        "  exit_policy:\n"
        "    timeout: soon\n"
        "    max_trials: 0\n"
        "    max_trails: 3\n"
        "quantization:\n"
        "  approach: statc\n"
        "  calibration: {dataloader: {batch_size: -2}}\n"
    )
    assert problems == [
        "line 3: model.framwork: unknown key. Did you mean 'framework'? "
        "Allowed here: name, framework, inputs, outputs",
        "line 6: tuning.exit_policy.timeout: received 'soon' (str); allowed: a number",
        "line 7: tuning.exit_policy.max_trials: received 0 (int); allowed: whole number > 0",
        "line 8: tuning.exit_policy.max_trails: unknown key. Did you mean 'max_trials'? "
        "Allowed here: timeout, max_trials, performance_only, on_goal_not_met, keep_float_if_slower",
        "line 10: quantization.approach: received 'statc' (str); allowed: "
        "post_training_static_quant, post_training_dynamic_quant, post_training_auto_quant, "
        "quant_aware_training, static, dynamic, auto, weight_only, qat. Did you mean 'static'?",
        "line 11: quantization.calibration.dataloader.batch_size: received -2 (int); "
        "allowed: whole number > 0",
        "line 11: quantization.calibration.dataloader.dataset: missing: where samples come from",
    ]


def test_the_message_counts_and_lists_the_problems(tmp_path):
    (tmp_path / "conf.yaml").write_text("a: 1\nb: 2\n")
    with pytest.raises(ConfigError, match=r"conf\.yaml: 2 problems\n  - line 1: a: .*\n  - line 2"):
        load_config(tmp_path / "conf.yaml")


def test_duplicate_keys_name_both_lines(problems_of):
    [problem] = problems_of("tuning:\n  random_seed: 1\n\n  random_seed: 2\n")
    assert problem == "line 4: tuning.random_seed: stands twice, in lines 2 and 4; keep one"


def test_repeated_transforms_in_a_mapping_hint_at_the_list(problems_of):
    [problem] = problems_of(
        "evaluation:\n"
        "  accuracy:\n"
        "    postprocess:\n"
        "      transform:\n"
        "        Cast: float32\n"
        "        Cast: float16\n"
    )
    assert "stands twice, in lines 5 and 6" in problem
    assert "write a list of single entries" in problem


def test_a_key_that_is_no_string_is_a_problem(problems_of):
    [problem] = problems_of("tuning:\n  yes: 1\n")
    assert problem == "line 1: tuning: a key must be a string; received True (bool). Quote it."


def test_op_wise_patterns_must_be_regular_expressions(problems_of):
    [problem] = problems_of(
        "quantization:\n  op_wise:\n    conv1.*: {weight: {dtype: fp32}}\n    'conv[': {}\n"
    )
    assert problem.startswith("line 4: quantization.op_wise['conv[']: no regular expression: ")
    assert "unterminated character set" in problem


def test_problems_inside_op_wise_have_their_line(problems_of):
    problems = problems_of(
        "quantization:\n"
        "  op_wise:\n"
        "    conv1.*:\n"
        "      weight:\n"
        "        dtype: [int8, int9]\n"
        "      activations: {}\n"
    )
    assert problems == [
        "line 5: quantization.op_wise['conv1.*'].weight.dtype: received 'int9'; allowed: int8, "
        "uint8, int7, int6, int5, int4, uint4, int3, int2, fp32, bf16, fp16. Did you mean 'int8'?",
        "line 6: quantization.op_wise['conv1.*'].activations: unknown key. "
        "Did you mean 'activation'? Allowed here: activation, weight",
    ]


@pytest.mark.parametrize(
    ("conf", "expected"),
    [
        ({"version": 2.0}, "version: received 2.0 (float); allowed: 1.0"),
        ({"device": "gpus"}, "received 'gpus' (str); allowed: cpu, gpu. Did you mean 'gpu'?"),
        ({"model": "resnet"}, "model: received 'resnet' (str); allowed: a mapping of name, "),
        ({"model": {"name": ["a"]}}, "model.name: received ['a'] (list); allowed: text"),
        ({"model": {"inputs": {"a": 1}}}, "allowed: a name, a list of names or 'a, b'"),
        ({"plugins": {"require": [None]}}, "plugins.require: received [None] (list)"),
        (
            {"quantization": {"calibration": {"sampling_size": "50, 0"}}},
            "sampling_size: received '50, 0' (str); allowed: a whole number above 0",
        ),
        (
            {"quantization": {"recipes": {"bias_corection": True}}},
            "Did you mean 'bias_correction'?",
        ),
        ({"quantization": {"recipes": {"other": 3}}}, "received 3 (int); allowed: true or false"),
        (
            {"quantization": {"model_wise": {"weight": {"scheme": "symm"}}}},
            "received 'symm'; allowed: sym, asym, asym_float. Did you mean 'sym'?",
        ),
        (
            {"quantization": {"train": 3}},
            "quantization.train: received 3 (int); allowed: a mapping",
        ),
        (
            {"evaluation": {"accuracy": {"metric": {"a": 1, "b": 2}}}},
            "metric: names a, b; allowed: exactly one",
        ),
        (
            {"evaluation": {"accuracy": {"metric": {}}}},
            "allowed: a name, or one 'name: parameters'",
        ),
        ({"evaluation": {"accuracy": {"iteration": 0}}}, "received 0 (int); allowed: -1 or > 0"),
        ({"evaluation": {"accuracy": {"iteration": 1.5}}}, "allowed: a whole number"),
        ({"evaluation": {"performance": {"warmup": True}}}, "received True (bool)"),
        (
            {"tuning": {"accuracy_criterion": {"relative": 1}}},
            "relative: received 1 (int); allowed: a share between -1 and 1, such as 0.01 or 1%",
        ),
        ({"tuning": {"accuracy_criterion": {"absolute": float("nan")}}}, "received nan (float)"),
        (
            {"tuning": {"accuracy_criterion": {"relative": 0.01, "absolute": 1}}},
            "tuning.accuracy_criterion: holds both 'relative' and 'absolute'; keep one",
        ),
        (
            {"tuning": {"exit_policy": {"timeout": -1}}},
            "received -1.0 (float); allowed: seconds >= 0",
        ),
        ({"tuning": {"exit_policy": {"on_goal_not_met": "best"}}}, "allowed: raise, best_seen"),
        ({"tuning": {"strategy": 3}}, "strategy: received 3 (int); allowed: a name, or a mapping"),
        ({"tuning": {"strategy": {"name": {}}}}, "strategy: received {} (dict); allowed: text"),
        (
            {"tuning": {"objective": "a", "multi_objectives": {"objective": "b"}}},
            "tuning: holds both 'objective' and 'multi_objectives'; keep one",
        ),
        (
            {"tuning": {"multi_objectives": {"objective": ["a", "b"], "weight": 1}}},
            "multi_objectives: 2 objectives (a, b) but 1 weights; write one weight for each",
        ),
        ({"tuning": {"multi_objectives": {"weight": 1}}}, "names no 'objective'"),
        ({"tuning": {"multi_objectives": {"objective": "a", "weight": True}}}, "received True"),
    ],
    ids=lambda value: None if isinstance(value, str) else "-".join(value),
)
def test_wrong_values_say_what_was_received_and_what_is_allowed(conf, expected):
    assert expected in problem_of(conf)


def test_mappings_have_no_lines():
    assert problem_of({"modle": {}}).startswith("modle: unknown key. Did you mean 'model'?")


def test_a_missing_file_is_named_with_its_closest_neighbour(tmp_path):
    (tmp_path / "conf.yaml").write_text("model: {}\n")
    with pytest.raises(
        ConfigError, match=r"no such configuration file: .*Did you mean 'conf.yaml'"
    ):
        load_config(tmp_path / "conff.yaml")


def test_an_empty_file_is_no_configuration(tmp_path):
    (tmp_path / "conf.yaml").write_text("# nothing yet\n")
    with pytest.raises(ConfigError, match="the configuration file is empty"):
        load_config(tmp_path / "conf.yaml")


def test_a_syntax_error_has_line_and_column(tmp_path):
    (tmp_path / "conf.yaml").write_text("model:\n  name: [a\ntuning: {}\n")
    with pytest.raises(
        ConfigError, match=r"conf\.yaml: line 3, column 7: no valid YAML: .*expected"
    ):
        load_config(tmp_path / "conf.yaml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"model:\n\tname: a\n", "line 2, column 1.*with spaces, not with tabs"),
        (
            b"evaluation:\n  accuracy:\n    metric\n      topk: 1\n",
            "is a colon missing in the line",
        ),
        ("model: {name: größe}\n".encode("latin-1"), "at byte 16; save the file in UTF-8"),
    ],
    ids=["tabs", "no colon", "latin-1"],
)
def test_what_editors_do_to_a_file_is_said(tmp_path, content, message):
    (tmp_path / "conf.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=f"no valid YAML: .*{message}|{message}"):
        load_config(tmp_path / "conf.yaml")


def test_an_unknown_tag_is_refused(tmp_path):
    (tmp_path / "conf.yaml").write_text("model:\n  name: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(ConfigError, match="line 2, column 9: no valid YAML: could not determine"):
        load_config(tmp_path / "conf.yaml")


def test_an_alias_inside_its_own_anchor_is_refused(tmp_path):
    (tmp_path / "conf.yaml").write_text("quantization: {train: &a {x: *a}}\n")
    with pytest.raises(ConfigError, match="stands inside its own anchor"):
        load_config(tmp_path / "conf.yaml")


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "conf.yaml").write_bytes(b"model: \xff\xfe\x00")
    with pytest.raises(ConfigError, match="no valid YAML"):
        load_config(tmp_path / "conf.yaml")


def test_a_top_level_list_is_refused(tmp_path):
    (tmp_path / "conf.yaml").write_text("- model\n")
    with pytest.raises(ConfigError, match=r"top level must be a mapping.*received a list"):
        load_config(tmp_path / "conf.yaml")


def test_a_directory_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot read the configuration file"):
        load_config(tmp_path)


def test_yaml_text_in_place_of_a_path_is_refused():
    with pytest.raises(ConfigError, match="received YAML text where a path is expected"):
        load_config("model:\n  name: m\n")


def test_other_objects_are_refused():
    with pytest.raises(ConfigError, match=r"received 3 \(int\); allowed: the path of a YAML file"):
        load_config(3)


def test_a_mapping_that_contains_itself_is_refused():
    conf = {"quantization": {}}
    conf["quantization"]["train"] = conf
    with pytest.raises(ConfigError, match="contains itself"):
        load_config(conf)


@pytest.mark.parametrize(
    ("runner", "message"),
    [
        ({"name": "dask"}, "name: dask needs the scheduler's 'address' or 'scheduler_file'"),
        (
            {"name": "dask", "address": "tcp://h:1", "scheduler_file": "s.json"},
            "holds both 'address' and 'scheduler_file'; keep one",
        ),
        ({"name": "process", "address": "tcp://h:1"}, "has 'address', which is for name: dask"),
        ({"scheduler_file": "s.json"}, "has 'scheduler_file', which is for name: dask"),
    ],
)
def test_a_dask_runner_has_one_scheduler_and_the_others_none(runner, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_config({"tuning": {"runner": runner}})
