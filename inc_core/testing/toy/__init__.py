"""A numpy framework of four ops, with a complete adaptor: the whole core is tested on it.

``Plugins.of(toy_plugin)`` makes it known; no framework is installed for it.
"""

from __future__ import annotations

from inc_core.testing.toy import plugin as toy_plugin
from inc_core.testing.toy.model import ToyModel, ToyNode, load_model, save_model
from inc_core.testing.toy.problems import (
    ToyAccuracy,
    ToyDataset,
    make_classifier,
    make_data,
    make_model,
)

__all__ = [
    "ToyAccuracy",
    "ToyDataset",
    "ToyModel",
    "ToyNode",
    "load_model",
    "make_classifier",
    "make_data",
    "make_model",
    "save_model",
    "toy_plugin",
]
