"""The few samples on which outputs are compared, and what the float model gives for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate
from typing import Any

from inc_core.data.batches import batch_length, slice_batch
from inc_core.data.content import digest_of_arrays
from inc_core.errors import DataError
from inc_core.hookspecs.adaptor import Adaptor
from inc_core.tuning.cache import Cache
from inc_core.tuning.divergence import Array, as_outputs, output_divergence

__all__ = ["SAMPLES", "Probes"]

# Divergence is continuous: on 128 samples its noise is far below that of accuracy on as many, and
# their inputs (77 MB at ImageNet's size) may be kept.
SAMPLES = 128
# Small steps, so that a probe of as few samples as a sweep may have runs those and not a whole batch.
CHUNK = 4


class Probes:
    """Inputs of up to ``SAMPLES`` samples and the float outputs for them, made once, when needed.

    Args:
        adaptor: What predicts.
        model: The float model.
        batches: Gives batches of inputs, afresh on each call.
        cache: Where float outputs are kept.
        key: What they depend on beside the inputs.
    """

    def __init__(
        self,
        adaptor: Adaptor,
        model: Any,
        batches: Callable[[], Iterable[Any]],
        cache: Cache,
        key: Mapping[str, Any],
    ) -> None:
        self._adaptor = adaptor
        self._model = model
        self._cache = cache
        self._inputs = _read(adaptor, model, batches)
        self.identity = digest_of_arrays(self._inputs)
        self._key = {**key, "inputs": self.identity}
        self._references: list[list[Array]] = []

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return sum(batch_length(inputs) for inputs in self._inputs)

    def divergence(self, model: Any, samples: int) -> float:
        """Return how far a model's outputs are from the float ones on the first samples."""
        total, left = 0.0, samples
        ends = accumulate(map(batch_length, self._inputs))
        count = min(len(self._inputs), sum(end < samples for end in ends) + 1)
        for inputs, reference in zip(self._inputs, self._float_outputs(count), strict=False):
            used = min(left, batch_length(inputs))
            outputs = as_outputs(self._adaptor.predict(model, inputs))
            total += used * output_divergence(_head(reference, used), _head(outputs, used))
            left -= used
        return total / max(1, samples - max(left, 0))

    def _float_outputs(self, count: int) -> list[list[Array]]:
        """Return the float model's outputs for the first ``count`` of the inputs."""
        have = len(self._references)
        if have < count:
            key = {**self._key, "count": count}
            known = self._cache.get_arrays("float_outputs", key)
            if known and len(known) % count == 0:
                width = len(known) // count
                self._references = [known[i * width : (i + 1) * width] for i in range(count)]
                return self._references
            wanted = self._inputs[have:count]
            self._references += [as_outputs(self._adaptor.predict(self._model, x)) for x in wanted]
            made = [array for arrays in self._references for array in arrays]
            if all(array.dtype.kind in "fiub" for array in made):
                self._cache.put_arrays("float_outputs", key, made)
        return self._references[:count]


def _read(adaptor: Adaptor, model: Any, batches: Callable[[], Iterable[Any]]) -> list[Any]:
    """Return inputs in chunks; in whole batches where the model's batch size is fixed."""
    found: list[Any] = []
    left = SAMPLES
    for inputs in batches():
        found.append(inputs)
        left -= batch_length(inputs)
        if left <= 0:
            break
    if all(batch_length(inputs) <= CHUNK for inputs in found):
        return found
    try:
        adaptor.predict(model, slice_batch(found[0], 0, 1))
    except DataError:  # the model takes whole batches alone
        return found
    chunks = [chunk for inputs in found for chunk in _chunks(inputs)]
    return chunks[: -(-SAMPLES // CHUNK)]


def _chunks(inputs: Any) -> list[Any]:
    length = batch_length(inputs)
    return [slice_batch(inputs, i, min(i + CHUNK, length)) for i in range(0, length, CHUNK)]


def _head(outputs: list[Array], samples: int) -> list[Array]:
    return [array[:samples] if array.ndim else array for array in outputs]
