"""Toy models: immutable, checked, and the same after saving."""

from __future__ import annotations

import numpy as np
import pytest

from inc_core.errors import UnsupportedModelError
from inc_core.testing.toy import ToyModel, ToyNode, load_model, make_model, save_model


def linear(name="fc", source="x"):
    return ToyNode(name, "Linear", (source,), {"weight": np.ones((2, 3)), "bias": np.zeros(2)})


def test_weights_cannot_be_written():
    with pytest.raises(ValueError, match="read-only"):
        linear().arrays["weight"][0, 0] = 2


def test_weights_are_copied():
    weight = np.ones((2, 3))
    node = ToyNode("fc", "Linear", ("x",), {"weight": weight, "bias": np.zeros(2)})
    weight[0, 0] = 7
    assert node.arrays["weight"][0, 0] == 1


def test_with_nodes_makes_another_model():
    model = ToyModel({"x": 3}, (linear(),), ("fc",))
    other = model.with_nodes([linear()])
    assert other is not model
    assert other.node("fc") is not model.node("fc")


@pytest.mark.parametrize(
    ("nodes", "outputs", "message"),
    [
        ((linear(), linear()), ("fc",), "two tensors of a toy model are named 'fc'"),
        ((linear("x"),), ("x",), "are named 'x'"),
        ((linear(source="y"),), ("fc",), r"'fc' reads \['y'\]: a Linear reads 1 earlier"),
        ((ToyNode("a", "Add", ("x",)),), ("a",), r"an? Add reads 2 earlier"),
        ((ToyNode("c", "Conv", ("x",)),), ("c",), "type 'Conv'; toy models know Linear"),
        ((ToyNode("s", "Scale", ("x",)),), ("s",), "'s' lacks its 'factor'"),
        ((linear(),), ("absent",), r"outputs \['absent'\]"),
        ((linear(),), (), "outputs"),
    ],
    ids=["twice", "like an input", "unknown input", "arity", "type", "array", "output", "none"],
)
def test_wrong_net_is_an_unsupported_model_error(nodes, outputs, message):
    with pytest.raises(UnsupportedModelError, match=message):
        ToyModel({"x": 3}, nodes, outputs)


def test_saving_twice_writes_the_same_bytes(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        save_model(make_model(), tmp_path / name)
    for file in ("model.json", "weights.npz"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "other" / file).read_bytes()


def test_loaded_model_is_the_saved_one(tmp_path):
    model = make_model()
    save_model(model, tmp_path)
    loaded = load_model(tmp_path)
    assert loaded.inputs == model.inputs
    assert [node.key for node in loaded.nodes] == [node.key for node in model.nodes]
    assert [node.group for node in loaded.nodes] == [node.group for node in model.nodes]


def test_missing_weights_are_named(tmp_path):
    save_model(make_model(), tmp_path)
    (tmp_path / "weights.npz").unlink()
    with pytest.raises(UnsupportedModelError, match=r"weights\.npz is missing"):
        load_model(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"nodes": [{}]}', '{"nodes": 3}'])
def test_wrong_description_is_called_corrupt(tmp_path, text):
    save_model(make_model(), tmp_path)
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(UnsupportedModelError, match="is corrupt"):
        load_model(tmp_path)
