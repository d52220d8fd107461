"""Which instruction set is chosen, and that nothing of it leaks into what every CPU runs."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from binding import ISAS, Kernels

CPUINFO = Path("/proc/cpuinfo")
NEEDED = {
    "scalar": set(),
    "avx2": {"avx2", "fma", "f16c"},
    "avx512_vnni": {"avx2", "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni"},
}


def cpu_flags() -> set[str]:
    if not CPUINFO.exists() or platform.machine() != "x86_64":
        pytest.skip("compares with the x86 flags of /proc/cpuinfo")
    return set(re.search(r"^flags\s*:(.*)$", CPUINFO.read_text(), re.MULTILINE).group(1).split())


def test_the_best_set_that_the_kernel_of_the_system_reports_is_chosen(library: Kernels):
    flags = cpu_flags()
    best = [isa for isa in ISAS if NEEDED[isa] <= flags][-1]
    # in a fresh process: the library of this one has been told what to use
    code = "import ctypes, sys; print(ctypes.CDLL(sys.argv[1]).inc_isa())"
    command = [sys.executable, "-c", code, library.library._name]
    chosen = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert ISAS[int(chosen)] == best


def test_bf16_instructions_are_used_where_they_are_there_and_asked_for(library: Kernels):
    flags = cpu_flags()
    there = NEEDED["avx512_vnni"] | {"avx512_bf16"} <= flags
    library.library.inc_set_isa(len(ISAS))
    assert bool(library.library.inc_use_bf16_instructions(1)) == there
    assert not library.library.inc_use_bf16_instructions(0)


@pytest.mark.parametrize("isa", ISAS)
def test_a_set_is_supported_exactly_if_its_flags_are_there(library: Kernels, isa):
    assert bool(library.library.inc_isa_supported(ISAS.index(isa))) == (NEEDED[isa] <= cpu_flags())


def test_numbers_that_name_no_set_are_clamped(library: Kernels):
    assert not library.library.inc_isa_supported(99)
    assert library.library.inc_set_isa(-3) == 0
    assert library.library.inc_set_isa(99) == max(
        number for number in range(len(ISAS)) if library.library.inc_isa_supported(number)
    )


def test_the_library_needs_libc_only_and_shows_its_interface_only(library: Kernels):
    readelf, nm = shutil.which("readelf"), shutil.which("nm")
    if not (readelf and nm):
        pytest.skip("reads the library with binutils")
    path = library.library._name
    if "sanitized" in path:
        pytest.skip("sanitizers bring their own runtime")
    dynamic = subprocess.run([readelf, "-d", path], capture_output=True, text=True).stdout
    needed = set(re.findall(r"Shared library: \[(.*?)\.so", dynamic))
    assert needed <= {"libc", "libm", "libdl"}
    symbols = subprocess.run([nm, "-D", "--defined-only", path], capture_output=True, text=True)
    names = {line.split()[-1].split("@")[0] for line in symbols.stdout.splitlines()}
    # a weak symbol would be compiled for one instruction set and shared with the others
    assert all(name.startswith("inc_") for name in names)
