"""What a subclass of ``AdaptorSuite`` gives, and what is made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt
import pytest

from inc_core.hookspecs.adaptor import Adaptor
from inc_core.quant.calibrator import Calibration
from inc_core.quant.recipe import Recipe
from inc_core.quant.space import TuningSpace
from inc_core.quant.spec import OpKey
from inc_core.testing.adaptor_checks.measuring import calibrate, open_float

__all__ = ["AdaptorFixtures", "Batch"]

Batch = Mapping[str, npt.NDArray[Any]]


class AdaptorFixtures:
    """Fixtures of every check; three of them are the subclass's."""

    min_snr_db = 20.0
    rewrite_snr_db = 60.0
    oracle_snr_db = 60.0

    @pytest.fixture
    def adaptor(self) -> Adaptor:
        """Give the adaptor under test."""
        raise NotImplementedError("override the fixture `adaptor`")

    @pytest.fixture
    def source(self) -> Any:
        """Give what ``adaptor.load`` takes: a path or a native object of a small model."""
        raise NotImplementedError("override the fixture `source`")

    @pytest.fixture
    def batches(self) -> Sequence[Batch]:
        """Give at least 4 batches: arrays by input name, in the order of the model's inputs."""
        raise NotImplementedError("override the fixture `batches`")

    def reference_weight(self, model: Any, name: str) -> tuple[OpKey, npt.NDArray[Any], int] | None:
        """Return op, float weight and channel axis of an integer weight, or ``None``."""
        return None

    def oracle_outputs(
        self, model: Any, recipe: Recipe, calibration: Calibration, batch: Batch
    ) -> Any:
        """Return what fake quantization in numpy predicts; ``None`` if there is no oracle."""
        return None

    @pytest.fixture
    def model(self, adaptor: Adaptor, source: Any, batches: Sequence[Batch]) -> Any:
        """Give the float model."""
        return open_float(adaptor, source, batches[0])

    @pytest.fixture
    def space(self, adaptor: Adaptor, model: Any) -> TuningSpace:
        """Give everything that the adaptor offers for the model."""
        return TuningSpace(tuple(adaptor.capabilities(model)))

    @pytest.fixture
    def calibration(
        self, adaptor: Adaptor, model: Any, space: TuningSpace, batches: Sequence[Batch]
    ) -> Calibration:
        """Give ranges from all batches."""
        return calibrate(adaptor, model, space, batches)

    @pytest.fixture
    def quantized(
        self, adaptor: Adaptor, model: Any, space: TuningSpace, calibration: Calibration
    ) -> Any:
        """Give the model of the best config of every op."""
        return adaptor.quantize(model, space.default(), calibration)
