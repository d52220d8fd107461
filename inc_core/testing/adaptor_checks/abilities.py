"""Checks of the optional abilities of an adaptor."""

# ruff: noqa: D102 - the name of a check is its sentence
from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from inc_core.errors import MissingFrameworkError, UnsupportedModelError
from inc_core.hookspecs.adaptor import Adaptor, Executed, Exports, FloatRewrites, OpTimer, Presents
from inc_core.quant.recipe import Recipe
from inc_core.quant.space import TuningSpace
from inc_core.testing.adaptor_checks.fixtures import AdaptorFixtures, Batch
from inc_core.testing.adaptor_checks.measuring import (
    calibrate,
)
from inc_core.testing.oracle import snr_db

__all__ = ["AbilityChecks"]


class AbilityChecks(AdaptorFixtures):
    """What an adaptor says that it can, it does; the rest is skipped."""

    def test_executed_covers_each_op(
        self, adaptor: Adaptor, quantized: Any, space: TuningSpace
    ) -> None:
        if not isinstance(adaptor, Executed):
            pytest.skip("the adaptor does not say what was executed")
        executed = adaptor.executed(quantized)
        assert {c.op for c in space.capabilities} <= set(executed)

    def test_ops_are_timed_in_configs_that_they_offer(
        self, adaptor: Adaptor, model: Any, space: TuningSpace, batches: Sequence[Batch]
    ) -> None:
        if not isinstance(adaptor, OpTimer):
            pytest.skip("the adaptor does not time ops")
        known: dict[str, Sequence[float]] = {}
        table = adaptor.time_ops(model, space.capabilities, batches[0], known)
        for op, by_config in table.seconds.items():
            assert set(by_config) <= set(space.options(op)), op
            assert min(by_config.values(), default=0.0) >= 0.0, op
        assert {op for pair in table.boundary for op in pair} <= set(table.seconds)
        # what an adaptor keeps must survive being written as JSON
        assert json.loads(json.dumps(known)) == {k: list(v) for k, v in known.items()}

    def test_what_scripts_are_shown_is_the_model(
        self, adaptor: Adaptor, model: Any, quantized: Any, batches: Sequence[Batch]
    ) -> None:
        if not isinstance(adaptor, Presents):
            pytest.skip("native models are of the framework's own type")
        before = adaptor.digest(quantized)
        assert adaptor.present(quantized) is not None
        assert adaptor.digest(quantized) == before
        again = adaptor.load(adaptor.present(model))
        assert snr_db(adaptor.predict(model, batches[0]), adaptor.predict(again, batches[0])) > 60

    def test_each_format_is_written_or_says_what_has_no_place_in_it(
        self, adaptor: Adaptor, quantized: Any, tmp_path: Path
    ) -> None:
        if not isinstance(adaptor, Exports):
            pytest.skip("the adaptor exports nothing")
        for name in adaptor.export_formats():
            path = tmp_path / f"model.{name}"
            try:
                adaptor.export(quantized, path, name)
            except (UnsupportedModelError, MissingFrameworkError) as error:
                assert str(error)
                assert not path.exists()
            else:
                assert path.exists()

    def test_rewrites_keep_the_function_and_the_ops(
        self, adaptor: Adaptor, model: Any, space: TuningSpace, batches: Sequence[Batch]
    ) -> None:
        if not isinstance(adaptor, FloatRewrites) or not adaptor.rewrites(model):
            pytest.skip("no rewrite applies")
        before = adaptor.digest(model)
        rewritten = adaptor.rewrite(model, adaptor.rewrites(model))
        assert adaptor.digest(model) == before
        assert [c.op for c in adaptor.capabilities(rewritten)] == [c.op for c in space.capabilities]
        snr = snr_db(adaptor.predict(model, batches[0]), adaptor.predict(rewritten, batches[0]))
        assert snr >= self.rewrite_snr_db, f"{snr:.1f} dB"

    def test_every_option_can_be_built(
        self, adaptor: Adaptor, model: Any, space: TuningSpace, batches: Sequence[Batch]
    ) -> None:
        if not isinstance(adaptor, FloatRewrites) or not adaptor.rewrites(model):
            pytest.skip("no rewrite applies")
        options = tuple(adaptor.rewrites(model))
        rewritten = adaptor.rewrite(model, options)
        recipe = Recipe(space.default().ops, options=options)
        calibration = calibrate(adaptor, rewritten, space, batches, channels=True)
        built = adaptor.quantize(rewritten, recipe, calibration)
        snr = snr_db(adaptor.predict(model, batches[0]), adaptor.predict(built, batches[0]))
        assert snr >= self.min_snr_db, f"{snr:.1f} dB"
