"""Trials in processes of their own: every way to break one, and what the search makes of it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from inc_core.common import DataLoader
from inc_core.errors import ConfigError, EvaluationError
from inc_core.testing.toy import ToyAccuracy
from inc_core.tuning.runner.worker import Worker

HERE = Path(__file__).parent
ONE = {"name": "process"}


@pytest.fixture
def faults(monkeypatch):
    """The module ``trial_faults``, importable here and so in the trials' processes."""
    monkeypatch.syspath_prepend(HERE)
    import trial_faults

    return trial_faults


class InThrees:
    """Proposes ever more float ops, three recipes at a time."""

    def propose(self, space, context):
        recipes = [space.default()]
        for op in space.ops:
            recipes.append(recipes[0].with_op(op, space.fallback(op)))
        recipes.append(space.all_float())
        for first in range(0, len(recipes), 3):
            yield recipes[first : first + 3]


def outcome(result):
    """Return what must be equal on every runner."""
    trials = [
        (trial.number, trial.recipe.fingerprint, trial.accuracy, trial.accepted, trial.status)
        for trial in result.trials
    ]
    return trials, result.best.recipe.fingerprint, result.stopped_by


def statuses(result):
    return [trial.status for trial in result.trials]


def alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_until(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


class TestSame:
    @pytest.fixture
    def run(self, faults, tmp_path):
        def run(runner, **tuning):
            quantizer = faults.make_quantizer(tmp_path, runner, **tuning)
            quantizer.strategy = InThrees()
            return quantizer.fit().result

        return run

    @pytest.mark.parametrize("timeout", [0, 3600], ids=["first", "all"])
    def test_every_runner_finds_the_same_by_the_same_trials(self, run, timeout):
        policy = {"exit_policy": {"timeout": timeout}, "objective": "modelsize"}
        inline = outcome(run({"name": "inline"}, **policy))
        assert outcome(run({"name": "process", "workers": 1}, **policy)) == inline
        assert outcome(run({"name": "process", "workers": 2}, **policy)) == inline

    @pytest.mark.slow  # eight processes on two cores
    def test_beyond_four_workers_an_evaluation_in_parts_gives_the_same(self, faults, tmp_path):
        def run(runner):
            quantizer = faults.make_quantizer(
                tmp_path, runner, exit_policy={"timeout": 3600}, objective="modelsize"
            )
            dataset = quantizer.eval_dataloader.dataset
            quantizer.eval_dataloader = DataLoader(dataset, batch_size=8)
            quantizer.strategy = InThrees()
            return outcome(quantizer.fit().result)

        inline = run({"name": "inline"})
        assert run({"name": "process", "workers": 8}) == inline
        assert len(faults.evaluations(tmp_path)) == 8 * len(inline[0])

    def test_a_list_runs_side_by_side_and_children_are_kept(self, faults, tmp_path):
        quantizer = faults.make_quantizer(
            tmp_path, {"name": "process", "workers": 2}, {0: "meet"},
            culprits=(1, 2), exit_policy={"on_goal_not_met": "best_seen"},
        )  # fmt: skip
        quantizer.strategy = InThrees()
        quantizer.fit()
        pids = faults.evaluations(tmp_path)
        assert len(pids) == 6
        assert len(set(pids)) == 2
        assert not any(map(alive, pids))


class TestBroken:
    @pytest.fixture
    def run(self, faults, tmp_path):
        def run(broken, runner=ONE, **tuning):
            return faults.make_quantizer(tmp_path, runner, broken, **tuning).fit().result

        return run

    @pytest.mark.parametrize(
        ("fault", "error"),
        [
            ("abort", r"SIGABRT: the process of the trial died \[at trial_faults.py:\d+ in "),
            ("exit", "exit code 3: the process of the trial died"),
        ],
    )
    def test_a_crash_is_tried_once_more_then_recorded_and_the_search_goes_on(
        self, run, faults, tmp_path, fault, error
    ):
        result = run({1: fault, 2: fault})
        assert statuses(result)[:2] == ["crashed", "ok"]
        assert re.match(error, result.trials[0].error)
        assert result.best is not None
        first, second, third = faults.evaluations(tmp_path)[:3]
        assert len({first, second, third}) == 3

    def test_killed_from_outside_a_trial_runs_again_and_nothing_is_lost(self, run):
        undisturbed = run({})
        result = run({9: "kill"})
        assert outcome(result) == outcome(undisturbed)

    def test_a_process_killed_between_trials_is_replaced(self, faults, tmp_path, caplog):
        class Killer:
            def propose(self, space, context):
                yield space.default()
                (pid,) = faults.evaluations(tmp_path)
                os.kill(pid, signal.SIGKILL)
                assert wait_until(lambda: not alive(pid))
                yield space.all_float()

        quantizer = faults.make_quantizer(tmp_path, ONE)
        quantizer.strategy = Killer()
        assert statuses(quantizer.fit().result) == ["ok", "ok"]
        assert "runs once more" not in caplog.text

    def test_a_process_killed_after_it_was_sent_a_trial_it_has_not_taken_up_is_replaced(
        self, faults, tmp_path, caplog, monkeypatch
    ):
        stopped = []

        class Killer:
            def propose(self, space, context):
                yield space.default()
                stopped.extend(faults.evaluations(tmp_path))
                os.kill(stopped[0], signal.SIGSTOP)
                yield space.all_float()

        def start_and_kill(worker, *arguments):
            start(worker, *arguments)
            while stopped:
                os.kill(stopped.pop(), signal.SIGKILL)

        start = Worker.start
        monkeypatch.setattr(Worker, "start", start_and_kill)
        quantizer = faults.make_quantizer(tmp_path, ONE)
        quantizer.strategy = Killer()
        assert statuses(quantizer.fit().result) == ["ok", "ok"]
        assert len(set(faults.evaluations(tmp_path))) == 2
        assert "runs once more" not in caplog.text

    def test_a_hang_is_killed_and_the_place_is_named(self, run):
        result = run({1: "hang"}, {**ONE, "trial_timeout": 5})
        assert statuses(result)[:2] == ["timeout", "ok"]
        assert result.trials[0].error.startswith("Timeout: no result within 5 s [at trial_faults")

    def test_too_much_memory_is_noticed_in_time(self, run):
        result = run({1: "hog", 2: "hog"}, {**ONE, "memory_limit_mb": 200})
        assert statuses(result)[:2] == ["oom", "ok"]
        assert "MB in use, 200 MB are allowed" in result.trials[0].error

    def test_one_that_has_enough_memory_alone_is_fine_and_fewer_run_from_then_on(self, run, caplog):
        with caplog.at_level("INFO"):
            result = run({1: "hog"}, {**ONE, "workers": 2, "memory_limit_mb": 200})
        assert statuses(result)[0] == "ok"
        assert "memory is short: 1 at a time from now on" in caplog.text

    def test_what_has_too_little_memory_runs_once_more_with_half_the_batch(self, run, caplog):
        undisturbed = run({}, culprits=())
        result = run({0: "greedy"}, {**ONE, "memory_limit_mb": 420}, culprits=())
        assert outcome(result) == outcome(undisturbed)
        assert "it runs once more, alone, with smaller batches" in caplog.text

    def test_three_that_crash_alike_end_the_search(self, run):
        with pytest.raises(EvaluationError, match="3 recipes in a row failed alike: SIGABRT"):
            run({0: "abort"})


class TestStart:
    def test_a_metric_that_cannot_be_sent_is_an_error_with_the_remedy(self, faults, tmp_path):
        class Local(ToyAccuracy):
            pass

        quantizer = faults.make_quantizer(tmp_path, ONE)
        quantizer.metric = Local
        with pytest.raises(ConfigError, match=r"(?s)Local.*top level of a module.*name: inline"):
            quantizer.fit()

    def test_a_process_that_cannot_start_shows_its_last_words(self, faults, tmp_path, monkeypatch):
        (tmp_path / "only_here.py").write_text(
            "import os\n"
            "from inc_core.testing.toy import ToyAccuracy as Base\n"
            "if 'INC_TRIAL_PROCESS' in os.environ: raise ImportError('no such thing')\n"
            "class Metric(Base): pass\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        import only_here

        quantizer = faults.make_quantizer(tmp_path, ONE)
        quantizer.metric = only_here.Metric
        with pytest.raises(
            EvaluationError,
            match=r"(?s)could not start \(exit code 1\).*ImportError: no such thing",
        ):
            quantizer.fit()

    def test_a_script_without_guard_is_told_so(self, tmp_path):
        script = tmp_path / "script.py"
        script.write_text(
            "import sys\n"
            f"sys.path.insert(0, {str(HERE)!r})\n"
            "import trial_faults\n"
            "class Metric(trial_faults.Faulty): pass\n"
            f"quantizer = trial_faults.make_quantizer({str(tmp_path)!r}, {{'name': 'process'}})\n"
            f"quantizer.metric = Metric({str(tmp_path)!r}, {{}})\n"
            "quantizer.fit()\n"
        )
        done = subprocess.run(
            [sys.executable, script], env=environment(), capture_output=True, text=True
        )
        assert done.returncode
        assert "Put what it does under: if __name__ == '__main__'" in done.stderr


def environment():
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


class TestEnd:
    @pytest.fixture
    def hanging(self, faults, tmp_path):
        """A search in a process of its own whose first trial hangs, and the trial's process id."""
        parent = subprocess.Popen(
            [sys.executable, HERE / "trial_faults.py", tmp_path, "1", "hang"],
            env={**environment(), "TMPDIR": str(tmp_path)},  # a killed one leaves its files
            stdout=subprocess.PIPE, stderr=(tmp_path / "errors").open("w"), text=True,
        )  # fmt: skip
        assert wait_until(lambda: faults.evaluations(tmp_path))
        (child,) = faults.evaluations(tmp_path)
        assert alive(child)
        yield parent, child
        parent.kill()
        parent.communicate()

    def test_when_the_search_is_killed_its_processes_end_too(self, hanging):
        parent, child = hanging
        parent.kill()
        parent.wait()
        assert wait_until(lambda: not alive(child))

    def test_a_second_signal_ends_everything_at_once(self, hanging, tmp_path):
        parent, child = hanging
        parent.send_signal(signal.SIGINT)
        assert wait_until(lambda: "once more stops at once" in (tmp_path / "errors").read_text())
        parent.send_signal(signal.SIGINT)
        parent.communicate(timeout=60)  # the trial would take 300 s
        assert not alive(child)
