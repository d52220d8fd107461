"""What a worker elsewhere must have to give the same accuracies as this machine; and whether it does."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from inc_core.hookspecs.adaptor import Adaptor
from inc_core.tuning.fingerprint import versions_of

__all__ = ["RefusedError", "expectations", "integer_flags", "mismatches", "output_problem"]

# Instructions that decide which integer kernels a runtime takes: some of them saturate where others
# do not, so that the same recipe has another accuracy.
INTEGER_FLAGS = (
    "avx2", "avx_vnni", "avx512f", "avx512bw", "avx512_vnni", "amx_int8", "asimddp", "i8mm",
)  # fmt: skip

# Float kernels of different processors round differently: far below this share of the largest output.
OUTPUT_TOLERANCE = 1e-3


class RefusedError(Exception):
    """This machine would not give the same accuracies; ``problems`` says why, sentence by sentence."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = list(problems)


def integer_flags() -> tuple[str, ...]:
    """Return those of ``INTEGER_FLAGS`` that this processor has; none outside of Linux."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ()
    flags = {
        flag
        for line in lines
        if line.partition(":")[0].strip() in ("flags", "Features")
        for flag in line.partition(":")[2].split()
    }
    return tuple(flag for flag in INTEGER_FLAGS if flag in flags)


def expectations(adaptor: Adaptor) -> dict[str, Any]:
    """Return what another machine must have, as plain values."""
    return {
        "versions": {**versions_of(adaptor), "Python": _python()},
        "flags": list(integer_flags()),
    }


def mismatches(expected: Mapping[str, Any], adaptor: Adaptor) -> list[str]:
    """Return what is different here, one sentence each."""
    found = expectations(adaptor)
    problems = [
        f"{name} is {found['versions'].get(name, 'missing')} there and {wanted} here"
        for name, wanted in expected["versions"].items()
        if found["versions"].get(name) != wanted
    ]
    if found["flags"] != expected["flags"]:
        differing = sorted({*found["flags"]} ^ {*expected["flags"]})
        problems.append(
            f"its processor computes integers in another way ({', '.join(differing)} differ)"
        )
    return problems


def output_problem(expected: Any, found: Any) -> str:
    """Return how the float model's outputs for the reference sample differ; empty if they do not.

    Args:
        expected: An array, or a tuple of arrays, computed where the search runs.
        found: The same, computed on the worker.
    """
    wanted, given = _arrays(expected), _arrays(found)
    if [array.shape for array in wanted] != [array.shape for array in given]:
        return "the float model's outputs for the reference sample have other shapes there"
    for one, other in zip(wanted, given, strict=True):
        if one.dtype.kind not in "fc":
            continue  # classes may change where two scores are equal
        difference = np.abs(one.astype(np.float64) - other.astype(np.float64)).max(initial=0.0)
        largest = np.abs(one.astype(np.float64)).max(initial=0.0)
        if not difference <= OUTPUT_TOLERANCE * largest:
            return (
                "the float model does not reproduce its outputs for the reference sample: they "
                f"differ by {difference:.3g}, the largest is {largest:.3g}"
            )
    return ""


def _arrays(outputs: Any) -> list[np.ndarray[Any, Any]]:
    many = outputs if isinstance(outputs, tuple | list) else (outputs,)
    return [np.asarray(output) for output in many]


def _python() -> str:
    return ".".join(platform.python_version_tuple()[:2])
