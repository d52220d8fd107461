"""``PruningRun``: pruners at work during one training, told what happens by its hooks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from inc_core.config.types import ComponentConfig, PrunerConfig, PruningConfig
from inc_core.errors import ConfigError, TrainingError
from inc_core.hookspecs.training import NativeMasks, WeightAccess
from inc_core.pruning.report import SparsityReport, report_sparsity
from inc_core.pruning.rule import PruningRule
from inc_core.pruning.select import select_names

__all__ = ["PruningRun"]

logger = logging.getLogger("inc_core.pruning")

Array = np.ndarray[Any, Any]


class PruningRun:
    """Prunes the weights of one model while it is trained.

    Masks are changed at the beginning of an epoch or step, and hold after every step.

    Args:
        access: Reads and writes weights.
        model: The native model in training.
        config: The ``pruning`` section.
        make_pruner: Makes a pruner from its name and parameters.

    Raises:
        ConfigError: If a pruner matches no weight, two are for the same one, or fields contradict.
    """

    def __init__(
        self,
        access: WeightAccess,
        model: Any,
        config: PruningConfig,
        make_pruner: Callable[[ComponentConfig], Any],
    ) -> None:
        self._access = access
        self._model = model
        known = tuple(access.weights(model))
        self.rules = tuple(_rule(entry, known, make_pruner) for entry in config.pruners)
        _refuse_overlap(self.rules)
        self._step = -1
        self._gradients_seen = False
        self._told = False
        self._zero: Callable[[], None] = _nothing

    @property
    def masks(self) -> Mapping[str, Array]:
        """What is kept of each pruned weight so far, bool."""
        return {name: mask for rule in self.rules for name, mask in rule.masks.items()}

    def on_epoch_begin(self, epoch: int) -> None:
        """Update the masks of pruners that count epochs."""
        self._told = True
        self._renew([rule.advance(epoch, self._read) for rule in self._counting(steps=False)])

    def on_step_begin(self, batch_id: int) -> None:
        """Update the masks of pruners that count steps, over all epochs."""
        self._told = True
        self._step += 1
        self._gradients_seen = False
        self._renew([rule.advance(self._step, self._read) for rule in self._counting(steps=True)])

    def on_before_optimizer_step(self) -> None:
        """Tell gradients to the pruners that want them."""
        self._observe()

    def on_step_end(self) -> None:
        """Make updates that waited for gradients; set to zero what the optimizer has moved."""
        if not self._gradients_seen:  # a loop that does not call on_before_optimizer_step
            self._observe()
        self._gradients_seen = False
        self._renew([rule.settle(self._read) for rule in self.rules])
        self._zero()

    def on_epoch_end(self) -> None:
        """Hold the masks, also for loops that do not report steps.

        Raises:
            TrainingError: If an update could not be made in the whole epoch.
        """
        for rule in self.rules:
            rule.refuse_overdue()
        self._zero()

    def finish(self) -> SparsityReport:
        """Hold the masks a last time, and return what came of it.

        Raises:
            TrainingError: If the training called no hook at all, so that nothing was pruned.
        """
        if not self._told:
            raise TrainingError(
                "nothing was pruned: the training function called neither on_epoch_begin(epoch) nor "
                "on_step_begin(batch). Call the hooks of the pruning object in its loops."
            )
        self._zero()
        for rule in self.rules:
            if not rule.done:
                logger.warning("%s", _unfinished(rule))
        return self.report()

    def report(self) -> SparsityReport:
        """Return how sparse every weight is now."""
        names = self._access.weights(self._model)
        return report_sparsity({name: self._read(name) for name in names})

    @property
    def finished(self) -> bool:
        """Whether every pruner has come to the end of its schedule."""
        return all(rule.done for rule in self.rules)

    def _counting(self, *, steps: bool) -> list[PruningRule]:
        return [rule for rule in self.rules if rule.config.counts_steps is steps]

    def _read(self, name: str) -> Array:
        return self._access.get_weight(self._model, name)

    def _observe(self) -> None:
        for rule in self.rules:
            if rule.wants_gradients:
                for name in rule.names:
                    gradient = self._access.get_gradient(self._model, name)
                    if gradient is not None:
                        rule.pruner.observe(name, self._read(name), gradient)
                        self._gradients_seen = True

    def _renew(self, changed: list[bool]) -> None:
        """Prepare what sets weights to zero, after masks have changed, and do it once."""
        if not any(changed):
            return
        if isinstance(self._access, NativeMasks):
            self._zero = self._access.masker(self._model, self.masks)
        else:
            self._zero = self._zero_by_copy
        self._zero()

    def _zero_by_copy(self) -> None:
        for name, mask in self.masks.items():
            self._access.set_weight(self._model, name, np.where(mask, self._read(name), 0))


def _nothing() -> None:
    """Stand in for setting weights to zero before there are masks."""


def _rule(
    entry: PrunerConfig, known: tuple[str, ...], make_pruner: Callable[[ComponentConfig], Any]
) -> PruningRule:
    pruner = make_pruner(ComponentConfig(entry.prune_type, entry.parameters))
    return PruningRule(entry, pruner, select_names(known, entry.names, entry.excluded_names))


def _refuse_overlap(rules: tuple[PruningRule, ...]) -> None:
    owners: dict[str, int] = {}
    for position, rule in enumerate(rules):
        for name in rule.names:
            if name in owners:
                raise ConfigError(
                    f"pruning: {name!r} belongs to pruners {owners[name] + 1} and {position + 1}; "
                    "state names or excluded_names so that each weight has one"
                )
            owners[name] = position


def _unfinished(rule: PruningRule) -> str:
    unit, end = (
        ("step", rule.schedule.end) if rule.config.counts_steps else ("epoch", rule.schedule.end)
    )
    reached = "no sparsity" if rule.reached is None else f"a sparsity of {rule.reached:.4g}"
    return (
        f"pruning stopped at {reached}, {rule.target:.4g} was asked for: it is reached in {unit} {end}, "
        f"counted from 0, and the training ended before. Train longer, or lower end_{unit}."
    )
