"""Trials on two local Dask workers, which are lost, poisoned, hung, refused and joined late."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("distributed")


pytestmark = [pytest.mark.slow, pytest.mark.distributed]

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def started(tmp_path_factory):
    sys_path = pytest.MonkeyPatch()
    sys_path.syspath_prepend(HERE)
    import dask_cluster

    cluster = dask_cluster.LocalCluster(tmp_path_factory.mktemp("dask"))
    yield cluster
    cluster.close()
    sys_path.undo()


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
    """Proposes ever more float ops, two recipes at a time."""

    def propose(self, space, context):
        recipes = [space.default()]
        for op in space.ops:
            recipes.append(recipes[0].with_op(op, space.fallback(op)))
        recipes.append(space.all_float())
        for first in range(0, len(recipes), 2):
            yield recipes[first : first + 2]


@pytest.fixture
def search(cluster, faults, tmp_path):
    def search(broken=(), runner=None, **tuning):
        runner = {
            "name": "dask", "address": cluster.address, "workers": 2, "trial_timeout": 60,
            "reconnect_timeout": 60, "on_engine_loss": "fail", **(runner or {}),
        }  # fmt: skip
        return tune(faults, tmp_path, runner, broken, **tuning)

    return search


def tune(faults, folder, runner, broken=(), **tuning):
    tuning = {"exit_policy": {"timeout": 3600}, "objective": "modelsize", **tuning}
    quantizer = faults.make_quantizer(folder, runner, broken, **tuning)
    quantizer.strategy = Strategy()
    return quantizer.fit().result


@pytest.fixture(scope="session")
def inline(started, tmp_path_factory):
    """The outcome without any cluster."""
    import trial_faults

    return outcome(tune(trial_faults, tmp_path_factory.mktemp("inline"), {"name": "inline"}))


def test_the_same_trials_and_winner_as_inline(search, inline, caplog):
    with caplog.at_level("INFO"):
        result = search()
    assert outcome(result) == inline
    assert re.search(
        r"workers get the code of .*trial_faults\.Faulty.*less reproducible", caplog.text
    )
