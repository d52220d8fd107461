from __future__ import annotations

import numpy as np
import pytest

from inc_core.errors import EvaluationError
from inc_core.tuning.criterion import Criterion
from inc_core.tuning.sequential import FALSE_FAIL_RISK, BettingTest, Gate

BATCH = 50


def paired(rng, samples=2000, accuracy=0.76, loss=0.03, churn=0.02):
    """Return right-or-wrong scores of a float model and of one that loses that share of it."""
    right = round(accuracy * samples)
    gained = round(churn * samples / 2)
    lost = gained + round(loss * accuracy * samples)
    scores = np.zeros(samples)
    scores[:right] = 1
    worse = scores.copy()
    worse[:lost] = 0
    worse[right : right + gained] = 1
    order = rng.permutation(samples)
    return scores[order], worse[order]


def judged(gate, scores, batch=BATCH):
    """Return the verdict, and after how many samples."""
    screening = gate.start()
    for end in range(batch, len(scores) + batch, batch):
        verdict = screening.add(scores[end - batch : end])
        if verdict:
            return verdict, min(end, len(scores)), screening
    return None, len(scores), screening


def gate_of(scores, *, higher=True, **options):
    criterion = Criterion(float(scores.mean()), higher_is_better=higher)
    return Gate(criterion, len(scores), scores, **options)


class TestFailing:
    def test_a_hopeless_model_fails_after_a_few_batches(self):
        scores, worse = paired(np.random.default_rng(0), loss=0.3)
        verdict, seen, _ = judged(gate_of(scores), worse)
        assert verdict == "fail"
        assert seen <= 150

    def test_the_larger_the_loss_the_earlier(self):
        rng = np.random.default_rng(0)
        spent = []
        for loss in (0.02, 0.03, 0.05, 0.1):
            runs = [paired(rng, loss=loss) for _ in range(20)]
            spent.append(np.mean([judged(gate_of(a), b)[1] for a, b in runs]))
        assert spent == sorted(spent, reverse=True)

    def test_three_times_the_tolerance_saves_85_percent_of_10000_samples(self):
        rng = np.random.default_rng(0)
        runs = [paired(rng, samples=10_000, loss=0.03) for _ in range(40)]
        verdicts = [judged(gate_of(scores), worse) for scores, worse in runs]
        assert {verdict for verdict, _, _ in verdicts} == {"fail"}
        assert np.mean([seen for _, seen, _ in verdicts]) <= 0.15 * 10_000

    def test_lower_is_better_is_the_mirror_image(self):
        scores, worse = paired(np.random.default_rng(3), loss=0.05)
        # errors in place of hits; the tolerance is 1 % of the mean of either
        errors, more_errors = 1 - scores, 1 - worse
        verdict, seen, screening = judged(gate_of(errors, higher=False), more_errors)
        assert verdict == "fail"
        assert seen < len(scores) / 2
        assert screening.estimate() > errors.mean() * 1.01

    def test_another_range_is_only_another_unit(self):
        scores, worse = paired(np.random.default_rng(4))
        plain = judged(gate_of(scores), worse)[:2]
        assert judged(gate_of(scores * 40, score_range=(0, 40)), worse * 40)[:2] == plain


class TestPassing:
    def test_an_equal_model_passes(self):
        scores, _ = paired(np.random.default_rng(0))
        verdict, seen, _ = judged(gate_of(scores), scores)
        assert verdict == "pass"
        assert seen < len(scores)

    def test_good_models_fail_no_more_often_than_the_risk(self):
        rng = np.random.default_rng(1)
        failed = 0
        for loss in (0.0, 0.006, 0.0092):
            for _ in range(100):
                scores, worse = paired(rng, samples=1000, loss=loss, churn=0.04)
                failed += judged(gate_of(scores), worse, batch=25)[0] == "fail"
        assert failed / 300 <= FALSE_FAIL_RISK

    def test_exactly_at_the_threshold_is_accepted_to_the_end(self):
        scores = np.ones(1000)
        worse = scores.copy()
        worse[np.random.default_rng(0).permutation(1000)[:10]] = 0
        verdict, _, _ = judged(gate_of(scores, random_order=False), worse)
        assert verdict != "fail"


class TestOrder:
    def test_in_the_loaders_order_only_what_is_certain_counts(self):
        scores = np.ones(1000)
        worse = scores.copy()
        worse[500:600] = 0  # a class that the quantized model never gets right
        verdict, seen, _ = judged(gate_of(scores, random_order=False), worse, batch=10)
        assert (verdict, seen) == ("fail", 520)  # 11 wrong: 0.99 is out of reach

    def test_a_sorted_start_is_no_reason_to_fail(self):
        scores = np.ones(1000)
        worse = scores.copy()
        worse[:10] = 0
        assert judged(gate_of(scores, random_order=False), worse, batch=10)[0] != "fail"


class TestEstimate:
    def test_it_is_near_the_truth_and_never_accepted(self):
        rng = np.random.default_rng(5)
        for loss in (0.03, 0.1, 0.5):
            scores, worse = paired(rng, samples=10_000, loss=loss)
            gate = gate_of(scores)
            verdict, seen, screening = judged(gate, worse)
            assert verdict == "fail"
            assert not gate.criterion.accepts(screening.estimate())
            assert screening.estimate() == pytest.approx(worse.mean(), abs=4 / seen**0.5)

    def test_without_random_order_it_is_never_accepted_either(self):
        scores = np.ones(1000)
        scores[:500] = 0
        worse = np.zeros(1000)
        gate = gate_of(scores, random_order=False)
        verdict, _, screening = judged(gate, worse)
        assert verdict == "fail"
        assert not gate.criterion.accepts(screening.estimate())


class TestScores:
    def test_better_than_the_range_is_an_error(self):
        screening = gate_of(np.ones(10)).start()
        with pytest.raises(EvaluationError, match=r"scores\(\) gave 1.5, and its score_range is"):
            screening.add([0.5, 1.5])

    def test_worse_than_the_range_counts_as_the_worst(self):
        scores = np.full(100, 0.5)
        gate = gate_of(scores, higher=False, score_range=(0.0, 1.0), random_order=False)
        capped, plain = gate.start(), gate.start()
        assert capped.add(np.full(60, 7.0)) == plain.add(np.full(60, 1.0)) == "fail"

    def test_nan_is_an_error(self):
        with pytest.raises(EvaluationError, match=r"scores\(\) gave nan"):
            gate_of(np.ones(10)).start().add([float("nan")])

    def test_more_samples_than_the_float_model_saw_decide_nothing(self):
        screening = gate_of(np.ones(10)).start()
        assert screening.add(np.zeros(20)) is None

    def test_batches_of_one_come_to_the_same_end(self):
        scores, worse = paired(np.random.default_rng(0), loss=0.1)
        one, many = judged(gate_of(scores), worse, 1), judged(gate_of(scores), worse, 32)
        assert one[:2] == many[:2]


def test_huge_batches_and_long_wins_overflow_nothing():
    test = BettingTest(1_000_000, 0.3)
    for _ in range(4):
        assert test.add(np.ones(100_000)) == "fail"
        assert test.add(np.zeros(100)) is not None


def test_a_limit_that_is_out_of_reach_decides_at_once():
    assert BettingTest(10, 0.1).add(np.ones(5)) == "fail"
    assert BettingTest(10, 0.9).add(np.zeros(5)) == "pass"


def test_looking_after_every_value_or_once_is_the_same():
    values = np.random.default_rng(0).integers(0, 3, 400) / 2
    whole = BettingTest(400, 0.4).add(values)
    test = BettingTest(400, 0.4)
    verdicts = [verdict for value in values if (verdict := test.add(np.array([value])))]
    assert verdicts[0] == whole == "fail"
