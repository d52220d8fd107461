"""Every plugin has the very sources that are tested here."""

from __future__ import annotations

from pathlib import Path

import pytest
import vendor


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for name in vendor.FOLDERS for path in (folder / name).rglob("*"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in files if path.is_file()}


@pytest.mark.parametrize("plugin", vendor.CONSUMERS)
def test_the_copies_are_identical(plugin):
    assert contents(vendor.csrc_of(plugin)) == contents(vendor.ROOT), "run kernels/vendor.py"
    copy = vendor.PLUGINS / plugin / vendor.BUILD
    assert copy.read_bytes() == (vendor.ROOT / vendor.BUILD).read_bytes(), "run kernels/vendor.py"
