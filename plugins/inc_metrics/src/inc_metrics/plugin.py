"""The plugin: what it offers by name; nothing is imported until it is used."""

from __future__ import annotations

from collections.abc import Mapping

from inc_core import hookimpl

__all__ = ["inc_metrics"]


@hookimpl
def inc_metrics() -> Mapping[str, str]:
    """Offer the metrics under the names that users know."""
    return {
        "topk": "inc_metrics.topk:TopK",
        "Accuracy": "inc_metrics.accuracy:Accuracy",
        "F1": "inc_metrics.f1:F1",
        "MAE": "inc_metrics.regression:MAE",
        "MSE": "inc_metrics.regression:MSE",
        "RMSE": "inc_metrics.regression:RMSE",
        "Loss": "inc_metrics.loss:Loss",
    }
