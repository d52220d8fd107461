"""Copy the kernels into every plugin that builds them: run after each change below ``kernels/``.

Each plugin's source distribution must be whole, and a plugin may not need another's wheel; so the sources
live here and are copied. ``tests/test_vendored.py`` fails on a copy that differs.
"""

from __future__ import annotations

import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parent
PLUGINS = ROOT.parent / "plugins"
CONSUMERS = ("inc_torch", "inc_onnx")
FOLDERS = ("include", "src")
BUILD = "build_native.py"


def csrc_of(plugin: str) -> Path:
    """Return the folder of a plugin that holds its copy of the sources."""
    return PLUGINS / plugin / "src" / plugin / "kernels" / "csrc"


def vendor(plugin: str) -> None:
    """Replace a plugin's copies."""
    csrc = csrc_of(plugin)
    shutil.rmtree(csrc, ignore_errors=True)
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, csrc / folder)
    shutil.copyfile(ROOT / BUILD, PLUGINS / plugin / BUILD)


if __name__ == "__main__":
    for consumer in CONSUMERS:
        vendor(consumer)
        print("vendored", csrc_of(consumer).relative_to(ROOT.parent))
