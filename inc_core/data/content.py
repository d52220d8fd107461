"""What data really is: a digest of every value, unlike ``data_identity``, which looks at a few.

It decides what may be taken from a cache in place of running a model on the data.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np

from inc_core.data.arrays import raw_bytes
from inc_core.data.batches import iter_batches
from inc_core.data.dataloader import DataLoader
from inc_core.data.identity import restored_random_state

__all__ = ["ContentDigest", "InputContent", "digest_of_arrays", "reads_alike"]


class ContentDigest:
    """The digest of a sequence of nests of arrays: values, dtypes, shapes, names and their order."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def add(self, value: Any) -> None:
        """Add a nest of arrays; leaves that are no arrays count by their text."""
        if isinstance(value, Mapping):
            self._digest.update(b"{")
            for name in value:
                self._digest.update(f"{name}:".encode())
                self.add(value[name])
        elif isinstance(value, tuple | list):
            self._digest.update(b"[")
            for item in value:
                self.add(item)
        else:
            self._add_array(np.asarray(value))
        self._digest.update(b";")

    def hexdigest(self) -> str:
        """Return 64 hex digits for what was added so far."""
        return self._digest.hexdigest()

    def _add_array(self, array: np.ndarray[Any, Any]) -> None:
        self._digest.update(f"{array.dtype} {array.shape}".encode())
        if array.dtype.hasobject:
            self._digest.update(repr(array.tolist()).encode())
        else:
            self._digest.update(raw_bytes(array))


def digest_of_arrays(value: Any) -> str:
    """Return 64 hex digits of any nest of arrays."""
    digest = ContentDigest()
    digest.add(value)
    return digest.hexdigest()


class InputContent:
    """The inputs of a loader's first samples, by digest; read once, when they are asked for.

    Args:
        loader: Any iterable of batches.
        samples: How many samples count; whole batches are read.
    """

    def __init__(self, loader: Any, samples: int) -> None:
        self._loader = loader
        self._samples = samples
        self._watched = ""

    @cached_property
    def digest(self) -> str | None:
        """64 hex digits; ``None`` if the loader was not read, as that would change what it gives."""
        if not reads_alike(self._loader):
            return None
        digest, seen = ContentDigest(), 0
        with restored_random_state():
            for batch in iter_batches(self._loader):
                digest.add(batch.inputs)
                seen += batch.size
                if seen >= self._samples:
                    break
        return digest.hexdigest()

    def watch(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Yield batches of inputs; afterwards ``is_what_was_watched`` compares them."""
        digest = ContentDigest()
        for inputs in batches:
            digest.add(inputs)
            self._watched = digest.hexdigest()
            yield inputs

    @property
    def is_what_was_watched(self) -> bool:
        """Whether the data were the same when they were last used, unlike with random augmentation."""
        return self.digest is not None and self._watched == self.digest


def reads_alike(loader: Any) -> bool:
    """Whether a loader gives the same batches however often it was read before, as far as it shows.

    It does not if it is an iterator, shuffles, or has a sampler that may.
    """
    if isinstance(loader, Iterator):
        return False
    if isinstance(loader, DataLoader):
        samplers = (loader.sampler, loader.batch_sampler)
        fixed = all(s is None or isinstance(s, list | tuple | range) for s in samplers)
        return fixed and not loader.shuffle
    sampler = getattr(loader, "sampler", None)
    return sampler is None or type(sampler).__name__ == "SequentialSampler"
