"""The files of a saved model: written all or nothing, checked by digest when read."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from inc_core.errors import UnsupportedModelError, WorkspaceError

__all__ = [
    "MANIFEST",
    "array_digest",
    "check_files",
    "check_place",
    "file_digest",
    "file_digests",
    "published",
    "read_json",
    "write_json",
]

MANIFEST = "inc.json"
CHUNK_BYTES = 1 << 20


def write_json(path: Path, content: Any) -> None:
    """Write indented JSON with a final newline."""
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file of a saved model.

    Raises:
        UnsupportedModelError: If the file is missing or no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UnsupportedModelError(
            f"{path}: cannot be read ({error.strerror}). A directory written by "
            f"TunedModel.save() holds {MANIFEST}."
        ) from error
    except ValueError as error:
        raise UnsupportedModelError(f"{path}: damaged, it is no JSON ({error})") from error


def array_digest(array: np.ndarray[Any, Any]) -> str:
    """Return the sha256 of dtype, shape and bytes."""
    digest = hashlib.sha256(f"{array.dtype}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def file_digest(path: Path) -> str:
    """Return the sha256 of a file, read in chunks."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def file_digests(directory: Path) -> dict[str, str]:
    """Return the digest of every file below ``directory`` except the manifest, by relative name."""
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    names = {path.relative_to(directory).as_posix(): path for path in files}
    return {name: file_digest(path) for name, path in names.items() if name != MANIFEST}


def check_files(directory: Path, digests: Mapping[str, str]) -> None:
    """Compare the files of a saved model with the digests in its manifest.

    Raises:
        UnsupportedModelError: If a file is missing or differs; names the first one.
    """
    for name, expected in digests.items():
        path = directory / name
        if not path.is_file():
            raise UnsupportedModelError(f"{directory}: {name} is missing; save the model again")
        if file_digest(path) != expected:
            raise UnsupportedModelError(
                f"{directory}: {name} is not the file that was saved (its sha256 differs). It was "
                "truncated or changed; save the model again."
            )


@contextmanager
def published(directory: Path) -> Iterator[Path]:
    """Give a temporary directory that takes the place of ``directory`` if the block succeeds.

    An existing directory is replaced only if it is empty or holds a saved model.

    Raises:
        WorkspaceError: If the place is taken by something else, or cannot be written.
    """
    staging = _staging(directory)
    try:
        yield staging
        staging.chmod(0o777 & ~_umask())
        aside = staging.with_name(f"{staging.name}-old")
        if directory.exists():
            directory.replace(aside)  # not deleted before the new one is in place
        staging.replace(directory)
        shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        raise WorkspaceError(f"{directory}: cannot be written ({error.strerror})") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def check_place(directory: Path) -> None:
    """Check that a model could be published as ``directory``; what is there stays as it is.

    Raises:
        WorkspaceError: If the place is taken by something else, or cannot be written.
    """
    _staging(directory).rmdir()


def _staging(directory: Path) -> Path:
    if directory.exists() and not _replaceable(directory):
        raise WorkspaceError(
            f"{directory} exists and holds no saved model ({MANIFEST}); nothing was written. "
            "Name an empty or new directory."
        )
    if os.path.ismount(directory):
        raise WorkspaceError(
            f"{directory} is a mount point, which cannot be replaced as a whole. Name a directory "
            f"in it, such as {directory / 'model'}."
        )
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    except OSError as error:
        raise WorkspaceError(f"{directory}: cannot be written ({error.strerror})") from error


def _replaceable(directory: Path) -> bool:
    if not directory.is_dir():
        return False
    return (directory / MANIFEST).is_file() or not any(directory.iterdir())


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
