"""The best accepted models are timed side by side at the end, and the fastest of them wins."""

from __future__ import annotations

import pytest

from inc_core.config.types import ExitPolicyConfig
from inc_core.tuning import finalists as module
from inc_core.tuning.job import WeightedObjective
from inc_core.tuning.journal import Journal
from inc_core.tuning.loop import tune
from inc_core.tuning.speed import Share


class Three:
    """Proposes three recipes, all accepted."""

    own_stop_rule = True

    def propose(self, space, context):
        recipe = space.all_float()
        yield recipe
        for op in space.ops[-2:]:
            recipe = recipe.with_op(op, space.options(op)[0])
            yield recipe


class Latency:
    """As if the machine had been busy: what a trial is timed at is up to the test."""

    higher_is_better = False
    is_latency = True

    def __init__(self, *values):
        self.values = iter(values)

    def measure(self, run):
        return next(self.values)


class Size(Latency):
    is_latency = False


@pytest.fixture
def side_by_side(monkeypatch):
    """Times of the finalists as multiples of the first one's: real ones depend on the machine."""
    calls = []

    def use(*shares):
        def interleaved(runs, max_seconds):
            for run in runs:
                run()  # the models are there and work
            calls.append(len(runs))
            return [Share(share, share, share) for share in shares]

        monkeypatch.setattr(module, "interleaved", interleaved)
        return calls

    return use


def job_of(search, *objectives, **changes):
    return search.job(
        strategy=Three(),
        exit_policy=ExitPolicyConfig(timeout=0),
        objectives=objectives,
        sample=search.data.inputs[:4],
        **changes,
    )


def test_who_is_faster_side_by_side_wins(search, side_by_side):
    # the float model's first: 10 s, then the trials'
    side_by_side(1.0, 0.8)
    lines = []
    latency = WeightedObjective("latency", Latency(10.0, 10.0, 5.0, 5.2))
    result = tune(job_of(search, latency, say=lines.append))
    assert result.best.number == 3
    assert result.best.objectives["latency"] == pytest.approx(0.8 * 5.0)
    assert any("Finalists side by side" in line and "trial 2 1.250" in line for line in lines)


def test_what_is_far_behind_is_no_finalist(search, side_by_side):
    calls = side_by_side(1.0, 0.8)
    result = tune(job_of(search, WeightedObjective("latency", Latency(10.0, 9.0, 5.0, 8.0))))
    assert calls == []
    assert result.best.number == 2


def test_at_most_five_are_timed(search, side_by_side, monkeypatch):
    calls = side_by_side(1.0, 1.0)
    monkeypatch.setattr(module, "MOST", 2)
    tune(job_of(search, WeightedObjective("latency", Latency(10.0, 5.0, 5.1, 5.2))))
    assert calls == [2]


def test_other_objectives_keep_their_say(search, side_by_side):
    """The one that is slower side by side is so much smaller that it wins."""
    side_by_side(1.0, 0.9)
    result = tune(
        job_of(
            search,
            WeightedObjective("latency", Latency(10.0, 10.0, 5.0, 5.1), 0.1),
            WeightedObjective("size", Size(4.0, 4.0, 2.0, 2.2), 0.9),
        )
    )
    assert result.best.number == 2


@pytest.mark.parametrize(
    "objective",
    [
        WeightedObjective("size", Size(4.0, 4.0, 2.0, 2.1)),
        WeightedObjective("latency", Latency(4.0, 4.0, 2.0, 2.1), 0.0),
    ],
    ids=["size alone", "latency without weight"],
)
def test_where_latency_does_not_decide_nothing_is_timed(search, side_by_side, objective):
    calls = side_by_side()
    tune(job_of(search, objective))
    assert calls == []


def test_a_resumed_search_replays_what_was_timed(search, side_by_side, tmp_path):
    path = tmp_path / "journal.jsonl"
    calls = side_by_side(1.0, 0.8)
    winners = []
    for _ in range(2):
        with Journal(path) as journal:
            latency = WeightedObjective("latency", Latency(10.0, 10.0, 5.0, 5.2))
            winners.append(tune(job_of(search, latency, journal=journal)).best)
    assert calls == [2]
    assert winners[0] == winners[1]
    assert winners[0].number == 3
