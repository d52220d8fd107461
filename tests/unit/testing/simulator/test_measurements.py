from __future__ import annotations

import numpy as np
import pytest

from inc_core.testing.simulator import Constants, make_problem
from inc_core.testing.simulator.measurements import SimulatedMeasurements


def logs(problem):
    table = SimulatedMeasurements(problem).sensitivity()
    return np.log([next(iter(row.values())) for row in table.values()])


def test_sensitivity_shows_visible_culprits():
    problem = make_problem("few", 100, 0)
    worst = np.argmax(problem.damage.alone)
    assert worst in np.argsort(-logs(problem))[:4]


def test_sensitivity_is_blind_to_hidden_ones():
    problem = make_problem("hidden", 100, 0)
    seen = logs(problem)[problem.damage.hidden]
    assert seen.max() < np.sort(logs(problem))[-3]


@pytest.mark.parametrize("noise", [0.3, 1.2])
def test_sensitivity_errs_as_much_as_asked_for(noise):
    problem = make_problem("diffuse", 2000, 0, constants=Constants(sensitivity_noise=noise))
    errors = logs(problem) - np.log(problem.damage.alone)
    assert errors.std() == pytest.approx(noise, rel=0.1)


def test_sensitivity_is_paid_once():
    measure = SimulatedMeasurements(make_problem("few", 100, 0))
    measure.sensitivity()
    measure.sensitivity()
    assert measure.units == pytest.approx(0.2)


def test_probes_cost_by_op_and_choice():
    constants = Constants(sensitivity="probes")
    problem = make_problem("few", 100, 0, choices=("static", "bf16", "fp32"), constants=constants)
    measure = SimulatedMeasurements(problem)
    measure.sensitivity()
    assert measure.units == pytest.approx(200 * 64 / 10_000)


def test_what_cannot_be_measured_is_none():
    problem = make_problem("few", 10, 0, constants=Constants(sensitivity="none", timer=False))
    measure = SimulatedMeasurements(problem)
    assert measure.sensitivity() is None
    assert measure.latency() is None
    assert measure.units == 0


def test_divergence_is_the_damage_in_another_scale_and_cached():
    problem = make_problem("hidden", 100, 0)
    measure = SimulatedMeasurements(problem)
    whole = problem.space.default()
    half = problem.recipe(np.where(np.arange(100) < 1, 0, 1))
    assert measure.divergence(whole, 200) > 3 * measure.divergence(half, 200)
    assert measure.divergence(whole, 200) == measure.divergence(whole, 200)
    assert measure.units == pytest.approx(2 * 0.02)
    assert measure.probes == 2


def test_latencies_are_noisy_and_hold_the_conversions():
    problem = make_problem("boundary", 200, 0, constants=Constants(latency_noise=0.1))
    table = SimulatedMeasurements(problem).latency()
    measured = np.array([list(row.values()) for row in table.seconds.values()])
    assert np.std(np.log(measured / problem.seconds)) == pytest.approx(0.1, rel=0.1)
    assert len(table.boundary) == 199


def test_a_skip_connection_has_a_conversion_of_its_own():
    problem = make_problem("residual", 10, 0)
    ops = [capability.op for capability in problem.space.capabilities]
    table = SimulatedMeasurements(problem).latency()
    assert (ops[0], ops[3]) in table.boundary
    assert len(table.boundary) == 9 + 3
    one, two = np.ones((2, 10), dtype=int)
    one[1] = 0  # inside of a block: two borders
    two[3] = 0  # where blocks meet: the neighbours, and both skips
    for vector, edges in ((one, 2), (two, 4)):
        ops_alone = problem.seconds[np.arange(10), vector].sum()
        crossed = (vector[problem.edges[:, 0]] != vector[problem.edges[:, 1]]) @ problem.boundary
        assert np.sum(vector[problem.edges[:, 0]] != vector[problem.edges[:, 1]]) == edges
        assert problem.times(vector[None])[0] == pytest.approx(ops_alone + crossed)
