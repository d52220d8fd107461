"""The one way into the configuration: ``load_config``."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inc_core.config.build import build_config
from inc_core.config.dump import as_document
from inc_core.config.historic import without_historic
from inc_core.config.problem import line_of, received
from inc_core.config.source import Source, read_mapping, read_yaml
from inc_core.config.types import Config, PerformanceConfig
from inc_core.config.validate import validate
from inc_core.errors import ConfigError

__all__ = ["load_config"]

logger = logging.getLogger("inc_core.config")


def load_config(source: str | Path | Mapping[str, Any] | Config | None) -> Config:
    """Read, check and freeze a configuration.

    Keys of old files that have no effect are named in warnings of the logger ``inc_core.config``.
    What the user passed is never modified.

    Args:
        source: Path of a YAML file, a mapping of the same shape, a ``Config`` (checked like the
            others), or ``None`` for the defaults.

    Returns:
        The configuration; an equal ``Config`` comes back as it is.

    Raises:
        ConfigError: With every problem at once: key path, line, what was received, what is allowed.
    """
    if source is None:
        return Config()
    if isinstance(source, Config):
        loaded = _checked(read_mapping(as_document(source)))
        return source if loaded == source else loaded
    return _checked(_read(source))


def _read(source: object) -> Source:
    if isinstance(source, Mapping):
        return read_mapping(source)
    if isinstance(source, str) and "\n" in source:
        raise ConfigError(
            "received YAML text where a path is expected; write it to a file, or pass a mapping"
        )
    if isinstance(source, str | Path):
        return read_yaml(Path(source))
    raise ConfigError(
        f"no configuration: {received(source)}; allowed: the path of a YAML file, a mapping, "
        "a Config, or None for the defaults"
    )


def _checked(source: Source) -> Config:
    document, found = validate(without_historic(source.content, source.lines))
    problems = sorted(
        (*source.problems, *found), key=lambda problem: line_of(problem.path, source.lines) or 0
    )
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise ConfigError(
            f"{source.name}: {count}", [problem.describe(source.lines) for problem in problems]
        )
    config = build_config(document)
    if config.evaluation.performance != PerformanceConfig():
        logger.warning(
            "evaluation.performance has no effect yet: it is for a benchmark of its own; a search times "
            "the float and the tuned model side by side, in this process"
        )
    return config
