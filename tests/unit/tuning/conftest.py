"""A toy search whose outcome is known: ``make_job`` and the pieces it is made of."""

from __future__ import annotations

import resource
from contextlib import contextmanager
from dataclasses import replace

import pytest

from inc_core.hookspecs.adaptor import AdaptorContext
from inc_core.quant.calibrator import Calibrator
from inc_core.quant.space import TuningSpace
from inc_core.strategies.basic import BasicStrategy
from inc_core.testing.toy import ToyAccuracy, make_classifier, make_data
from inc_core.testing.toy.adaptor import ToyAdaptor
from inc_core.tuning.evaluate import MetricEvaluator
from inc_core.tuning.job import TuningJob

SAMPLES = 64
SPREAD = 100.0


class CountingAdaptor(ToyAdaptor):
    """Counts what is expensive."""

    def __init__(self, context):
        super().__init__(context)
        self.observed = self.rewritten = self.quantized = 0

    def observe(self, model, batches, observers):
        self.observed += 1
        super().observe(model, batches, observers)

    def rewrite(self, model, options):
        self.rewritten += 1
        return super().rewrite(model, options)

    def quantize(self, model, recipe, calibration):
        self.quantized += 1
        return super().quantize(model, recipe, calibration)


class ToySearch:
    """A job on a ``make_classifier`` model of which two layers must stay float."""

    def __init__(self, culprits=(1, 3), spread_layers=(), layers=6, spread=SPREAD):
        self.adaptor = CountingAdaptor(AdaptorContext("toy", approach="static"))
        self.model = make_classifier(
            layers=layers, culprits=culprits, spread_layers=spread_layers, spread=spread
        )
        self.data = make_data(make_classifier(layers=layers), SAMPLES)
        self.batches = [(self.data.inputs, self.data.labels)]

    def space(self):
        capabilities = tuple(
            replace(capability, configs=(capability.configs[0], capability.configs[-1]))
            for capability in self.adaptor.capabilities(self.model)
        )
        rewrites = self.adaptor.rewrites(self.model)
        option_sets = ((), tuple(rewrites)) if "cross_layer_equalization" in rewrites else ((),)
        return TuningSpace(capabilities, (SAMPLES,), option_sets)

    def calibrate(self, model, options):
        space = self.space()
        keys = [key for c in space.capabilities for key in c.activations]
        return Calibrator(
            observe=lambda inputs, observers: self.adaptor.observe(model, inputs, observers),
            batches=lambda: iter([self.data.inputs]),
            keys=keys,
            sizes=(SAMPLES,),
            algorithms=["minmax"],
            channel_keys=keys if "bias_correction" in options else (),
            rules={},
        )

    def job(self, **changes):
        pieces = {
            "adaptor": self.adaptor,
            "model": self.model,
            "space": self.space(),
            "strategy": BasicStrategy(),
            "calibrate": self.calibrate,
            "evaluator": MetricEvaluator(self.adaptor, self.batches, ToyAccuracy),
            "say": lambda line: None,
            **changes,
        }
        return TuningJob(**pieces)


@pytest.fixture
def disk_of():
    """A context in which no file of this process grows beyond a size, as on a full disk."""

    @contextmanager
    def limited(bytes_per_file):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_per_file, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited


@pytest.fixture
def search():
    return ToySearch()


@pytest.fixture
def make_search():
    return ToySearch
