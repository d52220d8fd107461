"""What a journal says about trials: replay of finished ones, recall of equal recipes."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from inc_core.config.types import ExitPolicyConfig
from inc_core.quant.recipe import Recipe
from inc_core.tuning.checks import Scores
from inc_core.tuning.criterion import Criterion
from inc_core.tuning.early_stop import pack_scores, unpack_scores
from inc_core.tuning.journal import Journal, Record
from inc_core.tuning.packing import (
    RecipePacker,
    pack_base,
    pack_trial,
    unpack_base,
    unpack_trial,
)
from inc_core.tuning.trial import Baseline, Trial

__all__ = ["History", "baseline_of", "goal_of", "trials_of"]

logger = logging.getLogger("inc_core.tuning")

# What a value of the wrong kind raises when it is taken apart: a record with a right checksum may
# still have been written by something else.
WRONG_CONTENT = (KeyError, TypeError, ValueError, AttributeError, IndexError)

_NO_RECIPE = Recipe({})


class History:
    """The finished trials of one search, from its journal and from this process.

    Trials are looked up by recipe, so a damaged record costs one repeated trial and no more.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._packer: RecipePacker | None = None
        self._done: dict[str, Trial] = {}
        self._replay: dict[str, Trial] = {}
        self._numbers: set[int] = set()
        unusable = 0
        for fields in journal.of("finished"):
            try:
                trial = unpack_trial(fields["trial"], _NO_RECIPE)
                fingerprint = str(fields["fingerprint"])
            except WRONG_CONTENT:
                unusable += 1
                continue
            self._numbers.add(trial.number)
            if trial.status != "cached":
                self._replay.setdefault(fingerprint, trial)
        if unusable:
            logger.warning("%d journaled trial(s) make no sense and run again", unusable)
        self._accepted = {fields.get("number") for fields in journal.of("accepted")}

    def baseline(self) -> Baseline | None:
        """Return the float model's evaluation, if it was journaled."""
        return baseline_of(self._journal.records)

    def add_baseline(self, baseline: Baseline) -> None:
        """Journal the float model's evaluation."""
        self._journal.append(
            "measured",
            what="baseline",
            value={**vars(baseline), "objectives": dict(baseline.objectives)},
        )

    def set_goal(self, criterion: Criterion, limits: ExitPolicyConfig) -> None:
        """Journal goal and limits, for whoever reads the journal of a search not at its end."""
        goal = {
            "threshold": criterion.threshold,
            "higher_is_better": criterion.higher_is_better,
            "max_trials": limits.max_trials,
            "timeout": limits.timeout,
        }
        if goal_of(self._journal.records) != goal:
            self._journal.append("measured", what="goal", value=goal)

    def scores(self) -> Scores | None:
        """Return the float model's score of each sample, if they were journaled."""
        for fields in self._journal.of("measured"):
            if fields.get("what") == "baseline_scores":
                try:
                    return unpack_scores(fields["value"])
                except WRONG_CONTENT:
                    continue
        return None

    def add_scores(self, scores: Scores) -> None:
        """Journal the float model's score of each sample."""
        self._journal.append("measured", what="baseline_scores", value=pack_scores(scores))

    def knows(self, fingerprint: str) -> bool:
        """Whether ``recall`` has a trial of the recipe with this fingerprint."""
        return fingerprint in self._done or fingerprint in self._replay

    def recall(self, number: int, recipe: Recipe, fingerprint: str) -> Trial | None:
        """Return the trial of an equal recipe: replayed, or ``"cached"`` if it is a repetition."""
        if fingerprint in self._done:
            first = self._done[fingerprint]
            trial = replace(
                first, number=number, recipe=recipe, status="cached",
                seconds=0.0, eval_seconds=0.0, samples=0,
            )  # fmt: skip
            if number not in self._numbers:
                self._journal_trial(trial, fingerprint)
            return trial
        if fingerprint in self._replay:
            trial = replace(self._replay[fingerprint], number=number, recipe=recipe)
            self._done[fingerprint] = trial
            return trial
        return None

    def started(self, number: int, fingerprint: str) -> None:
        """Journal that a trial begins."""
        self._journal.append("asked", number=number, fingerprint=fingerprint)

    def finish(self, trial: Trial, fingerprint: str) -> None:
        """Journal a trial's outcome; it never runs again."""
        self._journal_trial(trial, fingerprint)
        self._done[fingerprint] = trial

    def accept(self, number: int) -> None:
        """Journal that a trial became the best so far."""
        if number not in self._accepted:
            self._journal.append("accepted", number=number)

    def confirmed(self, rejected: Trial) -> Trial | None:
        """Return an early rejected trial's evaluation on all samples, if it was journaled."""
        for fields in self._journal.of("confirmed"):
            try:
                trial = unpack_trial(fields["trial"], rejected.recipe)
            except WRONG_CONTENT:
                continue
            if trial.number == rejected.number:
                return trial
        return None

    def confirm(self, trial: Trial) -> None:
        """Journal that an early rejected trial was evaluated on all samples in the end."""
        self._append_trial("confirmed", trial, trial.recipe.fingerprint)

    def _journal_trial(self, trial: Trial, fingerprint: str) -> None:
        self._append_trial("finished", trial, fingerprint)

    def _append_trial(self, type: str, trial: Trial, fingerprint: str) -> None:
        if self._packer is None:
            self._packer = self._base(trial.recipe)
        packed = pack_trial(trial, self._packer)
        self._journal.append(type, fingerprint=fingerprint, trial=packed)

    def _base(self, recipe: Recipe) -> RecipePacker:
        """Return a packer by the journal's base recipe; the first trial's becomes it."""
        for packer in _packers(self._journal.records).values():
            return packer
        self._journal.append("base", recipe=pack_base(recipe))
        return RecipePacker(recipe)


def baseline_of(records: tuple[Record, ...]) -> Baseline | None:
    """Return the last journaled baseline."""
    for record in reversed(records):
        if record.type == "measured" and record.fields.get("what") == "baseline":
            try:
                baseline = Baseline(**record.fields["value"])
                accuracy = baseline.accuracy
                if accuracy is None or math.isfinite(accuracy):
                    return baseline
            except WRONG_CONTENT:
                continue
    return None


def goal_of(records: tuple[Record, ...]) -> dict[str, Any]:
    """Return the last journaled goal: ``threshold, higher_is_better``, and the limits.

    ``max_trials`` and ``timeout`` are missing in older journals, all in those without a search.
    """
    for record in reversed(records):
        if record.type == "measured" and record.fields.get("what") == "goal":
            return dict(record.fields["value"])
    return {}


def trials_of(records: tuple[Record, ...]) -> Iterator[Trial]:
    """Yield the journaled trials, each number once, in order; a repeated one counts as it ended.

    One whose recipe cannot be read has a recipe without ops.
    """
    packers = _packers(records)
    by_number: dict[int, Trial] = {}
    for record in records:
        if record.type in ("finished", "confirmed"):
            try:
                recipe = _recipe_of(record.fields, packers)
                trial = unpack_trial(record.fields["trial"], recipe)
            except WRONG_CONTENT:
                continue
            by_number[trial.number] = trial
    return (by_number[number] for number in sorted(by_number))


def _packers(records: tuple[Record, ...]) -> dict[str, RecipePacker]:
    found = {}
    for record in records:
        if record.type == "base":
            try:
                base = unpack_base(record.fields["recipe"])
            except WRONG_CONTENT:
                continue
            found[base.fingerprint] = RecipePacker(base)
    return found


def _recipe_of(fields: Mapping[str, Any], packers: Mapping[str, RecipePacker]) -> Recipe:
    packed = fields["trial"]["recipe"]
    packer = packers.get(packed.get("base", ""), RecipePacker(_NO_RECIPE))
    try:
        return packer.unpack(packed, fields["fingerprint"])
    except WRONG_CONTENT:
        return _NO_RECIPE
