"""Restoring in a new interpreter."""

from __future__ import annotations

import numpy as np
import pytest

from inc_core.hookspecs.adaptor import AdaptorContext
from inc_core.testing.fresh_process import predict_in_fresh_process
from inc_core.testing.toy import make_model
from inc_core.testing.toy.adaptor import ToyAdaptor


def test_outputs_come_back(tmp_path):
    adaptor, model = ToyAdaptor(AdaptorContext("toy")), make_model()
    adaptor.save(model, tmp_path)
    inputs = {name: np.ones((2, 16), np.float32) for name in model.inputs}
    outputs = predict_in_fresh_process(adaptor, tmp_path, inputs)
    for one, other in zip(outputs, adaptor.predict(model, inputs), strict=True):
        np.testing.assert_array_equal(one, other)


def test_failure_shows_what_the_process_said(tmp_path):
    with pytest.raises(RuntimeError, match="holds no toy model"):
        predict_in_fresh_process(ToyAdaptor(AdaptorContext("toy")), tmp_path, np.ones((2, 16)))
