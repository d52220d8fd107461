"""Build the native library of a plugin: a C++ compiler and setuptools are all it takes.

``setup.py`` of a plugin calls :func:`native_library`; the tests of the kernels call :func:`compile_library`.
No framework is needed to build, no compiler to install: without one the plugin falls back and says so.

This file lives in ``kernels/`` and is copied beside each ``setup.py`` by ``kernels/vendor.py``.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

COMMON_FLAGS = [
    "-O3",
    "-std=c++17",
    "-fPIC",
    "-fvisibility=hidden",
    # no C++ runtime: a loaded process need not have one, and two of them must not meet
    "-fno-exceptions",
    "-fno-rtti",
    "-fno-threadsafe-statics",
    # a framework's error passes through the glue on its way up
    "-fasynchronous-unwind-tables",
    "-fno-math-errno",
    # every instruction set must round alike: fused only where the code says so
    "-ffp-contract=off",
    "-Wall",
    "-Wextra",
]
AVX2_FLAGS = ["-mavx2", "-mfma", "-mf16c"]
AVX512_FLAGS = [
    *AVX2_FLAGS,
    *(f"-mavx512{part}" for part in ("f", "bw", "dq", "vl", "vnni")),
    # GCC 12's own intrinsics start from undefined vectors; clang does not know the second name
    "-Wno-uninitialized",
    "-Wno-maybe-uninitialized",
    "-Wno-unknown-warning-option",
]
ISA_FLAGS = {
    "avx2/kernels.cc": AVX2_FLAGS,
    "avx512/kernels.cc": AVX512_FLAGS,
    "avx512/bf16.cc": [*AVX512_FLAGS, "-mavx512bf16"],
}
"""The only files that may use more than the compiler's default, each with what it needs."""

SANITIZER_FLAGS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-O1", "-g"]

SUFFIX = ".dylib" if sys.platform == "darwin" else ".so"


class BuildError(Exception):
    """The library could not be built, and why."""


def compile_library(
    csrc: Path, output: Path, glue: Sequence[Path] = (), sanitize: bool = False
) -> None:
    """Compile the kernels below ``csrc`` and ``glue`` into one shared library, unless it is up to date.

    Raises:
        BuildError: If there is no compiler, or it fails; with what it said.
    """
    if is_current(output, csrc, glue):
        return
    sources = [*_kernel_sources(csrc), *glue]
    compiler = _compiler()
    flags = [*COMMON_FLAGS, f"-I{csrc / 'include'}", f"-I{csrc / 'src'}"]
    flags += SANITIZER_FLAGS if sanitize else []
    objects = output.parent / f"{output.name}.objects"
    objects.mkdir(parents=True, exist_ok=True)
    compiled = []
    for number, source in enumerate(sources):
        compiled.append(objects / f"{number}-{source.stem}.o")
        _run([*compiler, *flags, *_isa_flags(source), "-c", str(source), "-o", str(compiled[-1])])
    # linked under another name and renamed: a process that has the old one loaded keeps it whole
    partial = output.with_suffix(".partial")
    _run([*compiler, "-shared", *map(str, compiled), *_link_flags(sanitize), "-o", str(partial)])
    partial.replace(output)
    shutil.rmtree(objects)


def is_current(output: Path, csrc: Path, glue: Sequence[Path] = ()) -> bool:
    """Say whether a library is newer than everything it is made of."""
    return output.exists() and output.stat().st_mtime > _newest(csrc, glue)


def native_library(name: str, package: str, csrc: str, glue: Sequence[str]) -> dict[str, object]:
    """Return the keywords of ``setup()`` that build ``name`` into ``package``.

    Args:
        name: File name without suffix, e.g. ``"libinc_torch"``.
        package: Dotted package that the library is put in.
        csrc: Folder of the vendored kernels, relative to ``setup.py``.
        glue: Sources that tie them to the framework, relative to ``setup.py``.
    """
    from setuptools import Extension
    from setuptools.command.build_ext import build_ext

    try:
        from setuptools.command.bdist_wheel import bdist_wheel
    except ImportError:  # setuptools before 70.1
        from wheel.bdist_wheel import bdist_wheel

    class BuildNative(build_ext):
        """Builds a plain shared library: one for every Python, loaded by ctypes."""

        def get_ext_filename(self, fullname: str) -> str:
            return str(Path(*fullname.split("."))) + SUFFIX

        def build_extension(self, ext: Extension) -> None:
            output = Path(self.get_ext_fullpath(ext.name))
            output.parent.mkdir(parents=True, exist_ok=True)
            sources = [Path(path) for path in glue]
            in_place = Path("src", self.get_ext_filename(ext.name))
            if self.editable_mode and is_current(in_place, Path(csrc), sources):
                shutil.copy2(in_place, output)
                return
            try:
                compile_library(Path(csrc), output, sources)
            except BuildError as error:
                if os.environ.get("INC_REQUIRE_NATIVE", "") not in ("", "0"):
                    raise
                # what an earlier build left is of other sources, or it would have been taken
                for stale in (output, in_place) if self.editable_mode else (output,):
                    stale.unlink(missing_ok=True)
                self.warn(f"installing without native kernels, slower: {error}")

        def copy_extensions_to_source(self) -> None:
            for ext in self.extensions:
                built = Path(self.build_lib, self.get_ext_filename(ext.name))
                if built.exists():
                    target = Path("src", self.get_ext_filename(ext.name))
                    partial = target.with_suffix(".partial")
                    shutil.copy2(built, partial)
                    partial.replace(target)

        def get_outputs(self) -> list[str]:
            return [path for path in super().get_outputs() if Path(path).exists()]

    class PlatformWheel(bdist_wheel):
        """``py3-none-<platform>``: the library knows no Python."""

        def finalize_options(self) -> None:
            super().finalize_options()
            self.root_is_pure = False

        def get_tag(self) -> tuple[str, str, str]:
            return "py3", "none", super().get_tag()[2]

    return {
        "ext_modules": [Extension(f"{package}.{name}", sources=list(glue))],
        "cmdclass": {"build_ext": BuildNative, "bdist_wheel": PlatformWheel},
    }


def _kernel_sources(csrc: Path) -> list[Path]:
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    sources = sorted((csrc / "src").rglob("*.cc"))
    return [s for s in sources if x86 or not s.parent.name.startswith("avx")]


def _newest(csrc: Path, glue: Sequence[Path]) -> float:
    folders = {csrc, *(path.parent for path in glue)}
    files = [
        path for folder in folders for path in folder.rglob("*") if path.suffix in (".h", ".cc")
    ]
    return max(path.stat().st_mtime for path in [*files, Path(__file__)])


def _isa_flags(source: Path) -> list[str]:
    return ISA_FLAGS.get(f"{source.parent.name}/{source.name}", [])


def _link_flags(sanitize: bool) -> list[str]:
    if sanitize:
        return SANITIZER_FLAGS
    if sys.platform == "darwin":
        return []
    return ["-nodefaultlibs", "-lm", "-ldl", "-lc", "-lgcc", "-Wl,-z,defs", "-Wl,-s"]


def _compiler() -> list[str]:
    if "CXX" in os.environ:
        return os.environ["CXX"].split()
    for name in ("c++", "g++", "clang++"):
        if shutil.which(name):
            return [name]
    raise BuildError("no C++ compiler found (c++, g++, clang++, or the one that CXX names)")


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        raise BuildError(f"{command[0]} cannot be run: {error}") from error
    if done.returncode:
        raise BuildError(f"{' '.join(command)}\n{done.stderr.strip()}")
    if done.stderr.strip():
        print(done.stderr, file=sys.stderr)
