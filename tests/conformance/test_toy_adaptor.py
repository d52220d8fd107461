"""The toy adaptor keeps the contract of adaptors, in every approach."""

from __future__ import annotations

import numpy as np
import pytest

from inc_core.hookspecs.adaptor import AdaptorContext
from inc_core.quant.qparams import choose_qparams
from inc_core.quant.spec import TensorKey
from inc_core.quant.weights import quantize_weight
from inc_core.testing.adaptor_suite import AdaptorSuite
from inc_core.testing.oracle import fake_quantized_linear
from inc_core.testing.toy import make_classifier, make_model, save_model
from inc_core.testing.toy.adaptor import ToyAdaptor


def vectors(*names):
    rng = np.random.default_rng(7)
    return [{name: rng.normal(size=(8, 16)).astype(np.float32) for name in names} for _ in range(4)]


class ToySuite(AdaptorSuite):
    """What the suites of all approaches share: a chain of layers, saved in a directory."""

    min_snr_db = 25.0
    # one value that rounds to the other side moves a whole step; with 16 features that shows
    oracle_snr_db = 80.0

    @pytest.fixture
    def source(self, tmp_path_factory):
        directory = tmp_path_factory.mktemp("chain") / "chain.toy"
        directory.mkdir()
        save_model(make_classifier(), directory)
        return directory

    @pytest.fixture
    def batches(self):
        return vectors("x")

    def reference_weight(self, model, name):
        node = model.node(name)
        return node.key, node.arrays["weight"], 0

    def oracle_outputs(self, model, recipe, calibration, batch):
        values = dict(batch)
        for node in model.nodes:
            if node.type == "Relu":
                values[node.name] = np.maximum(values[node.inputs[0]], 0)
            else:
                values[node.name] = self.oracle_linear(
                    node, recipe.ops[node.key], calibration, values[node.inputs[0]]
                )
        return values[model.outputs[0]]

    def oracle_linear(self, node, config, calibration, x):
        _, weight_qparams = quantize_weight(node.arrays["weight"], config.weight, 0)
        input_qparams = self.input_qparams(node, config, calibration, x)
        return fake_quantized_linear(
            x, node.arrays["weight"], node.arrays["bias"], input_qparams, weight_qparams
        )


class TestStatic(ToySuite):
    @pytest.fixture
    def adaptor(self):
        return ToyAdaptor(AdaptorContext("toy"))

    def input_qparams(self, node, config, calibration, x):
        key = TensorKey(node.inputs[0])
        return calibration.qparams(key, config.activation)


class TestDynamic(ToySuite):
    @pytest.fixture
    def adaptor(self):
        return ToyAdaptor(AdaptorContext("toy", approach="dynamic"))

    def input_qparams(self, node, config, calibration, x):
        lo, hi = np.float32(min(x.min(), 0)), np.float32(max(x.max(), 0))
        return choose_qparams(np.asarray(lo), np.asarray(hi), config.activation)


class TestWeightOnly(ToySuite):
    min_snr_db = 8.0  # four layers of 4-bit weights

    @pytest.fixture
    def adaptor(self):
        return ToyAdaptor(AdaptorContext("toy", approach="weight_only"))

    def input_qparams(self, node, config, calibration, x):
        return None


class TestManyInputsAndOutputs(AdaptorSuite):
    @pytest.fixture
    def adaptor(self):
        return ToyAdaptor(AdaptorContext("toy", approach="auto"))

    @pytest.fixture
    def source(self):
        return make_model()

    @pytest.fixture
    def batches(self):
        return vectors("a", "b")
