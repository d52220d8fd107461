"""A worker that would give other accuracies is refused, in words."""

from __future__ import annotations

import numpy as np
import pytest

from inc_core.hookspecs.adaptor import AdaptorContext
from inc_core.testing.toy.adaptor import ToyAdaptor
from inc_core.tuning.runner.preflight import expectations, mismatches, output_problem


@pytest.fixture
def adaptor():
    return ToyAdaptor(AdaptorContext("toy"))


def test_this_machine_is_like_itself(adaptor):
    assert mismatches(expectations(adaptor), adaptor) == []


def test_another_version_is_named_with_both(adaptor):
    expected = expectations(adaptor)
    expected["versions"]["numpy"] = "0.1"
    assert mismatches(expected, adaptor) == [f"numpy is {np.__version__} there and 0.1 here"]


def test_a_runtime_that_is_missing_is_named(adaptor):
    expected = expectations(adaptor)
    expected["versions"]["runtime"] = "1.0"
    assert mismatches(expected, adaptor) == ["runtime is missing there and 1.0 here"]


def test_a_processor_with_other_integer_instructions_is_refused(adaptor):
    expected = expectations(adaptor)
    expected["flags"] = [*expected["flags"], "avx99_vnni"]
    (problem,) = mismatches(expected, adaptor)
    assert problem == "its processor computes integers in another way (avx99_vnni differ)"


class TestOutputs:
    def test_rounding_is_no_difference(self):
        outputs = np.linspace(-3, 3, 50, dtype=np.float32)
        assert output_problem(outputs, outputs * np.float32(1 + 1e-5)) == ""

    def test_another_value_is_one(self):
        outputs = np.ones(4)
        assert "differ by 0.5, the largest is 1" in output_problem(outputs, outputs * 1.5)

    def test_nan_is_one(self):
        outputs = np.ones(4)
        assert "does not reproduce" in output_problem(outputs, outputs * np.nan)

    def test_other_shapes_are_one(self):
        assert "other shapes" in output_problem((np.ones(4), np.ones(2)), np.ones(4))

    def test_classes_may_change(self):
        assert output_problem(np.array([1, 2]), np.array([2, 1])) == ""
