"""Seconds of the kernels of small models, timed side by side in interleaved rounds.

The runtime's own profile is read: it has the time of every kernel, so that neither the call from
Python counts nor the changes of layout that a lone op needs and an op in its place does not.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime as ort

from inc_core.errors import IncError
from inc_onnx.inputs import input_infos
from inc_onnx.model import OnnxModel, new_session, session_options

__all__ = ["Seconds", "time_models"]

# Lower quartiles of kernels of 0.1 ms differ by 1 % from one such run to the next; slow kernels need less.
ROUND_SECONDS = 0.04
MAX_ROUNDS = 6
MIN_ROUNDS = 5
WARMUP_ROUNDS = 1
_LAYOUT = frozenset({"Transpose", "ReorderInput", "ReorderOutput"})
_MICROSECOND = 1e-6
_DRAWN = 4093  # a prime: rows and channels of usual lengths do not repeat


class Seconds(NamedTuple):
    """Seconds of one undisturbed run: the kernels, and changes of layout before and behind them."""

    kernels: float
    layout_in: float = 0.0
    layout_out: float = 0.0


def time_models(models: Sequence[OnnxModel], threads: int) -> list[Seconds | None]:
    """Return the seconds of each model; ``None`` for one that the runtime refuses."""
    with tempfile.TemporaryDirectory() as folder:
        sessions = [
            _session(model, threads, Path(folder) / str(i)) for i, model in enumerate(models)
        ]
        feeds = [None if s is None else _random_feed(s) for s in sessions]
        pairs = [(s, f) for s, f in zip(sessions, feeds, strict=True) if s is not None]
        start = time.perf_counter()
        rounds = 0
        while rounds < WARMUP_ROUNDS + MIN_ROUNDS or (
            rounds < WARMUP_ROUNDS + MAX_ROUNDS
            and time.perf_counter() - start < ROUND_SECONDS * len(pairs)
        ):
            for session, feed in pairs[:: 1 if rounds % 2 else -1]:  # who comes first alternates
                session.run(None, feed)
            rounds += 1
        profiles = [None if s is None else Path(s.end_profiling()) for s in sessions]
        kinds = [{node.op_type for node in model.proto.graph.node} for model in models]
        return [
            None if profile is None else _read(profile, rounds, own)
            for profile, own in zip(profiles, kinds, strict=True)
        ]


def _session(model: OnnxModel, threads: int, prefix: Path) -> ort.InferenceSession | None:
    options = session_options(threads)
    options.enable_profiling = True
    options.profile_file_prefix = str(prefix)
    try:
        return new_session(model.proto, model.folder, options)
    except IncError:
        return None  # a kernel that the runtime does not have for these types: nothing to time


def _random_feed(session: ort.InferenceSession) -> dict[str, Any]:
    return {
        info.name: _values(info.dtype, tuple(d for d in info.shape if isinstance(d, int)))
        for info in input_infos(session)
    }


def _values(dtype: str, shape: tuple[int, ...]) -> Any:
    """Return values to compute with; drawing each anew would take as long as running the kernels."""
    if dtype in ("float", "uint8"):
        return np.resize(_floats() if dtype == "float" else _bytes(), shape)
    # masks and positions: of ones every element takes part
    return np.ones(shape, dtype.replace("double", "float64"))


@cache
def _floats() -> Any:
    return np.random.default_rng(0).random(_DRAWN, np.float32) - np.float32(0.5)


@cache
def _bytes() -> Any:
    return np.random.default_rng(0).integers(0, 256, _DRAWN, np.uint8)


def _read(profile: Path, rounds: int, own: set[str]) -> Seconds | None:
    """Return the lower quartiles over the rounds after the warm-up.

    What disturbs a run on a busy machine only ever adds to it, so that the median says less.

    Args:
        profile: JSON with one event per kernel and run, in order of execution.
        rounds: How often the model ran.
        own: Op types that the model had before the runtime changed it.
    """
    events = [
        (event["args"]["op_name"], event["dur"] * _MICROSECOND)
        for event in json.loads(profile.read_text(encoding="utf-8"))
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time")
    ]
    if not events or len(events) % rounds:
        return None
    width = len(events) // rounds
    runs = [events[i * width : (i + 1) * width] for i in range(WARMUP_ROUNDS, rounds)]
    layout = _LAYOUT - own
    main = [i for i, (kind, _) in enumerate(runs[0]) if kind not in layout]
    if not main:
        return None

    def total(run: list[tuple[str, float]], lo: int, hi: int, of_layout: bool) -> float:
        return sum(seconds for kind, seconds in run[lo:hi] if (kind in layout) == of_layout)

    return Seconds(
        _lower_quartile(total(run, 0, width, False) for run in runs),
        _lower_quartile(total(run, 0, main[0], True) for run in runs),
        _lower_quartile(total(run, main[0], width, True) for run in runs),
    )


def _lower_quartile(seconds: Iterable[float]) -> float:
    ordered = sorted(seconds)
    return ordered[len(ordered) // 4]
