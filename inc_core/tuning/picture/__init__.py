"""The front of accuracy and latency that a search found, as a picture."""

from inc_core.tuning.picture.draw import draw_front

__all__ = ["draw_front"]
