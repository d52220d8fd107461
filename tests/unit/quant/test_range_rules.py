from __future__ import annotations

import numpy as np
import pytest

from inc_core.errors import CalibrationError
from inc_core.quant.observers import Observer
from inc_core.quant.qparams import choose_qparams
from inc_core.quant.range_rules import BUILTIN_RANGE_RULES, Percentile
from inc_core.quant.spec import TensorSpec

U8 = TensorSpec("uint8", "asym")
S8 = TensorSpec("int8", "sym")
U4 = TensorSpec("uint4", "asym")
RULES = sorted(BUILTIN_RANGE_RULES)

TENSORS = {
    "normal": lambda rng: rng.normal(size=(8, 4000)),
    "relu": lambda rng: np.maximum(rng.normal(size=(8, 4000)), 0),
    "negative": lambda rng: -np.abs(rng.normal(size=(8, 4000))),
    "skewed": lambda rng: rng.normal(size=(8, 4000)) + 4,
    "outlier": lambda rng: np.append(rng.normal(size=(1, 31999)), [[500.0]], axis=1),
    "laplace": lambda rng: rng.laplace(size=(8, 4000)),
    "far from zero": lambda rng: rng.normal(size=(8, 4000)) * 0.01 + 50,
}
DEGENERATE = {
    "zero": np.zeros((2, 5)),
    "constant": np.full((2, 5), 3.5),
    "binary": np.array([[0.0, 5.0]]),
    "one value": np.array([[-2.0]]),
    "tiny": np.array([[1e-38, -1e-39]]),
    "huge": np.array([[3e38, -3e38]]),
}


def observe(values):
    observer = Observer(needs_values=True)
    observer.update(np.asarray(values, np.float32))
    return observer.statistics()


def chosen(rule, values, spec=U8):
    return BUILTIN_RANGE_RULES[rule].choose_range(observe(values), spec)


def error_of(values, lo, hi, spec):
    """Return the mean squared error of quantizing values with a range."""
    qparams = choose_qparams(lo, hi, spec)
    return float(np.mean((qparams.dequantize(qparams.quantize(values)) - values) ** 2))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("spec", [U8, S8, U4], ids=str)
@pytest.mark.parametrize("name", [*TENSORS, *DEGENERATE])
def test_ranges_are_finite_within_the_observed_one_and_usable(rng, rule, spec, name):
    values = TENSORS[name](rng) if name in TENSORS else DEGENERATE[name]
    lo, hi = chosen(rule, values, spec)
    values = np.asarray(values, np.float32)
    assert -np.abs(values).max() <= lo <= hi <= np.abs(values).max()
    assert np.isfinite(choose_qparams(lo, hi, spec).scale)


def test_minmax_is_the_observed_range(rng):
    values = rng.normal(size=(4, 9)).astype(np.float32)
    assert chosen("minmax", values) == (values.min(), values.max())


@pytest.mark.parametrize("name", ["normal", "relu", "negative", "skewed", "laplace"])
@pytest.mark.parametrize("share", [99.99, 99.0, 90.0])
def test_percentile_is_that_of_numpy_to_a_bin(rng, name, share):
    values = np.asarray(TENSORS[name](rng), np.float32)
    lo, hi = Percentile(share).choose_range(observe(values), U8)
    bin_width = 2 * np.abs(values).max() / 2048
    two_sided = values.min() < 0 < values.max()
    cut = (100 - share) / (2 if two_sided else 1)
    if values.min() < 0:
        # between neighbours in the sorted values, numpy's quantile has many right answers
        below = (
            np.percentile(values, cut, method="lower"),
            np.percentile(values, cut, method="higher"),
        )
        assert below[0] - bin_width <= lo <= below[1] + bin_width
    if values.max() > 0:
        high = 100 - cut
        above = (
            np.percentile(values, high, method="lower"),
            np.percentile(values, high, method="higher"),
        )
        assert above[0] - bin_width <= hi <= above[1] + bin_width


def test_percentile_of_everything_cuts_nothing(rng):
    values = np.asarray(rng.normal(size=(4, 999)), np.float32)
    assert Percentile(100).choose_range(observe(values), U8) == (values.min(), values.max())


def test_percentile_leaves_the_side_without_outliers_alone(rng):
    values = np.maximum(rng.normal(size=(8, 4000)), 0)
    assert chosen("percentile", values)[0] == 0


@pytest.mark.parametrize("share", [0, -1, 100.5])
def test_percentile_out_of_range_is_refused(share):
    with pytest.raises(CalibrationError, match=r"\(0, 100\], received"):
        Percentile(share)


@pytest.mark.parametrize("spec", [U8, S8, U4, TensorSpec("int4", "sym")], ids=str)
@pytest.mark.parametrize("name", [name for name in TENSORS if name != "far from zero"])
def test_mse_is_nearly_the_best_of_all_shared_thresholds(rng, name, spec):
    values = np.asarray(TENSORS[name](rng), np.float32)
    largest = np.abs(values).max()
    errors = [
        error_of(values, max(values.min(), -t), min(values.max(), t), spec)
        for t in np.linspace(0.1, 1, 80) * largest
    ]
    assert error_of(values, *chosen("mse", values, spec), spec) <= 1.03 * min(errors)


def test_mse_cuts_the_two_ends_of_an_asymmetric_range_apart(rng):
    values = np.append(rng.uniform(-5, 30, size=40000), -60)
    lo, hi = chosen("mse", values[None], U4)
    assert lo > -12
    assert hi > 26


@pytest.mark.parametrize("rule", ["kl", "percentile"])
def test_a_single_outlier_is_cut(rng, rule):
    assert chosen(rule, TENSORS["outlier"](rng), U8)[1] < 100


@pytest.mark.parametrize("name", ["normal", "relu", "skewed"])
def test_kl_keeps_nearly_all_of_a_distribution_without_outliers(rng, name):
    values = TENSORS[name](rng)
    lo, hi = chosen("kl", values, U8)
    assert np.mean((values >= lo) & (values <= hi)) > 0.99


def test_kl_is_not_misled_by_the_zeros_of_a_relu(rng):
    values = np.maximum(rng.normal(size=(8, 4000)) - 1.5, 0)
    assert np.mean(values == 0) > 0.9
    assert chosen("kl", values, U8)[1] > 0.5 * values.max()


@pytest.mark.parametrize("rule", ["kl", "mse", "percentile"])
def test_rules_that_need_a_histogram_say_so(rule):
    observer = Observer()
    observer.update(np.ones((1, 3), np.float32))
    with pytest.raises(CalibrationError, match="needs a histogram"):
        BUILTIN_RANGE_RULES[rule].choose_range(observer.statistics(), U8)
