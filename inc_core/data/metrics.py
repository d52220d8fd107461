"""A metric that starts afresh for each evaluation, from whatever the user gave."""

from __future__ import annotations

import copy
import inspect
from typing import Any

from inc_core.common import Metric
from inc_core.errors import ConfigError

__all__ = ["fresh_metric", "higher_is_better_of"]


def fresh_metric(metric: Any) -> Any:
    """Return a metric that has seen nothing yet.

    A class is instantiated; ``reset`` is called where there is one, as some begin their sums there.
    An instance with ``reset`` is returned; one without is copied and never touched itself, so that its
    copies start from the state in which the user gave it.

    Args:
        metric: A class or an instance with ``update(predictions, labels)`` and ``result()``, or
            a ``common.Metric`` around one, or around a function that makes one.

    Raises:
        ConfigError: If it is no metric, or a class that cannot be instantiated.
    """
    if isinstance(metric, Metric):
        source, keywords, may_call = metric.metric_cls, metric.kwargs, True
    else:
        source, keywords, may_call = metric, {}, False
    if inspect.isclass(source) or (may_call and not _has(source, "update") and callable(source)):
        made = _checked(_made(source, keywords))
        if _has(made, "reset"):
            made.reset()
        return made
    _checked(source)
    if _has(source, "reset"):
        source.reset()
        return source
    return _copied(source)


def higher_is_better_of(metric: Any) -> bool:
    """Return the direction that a metric states by ``higher_is_better``; true if it states none.

    Raises:
        ConfigError: As ``fresh_metric``.
    """
    if metric is None:
        return True
    return bool(getattr(fresh_metric(metric), "higher_is_better", True))


def _made(source: Any, keywords: dict[str, Any]) -> Any:
    try:
        return source(**keywords)
    except TypeError as error:
        name = getattr(source, "__name__", type(source).__name__)
        raise ConfigError(
            f"the metric {name} cannot be made with {keywords!r}: {error}. Give its parameters as "
            "common.Metric(cls, name, parameter=value), or give an instance."
        ) from error


def _copied(metric: Any) -> Any:
    try:
        return copy.deepcopy(metric)
    except Exception as error:  # foreign objects refuse to be copied in any way
        raise ConfigError(
            f"the metric {type(metric).__name__} has no reset(), and cannot be copied for each "
            f"evaluation: {error}. Add reset(), or give the class: common.Metric(cls)."
        ) from error


def _checked(metric: Any) -> Any:
    missing = [name for name in ("update", "result") if not _has(metric, name)]
    if missing:
        hint = " A function of the model is set as eval_func." if inspect.isroutine(metric) else ""
        raise ConfigError(
            "a metric needs update(predictions, labels) and result(); "
            f"{type(metric).__name__} has no {' and no '.join(missing)}.{hint}"
        )
    return metric


def _has(metric: Any, name: str) -> bool:
    return callable(getattr(metric, name, None))
