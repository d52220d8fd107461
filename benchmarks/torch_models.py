"""Models in plain torch with random, distinct weights: ResNet-50, MobileNetV2, BERT.

Batch norms hold statistics of random images, so that activations of all layers are in a sane range.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 convolutions beside a shortcut."""

    def __init__(self, fan_in: int, width: int, stride: int) -> None:
        super().__init__()
        out = 4 * width
        self.conv1, self.bn1 = nn.Conv2d(fan_in, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, out, 1, bias=False), nn.BatchNorm2d(out)
        self.relu1, self.relu2, self.relu3 = (nn.ReLU(inplace=True) for _ in range(3))
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or fan_in != out:
            conv = nn.Conv2d(fan_in, out, 1, stride, bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu1(self.bn1(self.conv1(x)))
        y = self.bn3(self.conv3(self.relu2(self.bn2(self.conv2(y)))))
        return self.relu3(y + self.shortcut(x))


class ResNet50(nn.Module):
    """He et al. 2016, stride in the 3 x 3 convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True)
        )
        self.pool = nn.MaxPool2d(3, 2, 1)
        blocks: list[nn.Module] = []
        fan_in = 64
        for width, count, first_stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
            for number in range(count):
                blocks.append(Bottleneck(fan_in, width, first_stride if number == 0 else 1))
                fan_in = 4 * width
        self.blocks = nn.Sequential(*blocks)
        self.mean, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(fan_in, 1000)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.pool(self.stem(x)))
        return self.fc(torch.flatten(self.mean(x), 1))


class InvertedResidual(nn.Module):
    """Widen, filter each channel, narrow."""

    def __init__(self, fan_in: int, out: int, stride: int, widening: int) -> None:
        super().__init__()
        width = fan_in * widening
        layers = conv_norm(fan_in, width, 1) if widening != 1 else []
        layers += conv_norm(width, width, 3, stride, groups=width)
        layers += [nn.Conv2d(width, out, 1, bias=False), nn.BatchNorm2d(out)]
        self.layers = nn.Sequential(*layers)
        self.is_residual = stride == 1 and fan_in == out

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.is_residual else self.layers(x)


class MobileNetV2(nn.Module):
    """Sandler et al. 2018, width 1."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = conv_norm(3, 32, 3, 2)
        fan_in = 32
        plan = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2))
        for widening, out, count, stride in (*plan, (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)):
            for number in range(count):
                layers.append(InvertedResidual(fan_in, out, stride if number == 0 else 1, widening))
                fan_in = out
        layers += conv_norm(fan_in, 1280, 1)
        self.features = nn.Sequential(*layers)
        self.mean, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(1280, 1000)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.flatten(self.mean(self.features(x)), 1))


class BertLayer(nn.Module):
    """Self-attention and a feed-forward part, each followed by a residual and LayerNorm."""

    def __init__(self, size: int, heads: int, inner: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(size, size) for _ in range(4))
        self.norm1, self.norm2 = (nn.LayerNorm(size, eps=1e-12) for _ in range(2))
        self.up, self.gelu, self.down = nn.Linear(size, inner), nn.GELU(), nn.Linear(inner, size)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (
            one(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for one in (self.query, self.key, self.value)
        )
        attended = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        x = self.norm1(x + self.out(attended))
        return self.norm2(x + self.down(self.gelu(self.up(x))))


class Bert(nn.Module):
    """Devlin et al. 2019, base: 768 wide, 12 heads, with a classifier of 2 classes."""

    def __init__(self, layers: int, length: int = 128) -> None:
        super().__init__()
        size = 768
        self.words = nn.Embedding(30522, size)
        self.places = nn.Parameter(torch.randn(1, length, size) * 0.02)
        self.norm = nn.LayerNorm(size, eps=1e-12)
        self.layers = nn.Sequential(*(BertLayer(size, 12, 4 * size) for _ in range(layers)))
        self.pool, self.classify = nn.Linear(size, size), nn.Linear(size, 2)
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.layers(self.norm(self.words(ids) + self.places))
        return self.classify(torch.tanh(self.pool(x[:, 0])))


def conv_norm(
    fan_in: int, out: int, kernel: int, stride: int = 1, *, groups: int = 1
) -> list[nn.Module]:
    """Return a convolution, its batch norm and ReLU6."""
    conv = nn.Conv2d(fan_in, out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(out), nn.ReLU6(inplace=True)]


def resnet50() -> nn.Module:
    return settled(ResNet50())


def mobilenetv2() -> nn.Module:
    return settled(MobileNetV2())


def bert(layers: int) -> nn.Module:
    return Bert(layers).eval()


def settled(model: nn.Module, shape: Sequence[int] = (8, 3, 224, 224)) -> nn.Module:
    """Let batch norms see random images; return the model in eval mode."""
    model.train()
    with torch.no_grad():
        for _ in range(2):
            model(torch.randn(*shape))
    return model.eval()
