from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inc_core.errors import CalibrationError
from inc_core.quant.observers import (
    BINS,
    MAX_ELEMENTS_PER_SAMPLE,
    Histogram,
    Observer,
    elements_per_sample,
    sampling_stride,
)

FINITE = st.floats(-(2.0**100), 2.0**100, width=32)


def observed(*arrays, **options):
    observer = Observer(**options)
    for array in arrays:
        observer.update(np.asarray(array, np.float32))
    return observer.statistics()


def naive_counts(values, limit):
    """Count float64 values over the bins of a histogram, one by one."""
    counts = np.zeros(2 * BINS, np.int64)
    for value in np.asarray(values, np.float64).ravel():
        counts[int(np.floor(value / (limit / BINS))) + BINS] += 1
    return counts


def test_range_and_samples_are_those_of_all_batches(rng):
    batches = [rng.normal(size=(count, 3, 4)).astype(np.float32) for count in (5, 1, 2)]
    statistics = observed(*batches)
    whole = np.concatenate(batches)
    assert (statistics.lo, statistics.hi, statistics.samples) == (whole.min(), whole.max(), 8)
    assert statistics.histogram is None


@pytest.mark.parametrize(
    "low, high",
    [(-1, 1), (0, 7), (-3, 0), (2, 3)],
    ids=["two-sided", "positive", "negative", "far"],
)
def test_histogram_equals_a_naive_one_however_the_range_grew(rng, low, high):
    batches = [rng.uniform(low, high, (4, 50)) * scale for scale in (1e-3, 10, 0.5, 300)]
    histogram = observed(*batches, needs_values=True).histogram
    values = np.concatenate(batches).astype(np.float32)
    np.testing.assert_array_equal(histogram.counts, naive_counts(values, histogram.limit))
    assert histogram.limit == 2.0 ** np.ceil(np.log2(np.abs(values).max()))


@settings(max_examples=60)
@given(st.lists(st.lists(FINITE, min_size=1, max_size=9), min_size=1, max_size=5))
def test_histogram_does_not_depend_on_how_values_are_batched(batches):
    apart = observed(*batches, needs_values=True).histogram
    together = observed(np.concatenate(batches), needs_values=True).histogram
    assert apart.limit == together.limit
    np.testing.assert_array_equal(apart.counts, together.counts)
    assert apart.counts.sum() == sum(map(len, batches))


@given(st.lists(FINITE, min_size=1, max_size=20))
@settings(max_examples=60)
def test_every_value_lies_in_a_bin_of_the_histogram(values):
    statistics = observed(values, needs_values=True)
    assert -statistics.histogram.limit <= statistics.lo
    assert statistics.hi < statistics.histogram.limit


def test_smallest_negative_value_is_below_zero_beside_huge_ones():
    smallest = np.finfo(np.float32).smallest_subnormal
    histogram = observed([-smallest, smallest, 1e30], needs_values=True).histogram
    assert list(histogram.counts[BINS - 1 : BINS + 1]) == [1, 1]


def test_subnormal_values_are_counted_by_their_sign():
    histogram = observed([-1e-40, -1e-45, 1e-42], needs_values=True).histogram
    assert histogram.counts[:BINS].sum() == 2
    assert histogram.counts[BINS:].sum() == 1


def test_growing_leaves_the_histogram_before_it_alone():
    before = Histogram(np.zeros(2 * BINS, np.int64), 1.0).added(np.array([0.5, -0.25]))
    counts = before.counts.copy()
    before.added(np.array([40.0]))
    np.testing.assert_array_equal(before.counts, counts)
    assert before.limit == 1.0


def test_statistics_do_not_change_with_later_updates(rng):
    observer = Observer(needs_values=True, needs_channels=True)
    observer.update(rng.normal(size=(2, 3)).astype(np.float32))
    early = observer.statistics()
    counts, low, mean = early.histogram.counts.copy(), early.channel_lo.copy(), early.channel_mean
    observer.update(100 * rng.normal(size=(2, 3)).astype(np.float32))
    np.testing.assert_array_equal(early.histogram.counts, counts)
    np.testing.assert_array_equal(early.channel_lo, low)
    np.testing.assert_array_equal(early.channel_mean, mean)
    assert early.samples == 2


@pytest.mark.parametrize("axis", [1, -1], ids=["second", "last"])
def test_channels_match_a_reduction_over_everything_else(rng, axis):
    batches = [rng.normal(size=(2, 3, 5)).astype(np.float32) for _ in range(3)]
    statistics = observed(*batches, needs_channels=True, channel_axis=axis)
    columns = np.moveaxis(np.concatenate(batches).astype(np.float64), axis, 0)
    columns = columns.reshape(columns.shape[0], -1)
    np.testing.assert_array_equal(statistics.channel_lo, columns.min(axis=1))
    np.testing.assert_array_equal(statistics.channel_hi, columns.max(axis=1))
    np.testing.assert_allclose(statistics.channel_mean, columns.mean(axis=1), rtol=1e-6)


def test_reduced_updates_give_what_whole_tensors_give(rng):
    batches = [rng.normal(size=(count, 3, 4)).astype(np.float32) for count in (2, 5)]
    reduced = Observer(needs_channels=True)
    for batch in batches:
        low, high = batch.min(axis=(0, 2)), batch.max(axis=(0, 2))
        total = batch.sum(axis=(0, 2), dtype=np.float64)
        reduced.update_reduced(
            batch.min(), batch.max(), len(batch), low, high, total, batch.size // 3
        )
    expected, found = observed(*batches, needs_channels=True), reduced.statistics()
    assert (found.lo, found.hi, found.samples) == (expected.lo, expected.hi, expected.samples)
    np.testing.assert_array_equal(found.channel_lo, expected.channel_lo)
    np.testing.assert_array_equal(found.channel_hi, expected.channel_hi)
    np.testing.assert_allclose(found.channel_mean, expected.channel_mean, rtol=1e-6)


def test_reduced_updates_with_values_give_the_same_histogram(rng):
    batch = rng.normal(size=(2, 3, 4)).astype(np.float32)
    reduced = Observer(needs_values=True)
    reduced.update_reduced(float(batch.min()), float(batch.max()), 2, values=batch.reshape(-1))
    expected = observed(batch, needs_values=True).histogram
    found = reduced.statistics().histogram
    np.testing.assert_array_equal(found.counts, expected.counts)
    assert found.limit == expected.limit


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
def test_nan_and_infinity_are_refused_with_the_tensors_name(value):
    array = np.zeros((2, 3), np.float32)
    array[1, 1] = value
    with pytest.raises(CalibrationError, match="'conv1' holds NaN or infinite"):
        Observer(name="conv1").update(array)
    with pytest.raises(CalibrationError, match="'conv1' holds NaN or infinite"):
        Observer(name="conv1").update_reduced(array.min(), array.max(), 2)


def test_values_beyond_float32_are_refused():
    with pytest.raises(CalibrationError, match="infinite"):
        Observer(needs_values=True).update(np.array([[1e300]]))


def test_statistics_of_nothing_are_an_error():
    with pytest.raises(CalibrationError, match="'conv1': no value was observed"):
        Observer(name="conv1").statistics()


def test_an_empty_batch_changes_nothing():
    assert observed([[1.0]], np.zeros((0, 1))).samples == 1


def test_large_tensors_are_thinned_in_the_histogram_but_not_in_the_range(rng):
    array = rng.normal(size=(2, 8, 128, 128)).astype(np.float32)
    array[0, 0, 0, 1], array[1, 7, 127, 127] = 77.0, -77.0
    statistics = observed(array, needs_values=True)
    assert (statistics.lo, statistics.hi) == (-77, 77)
    assert 0.8 < statistics.histogram.counts.sum() / (2 * MAX_ELEMENTS_PER_SAMPLE) <= 1


@pytest.mark.parametrize(
    ("samples", "elements"), [(1, 1 << 15), (64, 1 << 15), (256, 1 << 13), (100_000, 1 << 10)]
)
def test_of_many_samples_fewer_elements_of_each_are_enough(samples, elements, rng):
    assert elements_per_sample(samples) == elements
    array = rng.normal(size=(3, 1 << 16)).astype(np.float32)
    observer = Observer(needs_values=True, max_elements=elements)
    observer.update(array)
    assert 0.3 < observer.statistics().histogram.counts.sum() / (3 * elements) <= 1


@pytest.mark.parametrize("shape", [(128, 768), (64, 112, 112), (3, 224, 224)], ids=str)
def test_thinning_visits_every_channel_alike(shape):
    size = int(np.prod(shape))
    step = sampling_stride(size, MAX_ELEMENTS_PER_SAMPLE)
    visited = np.arange(size)[::step]
    assert MAX_ELEMENTS_PER_SAMPLE * 0.5 < visited.size <= MAX_ELEMENTS_PER_SAMPLE
    last = np.bincount(visited % shape[-1], minlength=shape[-1])
    assert last.min() > 0
    assert last.max() - last.min() <= 1
