"""What every pruner must do, as pytest tests that its author inherits."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from inc_core.config.types import PrunerConfig, PruningConfig
from inc_core.pruning.run import PruningRun

__all__ = ["PrunerSuite"]

_SHAPES = {"conv.weight": (6, 5, 3, 3), "depthwise.weight": (7, 1, 3, 3), "fc.weight": (3, 11)}
_TARGET = 0.6


class PrunerSuite:
    """Inherit, give the pruner, and pytest runs every test.

    Example::

        class TestLottery(PrunerSuite):
            def make_pruner(self):
                return Lottery(seed=3)
    """

    def make_pruner(self) -> Any:
        """Return a new pruner, the same every time."""
        # not an abstract method: pytest passes over abstract classes without a word
        raise NotImplementedError("override `make_pruner`")

    def test_scores_have_the_shape_of_the_weight_and_are_finite(self) -> None:
        """One number for each weight, once gradients were told."""
        if hasattr(self.make_pruner(), "mask"):
            return  # it gives whole masks
        pruner, store = self.make_pruner(), _Store()
        for name, weight in store.arrays.items():
            if hasattr(pruner, "observe"):
                pruner.observe(name, weight.copy(), store.get_gradient(None, name))
            scores = np.asarray(pruner.scores(name, weight.copy()))
            assert scores.shape == weight.shape, name
            assert np.isfinite(scores).all(), name

    def test_arguments_are_not_changed(self) -> None:
        """Weights and gradients belong to the training."""
        pruner, store = self.make_pruner(), _Store()
        for name, weight in store.arrays.items():
            given, gradient = weight.copy(), store.get_gradient(None, name)
            told = gradient.copy()
            if hasattr(pruner, "observe"):
                pruner.observe(name, given, told)
            if hasattr(pruner, "mask"):
                pruner.mask(name, given)
            else:
                pruner.scores(name, given)
            assert np.array_equal(given, weight), name
            assert np.array_equal(told, gradient), name

    def test_the_target_is_reached_exactly(self) -> None:
        """In every weight, of whatever shape, after a training of four epochs."""
        pruner, store = self.make_pruner(), _Store()
        run = _train(pruner, store)
        for row in run.finish().rows:
            if not hasattr(pruner, "mask"):
                assert row.zeros == round(_TARGET * row.size), row.name
        assert run.finished

    def test_zeros_stay_zeros_while_sparsity_grows(self) -> None:
        """What was pruned is pruned for good: a pruner scores zeros lowest."""
        store, seen = _Store(), []
        _train(self.make_pruner(), store, lambda run: seen.append(dict(run.masks)))
        for earlier, later in pairwise(seen):
            for name in earlier:
                assert not (later[name] & ~earlier[name]).any(), name

    def test_two_trainings_give_the_same_masks(self) -> None:
        """No clock, no global random state."""
        first, second = (_train(self.make_pruner(), _Store()).masks for _ in range(2))
        assert all(np.array_equal(first[name], second[name]) for name in first)


class _Store:
    """Weights in numpy, whose gradients are a fixed function of them."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.arrays = {
            name: rng.normal(size=shape).astype(np.float32) for name, shape in _SHAPES.items()
        }

    def weights(self, model: Any) -> dict[str, tuple[int, ...]]:
        return {name: array.shape for name, array in self.arrays.items()}

    def get_weight(self, model: Any, name: str) -> np.ndarray[Any, Any]:
        return self.arrays[name].copy()

    def set_weight(self, model: Any, name: str, values: np.ndarray[Any, Any]) -> None:
        self.arrays[name][...] = values

    def get_gradient(self, model: Any, name: str) -> np.ndarray[Any, Any]:
        return np.sin(np.arange(self.arrays[name].size, dtype=np.float32) + 1).reshape(
            self.arrays[name].shape
        )


def _train(pruner: Any, store: _Store, at_epoch_end: Any = None) -> PruningRun:
    config = PruningConfig(pruners=(PrunerConfig(target_sparsity=_TARGET, end_epoch=3),))
    run = PruningRun(store, None, config, lambda component: pruner)
    for epoch in range(4):
        run.on_epoch_begin(epoch)
        for step in range(2):
            run.on_step_begin(step)
            run.on_before_optimizer_step()
            for name, array in store.arrays.items():
                array -= 0.01 * store.get_gradient(None, name)
            run.on_step_end()
        run.on_epoch_end()
        if at_epoch_end is not None:
            at_epoch_end(run)
    return run
