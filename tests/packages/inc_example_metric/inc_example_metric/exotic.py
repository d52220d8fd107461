"""``Exotic``: needs a framework that exists nowhere."""

from __future__ import annotations

import inc_test_absent_framework

__all__ = ["Exotic"]


class Exotic:
    """Never made."""

    def update(self, predictions, labels):
        """Add one batch."""
        inc_test_absent_framework.update(predictions, labels)

    def result(self):
        """Return the value."""
        return inc_test_absent_framework.result()
