"""The adaptor's training abilities keep their contract, on a module as users have them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from inc_core.errors import UnsupportedModelError
from inc_core.hookspecs.adaptor import AdaptorContext
from inc_core.testing.adaptor_checks.training import TrainingChecks
from inc_torch.adaptor import TorchAdaptor

from .nets import make_block


class TestTraining(TrainingChecks):
    @pytest.fixture
    def adaptor(self):
        return TorchAdaptor(AdaptorContext("pytorch", approach="qat", threads=1))

    @pytest.fixture
    def source(self):
        return make_block()

    @pytest.fixture
    def batches(self):
        rng = np.random.default_rng(0)
        return [{"x": rng.normal(size=(4, 3, 8, 8)).astype(np.float32)} for _ in range(4)]

    @pytest.fixture
    def model(self, adaptor, source, batches):
        return adaptor.trace(adaptor.load(source), batches[0])


def test_an_exported_program_cannot_be_trained():
    adaptor = TorchAdaptor(AdaptorContext("pytorch", approach="qat"))
    program = torch.export.export(make_block(), (torch.randn(2, 3, 8, 8),))
    with pytest.raises(UnsupportedModelError, match="has no code to train"):
        adaptor.trainable(program)


def test_what_is_trained_is_a_copy():
    adaptor = TorchAdaptor(AdaptorContext("pytorch", approach="qat"))
    model = make_block()
    net = adaptor.trainable(model)
    assert type(net) is type(model)
    assert net is not model
    assert net.training
    assert not model.training
