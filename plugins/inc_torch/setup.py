"""Builds the native kernels; everything else is in pyproject.toml."""

import sys
from pathlib import Path

from setuptools import setup

sys.path.insert(0, str(Path(__file__).parent))

from build_native import native_library

KERNELS = "src/inc_torch/kernels"

setup(
    **native_library(
        "libinc_torch",
        package="inc_torch.kernels",
        csrc=f"{KERNELS}/csrc",
        glue=[f"{KERNELS}/glue/operators.cc", f"{KERNELS}/glue/torch_api.cc"],
    )
)
