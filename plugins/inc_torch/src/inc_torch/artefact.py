"""Saving and restoring models: ``model.json`` and ``model.safetensors``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from inc_core.errors import UnsupportedModelError
from inc_core.quant.spec import OpConfig, OpKey
from inc_torch.leaves import linearized, put_leaf
from inc_torch.model import ModelFacts, TorchModel
from inc_torch.serialize import describe, graph_of, read_files, tensors_of_graph, write_files
from inc_torch.signature import Signature

__all__ = ["parts_of", "restore_model", "save_model"]

_LEAF = "layer:"  # before the path of a replaced layer, in the names of its tensors


def save_model(model: TorchModel, directory: Path) -> None:
    """Write a float or quantized model.

    Raises:
        UnsupportedModelError: If its graph calls what could not be read back safely.
    """
    content, tensors = parts_of(model)
    write_files(directory, content, tensors)


def restore_model(directory: Path, module: nn.Module | None = None) -> TorchModel:
    """Return the model that ``save_model`` wrote.

    Args:
        directory: Where it wrote.
        module: The float module, for a model that could not be traced.

    Raises:
        UnsupportedModelError: If the files are missing, cut or changed, or the module is needed and
            is not given or is another one.
    """
    content, tensors = read_files(directory)
    try:
        facts = _facts(content)
        if facts.traced:
            return TorchModel(graph_of(content["nodes"], tensors), facts)
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, UnsupportedModelError):
            raise
        raise UnsupportedModelError(f"{directory}: model.json is corrupt ({error!r})") from error
    if module is None:
        obstacle = facts.obstacle or "it was quantized without data, so without inputs to trace by"
        raise UnsupportedModelError(
            f"{directory}: this model could not be traced ({obstacle}), so its code is not in "
            "the files. Give the float module: inc_core.load(directory, model=module)."
        )
    return _restore_layers(content, tensors, facts, module)


def parts_of(model: TorchModel) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return a model as plain values, and its tensors by name."""
    facts = model.facts
    content: dict[str, Any] = {
        "traced": facts.traced,
        "obstacle": facts.obstacle,
        "signature": None if facts.signature is None else facts.signature.to_json(),
        "ops": [[*op, config.to_json()] for op, config in facts.ops.items()],
    }
    if facts.traced:
        graph = model.graph
        return {**content, "nodes": describe(graph)}, tensors_of_graph(graph)
    return _layer_parts(model, content)


def _layer_parts(
    model: TorchModel, content: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    leaves = {path: one for path, one in model.body.named_modules() if isinstance(one, TorchModel)}
    inside = tuple(f"{path}." for path in leaves)
    state = model.body.state_dict(keep_vars=True)
    tensors = {name: value for name, value in state.items() if not name.startswith(inside)}
    layers = {}
    for path, leaf in leaves.items():
        layers[path], found = parts_of(leaf)
        tensors |= {f"{_LEAF}{path}:{name}": tensor for name, tensor in found.items()}
    return {**content, "module": type(model.body).__qualname__, "layers": layers}, tensors


def _restore_layers(
    content: Mapping[str, Any], tensors: Mapping[str, Tensor], facts: ModelFacts, module: nn.Module
) -> TorchModel:
    body = linearized(module)
    for path, part in content["layers"].items():
        prefix = f"{_LEAF}{path}:"
        found = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
        leaf = TorchModel(graph_of(part["nodes"], found), _facts(part))
        try:
            put_leaf(body, path, leaf)
        except AttributeError as error:
            raise UnsupportedModelError(
                f"the module given has no layer {path!r}; give the one that was quantized "
                f"({content['module']})"
            ) from error
    state = {name: tensor for name, tensor in tensors.items() if not name.startswith(_LEAF)}
    inside = tuple(f"{path}." for path in content["layers"])
    missing, unexpected = body.load_state_dict(state, strict=False, assign=True)
    missing = [name for name in missing if not name.startswith(inside)]
    if missing or unexpected:
        raise UnsupportedModelError(
            f"the module given is not the one that was quantized ({content['module']}): "
            f"{(missing or unexpected)[0]!r} is in only one of them"
        )
    return TorchModel(body, facts)


def _facts(content: Mapping[str, Any]) -> ModelFacts:
    signature = content["signature"]
    return ModelFacts(
        signature=None if signature is None else Signature.from_json(signature),
        traced=bool(content["traced"]),
        obstacle=str(content["obstacle"]),
        ops={OpKey(name, kind): OpConfig.from_json(row) for name, kind, row in content["ops"]},
    )
