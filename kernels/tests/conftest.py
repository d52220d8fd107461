"""Fixtures of the kernel tests: the library, once, and every instruction set of this CPU."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from binding import ISAS, Kernels


@pytest.fixture(scope="session")
def library() -> Kernels:
    return Kernels()


@pytest.fixture(params=[*ISAS, "avx512_vnni with bf16"])
def kernels(request: pytest.FixtureRequest, library: Kernels) -> Kernels:
    isa, _, bf16 = request.param.partition(" with ")
    if not library.use(isa):
        pytest.skip(f"this CPU has no {isa}")
    if bool(library.library.inc_use_bf16_instructions(bool(bf16))) != bool(bf16):
        pytest.skip("this CPU has no bf16 instructions")
    return library
