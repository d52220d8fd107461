"""Checkpoints, read back by decoders that are written from the formats' descriptions alone."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from inc_core.errors import ConfigError, UnsupportedModelError
from inc_torch.formats import StoredLayer, write_checkpoint
from inc_torch.formats.words import (
    pack_words,
    pack_words_across,
    unpack_words,
    unpack_words_across,
)


def make_layer(bits=4, outputs=64, inputs=96, group_size=32, symmetric=False, seed=0, bias=True):
    random = torch.Generator().manual_seed(seed)
    groups = -(-inputs // group_size)
    zero_point = torch.full((outputs, groups), 2 ** (bits - 1))
    if not symmetric:
        zero_point = torch.randint(1, 2**bits, (outputs, groups), generator=random)
    return StoredLayer(
        codes=torch.randint(0, 2**bits, (outputs, inputs), generator=random),
        scale=(torch.rand(outputs, groups, generator=random) + 2**-6).half().float(),
        zero_point=zero_point,
        bits=bits,
        group_size=group_size,
        symmetric=symmetric,
        bias=torch.randn(outputs, generator=random).half().float() if bias else None,
    )


def bits_of(words, bits, axis):
    """Read codes of ``bits`` bits along ``axis`` from little-endian words of 32 bits."""
    words = np.moveaxis(words, axis, -1)
    raw = np.ascontiguousarray(words).view(np.uint8)
    stream = np.unpackbits(raw, axis=-1, bitorder="little")
    codes = stream.reshape(*words.shape[:-1], -1, bits) << np.arange(bits)
    return np.moveaxis(codes.sum(-1), -1, axis)


def read_gptq(folder, name):
    stored, config = load_file(folder / "model.safetensors"), json.loads(
        (folder / "quantize_config.json").read_text()
    )  # fmt: skip
    codes = bits_of(stored[f"{name}.qweight"], config["bits"], 0)
    zeros = bits_of(stored[f"{name}.qzeros"], config["bits"], 1)
    if config["checkpoint_format"] == "gptq":
        zeros = zeros + 1
    group = stored[f"{name}.g_idx"]
    return ((codes - zeros[group]) * stored[f"{name}.scales"].astype(np.float32)[group]).T


def read_compressed_tensors(folder, name):
    stored = load_file(folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())["quantization_config"]
    (weights,) = [g["weights"] for g in config["config_groups"].values() if name in g["targets"]]
    bits, (outputs, inputs) = weights["num_bits"], stored[f"{name}.weight_shape"]
    half = 2 ** (bits - 1)
    q_weight = bits_of(stored[f"{name}.weight_packed"], bits, 1)[:, :inputs].astype(int) - half
    scale = stored[f"{name}.weight_scale"].astype(np.float32)
    zeros = np.zeros_like(scale, dtype=int)
    if not weights["symmetric"]:
        zeros = bits_of(stored[f"{name}.weight_zero_point"], bits, 0)[:outputs].astype(int) - half
    size = weights["group_size"] or inputs
    group = np.arange(inputs) // size
    return (q_weight - zeros[:, group]) * scale[:, group]


@pytest.mark.parametrize("symmetric", [True, False], ids=["sym", "asym"])
@pytest.mark.parametrize("group_size", [32, 96], ids=["groups", "per channel"])
@pytest.mark.parametrize(
    ("layout", "bits", "read"),
    [("gptq", bits, read_gptq) for bits in (2, 3, 4, 8)]
    + [("compressed-tensors", bits, read_compressed_tensors) for bits in (4, 8)],
)
def test_a_reader_of_the_format_gets_the_weight(
    layout, bits, read, group_size, symmetric, tmp_path
):
    layer = make_layer(bits, group_size=group_size, symmetric=symmetric)
    others = {"norm.weight": torch.ones(3)}
    write_checkpoint(tmp_path, {"blocks.0.fc": layer}, others, ("head",), layout)
    np.testing.assert_allclose(read(tmp_path, "blocks.0.fc"), layer.dequantize(), rtol=1e-6)
    stored = load_file(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(stored["norm.weight"], np.ones(3))
    np.testing.assert_array_equal(stored["blocks.0.fc.bias"], layer.bias.half())


def test_zero_points_of_zero_take_the_second_version(tmp_path):
    layer = make_layer()
    layer.zero_point[3, 1] = 0
    write_checkpoint(tmp_path, {"fc": layer}, {}, (), "gptq")
    config = json.loads((tmp_path / "quantize_config.json").read_text())
    assert config["checkpoint_format"] == "gptq_v2"
    np.testing.assert_allclose(read_gptq(tmp_path, "fc"), layer.dequantize(), rtol=1e-6)


def test_odd_shapes_are_padded_by_compressed_tensors(tmp_path):
    layer = make_layer(outputs=13, inputs=50)
    write_checkpoint(tmp_path, {"fc": layer}, {}, (), "compressed-tensors")
    found = read_compressed_tensors(tmp_path, "fc")
    np.testing.assert_allclose(found, layer.dequantize(), rtol=1e-6)


def test_mixed_widths_are_groups_of_compressed_tensors_and_refused_by_gptq(tmp_path):
    layers = {"a": make_layer(4), "b": make_layer(8, group_size=96, symmetric=True)}
    write_checkpoint(tmp_path, layers, {}, (), "compressed-tensors")
    for name, layer in layers.items():
        found = read_compressed_tensors(tmp_path, name)
        np.testing.assert_allclose(found, layer.dequantize(), rtol=1e-6)
    message = "this model has 4 bits in groups of 32, 8 bits in groups of -1"
    with pytest.raises(UnsupportedModelError, match=message):
        write_checkpoint(tmp_path, layers, {}, (), "gptq")


def test_the_models_own_configuration_is_kept(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    write_checkpoint(tmp_path, {"fc": make_layer()}, {}, ("head",), "compressed-tensors")
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["model_type"] == "llama"
    assert config["quantization_config"]["ignore"] == ["head"]


@pytest.mark.parametrize(
    ("layer", "layout", "message"),
    [
        (make_layer(outputs=13), "gptq", "fc: 13 outputs of 96 inputs.*multiples of 8"),
        (make_layer(5), "gptq", "fc: a GPTQ checkpoint holds 2, 3, 4, 8 bits, received 5"),
        (make_layer(3), "compressed-tensors", "packs 4 and 8 bits, received 3"),
    ],
    ids=["odd shape", "odd width", "3 bits"],
)
def test_what_a_format_cannot_hold_is_named(layer, layout, message, tmp_path):
    with pytest.raises(UnsupportedModelError, match=message):
        write_checkpoint(tmp_path, {"fc": layer}, {}, (), layout)


def test_unknown_formats_and_float_models_are_errors(tmp_path):
    with pytest.raises(ConfigError, match=r"'gptqq'; known: gptq, .*Did you mean 'gptq'"):
        write_checkpoint(tmp_path, {"fc": make_layer()}, {}, (), "gptqq")
    with pytest.raises(UnsupportedModelError, match="nothing to write"):
        write_checkpoint(tmp_path, {}, {}, (), "gptq")


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_words_of_whole_codes_round_trip(bits):
    codes = torch.randint(0, 2**bits, (3, 37))
    assert torch.equal(unpack_words(pack_words(codes, bits), bits, 37), codes)


@pytest.mark.parametrize("bits", [3, 5, 6, 7])
def test_words_of_crossing_codes_round_trip(bits):
    codes = torch.randint(0, 2**bits, (3, 64))
    assert torch.equal(unpack_words_across(pack_words_across(codes, bits), bits), codes)
