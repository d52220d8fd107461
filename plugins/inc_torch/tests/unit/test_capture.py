"""Tracing: open batches, names of ops, inputs by keyword, and what is done without a trace."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from models import Encoder, Moody, ResidualNet, seeded
from torch import nn

from inc_core.errors import DataError
from inc_core.hookspecs.adaptor import AdaptorContext
from inc_torch.adaptor import TorchAdaptor


@pytest.fixture
def adaptor():
    return TorchAdaptor(AdaptorContext("pytorch"))


class InPlace(nn.Module):
    """Writes to tensors that others read before and after."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x):
        y = self.fc(x)
        before = y * 2
        y.relu_()
        y += 1
        part = y[:, :2]
        part.mul_(3)  # through a view
        return before + y


class PartOfResult(nn.Module):
    """Adds to a part of what nobody else reads, as GhostNet does; and to one that is read again."""

    def __init__(self, read_again):
        super().__init__()
        self.conv, self.read_again = nn.Conv2d(3, 6, 1), read_again

    def forward(self, x):
        whole = self.conv(x)
        part = whole[:, :3]
        part += x
        return part + whole[:, 3:] if self.read_again else part


class Gpt2Style(nn.Module):
    """A layer as ``transformers`` writes it for GPT-2: a product with a transposed weight."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(6, 4))
        self.bias = nn.Parameter(torch.randn(4))

    def forward(self, x):
        return torch.addmm(self.bias, x, self.weight)


class ForEach(nn.Module):
    """Python goes through the samples: a graph would hold the number of those that were traced."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x):
        return [one[one > 0] for one in self.fc(x)]


class Counted(nn.Module):
    """Gives a number beside a tensor."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x):
        return self.fc(x), 3, "text"


def test_ops_are_named_after_layers_and_types_as_users_say_them(adaptor, images):
    model = adaptor.trace(adaptor.load(seeded(ResidualNet)), images[0])
    keys = [tuple(one.op) for one in adaptor.capabilities(model)]
    assert ("stem.0", "Conv2d") in keys
    assert ("block1.add", "Add") in keys
    assert keys[-1] == ("fc", "Linear")


def test_any_batch_size_runs_after_tracing_a_batch_of_one(adaptor, images):
    image = images[0]["image"]
    model = adaptor.trace(adaptor.load(seeded(ResidualNet)), image[:1])
    whole = adaptor.predict(model, image)
    np.testing.assert_allclose(adaptor.predict(model, image[:3]), whole[:3], rtol=1e-4, atol=1e-5)


def test_ids_with_a_mask_give_mappings_and_any_length(adaptor, sentences):
    module = seeded(Encoder)
    model = adaptor.trace(adaptor.load(module), sentences[0])
    assert model.facts.traced
    longer = {name: np.concatenate([a, a], 1) for name, a in sentences[0].items()}
    tensors = {name: torch.from_numpy(a) for name, a in longer.items()}
    expected, found = module(**tensors), model(**tensors)
    assert set(found) == {"logits", "states"}
    assert isinstance(found["states"], tuple)
    torch.testing.assert_close(found["logits"], expected["logits"], rtol=1e-4, atol=1e-5)
    logits, states = adaptor.predict(model, longer)
    assert logits.shape == (4, 3) and states.shape == (4, 20, 32)


def test_writing_in_place_is_understood(adaptor):
    torch.manual_seed(0)
    module = InPlace().eval()
    x = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    model = adaptor.trace(adaptor.load(module), x)
    assert model.facts.traced
    expected = module(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(adaptor.predict(model, x), expected, rtol=1e-5, atol=1e-6)


def test_a_product_with_a_constant_is_a_linear_layer(adaptor):
    torch.manual_seed(0)
    model = adaptor.trace(adaptor.load(Gpt2Style()), np.ones((2, 6), np.float32))
    (capability,) = adaptor.capabilities(model)
    assert capability.op.type == "Linear"
    assert capability.configs[0].is_quantized


def test_a_module_without_a_graph_is_quantized_layer_by_layer(adaptor, images):
    model = adaptor.trace(adaptor.load(seeded(Moody)), images[0])
    assert not model.facts.traced
    assert model.facts.obstacle
    names = [one.op.name for one in adaptor.capabilities(model)]
    assert names == ["conv", "calm", "wild", "head"]


def test_without_an_example_layers_are_known_too(adaptor):
    model = adaptor.load(seeded(ResidualNet))
    assert "block1.conv2" in [one.op.name for one in adaptor.capabilities(model)]


def test_integers_are_wanted_where_the_model_takes_ids(adaptor, sentences):
    model = adaptor.trace(adaptor.load(seeded(Encoder)), sentences[0])
    wrong = {**sentences[0], "input_ids": sentences[0]["input_ids"].astype(np.float32)}
    with pytest.raises(DataError, match="'input_ids' must be integers"):
        adaptor.predict(model, wrong)


def test_a_wrong_name_names_the_closest(adaptor, sentences):
    with pytest.raises(DataError, match="input_ids"):
        adaptor.trace(adaptor.load(seeded(Encoder)), {"input_idz": sentences[0]["input_ids"]})


def test_code_that_depends_on_the_batch_runs_as_it_is(adaptor):
    model = adaptor.trace(adaptor.load(ForEach()), np.ones((4, 4), np.float32))
    assert "depends on the size of the batch" in model.facts.obstacle
    assert len(model(torch.ones(3, 4))) == 3


def test_numbers_among_the_outputs_are_predicted_and_texts_are_not(adaptor):
    model = adaptor.trace(adaptor.load(Counted()), np.ones((4, 4), np.float32))
    logits, number = adaptor.predict(model, np.ones((2, 4), np.float32))
    assert logits.shape == (2, 4)
    assert number == 3


def test_inputs_keep_the_names_that_forward_gives_them(adaptor):
    layer = nn.ConvTranspose3d(3, 4, 2)  # its forward takes ``input``, and is left to torch.export
    model = adaptor.trace(adaptor.load(layer), np.ones((2, 3, 4, 4, 4), np.float32))
    assert model.facts.traced
    assert model(input=torch.ones(1, 3, 4, 4, 4)).shape == (1, 4, 5, 5, 5)


def test_sizes_that_were_not_traced_are_refused(adaptor):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(1), nn.Linear(4 * 14 * 14, 5))
    model = adaptor.trace(adaptor.load(net.eval()), np.ones((4, 3, 16, 16), np.float32))
    with pytest.raises(DataError, match=r"float32 \(any, 3, 16, 16\), received \(2, 3, 32, 32\)"):
        model(torch.zeros(2, 3, 32, 32))


def test_images_of_other_sizes_run_where_no_number_follows_them(adaptor, images):
    module = seeded(ResidualNet)
    model = adaptor.trace(adaptor.load(module), images[0])
    for size in (16, 40, 27):
        image = torch.randn(3, 3, size, size)
        torch.testing.assert_close(model(image), module(image), atol=1e-4, rtol=1e-4)
        (outputs,) = [adaptor.predict(model, {"image": image.numpy()})]
        np.testing.assert_allclose(outputs, module(image).detach(), atol=1e-4, rtol=1e-4)


class Branches(nn.Module):
    """Goes on with one number of many; torch.export prints the graph where it gives up."""

    def forward(self, x):
        return x * 2 if (x * 3).sum().item() > 0 else x


def test_what_cannot_be_traced_is_not_printed(adaptor, capfd):
    model = adaptor.trace(adaptor.load(Branches()), np.ones((4, 4), np.float32))
    assert not model.facts.traced
    assert "def forward" not in "".join(capfd.readouterr())


# torch.export warns of this model that it finds no code of the user's to blame
BY_THE_SUM = """
import torch
from inc_core.hookspecs.adaptor import AdaptorContext
from inc_torch.adaptor import TorchAdaptor

class ByTheSum(torch.nn.Module):
    def forward(self, x):
        return x * 2 if x.sum() > 0 else x

adaptor = TorchAdaptor(AdaptorContext("pytorch"))
assert not adaptor.trace(adaptor.load(ByTheSum()), torch.ones(2, 3)).facts.traced
"""


def test_a_way_that_failed_says_nothing():
    """In a process of its own: torch's handlers hold the standard error that was there before."""
    done = subprocess.run(
        [sys.executable, "-c", BY_THE_SUM], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("read_again", [False, True])
def test_adding_to_a_part_of_a_result_is_an_addition_where_nobody_else_sees_it(adaptor, read_again):
    module, x = PartOfResult(read_again).eval(), torch.randn(2, 3, 4, 4)
    model = adaptor.trace(adaptor.load(module), x.numpy())
    names = {str(node.target) for node in model.graph.graph.nodes}
    assert ("aten.slice_scatter.default" in names) == read_again
    torch.testing.assert_close(model(x), module(x).detach())
