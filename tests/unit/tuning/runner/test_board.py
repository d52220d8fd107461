"""Which trial runs where, on an engine in memory whose faults are scripted."""

from __future__ import annotations

import random
from collections import deque

import pytest

from inc_core.errors import EngineLostError
from inc_core.tuning.criterion import Criterion
from inc_core.tuning.runner.board import STRAGGLES_SECONDS, Board, Tally
from inc_core.tuning.runner.contract import Ask, Terms
from inc_core.tuning.runner.engine import Done, Failed, Gone, Place, Unstarted
from inc_core.tuning.runner.inline import InlineRunner
from inc_core.tuning.runner.work import WholeWork
from inc_core.tuning.trial import Baseline
from inc_core.tuning.trial_run import run_trial

TERMS = Terms(Criterion(0.8), None, Baseline(1.0, seconds=1.0))
A, B, C = Place("a", "one"), Place("b", "two"), Place("c", "two")


class FakeEngine:
    """Runs tickets in this process, one event at a time, in an order that is given or random.

    ``script`` names a fault by the number of the ticket, from 1: a status, ``"gone"``, ``"unstarted"``,
    or ``"slow"``, which ends only when nothing else runs.
    """

    many_machines = True

    def __init__(self, job, folder, clock, places=(A, B), script=(), seed=0):
        self.folder, self.job, self.clock = folder, job, clock
        self.script = dict(script)
        self.rng = random.Random(seed)
        self._places = list(places)
        self.running = {}
        self.sent = []  # (place, trial, alone, pieces)
        self.stopped = []
        self.lost = False

    def places(self):
        return self._places

    def is_here(self, place):
        return False

    def send(self, place, ticket):
        assert place in self._places
        assert place not in self.running
        hosts = [other.host for other in self.running]
        assert not (ticket.alone and place.host in hosts)
        self.sent.append((place.name, ticket.ask.number, ticket.alone, ticket.pieces))
        self.running[place] = ticket, self.script.get(len(self.sent))

    def stop(self, place):
        self.stopped.append(place.name)
        self.running.pop(place, None)

    def narrow(self, place):
        if len(self._places) == 1:
            return False
        self._places.remove(place)
        return True

    def events(self):
        self.clock.now += 1
        if self.lost:
            raise EngineLostError("lost")
        ready = [place for place, (_, fault) in self.running.items() if fault != "slow"]
        if not ready:
            ready = list(self.running) if self.clock.now > 100 else []
        if not ready:
            return
        place = self.rng.choice(ready)
        ticket, fault = self.running.pop(place)
        if fault == "gone":
            self._places.remove(place)
            yield Gone(place, ticket)
        elif fault == "unstarted":
            yield Unstarted(place, ticket)
        elif fault in ("oom", "crashed", "timeout"):
            yield Failed(place, ticket, fault, f"{fault} it is")
        else:
            yield Done(place, ticket, self.answer(ticket))

    def answer(self, ticket):
        trial, _ = run_trial(self.job, ticket.ask.number, ticket.ask.recipe, TERMS.criterion)
        fields = {name: value for name, value in vars(trial).items() if name != "recipe"}
        return {"event": "finished", "trial": fields}


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def job(search, clock):
    return search.job(clock=clock)


@pytest.fixture
def asks(job):
    """All ops quantized, then each one float, then all of them."""
    space = job.space
    recipes = [space.default()]
    recipes += [recipes[0].with_op(op, space.fallback(op)) for op in space.ops]
    recipes.append(space.all_float())
    return [Ask(number, recipe) for number, recipe in enumerate(recipes, 1)]


@pytest.fixture
def run(job, asks, tmp_path, clock):
    """Run the asks; return the engine and the trials."""

    def run(script=(), places=(A, B), seed=0, asks=asks, engine=FakeEngine):
        engine = engine(job, tmp_path, clock, places, script, seed)
        board = Board(job, engine, iter(asks), lambda ask: WholeWork(), Tally())
        return engine, [trial for trial, _ in board.outcomes()]

    return run


def facts(trials):
    return [(trial.number, trial.accuracy, trial.accepted, trial.status) for trial in trials]


@pytest.fixture
def inline(job, asks):
    return facts(trial for trial, _ in InlineRunner().run(job, asks, TERMS))


class TestSame:
    @pytest.mark.parametrize("seed", range(8))
    def test_whatever_order_trials_end_in_the_outcomes_are_those_of_inline(self, run, inline, seed):
        rng = random.Random(seed)
        places = [Place(f"w{n}", f"host {n % 3}") for n in range(rng.randint(1, 6))]
        assert facts(run(places=places, seed=seed)[1]) == inline

    @pytest.mark.parametrize("seed", range(8))
    def test_so_they_are_when_places_are_lost_and_trials_fail_once(self, run, inline, seed):
        rng = random.Random(seed)
        places = [Place(f"w{n}", f"host {n % 4}") for n in range(8)]
        faults = ["gone", "unstarted", "crashed", "oom", "timeout"]
        # far enough apart that none hits one trial twice
        script = {number: rng.choice(faults) for number in range(rng.randint(1, 4), 12, 9)}
        assert facts(run(script, places, seed)[1]) == inline


class TestLost:
    def test_a_trial_whose_place_was_lost_runs_elsewhere_without_blame(self, run, inline):
        engine, trials = run({1: "gone"})
        assert facts(trials) == inline
        assert ("b", 1, False, 1) in engine.sent

    def test_two_places_lost_in_one_trial_are_its_fault(self, run, inline, asks):
        engine, trials = run({1: "gone", 2: "gone"}, (A, B, C), asks=asks[:1])
        assert trials[0].status == "crashed"
        assert trials[0].error == ("Poison: the workers a and b were lost, each while it ran there")
        assert engine.places() == [C]

    def test_what_did_not_start_is_sent_again_as_often_as_it_takes(self, run, inline):
        script = dict.fromkeys(range(1, 6), "unstarted")
        assert facts(run(script)[1]) == inline

    def test_a_lost_engine_leaves_what_has_no_outcome_in_order(self, job, asks, tmp_path, clock):
        engine = FakeEngine(job, tmp_path, clock, (A, B), {1: "slow"})
        board = Board(job, engine, iter(asks), lambda ask: WholeWork(), Tally())
        outcomes = board.outcomes()
        engine.lost = False
        for _ in range(4):
            board._dispatch()
            for event in engine.events():
                board._note(event)
        engine.lost = True
        with pytest.raises(EngineLostError):
            next(outcomes)
        left = [ask.number for ask in board.left()]
        assert left[0] == 1
        assert left == sorted(left)
        assert len(left) < len(asks)


class TestFailed:
    def test_a_crash_is_tried_once_more_elsewhere_and_alone(self, run, inline):
        engine, trials = run({1: "crashed"})
        assert facts(trials) == inline
        assert ("b", 1, True, 1) in engine.sent

    def test_twice_is_the_outcome_and_the_others_go_on(self, run, asks):
        _, trials = run({1: "crashed", 2: "crashed"}, asks=asks[:1])
        assert [trial.status for trial in trials] == ["crashed"]
        assert trials[0].error == "crashed it is"

    def test_a_time_limit_counts_at_once_where_there_is_one_machine(self, run, asks):
        class OneMachine(FakeEngine):
            many_machines = False

        engine, trials = run({1: "timeout"}, asks=asks[:1], engine=OneMachine)
        assert [trial.status for trial in trials] == ["timeout"]
        assert len(engine.sent) == 1

    def test_and_is_tried_elsewhere_where_there_are_many(self, run, asks):
        engine, trials = run({1: "timeout"}, asks=asks[:1])
        assert [trial.status for trial in trials] == ["ok"]
        assert [place for place, *_ in engine.sent] == ["a", "b"]

    def test_out_of_memory_runs_alone_in_half_batches_and_fewer_run_from_then_on(
        self, run, inline, caplog
    ):
        host = [Place(name, "one") for name in "abc"]
        with caplog.at_level("INFO"):
            engine, trials = run({1: "oom"}, host)
        assert facts(trials) == inline
        assert [pieces for _, number, alone, pieces in engine.sent if alone] == [2]
        assert len(engine.places()) == 2
        assert "memory is short: 2 at a time from now on" in caplog.text


class TestStraggler:
    def slow_one(self, job, asks, tmp_path, clock, answers=lambda fields: fields):
        class Slow(FakeEngine):
            def answer(self, ticket):
                reply = super().answer(ticket)
                if ticket.attempt == 1:
                    reply["trial"] = answers(dict(reply["trial"]))
                return reply

        engine = Slow(job, tmp_path, clock, (A, B), {1: "slow"})
        board = Board(job, engine, iter(asks), lambda ask: WholeWork(), Tally())
        return engine, board

    def test_a_copy_starts_elsewhere_and_the_first_result_counts(
        self, job, asks, tmp_path, clock, inline
    ):
        engine, board = self.slow_one(job, asks, tmp_path, clock)
        trials = [trial for trial, _ in board.outcomes()]
        assert facts(trials) == inline
        assert [place for place, number, *_ in engine.sent if number == 1] == ["a", "b"]
        assert clock.now >= STRAGGLES_SECONDS

    def test_a_second_result_that_differs_is_told(self, job, asks, tmp_path, clock, caplog):
        engine, board = self.slow_one(
            job, asks, tmp_path, clock, lambda fields: {**fields, "accuracy": 0.5}
        )
        deque(board.outcomes(), maxlen=0)
        for place, (ticket, _) in list(engine.running.items()):
            board._note(Done(place, ticket, engine.answer(ticket)))
        assert "non-deterministic evaluation: trial 1 ran twice" in caplog.text

    def test_the_usual_time_is_known_from_earlier_boards(self, job, asks, tmp_path, clock):
        tally = Tally()
        deque(
            Board(
                job, FakeEngine(job, tmp_path, clock), iter(asks), lambda ask: WholeWork(), tally
            ).outcomes(),
            maxlen=0,
        )
        engine = FakeEngine(job, tmp_path, clock, (A, B), {1: "slow"})
        board = Board(job, engine, iter(asks[:1]), lambda ask: WholeWork(), tally)
        deque(board.outcomes(), maxlen=0)
        assert [place for place, *_ in engine.sent] == ["a", "b"]
