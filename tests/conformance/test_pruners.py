"""The built-in pruners keep the contract of pruners."""

from __future__ import annotations

from inc_core.pruning.pruners import GradientSensitivity, Magnitude, PatternLock, SnipMomentum
from inc_core.testing import PrunerSuite


class TestMagnitude(PrunerSuite):
    def make_pruner(self):
        return Magnitude()


class TestGradientSensitivity(PrunerSuite):
    def make_pruner(self):
        return GradientSensitivity()


class TestSnipMomentum(PrunerSuite):
    def make_pruner(self):
        return SnipMomentum(momentum=0.5)


class TestPatternLock(PrunerSuite):
    def make_pruner(self):
        return PatternLock()
