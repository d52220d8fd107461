"""Transforms: the contract and the hook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from inc_core.hookspecs._markers import hookspec

__all__ = ["Transform", "TransformHooks"]


class Transform(Protocol):
    """Called with one ``(input, label)`` pair; returns one. It inherits from nothing.

    Example::

        class Scale:
            def __init__(self, factor):
                self.factor = factor

            def __call__(self, sample):
                inputs, label = sample
                return inputs * self.factor, label
    """

    def __call__(self, sample: Any) -> Any:
        """Return the transformed ``(input, label)`` pair."""


class TransformHooks:
    """Hooks of a plugin that brings transforms."""

    @hookspec
    def inc_transforms(self) -> Mapping[str, type[Transform] | str]:
        """Offer transforms by the name that ``dataloader.transform`` uses.

        Called once, when the plugin is registered. Returns classes, or strings that are imported
        on first use; by default, nothing. Example::

            @hookimpl
            def inc_transforms():
                return {"scale": "inc_scale:Scale"}
        """
        raise AssertionError("a specification is never called")
