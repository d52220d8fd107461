"""Checks of ``predict``."""

# ruff: noqa: D102 - the name of a check is its sentence
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from inc_core.errors import DataError
from inc_core.hookspecs.adaptor import Adaptor
from inc_core.testing.adaptor_checks.fixtures import AdaptorFixtures, Batch
from inc_core.testing.adaptor_checks.measuring import (
    as_tuple,
    assert_same_bits,
)

__all__ = ["PredictingChecks"]


class PredictingChecks(AdaptorFixtures):
    """Inputs come in every form; wrong ones are named."""

    def test_mapping_and_tuple_give_the_same(
        self, adaptor: Adaptor, model: Any, batches: Sequence[Batch]
    ) -> None:
        by_name = adaptor.predict(model, dict(batches[0]))
        assert_same_bits(adaptor.predict(model, tuple(batches[0].values())), by_name)
        assert_same_bits(adaptor.predict(model, list(batches[0].values())), by_name)

    def test_one_input_may_be_a_bare_array(
        self, adaptor: Adaptor, model: Any, batches: Sequence[Batch]
    ) -> None:
        if len(batches[0]) > 1:
            pytest.skip("the model has several inputs")
        (array,) = batches[0].values()
        assert_same_bits(adaptor.predict(model, array), adaptor.predict(model, batches[0]))

    def test_predict_gives_arrays_with_the_batch_first(
        self, adaptor: Adaptor, model: Any, batches: Sequence[Batch]
    ) -> None:
        size = len(next(iter(batches[0].values())))
        outputs = as_tuple(adaptor.predict(model, batches[0]))
        assert all(isinstance(output, np.ndarray) and len(output) == size for output in outputs)

    def test_predict_leaves_inputs_alone(
        self, adaptor: Adaptor, quantized: Any, batches: Sequence[Batch]
    ) -> None:
        copies = {name: array.copy() for name, array in batches[0].items()}
        adaptor.predict(quantized, batches[0])
        assert_same_bits(tuple(batches[0].values()), tuple(copies.values()))

    def test_unknown_input_name_is_a_data_error(
        self, adaptor: Adaptor, model: Any, batches: Sequence[Batch]
    ) -> None:
        wrong = {f"no_{name}": array for name, array in batches[0].items()}
        with pytest.raises(DataError, match=next(iter(wrong))):
            adaptor.predict(model, wrong)

    def test_one_array_too_many_is_a_data_error(
        self, adaptor: Adaptor, model: Any, batches: Sequence[Batch]
    ) -> None:
        arrays = tuple(batches[0].values())
        with pytest.raises(DataError, match=str(len(arrays) + 1)):
            adaptor.predict(model, (*arrays, arrays[0]))

    def test_wrong_rank_is_a_data_error_that_names_the_input(
        self, adaptor: Adaptor, model: Any, batches: Sequence[Batch]
    ) -> None:
        name, array = next(iter(batches[0].items()))
        with pytest.raises(DataError, match=name):
            adaptor.predict(model, {**batches[0], name: array[..., np.newaxis]})

    def test_text_is_a_data_error(
        self, adaptor: Adaptor, model: Any, batches: Sequence[Batch]
    ) -> None:
        name, array = next(iter(batches[0].items()))
        with pytest.raises(DataError, match=name):
            adaptor.predict(model, {**batches[0], name: array.astype(str)})
