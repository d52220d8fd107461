"""Environments of the peers: one each, as their requirements exclude each other; versions pinned.

Nothing of them is installed where the project is. No peer's ONNX path needs a training framework, so none is
installed; requirements are spelled out where a peer's own list would bring one, or no longer installs.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["python_of"]

# What the packages of neural-compressor import, whatever framework is used.
_NC = (
    "pandas<3", "Pillow", "prettytable", "psutil", "py-cpuinfo", "pyyaml", "requests", "schema", "six",
)  # fmt: skip

# Each step is one call of pip; the first argument may be --no-deps.
STEPS: Mapping[str, Sequence[Sequence[str]]] = {
    "nncf": (("nncf==3.4.0", "onnx==1.23.2", "onnxruntime==1.32.0"),),
    "nc26": (
        ("--no-deps", "neural-compressor==2.6"),
        ("numpy<2", "onnx==1.17.0", "onnxruntime==1.32.0", "setuptools<80", "deprecated"),
        ("opencv-python-headless", "scikit-learn", "pycocotools", "typing_extensions", *_NC),
    ),
    "nc114": (
        ("--no-deps", "neural-compressor==1.14.2", "sigopt==8.8.3", "pycocotools<2.0.8"),
        ("numpy==1.24.4", "onnx==1.14.1", "onnxruntime==1.16.3", "setuptools<66"),
        ("numpy==1.24.4", "opencv-python-headless<4.9", "scikit-learn<1.3", "hyperopt", "Cython"),
        ("numpy==1.24.4", "matplotlib", "cryptography", "click", "backoff<2", "GitPython", "pypng"),
        ("numpy==1.24.4", "urllib3<2", *_NC),
    ),
}


def python_of(name: str, folder: Path) -> str:
    """Return the interpreter of an environment, made on first use; ``"own"`` is this one."""
    if name == "own":
        return sys.executable
    home = folder / name
    python, done = home / "bin" / "python", home / "complete"
    if not done.exists():
        print(f"  installing {name} into {home}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
        for packages in STEPS[name]:
            pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*pip, *packages], check=True)
        done.touch()
    return str(python)
