from __future__ import annotations

import pytest

from inc_core.testing.toy import ToyAccuracy, make_classifier
from inc_core.tuning.fingerprint import differences, fingerprint

CONFIG = {
    "tuning": {
        "strategy": {"name": "basic", "parameters": None},
        "exit_policy": {"timeout": 0.0, "max_trials": None},
        "workspace": {"path": "here", "resume": None},
    },
    "quantization": {"approach": "static"},
}


def with_setting(*path, value):
    def put(tree, keys):
        head, *rest = keys
        return {**tree, head: put(tree[head], rest) if rest else value}

    return put(CONFIG, path)


def problem(search, **changes):
    pieces = {"adaptor": search.adaptor, "model": search.model, "config": CONFIG, **changes}
    return fingerprint(**pieces)


def test_the_same_problem_has_the_same_fingerprint(search):
    assert problem(search) == problem(search)


def test_another_model_differs_by_name(search):
    other = problem(search, model=make_classifier(seed=1))
    (text,) = differences(problem(search), other)
    assert text.startswith("model was '")


def test_another_setting_differs_by_its_key_with_both_values(search):
    other = problem(search, config=with_setting("tuning", "strategy", "name", value="mse"))
    assert differences(problem(search), other) == [
        "tuning.strategy.name was \"'basic'\", is \"'mse'\""
    ]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("tuning", "workspace", "path"), "there"),
        (("tuning", "workspace", "resume"), "run-0001"),
        (("tuning", "exit_policy", "max_trials"), 5),
    ],
)
def test_settings_that_change_no_trial_do_not_count(search, path, value):
    assert problem(search, config=with_setting(*path, value=value)) == problem(search)


def test_more_time_is_the_same_problem_but_time_or_none_is_not(search):
    def timeout(seconds):
        return problem(
            search, config=with_setting("tuning", "exit_policy", "timeout", value=seconds)
        )

    assert timeout(60.0) == timeout(600.0)
    assert timeout(60.0) != timeout(0.0)


def test_the_source_of_the_users_own_functions_counts(search):
    class Other:
        pass

    first = problem(search, functions={"metric": ToyAccuracy, "eval_func": None})
    second = problem(search, functions={"metric": Other, "eval_func": None})
    (text,) = differences(first, second)
    assert text.startswith("source of metric was")


def test_other_data_counts(search):
    other = [(search.data.inputs + 1, search.data.labels)]
    first = problem(search, data={"eval_dataloader": search.batches, "calib_dataloader": None})
    second = problem(search, data={"eval_dataloader": other, "calib_dataloader": None})
    assert any("eval_dataloader" in text for text in differences(first, second))


def test_versions_count(search, monkeypatch):
    before = problem(search)
    monkeypatch.setattr(type(search.adaptor), "versions", lambda self: {"toy": "2"})
    assert "version of toy is new" in differences(before, problem(search))
