"""The hooks of the toy framework: what a plugin looks like. Inject it with ``Plugins.of``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inc_core.hookspecs._markers import hookimpl
from inc_core.hookspecs.adaptor import Guess

__all__ = ["inc_adaptors", "inc_datasets", "inc_guess_framework", "inc_metrics"]

_NATIVE = ("inc_core.testing.toy.model.ToyModel", "inc_core.testing.toy.training.ToyNet")


@hookimpl
def inc_adaptors() -> Mapping[str, str]:
    """Offer the framework ``toy``."""
    return {"toy": "inc_core.testing.toy.adaptor:ToyAdaptor"}


@hookimpl
def inc_datasets() -> Mapping[str, str]:
    """Offer the data of ``make_classifier`` models."""
    return {"toy_classifier": "inc_core.testing.toy.problems:ToyClassifierDataset"}


@hookimpl
def inc_metrics() -> Mapping[str, str]:
    """Offer the share of right answers."""
    return {"toy_accuracy": "inc_core.testing.toy.problems:ToyAccuracy"}


@hookimpl
def inc_guess_framework(source: Any) -> Guess | None:
    """Know ``ToyModel`` objects, directories ``*.toy``, and those that hold a toy model's files."""
    if f"{type(source).__module__}.{type(source).__name__}" in _NATIVE:
        return Guess("toy", 1.0, f"it is a {type(source).__name__}")
    if not isinstance(source, (str, Path)):
        return None
    path = Path(source)
    if path.suffix == ".toy":
        return Guess("toy", 0.9, "the suffix is .toy")
    if path.name == "model.json" or (path / "model.json").is_file():
        return Guess("toy", 0.6, "there is a model.json")
    return None
