"""What a journal says about trials: replay of finished ones, recall of equal recipes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from inc_core.quant.recipe import Recipe
from inc_core.quant.spec import OpConfig, OpKey
from inc_core.tuning.checks import Scores
from inc_core.tuning.early_stop import pack_scores, unpack_scores
from inc_core.tuning.journal import Journal, Record
from inc_core.tuning.trial import Baseline, Trial

__all__ = ["History", "baseline_of", "pack_trial", "trials_of", "unpack_trial"]


class History:
    """The finished trials of one search, from its journal and from this process.

    Trials are looked up by recipe, so a damaged record costs one repeated trial and no more.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._replay: dict[str, Mapping[str, Any]] = {}
        self._numbers: set[int] = set()
        for fields in journal.of("finished"):
            self._numbers.add(fields["trial"]["number"])
            if fields["trial"]["status"] != "cached":
                self._replay.setdefault(fields["fingerprint"], fields["trial"])
        self._accepted = {fields["number"] for fields in journal.of("accepted")}
        self._done: dict[str, Trial] = {}

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

    def scores(self) -> Scores | None:
        """Return the float model's score of each sample, if they were journaled."""
        for fields in self._journal.of("measured"):
            if fields["what"] == "baseline_scores":
                return unpack_scores(fields["value"])
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
            trial = replace(unpack_trial(self._replay[fingerprint]), number=number)
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

    def confirmed(self, number: int) -> Trial | None:
        """Return an early rejected trial's evaluation on all samples, if it was journaled."""
        for fields in self._journal.of("confirmed"):
            if fields["trial"]["number"] == number:
                return unpack_trial(fields["trial"])
        return None

    def confirm(self, trial: Trial) -> None:
        """Journal that an early rejected trial was evaluated on all samples in the end."""
        self._journal.append("confirmed", trial=pack_trial(trial))

    def _journal_trial(self, trial: Trial, fingerprint: str) -> None:
        self._journal.append("finished", fingerprint=fingerprint, trial=pack_trial(trial))


def baseline_of(records: tuple[Record, ...]) -> Baseline | None:
    """Return the last journaled baseline."""
    for record in reversed(records):
        if record.type == "measured" and record.fields["what"] == "baseline":
            return Baseline(**record.fields["value"])
    return None


def trials_of(records: tuple[Record, ...]) -> Iterator[Trial]:
    """Yield the journaled trials, each number once, in order; a repeated one counts as it ended."""
    by_number = {
        record.fields["trial"]["number"]: record.fields["trial"]
        for record in records
        if record.type in ("finished", "confirmed")
    }
    return (unpack_trial(by_number[number]) for number in sorted(by_number))


def pack_trial(trial: Trial) -> dict[str, Any]:
    """Return a trial as plain values, each distinct config once: a tenth of ``Trial.to_json``."""
    index: dict[OpConfig, int] = {}
    ops = [
        [op.name, op.type, index.setdefault(config, len(index))]
        for op, config in trial.recipe.ops.items()
    ]
    recipe = {
        "configs": [config.to_json() for config in index],
        "ops": ops,
        "calib_samples": trial.recipe.calib_samples,
        "options": list(trial.recipe.options),
    }
    return {**vars(trial), "objectives": dict(trial.objectives), "recipe": recipe}


def unpack_trial(fields: Mapping[str, Any]) -> Trial:
    """Inverse of ``pack_trial``."""
    packed = fields["recipe"]
    configs = [OpConfig.from_json(config) for config in packed["configs"]]
    recipe = Recipe(
        ops={OpKey(name, type): configs[k] for name, type, k in packed["ops"]},
        calib_samples=packed["calib_samples"],
        options=tuple(packed["options"]),
    )
    return Trial(**{**fields, "recipe": recipe})
