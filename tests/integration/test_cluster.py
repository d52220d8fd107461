"""Workers that come and go on a link in memory; their trials run in real processes."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from inc_core.errors import EngineLostError
from inc_core.facade import runners
from inc_core.tuning.runner import board
from inc_core.tuning.runner.bundle import Store
from inc_core.tuning.runner.host import Host
from inc_core.tuning.runner.link import LinkLostError, PlaceLostError

pytest.importorskip("cloudpickle")

HERE = Path(__file__).parent


class Link:
    """Workers are hosts in this process, by address; ``fault`` is called before each call."""

    def __init__(self, folder, names):
        self.hosts = {
            name: Host(folder / name / "run", Store(folder / name / "files")) for name in names
        }
        self.lost = False
        self.calls = []
        self.fault = lambda name, method: None

    def connect(self):
        """Stand in for the address."""
        if self.lost:
            raise EngineLostError("no scheduler answers")
        return self

    def workers(self):
        if self.lost:
            raise LinkLostError
        return {name: f"host of {name}" for name in self.hosts}

    def call(self, name, method, *arguments):
        self.calls.append((name, method))
        self.fault(name, method)
        worker = self.hosts.get(name)
        if worker is None or self.lost:
            raise PlaceLostError(name)
        if method == "prepare":
            arguments = (*arguments, 1, None)
        return getattr(worker, method)(*arguments)

    def tell(self, name, method, *arguments):
        getattr(self.hosts[name], method)(*arguments)

    def give_up(self, name):
        pass

    def close(self):
        for worker in self.hosts.values():
            worker.close()


@pytest.fixture
def faults(monkeypatch):
    monkeypatch.syspath_prepend(HERE)
    import trial_faults

    return trial_faults


@pytest.fixture
def link(tmp_path, monkeypatch):
    link = Link(tmp_path, ["a", "b"])
    monkeypatch.setattr(runners, "Address", lambda address, file: link)
    monkeypatch.setattr(Link, "__str__", lambda link: "the link")
    monkeypatch.setattr(board, "STRAGGLES_SECONDS", 3600)  # how often trials run is counted
    yield link
    link.close()


@pytest.fixture
def run(faults, tmp_path, link):
    def run(runner=(), broken=(), **tuning):
        runner = {
            "name": "dask", "address": "link", "reconnect_timeout": 60,
            "on_engine_loss": "fail", **dict(runner),
        }  # fmt: skip
        tuning = {"workspace": {"path": str(tmp_path / "workspace")}, **tuning}
        return faults.make_quantizer(tmp_path, runner, broken, **tuning).fit().result

    return run


def outcome(result):
    trials = [(t.number, t.recipe.fingerprint, t.accuracy, t.status) for t in result.trials]
    return trials, result.best.recipe.fingerprint


@pytest.fixture
def inline(faults, tmp_path):
    return outcome(faults.make_quantizer(tmp_path, {"name": "inline"}).fit().result)


def wait_until(condition):
    end = time.monotonic() + 60
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)


def lose_after(link, runs):
    """Lose the link when a worker shall run something for the time after that many."""

    def fault(name, method):
        if method == "run" and sum(call[1] == "run" for call in link.calls) > runs:
            link.lost = True

    link.fault = fault


def test_outcomes_are_those_of_inline(run, inline):
    assert outcome(run()) == inline


@pytest.mark.parametrize("seed", [1, 2])
def test_each_seed_has_its_winner_on_every_runner(faults, tmp_path, link, seed):
    def found(runner):
        quantizer = faults.make_quantizer(
            tmp_path, {**runner, "workers": 2}, culprits=(1, 2), strategy="random",
            random_seed=seed, objective="modelsize",
            exit_policy={"timeout": 3600, "max_trials": 6, "on_goal_not_met": "best_seen"},
        )  # fmt: skip
        result = quantizer.fit().result
        trials = [(t.number, t.recipe.fingerprint, t.accuracy, t.status) for t in result.trials]
        return trials, result.best_seen().recipe.fingerprint

    inline = found({"name": "inline"})
    assert found({"name": "process"}) == inline
    assert found({"name": "dask", "address": "link"}) == inline


def test_a_call_that_is_lost_though_its_worker_is_there_runs_again(run, link, inline):
    lost = []

    def fault(name, method):
        if method == "run" and not lost:
            lost.append(name)
            raise PlaceLostError(name)

    link.fault = fault
    del link.hosts["b"]  # nobody else can finish the search before the worker is used again
    assert outcome(run()) == inline
    assert link.calls.count(("a", "prepare")) == 2


def test_a_lost_engine_pauses_the_search_and_another_runner_takes_it_up(run, link, inline):
    lose_after(link, 1)
    paused = run(
        {"reconnect_timeout": 0.2, "on_engine_loss": "pause"},
        exit_policy={"on_goal_not_met": "best_seen"},
    )
    assert paused.stopped_by == "interrupted"
    assert "What finished is in the journal: the search is paused" in paused.message
    assert len(paused.trials) == 1
    link.lost = False
    link.fault = lambda name, method: None
    taken_up = run(exit_policy={"on_goal_not_met": "best_seen"})
    assert outcome(taken_up) == inline
    assert sum(method == "run" for _, method in link.calls) == 1 + len(inline[0])


def test_or_fails_it(run, link):
    lose_after(link, 0)
    with pytest.raises(EngineLostError, match=r"out of reach since 0.2 s \(the link\). What"):
        run({"reconnect_timeout": 0.2})


def test_or_goes_on_here(run, link, inline, caplog):
    lose_after(link, 1)
    assert outcome(run({"reconnect_timeout": 0.2, "on_engine_loss": "local"})) == inline
    assert "the rest runs in processes on this machine" in caplog.text


def test_no_worker_at_all_is_a_lost_engine_too(run, link):
    link.hosts.clear()
    with pytest.raises(EngineLostError, match=r"no worker takes trials since 0.2 s"):
        run({"reconnect_timeout": 0.2})


def test_a_worker_without_this_package_is_refused_with_the_reason(run, link, inline, caplog):
    refusal = "worker a is refused: ModuleNotFoundError: No module named 'inc_core'"

    def fault(name, method):
        if name == "a":
            raise ModuleNotFoundError("No module named 'inc_core'")
        wait_until(lambda: method != "run" or refusal in caplog.text)

    link.fault = fault
    assert outcome(run()) == inline
    assert refusal in caplog.text


def test_a_worker_that_cannot_hold_the_model_is_refused(run, link, caplog):
    with pytest.raises(EngineLostError):
        run({"reconnect_timeout": 0.2, "memory_limit_mb": 1})
    assert re.search(r"worker a is refused: a trial takes some \d+ MB, and has 1 MB", caplog.text)


def test_a_worker_that_was_idle_for_too_long_prepares_again(run, link, inline):
    closed = []

    def fault(name, method):
        if method == "run" and not closed:
            closed.append(name)
            link.hosts[name].close()

    link.fault = fault
    assert outcome(run()) == inline
    assert link.calls.count((closed[0], "prepare")) == 2
