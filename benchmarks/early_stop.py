"""How much of an evaluation is needed to reject a trial, and how often a good one is rejected.

Simulated right-or-wrong scores: the float model is right on 76 %, the goal is 1 % relative loss, and
the quantized model differs on a share ("churn") of the samples beside what it loses. Each cell is
the mean share of the data that was looked at until a decision; decisions against what all of the
data says are counted behind it.

Run: python benchmarks/early_stop.py [--runs 40] [--false-fails 12000]
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from inc_core.tuning.criterion import Criterion
from inc_core.tuning.sequential import FALSE_FAIL_RISK, Gate

ACCURACY = 0.76
TOLERANCE = 0.01
BATCH = 32
LOSSES = (0.0, 0.3, 0.6, 0.8, 1.2, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)  # percent, relative
SETS = ((1_000, 0.02), (5_000, 0.02), (10_000, 0.02), (10_000, 0.06), (50_000, 0.02))

# Losses that are accepted, up to as near below the tolerance as whole samples allow.
GOOD_LOSSES = (0.0, 0.5, 0.9, 0.99)
TARGET_SAVED = 0.85  # at three times the tolerance, of 10,000 samples


def scores_of(rng, samples, loss, churn):
    """Return the scores of both models in random order; ``loss`` is a share of the accuracy."""
    right = round(ACCURACY * samples)
    gained = round(churn * samples / 2)
    lost = gained + int(loss * ACCURACY * samples)  # rounded down: not beyond the stated loss
    scores = np.zeros(samples)
    scores[:right] = 1
    worse = scores.copy()
    worse[:lost] = 0
    worse[right : right + gained] = 1
    order = rng.permutation(samples)
    return scores[order], worse[order]


def judge(scores, worse):
    """Return the verdict (``None`` without one), the share of data looked at, and the truth."""
    criterion = Criterion(float(scores.mean()), TOLERANCE)
    screening = Gate(criterion, len(scores), scores).start()
    truth = "pass" if criterion.accepts(float(worse.mean())) else "fail"
    for start in range(0, len(worse), BATCH):
        verdict = screening.add(worse[start : start + BATCH])
        if verdict is not None:
            return verdict, min(start + BATCH, len(worse)) / len(worse), truth
    return None, 1.0, truth


def table(rng, runs):
    print("mean share of the data looked at; (wrong decisions of", runs, "runs)")
    print("| samples, churn | " + " | ".join(f"{loss:g} %" for loss in LOSSES) + " |")
    print("|---" * (len(LOSSES) + 1) + "|")
    for samples, churn in SETS:
        cells = []
        for loss in LOSSES:
            found = [judge(*scores_of(rng, samples, loss / 100, churn)) for _ in range(runs)]
            wrong = sum(verdict not in (None, truth) for verdict, _, truth in found)
            share = np.mean([share for _, share, _ in found])
            cells.append(f"{share:.3f}" + (f" ({wrong})" if wrong else ""))
        print(f"| {samples:,}, {churn:.0%} | " + " | ".join(cells) + " |", flush=True)


def false_fails(rng, evaluations):
    """Return how many of the evaluations of acceptable models were rejected."""
    failed = 0
    for number in range(evaluations):
        loss = GOOD_LOSSES[number % len(GOOD_LOSSES)] / 100
        churn = (0.01, 0.02, 0.06)[number // len(GOOD_LOSSES) % 3]
        scores, worse = scores_of(rng, 1_000 if number % 2 else 2_000, loss, churn)
        verdict, _, truth = judge(scores, worse)
        assert truth == "pass"
        failed += verdict == "fail"
    return failed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=40, help="simulated evaluations per cell")
    parser.add_argument(
        "--false-fails", type=int, default=12_000, help="evaluations of good models"
    )
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    table(rng, options.runs)

    failed = false_fails(rng, options.false_fails)
    rate = failed / options.false_fails
    print(f"\nfalse fails: {failed} of {options.false_fails} evaluations, {rate:.2%}", end="")
    print(f" (allowed: {FALSE_FAIL_RISK:.0%})")

    hopeless = [scores_of(rng, 10_000, 3 * TOLERANCE, 0.02) for _ in range(10 * options.runs)]
    start = time.process_time()
    found = [judge(*pair) for pair in hopeless]
    spent = time.process_time() - start
    saved = 1 - np.mean([share for _, share, _ in found])
    samples = sum(share for _, share, _ in found) * 10_000
    print(f"data saved at three times the tolerance, 10,000 samples: {saved:.1%}", end="")
    print(f" (wanted: {TARGET_SAVED:.0%})")
    print(f"cost of the test: {spent / samples * 1e6:.2f} us per sample in batches of {BATCH}")
    if rate > FALSE_FAIL_RISK or saved < TARGET_SAVED:
        raise SystemExit("a target was missed")


if __name__ == "__main__":
    main()
