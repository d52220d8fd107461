"""One fault of a configuration, and how key paths and values are written for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["KeyPath", "Lines", "Problem", "format_path", "line_of", "received"]

KeyPath = tuple[str | int, ...]
Lines = Mapping[KeyPath, int]

_LONGEST_VALUE = 60


@dataclass(frozen=True)
class Problem:
    """Which key is wrong, and why: what was received and what is allowed."""

    path: KeyPath
    text: str

    def describe(self, lines: Lines) -> str:
        """Return ``"line 7: tuning.exit_policy.timeout: ..."``; no line if none is known."""
        line = line_of(self.path, lines)
        place = f"line {line}: " if line else ""
        path = format_path(self.path)
        return f"{place}{path}: {self.text}" if path else f"{place}{self.text}"


def line_of(path: KeyPath, lines: Lines) -> int | None:
    """Return the line of a key, or of the closest section around it that has one."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return None


def format_path(path: Sequence[str | int]) -> str:
    """Return ``quantization.op_wise['conv1.*'].weight`` for its parts."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part.isidentifier():
            text += f".{part}" if text else part
        else:
            text += f"[{part!r}]"
    return text


def received(value: object) -> str:
    """Return ``received 'soon' (str)``, cut where the value is long."""
    if value is None:
        return "received nothing"
    text = repr(value)
    if len(text) > _LONGEST_VALUE:
        text = f"{text[: _LONGEST_VALUE - 3]}..."
    return f"received {text} ({type(value).__name__})"
