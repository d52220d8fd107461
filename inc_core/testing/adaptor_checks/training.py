"""Checks of the abilities of adaptors whose models can be trained."""

# ruff: noqa: D102 - the name of a check is its sentence
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from inc_core.hookspecs.adaptor import Adaptor
from inc_core.hookspecs.training import NativeMasks, SimulatedOp, Trainable, WeightAccess
from inc_core.quant.calibrator import Calibration
from inc_core.quant.space import TuningSpace
from inc_core.testing.adaptor_checks.fixtures import AdaptorFixtures, Batch

__all__ = ["TrainingChecks"]


class TrainingChecks(AdaptorFixtures):
    """A model in training is a copy whose weights can be read and written in place."""

    @pytest.fixture
    def training_net(self, adaptor: Adaptor, source: Any, model: Any) -> Any:
        if not isinstance(adaptor, Trainable):
            pytest.skip("the adaptor cannot train")
        try:
            return adaptor.trainable(source)
        except TypeError:  # an UnsupportedModelError is one: nets of this kind are not trained
            pytest.skip("this model cannot be trained")

    def test_a_trainable_model_is_the_same_function(
        self, adaptor: Any, training_net: Any, model: Any, batches: Sequence[Batch]
    ) -> None:
        trained = adaptor.load(adaptor.finish_training(training_net).source)
        found, expected = (adaptor.predict(m, batches[0]) for m in (trained, model))
        assert np.allclose(found, expected, rtol=1e-4, atol=1e-5)

    def test_weights_that_are_written_are_read_and_used(
        self, adaptor: Any, training_net: Any, model: Any, batches: Sequence[Batch]
    ) -> None:
        _need(adaptor, WeightAccess)
        before = adaptor.digest(model)
        for name, shape in adaptor.weights(training_net).items():
            weight = adaptor.get_weight(training_net, name)
            assert weight.shape == shape, name
            assert weight.dtype == np.float32, name
            adaptor.set_weight(training_net, name, np.zeros_like(weight))
            assert not adaptor.get_weight(training_net, name).any(), name
            weight[...] = 1  # a copy: the net does not see this
            assert not adaptor.get_weight(training_net, name).any(), name
        trained = adaptor.load(adaptor.finish_training(training_net).source)
        output = adaptor.predict(trained, batches[0])
        assert np.allclose(output, output[:1]), "with zero weights every sample gives the same"
        assert adaptor.digest(model) == before

    def test_masks_zero_exactly_what_they_say(self, adaptor: Any, training_net: Any) -> None:
        _need(adaptor, WeightAccess)
        _need(adaptor, NativeMasks)
        rng = np.random.default_rng(0)
        before = {
            name: adaptor.get_weight(training_net, name) for name in adaptor.weights(training_net)
        }
        masks = {name: np.less(rng.random(weight.shape), 0.5) for name, weight in before.items()}
        apply = adaptor.masker(training_net, masks)
        for name, weight in before.items():
            adaptor.set_weight(training_net, name, weight + 1)
        apply()
        for name, weight in before.items():
            expected = np.where(masks[name], weight + 1, 0)
            assert np.array_equal(adaptor.get_weight(training_net, name), expected), name

    def test_learnt_ranges_are_those_of_static_ops(
        self, adaptor: Any, training_net: Any, space: TuningSpace
    ) -> None:
        ops = {
            op: SimulatedOp(config, space.capability(op).activations)
            for op, config in space.default().ops.items()
            if config.mode == "static"
        }
        keys = {key for op in ops.values() for key in op.activations}
        if not keys:
            pytest.skip("the best configs are not static")
        prepared = adaptor.prepare_training(training_net, ops, dict.fromkeys(keys, (-1.0, 2.0)))
        trained = adaptor.finish_training(prepared)
        assert set(trained.ranges) <= keys
        calibration = Calibration.none().with_learned(trained.ranges)
        for key in trained.ranges:
            assert calibration.range(key) == pytest.approx((-1.0, 2.0), rel=1e-5)


def _need(adaptor: Any, ability: type) -> None:
    if not isinstance(adaptor, ability):
        pytest.skip(f"the adaptor has not the ability {ability.__name__}")
