"""At which sizes a module is run, and which of its numbers follow them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from inc_torch.recording.tape import NotPlainError, Tape

__all__ = ["Sizes", "two_sizes"]

# Far beyond the batch that is traced: a rising function of its size that is the same at both is constant
# between them.
MORE_SAMPLES = 1009

Shapes = Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class _Open:
    """One size that may be any: of all dimensions that had it in the batch that is traced.

    Attributes:
        places: Input and dimension.
        first: In the first run.
        second: In the second.
    """

    places: tuple[tuple[str, int], ...]
    first: int
    second: int


@dataclass(frozen=True)
class Sizes:
    """The open sizes of a model's inputs."""

    sizes: tuple[_Open, ...]

    def source(self, first: int, second: int) -> tuple[str, int, int]:
        """Return the input and dimension whose size a number is, and how many times.

        Two runs determine a line, and only those through zero are understood.

        Raises:
            NotPlainError: If it is a multiple of none.
        """
        for one in self.sizes:
            if first % one.first == 0 and first * one.second == second * one.first:
                return (*one.places[0], first // one.first)
        raise NotPlainError(f"a number is {first} at one size and {second} at another")

    def shape(self, name: str, shape: Sequence[int]) -> tuple[int | None, ...]:
        """Return the shape of an input; ``None`` for sizes that may be any."""
        places = {place for one in self.sizes for place in one.places}
        return tuple(None if (name, dim) in places else n for dim, n in enumerate(shape))


def two_sizes(
    call: Callable[[Shapes], Tape], shapes: Shapes, open_dimensions: Mapping[str, Collection[int]]
) -> tuple[Tape, Tape, Sizes]:
    """Run a module at two sizes; return what it did, and which sizes are open.

    Args:
        call: Runs the module.
        shapes: Of one batch, by name.
        open_dimensions: By name, those that may have any size; here it is found out which have.

    Raises:
        NotPlainError: If the batch must have its size, or sizes are open in a way that two runs do not tell.
    """
    groups = _groups(shapes, open_dimensions)
    first = call(shapes)
    lengths = tuple(one for one in groups if one.places[0][1] > 0)
    if len(lengths) > 1:
        raise NotPlainError("its inputs have lengths of more than one kind")
    batch = tuple(one for one in groups if one not in lengths)
    try:
        second, found = call(_changed(shapes, groups)), groups
    except NotPlainError:
        raise
    except RuntimeError:
        # a length may be fixed: that of learned positions; the batch must not
        if not lengths or _runs(call, _doubled(shapes, lengths)):
            raise NotPlainError("it is not known which of its sizes are open") from None
        second, found = call(_changed(shapes, batch)), batch
    for one in found:
        if len(one.places) > 1 and _runs(call, _changed(shapes, [one], only_first=True)):
            raise NotPlainError("sizes that may differ were equal in the batch")
    return first, second, Sizes(found)


def _groups(shapes: Shapes, open_dimensions: Mapping[str, Collection[int]]) -> tuple[_Open, ...]:
    """Join dimensions of one size; a size of 1 is not open, for it is repeated where others are not."""
    places: dict[tuple[bool, int], list[tuple[str, int]]] = {}
    for name, dims in open_dimensions.items():
        for dim in dims:
            if shapes[name][dim] > 1:
                places.setdefault((dim == 0, shapes[name][dim]), []).append((name, dim))
    return tuple(
        _Open(tuple(found), size, size + MORE_SAMPLES if is_batch else _other_length(size))
        for (is_batch, size), found in places.items()
    )


def _other_length(length: int) -> int:
    """Return half of a length: positions may not reach further. Twice where half is 1."""
    return length // 2 if length > 3 else 2 * length


def _changed(
    shapes: Shapes, groups: Sequence[_Open], *, only_first: bool = False
) -> dict[str, list[int]]:
    changed = {name: list(shape) for name, shape in shapes.items()}
    for one in groups:
        for name, dim in one.places[: 1 if only_first else None]:
            changed[name][dim] = one.second
    return changed


def _doubled(shapes: Shapes, groups: Sequence[_Open]) -> dict[str, list[int]]:
    changed = {name: list(shape) for name, shape in shapes.items()}
    for one in groups:
        for name, dim in one.places:
            changed[name][dim] = 2 * one.first
    return changed


def _runs(call: Callable[[Shapes], Tape], shapes: Shapes) -> bool:
    try:
        call(shapes)
    except NotPlainError:
        raise
    except RuntimeError:
        return False
    return True
