"""Checks of ``observe``."""

# ruff: noqa: D102 - the name of a check is its sentence
from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from inc_core.hookspecs.adaptor import Adaptor
from inc_core.quant.observers import Observer
from inc_core.quant.space import TuningSpace
from inc_core.testing.adaptor_checks.fixtures import AdaptorFixtures, Batch
from inc_core.testing.adaptor_checks.measuring import (
    activation_keys,
)

__all__ = ["ObservingChecks"]


class ObservingChecks(AdaptorFixtures):
    """Every tensor asked for is fed, lazily."""

    def test_observe_feeds_every_activation_that_is_asked_for(
        self, adaptor: Adaptor, model: Any, space: TuningSpace, batches: Sequence[Batch]
    ) -> None:
        observers = {key: _Fed() for key in activation_keys(space)}
        adaptor.observe(model, batches, observers)
        for key, observer in observers.items():
            assert observer.batches == len(batches), f"{key} was fed {observer.batches} times"

    def test_observe_gives_whole_tensors_to_who_needs_values(
        self, adaptor: Adaptor, model: Any, space: TuningSpace, batches: Sequence[Batch]
    ) -> None:
        for key in activation_keys(space):
            reduced, whole = Observer(), Observer(needs_values=True)
            adaptor.observe(model, batches, {key: reduced})
            adaptor.observe(model, batches, {key: whole})
            expected, statistics = reduced.statistics(), whole.statistics()
            assert statistics.histogram is not None, f"{key} got no values"
            np.testing.assert_allclose(statistics.lo, expected.lo, rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(statistics.hi, expected.hi, rtol=1e-5, atol=1e-6)

    def test_observe_gives_channels_to_who_needs_them(
        self, adaptor: Adaptor, model: Any, space: TuningSpace, batches: Sequence[Batch]
    ) -> None:
        for key in activation_keys(space):
            reduced = Observer(needs_channels=True)
            whole = Observer(needs_channels=True, needs_values=True)
            adaptor.observe(model, batches, {key: reduced})
            adaptor.observe(model, batches, {key: whole})
            means = reduced.statistics().channel_mean, whole.statistics().channel_mean
            if means[1] is not None:
                assert means[0] is not None, f"{key} got no channels"
                np.testing.assert_allclose(means[0], means[1], rtol=1e-4, atol=1e-5)

    def test_observe_accepts_quantized_models(
        self, adaptor: Adaptor, quantized: Any, space: TuningSpace, batches: Sequence[Batch]
    ) -> None:
        observers = {key: _Fed() for key in activation_keys(space)}
        adaptor.observe(quantized, batches, observers)
        for key, observer in observers.items():
            assert observer.batches > 0, f"{key} was never fed"

    def test_observe_holds_few_batches(
        self, adaptor: Adaptor, model: Any, space: TuningSpace, batches: Sequence[Batch]
    ) -> None:
        keys = activation_keys(space)
        if not keys:
            pytest.skip("no config needs a range")
        key = keys[0]
        counter = _Fed()
        ahead = []

        def counted() -> Iterator[Batch]:
            for drawn in range(24):
                ahead.append(drawn - counter.batches)
                yield batches[drawn % len(batches)]

        adaptor.observe(model, counted(), {key: counter})
        assert counter.batches == 24
        assert max(ahead) <= 8, f"{max(ahead)} batches were drawn before one was fed"


class _Fed(Observer):
    """Counts what it is fed."""

    def __init__(self) -> None:
        super().__init__()
        self.batches = 0

    def update(self, array: npt.NDArray[Any]) -> None:
        """Count a whole tensor."""
        self.batches += 1

    def update_reduced(self, *args: Any, **kwargs: Any) -> None:
        """Count a reduced one."""
        self.batches += 1
