"""``frontier``: the fastest model within the accuracy goal, in few evaluations."""

from inc_core.strategies.frontier.strategy import FrontierStrategy

__all__ = ["FrontierStrategy"]
