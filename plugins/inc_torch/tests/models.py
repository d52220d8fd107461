"""Small models of every kind that the tests need; seeded, so that they are the same everywhere."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import nn


def seeded(factory):
    """Return a model with weights that depend on nothing but its kind; batch norms as if trained."""
    torch.manual_seed(7)
    model = factory().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 1.5)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.3)
    return model


@lru_cache
def program(factory, *shapes):
    """Return the exported program of a seeded model with an open batch: exporting takes seconds."""
    inputs = tuple(
        torch.ones(shape, dtype=torch.int64)
        if len(shape) == 2 and factory is Encoder
        else torch.ones(shape)
        for shape in shapes
    )
    dims = tuple({0: torch.export.Dim.AUTO} for _ in inputs)
    return torch.export.export(seeded(factory), inputs, dynamic_shapes=dims)


class Block(nn.Module):
    """Two convolutions around a shortcut."""

    def __init__(self, inside, out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inside, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, groups=out, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.short = nn.Conv2d(inside, out, 1, stride)

    def forward(self, x):
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        y += self.short(x)
        return self.relu(y)


class ResidualNet(nn.Module):
    """Images of 3 x 16 x 16 to 5 logits."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        self.block1 = Block(8, 16, 2)
        self.block2 = Block(16, 16, 1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(16, 5)

    def forward(self, image):
        return self.fc(torch.flatten(self.pool(self.block2(self.block1(self.stem(image)))), 1))


class Encoder(nn.Module):
    """Token ids, with a mask, to a mapping of logits and states, as Hugging Face models do."""

    def __init__(self, d=32, heads=2):
        super().__init__()
        self.tokens = nn.Embedding(50, d)
        self.norm = nn.LayerNorm(d)
        self.query, self.key, self.value, self.out = (nn.Linear(d, d) for _ in range(4))
        self.up, self.down = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)
        self.classifier = nn.Linear(d, 3)
        self.heads = heads

    def forward(self, input_ids=None, attention_mask=None, return_dict=True):
        x = self.tokens(input_ids)
        b, t, d = x.shape
        split = (b, t, self.heads, d // self.heads)
        q, k, v = (
            one(self.norm(x)).view(split).transpose(1, 2)
            for one in (self.query, self.key, self.value)
        )
        mask = None if attention_mask is None else attention_mask[:, None, None, :].bool()
        y = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = x + self.out(y.transpose(1, 2).reshape(b, t, d))
        x = x + self.down(nn.functional.gelu(self.up(x)))
        return {"logits": self.classifier(x[:, 0]), "states": (x,)}


class TwoTowers(nn.Module):
    """Two inputs, two outputs."""

    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(12, 8), nn.Linear(6, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, a, b):
        both = torch.relu(self.left(a) + self.right(b))
        return both, self.head(both)


class Moody(nn.Module):
    """Its way depends on its numbers, so it cannot be traced."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.calm, self.wild = nn.Linear(8, 16), nn.Linear(8, 16)
        self.head = nn.Linear(16, 4)

    def forward(self, image):
        x = torch.relu(self.conv(image)).mean((2, 3))
        x = self.calm(x) if float(x.sum()) > -1.0 else self.wild(x)
        x = torch.relu(x + self.wild(torch.zeros(1, 8)))
        return self.head(x)


class Tokens(nn.Module):
    """Patches of an image behind a learned token of their own, as vision transformers read them."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, 16))
        self.mix, self.head = nn.Linear(16, 16), nn.Linear(16, 4)

    def forward(self, image):
        patches = self.patches(image).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(image), -1, -1), patches], 1)
        return self.head(torch.relu(self.mix(x))[:, 0])


class Conv1D(nn.Module):
    """The linear layer of GPT-2 as ``transformers`` has it, recognized by its name."""

    __module__ = "transformers.pytorch_utils"

    def __init__(self, outputs, inputs):
        super().__init__()
        self.weight, self.bias = (
            nn.Parameter(torch.randn(inputs, outputs)),
            nn.Parameter(torch.randn(outputs)),
        )

    def forward(self, x):
        return torch.addmm(self.bias, x.flatten(0, -2), self.weight).unflatten(0, x.shape[:-1])


class MoodyGpt2(nn.Module):
    """Cannot be traced, and has no ``nn.Linear``."""

    def __init__(self):
        super().__init__()
        self.up, self.down = Conv1D(32, 8), Conv1D(8, 32)

    def forward(self, x):
        hidden = torch.relu(self.up(x))
        return self.down(hidden if bool(hidden.sum() > 0) else -hidden)
