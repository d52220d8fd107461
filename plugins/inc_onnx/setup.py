"""Builds the native kernels; everything else is in pyproject.toml."""

import sys
from pathlib import Path

from setuptools import setup

sys.path.insert(0, str(Path(__file__).parent))

from build_native import native_library

KERNELS = "src/inc_onnx/kernels"

setup(
    **native_library(
        "libinc_onnx",
        package="inc_onnx.kernels.native",
        csrc=f"{KERNELS}/csrc",
        glue=[f"{KERNELS}/native/glue/operators.cc"],
    )
)
