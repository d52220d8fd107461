"""One configured pruner at work on its weights: it holds their masks and knows when they change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from inc_core.config.types import PrunerConfig
from inc_core.errors import ConfigError, TrainingError
from inc_core.pruning.allocate import choose_masks
from inc_core.pruning.patterns import BlockPattern, Pattern, parse_pattern
from inc_core.pruning.schedule import Schedule

__all__ = ["PruningRule", "target_of"]

Array = np.ndarray[Any, Any]
Read = Callable[[str], Array]


class PruningRule:
    """What one entry of ``pruners`` does.

    Args:
        config: The entry.
        pruner: The pruner that it names.
        names: The weights that it is for.

    Attributes:
        masks: What to keep of each weight, bool; empty before the first update.
        reached: The sparsity of the last update.
    """

    def __init__(self, config: PrunerConfig, pruner: Any, names: tuple[str, ...]) -> None:
        self.config = config
        self.pruner = pruner
        self.names = names
        self.pattern = parse_pattern(config.pattern)
        self.target = target_of(config, self.pattern)
        self.masks: dict[str, Array] = {}
        self.reached: float | None = None
        self._due: float | None = None
        self._scores: dict[str, Array] = {}
        start, end, frequency = (
            (config.start_step, config.end_step, config.update_frequency_on_step)
            if config.counts_steps
            else (config.start_epoch, config.end_epoch, config.update_frequency)
        )
        self.schedule = Schedule(
            config.initial_sparsity, self.target, start, end, frequency, config.sparsity_decay_type
        )

    @property
    def decides_itself(self) -> bool:
        """Whether the pruner gives whole masks, apart from schedule and pattern."""
        return hasattr(self.pruner, "mask")

    @property
    def wants_gradients(self) -> bool:
        """Whether the pruner is to be told gradients."""
        return hasattr(self.pruner, "observe")

    @property
    def done(self) -> bool:
        """Whether the last sparsity of the schedule is reached."""
        return bool(self.masks) if self.decides_itself else self.reached == self.target

    def advance(self, time: int, read: Read) -> bool:
        """Go to an epoch or step; return whether masks changed."""
        if self.decides_itself:
            return self._lock(read)
        wanted = self.schedule.sparsity(time)
        if wanted is None or wanted == self.reached:
            return False
        self._due = wanted
        return self.settle(read)

    def settle(self, read: Read) -> bool:
        """Make the update that is due, if the pruner can score by now; return whether it was made."""
        if self._due is None:
            return False
        for name in self.names:
            if name not in self._scores:
                weight = read(name)
                scores = self.pruner.scores(name, weight)
                if scores is not None:
                    self._scores[name] = self._checked(name, np.asarray(scores), weight)
        if len(self._scores) < len(self.names):
            return False
        config = self.config
        self.masks = choose_masks(
            self._scores,
            self.pattern,
            self._due,
            config.prune_domain,
            config.max_sparsity_ratio_per_layer,
        )
        self.reached, self._due, self._scores = self._due, None, {}
        return True

    def refuse_overdue(self) -> None:
        """Make sure that an update that was due has been made by the end of an epoch.

        Raises:
            TrainingError: If a pruner still cannot score a weight.
        """
        if self._due is not None:
            missing = [name for name in self.names if name not in self._scores]
            raise TrainingError(
                f"pruner {self.config.prune_type!r} could not score {missing[0]!r} "
                f"({len(missing)} of {len(self.names)} weights) within an epoch: no gradient of it was "
                "seen. Call on_before_optimizer_step() after backward(), train the weight, or list "
                "it under excluded_names."
            )

    def _lock(self, read: Read) -> bool:
        if self.masks:
            return False
        self.masks = {
            name: np.asarray(self.pruner.mask(name, read(name)), bool) for name in self.names
        }
        return True

    def _checked(self, name: str, scores: Array, weight: Array) -> Array:
        if scores.shape != weight.shape or not np.isfinite(scores).all():
            raise TrainingError(
                f"pruner {self.config.prune_type!r} scored {name!r} with shape {scores.shape}; it must "
                f"return finite numbers of the weight's shape {weight.shape}. If the weight holds NaN, "
                "the training has diverged: lower the learning rate."
            )
        return scores


def target_of(config: PrunerConfig, pattern: Pattern) -> float:
    """Return the last sparsity of a pruner: its own, or the one that the pattern allows.

    Raises:
        ConfigError: If they contradict each other, or other fields do.
    """
    target, most = config.target_sparsity, pattern.most
    if most is not None:
        if target is not None and abs(target - most) > 1e-6:
            raise ConfigError(
                f"pattern {config.pattern!r} makes {most:.4g} of each weight zero; target_sparsity: "
                f"{target:g} contradicts it. Leave target_sparsity out."
            )
        target = most
    elif target is None:
        target = PrunerConfig.default_target
    if config.initial_sparsity > target:
        raise ConfigError(
            f"initial_sparsity {config.initial_sparsity:g} is above the target {target:g}"
        )
    _check_domain(config, pattern, target)
    return target


def _check_domain(config: PrunerConfig, pattern: Pattern, target: float) -> None:
    cap = config.max_sparsity_ratio_per_layer
    if config.prune_domain == "global" and pattern.most is None and target > cap:
        raise ConfigError(
            f"target_sparsity {target:g} cannot be reached if no weight may have more than "
            f"max_sparsity_ratio_per_layer {cap:g}; raise it"
        )
    if config.prune_domain == "channel" and isinstance(pattern, BlockPattern) and pattern.rows != 1:
        raise ConfigError(
            f"pattern {config.pattern!r} joins output channels, prune_domain 'channel' keeps them "
            "apart; use 'local' or 'global'"
        )
