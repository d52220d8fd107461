from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from inc_core.data.content import digest_of_arrays
from inc_core.errors import DataError, QuantizationError
from inc_core.hookspecs.adaptor import AdaptorContext
from inc_core.objectives import Performance
from inc_core.testing.toy.adaptor import ToyAdaptor
from inc_core.tuning.cache import Cache
from inc_core.tuning.job import WeightedObjective
from inc_core.tuning.journal import Journal
from inc_core.tuning.measurements import (
    JobMeasurements,
    kinds,
    samples_of_evaluation,
    sweep_samples,
)
from inc_core.tuning.probes import Probes
from inc_core.tuning.trial import Baseline

KEY = {"model": "toy"}


@pytest.fixture
def make_job(search, tmp_path):
    def make(**changes):
        pieces = {"probe_inputs": lambda: iter([search.data.inputs]), "sample": search.data.inputs}
        return search.job(**{**pieces, **changes})

    return make


class TestSensitivity:
    def test_the_ops_that_int8_breaks_stand_out(self, make_job, search):
        found = JobMeasurements(make_job()).sensitivity()
        assert [op.name for op in found] == [op.name for op in search.space().ops]
        worst = {op.name: max(by_config.values()) for op, by_config in found.items()}
        culprits = [worst[name] for name in ("fc1", "fc3")]
        assert min(culprits) > 20 * max(v for n, v in worst.items() if n not in ("fc1", "fc3"))

    def test_only_the_best_config_of_each_kind_is_measured(self, make_job, search):
        space = make_job().space
        found = JobMeasurements(make_job()).sensitivity()
        for op in space.ops:
            assert tuple(found[op]) == kinds(space, op) == (space.options(op)[0],)

    def test_without_inputs_there_is_none(self, make_job):
        measure = JobMeasurements(make_job(probe_inputs=None))
        assert measure.sensitivity() is None
        assert measure.divergence(make_job().space.default(), 8) is None

    def test_a_recipe_that_cannot_be_built_is_infinitely_bad(self, make_job, search, monkeypatch):
        def refuse(model, recipe, calibration):
            raise QuantizationError("no kernel")

        job = make_job()
        monkeypatch.setattr(search.adaptor, "quantize", refuse)
        assert JobMeasurements(job).divergence(job.space.default(), 8) == math.inf
        assert JobMeasurements(job).divergence(job.space.default(), 8) == math.inf

    @pytest.mark.parametrize(
        ("probes", "evaluated", "samples"),
        [
            pytest.param(10, 0, 64, id="unknown size"),
            pytest.param(10, 10_000, 64, id="few probes"),
            pytest.param(100, 10_000, 50, id="many probes"),
            pytest.param(1000, 10_000, 16, id="very many probes"),
            pytest.param(100, 500, 10, id="few samples"),
            pytest.param(72, 96, 4, id="very few samples"),
            pytest.param(0, 100, 64, id="nothing to probe"),
        ],
    )
    def test_a_sweep_stays_a_part_of_an_evaluation(self, probes, evaluated, samples):
        assert sweep_samples(probes, evaluated) == samples

    def test_an_opaque_evaluation_is_weighed_by_its_time(self, make_job):
        job = make_job(objectives=[WeightedObjective("performance", Performance())])
        name, batch = "performance", len(job.sample)
        opaque = Baseline(1.0, {name: 0.01}, seconds=0.35)
        assert samples_of_evaluation(job, opaque) == 1 << (35 * batch).bit_length() - 1
        assert samples_of_evaluation(job, replace(opaque, samples=300)) == 300
        assert samples_of_evaluation(job, replace(opaque, objectives={})) == 0

    def test_one_probe_costs_no_more_than_two_evaluations(self, make_job):
        job = make_job()
        measure = JobMeasurements(job, 4)
        measure.divergence(job.space.default(), 64)
        assert [fields["samples"] for fields in job.journal.of("measured")] == [8]


class Sweeping(ToyAdaptor):
    """Estimates for all ops at once; counts how often, and the samples of each batch."""

    def __init__(self, refuses=False):
        super().__init__(AdaptorContext("toy"))
        self.batches, self.refuses = [], refuses

    def sensitivity(self, model, wanted, batches):
        self.batches.append([len(batch) for batch in batches])
        if self.refuses:
            raise QuantizationError("no gradient")
        return {
            op: {c: float(i) for c in configs} for i, (op, configs) in enumerate(wanted.items())
        }


class TestSweep:
    def test_an_adaptors_own_sweep_stands_in_for_probes(self, make_job):
        adaptor, journal = Sweeping(), Journal()
        job = make_job(adaptor=adaptor, journal=journal)
        found = JobMeasurements(job).sensitivity()
        assert [max(row.values()) for row in found.values()] == list(map(float, range(len(found))))
        assert set(found) == set(job.space.ops)
        assert max(adaptor.batches[0]) <= 16 and sum(adaptor.batches[0]) <= 64

    def test_a_resumed_run_does_not_sweep_again(self, make_job):
        adaptor, journal = Sweeping(), Journal()
        first = JobMeasurements(make_job(adaptor=adaptor, journal=journal)).sensitivity()
        assert JobMeasurements(make_job(adaptor=adaptor, journal=journal)).sensitivity() == first
        assert len(adaptor.batches) == 1

    def test_a_sweep_that_fails_is_made_up_for_by_probes(self, make_job):
        found = JobMeasurements(make_job(adaptor=Sweeping(refuses=True))).sensitivity()
        assert max(max(row.values()) for row in found.values()) > 0


class TestDivergence:
    def test_it_is_nothing_for_the_float_recipe(self, make_job):
        job = make_job()
        assert JobMeasurements(job).divergence(job.space.all_float(), 32) == 0.0

    def test_more_samples_than_there_are_change_nothing(self, make_job):
        measure = JobMeasurements(job := make_job())
        recipe = job.space.default()
        assert measure.divergence(recipe, 64) == measure.divergence(recipe, 1000) > 0

    def test_a_resumed_run_is_given_the_same_answers_without_measuring(self, make_job, search):
        journal = Journal()
        first = JobMeasurements(make_job(journal=journal)).sensitivity()
        built = search.adaptor.quantized
        assert JobMeasurements(make_job(journal=journal)).sensitivity() == first
        assert search.adaptor.quantized == built

    def test_another_run_of_the_same_problem_finds_it_in_the_cache(
        self, make_job, search, tmp_path
    ):
        first = JobMeasurements(make_job(cache=Cache(tmp_path), content_key=KEY)).sensitivity()
        built = search.adaptor.quantized
        again = JobMeasurements(make_job(cache=Cache(tmp_path), content_key=KEY)).sensitivity()
        assert again == first
        assert search.adaptor.quantized == built
        other = make_job(cache=Cache(tmp_path), content_key={"model": "another"})
        JobMeasurements(other).sensitivity()
        assert search.adaptor.quantized == 2 * built

    def test_without_a_key_nothing_is_taken_from_the_cache(self, make_job, search, tmp_path):
        for _ in range(2):
            job = make_job(cache=Cache(tmp_path))
            JobMeasurements(job).divergence(job.space.default(), 8)
        assert search.adaptor.quantized == 2


class TestLatency:
    def test_the_table_is_measured_once_per_run(self, make_job, search, monkeypatch):
        measure = JobMeasurements(job := make_job())
        table = measure.latency()
        monkeypatch.setattr(search.adaptor, "time_ops", None)  # would fail if it were called
        assert JobMeasurements(job).latency() == table
        assert set(table.seconds) == set(job.space.ops)

    def test_work_is_the_float_time(self, make_job):
        measure = JobMeasurements(job := make_job())
        table = measure.latency()
        assert measure.work() == {
            op: table.seconds[op][job.space.fallback(op)] for op in job.space.ops
        }

    def test_without_a_sample_nothing_is_known(self, make_job):
        measure = JobMeasurements(make_job(sample=None))
        assert measure.latency() is None
        assert measure.work() == {}

    def test_what_the_adaptor_learned_is_kept_for_other_runs(
        self, make_job, search, tmp_path, monkeypatch
    ):
        seen = []
        measured = search.adaptor.time_ops

        def time_ops(model, capabilities, sample_inputs, known):
            seen.append(dict(known))
            known["conv 1x1"] = [0.5]
            return measured(model, capabilities, sample_inputs, known)

        monkeypatch.setattr(search.adaptor, "time_ops", time_ops)
        for _ in range(2):
            JobMeasurements(make_job(cache=Cache(tmp_path))).latency()
        assert seen == [{}, {"conv 1x1": [0.5]}]


class FixedBatch(ToyAdaptor):
    """Takes batches of 64 alone, as a model exported with a fixed shape does."""

    def predict(self, model, inputs):
        if len(inputs) != 64:
            raise DataError("the batch must be 64")
        return super().predict(model, inputs)


class Counting(ToyAdaptor):
    """Notes how many samples each batch has."""

    def __init__(self, context):
        super().__init__(context)
        self.lengths = []

    def predict(self, model, inputs):
        self.lengths.append(len(inputs))
        return super().predict(model, inputs)


class TestProbes:
    @pytest.mark.parametrize("adaptor_class", [ToyAdaptor, FixedBatch], ids=["any", "fixed batch"])
    def test_samples_are_counted_whatever_batches_the_model_takes(self, search, adaptor_class):
        adaptor = adaptor_class(AdaptorContext("toy"))
        probes = Probes(
            adaptor, search.model, lambda: iter([search.data.inputs] * 4), Cache(None), {}
        )
        assert probes.samples == 128
        assert probes.divergence(search.model, 40) == 0.0

    def test_no_more_samples_run_than_are_compared(self, search):
        adaptor = Counting(AdaptorContext("toy"))
        probes = Probes(
            adaptor, search.model, lambda: iter([search.data.inputs] * 4), Cache(None), {}
        )
        adaptor.lengths.clear()
        for _ in range(2):
            probes.divergence(search.model, 4)
        assert adaptor.lengths == [4, 4, 4]  # the float model, and twice the one that is compared

    def test_more_samples_run_the_float_model_on_the_rest_alone(self, search):
        adaptor = Counting(AdaptorContext("toy"))
        batches = partial(iter, [search.data.inputs] * 4)
        probes = Probes(adaptor, search.model, batches, Cache(None), {})
        probes.divergence(search.model, 6)
        adaptor.lengths.clear()
        assert probes.divergence(search.model, 12) == 0.0
        assert adaptor.lengths == [4] + [4] * 3

    def test_float_outputs_are_found_in_the_cache(self, search, tmp_path):
        batches = partial(iter, [search.data.inputs] * 4)
        for expected in ([4, 4], [4]):
            adaptor = Counting(AdaptorContext("toy"))
            probes = Probes(adaptor, search.model, batches, Cache(tmp_path), {"model": "a"})
            adaptor.lengths.clear()
            assert probes.divergence(search.model, 4) == 0.0
            assert adaptor.lengths == expected

    def test_digests_tell_nests_and_dtypes_apart(self):
        x = np.arange(4, dtype=np.float32)
        given = [x, x.astype(np.float64), (x, x), {"a": x}, {"b": x}, x.reshape(2, 2)]
        assert len({digest_of_arrays(value) for value in given}) == len(given)
