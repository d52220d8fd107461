"""What every metric must do, as pytest tests that its author inherits."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from inc_core.hookspecs.metric import Metric

__all__ = ["MetricSuite"]

SPLITS = 8


class MetricSuite:
    """Proves any metric. Inherit, give metric, data and value, and pytest runs every test.

    Attributes:
        order_matters: Whether another order of samples may give another value.
        tolerance: Relative and absolute difference that rounding may make.

    Example::

        class TestAgreement(MetricSuite):
            @pytest.fixture
            def make_metric(self):
                return Agreement

            @pytest.fixture
            def predictions(self):
                return np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])

            @pytest.fixture
            def labels(self):
                return np.array([0, 1, 1])

            @pytest.fixture
            def expected(self):
                return 2 / 3
    """

    order_matters = False
    tolerance = 1e-9

    @pytest.fixture
    def make_metric(self) -> Callable[[], Metric]:
        """Give the metric's class, or a function without arguments that makes one."""
        raise NotImplementedError("override the fixture `make_metric`")

    @pytest.fixture
    def predictions(self) -> Any:
        """Give outputs for at least 3 samples: an array, or a tuple of arrays."""
        raise NotImplementedError("override the fixture `predictions`")

    @pytest.fixture
    def labels(self) -> Any:
        """Give as many labels: an array, or a tuple or mapping of arrays."""
        raise NotImplementedError("override the fixture `labels`")

    @pytest.fixture
    def expected(self) -> float:
        """Give the value over all samples, computed in another way."""
        raise NotImplementedError("override the fixture `expected`")

    def test_one_batch_gives_the_expected_value(
        self, make_metric: Callable[[], Metric], predictions: Any, labels: Any, expected: float
    ) -> None:
        """All samples in a single update."""
        metric = make_metric()
        metric.update(predictions, labels)
        self._assert_close(metric.result(), expected)

    def test_single_samples_give_the_expected_value(
        self, make_metric: Callable[[], Metric], predictions: Any, labels: Any, expected: float
    ) -> None:
        """Batches of one."""
        sizes = [1] * _length(labels)
        self._assert_close(_value(make_metric(), predictions, labels, sizes), expected)

    def test_a_short_last_batch_weighs_less(
        self, make_metric: Callable[[], Metric], predictions: Any, labels: Any, expected: float
    ) -> None:
        """A mean of the batches' values would give the last sample too much weight."""
        sizes = [_length(labels) - 1, 1]
        self._assert_close(_value(make_metric(), predictions, labels, sizes), expected)

    def test_any_split_into_batches_gives_the_expected_value(
        self, make_metric: Callable[[], Metric], predictions: Any, labels: Any, expected: float
    ) -> None:
        """Batches of random sizes, uneven ones among them."""
        rng = np.random.default_rng(0)
        for _ in range(SPLITS):
            sizes = _random_sizes(rng, _length(labels))
            value = _value(make_metric(), predictions, labels, sizes)
            self._assert_close(value, expected, f"in batches of {sizes}")

    def test_order_of_samples_does_not_matter(
        self, make_metric: Callable[[], Metric], predictions: Any, labels: Any, expected: float
    ) -> None:
        """Unless ``order_matters`` says that it may."""
        if self.order_matters:
            pytest.skip("the metric states that order matters")
        order = np.random.default_rng(1).permutation(_length(labels))
        shuffled = (_rows(predictions, order), _rows(labels, order))
        sizes = _random_sizes(np.random.default_rng(2), len(order))
        self._assert_close(_value(make_metric(), *shuffled, sizes), expected)

    def test_result_is_one_finite_number(
        self, make_metric: Callable[[], Metric], predictions: Any, labels: Any
    ) -> None:
        """A Python or numpy number that tuning can compare."""
        metric = make_metric()
        metric.update(predictions, labels)
        assert np.ndim(metric.result()) == 0
        assert math.isfinite(float(metric.result()))

    def test_asking_for_the_result_changes_nothing(
        self, make_metric: Callable[[], Metric], predictions: Any, labels: Any, expected: float
    ) -> None:
        """Between batches, and twice at the end."""
        metric = make_metric()
        half = _length(labels) // 2
        for rows in (slice(None, half), slice(half, None)):
            metric.update(_rows(predictions, rows), _rows(labels, rows))
            metric.result()
        self._assert_close(metric.result(), expected)

    def test_instances_share_nothing(
        self, make_metric: Callable[[], Metric], predictions: Any, labels: Any, expected: float
    ) -> None:
        """A new one starts afresh: each evaluation makes one."""
        used, fresh = make_metric(), make_metric()
        used.update(_rows(predictions, slice(1)), _rows(labels, slice(1)))
        fresh.update(predictions, labels)
        self._assert_close(fresh.result(), expected)

    def test_reset_forgets_everything(
        self, make_metric: Callable[[], Metric], predictions: Any, labels: Any, expected: float
    ) -> None:
        """Where there is a ``reset``; an evaluation then uses the same instance again."""
        metric = make_metric()
        reset = getattr(metric, "reset", None)
        if reset is None:
            pytest.skip("the metric has no reset; each evaluation makes a new one")
        metric.update(_rows(predictions, slice(1)), _rows(labels, slice(1)))
        metric.result()
        reset()
        metric.update(predictions, labels)
        self._assert_close(metric.result(), expected)

    def test_direction_is_a_bool(self, make_metric: Callable[[], Metric]) -> None:
        """``higher_is_better``, where it is stated."""
        assert isinstance(getattr(make_metric(), "higher_is_better", True), bool)

    def test_arguments_are_not_modified(
        self, make_metric: Callable[[], Metric], predictions: Any, labels: Any
    ) -> None:
        """They belong to the model and the loader."""
        given, before = (predictions, labels), copy.deepcopy((predictions, labels))
        metric = make_metric()
        metric.update(*given)
        metric.result()
        for now, then in zip(_leaves(given), _leaves(before), strict=True):
            np.testing.assert_array_equal(now, then)

    def test_arrays_may_be_reused_after_an_update(
        self, make_metric: Callable[[], Metric], predictions: Any, labels: Any, expected: float
    ) -> None:
        """Runtimes and loaders may write the next batch into the same memory."""
        mine = copy.deepcopy((predictions, labels))
        metric = make_metric()
        metric.update(*mine)
        for array in _leaves(mine):
            array[...] = np.zeros((), array.dtype)
        self._assert_close(metric.result(), expected)

    def test_scores_are_one_per_sample_and_their_mean_is_the_result(
        self, make_metric: Callable[[], Metric], predictions: Any, labels: Any, expected: float
    ) -> None:
        """Where there are ``scores``; they stand for single samples, so batches do not matter."""
        metric = make_metric()
        score, score_range = getattr(metric, "scores", None), getattr(metric, "score_range", (0, 1))
        if score is None or score_range is None:
            pytest.skip("the metric has no scores of single samples")
        found = score(predictions, labels)
        if found is None:
            pytest.skip("this data has no scores of single samples")
        whole = np.asarray(found, np.float64)
        assert whole.shape == (_length(labels),)
        self._assert_close(whole.mean(), expected)
        assert score_range[0] <= whole.min() and whole.max() <= score_range[1]
        for k in range(len(whole)):
            row = slice(k, k + 1)
            np.testing.assert_allclose(
                np.asarray(score(_rows(predictions, row), _rows(labels, row)), np.float64),
                whole[row],
                atol=self.tolerance,
            )

    def test_asking_for_scores_adds_nothing(
        self, make_metric: Callable[[], Metric], predictions: Any, labels: Any, expected: float
    ) -> None:
        """They are asked for beside ``update``, for the same batch."""
        metric = make_metric()
        if not hasattr(metric, "scores"):
            pytest.skip("the metric has no scores of single samples")
        metric.scores(_rows(predictions, slice(1)), _rows(labels, slice(1)))
        metric.update(predictions, labels)
        self._assert_close(metric.result(), expected)

    def test_merged_batches_have_exactly_the_result_of_all(
        self, make_metric: Callable[[], Metric], predictions: Any, labels: Any
    ) -> None:
        """Where there is a ``merge``: to the last bit, whatever the batches are."""
        if not hasattr(make_metric(), "merge"):
            pytest.skip("the metric has no merge; one worker evaluates a model")
        rng = np.random.default_rng(3)
        for _ in range(SPLITS):
            sizes = _random_sizes(rng, _length(labels))
            whole = _value(make_metric(), predictions, labels, sizes)
            merged, start = make_metric(), 0
            for size in sizes:
                part, rows = make_metric(), slice(start, start + size)
                part.update(_rows(predictions, rows), _rows(labels, rows))
                before = copy.deepcopy(part)
                merged.merge(part)  # type: ignore[attr-defined]
                merged.result()
                assert part.result() == before.result(), "the merged one was changed"
                start += size
            assert merged.result() == whole, f"in batches of {sizes}"

    def _assert_close(self, value: float, expected: float, how: str = "") -> None:
        near = pytest.approx(expected, rel=self.tolerance, abs=self.tolerance)
        assert float(value) == near, how


def _value(metric: Metric, predictions: Any, labels: Any, sizes: Sequence[int]) -> float:
    """Return the metric's result over batches of the given sizes."""
    start = 0
    for size in sizes:
        rows = slice(start, start + size)
        metric.update(_rows(predictions, rows), _rows(labels, rows))
        start += size
    return metric.result()


def _random_sizes(rng: np.random.Generator, total: int) -> list[int]:
    """Return random sizes of at least 1 that add up to ``total``."""
    cuts = np.flatnonzero(rng.random(total - 1) < rng.uniform(0.1, 0.9)) + 1
    sizes: list[int] = np.diff([0, *cuts, total]).tolist()
    return sizes


def _rows(data: Any, rows: Any) -> Any:
    """Return some samples of an array, or of each array in a tuple, list or mapping."""
    if isinstance(data, Mapping):
        return {name: _rows(value, rows) for name, value in data.items()}
    if isinstance(data, tuple | list):
        return type(data)(_rows(value, rows) for value in data)
    return data[rows]


def _leaves(data: Any) -> list[Any]:
    if isinstance(data, Mapping):
        data = list(data.values())
    if isinstance(data, tuple | list):
        return [leaf for value in data for leaf in _leaves(value)]
    return [data]


def _length(labels: Any) -> int:
    return len(_leaves(labels)[0])
