"""A third party's metrics. Nothing but the hook is imported until a run names one of them."""

from __future__ import annotations

from inc_core import hookimpl


@hookimpl
def inc_metrics():
    """Offer a metric that works, and one whose framework is not installed."""
    return {
        "agreement": "inc_example_metric.agreement:Agreement",
        "exotic": "inc_example_metric.exotic:Exotic",
    }
