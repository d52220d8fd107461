"""The suite notices adaptors that break the contract, each by the check that is named for it."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from inc_core.hookspecs.adaptor import AdaptorContext
from inc_core.quant.space import TuningSpace
from inc_core.quant.spec import OpKey
from inc_core.testing.adaptor_checks.measuring import calibrate
from inc_core.testing.adaptor_suite import AdaptorSuite
from inc_core.testing.toy import ToyModel, make_classifier
from inc_core.testing.toy.adaptor import ToyAdaptor

SUITE = AdaptorSuite()
RNG = np.random.default_rng(1)
BATCHES = [{"x": RNG.normal(size=(8, 16)).astype(np.float32)} for _ in range(4)]


class Bench:
    """An adaptor with everything that checks take."""

    def __init__(self, adaptor_class):
        self.adaptor = adaptor_class(AdaptorContext("toy"))
        self.model = make_classifier()
        self.space = TuningSpace(tuple(self.adaptor.capabilities(self.model)))
        self.calibration = calibrate(self.adaptor, self.model, self.space, BATCHES)

    @property
    def quantized(self):
        return self.adaptor.quantize(self.model, self.space.default(), self.calibration)


def test_changed_source_is_noticed():
    class Careless(ToyAdaptor):
        def quantize(self, model, recipe, calibration):
            built = super().quantize(model, recipe, calibration)
            object.__setattr__(model, "nodes", built.nodes)
            return built

    bench = Bench(Careless)
    with pytest.raises(AssertionError):
        SUITE.test_quantize_leaves_the_model_unchanged(
            bench.adaptor, bench.model, bench.space, bench.calibration
        )


def test_inexact_float_recipe_is_noticed():
    class Inexact(ToyAdaptor):
        def quantize(self, model, recipe, calibration):
            head = model.nodes[-1]
            arrays = {**head.arrays, "bias": head.arrays["bias"] * np.float32(1.000001)}
            return model.with_nodes([replace(head, arrays=arrays)])

    bench = Bench(ToyAdaptor)
    adaptor = Inexact(AdaptorContext("toy"))
    with pytest.raises(AssertionError):
        SUITE.test_all_float_recipe_reproduces_the_float_outputs_exactly(
            adaptor, bench.model, bench.space, BATCHES
        )


def test_hoarded_batches_are_noticed():
    class Hoarding(ToyAdaptor):
        def observe(self, model, batches, observers):
            super().observe(model, list(batches), observers)

    bench = Bench(Hoarding)
    with pytest.raises(AssertionError, match="23 batches were drawn before one was fed"):
        SUITE.test_observe_holds_few_batches(bench.adaptor, bench.model, bench.space, BATCHES)


def test_unfed_observer_is_noticed():
    class Forgetful(ToyAdaptor):
        def observe(self, model, batches, observers):
            super().observe(model, batches, dict(itertools.islice(observers.items(), 1)))

    bench = Bench(ToyAdaptor)
    adaptor = Forgetful(AdaptorContext("toy"))
    with pytest.raises(AssertionError, match="was fed 0 times"):
        SUITE.test_observe_feeds_every_activation_that_is_asked_for(
            adaptor, bench.model, bench.space, BATCHES
        )


def test_equal_names_are_noticed():
    class Naming(ToyAdaptor):
        def capabilities(self, model):
            return [replace(c, op=OpKey("fc", c.op.type)) for c in super().capabilities(model)]

    space = TuningSpace(tuple(Naming(AdaptorContext("toy")).capabilities(make_classifier())))
    with pytest.raises(AssertionError):
        SUITE.test_op_names_are_unique(space)


def test_lossy_saving_is_noticed(tmp_path):
    class Lossy(ToyAdaptor):
        def save(self, model, directory):
            head = model.nodes[-1]
            arrays = {**head.arrays, "bias": head.arrays["bias"].astype(np.float16)}
            super().save(model.with_nodes([replace(head, arrays=arrays)]), directory)

    bench = Bench(Lossy)
    with pytest.raises(AssertionError):
        SUITE.test_restored_model_has_the_digest_of_the_saved_one(
            bench.adaptor, bench.quantized, tmp_path
        )


def test_swallowed_corruption_is_noticed(tmp_path):
    class Trusting(ToyAdaptor):
        def restore(self, directory):
            assert isinstance(directory, Path)
            return ToyModel({"x": 16}, (), ("x",))

    bench = Bench(Trusting)
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        SUITE.test_truncated_artefact_is_an_unsupported_model_error(
            bench.adaptor, bench.model, tmp_path
        )


def test_silent_ledger_is_noticed():
    class Silent(ToyAdaptor):
        def executed(self, model):
            return {}

    bench = Bench(Silent)
    with pytest.raises(AssertionError):
        SUITE.test_executed_covers_each_op(bench.adaptor, bench.quantized, bench.space)
