"""Trials on two local Dask workers, which are lost, poisoned, hung, refused and joined late."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import pytest

from inc_core import common
from inc_core.errors import EngineLostError
from inc_core.tuning.runner import board, bundle
from inc_core.tuning.runner.bundle import Bundle

pytest.importorskip("distributed")

pytestmark = [pytest.mark.slow, pytest.mark.distributed]

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def modules():
    """``dask_cluster`` and ``trial_faults`` can be imported."""
    path = pytest.MonkeyPatch()
    path.syspath_prepend(HERE)
    yield
    path.undo()


@pytest.fixture(scope="session")
def started(modules, tmp_path_factory):
    from dask_cluster import LocalCluster

    cluster = LocalCluster(tmp_path_factory.mktemp("dask"))
    yield cluster
    cluster.close()


@pytest.fixture
def cluster(started):
    """Two healthy workers and a scheduler."""
    started.have(2)
    return started


@pytest.fixture
def faults(started):
    import trial_faults

    return trial_faults


def outcome(result):
    trials = [
        (trial.number, trial.recipe.fingerprint, trial.accuracy, trial.accepted, trial.status)
        for trial in result.trials
    ]
    return trials, result.best.recipe.fingerprint, result.stopped_by


class Strategy:
    """Proposes ever more float ops, some recipes at a time."""

    def __init__(self, at_once):
        self.at_once = at_once

    def propose(self, space, context):
        recipes = [space.default()]
        for op in space.ops:
            recipes.append(recipes[0].with_op(op, space.fallback(op)))
        recipes.append(space.all_float())
        for first in range(0, len(recipes), self.at_once):
            yield recipes[first : first + self.at_once]


@pytest.fixture
def search(cluster, faults, tmp_path):
    def search(broken=(), runner=None, *, one_by_one=False, batch=None):
        runner = {
            "name": "dask", "address": cluster.address, "workers": 2, "trial_timeout": 60,
            "reconnect_timeout": 60, "on_engine_loss": "fail", **(runner or {}),
        }  # fmt: skip
        return tune(faults, tmp_path, runner, broken, 1 if one_by_one else 2, batch)

    return search


def tune(faults, folder, runner, broken=(), at_once=2, batch=None):
    policy = {"exit_policy": {"timeout": 3600}, "objective": "modelsize"}
    quantizer = faults.make_quantizer(folder, runner, broken, **policy)
    quantizer.strategy = Strategy(at_once)
    if batch is not None:
        dataset = quantizer.eval_dataloader.dataset
        quantizer.eval_dataloader = common.DataLoader(dataset, batch_size=batch)
    return quantizer.fit().result


@pytest.fixture(scope="session")
def inline(modules, tmp_path_factory):
    """The outcome without any cluster."""
    import trial_faults

    return outcome(tune(trial_faults, tmp_path_factory.mktemp("inline"), {"name": "inline"}))


class Watcher:
    """Does something beside a search, once something is the case."""

    def __init__(self, condition, action):
        self._thread = threading.Thread(target=self._run, args=(condition, action), daemon=True)
        self._thread.start()

    def _run(self, condition, action):
        from dask_cluster import wait_until

        if wait_until(condition):
            action()

    def done(self):
        self._thread.join(60)
        return not self._thread.is_alive()


class TestModel:
    def test_by_path_the_same_trials_and_winner_as_inline(self, search, inline, caplog):
        with caplog.at_level("INFO"):
            result = search()
        assert outcome(result) == inline
        assert re.search(r"reads [1-9]\d* files of the job by itself and was sent 0", caplog.text)
        sent = r"workers get the code of .*trial_faults\.Faulty.*less reproducible"
        assert re.search(sent, caplog.text)

    def test_by_content_where_its_path_is_not_there(
        self, cluster, search, inline, caplog, monkeypatch
    ):
        cluster.have(0)
        cluster.have(2)  # what they were sent before is gone
        entries = Bundle.entries

        def of_another_machine(bundle):
            return [entry._replace(path=f"/nowhere/{entry.name}") for entry in entries(bundle)]

        monkeypatch.setattr(Bundle, "entries", of_another_machine)
        monkeypatch.setattr(bundle, "CHUNK_BYTES", 16_384)  # of several chunks
        with caplog.at_level("INFO"):
            result = search()
        assert outcome(result) == inline
        assert re.search(r"reads 0 files of the job by itself and was sent [1-9]", caplog.text)


class TestTrials:
    def test_a_worker_killed_in_a_trial_costs_nothing(self, search, inline, caplog):
        assert outcome(search({2: "kill_parent"})) == inline
        assert re.search(r"trial \d: tcp://\S+ was lost with it; it runs elsewhere", caplog.text)

    def test_a_trial_that_kills_its_worker_twice_is_given_up(self, cluster, search, inline):
        cluster.have(3)
        result = search({1: "kill_parent", 2: "kill_parent"}, one_by_one=True)
        first, *_ = result.trials
        assert first.status == "crashed"
        assert re.match(r"Poison: the workers tcp://\S+ and tcp://\S+ were lost", first.error)
        expected, winner, stop = inline
        assert outcome(result)[0][1:] == expected[1:]
        assert outcome(result)[1:] == (winner, stop)

    def test_a_hung_trial_is_killed_and_runs_elsewhere(self, search, inline, caplog):
        assert outcome(search({2: "hang"}, {"trial_timeout": 5})) == inline
        place = r"Timeout: no result within 5 s \[at \S+:\d+ in <lambda>\]"
        assert re.search(place, caplog.text)
        assert "it runs once more" in caplog.text

    def test_a_crash_in_native_code_spares_the_worker(self, cluster, search, inline):
        assert outcome(search({1: "abort"})) == inline
        assert cluster.count() == 2

    def test_an_evaluation_in_parts_gives_the_same(
        self, search, inline, faults, tmp_path, monkeypatch
    ):
        monkeypatch.setattr(board, "STRAGGLES_SECONDS", 3600)  # evaluations are counted
        both = {1: "meet", 2: "meet"}  # the one that is ready first leaves something to the other
        assert outcome(search(both, {"workers": 8}, batch=8)) == inline
        pids = faults.evaluations(tmp_path)
        assert len(pids) == 8 * len(inline[0])  # every batch of every trial, once
        assert len(set(pids)) == 2


class TestWorkers:
    def test_one_that_joins_late_is_used(self, cluster, search, inline, tmp_path):
        cluster.have(1)
        joining = Watcher(lambda: list(tmp_path.glob("here-*")), cluster.add_worker)
        assert outcome(search({1: "meet", 2: "meet"})) == inline
        assert joining.done()
        assert len(list(tmp_path.glob("here-*"))) == 2  # two were there at the same time

    def test_one_of_another_version_is_refused(self, cluster, search, inline, tmp_path, caplog):
        cluster.have(1)
        (tmp_path / "sitecustomize.py").write_text("import numpy; numpy.__version__ = '0.1'\n")
        from dask_cluster import end, wait_until

        other = cluster.add_worker(path=[tmp_path])
        assert wait_until(lambda: cluster.count() == 2)
        try:
            held = {1: "latch"}
            releasing = Watcher(lambda: "is refused" in caplog.text, (tmp_path / "released").touch)
            assert outcome(search(held)) == inline
            assert releasing.done()
        finally:
            end(other)
        assert re.search(r"worker tcp://\S+ is refused: numpy is 0.1 there and", caplog.text)


def test_a_dry_run_says_which_workers_take_trials(cluster, faults, tmp_path):
    runner = {"name": "dask", "scheduler_file": str(cluster.folder / "scheduler.json")}
    report = faults.make_quantizer(tmp_path, runner).check()
    first, last = report.runner
    assert first.startswith("on 2 of 2 workers of the Dask cluster at scheduler file")
    assert last == "latency is measured on this machine"


class TestScheduler:
    def test_one_that_comes_back_costs_nothing(self, cluster, search, inline, tmp_path, caplog):
        def restart():
            cluster.end_scheduler()
            (tmp_path / "released").touch()
            cluster.have(2)

        restarting = Watcher((tmp_path / "reached").exists, restart)
        with caplog.at_level("INFO"):
            assert outcome(search({2: "latch"})) == inline
        assert restarting.done()
        assert "the scheduler is out of reach" in caplog.text
        assert "the scheduler is back" in caplog.text

    def test_without_one_the_rest_runs_here(self, cluster, search, inline, tmp_path, caplog):
        ending = Watcher((tmp_path / "reached").exists, cluster.end_scheduler)
        loss = {"reconnect_timeout": 1, "on_engine_loss": "local"}
        assert outcome(search({2: "latch"}, loss)) == inline
        assert ending.done()
        assert "the rest runs in processes on this machine" in caplog.text

    def test_none_from_the_start_is_an_error_that_names_it(self, search):
        with pytest.raises(
            EngineLostError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"
        ):
            search(runner={"address": "tcp://127.0.0.1:9"})
