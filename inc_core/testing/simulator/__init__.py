"""Simulated tuning problems: judge a strategy in seconds, without a model.

    from inc_core.testing.simulator import make_problem, run_strategy

    problem = make_problem("diffuse", size=100, seed=3)
    run = run_strategy(MyStrategy(), problem)
    print(run.units, run.trials, run.share, run.accepted)

A problem has a real ``TuningSpace``; recipes and trials are the real ones, so a strategy runs here
unchanged. What costs are simulated is counted in *units*: one unit is one pass over the evaluation
data, and the float baseline's is not counted. The same arguments give the same problem everywhere.
"""

from inc_core.testing.simulator.choices import CHOICES
from inc_core.testing.simulator.constants import Constants
from inc_core.testing.simulator.driver import SimulatedRun, run_strategy
from inc_core.testing.simulator.families import FAMILIES, HELD_OUT
from inc_core.testing.simulator.problem import Problem, make_problem
from inc_core.testing.simulator.reference import optimum

__all__ = [
    "CHOICES",
    "FAMILIES",
    "HELD_OUT",
    "Constants",
    "Problem",
    "SimulatedRun",
    "make_problem",
    "optimum",
    "run_strategy",
]
