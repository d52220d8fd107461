"""``AdaptorSuite``: the contract of ``Adaptor``, one small named test per sentence of it."""

from __future__ import annotations

from inc_core.testing.adaptor_checks.abilities import AbilityChecks
from inc_core.testing.adaptor_checks.loading import LoadingChecks
from inc_core.testing.adaptor_checks.observing import ObservingChecks
from inc_core.testing.adaptor_checks.offering import OfferingChecks
from inc_core.testing.adaptor_checks.predicting import PredictingChecks
from inc_core.testing.adaptor_checks.quantizing import QuantizingChecks
from inc_core.testing.adaptor_checks.training import TrainingChecks

__all__ = ["AdaptorSuite"]


class AdaptorSuite(
    LoadingChecks,
    OfferingChecks,
    PredictingChecks,
    ObservingChecks,
    QuantizingChecks,
    AbilityChecks,
    TrainingChecks,
):
    """Proves any adaptor. Subclass it, say which adaptor, model and batches, and run pytest.

    Attributes:
        min_snr_db: Worst signal-to-noise ratio, in dB, of the best quantized recipe against float.
        rewrite_snr_db: The same of a rewritten float model.
        oracle_snr_db: The same against ``oracle_outputs``, where a subclass gives them.

    Example::

        class TestMyAdaptor(AdaptorSuite):
            @pytest.fixture
            def adaptor(self):
                return MyAdaptor(AdaptorContext("mine"))

            @pytest.fixture
            def source(self, tmp_path):
                return write_small_model(tmp_path)

            @pytest.fixture
            def batches(self):
                rng = np.random.default_rng(0)
                return [{"x": rng.normal(size=(8, 16)).astype("float32")} for _ in range(4)]
    """
