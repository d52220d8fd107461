from __future__ import annotations

import json
from dataclasses import replace

import pytest

from inc_core.quant.recipe import Recipe
from inc_core.tuning.history import History, trials_of
from inc_core.tuning.journal import Journal
from inc_core.tuning.packing import RecipePacker, pack_base, pack_trial, unpack_base, unpack_trial
from inc_core.tuning.trial import Trial


@pytest.fixture
def recipe(search):
    return search.space().default()


def changed(search, recipe, count):
    space = search.space()
    ops = space.ops[:count]
    other = recipe.with_ops({op: space.fallback(op) for op in ops})
    return replace(other, calib_samples=7, options=("bias_correction",))


def through_json(value):
    return json.loads(json.dumps(value, allow_nan=False))


@pytest.mark.parametrize("count", [0, 1, 6])
def test_a_recipe_comes_back_from_its_difference(search, recipe, count):
    other = changed(search, recipe, count)
    packer = RecipePacker(recipe)
    packed = through_json(packer.pack(other))
    assert packer.unpack(packed, other.fingerprint) == other


def test_a_base_comes_back(recipe):
    assert unpack_base(through_json(pack_base(recipe))) == recipe


def test_a_recipe_of_other_ops_is_packed_whole(recipe, make_search):
    other = make_search(layers=4).space().default()
    packer = RecipePacker(recipe)
    assert packer.unpack(through_json(packer.pack(other)), other.fingerprint) == other


def test_another_order_of_ops_is_kept(recipe):
    other = Recipe(dict(reversed(recipe.ops.items())), recipe.calib_samples)
    packer = RecipePacker(recipe)
    back = packer.unpack(through_json(packer.pack(other)), other.fingerprint)
    assert list(back.ops) == list(other.ops)


def test_a_recipe_that_is_not_what_it_was_is_refused(search, recipe):
    packer = RecipePacker(recipe)
    packed = packer.pack(changed(search, recipe, 2))
    with pytest.raises(ValueError, match=r"the recipe's fingerprint is \w{16}, not \w{16}"):
        packer.unpack(packed, recipe.fingerprint)


@pytest.mark.parametrize(
    "fields",
    [
        {"accuracy": float("nan")},
        {"accuracy": "0.5"},
        {"status": "splendid"},
        {"number": "1"},
        {"seconds": None},
        {"objectives": [1]},
        {"colour": "red"},
    ],
    ids=str,
)
def test_values_that_are_no_trial_are_refused(recipe, fields):
    packed = {**pack_trial(Trial(1, recipe, 0.5), RecipePacker(recipe)), **fields}
    with pytest.raises(ValueError, match="these are not the"):
        unpack_trial(packed, recipe)


@pytest.mark.parametrize(
    "fields",
    [{}, {"trial": 3, "fingerprint": "x"}, {"trial": {}, "fingerprint": None}, {"fingerprint": 1}],
    ids=str,
)
def test_records_of_another_kind_with_a_right_checksum_break_nothing(search, fields, caplog):
    journal = Journal()
    for kind in ("finished", "confirmed", "accepted", "base", "measured"):
        journal.append(kind, **fields)
    journal.append("measured", what="baseline", value=[1])
    journal.append("measured", what="baseline_scores", value=3)
    history = History(journal)
    recipe = search.space().default()
    assert history.baseline() is None
    assert history.scores() is None
    assert history.recall(1, recipe, recipe.fingerprint) is None
    assert history.confirmed(Trial(1, recipe)) is None
    assert list(trials_of(journal.records)) == []
    assert "1 journaled trial(s) make no sense and run again" in caplog.text
    history.finish(Trial(1, recipe, 0.5), recipe.fingerprint)
    assert [trial.recipe for trial in trials_of(journal.records)] == [recipe]


def test_a_lost_base_costs_a_report_its_ops_and_a_resumed_search_nothing(search):
    journal = Journal()
    recipe = search.space().default()
    History(journal).finish(Trial(1, recipe, 0.5), recipe.fingerprint)
    records = [record for record in journal.records if record.type != "base"]
    left = Journal()
    for record in records:
        left.append(record.type, **record.fields)
    assert next(trials_of(left.records)).recipe == Recipe({})
    assert History(left).recall(1, recipe, recipe.fingerprint).recipe == recipe
