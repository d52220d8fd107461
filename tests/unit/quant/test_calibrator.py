from __future__ import annotations

import logging

import numpy as np
import pytest

from inc_core.errors import CalibrationError
from inc_core.quant.calibrator import Calibration, Calibrator
from inc_core.quant.observers import Observer
from inc_core.quant.qparams import choose_qparams
from inc_core.quant.range_rules import BUILTIN_RANGE_RULES
from inc_core.quant.spec import TensorKey, TensorSpec

X, DOUBLE = TensorKey("x"), TensorKey("double", "out")
U8 = TensorSpec("uint8", "asym")
U8_KL = TensorSpec("uint8", "asym", algorithm="kl")


class Net:
    """Two tensors, ``x`` and twice it; counts how often it is run, and may read ahead."""

    def __init__(self, ahead=0):
        self.ahead = ahead
        self.batches = []

    def observe(self, batches, observers):
        waiting = []
        for batch in batches:
            waiting.append(batch)
            if len(waiting) > self.ahead:
                self._feed(waiting.pop(0), observers)
        for batch in waiting:
            self._feed(batch, observers)

    def _feed(self, batch, observers):
        self.batches.append(batch)
        for key, array in ((X, batch), (DOUBLE, 2 * batch)):
            if key in observers:
                observers[key].update(array)


class Stream:
    """Batches that count how often they are read."""

    def __init__(self, *batches):
        self.batches = batches
        self.reads = 0

    def __call__(self):
        self.reads += 1
        return iter(self.batches)


def make(net, batches, sizes, algorithms=("minmax",), keys=(X, DOUBLE), **options):
    return Calibrator(net.observe, batches, keys, sizes, algorithms, **options)


@pytest.fixture
def data(rng):
    return rng.normal(size=(50, 3)).astype(np.float32) * np.arange(1, 51)[:, None]


@pytest.mark.parametrize("ahead", [0, 3], ids=["in step", "reading ahead"])
@pytest.mark.parametrize("width", [1, 7, 64], ids=["single", "across", "one batch"])
def test_each_size_sees_exactly_its_first_samples_in_one_pass(data, width, ahead):
    batches = Stream(*(data[k : k + width] for k in range(0, 50, width)))
    net, sizes = Net(ahead), (20, 5, 50)
    calibrator = make(net, batches, sizes, ("minmax", "kl", "mse", "percentile"))
    for size in sizes:
        calibration = calibrator.calibration(size)
        assert calibration.samples == size
        assert calibration.range(X) == (data[:size].min(), data[:size].max())
        alone = Observer(needs_values=True)
        alone.update(data[:size])
        for name in ("percentile", "kl", "mse"):
            expected = BUILTIN_RANGE_RULES[name].choose_range(alone.statistics(), U8)
            assert calibration.range(X, name) == expected
    assert batches.reads == 1
    np.testing.assert_array_equal(np.concatenate(net.batches), data)


def test_no_more_data_is_read_than_the_largest_size_needs(data):
    drawn = []

    def batches():
        for row in data:
            drawn.append(row)
            yield row[None]

    make(Net(), batches, (4,)).calibration(4)
    assert len(drawn) == 4


def test_nothing_runs_before_it_is_asked_for(data):
    batches = Stream(data)
    make(Net(), batches, (5,))
    assert batches.reads == 0


def test_histograms_are_collected_only_for_algorithms_that_need_them(data):
    seen = {}

    def observe(batches, observers):
        seen.update(observers)
        Net().observe(batches, observers)

    Calibrator(observe, Stream(data), [X], [5], ["minmax"]).calibration(5)
    assert not seen[X].needs_values
    Calibrator(observe, Stream(data), [X], [5], ["minmax", "mse"]).calibration(5)
    assert seen[X].needs_values


def test_channel_means_are_collected_where_asked_for(data):
    calibration = make(Net(), Stream(data), (50,), channel_keys=(X,)).calibration(50)
    np.testing.assert_allclose(calibration.channel_mean(X), data.mean(axis=0), rtol=1e-5)
    assert calibration.channel_mean(DOUBLE) is None


def test_too_few_samples_are_all_used_with_a_warning(data, caplog):
    net = Net()
    calibrator = make(net, Stream(data), (10, 80, 100))
    with caplog.at_level(logging.WARNING):
        calibration = calibrator.calibration(100)
    assert calibration.samples == 50
    assert calibration.range(X) == (data.min(), data.max())
    assert "asked for 100 samples, the dataloader has 50" in caplog.text
    assert "asked for 80 samples, the dataloader has 50" in caplog.text
    assert calibrator.calibration(10).samples == 10


def test_no_samples_are_an_error_that_says_what_to_do():
    with pytest.raises(CalibrationError, match=r"gave no sample\. Check its dataset"):
        make(Net(), Stream(), (5,)).calibration(5)


def test_a_failed_pass_is_run_again(data):
    streams = iter([Stream(data[:2], np.full((50, 3), np.nan)), Stream(data)])
    calibrator = make(Net(), lambda: next(streams)(), (2, 9))
    with pytest.raises(CalibrationError, match="NaN"):
        calibrator.calibration(2)
    assert calibrator.calibration(9).samples == 9


def test_an_unplanned_size_names_the_planned_ones(data):
    with pytest.raises(CalibrationError, match="7 samples were not planned; the sizes are 5, 9"):
        make(Net(), Stream(data), (9, 5)).calibration(7)


def test_nan_names_the_tensor(data):
    data[3, 1] = np.nan
    with pytest.raises(CalibrationError, match="'double/out' holds NaN or infinite values"):
        make(Net(), Stream(data), (50,), keys=(DOUBLE,)).calibration(50)


def test_a_tensor_that_was_never_fed_fails_only_when_it_is_asked_for(data):
    other = TensorKey("branch", "0")
    calibration = make(Net(), Stream(data), (5,), keys=(X, other)).calibration(5)
    calibration.qparams(X, U8)
    with pytest.raises(CalibrationError, match=r"'branch/0' was not calibrated \(1 tensors were\)"):
        calibration.qparams(other, U8)


@pytest.fixture
def calibration(data):
    return make(Net(), Stream(data), (50,), ("minmax", "kl")).calibration(50)


def test_qparams_are_those_of_the_chosen_range(calibration):
    expected = choose_qparams(*calibration.range(X, "kl"), U8_KL)
    found = calibration.qparams(X, U8_KL)
    assert (found.scale, found.zero_point) == (expected.scale, expected.zero_point)
    assert calibration.qparams(X, U8).scale > found.scale * 0.99


def test_merged_qparams_cover_every_tensor(calibration):
    merged = calibration.merged_qparams((X, DOUBLE), U8)
    assert merged.scale == calibration.qparams(DOUBLE, U8).scale
    assert merged.scale > calibration.qparams(X, U8).scale


def test_each_answer_remembers_only_what_was_asked_of_it(data):
    calibrator = make(Net(), Stream(data), (50,), ("minmax", "kl"))
    first, second = calibrator.calibration(50), calibrator.calibration(50)
    first.qparams(X, U8)
    second.qparams(X, U8_KL)
    second.merged_qparams((X, DOUBLE), U8)
    assert list(first.used) == [f"x|{U8}"]
    assert list(second.used) == [f"x|{U8_KL}", f"x+double/out|{U8}"]


def test_a_range_is_chosen_once_for_all_trials(data):
    class Counting:
        needs_values = False
        calls = 0

        def choose_range(self, statistics, spec):
            self.calls += 1
            return statistics.lo, statistics.hi

    rule, spec = Counting(), TensorSpec("uint8", "asym", algorithm="counting")
    calibrator = make(Net(), Stream(data), (50,), ("counting",), rules={"counting": rule})
    for _ in range(3):
        calibrator.calibration(50).qparams(X, spec)
    assert rule.calls == 1


@pytest.mark.parametrize("chosen", [(1.0, -1.0), (np.nan, 1.0), (0.0, np.inf)], ids=str)
def test_an_observer_that_chooses_nonsense_is_named_with_its_tensor(data, chosen):
    class Broken:
        needs_values = False

        def choose_range(self, statistics, spec):
            return chosen

    calibrator = make(Net(), Stream(data), (5,), ("broken",), rules={"broken": Broken()})
    with pytest.raises(CalibrationError, match=r"observer 'broken' chose .* for tensor 'x'"):
        calibrator.calibration(5).range(X, "broken")


def test_an_unknown_algorithm_lists_the_known_ones(calibration):
    with pytest.raises(CalibrationError, match="no observer 'magic'; known: minmax, percentile"):
        calibration.range(X, "magic")


def test_activations_per_channel_are_refused(calibration):
    with pytest.raises(CalibrationError, match="one scale per tensor, received uint8/asym/per_ch"):
        calibration.qparams(X, TensorSpec("uint8", "asym", "per_channel"))


def test_without_calibration_every_static_question_is_an_error():
    calibration = Calibration.none()
    assert (calibration.samples, calibration.used) == (0, {})
    assert calibration.channel_mean(X) is None
    with pytest.raises(CalibrationError, match="'x' was not calibrated"):
        calibration.qparams(X, U8)


def test_the_first_samples_can_be_read_again(data):
    batches = Stream(*(data[k : k + 7] for k in range(0, 50, 7)))
    calibration = make(Net(), batches, (20,)).calibration(20)
    for _ in range(2):
        np.testing.assert_array_equal(np.concatenate(list(calibration.inputs())), data[:20])
    assert len(list(calibration.afresh().inputs())) == 3


def test_samples_that_are_not_there_are_an_error():
    with pytest.raises(CalibrationError, match="there are no calibration samples"):
        list(Calibration.none().inputs())


def test_without_tensors_to_observe_the_model_is_not_run(data):
    net = Net()
    calibration = make(net, Stream(data[:30], data[30:]), (40,), keys=()).calibration(40)
    assert calibration.samples == 40 and not net.batches
