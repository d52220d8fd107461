"""A data loader from its configuration: dataset, filter and transforms by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from inc_core.config.types import ComponentConfig, DataLoaderConfig
from inc_core.data.access import is_indexed, iterate, sample_count
from inc_core.data.dataloader import DataLoader
from inc_core.data.pairs import split_pair
from inc_core.data.transforms import Compose

__all__ = ["Components", "build_dataloader"]

Transform = Callable[[tuple[Any, Any]], tuple[Any, Any]]
Filter = Callable[[Any, Any], bool]


class Components(Protocol):
    """Where components are found by name; the installed plugins are one such place."""

    def component(self, kind: str, name: str) -> Any:
        """Return the class of a component."""

    def create(self, kind: str, config: ComponentConfig, **extra: Any) -> Any:
        """Return an instance; ``extra`` is passed where the constructor has it by name."""


def build_dataloader(config: DataLoaderConfig, components: Components) -> DataLoader:
    """Build a data loader.

    Transforms are composed in order, and given to a dataset that has a parameter ``transform``; for
    any other dataset they are applied to what it gives. The same goes for ``filter``: a component
    of kind ``transform`` that is called with input and label, before any transform, and keeps
    the sample if it returns true.

    Args:
        config: What to build.
        components: Where the names are looked up.

    Raises:
        ConfigError: If parameters do not fit.
        ComponentNotFoundError: If a name is unknown.
        DataError: If the dataset cannot be read in the way that is asked for.
    """
    created = [components.create("transform", entry) for entry in config.transforms]
    wanted: dict[str, Any] = {
        "transform": Compose(created) if created else None,
        "filter": config.filter and components.create("transform", config.filter),
    }
    takes = _parameters(components.component("dataset", config.dataset.name))
    own = {name: part for name, part in wanted.items() if part is not None and name in takes}
    dataset = components.create("dataset", config.dataset, **own)
    left = {name: None if name in own else part for name, part in wanted.items()}
    return DataLoader(
        _prepared(dataset, left["transform"], left["filter"]),
        batch_size=config.batch_size,
        last_batch=config.last_batch,
        shuffle=config.shuffle,
    )


def _parameters(factory: Any) -> frozenset[str]:
    try:
        return frozenset(inspect.signature(factory).parameters)
    except (TypeError, ValueError):  # some classes written in C tell nothing about themselves
        return frozenset()


def _prepared(dataset: Any, transform: Transform | None, keep: Filter | None) -> Any:
    if keep is not None:
        dataset = _Filtered(dataset, keep)
    if transform is None:
        return dataset
    form = _TransformedItems if is_indexed(dataset) else _TransformedStream
    return form(dataset, transform)


class _Filtered:
    """The samples that a filter keeps, in order."""

    def __init__(self, dataset: Any, keep: Filter) -> None:
        self.dataset = dataset
        self.keep = keep

    def __iter__(self) -> Iterator[Any]:
        for sample in iterate(self.dataset):
            if self.keep(*split_pair(sample)):
                yield sample


class _TransformedStream:
    """A dataset read in order, with a transform applied to each sample."""

    def __init__(self, dataset: Any, transform: Transform) -> None:
        self.dataset = dataset
        self.transform = transform

    def __iter__(self) -> Iterator[Any]:
        for sample in iterate(self.dataset):
            yield self.transform(split_pair(sample))


class _TransformedItems:
    """A dataset read by index, with a transform applied to each sample."""

    def __init__(self, dataset: Any, transform: Transform) -> None:
        self.dataset = dataset
        self.transform = transform

    def __len__(self) -> int:
        return sample_count(self.dataset) or 0

    def __getitem__(self, index: int) -> Any:
        return self.transform(split_pair(self.dataset[index]))
