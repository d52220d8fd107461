"""What a plugin's ``setup.py`` builds: with a compiler, without one, and from a source distribution."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import build_native
import pytest
import vendor

pytest.importorskip("setuptools")

NO_COMPILER = {"CXX": "/nonexistent/c++"}
BUILT = {"build", "dist", "__pycache__"}


def plugin_copy(name: str, folder: Path) -> Path:
    """A checkout's plugin without anything that was built in it."""

    def ignore(_: str, names: list[str]) -> list[str]:
        ends = (".so", ".dylib", ".egg-info")
        return [name for name in names if name in BUILT or name.endswith(ends)]

    return Path(shutil.copytree(vendor.PLUGINS / name, folder / name, ignore=ignore))


def wheel(source: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pip", "wheel", "-v", "--no-deps", "--no-build-isolation"]
    clean = {k: v for k, v in os.environ.items() if k not in ("INC_REQUIRE_NATIVE", "LD_PRELOAD")}
    return subprocess.run(
        [*command, "--no-index", "-w", "wheels", str(source)],
        cwd=source.parent,
        env={**clean, **environment},
        capture_output=True,
        text=True,
    )


def contents(folder: Path) -> tuple[str, list[str]]:
    """The file name and the files of the only wheel."""
    (path,) = (folder / "wheels").glob("*.whl")
    return path.name, zipfile.ZipFile(path).namelist()


@pytest.mark.parametrize("plugin", vendor.CONSUMERS)
def test_without_a_compiler_a_plugin_installs_and_says_so(plugin, tmp_path):
    done = wheel(plugin_copy(plugin, tmp_path), **NO_COMPILER)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "installing without native kernels, slower: /nonexistent/c++ cannot be run" in (
        done.stdout + done.stderr
    )
    _, files = contents(tmp_path)
    assert not [name for name in files if name.endswith(build_native.SUFFIX)]
    assert f"{plugin}/plugin.py" in files


def test_without_a_compiler_no_library_of_older_sources_is_installed(tmp_path):
    plugin = plugin_copy("inc_onnx", tmp_path)
    library = Path("inc_onnx", "kernels", "native", f"libinc_onnx{build_native.SUFFIX}")
    build = [sys.executable, "setup.py", "-q", "build_ext", "--build-lib", "built"]
    old = plugin / "built" / library
    old.parent.mkdir(parents=True)
    old.write_text("of older sources")
    os.utime(old, (0, 0))
    environment = {**os.environ, **NO_COMPILER, "INC_REQUIRE_NATIVE": ""}
    subprocess.run(build, cwd=plugin, env=environment, check=True, capture_output=True)
    assert not old.exists()


def test_a_missing_build_is_an_error_where_it_is_required(tmp_path):
    plugin = plugin_copy("inc_onnx", tmp_path)
    done = wheel(plugin, INC_REQUIRE_NATIVE="1", **NO_COMPILER)
    assert done.returncode != 0
    assert "/nonexistent/c++ cannot be run" in done.stdout + done.stderr


@pytest.mark.parametrize("plugin", vendor.CONSUMERS)
def test_a_source_distribution_builds_one_wheel_for_every_python(plugin, tmp_path):
    if os.environ.get("INC_SANITIZE") == "1":
        pytest.skip("builds with its own flags")
    source = plugin_copy(plugin, tmp_path)
    subprocess.run(
        [sys.executable, "setup.py", "-q", "sdist"], cwd=source, check=True, capture_output=True
    )
    (archive,) = (source / "dist").glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    done = wheel(unpacked, INC_REQUIRE_NATIVE="1")
    assert done.returncode == 0, done.stdout + done.stderr
    name, files = contents(unpacked.parent)
    assert "-py3-none-" in name
    assert not name.endswith("-any.whl")
    assert len([name for name in files if name.endswith(build_native.SUFFIX)]) == 1
    assert not [name for name in files if name.endswith((".cc", ".h"))]


def test_a_library_is_built_again_only_if_something_of_it_is_newer(tmp_path):
    csrc = tmp_path / "csrc"
    (csrc / "src").mkdir(parents=True)
    source, output = csrc / "src" / "a.cc", tmp_path / "libx.so"
    source.write_text("int x;")
    assert not build_native.is_current(output, csrc)
    output.write_text("built")
    os.utime(output, (2**32, 2**32))
    assert build_native.is_current(output, csrc)
    os.utime(source, (2**32 + 1, 2**32 + 1))
    assert not build_native.is_current(output, csrc)


def test_a_compiler_that_fails_is_quoted(tmp_path):
    csrc = tmp_path / "csrc"
    (csrc / "src").mkdir(parents=True)
    (csrc / "src" / "wrong.cc").write_text("#error this is the reason")
    with pytest.raises(build_native.BuildError, match="this is the reason"):
        build_native.compile_library(csrc, tmp_path / "libx.so")
