"""Weights in few bits from the recipe to the files, in traced models and in others."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from models import Encoder, Moody, program, seeded
from safetensors.torch import load_file

from inc_core import Quantization, common
from inc_core.errors import CalibrationError, UnsupportedModelError
from inc_core.hookspecs.adaptor import AdaptorContext
from inc_core.quant.calibrator import Calibration
from inc_core.quant.recipe import Recipe
from inc_core.quant.spec import FP32, OpConfig
from inc_core.testing.toy import ToyAccuracy
from inc_torch.adaptor import TorchAdaptor
from inc_torch.formats import export_checkpoint
from inc_torch.weight_only import algorithms

CLUSTER = Path(__file__).parents[4] / "tests" / "integration"  # dask_cluster.py is there
ALGORITHMS = ["minmax", "gptq", "awq", "hqq"]


def snr_db(found, wanted):
    noise = ((found - wanted) ** 2).mean()
    return 10 * np.log10((wanted**2).mean() / max(noise, 1e-30))


class Case:
    """A model of the adaptor, and recipes by what its linear layers should be."""

    def __init__(self, source, batches):
        self.adaptor = TorchAdaptor(AdaptorContext("pytorch", approach="weight_only", threads=1))
        self.batches = batches
        self.model = self.adaptor.trace(self.adaptor.load(source), batches[0])
        self.calibration = Calibration({}, 16, inputs=lambda: iter(batches))

    def recipe(self, **fields):
        """Every layer in its first config with these fields, float where there is none."""
        ops = {}
        for one in self.adaptor.capabilities(self.model):
            fitting = [
                config
                for config in one.configs
                if config.weight is not None
                and all(getattr(config.weight, name) == value for name, value in fields.items())
            ]
            ops[one.op] = (*fitting, FP32)[0]
        return Recipe(ops)

    def quantize(self, recipe):
        return self.adaptor.quantize(self.model, recipe, self.calibration)

    def predict(self, model):
        found = self.adaptor.predict(model, self.batches[0])
        return found if isinstance(found, np.ndarray) else found[0]


@pytest.fixture
def traced(sentences):
    return Case(program(Encoder, (2, 10), (2, 10)), sentences)


@pytest.fixture
def untraced(images):
    return Case(seeded(Moody), images)


def simulated(module, layers):
    """The user's module with the weights that the files hold."""
    module = copy.deepcopy(module)
    for name, layer in layers.items():
        module.get_submodule(name).weight.data = layer
    return module


@pytest.fixture
def stored(monkeypatch):
    """What an export is given, by layer."""

    def of(model):
        found = {}
        monkeypatch.setattr(
            "inc_torch.formats.export.write_checkpoint",
            lambda directory, layers, *_: found.update(layers),
        )
        export_checkpoint(model, "nowhere")
        return {name: layer.dequantize() for name, layer in found.items()}

    return of


@pytest.mark.parametrize("algorithm", ["minmax", "gptq", "hqq"])
@pytest.mark.parametrize("dtype", ["int2", "int3", "int4", "int5", "int6", "int8"])
def test_the_model_computes_with_the_weights_that_are_stored(traced, stored, dtype, algorithm):
    model = traced.quantize(traced.recipe(dtype=dtype, algorithm=algorithm))
    layers = stored(model)
    assert len(layers) == 7
    module = simulated(seeded(Encoder), layers)
    batch = {name: torch.from_numpy(array) for name, array in traced.batches[0].items()}
    wanted = module(**batch)["logits"].detach().numpy()
    # activations are rounded to int8 on the way
    assert snr_db(traced.predict(model), wanted) > 25


@pytest.mark.parametrize("granularity", ["per_group", "per_channel"])
@pytest.mark.parametrize("scheme", ["sym", "asym"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_four_bits_are_close_to_float(traced, algorithm, scheme, granularity):
    recipe = traced.recipe(
        dtype="int4", scheme=scheme, algorithm=algorithm, granularity=granularity
    )
    found = traced.predict(traced.quantize(recipe))
    assert snr_db(found, traced.predict(traced.model)) > 14


def test_bits_are_stored_in_whole_by_the_dtype_asked_for(traced):
    model = traced.quantize(traced.recipe(dtype="int3", algorithm="gptq"))
    executed = {text.partition(" by ")[0] for text in traced.adaptor.executed(model).values()}
    assert executed == {"int3", "fp32"}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_models_that_cannot_be_traced_are_quantized_layer_by_layer(untraced, algorithm):
    # the layer that takes the other way sees zeros alone
    recipe = untraced.recipe(dtype="int4", algorithm=algorithm)
    found = untraced.predict(untraced.quantize(recipe))
    assert snr_db(found, untraced.predict(untraced.model)) > 12


def test_a_layer_that_no_sample_reached_is_named(untraced):
    untraced.model.body.wild = torch.nn.Identity()
    untraced.calibration = Calibration({}, 0, inputs=lambda: iter(()))
    with pytest.raises(CalibrationError, match="needs calibration data that reaches this layer"):
        untraced.quantize(untraced.recipe(dtype="int4", algorithm="gptq"))


def test_a_search_that_changes_one_op_quantizes_one_weight(traced, monkeypatch):
    recipe = traced.recipe(dtype="int4", algorithm="gptq")
    traced.quantize(recipe)
    counted, real = [], algorithms.gptq
    monkeypatch.setitem(
        algorithms.ALGORITHMS,
        "gptq",
        algorithms.Algorithm(lambda *args: counted.append(1) or real(*args), needs_inputs=True),
    )
    op = next(op for op in recipe.ops if op.name == "up")
    other = traced.recipe(dtype="int2", algorithm="gptq").ops[op]
    traced.quantize(recipe.with_op(op, other))
    assert len(counted) == 1


def test_the_source_is_left_as_it_was(traced):
    before = traced.adaptor.digest(traced.model)
    traced.quantize(traced.recipe(dtype="int4", algorithm="gptq"))
    assert traced.adaptor.digest(traced.model) == before


@pytest.mark.parametrize("algorithm", ["gptq", "awq"])
def test_saved_models_give_the_same_bits(traced, tmp_path, algorithm):
    model = traced.quantize(traced.recipe(dtype="int3", algorithm=algorithm))
    traced.adaptor.save(model, tmp_path)
    restored = traced.adaptor.restore(tmp_path)
    np.testing.assert_array_equal(traced.predict(restored), traced.predict(model))


def test_files_hold_codes_in_their_own_width(traced, tmp_path):
    sizes = {}
    for dtype in ("int2", "int3", "int4", "int5", "int6", "int7", "int8"):
        model = traced.quantize(traced.recipe(dtype=dtype, granularity="per_channel"))
        traced.adaptor.save(model, tmp_path)
        layout = json.loads((tmp_path / "model.json").read_text())["layout"]
        assert all(row["bits"] == int(dtype[-1]) for row in layout.values())
        sizes[dtype] = (tmp_path / "model.safetensors").stat().st_size
    assert list(sizes.values()) == sorted(set(sizes.values()))


@pytest.mark.parametrize("case", ["traced", "untraced"])
def test_an_export_has_every_parameter_of_the_module(case, request, tmp_path):
    case = request.getfixturevalue(case)
    model = case.quantize(case.recipe(dtype="int4", algorithm="minmax", granularity="per_group"))
    export_checkpoint(model, tmp_path, "compressed-tensors")
    found = load_file(tmp_path / "model.safetensors")
    layers = json.loads((tmp_path / "config.json").read_text())["quantization_config"]
    packed = {name for group in layers["config_groups"].values() for name in group["targets"]}
    module = seeded(Encoder if "tokens.weight" in found else Moody)
    expected = {
        name
        for name in module.state_dict()
        if name.removesuffix(".weight") not in packed or not name.endswith(".weight")
    }
    expected |= {
        f"{name}.weight_{part}"
        for name in packed
        for part in ("packed", "scale", "shape", "zero_point")
    }
    assert found.keys() == expected


def test_scaled_inputs_are_not_exported(traced, tmp_path):
    model = traced.quantize(traced.recipe(dtype="int4", algorithm="awq"))
    with pytest.raises(UnsupportedModelError, match=r"its inputs are scaled.*AWQ does it"):
        export_checkpoint(model, tmp_path)


def test_other_modes_are_not_exported(traced, tmp_path):
    recipe = traced.recipe(dtype="int4", algorithm="minmax")
    op = next(op for op in recipe.ops if op.name == "up")
    model = traced.quantize(recipe.with_op(op, OpConfig("bf16")))
    with pytest.raises(UnsupportedModelError, match="'up' runs as bf16"):
        export_checkpoint(model, tmp_path)


def test_a_float_model_is_not_exported(traced, tmp_path):
    with pytest.raises(UnsupportedModelError, match="no weight of this model is quantized"):
        export_checkpoint(traced.model, tmp_path)


@pytest.fixture
def dask(monkeypatch, tmp_path):
    """The runner of a cluster on this machine, with one worker."""
    pytest.importorskip("distributed")
    monkeypatch.syspath_prepend(CLUSTER)
    from dask_cluster import LocalCluster

    cluster = LocalCluster(tmp_path)
    cluster.have(1)
    yield {"name": "dask", "address": cluster.address, "workers": 1, "on_engine_loss": "fail"}
    cluster.close()


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["gptq", "awq"])
@pytest.mark.parametrize("elsewhere", ["process", "dask"])
def test_trials_in_other_processes_have_the_samples_too(elsewhere, algorithm, request, tmp_path):
    runner = request.getfixturevalue("dask") if elsewhere == "dask" else {"name": elsewhere}
    rng = np.random.default_rng(9)
    inputs = rng.normal(size=(32, 12)).astype(np.float32)
    data = [(one, int(one.sum() > 0)) for one in inputs]
    torch.manual_seed(9)
    layers = torch.nn.Sequential(torch.nn.Linear(12, 64), torch.nn.ReLU(), torch.nn.Linear(64, 2))

    def accuracies(runner):
        conf = {
            "quantization": {
                "approach": "weight_only",
                "calibration": {"sampling_size": 16},
                "model_wise": {"weight": {"algorithm": algorithm}},
            },
            "tuning": {
                "runner": runner,
                "strategy": "random",
                "speed_gate": False,
                "exit_policy": {"max_trials": 1, "on_goal_not_met": "best_seen"},
                "workspace": {"path": str(tmp_path / runner["name"])},
            },
        }
        quantizer = Quantization(conf)
        quantizer.model = layers.eval()
        quantizer.calib_dataloader = common.DataLoader(data, batch_size=8)
        quantizer.eval_dataloader = common.DataLoader(data, batch_size=8)
        quantizer.metric = ToyAccuracy
        trials = quantizer.fit().result.trials
        assert any(config.reads_inputs for config in trials[0].recipe.ops.values())
        return [(t.status, t.recipe.fingerprint, t.accuracy) for t in trials]

    inline = accuracies({"name": "inline"})
    assert inline[0][0] == "ok"
    assert accuracies(runner) == inline
