"""What plugin authors test with: conformance suites and a numpy toy framework.

The suites are pytest classes to subclass, such as ``AdaptorSuite``; they alone need pytest, so
they are imported on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inc_core.testing.adaptor_suite import AdaptorSuite
    from inc_core.testing.data_suite import DataSuite
    from inc_core.testing.metric_suite import MetricSuite
    from inc_core.testing.plugin_suite import PluginSuite
    from inc_core.testing.pruner_suite import PrunerSuite
    from inc_core.testing.strategy_suite import StrategySuite

__all__ = [
    "AdaptorSuite",
    "DataSuite",
    "MetricSuite",
    "PluginSuite",
    "PrunerSuite",
    "StrategySuite",
]

_HOMES = {
    "AdaptorSuite": "inc_core.testing.adaptor_suite",
    "DataSuite": "inc_core.testing.data_suite",
    "MetricSuite": "inc_core.testing.metric_suite",
    "PluginSuite": "inc_core.testing.plugin_suite",
    "PrunerSuite": "inc_core.testing.pruner_suite",
    "StrategySuite": "inc_core.testing.strategy_suite",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'inc_core.testing' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
