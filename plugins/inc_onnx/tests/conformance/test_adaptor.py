"""The adaptor keeps the contract of adaptors, under every framework name and kind of model."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from inc_core.hookspecs.adaptor import AdaptorContext
from inc_core.testing import AdaptorSuite
from inc_onnx.adaptor import OnnxAdaptor


class _CnnSuite(AdaptorSuite):
    @pytest.fixture
    def source(self, residual_model, tmp_path):
        path = tmp_path / "cnn.onnx"
        onnx.save(residual_model, path)
        return path

    @pytest.fixture
    def batches(self, images):
        return images


class TestQdq(_CnnSuite):
    @pytest.fixture
    def adaptor(self):
        return OnnxAdaptor(AdaptorContext("onnxrt_qdq", threads=1))


class TestQOperator(_CnnSuite):
    @pytest.fixture
    def adaptor(self):
        return OnnxAdaptor(AdaptorContext("onnxrt_qoperator", threads=1))


class TestAuto(_CnnSuite):
    @pytest.fixture
    def adaptor(self):
        return OnnxAdaptor(AdaptorContext("onnxruntime", approach="auto", threads=1))


class TestTransformer(AdaptorSuite):
    @pytest.fixture
    def adaptor(self):
        return OnnxAdaptor(AdaptorContext("onnxruntime", threads=1))

    @pytest.fixture
    def source(self, attention_model):
        return attention_model

    @pytest.fixture
    def batches(self, sentences):
        return sentences


class TestAutoTransformer(TestTransformer):
    @pytest.fixture
    def adaptor(self):
        return OnnxAdaptor(AdaptorContext("onnxruntime", approach="auto", threads=1))


class TestSeveralInputsAndOutputs(AdaptorSuite):
    @pytest.fixture
    def adaptor(self):
        return OnnxAdaptor(AdaptorContext("onnxruntime", threads=1))

    @pytest.fixture
    def source(self, net):
        build = net()
        left = build.gemm(build.input("a", ["batch", 12]), 12, 8)
        right = build.gemm(build.input("b", ["batch", 6]), 6, 8)
        both = build.op("Relu", build.op("Add", left, right))
        build.output(both, ["batch", 8])
        build.output(build.gemm(both, 8, 3), ["batch", 3])
        return build.proto()

    @pytest.fixture
    def batches(self):
        rng = np.random.default_rng(5)
        return [
            {
                "a": rng.normal(size=(8, 12)).astype(np.float32),
                "b": rng.normal(size=(8, 6)).astype(np.float32),
            }
            for _ in range(4)
        ]
