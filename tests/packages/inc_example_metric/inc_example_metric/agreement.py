"""``Agreement``: the share of samples whose largest output is the label."""

from __future__ import annotations

__all__ = ["Agreement"]


class Agreement:
    """Counts hits batch by batch; outputs below ``threshold`` count as misses."""

    def __init__(self, threshold=float("-inf")):
        self.threshold = threshold
        self.hits = self.total = 0

    def update(self, predictions, labels):
        """Add one batch."""
        sure = predictions.max(-1) >= self.threshold
        self.hits += int(((predictions.argmax(-1) == labels) & sure).sum())
        self.total += len(labels)

    def result(self):
        """Return the share of hits, 0 to 1."""
        return self.hits / self.total
