from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from inc_core.tuning.journal import read_journal
from inc_core.tuning.workspace import runs_of

SEARCH = Path(__file__).with_name("killable_search.py")
TRIALS = 30
LONGEST = 0.06  # seconds until the kill, a few evaluations at most


def start(workspace: Path, log: Path) -> subprocess.Popen[str]:
    """Start the search and wait until it is about to open its workspace."""
    process = subprocess.Popen(
        [sys.executable, str(SEARCH), str(workspace), str(log)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def finish(process: subprocess.Popen[str]) -> None:
    process.communicate()
    assert process.returncode == 0


def kill(process: subprocess.Popen[str], after: float) -> bool:
    """Kill -9 after some seconds; return false if the search was faster."""
    time.sleep(after)
    if process.poll() is not None:
        return False
    process.kill()
    process.communicate()
    return True


def check_run(workspace: Path, log: Path, kills: int) -> None:
    """No finished trial ran again: in the journal's words, and by the count of evaluations."""
    (run,) = runs_of(workspace)
    finished: set[str] = set()
    for record in read_journal(run / "journal.jsonl"):
        if record.type == "asked":
            assert record.fields["fingerprint"] not in finished
        elif record.type == "finished":
            finished.add(record.fields["fingerprint"])
    assert len(finished) == TRIALS
    evaluations = Counter(log.read_text().split())
    baseline_and_trials = 1 + TRIALS
    assert evaluations.total() <= baseline_and_trials + kills  # one was running at each kill


def winner(workspace: Path) -> str:
    """Return the recipe that the journal accepted last."""
    (run,) = runs_of(workspace)
    records = read_journal(run / "journal.jsonl")
    number = [record.fields["number"] for record in records if record.type == "accepted"][-1]
    finished = (record.fields for record in records if record.type == "finished")
    return next(f["fingerprint"] for f in finished if f["trial"]["number"] == number)


def is_closed(workspace: Path) -> bool:
    return any(
        record.type == "closed"
        for run in runs_of(workspace)
        for record in read_journal(run / "journal.jsonl")
    )


def search_with_kills(folder: Path, kills: int, seed: int) -> None:
    """Kill searches until there were enough kills; each is started again until it is closed."""
    finish(start(folder / "undisturbed", folder / "undisturbed.log"))
    expected = winner(folder / "undisturbed")
    rng = random.Random(seed)
    left = kills
    while left:
        workspace, log = folder / f"killed{left}", folder / f"killed{left}.log"
        killed = 0
        while not is_closed(workspace):
            process = start(workspace, log)
            if left == 0:
                finish(process)
            elif kill(process, rng.uniform(0, LONGEST)):
                left -= 1
                killed += 1
        assert winner(workspace) == expected
        check_run(workspace, log, killed)


def test_killed_at_random_moments_the_winner_is_the_same_and_no_finished_trial_runs_again(tmp_path):
    search_with_kills(tmp_path, kills=6, seed=1)


@pytest.mark.slow
def test_killed_fifty_times(tmp_path):
    search_with_kills(tmp_path, kills=50, seed=2)
