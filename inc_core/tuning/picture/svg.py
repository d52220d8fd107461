"""SVG by string templates: shapes, lines, text. Every text is escaped here."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

__all__ = ["document", "line", "path", "shape", "text"]

# A frame of its own and a white ground: readable on a dark page as on a light one.
STYLE = """
text { font: 12px system-ui, 'DejaVu Sans', sans-serif; fill: #1f2933; }
.title { font-size: 15px; font-weight: 600; }
.small { font-size: 10px; fill: #52606d; }
.grid { stroke: #e4e7eb; stroke-width: 1; }
.frame { stroke: #9aa5b1; stroke-width: 1; fill: none; }
.goal { stroke: #b44d12; stroke-width: 1.5; stroke-dasharray: 6 4; }
.bound { stroke: #616e7c; stroke-width: 1.5; stroke-dasharray: 2 4; }
.front { stroke: #0967d2; stroke-width: 1.5; fill: none; }
.expected { stroke: #9aa5b1; stroke-width: 1; }
.float { fill: #1f2933; }
.accepted { fill: #0967d2; }
.rejected { fill: #b44d12; }
.rejected_early { fill: #ffffff; stroke: #b44d12; stroke-width: 1.5; }
.failed { fill: none; stroke: #610404; stroke-width: 2; }
.chosen { fill: #f0b429; stroke: #0967d2; stroke-width: 1.5; }
.foreseen { fill: #9aa5b1; }
"""

# Paths around (0, 0), so that kinds differ by shape, not by colour alone.
SHAPES = {
    "float": "M0,-7 L7,0 L0,7 L-7,0 Z",
    "accepted": "M-5,0 A5,5 0 1 0 5,0 A5,5 0 1 0 -5,0 Z",
    "rejected": "M0,-6 L6,5 L-6,5 Z",
    "rejected_early": "M0,6 L6,-5 L-6,-5 Z",
    "failed": "M-5,-5 L5,5 M-5,5 L5,-5",
    "chosen": (
        "M0,-10 L2.6,-3.6 L9.5,-3.1 L4.2,1.4 L5.9,8.1 L0,4.5 L-5.9,8.1 L-4.2,1.4 L-9.5,-3.1 "
        "L-2.6,-3.6 Z"
    ),
    "foreseen": "M-2,0 A2,2 0 1 0 2,0 A2,2 0 1 0 -2,0 Z",
}


def document(width: int, height: int, label: str, parts: Iterable[str]) -> str:
    """Return a whole file.

    Args:
        width: In pixels.
        height: In pixels.
        label: What the picture shows, for who cannot see it.
        parts: Its elements.
    """
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}">\n'
        f"<style>{STYLE}</style>\n"
        f'<rect width="{width}" height="{height}" rx="6" fill="#ffffff"/>\n{body}\n</svg>\n'
    )


def shape(kind: str, x: float, y: float, title: str, **data: object) -> str:
    """Return a marker of a kind; ``title`` shows when the mouse rests on it.

    Args:
        kind: One of ``SHAPES``, which is also its class.
        x: Pixel of its centre.
        y: Pixel of its centre.
        title: What it stands for.
        data: Attributes ``data-NAME``, for programs that read the picture.
    """
    facts = "".join(f' data-{name}="{escape(str(value))}"' for name, value in data.items())
    return (
        f'<path class="{kind}" d="{SHAPES[kind]}" transform="translate({x:.2f} {y:.2f})"{facts}>'
        f"<title>{escape(title)}</title></path>"
    )


def line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    """Return a line of a class."""
    return f'<line class="{kind}" x1="{x1:.2f}" y1="{y1:.2f}" x2="{x2:.2f}" y2="{y2:.2f}"/>'


def path(kind: str, points: Iterable[tuple[float, float]]) -> str:
    """Return an open path through points."""
    steps = " L".join(f"{x:.2f},{y:.2f}" for x, y in points)
    return f'<path class="{kind}" d="M{steps}"/>'


def text(content: str, x: float, y: float, anchor: str = "start", kind: str = "") -> str:
    """Return text; ``anchor`` is ``"start"``, ``"middle"`` or ``"end"``."""
    named = f' class="{kind}"' if kind else ""
    return f'<text{named} x="{x:.2f}" y="{y:.2f}" text-anchor="{anchor}">{escape(content)}</text>'
