"""The plugin: what it offers by name, and how it recognizes a model. Imports no framework."""

from __future__ import annotations

import os
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inc_core import hookimpl
from inc_core.hookspecs.adaptor import Adaptor, Guess

__all__ = ["inc_adaptors", "inc_guess_framework"]

_ADAPTOR = "inc_torch.adaptor:TorchAdaptor"
_DEFAULT = "pytorch"
_NAMES = (_DEFAULT, "pytorch_fx")
_SUFFIXES = {".pt2": 0.95, ".pt": 0.8, ".pth": 0.8}
# names inside the archives that torch.save, torch.jit.save and torch.export.save write
_ARCHIVE_MEMBERS = ("data.pkl", "archive_format")


@hookimpl
def inc_adaptors() -> Mapping[str, type[Adaptor] | str]:
    """Offer one adaptor under the names that users know."""
    return dict.fromkeys(_NAMES, _ADAPTOR)


@hookimpl
def inc_guess_framework(source: Any) -> Guess | None:
    """Recognize a module or exported program, or a file that torch writes."""
    if isinstance(source, str | os.PathLike):
        return _guess_file(Path(source))
    return _guess_object(source)


def _guess_object(source: Any) -> Guess | None:
    torch = sys.modules.get("torch")
    if torch is None:  # whoever holds an object of torch has imported it
        return None
    if isinstance(source, torch.nn.Module):
        return Guess(_DEFAULT, 1.0, "it is a torch.nn.Module")
    export = sys.modules.get("torch.export")
    if export is not None and isinstance(source, export.ExportedProgram):
        return Guess(_DEFAULT, 1.0, "it is a torch.export.ExportedProgram")
    return None


def _guess_file(path: Path) -> Guess | None:
    suffix = path.suffix.lower()
    if suffix in _SUFFIXES:
        return Guess(_DEFAULT, _SUFFIXES[suffix], f"the suffix is {suffix}")
    if path.is_file() and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            members = {Path(name).name for name in archive.namelist()}
        if members.intersection(_ARCHIVE_MEMBERS):
            return Guess(_DEFAULT, 0.6, "the file is an archive that torch writes")
    return None
