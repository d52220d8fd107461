"""Checks of ``capabilities``."""

# ruff: noqa: D102 - the name of a check is its sentence
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from inc_core.hookspecs.adaptor import Adaptor
from inc_core.quant.space import TuningSpace
from inc_core.testing.adaptor_checks.fixtures import AdaptorFixtures, Batch
from inc_core.testing.adaptor_checks.measuring import open_float

__all__ = ["OfferingChecks"]


class OfferingChecks(AdaptorFixtures):
    """What is offered is unique, stable and explained."""

    def test_some_op_can_be_quantized(self, space: TuningSpace) -> None:
        assert space.ops

    def test_op_names_are_unique(self, space: TuningSpace) -> None:
        names = [capability.op.name for capability in space.capabilities]
        assert len(set(names)) == len(names)

    def test_capabilities_are_stable(
        self, adaptor: Adaptor, source: Any, space: TuningSpace, batches: Sequence[Batch]
    ) -> None:
        again = open_float(adaptor, source, batches[0])
        assert tuple(adaptor.capabilities(again)) == space.capabilities

    def test_no_config_is_offered_twice(self, space: TuningSpace) -> None:
        for capability in space.capabilities:
            assert len(set(capability.configs)) == len(capability.configs), capability.op

    def test_float_is_offered_after_integers(self, space: TuningSpace) -> None:
        for capability in space.capabilities:
            assert not capability.configs[-1].is_quantized, capability.op

    def test_float_only_ops_say_why(self, space: TuningSpace) -> None:
        for capability in space.capabilities:
            assert capability.note or capability.op in space.ops, capability.op

    def test_ops_of_a_group_offer_the_same_configs(self, space: TuningSpace) -> None:
        for op in space.ops:
            for other in space.group(op):
                assert set(space.options(other)) == set(space.options(op)), (op, other)
