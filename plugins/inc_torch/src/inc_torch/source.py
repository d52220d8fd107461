"""What a user may give as the model: a module, an exported program, or a file of either."""

from __future__ import annotations

import copy
import logging
import os
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from inc_core.errors import UnsupportedModelError
from inc_torch.capture import UntraceableError, graph_of_program
from inc_torch.model import ModelFacts, TorchModel

__all__ = ["read_source"]

logger = logging.getLogger("inc_core.torch")

# Share of physical memory up to which a model is copied: the float copy, its calibration and the quantized
# model must fit beside the user's own.
LARGEST_COPY = 1 / 8

# what torch reports for a file that is cut, or not its own
_BROKEN = (OSError, RuntimeError, ValueError, KeyError, EOFError, AssertionError, ImportError,
           AttributeError, zipfile.BadZipFile, pickle.UnpicklingError)  # fmt: skip


def read_source(source: Any) -> TorchModel:
    """Return a float model in evaluation mode; what was given is not changed.

    Args:
        source: A module, a ``torch.export.ExportedProgram``, or the path of a program saved with
            ``torch.export.save``.

    Raises:
        UnsupportedModelError: If the source is none of these, or the file missing or corrupt.
    """
    if isinstance(source, (str, Path)):
        source = _read_file(Path(source))
    if isinstance(source, torch.jit.ScriptModule):
        raise UnsupportedModelError(
            "a TorchScript module cannot be quantized: its code is no longer Python. Give the "
            "torch.nn.Module that it was made from, or torch.export.export(module, inputs)."
        )
    if isinstance(source, torch.export.ExportedProgram):
        return _read_program(source)
    if not isinstance(source, nn.Module):
        raise UnsupportedModelError(
            f"a torch model is a torch.nn.Module, an ExportedProgram or the path of a .pt2 file, "
            f"received {type(source).__name__}"
        )
    module = _copy(source).eval()
    return TorchModel(module, ModelFacts())


def _copy(module: nn.Module) -> nn.Module:
    """Return a copy without gradients; of a model too large to have twice, one that shares its tensors."""
    tensors = [*module.parameters(), *module.buffers()]
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    if size <= LARGEST_COPY * _physical_memory():
        # results of computations, such as weights that a hook makes, have no deep copy
        made = {id(one): one.detach().clone() for one in _attributes(module) if not one.is_leaf}
        copied = copy.deepcopy(module, made)
    else:
        logger.warning(
            "the model's %.1f GB are shared, not copied: leave its weights alone until the "
            "quantized model is saved",
            size / 2**30,
        )
        memo = {id(tensor): _shared(tensor) for tensor in tensors}
        copied = copy.deepcopy(module, memo)
    for parameter in copied.parameters():
        # parameters of TorchScript parts come out of copying as results of a computation
        if parameter.is_leaf:
            parameter.requires_grad_(False)
    return copied


def _attributes(module: nn.Module) -> Iterator[torch.Tensor]:
    """Yield the tensors that modules hold, registered or not."""
    for one in module.modules():
        held = vars(one).values() if not isinstance(one, torch.jit.ScriptModule) else ()
        for value in (*one.parameters(recurse=False), *one.buffers(recurse=False), *held):
            if isinstance(value, torch.Tensor):
                yield value


def _physical_memory() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _shared(tensor: torch.Tensor) -> torch.Tensor:
    plain = tensor.detach()
    is_parameter = isinstance(tensor, nn.Parameter)
    return nn.Parameter(plain, requires_grad=False) if is_parameter else plain


def _read_program(program: torch.export.ExportedProgram) -> TorchModel:
    try:
        graph, signature = graph_of_program(copy.deepcopy(program))
    except UntraceableError as error:
        raise UnsupportedModelError(f"the exported program cannot be quantized: {error}") from error
    return TorchModel(graph, ModelFacts(signature=signature, traced=True))


def _read_file(path: Path) -> Any:
    if not path.is_file():
        raise UnsupportedModelError(f"{path}: no such file")
    kind = _kind(path)
    if kind == "pickled":
        raise UnsupportedModelError(
            f"{path} was written by torch.save: loading a whole module from it would run whatever "
            "code it holds, and a state_dict is no model. Build the module in your script, call "
            "load_state_dict(torch.load(path, weights_only=True)), and give the module; or save it "
            "with torch.export.save(torch.export.export(module, inputs), 'model.pt2')."
        )
    if kind == "script":
        raise UnsupportedModelError(
            f"{path} is TorchScript, whose code is no longer Python. Give the torch.nn.Module that "
            "it was made from, or save it with torch.export.save(...) as a .pt2 file."
        )
    try:
        return torch.export.load(path)
    except _BROKEN as error:
        raise UnsupportedModelError(
            f"{path} cannot be read as an exported program ({type(error).__name__}: {error}). "
            "Write it with torch.export.save(torch.export.export(module, inputs), path)."
        ) from error


def _kind(path: Path) -> str:
    """Return ``"program"``, ``"pickled"``, ``"script"``, or ``"unknown"``."""
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            return "pickled" if file.read(2) in (b"\x80\x02", b"\x80\x04") else "unknown"
    with zipfile.ZipFile(path) as archive:
        names = {Path(name).name for name in archive.namelist()}
    if "archive_format" in names:
        return "program"
    if "constants.pkl" in names:
        return "script"
    return "pickled" if "data.pkl" in names else "unknown"
