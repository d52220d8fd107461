"""Checks of ``quantize``."""

# ruff: noqa: D102 - the name of a check is its sentence
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from inc_core.errors import CalibrationError, QuantizationError
from inc_core.hookspecs.adaptor import Adaptor, IntegerWeights
from inc_core.quant.calibrator import Calibration
from inc_core.quant.recipe import Recipe
from inc_core.quant.space import TuningSpace
from inc_core.quant.spec import FP32, OpConfig
from inc_core.quant.weights import quantize_weight
from inc_core.testing.adaptor_checks.fixtures import AdaptorFixtures, Batch
from inc_core.testing.adaptor_checks.measuring import (
    as_tuple,
    assert_same_bits,
)
from inc_core.testing.oracle import snr_db

__all__ = ["QuantizingChecks"]


class QuantizingChecks(AdaptorFixtures):
    """Recipes are built exactly, and without touching the float model."""

    def test_all_float_recipe_reproduces_the_float_outputs_exactly(
        self, adaptor: Adaptor, model: Any, space: TuningSpace, batches: Sequence[Batch]
    ) -> None:
        recipe = Recipe({capability.op: FP32 for capability in space.capabilities})
        copy = adaptor.quantize(model, recipe, Calibration.none())
        assert_same_bits(adaptor.predict(copy, batches[0]), adaptor.predict(model, batches[0]))

    def test_every_offered_config_can_be_built_and_predicts_finite_values(
        self,
        adaptor: Adaptor,
        model: Any,
        space: TuningSpace,
        calibration: Calibration,
        batches: Sequence[Batch],
    ) -> None:
        shapes = [output.shape for output in as_tuple(adaptor.predict(model, batches[0]))]
        for config in dict.fromkeys(c for op in space.ops for c in space.options(op)):
            built = adaptor.quantize(model, _everywhere(space, config), calibration)
            outputs = as_tuple(adaptor.predict(built, batches[0]))
            assert [output.shape for output in outputs] == shapes, str(config)
            assert all(np.isfinite(output).all() for output in outputs), str(config)

    def test_each_op_can_be_quantized_alone(
        self,
        adaptor: Adaptor,
        model: Any,
        space: TuningSpace,
        calibration: Calibration,
        batches: Sequence[Batch],
    ) -> None:
        expected = adaptor.predict(model, batches[0])
        for op in space.ops:
            alone = {other: space.options(other)[0] for other in space.group(op)}
            built = adaptor.quantize(model, space.all_float().with_ops(alone), calibration)
            snr = snr_db(expected, adaptor.predict(built, batches[0]))
            assert snr >= self.min_snr_db, f"{op}: {snr:.1f} dB"

    def test_quantize_leaves_the_model_unchanged(
        self, adaptor: Adaptor, model: Any, space: TuningSpace, calibration: Calibration
    ) -> None:
        before = adaptor.digest(model)
        quantized = adaptor.quantize(model, space.default(), calibration)
        assert adaptor.digest(model) == before
        assert adaptor.digest(quantized) != before

    def test_quantizing_twice_gives_one_digest(
        self,
        adaptor: Adaptor,
        model: Any,
        space: TuningSpace,
        calibration: Calibration,
        quantized: Any,
    ) -> None:
        again = adaptor.quantize(model, space.default(), calibration)
        assert adaptor.digest(again) == adaptor.digest(quantized)

    def test_best_configs_stay_within_the_stated_noise(
        self, adaptor: Adaptor, model: Any, quantized: Any, batches: Sequence[Batch]
    ) -> None:
        snr = snr_db(adaptor.predict(model, batches[0]), adaptor.predict(quantized, batches[0]))
        assert snr >= self.min_snr_db, f"{snr:.1f} dB"

    def test_best_configs_agree_with_the_oracle(
        self,
        adaptor: Adaptor,
        model: Any,
        space: TuningSpace,
        calibration: Calibration,
        quantized: Any,
        batches: Sequence[Batch],
    ) -> None:
        expected = self.oracle_outputs(model, space.default(), calibration, batches[0])
        if expected is None:
            pytest.skip("this suite gives no oracle")
        snr = snr_db(expected, adaptor.predict(quantized, batches[0]))
        assert snr >= self.oracle_snr_db, f"{snr:.1f} dB"

    def test_integer_weights_are_those_of_the_core(
        self, adaptor: Adaptor, model: Any, space: TuningSpace, quantized: Any
    ) -> None:
        if not isinstance(adaptor, IntegerWeights):
            pytest.skip("the adaptor does not show integer weights")
        weights = adaptor.integer_weights(quantized)
        assert weights, "a quantized model has integer weights"
        for name, q_weight in weights.items():
            found = self.reference_weight(model, name)
            if found is not None:
                op, weight, axis = found
                spec = space.options(op)[0].weight
                assert spec is not None
                expected, _ = quantize_weight(weight, spec, axis)
                np.testing.assert_array_equal(q_weight, expected, err_msg=name)

    def test_static_ops_without_calibration_are_a_calibration_error(
        self, adaptor: Adaptor, model: Any, space: TuningSpace
    ) -> None:
        if not any(config.mode == "static" for config in space.default().ops.values()):
            pytest.skip("the best configs are not static")
        with pytest.raises(CalibrationError):
            adaptor.quantize(model, space.default(), Calibration.none())

    def test_unknown_op_in_a_recipe_is_a_quantization_error(
        self, adaptor: Adaptor, model: Any, space: TuningSpace
    ) -> None:
        op = space.ops[0]
        recipe = Recipe({op._replace(name="no_such_op"): space.options(op)[0]})
        with pytest.raises(QuantizationError, match="no_such_op"):
            adaptor.quantize(model, recipe, Calibration.none())


def _everywhere(space: TuningSpace, config: OpConfig) -> Recipe:
    """Return the recipe in which every op that offers ``config`` runs it; the others are float."""
    offering = {op: config for op in space.ops if config in space.options(op)}
    return space.all_float().with_ops(offering)
