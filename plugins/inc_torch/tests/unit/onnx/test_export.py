"""Quantized models as ONNX: ONNX Runtime and inc-onnx give the outputs that PyTorch gives."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from models import Encoder, Moody, ResidualNet, TwoTowers, program, seeded
from torch import nn

from inc_core.errors import UnsupportedModelError, WorkspaceError
from inc_core.hookspecs.adaptor import AdaptorContext
from inc_core.plugin import get_plugins
from inc_core.quant.space import TuningSpace
from inc_core.quant.spec import OpConfig
from inc_core.testing.adaptor_checks.measuring import calibrate
from inc_core.testing.oracle import snr_db
from inc_torch.adaptor import TorchAdaptor
from inc_torch.processor import multiplies_bf16

# the two round additions at different places, and ties once in a while
MIN_SNR_DB = 30.0


class Awkward(nn.Module):
    """Zero points everywhere, uneven geometry, pooling, concatenation, a dead channel."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, (3, 2), (2, 1))
        self.depth = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.wide = nn.Conv2d(8, 8, 3, padding=2, dilation=2)
        self.point = nn.Conv2d(16, 6, 1, bias=False)
        self.fc = nn.Linear(6, 4)
        self.depth.weight.data[3] *= 1e-9
        self.depth.bias.data[3] = 2.0

    def forward(self, image):
        x = nn.functional.hardswish(self.first(image))
        x = torch.cat(
            [nn.functional.max_pool2d(self.depth(x), 3, 2, 1), self.wide(x)[:, :, ::2, ::2]], 1
        )
        x = nn.functional.avg_pool2d(self.point(nn.functional.pad(x, (1, 0, 2, 1))), 2)
        return self.fc(x.mean((2, 3)))


def quantized(adaptor, source, batches):
    model = adaptor.trace(adaptor.load(source), batches[0])
    space = TuningSpace(tuple(adaptor.capabilities(model)))
    calibration = calibrate(adaptor, model, space, batches)
    return model, adaptor.quantize(model, space.default(), calibration)


def run(path, inputs):
    session = onnxruntime.InferenceSession(str(path))
    return session.run(None, {one.name: inputs[one.name] for one in session.get_inputs()})


def executed(path, tmp_path):
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    onnxruntime.InferenceSession(str(path), options)
    return {node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node}


@pytest.fixture
def adaptor():
    return TorchAdaptor(AdaptorContext("pytorch", threads=1))


def outputs(adaptor, model, inputs):
    found = adaptor.predict(model, inputs)
    return found if isinstance(found, tuple) else (found,)


@pytest.mark.parametrize(
    ("source", "data"),
    [
        (lambda: program(ResidualNet, (2, 3, 16, 16)), "images"),
        (lambda: seeded(Awkward), "images"),
        (lambda: program(Encoder, (2, 10), (2, 10)), "sentences"),
        (lambda: program(TwoTowers, (2, 12), (2, 6)), "pairs"),
    ],
    ids=["residual", "awkward", "transformer", "two towers"],
)
def test_it_gives_the_outputs_of_the_quantized_model(adaptor, source, data, request, tmp_path):
    batches = request.getfixturevalue(data)
    _, model = quantized(adaptor, source(), batches)
    path = tmp_path / "model.onnx"
    adaptor.export(model, path, "onnx")
    onnx.checker.check_model(str(path), full_check=True)
    for count in (1, len(next(iter(batches[1].values())))):
        inputs = {name: array[:count] for name, array in batches[1].items()}
        for one, other in zip(outputs(adaptor, model, inputs), run(path, inputs), strict=True):
            assert one.shape == other.shape
            assert snr_db(one, other) > MIN_SNR_DB


def test_one_dimensional_convolutions_are_exported_to_onnx_and_by_torch(adaptor, tmp_path):
    module = nn.Sequential(nn.Conv1d(4, 8, 3, 2, 1), nn.ReLU(), nn.Conv1d(8, 4, 3, dilation=2))
    batches = [
        {"input": np.random.default_rng(i).normal(size=(4, 4, 24)).astype("float32")}
        for i in (1, 2)
    ]
    _, model = quantized(adaptor, module.eval(), batches)
    x = torch.from_numpy(batches[1]["input"])
    program = torch.export.export(model, (x,), dynamic_shapes=(({0: torch.export.Dim.AUTO},),))
    assert torch.equal(program.module()(x[:3]), model(x[:3]))
    adaptor.export(model, tmp_path / "model.onnx", "onnx")
    (found,) = run(tmp_path / "model.onnx", batches[1])
    assert snr_db(model(x).numpy(), found) > MIN_SNR_DB


def test_onnx_runtime_executes_integers(adaptor, images, tmp_path):
    _, model = quantized(adaptor, program(ResidualNet, (2, 3, 16, 16)), images)
    adaptor.export(model, tmp_path / "model.onnx", "onnx")
    ops = executed(tmp_path / "model.onnx", tmp_path)
    assert {"QLinearConv", "QLinearAdd", "QGemm"} <= ops
    assert not {"Conv", "Gemm", "MatMul", "Add", "Relu"} & ops


def test_readers_of_a_tensor_agree_with_its_writer_on_the_zero_point(adaptor, images, tmp_path):
    _, model = quantized(adaptor, seeded(Awkward), images)
    adaptor.export(model, tmp_path / "model.onnx", "onnx")
    graph = onnx.load(tmp_path / "model.onnx").graph
    producers = {node.output[0]: node for node in graph.node}

    def writers(tensor):
        node = producers[tensor]
        if node.op_type == "QuantizeLinear":
            return [node]
        count = len(node.input) if node.op_type == "Concat" else 1  # others read sizes beside it
        return [writer for one in node.input[:count] for writer in writers(one)]

    read = [n for n in graph.node if n.op_type == "DequantizeLinear" and n.input[0] in producers]
    assert len(read) >= 6
    for node in read:
        for writer in writers(node.input[0]):
            assert list(node.input[1:]) == list(writer.input[1:])


def test_weights_are_the_integers_of_the_model(adaptor, images, tmp_path):
    _, model = quantized(adaptor, program(ResidualNet, (2, 3, 16, 16)), images)
    adaptor.export(model, tmp_path / "model.onnx", "onnx")
    stored = {
        one.name: onnx.numpy_helper.to_array(one)
        for one in onnx.load(tmp_path / "model.onnx").graph.initializer
    }
    weights = adaptor.integer_weights(model)
    assert len(weights) >= 8
    for name, q_weight in weights.items():
        np.testing.assert_array_equal(stored[name], q_weight)
    assert not [
        name for name, array in stored.items() if array.dtype == np.float32 and array.ndim > 1
    ]


def test_a_restored_model_gives_the_same_file(adaptor, images, tmp_path):
    _, model = quantized(adaptor, program(ResidualNet, (2, 3, 16, 16)), images)
    (tmp_path / "saved").mkdir()
    adaptor.save(model, tmp_path / "saved")
    adaptor.export(model, tmp_path / "one.onnx", "onnx")
    adaptor.export(adaptor.restore(tmp_path / "saved"), tmp_path / "other.onnx", "onnx")
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "other.onnx").read_bytes()


def test_inc_onnx_runs_it(adaptor, images, tmp_path):
    _, model = quantized(adaptor, program(ResidualNet, (2, 3, 16, 16)), images)
    adaptor.export(model, tmp_path / "model.onnx", "onnx")
    other = get_plugins().component("adaptor", "onnxruntime")(AdaptorContext("onnxruntime"))
    loaded = other.load(tmp_path / "model.onnx")
    assert (
        snr_db(*(one.predict(m, images[1]) for one, m in ((adaptor, model), (other, loaded))))
        > MIN_SNR_DB
    )


def test_a_float_model_keeps_its_function(adaptor, sentences, tmp_path):
    model = adaptor.load(program(Encoder, (2, 10), (2, 10)))
    adaptor.export(model, tmp_path / "model.onnx", "onnx")
    found = run(tmp_path / "model.onnx", sentences[0])
    for one, other in zip(outputs(adaptor, model, sentences[0]), found, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-5)


def test_outputs_are_named_after_their_places(adaptor, tmp_path):
    adaptor.export(
        adaptor.load(program(Encoder, (2, 10), (2, 10))), tmp_path / "model.onnx", "onnx"
    )
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    assert [one.name for one in session.get_outputs()] == ["logits", "states.0"]
    assert [one.name for one in session.get_inputs()] == ["input_ids", "attention_mask"]
    assert session.get_inputs()[0].shape[0] == "batch"


def test_dynamic_ops_keep_integer_weights_and_float_activations(sentences, tmp_path):
    adaptor = TorchAdaptor(AdaptorContext("pytorch", approach="dynamic", threads=1))
    model, built = quantized(adaptor, program(Encoder, (2, 10), (2, 10)), sentences)
    adaptor.export(built, tmp_path / "model.onnx", "onnx")
    found = run(tmp_path / "model.onnx", sentences[0])
    pairs = zip(outputs(adaptor, model, sentences[0]), found, strict=True)
    assert all(snr_db(*pair) > MIN_SNR_DB for pair in pairs)
    graph = onnx.load(tmp_path / "model.onnx").graph
    large = [one for one in graph.initializer if len(one.dims) == 2]
    # all but the embedding, whose layer is none that can be quantized
    assert sum(one.data_type == onnx.TensorProto.INT8 for one in large) == len(large) - 1
    assert not any(node.op_type == "QuantizeLinear" for node in graph.node)


@pytest.mark.skipif(not multiplies_bf16(), reason="this processor does not multiply bf16")
def test_bf16_becomes_float32(adaptor, images, tmp_path):
    model = adaptor.load(program(ResidualNet, (2, 3, 16, 16)))
    space = TuningSpace(tuple(adaptor.capabilities(model)))
    bf16 = {op: OpConfig("bf16") for op in space.ops if OpConfig("bf16") in space.options(op)}
    recipe = space.all_float().with_ops(bf16)
    built = adaptor.quantize(model, recipe, calibrate(adaptor, model, space, images))
    adaptor.export(built, tmp_path / "model.onnx", "onnx")
    (found,) = run(tmp_path / "model.onnx", images[0])
    assert snr_db(adaptor.predict(model, images[0]), found) > 40.0


def test_ops_in_four_bits_are_named(sentences, tmp_path):
    adaptor = TorchAdaptor(AdaptorContext("pytorch", approach="weight_only", threads=1))
    _, model = quantized(adaptor, program(Encoder, (2, 10), (2, 10)), sentences)
    with pytest.raises(UnsupportedModelError, match=r"4 bits .*query, .*Export to 'gptq'"):
        adaptor.export(model, tmp_path / "model.onnx", "onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_ops_without_a_translation_are_all_named(adaptor, tmp_path):
    class Strange(nn.Module):
        def forward(self, x):
            return torch.special.i0(torch.fft.rfft(x).abs()) + torch.erfinv(x[:, :5])

    model = adaptor.trace(adaptor.load(Strange()), np.ones((2, 8), np.float32))
    with pytest.raises(UnsupportedModelError, match=r"no translation of .*fft_rfft.*erfinv"):
        adaptor.export(model, tmp_path / "model.onnx", "onnx")


def test_a_model_that_runs_its_own_code_says_so(adaptor, images, tmp_path):
    _, model = quantized(adaptor, seeded(Moody), images)
    with pytest.raises(UnsupportedModelError, match="only a traced model"):
        adaptor.export(model, tmp_path / "model.onnx", "onnx")


def test_a_place_that_cannot_be_written_is_a_workspace_error(adaptor, tmp_path):
    (tmp_path / "file").write_text("")
    model = adaptor.load(program(TwoTowers, (2, 12), (2, 6)))
    with pytest.raises(WorkspaceError, match="cannot be written"):
        adaptor.export(model, tmp_path / "file" / "model.onnx", "onnx")


def test_without_the_package_the_error_says_what_to_install(tmp_path):
    script = (
        "import sys; sys.modules['onnx'] = None\n"
        "from inc_core.errors import MissingFrameworkError\n"
        "from inc_core.hookspecs.adaptor import AdaptorContext\n"
        "from inc_torch.adaptor import TorchAdaptor\n"
        "import torch\n"
        "adaptor = TorchAdaptor(AdaptorContext('pytorch'))\n"
        "model = adaptor.load(torch.nn.Linear(2, 2))\n"
        "try: adaptor.export(model, 'model.onnx', 'onnx')\n"
        "except MissingFrameworkError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "pip install 'inc-torch[onnx]'" in done.stdout


def test_normalizing_by_the_batch_itself_is_refused(adaptor, tmp_path):
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False))
    model = adaptor.trace(adaptor.load(module), np.ones((2, 3, 8, 8), np.float32))
    with pytest.raises(UnsupportedModelError, match="normalizes by the batch itself"):
        adaptor.export(model, tmp_path / "model.onnx", "onnx")
