from __future__ import annotations

import itertools

import pytest

from inc_core.config.types import ExitPolicyConfig
from inc_core.errors import QuantizationError
from inc_core.tuning.loop import tune
from inc_core.tuning.workspace import open_run


class Writes:
    """Makes the adaptor change the float model in its ``number``-th quantization."""

    def __init__(self, search, number):
        self.search, self.number, self.calls = search, number, 0
        self.quantize = search.adaptor.quantize
        search.adaptor.quantize = self

    def __call__(self, model, recipe, calibration):
        self.calls += 1
        built = self.quantize(model, recipe, calibration)
        if self.calls == self.number:
            weight = self.search.model.nodes[0].arrays["weight"]
            weight.setflags(write=True)
            weight[0, 0] += 0.5
        return built


def digests(search):
    """Count how often the model is looked at."""
    counts = []
    digest = search.adaptor.digest
    search.adaptor.digest = lambda model: counts.append(1) or digest(model)
    return counts


@pytest.mark.parametrize(
    ("number", "trials"), [(1, "1 to 1"), (2, "2 to 2"), (3, "3 to 4"), (5, "5 to 6")]
)
def test_an_adaptor_that_writes_into_the_float_model_is_found_out(search, number, trials):
    Writes(search, number)
    job = search.job(exit_policy=ExitPolicyConfig(max_trials=6))
    with pytest.raises(QuantizationError, match=rf"was changed during trials {trials}: Counting"):
        tune(job)


def test_its_run_is_closed_and_not_taken_up_again(search, tmp_path):
    Writes(search, 1)
    with pytest.raises(QuantizationError), open_run(tmp_path, {"m": "1"}, seed=1) as journal:
        tune(search.job(journal=journal))
    with open_run(tmp_path, {"m": "1"}, seed=1) as journal:
        assert journal.path.parent.name == "run-0002"


def test_an_adaptor_whose_digests_differ_each_time_is_not_accused(search, caplog):
    numbers = itertools.count()
    search.adaptor.digest = lambda model: str(next(numbers))
    assert tune(search.job()).best is not None
    assert caplog.text.count("gives another digest of the same model each time") == 1


def test_looking_costs_little_however_many_trials_there_are(make_search):
    search = make_search(layers=8, culprits=(0, 1, 2, 3, 4, 5, 6, 7))
    counts = digests(search)
    result = tune(search.job(exit_policy=ExitPolicyConfig(max_trials=17)))
    assert len(result.trials) == 17
    assert len(counts) == 1 + 5 + 1  # at first; after 1, 2, 4, 8 and 16; at the end
