from __future__ import annotations

import json

import pytest

from inc_core.config.types import ExitPolicyConfig
from inc_core.errors import WorkspaceError
from inc_core.hookspecs.strategy import Forecast
from inc_core.tuning.journal import read_journal
from inc_core.tuning.loop import tune
from inc_core.tuning.report import (
    picture_of,
    render_facts,
    report_from_facts,
    report_from_run,
    report_from_run_json,
)
from inc_core.tuning.story import rows_of, story_from_facts, story_from_records
from inc_core.tuning.workspace import open_run, record_facts

FACTS = {
    "goal_met": True,
    "evaluated": True,
    "accuracy": {"baseline": 0.8, "final": 0.795, "threshold": 0.792, "higher_is_better": True},
    "latency": {
        "baseline": {"median": 0.02, "q1": 0.019, "q3": 0.021},
        "tuned": {"median": 0.01, "q1": 0.0099, "q3": 0.0102},
        "speedup": 2.0,
        "speedup_lo": 1.95,
        "speedup_hi": 2.05,
        "rounds": 200,
    },
    "size_mb": {"baseline": 4.0, "final": 1.0},
    "ops": {"Conv": {"int8": 20, "fp32": 1}, "Add": {"fp32": 6}},
    "float_ops": {"conv9": "float in trial 3", **{f"add{n}": "no kernel" for n in range(6)}},
    "search": {
        "trials": 3,
        "chosen": 3,
        "samples": 40_000,
        "seconds": 12.3,
        "stopped_by": "goal_met",
        "message": "trial 3 met the accuracy goal",
        "history_complete": True,
    },
}


def changed(**parts):
    return {**FACTS, **parts}


def test_the_whole_report():
    assert render_facts(FACTS).splitlines() == [
        "Result: accuracy goal met",
        "                float                     tuned",
        "  accuracy      0.8000                    0.7950                   goal >= 0.7920",
        "  latency (ms)  20.000 (19.000 - 21.000)  10.000 (9.900 - 10.200)  "
        "2.00x [95 %: 1.95 - 2.05], 200 interleaved rounds",
        "  size (MB)     4.00                      1.00                     4.00x smaller",
        "Ops by precision:",
        "        total  fp32  int8",
        "  Add   6      6     0",
        "  Conv  21     1     20",
        "Ops that stayed float:",
        "  add0, add1, add2, add3, ... (6 ops): no kernel",
        "  conv9: float in trial 3",
        "Search: 3 trial(s), trial 3 chosen, 40000 samples evaluated, 12.3 s",
        "Stopped because the accuracy goal was met: trial 3 met the accuracy goal",
    ]


def test_a_goal_that_was_not_met_is_said_first():
    assert render_facts(changed(goal_met=False)).startswith(
        "Result: accuracy goal NOT met (best seen)"
    )


def test_without_evaluation_there_is_no_accuracy():
    text = render_facts(
        changed(
            evaluated=False,
            goal_met=False,
            accuracy={"baseline": None, "final": None, "threshold": None},
        )
    )
    assert text.startswith("Result: converted; accuracy was NOT evaluated")
    assert "accuracy  " not in text


def test_a_float_model_is_called_one():
    text = render_facts(changed(ops={"Conv": {"fp32": 21}}))
    assert "no quantized op could be kept: this is the float model" in text


def test_a_slower_model_is_called_slower():
    latency = {**FACTS["latency"], "speedup": 0.5, "speedup_lo": 0.4, "speedup_hi": 0.6}
    assert "SLOWER than the float model on this machine" in render_facts(changed(latency=latency))


def test_an_incomplete_history_is_said():
    search = {**FACTS["search"], "history_complete": False}
    assert "History incomplete" in render_facts(changed(search=search))


def test_lower_is_better_turns_the_goal():
    accuracy = {**FACTS["accuracy"], "higher_is_better": False}
    assert "goal <= 0.7920" in render_facts(changed(accuracy=accuracy))


@pytest.mark.parametrize("missing", sorted(FACTS))
def test_what_is_not_known_is_left_out(missing):
    assert render_facts({name: part for name, part in FACTS.items() if name != missing})


@pytest.fixture
def finished_run(search, tmp_path):
    lines = []
    with open_run(tmp_path, {"model": "m"}, seed=1) as journal:
        result = tune(search.job(journal=journal, say=lines.append))
    return tmp_path, journal, result, lines


def test_a_run_reports_each_trial_from_its_journal(finished_run):
    workspace, _, result, _ = finished_run
    report = report_from_run(workspace).splitlines()
    assert report[0].startswith("run-0001: stopped because the accuracy goal was met: trial")
    assert report[1] == "Trials (float 1.0000, 0.0100 may be lost):"
    assert report[2].split()[:5] == ["trial", "outcome", "accuracy", "loss", "expected"]
    assert len(report[3:-1]) == len(result.trials)
    for line, trial in zip(report[3:-1], result.trials, strict=True):
        cells = line.split()
        assert cells[0].lstrip("*>") == str(trial.number)
        assert cells[1] == ("accepted" if trial.accepted else "rejected")
        assert cells[2].lstrip("~") == f"{trial.accuracy:.4f}" or cells[2] == "early"


def test_the_chosen_trial_is_marked(finished_run):
    workspace, _, result, _ = finished_run
    marked = [line for line in report_from_run(workspace).splitlines() if line.startswith("  >")]
    assert len(marked) == 1
    assert marked[0].split()[0] == f">{result.best.number}"


def test_the_same_run_is_drawn(finished_run):
    workspace, journal, result, _ = finished_run
    picture = picture_of(story_from_records("run-0001", read_journal(journal.path)), workspace)
    assert picture.count("data-trial=") == 1 + len(result.trials)
    assert f">trial {result.best.number}: " in picture


def test_a_run_without_trials_cannot_be_drawn(tmp_path):
    with pytest.raises(WorkspaceError, match="there is nothing to draw"):
        picture_of(None, tmp_path)


def test_with_facts_the_final_report_follows(finished_run):
    workspace, journal, *_ = finished_run
    record_facts(journal, FACTS)
    assert report_from_run(workspace / "run-0001").endswith(render_facts(FACTS))


def test_the_same_as_plain_values(finished_run):
    workspace, journal, result, _ = finished_run
    record_facts(journal, FACTS)
    report = json.loads(json.dumps(report_from_run_json(workspace)))
    assert report["run"] == "run-0001"
    assert len(report["trials"]) == len(result.trials)
    assert report["baseline"]["accuracy"] == 1.0
    assert report["stopped"]["reason"] == "goal_met"
    assert report["facts"]["goal_met"] is True
    assert report["header"]["fingerprint"] == {"model": "m"}


def test_a_killed_run_is_unfinished(finished_run):
    workspace, journal, *_ = finished_run
    lines = journal.path.read_bytes().splitlines(keepends=True)
    journal.path.write_bytes(b"".join(lines[:6]))
    assert report_from_run(workspace).startswith("run-0001: unfinished\nTrials (float 1.0000")


def test_a_finished_run_has_nothing_left_and_says_what_it_found(finished_run):
    workspace, _, result, _ = finished_run
    assert report_from_run(workspace).endswith(f"\n  best: trial {result.best.number}, loss 0.0000")


class Foreseeing:
    """Tries the default recipe and what it can take back of it, and says what it still expects."""

    def propose(self, space, context):
        recipe = space.default()
        for number, op in enumerate(space.ops, 1):
            context.foresee(recipe, Forecast(bound=3.0 - number / 2, trials_left=40 - number))
            yield recipe
            recipe = recipe.with_op(op, space.fallback(op))


def reported_when_killed_after(search, tmp_path, trials, **limits):
    """Return the last line on a run whose journal ends with its ``trials``-th trial."""
    with open_run(tmp_path, {"model": "m"}, seed=1) as journal:
        job = search.job(
            journal=journal, strategy=Foreseeing(), exit_policy=ExitPolicyConfig(**limits)
        )
        tune(job)
    lines = journal.path.read_bytes().splitlines(keepends=True)
    ends = [number for number, line in enumerate(lines, 1) if b'"finished"' in line]
    journal.path.write_bytes(b"".join(lines[: ends[trials - 1]]))
    return report_from_run(tmp_path).splitlines()[-1]


def test_an_unfinished_run_says_what_is_thought_possible_and_what_is_left(search, tmp_path):
    line = reported_when_killed_after(search, tmp_path, 2)
    assert line == "  best: none yet; thought possible: 2.00x; left: 37 trial(s)"


def test_the_limits_of_an_unfinished_run_are_those_it_was_started_with(search, tmp_path):
    line = reported_when_killed_after(search, tmp_path, 2, max_trials=5, timeout=10_000.0)
    assert "; left: 3 trial(s), " in line
    assert 9_000 < float(line.split(", ")[-1].removesuffix(" s")) <= 10_000


def test_what_ran_when_it_was_killed_is_said(finished_run):
    workspace, journal, *_ = finished_run
    lines = journal.path.read_bytes().splitlines(keepends=True)
    ends = [number for number, line in enumerate(lines) if b'"finished"' in line]
    journal.path.write_bytes(b"".join(lines[: ends[1]]))  # all but the end of trial 2
    assert "  trial 2 was started and has not ended" in report_from_run(workspace).splitlines()


def test_without_a_run_there_is_an_error(tmp_path):
    with pytest.raises(WorkspaceError, match="no run here"):
        report_from_run(tmp_path)


@pytest.fixture
def remembered(finished_run):
    """The facts of a saved model that tell of this run's trials."""
    *_, result, _ = finished_run
    rows = [dict(vars(row)) for row in rows_of(result.trials, result.baseline)]
    search = {**FACTS["search"], "history": rows, "baseline_seconds": None, "bound": None}
    return json.loads(json.dumps(changed(search=search)))


def test_a_saved_model_tells_of_its_trials(remembered, finished_run):
    *_, result, _ = finished_run
    report = report_from_facts(remembered).splitlines()
    assert (
        report[: len(render_facts(remembered).splitlines())]
        == render_facts(remembered).splitlines()
    )
    assert len(report) == len(render_facts(remembered).splitlines()) + 3 + len(result.trials)
    assert report[-1].startswith(f"  best: trial {FACTS['search']['chosen']}, loss ")


def test_a_saved_model_is_drawn_without_its_workspace(remembered, finished_run):
    *_, result, _ = finished_run
    picture = picture_of(story_from_facts(remembered), "out")
    assert picture.count("data-trial=") == 1 + len(result.trials)


def test_a_model_saved_before_trials_were_kept_is_reported_all_the_same():
    assert report_from_facts(FACTS) == render_facts(FACTS)
    assert story_from_facts(FACTS) is None
