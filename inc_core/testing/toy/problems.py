"""Toy problems whose search outcome is known: models, data, and which layers int8 breaks."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt

from inc_core.errors import DataError
from inc_core.testing.toy.kernels import run
from inc_core.testing.toy.model import ToyModel, ToyNode

__all__ = ["ToyAccuracy", "ToyDataset", "make_classifier", "make_data", "make_model"]

FEATURES = 16
CLASSES = 4


def make_classifier(
    seed: int = 0,
    layers: int = 4,
    culprits: Collection[int] = (),
    spread_layers: Collection[int] = (),
    spread: float = 3000.0,
) -> ToyModel:
    """Make a chain ``fc0 - Relu - fc1 - ...`` whose layers survive int8, but for the named ones.

    Args:
        seed: Of the random weights.
        layers: Number of ``Linear`` layers, 16 features wide, 4 classes at the end.
        culprits: Layers (from 0) that must stay float: half of what they read is ``spread`` times
            larger than the other half, and both halves matter. Nothing repairs that.
        spread_layers: Layers (from 1) that read the same spread, straight from the layer before:
            cross-layer equalization repairs it.
        spread: 3000 leaves one scale nothing of the small half; around 100 some of it is left.

    Returns:
        A model with the input ``"x"`` and the ops ``fc0``, ``fc1``, ...
    """
    rng = np.random.default_rng(seed)
    nodes: list[ToyNode] = []
    last = "x"
    for index in range(layers):
        width = CLASSES if index == layers - 1 else FEATURES
        weight = _orthogonal(rng)[:width]
        bias = rng.normal(0, 0.1, width).astype(np.float32)
        small = rng.permutation(FEATURES) < FEATURES // 2
        factor = np.where(small, 1, spread).astype(np.float32)
        if index in culprits:
            nodes.append(ToyNode(f"spread{index}", "Scale", (last,), {"factor": factor}))
            last, weight = f"spread{index}", weight / factor
        elif index in spread_layers:
            nodes[-2] = _widened(nodes[-2], factor)
            weight = weight / factor
        nodes.append(ToyNode(f"fc{index}", "Linear", (last,), {"weight": weight, "bias": bias}))
        last = f"fc{index}"
        if index < layers - 1:
            nodes.append(ToyNode(f"relu{index}", "Relu", (last,)))
            last = f"relu{index}"
    return _centered(ToyModel({"x": FEATURES}, tuple(nodes), (last,)))


def make_model(seed: int = 0) -> ToyModel:
    """Make a model with every op: two inputs, an ``Add`` of two grouped layers, two outputs."""
    rng = np.random.default_rng(seed)

    def linear(name: str, source: str, width: int, group: str | None = None) -> ToyNode:
        weight = rng.normal(0, 0.25, (width, FEATURES)).astype(np.float32)
        bias = rng.normal(0, 0.1, width).astype(np.float32)
        return ToyNode(name, "Linear", (source,), {"weight": weight, "bias": bias}, group=group)

    factor = rng.uniform(0.5, 2, FEATURES).astype(np.float32)
    nodes = (
        linear("left", "a", FEATURES, group="pair"),
        linear("right", "b", FEATURES, group="pair"),
        ToyNode("sum", "Add", ("left", "right")),
        ToyNode("relu", "Relu", ("sum",)),
        ToyNode("scale", "Scale", ("relu",), {"factor": factor}),
        linear("hidden", "scale", FEATURES),
        ToyNode("hidden_relu", "Relu", ("hidden",)),
        linear("head", "hidden_relu", CLASSES),
        ToyNode("skip", "Add", ("hidden_relu", "relu")),
    )
    return ToyModel({"a": FEATURES, "b": FEATURES}, nodes, ("head", "skip"))


def make_data(model: ToyModel, samples: int = 256, seed: int = 0) -> ToyDataset:
    """Draw samples of which the float model is sure, labelled with what it says.

    Its accuracy on them is 1.0; the half of the draws with the smaller margins is left out, so
    that int8's rounding changes no answer.
    """
    rng = np.random.default_rng((seed, samples))
    (name, features), *more = model.inputs.items()
    if more:
        raise DataError(f"make_data wants a model of one input, received {list(model.inputs)!r}")
    drawn = rng.normal(0, 1, (2 * samples, features)).astype(np.float32)
    logits = run(model, {name: drawn})[0]
    ordered = np.sort(logits, axis=1)
    sure = np.sort(np.argsort(ordered[:, -2] - ordered[:, -1])[:samples])
    return ToyDataset(drawn[sure], logits[sure].argmax(axis=1))


class ToyDataset:
    """Pairs of a float32 vector and a label, by index.

    Args:
        inputs: Float32 ``(samples, features)``.
        labels: ``(samples,)``.
        transform: Called with each pair.
    """

    def __init__(
        self, inputs: npt.NDArray[Any], labels: npt.NDArray[Any], transform: Any = None
    ) -> None:
        self.inputs = inputs
        self.labels = labels
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        sample = (self.inputs[index], self.labels[index])
        return self.transform(sample) if self.transform else sample


class ToyClassifierDataset(ToyDataset):
    """The data of a ``make_classifier`` model, for YAML: parameters name model and data.

    Args:
        samples: How many.
        seed: Of the data.
        model_seed: Of the model, as ``make_classifier`` takes it.
        layers: Of the model.
        transform: Called with each pair.
        filter: Called with input and label; keeps the sample if true.
    """

    def __init__(
        self,
        samples: int = 256,
        seed: int = 0,
        model_seed: int = 0,
        layers: int = 4,
        transform: Any = None,
        filter: Any = None,
    ) -> None:
        # culprits change no output beyond float rounding, so the plain model labels for all of them
        data = make_data(make_classifier(model_seed, layers), samples, seed)
        kept = [i for i in range(samples) if filter is None or filter(*data[i])]
        super().__init__(data.inputs[kept], data.labels[kept], transform)


class ToyAccuracy:
    """Share of rows whose largest output is at the label."""

    higher_is_better = True

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._hits = self._total = 0

    def update(self, predictions: Any, labels: Any) -> None:
        """Add one batch: logits ``(batch, classes)`` and labels ``(batch,)``."""
        self._hits += int((np.asarray(predictions).argmax(axis=-1) == np.asarray(labels)).sum())
        self._total += len(labels)

    def merge(self, other: ToyAccuracy) -> None:
        """Add what another instance was given."""
        self._hits += other._hits
        self._total += other._total

    def result(self) -> float:
        """Return the share, from 0 to 1."""
        return self._hits / self._total


def _orthogonal(rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return a random rotation, enlarged so that activations keep their size behind a ``Relu``."""
    rotation, _ = np.linalg.qr(rng.normal(size=(FEATURES, FEATURES)))
    return np.asarray(rotation * np.sqrt(2), np.float32)


def _centered(model: ToyModel) -> ToyModel:
    """Shift the last bias so that no class wins by itself: a broken model must score badly."""
    probe = np.random.default_rng(0).normal(0, 1, (512, FEATURES)).astype(np.float32)
    mean = run(model, {"x": probe})[0].mean(axis=0)
    head = model.nodes[-1]
    arrays = {**head.arrays, "bias": head.arrays["bias"] - mean}
    return model.with_nodes([ToyNode(head.name, head.type, head.inputs, arrays)])


def _widened(node: ToyNode, factor: npt.NDArray[np.float32]) -> ToyNode:
    arrays = {
        "weight": node.arrays["weight"] * factor[:, None],
        "bias": node.arrays["bias"] * factor,
    }
    return ToyNode(node.name, node.type, node.inputs, arrays)
