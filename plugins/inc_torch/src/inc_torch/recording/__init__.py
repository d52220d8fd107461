"""Graphs of plain modules, recorded from what their own code calls."""

from inc_torch.recording.graph import record
from inc_torch.recording.tape import NotPlainError

__all__ = ["NotPlainError", "record"]
