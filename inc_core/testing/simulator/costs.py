"""What an evaluation costs when a sequential test may end it."""

from __future__ import annotations

import numpy as np

__all__ = ["data_used"]

# Share of 10,000 samples that the paired sequential test of the design needs until it is sure of a
# loss of so many times the allowed one, at 2 % churn; measured with that test.
_TIMES_ALLOWED = (1.0, 1.2, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0)
_SHARE = (1.0, 0.9, 0.65, 0.37, 0.12, 0.05, 0.02, 0.008, 0.008)


def data_used(loss: float, allowed: float) -> float:
    """Return the share of the evaluation data that a trial needs.

    Args:
        loss: True loss on all of it, in percent.
        allowed: Accepted loss, in percent. What passes is evaluated in full.
    """
    if loss <= allowed:
        return 1.0
    return float(np.exp(np.interp(np.log(loss / allowed), np.log(_TIMES_ALLOWED), np.log(_SHARE))))
