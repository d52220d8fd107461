"""Datasets: the contract and the hook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from inc_core.hookspecs._markers import hookspec

__all__ = ["Dataset", "DatasetHooks"]


class Dataset(Protocol):
    """Gives ``(input, label)`` samples; a label of 0 or none is allowed.

    Has ``__getitem__`` (with ``__len__`` or ``len``) or ``__iter__``. Takes its own parameters and
    optional ``transform`` and ``filter``. It inherits from nothing.

    Example::

        class Squares:
            def __init__(self, size, transform=None, filter=None):
                self.size, self.transform = size, transform

            def __len__(self):
                return self.size

            def __getitem__(self, index):
                sample = (np.float32(index), index**2)
                return self.transform(sample) if self.transform else sample
    """


class DatasetHooks:
    """Hooks of a plugin that brings datasets."""

    @hookspec
    def inc_datasets(self) -> Mapping[str, type[Dataset] | str]:
        """Offer datasets by the name that ``dataloader.dataset`` uses.

        Called once, when the plugin is registered. Returns classes, or strings that are imported
        on first use; by default, nothing. Example::

            @hookimpl
            def inc_datasets():
                return {"squares": "inc_squares:Squares"}
        """
        raise AssertionError("a specification is never called")
