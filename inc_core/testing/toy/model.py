"""``ToyModel``: a small net of numpy arrays, and its files ``model.json`` and ``weights.npz``."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from inc_core.errors import UnsupportedModelError
from inc_core.quant.qparams import QParams
from inc_core.quant.spec import FP32, OpConfig, OpKey

__all__ = ["MODEL_FILE", "WEIGHTS_FILE", "ToyModel", "ToyNode", "load_model", "save_model"]

MODEL_FILE = "model.json"
WEIGHTS_FILE = "weights.npz"

# by type: what a float node reads from ``ToyNode.arrays``, and how many inputs it has
_ARRAYS: Mapping[str, tuple[str, ...]] = {
    "Linear": ("weight", "bias"),
    "Relu": (),
    "Add": (),
    "Scale": ("factor",),
}
_ARITY: Mapping[str, int] = {"Linear": 1, "Relu": 1, "Add": 2, "Scale": 1}


@dataclass(frozen=True, eq=False)
class ToyNode:
    """One op. Its name is also the name of the one tensor that it produces.

    Attributes:
        name: Unique in the model, inputs included.
        type: ``"Linear"``, ``"Relu"``, ``"Add"`` or ``"Scale"``.
        inputs: Names of the model inputs or earlier nodes that it reads.
        arrays: Read-only constants. ``Linear``: ``weight``, float32 ``(out, in)``, or ``q_weight``,
            and ``bias``, float32 ``(out,)``; ``Scale``: ``factor``, float32 ``(in,)``.
        config: How it runs; float until ``ToyAdaptor.quantize``.
        qparams: Of ``"weight"`` and, for static ops, of ``"input"``.
        group: Nodes of one group switch together.
    """

    name: str
    type: str
    inputs: tuple[str, ...]
    arrays: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    config: OpConfig = FP32
    qparams: Mapping[str, QParams] = field(default_factory=dict)
    group: str | None = None

    def __post_init__(self) -> None:
        frozen = {name: np.array(array) for name, array in self.arrays.items()}
        for array in frozen.values():
            array.setflags(write=False)
        object.__setattr__(self, "arrays", frozen)
        object.__setattr__(self, "inputs", tuple(self.inputs))

    @property
    def key(self) -> OpKey:
        """Which op it is."""
        return OpKey(self.name, self.type)


@dataclass(frozen=True, eq=False)
class ToyModel:
    """A net: named inputs, nodes in execution order, named outputs. It cannot be changed.

    Attributes:
        inputs: Number of features by input name; every input has the shape ``(batch, features)``.
        nodes: In execution order.
        outputs: Names of the nodes whose values the model returns.
    """

    inputs: Mapping[str, int]
    nodes: tuple[ToyNode, ...]
    outputs: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", dict(self.inputs))
        object.__setattr__(self, "nodes", tuple(self.nodes))
        object.__setattr__(self, "outputs", tuple(self.outputs))
        known = set(self.inputs)
        for node in self.nodes:
            _check_node(node, known)
            known.add(node.name)
        missing = set(self.outputs) - known
        if missing or not self.outputs:
            raise UnsupportedModelError(
                f"outputs {list(self.outputs)!r} of a toy model: each must name a node of it"
            )

    def node(self, name: str) -> ToyNode:
        """Return the node of that name."""
        return next(node for node in self.nodes if node.name == name)

    def consumers(self, name: str) -> tuple[ToyNode, ...]:
        """Return the nodes that read a tensor."""
        return tuple(node for node in self.nodes if name in node.inputs)

    def with_nodes(self, nodes: Iterable[ToyNode]) -> ToyModel:
        """Return this model with some nodes replaced by those of the same names."""
        replaced = {node.name: node for node in nodes}
        return ToyModel(
            self.inputs, tuple(replaced.get(node.name, node) for node in self.nodes), self.outputs
        )


def _check_node(node: ToyNode, known: set[str]) -> None:
    if node.type not in _ARRAYS:
        raise UnsupportedModelError(
            f"node {node.name!r} has type {node.type!r}; toy models know {', '.join(_ARRAYS)}"
        )
    if node.name in known:
        raise UnsupportedModelError(f"two tensors of a toy model are named {node.name!r}")
    unknown = [name for name in node.inputs if name not in known]
    if unknown or len(node.inputs) != _ARITY[node.type]:
        raise UnsupportedModelError(
            f"node {node.name!r} reads {list(node.inputs)!r}: a {node.type} reads "
            f"{_ARITY[node.type]} earlier tensor(s)"
        )
    absent = set(_ARRAYS[node.type]) - set(node.arrays)
    if absent and not node.config.is_quantized:
        raise UnsupportedModelError(f"node {node.name!r} lacks its {sorted(absent)[0]!r}")


def save_model(model: ToyModel, directory: Path) -> None:
    """Write ``model.json`` and ``weights.npz`` into a directory; same model, same bytes."""
    description, arrays = to_parts(model)
    text = json.dumps(description, indent=1, sort_keys=True)
    (directory / MODEL_FILE).write_text(text + "\n", encoding="utf-8")
    np.savez(directory / WEIGHTS_FILE, **arrays)


def load_model(directory: Path) -> ToyModel:
    """Return the model that ``save_model`` wrote.

    Raises:
        UnsupportedModelError: If a file is missing or corrupt.
    """
    try:
        text = (directory / MODEL_FILE).read_text(encoding="utf-8")
        with np.load(directory / WEIGHTS_FILE, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        return from_parts(json.loads(text), arrays)
    except FileNotFoundError as error:
        raise UnsupportedModelError(
            f"{str(directory)!r} holds no toy model: {Path(error.filename).name} is missing"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, UnsupportedModelError):
            raise
        raise UnsupportedModelError(
            f"the toy model in {str(directory)!r} is corrupt ({type(error).__name__}: {error}); "
            "save it again"
        ) from error


def to_parts(model: ToyModel) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a model as plain values, and its arrays by name."""
    arrays: dict[str, Any] = {}
    rows = []
    for node in model.nodes:
        arrays.update({f"{node.name}/{name}": array for name, array in node.arrays.items()})
        for name, qparams in node.qparams.items():
            arrays[f"{node.name}/{name}/scale"] = qparams.scale
            arrays[f"{node.name}/{name}/zero_point"] = qparams.zero_point
        rows.append(_node_row(node))
    description = {"inputs": dict(model.inputs), "nodes": rows, "outputs": list(model.outputs)}
    return description, arrays


def _node_row(node: ToyNode) -> dict[str, Any]:
    return {
        "name": node.name,
        "type": node.type,
        "inputs": list(node.inputs),
        "arrays": list(node.arrays),
        "config": node.config.to_json(),
        "qparams": {
            name: {
                "dtype": qparams.dtype,
                "axis": qparams.axis,
                "group_size": qparams.group_size,
            }
            for name, qparams in node.qparams.items()
        },
        "group": node.group,
    }


def from_parts(description: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> ToyModel:
    """Inverse of ``to_parts``."""
    nodes = []
    for row in description["nodes"]:
        qparams = {
            name: QParams(
                scale=arrays[f"{row['name']}/{name}/scale"],
                zero_point=arrays[f"{row['name']}/{name}/zero_point"],
                **fields,
            )
            for name, fields in row["qparams"].items()
        }
        constants = {name: arrays[f"{row['name']}/{name}"] for name in row["arrays"]}
        config = OpConfig.from_json(row["config"])
        nodes.append(
            ToyNode(
                row["name"],
                row["type"],
                tuple(row["inputs"]),
                constants,
                config,
                qparams,
                row["group"],
            )
        )
    return ToyModel(description["inputs"], tuple(nodes), tuple(description["outputs"]))
