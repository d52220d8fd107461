"""What a search depends on, by name: a resumed one is the same problem or says what differs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from inc_core.data.identity import data_identity, source_of
from inc_core.hookspecs.adaptor import Adaptor
from inc_core.tuning.trial_run import reading

__all__ = ["content_key", "differences", "fingerprint", "versions_of"]

# Settings that do not change what a trial is: a run may be taken up with more trials or time,
# from another place, and with another opinion on what to return.
NOT_PART = (
    "tuning.cache",
    "tuning.exit_policy.max_trials",
    "tuning.exit_policy.on_goal_not_met",
    "tuning.exit_policy.keep_float_if_slower",
    "tuning.exit_policy.timeout",
    "tuning.runner.address",
    "tuning.runner.memory_limit_mb",
    "tuning.runner.name",
    "tuning.runner.on_engine_loss",
    "tuning.runner.reconnect_timeout",
    "tuning.runner.scheduler_file",
    "tuning.runner.trial_timeout",
    "tuning.runner.workers",  # what it decides, the width of proposals, is compared by itself
    "tuning.workspace",
    "plugins",
)


_USE = {"calib_dataloader": "calibration", "eval_dataloader": "evaluation"}  # in messages


def fingerprint(
    *,
    adaptor: Adaptor,
    model: Any,
    config: Mapping[str, Any],
    data: Mapping[str, Any] | None = None,
    functions: Mapping[str, Any] | None = None,
) -> dict[str, str]:
    """Return everything that decides a search's outcome, as text or digest by name.

    Args:
        adaptor: Gives the model's digest and the framework's versions.
        model: The float model, native.
        config: The configuration as nested plain values.
        data: Data loaders by their role, such as ``{"eval_dataloader": loader}``; ``None`` ones
            are left out.
        functions: The user's own functions, classes and objects by their role; their source
            counts. ``None`` ones are left out.

    Raises:
        DataError: If a loader's data cannot be read.
    """
    parts = {"model": adaptor.digest(model)}
    for role, loader in (data or {}).items():
        if loader is not None:
            with reading(_USE.get(role, role)):
                identity = data_identity(loader)
            parts.update({f"{role}.{name}": str(value) for name, value in identity.items()})
    for role, function in (functions or {}).items():
        if function is not None:
            digest = hashlib.sha256(source_of(function).encode()).hexdigest()[:16]
            parts[f"source of {role}"] = digest
    parts.update(_settings(config))
    parts.update({f"version of {name}": text for name, text in versions_of(adaptor).items()})
    return parts


def versions_of(adaptor: Adaptor) -> dict[str, str]:
    """Return the versions of everything that decides a result."""
    from inc_core import __version__

    return {"inc_core": __version__, "numpy": np.__version__, **adaptor.versions()}


def content_key(problem: Mapping[str, str]) -> dict[str, str]:
    """Return what a model's outputs depend on: a problem without goal, search and evaluation.

    Args:
        problem: What ``fingerprint`` returned.
    """
    of_search = ("tuning.", "evaluation.", "eval_dataloader", "source of ", "stops at ")
    return {name: text for name, text in problem.items() if not name.startswith(of_search)}


def differences(stored: Mapping[str, str], current: Mapping[str, str]) -> list[str]:
    """Say what differs between two fingerprints, each in words; empty if they are equal."""
    texts = []
    for name in {**stored, **current}:
        before, now = stored.get(name), current.get(name)
        if before == now:
            continue
        if before is None or now is None:
            texts.append(f"{name} {'is new' if before is None else 'is gone'}")
        else:
            texts.append(f"{name} was {before!r}, is {now!r}")
    return texts


def _settings(config: Mapping[str, Any]) -> dict[str, str]:
    settings = {
        name: repr(value)
        for name, value in _flat(config)
        if not any(name == part or name.startswith(part + ".") for part in NOT_PART)
    }
    timeout = dict(_flat(config)).get("tuning.exit_policy.timeout", 0)
    # the strategy is told whether the first accepted trial ends the search
    settings["stops at the first accepted trial"] = str(not timeout)
    return settings


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, child in value.items():
            yield from _flat(child, f"{prefix}.{name}" if prefix else str(name))
    else:
        yield prefix, value
